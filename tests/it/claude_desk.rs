//! The real Claude Code in full mode edits shared files with its own Write, Edit and Bash, beside a shell that wants the
//! same ones: the broker's rules hold for all three tools.

use std::fs;

use serde_json::{Value, json};

use crate::claude::{Standin, installed, play};
use crate::host::{Folder, assert_replays, query_text, seat};

const SCENARIO: &str = r#"
format = 1
name = "desk"
title = "One desk"
summary = "A model and a shell share files."
cast = "test"

[time]
mode = "lockstep"
deadline_ms = 60000
ticks = 7

[space]
kind = "none"

[files]
tree = "tree"
lease_ms = 60000

[[seat]]
name = "ada"
[[seat]]
name = "claude"
"#;

const CAST: &str = r#"
format = 1
[[seat]]
match = "ada"
command = "python3"
args = ["player.py", "ada.sh"]
files = ["player.py", "ada.sh"]
[[seat]]
match = "claude"
agent = "claude"
model = "claude-sonnet-4-5"
full = true
allow = ["Bash", "Read", "Write", "Edit"]
"#;

/// Ada takes everything at tick 1, writes and gives back at tick 3.
const ADA: &str = "case $1 in
1) desk lease '**' ;;
3) for tool in write edit bash; do echo ada > shared/$tool.md; done; desk publish; desk release '**' ;;
esac";

fn call(tool: &str, input: Value) -> Value {
    json!({"tool": tool, "input": input})
}

/// The three files, each by its own tool, to `new`.
fn edit(old: &str, new: &str) -> Vec<Value> {
    vec![
        call("Read", json!({"file_path": "shared/write.md"})),
        call(
            "Write",
            json!({"file_path": "shared/write.md", "content": format!("{new}\n")}),
        ),
        call("Read", json!({"file_path": "shared/edit.md"})),
        call(
            "Edit",
            json!({"file_path": "shared/edit.md", "old_string": old, "new_string": new}),
        ),
        call(
            "Bash",
            json!({"command": format!("sed -i s/{old}/{new}/ shared/bash.md"), "description": "edit"}),
        ),
    ]
}

#[test]
fn its_own_tools_publish_are_refused_and_collide_like_anybodys() {
    if !installed() {
        return;
    }
    let wait = || call("mcp__world__wait", json!({}));
    let outside = "echo taken > ../../../shared/bash.md; sed -i s/one/taken/ ../../../shared/edit.md; \
                   cat ../../ada/workspace/ada.sh && echo read; true";
    let steps = [
        // Tick 0: nobody holds anything. Nor does the tree itself open to it.
        edit("one", "two"),
        vec![
            call("Bash", json!({"command": outside, "description": "try"})),
            wait(),
        ],
        // Tick 1: ada takes all.
        vec![wait()],
        // Tick 2: what it changes is refused, and stays its own.
        edit("two", "three"),
        vec![wait()],
        // Tick 3: ada publishes other words in the same lines.
        vec![wait()],
        // Tick 4: a collision, since it acts with what it had. Tick 5: it takes what stands there and begins anew.
        vec![wait()],
        ["write.md", "edit.md", "bash.md"]
            .map(|path| call("mcp__world__desk_take", json!({"path": path})))
            .to_vec(),
        edit("ada", "four"),
        vec![wait(), wait()],
    ]
    .concat();
    let mut rules: Vec<Value> = steps
        .iter()
        .enumerate()
        .map(|(n, step)| json!({"match": {"nth": n + 1}, "do": {"answer": step}}))
        .collect();
    rules.push(json!({"do": {"answer": wait()}}));

    let folder = Folder::new("claude-desk");
    let standin = Standin::start(&folder, &json!(rules).to_string());
    folder.write("desk/scenario.toml", SCENARIO.trim_start());
    folder.write("desk/casts/test.toml", CAST.trim_start());
    folder.write("desk/casts/player.py", include_str!("story/player.py"));
    folder.write("desk/casts/ada.sh", ADA);
    for tool in ["write", "edit", "bash"] {
        folder.write(&format!("desk/tree/{tool}.md"), "one\n");
    }
    let scenario = folder.path("desk").display().to_string();
    let args = ["run", &scenario, "--seed", "1"].map(str::to_owned);
    let summary = play(&folder, &standin, &args);
    let out = folder.path("run");
    assert_replays(&out);
    assert_eq!(
        seat(&summary, "claude")["trouble"],
        Value::Null,
        "{summary}"
    );

    let said = query_text(
        &out,
        "SELECT tick || ' ' || kind || ' ' || text FROM transcripts ORDER BY id",
    )
    .join("\n");
    for tool in ["write", "edit", "bash"] {
        let path = format!("{tool}.md");
        let versions = query_text(
            &out,
            &format!(
                "SELECT tick || ' ' || seat || '@' || version || ' ' || CAST(body AS TEXT) || iif(token, ' leased', '') FROM versions \
                 JOIN contents USING (hash) WHERE path = '{path}' AND seat IS NOT NULL ORDER BY sequence"
            ),
        );
        let words: Vec<String> = versions.iter().map(|line| line.replace('\n', "")).collect();
        assert_eq!(
            words,
            ["0 claude@2 two", "3 ada@3 ada leased", "5 claude@4 four"],
            "{path}\n{said}"
        );
        let refusals = query_text(
            &out,
            &format!(
                "SELECT reason || ' ' || trim(CAST(body AS TEXT), char(10)) FROM refusals JOIN contents ON kept = hash \
                 WHERE path = '{path}' AND seat = 'claude' ORDER BY sequence"
            ),
        );
        assert!(
            refusals.iter().any(|line| line == "leased three")
                && refusals.iter().any(|line| line == "conflict three"),
            "refused by the lease, then by the collision, and kept each time: {path} {refusals:?}\n{said}"
        );
        let shared = fs::read_to_string(out.join("shared").join(&path)).expect("it is there");
        assert_eq!(shared, "four\n", "{path}");
    }
    // It was told each time, in its next observation.
    assert!(
        said.contains("leased by ada") && said.contains("desk take"),
        "{said}"
    );
    assert!(
        !said.contains("taken\n") && !said.contains("\nread"),
        "{said}"
    );
    let asked = standin.requests().len();
    assert!(
        asked >= steps.len(),
        "{asked} requests for {} steps",
        steps.len()
    );
}
