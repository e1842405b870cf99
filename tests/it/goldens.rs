//! Goldens: the hashes of both shipped scenarios, tick by tick, as played by real processes.
//!
//! `make bless` writes them anew; a change of them raises the engine's semantics version.

use std::path::Path;

use formicarium::recorder::replay::Verdict;

use crate::host::{Folder, assert_replays, query, root, run, scores};

/// Compares the run's hashes with `tests/golden/NAME.txt` and says the first tick and part that differ. The run, made by
/// the host's binary (optimised in CI), must also replay in this program, which is not.
fn compare(name: &str, out: &Path) {
    let verdict = formicarium::recorder::replay::replay(out, |_| {}).expect("a recording");
    assert!(matches!(verdict, Verdict::Equal { .. }), "{verdict:?}");
    let text = |value: &rusqlite::types::Value| match value {
        rusqlite::types::Value::Text(text) => text.clone(),
        rusqlite::types::Value::Integer(number) => number.to_string(),
        rusqlite::types::Value::Blob(bytes) => {
            bytes.iter().map(|byte| format!("{byte:02x}")).collect()
        }
        other => panic!("{other:?}"),
    };
    let rows = query(out, "SELECT tick, hash, parts FROM ticks ORDER BY tick");
    let parts: serde_json::Value = serde_json::from_str(
        &crate::host::query_text(out, "SELECT value FROM meta WHERE key = 'run'")[0],
    )
    .expect("JSON");
    let mut lines = vec![format!("parts {}", parts["parts"])];
    lines.extend(
        rows.iter()
            .map(|row| row.iter().map(text).collect::<Vec<_>>().join(" ")),
    );
    let path = root().join("tests/golden").join(format!("{name}.txt"));
    if std::env::var_os("FORMICARIUM_BLESS").is_some() {
        std::fs::write(&path, lines.join("\n") + "\n").expect("the golden");
        return;
    }
    let golden = std::fs::read_to_string(&path)
        .unwrap_or_else(|error| panic!("{}: {error}; make bless", path.display()));
    let golden: Vec<&str> = golden.lines().collect();
    let names: Vec<&str> = parts["parts"]
        .as_array()
        .expect("parts")
        .iter()
        .map(|name| name.as_str().expect("a name"))
        .collect();
    for (now, then) in lines.iter().zip(&golden) {
        if now == then {
            continue;
        }
        let hex = |line: &str| line.split(' ').nth(2).unwrap_or("").to_owned();
        let (now_parts, then_parts) = (hex(now), hex(then));
        let differs: Vec<&str> = names
            .iter()
            .enumerate()
            .filter(|(index, _)| {
                now_parts.get(index * 16..index * 16 + 16)
                    != then_parts.get(index * 16..index * 16 + 16)
            })
            .map(|(_, name)| *name)
            .collect();
        panic!(
            "{name}: first difference in the line of tick {:?}, parts {differs:?}\n now {now}\nthen {then}",
            now.split(' ').next()
        );
    }
    assert_eq!(lines.len(), golden.len(), "{name}: number of ticks");
}

#[test]
fn axelrod_totals_are_exact_and_its_hashes_golden() {
    let folder = Folder::new("axelrod");
    let out = folder.path("run");
    let summary = run(&out, &["scenarios/axelrod", "--seed", "1"]);
    assert_eq!(
        scores(&summary),
        [3097.0, 2700.0, 2816.0, 3196.0, 2950.0, 2898.0, 2760.0]
    );
    assert_replays(&out);
    compare("axelrod", &out);
}

#[test]
fn commons_greedy_is_golden() {
    let folder = Folder::new("greedy");
    let out = folder.path("run");
    run(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "greedy",
            "--seed",
            "1",
            "--ticks",
            "300",
        ],
    );
    assert_replays(&out);
    compare("commons-greedy", &out);
}

#[test]
fn commons_mixed_with_python_is_golden() {
    let folder = Folder::new("mixed");
    let out = folder.path("run");
    run(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "mixed",
            "--seed",
            "7",
            "--ticks",
            "300",
        ],
    );
    assert_replays(&out);
    compare("commons-mixed", &out);
}

#[test]
fn the_embedded_scenario_plays_like_the_folder() {
    let folder = Folder::new("embedded");
    let (one, two) = (folder.path("one"), folder.path("two"));
    let args = ["--cast", "mixed", "--seed", "3", "--ticks", "60"];
    let by_path = run(&one, &[&["scenarios/commons"], &args[..]].concat());
    // From a folder without scenarios, the name can only mean the embedded one.
    let output = crate::host::formicarium(
        &[
            &["run", "commons"],
            &args[..],
            &[
                "--out",
                two.to_str().expect("UTF-8"),
                "--headless",
                "--json",
                "--deadline",
                "60s",
            ],
        ]
        .concat(),
    )
    .current_dir(&folder.0)
    .output()
    .expect("the host starts");
    assert!(
        output.status.success(),
        "{}",
        String::from_utf8_lossy(&output.stderr)
    );
    let by_name: serde_json::Value = serde_json::from_slice(&output.stdout).expect("a summary");
    assert_eq!(by_path["hash"], by_name["hash"]);
}

#[test]
fn builtin_agents_repeat_by_seed() {
    let folder = Folder::new("builtin");
    let hash = |name: &str, seed: &str| {
        let args = [
            "scenarios/commons",
            "--agent",
            "*=builtin:random",
            "--seed",
            seed,
            "--ticks",
            "200",
        ];
        run(&folder.path(name), &args)["hash"].clone()
    };
    let first = hash("a", "5");
    assert_eq!(first, hash("b", "5"));
    assert_ne!(first, hash("c", "6"));
    assert_replays(&folder.path("a"));
}
