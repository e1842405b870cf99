//! Two agents and a shell want one file. The story of README, "Nobody overwrites anybody", played by real processes.

use std::fs;

use serde_json::Value;

use crate::host::{Folder, assert_replays, query_text, run};

const SCENARIO: &str = r#"
format = 1
name = "poem"
title = "One poem"
summary = "Three want one file."
cast = "three"

[time]
mode = "lockstep"
deadline_ms = 20000
ticks = 7

[space]
kind = "none"

[mechanic.report.lines]
doc = "How many lines the poem has"
fields.count = { min = 0, max = 100, doc = "lines" }

[files]
tree = "tree"
lease_ms = 30000

[[seat]]
name = "ada"
[[seat]]
name = "bob"
[[seat]]
name = "cy"

[[metric]]
name = "merges"
events = "file.published"
where = { merged = true }
over = "run"

[[metric]]
name = "refusals"
events = "file.refused"
over = "run"
"#;

fn cast() -> String {
    let seats = ["ada", "bob", "cy"].map(|name| {
        format!(
            "[[seat]]\nmatch = \"{name}\"\ncommand = \"python3\"\nargs = [\"player.py\", \"{name}.sh\"]\nfiles = [\"player.py\", \"{name}.sh\"]\n"
        )
    });
    format!("format = 1\n{}", seats.concat())
}

#[test]
fn two_agents_and_a_shell_want_one_file() {
    story("story", &[]);
}

/// The same where all run as the host's user: there a token stands for the user, and keepers stop trees.
#[test]
fn two_agents_and_a_shell_want_one_file_at_level_landlock() {
    story("story-landlock", &["--isolation", "landlock"]);
}

fn story(name: &str, more: &[&str]) {
    let folder = Folder::new(name);
    let (scenario, out) = (folder.path("poem"), folder.path("run"));
    fs::create_dir_all(scenario.join("casts")).expect("a folder");
    fs::create_dir_all(scenario.join("tree")).expect("a folder");
    let write = |name: &str, text: &str| fs::write(scenario.join(name), text).expect("written");
    write("scenario.toml", SCENARIO.trim_start());
    write("casts/three.toml", &cast());
    write("casts/player.py", include_str!("story/player.py"));
    write("casts/ada.sh", include_str!("story/ada.sh"));
    write("casts/bob.sh", include_str!("story/bob.sh"));
    write("casts/cy.sh", include_str!("story/cy.sh"));
    write("tree/poem.md", "one\n\ntwo\n\nthree\n\nfour\n\nfive\n");

    let usual = [scenario.to_str().expect("a path"), "--seed", "1"];
    let summary = run(&out, &[&usual, more].concat());
    assert_eq!(summary["end"], "tick 7 of 7 reached", "{summary}");
    for seat in summary["seats"].as_array().expect("seats") {
        assert_eq!(seat["trouble"], Value::Null, "{summary}");
    }
    assert_replays(&out);

    // All that anybody wrote is in the poem, each by its own way of editing.
    let poem = fs::read_to_string(out.join("shared/poem.md")).expect("the poem");
    let expected =
        "one, by ada\n\ntwo, by ada\n\nthree, by ada and bob\n\nfour\n\nfive, by bob\nsix, by cy\n";
    assert_eq!(poem, expected);
    // And on every desk.
    for seat in ["ada", "bob", "cy"] {
        let desk = out.join("agents").join(seat).join("workspace/shared");
        let own = fs::read_to_string(desk.join("poem.md")).expect("a desk");
        // The last publish was bob's, at the last tick but one.
        assert_eq!(own, expected, "{seat}");
        let names: Vec<_> = fs::read_dir(desk).expect("a desk").flatten().collect();
        assert_eq!(names.len(), 1, "nothing is left there: {names:?}");
    }

    let versions = query_text(
        &out,
        "SELECT coalesce(seat, '-') || '@' || version || iif(merged, ' merged', '') || iif(token, ' leased', '') FROM versions \
         ORDER BY sequence",
    );
    assert_eq!(versions[0], "-@1");
    // Ada and bob edit different lines in the same tick: whoever is second is merged.
    assert!(
        versions[1..3] == ["ada@2", "bob@3 merged"] || versions[1..3] == ["bob@2", "ada@3 merged"],
        "{versions:?}"
    );
    // While cy has the lease, ada's edit waits on her desk; when it is over, it is merged.
    assert_eq!(
        versions[3..],
        ["cy@4 leased", "ada@5 merged", "ada@6", "bob@7"],
        "{versions:?}"
    );
    let refusals = query_text(
        &out,
        "SELECT seat || ' ' || reason || ' ' || path FROM refusals ORDER BY sequence",
    );
    assert_eq!(
        refusals,
        ["ada leased poem.md", "bob conflict poem.md"],
        "and nothing of it is lost"
    );
    let kept = query_text(
        &out,
        "SELECT CAST(body AS TEXT) FROM contents JOIN refusals ON kept = hash ORDER BY sequence",
    );
    assert!(kept[1].contains("three, by bob\n"), "{kept:?}");
    let leases = query_text(
        &out,
        "SELECT seat || ' ' || what FROM leases ORDER BY sequence",
    );
    assert_eq!(leases, ["cy granted", "cy released"]);

    // The world was told of each in the tick after it, in inputs that replay.
    let told = query_text(
        &out,
        "SELECT s.name || ' ' || e.name FROM events e JOIN seats s ON s.seat = e.seat WHERE e.name LIKE 'file.%' \
         AND e.tick BETWEEN 2 AND 5 ORDER BY e.tick, e.n",
    );
    assert_eq!(
        told,
        [
            "cy file.leased",
            "ada file.refused",
            "cy file.published",
            "ada file.published",
            "cy file.released",
            "ada file.published",
            "bob file.refused"
        ]
    );
    // What agents read: who holds it, for how long, what to do.
    let logs = query_text(
        &out,
        "SELECT s.name || ': ' || n.text FROM notes n JOIN seats s ON s.seat = n.seat WHERE n.kind = 'log' ORDER BY n.id",
    )
    .join("\n");
    for words in [
        "cy: poem.md is yours for 30 s (token 1)",
        "poem.md is leased by cy for another",
        "\"code\": \"conflict\"",
        "three, by ada\npoem.md@6 is on your desk now",
        "cy: poem.md is given back",
    ] {
        assert!(logs.contains(words), "{words:?} is not in:\n{logs}");
    }
}
