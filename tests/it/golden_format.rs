//! Recordings of format 1 as released hosts have written them: today's code reads them.
//!
//! `tests/golden/format-1/`: `commons`, a run with a conversation; `fork`, which has its history from it by reference;
//! `workshop`, sealed, with shared files; and beside each what it says. `make bless-format` writes them anew, which is never
//! done once the format is released: they say what old hosts have left, not what this one writes.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use formicarium::recorder::reader::Recording;
use formicarium::recorder::replay::setting;
use formicarium_engine::{SEMANTICS, World};
use serde_json::{Value, json};

use crate::host::{Folder, formicarium, output, root};

const RUNS: [&str; 3] = ["commons", "fork", "workshop"];

fn golden() -> PathBuf {
    root().join("tests/golden/format-1")
}

fn printed(args: &[&str]) -> String {
    let done = output(args);
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{args:?}: {words}");
    String::from_utf8(done.stdout).expect("UTF-8")
}

/// The rows of a table or a view: how many, and BLAKE3 over them.
fn rows(recording: &Recording, name: &str) -> Value {
    let columns = {
        let statement = recording
            .connection()
            .prepare(&format!("SELECT * FROM {name}"));
        statement.expect("a table").column_count()
    };
    let order: Vec<String> = (1..=columns).map(|column| column.to_string()).collect();
    let sql = format!("SELECT * FROM {name} ORDER BY {}", order.join(", "));
    let mut statement = recording.connection().prepare(&sql).expect("a table");
    let mut found = statement.query([]).expect("rows");
    let (mut count, mut hasher) = (0, blake3::Hasher::new());
    while let Some(row) = found.next().expect("a row") {
        count += 1;
        for column in 0..columns {
            let value: rusqlite::types::Value = row.get(column).expect("a value");
            hasher.update(format!("{value:?}\n").as_bytes());
        }
    }
    json!({"rows": count, "digest": hasher.finalize().to_hex().to_string()})
}

/// All that today's code reads of a recording, but for what depends on the world's rules.
fn told(run: &Path) -> Value {
    let recording = Recording::open(run).expect("it opens");
    let mut names: Vec<String> = recording
        .connection()
        .prepare(
            "SELECT name FROM main.sqlite_master WHERE type IN ('table', 'view') ORDER BY name",
        )
        .and_then(|mut statement| statement.query_map([], |row| row.get(0))?.collect())
        .expect("tables");
    names.retain(|name| !name.starts_with("sqlite_"));
    let tables: BTreeMap<&String, Value> = names
        .iter()
        .map(|name| (name, rows(&recording, name)))
        .collect();
    let mut messages = recording
        .connection()
        .prepare("SELECT seat || ': ' || text FROM messages ORDER BY tick")
        .expect("a view");
    let messages: Vec<String> = messages
        .query_map([], |row| row.get(0))
        .and_then(|rows| rows.take(3).collect())
        .expect("messages");
    let history = recording.history().expect("readable");
    let files: Vec<Value> = history
        .iter()
        .flat_map(|history| history.facts())
        .filter_map(|told| match &told.fact {
            formicarium_agents::broker::Fact::Version(version) => Some(version),
            _ => None,
        })
        .map(|version| {
            let content = recording.version_content(version).expect("its content");
            json!([version.path.as_str(), version.number, content.len()])
        })
        .collect();
    let end = recording.end.as_ref();
    json!({
        "run": recording.meta.run, "seats": recording.meta.seats.len(), "ticks": recording.last_tick().expect("inputs"),
        "end": end.map(|end| &end.reason), "hash": end.map(|end| &end.hash), "parent": recording.meta.parent,
        "tables": tables, "messages": messages, "files": files,
        "fingerprint": printed(&["fingerprint", run.to_str().expect("UTF-8")]).trim(),
    })
}

/// Copies a golden's recording: reading one leaves files beside it.
fn laid_out(folder: &Folder) {
    for name in RUNS {
        fs::create_dir_all(folder.path(name)).expect("a folder");
        for file in ["run.db", "run.db.zst"] {
            let from = golden().join(name).join(file);
            if from.exists() {
                fs::copy(&from, folder.path(name).join(file)).expect("a copy");
            }
        }
    }
}

#[test]
fn recordings_of_format_1_are_read() {
    if std::env::var_os("FORMICARIUM_BLESS_FORMAT").is_some() {
        return bless();
    }
    let folder = Folder::new("format-1");
    laid_out(&folder);
    for name in RUNS {
        let run = folder.path(name);
        let expected = fs::read_to_string(golden().join(name).join("told.json"))
            .unwrap_or_else(|error| panic!("{name}: {error}; make bless-format"));
        let expected: Value = serde_json::from_str(&expected).expect("JSON");
        let told = told(&run);
        for (part, value) in expected.as_object().expect("an object") {
            assert_eq!(&told[part], value, "{name}: {part}");
        }
        let to = folder.path(&format!("{name}.csv"));
        printed(&[
            "export",
            run.to_str().expect("UTF-8"),
            "--to",
            "csv",
            "--out",
            to.to_str().expect("UTF-8"),
        ]);
        plays(name, &run);
    }
}

/// It replays and is good under the rules that it was made by; under others it is said which those are.
fn plays(name: &str, run: &Path) {
    let recording = Recording::open(run).expect("it opens");
    let meta = &recording.meta;
    let said = |command: &str| {
        let done = output(&[command, run.to_str().expect("UTF-8")]);
        let words = String::from_utf8_lossy(&done.stdout).into_owned()
            + &String::from_utf8_lossy(&done.stderr);
        (done.status.code(), words)
    };
    if meta.semantics != SEMANTICS {
        let (status, words) = said("replay");
        let needs = format!("needs semantics version {}", meta.semantics);
        assert!(
            status == Some(1) && words.contains(&needs),
            "{name}: {words}"
        );
        let (status, words) = said("verify");
        assert!(
            status == Some(1) && words.starts_with("unknown"),
            "{name}: {words}"
        );
        return;
    }
    let (status, words) = said("replay");
    assert!(
        status == Some(0) && words.starts_with("equal"),
        "{name}: {words}"
    );
    let (status, words) = said("verify");
    assert!(
        status == Some(0) && words.starts_with("good"),
        "{name}: {words}"
    );
    let (scenario, params) = setting(&recording).expect("its scenario");
    let (at, body) = recording
        .keyframe_before(u64::MAX)
        .expect("readable")
        .expect("a keyframe");
    let world = World::restore(&scenario, &params, meta.seed, &body).expect("a world");
    assert_eq!(world.tick(), at, "{name}");
    // Boards of games without a place are empty.
    let picture = world.picture();
    assert_eq!(
        picture.space.is_some(),
        !picture.things.is_empty(),
        "{name}"
    );
}

/// Writes the goldens: each recording as its host leaves it, in a folder that says nothing of this machine.
fn bless() {
    let work = std::env::temp_dir().join("formicarium-golden");
    let _ = fs::remove_dir_all(&work);
    fs::create_dir_all(&work).expect("a folder");
    let to = |name: &str| work.join(name).to_str().expect("UTF-8").to_owned();
    let (commons, fork, workshop) = (to("commons"), to("fork"), to("workshop"));
    let quiet = [
        "--headless",
        "--isolation",
        "advisory",
        "--deadline",
        "60s",
        "--out",
    ];
    // Not from the project's folder, whose scenarios would be named by their place.
    let host = |args: &[&str], out: &str| {
        let all = [args, &quiet, &[out]].concat();
        let done = formicarium(&all)
            .current_dir(&work)
            .output()
            .expect("the host starts");
        assert!(done.status.success(), "{done:?}");
    };
    host(
        &[
            "run",
            "commons",
            "--cast",
            "mixed",
            "--seed",
            "3",
            "--ticks",
            "30",
            "--set",
            "interview=true",
        ],
        &commons,
    );
    host(
        &["fork", &commons, "--at", "20", "--drop", "harvester-1"],
        &fork,
    );
    host(&["run", "workshop", "--seed", "3"], &workshop);
    printed(&["seal", &workshop]);
    for name in RUNS {
        let target = golden().join(name);
        let _ = fs::remove_dir_all(&target);
        fs::create_dir_all(&target).expect("a folder");
        for file in ["run.db", "run.db.zst"] {
            let from = work.join(name).join(file);
            if from.exists() {
                fs::copy(&from, target.join(file)).expect("a golden");
            }
        }
        let told = serde_json::to_string_pretty(&told(&work.join(name))).expect("JSON");
        fs::write(target.join("told.json"), told + "\n").expect("a golden");
    }
    fs::remove_dir_all(&work).expect("removed");
}
