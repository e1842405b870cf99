//! `formicarium export`: tables agree with the recording, whatever state it is in, and are whole or not there.
//!
//! That the three formats hold the same rows, and these those of the recording, is checked by tests/export/ with other
//! readers; here are what needs the engine, and what goes wrong.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

use formicarium::recorder::reader::Recording;
use formicarium::recorder::replay::{ReplayError, initial_world};
use formicarium_engine::{InputBody, SeatId, TickInput};
use rusqlite::Connection;
use serde_json::Value;

use crate::host::{Folder, Live, output, query_int, root, run};
use crate::versions::recorded;

/// Asks for two moves, a beam, an action that is not there and empty speech in each tick: the door refuses some, the
/// world others, with the same words.
const PUSHY: &str = r#"
import json, sys
for n, line in enumerate(sys.stdin):
    message = json.loads(line)
    if message["type"] == "hello":
        answer = {"type": "ready", "name": "pushy"}
    elif message["type"] == "observe":
        move = {"name": "move", "args": {"dir": ("north", "east", "south", "west")[n // 3 % 4]}}
        beam = {"name": "zap", "args": {}}
        actions = [[move, move], [beam, {"name": "fly", "args": {}}], [move, beam], []][n % 4]
        answer = {"type": "act", "tick": message["tick"], "actions": actions}
        if actions and n % 3 == 0:
            answer["say"] = ("", "out of my way, \"please\",\n" + "x" * 20)[n % 2]
    else:
        break
    print(json.dumps(answer), flush=True)
"#;

fn played(folder: &Folder) -> PathBuf {
    let out = folder.path("run");
    let agent = folder.write("pushy.py", PUSHY);
    let pushy = |seat: &str| format!("{seat}=python3 {}", agent.display());
    run(
        &out,
        &[
            "scenarios/commons",
            "--agent",
            &pushy("harvester-1"),
            "--agent",
            &pushy("harvester-2"),
            "--agent",
            "*=builtin:random",
            "--seed",
            "3",
            "--ticks",
            "150",
            "--isolation",
            "advisory",
        ],
    );
    out
}

fn export(run: &Path, to: &Path, more: &[&str]) -> (Option<i32>, String, Value) {
    let (run, to) = (run.to_str().expect("UTF-8"), to.to_str().expect("UTF-8"));
    let output = output(&[&["export", run, "--out", to, "--json"], more].concat());
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
    )
}

fn good(run: &Path, to: &Path, more: &[&str]) -> Value {
    let (status, errors, answer) = export(run, to, more);
    assert_eq!(status, Some(0), "{errors}");
    answer
}

fn rows(folder: &Path, table: &str) -> Vec<Value> {
    let text = std::fs::read_to_string(folder.join(format!("{table}.jsonl"))).expect("a table");
    text.lines()
        .map(|line| serde_json::from_str(line).expect("JSON"))
        .collect()
}

fn names_in(folder: &Path) -> Vec<String> {
    let mut names: Vec<String> = std::fs::read_dir(folder)
        .expect("a folder")
        .flatten()
        .map(|entry| entry.file_name().to_string_lossy().into_owned())
        .collect();
    names.sort();
    names
}

#[test]
fn outcomes_of_actions_are_those_that_agents_were_told() {
    let folder = Folder::new("export-outcomes");
    let out = played(&folder);
    let to = folder.path("tables");
    good(&out, &to, &["--to", "jsonl"]);
    // What each seat is told after each tick, by re-execution.
    let recording = Recording::open(&out).expect("a recording");
    let mut world = initial_world(&recording).expect("a world");
    let mut told: BTreeMap<(u64, String, u64), Vec<Value>> = BTreeMap::new();
    let inputs = recording.inputs(|input: TickInput| -> Result<(), ReplayError> {
        world.step(&input);
        for (index, seat) in recording.meta.seats.iter().enumerate() {
            for result in world.observe(SeatId(index as u32)).results {
                let action = u64::from(result.action.0);
                told.entry((input.tick, seat.seat.clone(), action))
                    .or_default()
                    .push(result.code.to_string().into());
            }
        }
        Ok(())
    });
    inputs.expect("inputs");
    let mut exported: BTreeMap<(u64, String, u64), Vec<Value>> = BTreeMap::new();
    for row in rows(&to, "actions") {
        if row["kind"] == "act" {
            let number = |key: &str| row[key].as_u64().expect("a number");
            let seat = row["seat"].as_str().expect("a seat").to_owned();
            exported
                .entry((number("tick"), seat, number("action_id")))
                .or_default()
                .push(row["outcome"].clone());
        }
    }
    assert_eq!(exported, told);
    let codes: std::collections::BTreeSet<&str> =
        told.values().flatten().filter_map(Value::as_str).collect();
    for code in ["ok", "cooldown", "bad-argument"] {
        assert!(codes.contains(code), "the run has no {code}: {codes:?}");
    }
    let door = "SELECT count(*) FROM notes WHERE kind = 'rejected' AND json_extract(data, '$.by') = 'door'";
    assert!(query_int(&out, door) > 50, "the door refused too");
}

#[test]
fn every_input_of_a_seat_is_one_row_and_names_are_the_scenarios() {
    let folder = Folder::new("export-inputs");
    let out = played(&folder);
    let to = folder.path("tables");
    let answer = good(&out, &to, &["--to", "jsonl", "--tables", "actions,runs"]);
    assert_eq!(names_in(&to), ["actions.jsonl", "runs.jsonl"]);
    assert_eq!(answer["lacks"], Value::Null);
    let recording = Recording::open(&out).expect("a recording");
    let mut expected = 0;
    let counted = recording.inputs(|input: TickInput| -> Result<(), ReplayError> {
        for one in input.seats {
            expected += match one.body {
                InputBody::Act(calls) => calls.len().max(1),
                InputBody::File(_) => 0,
                _ => 1,
            };
        }
        Ok(())
    });
    counted.expect("inputs");
    let rows = rows(&to, "actions");
    assert_eq!(rows.len(), expected);
    let said = rows.iter().find(|row| {
        row["action"] == "say" && row["seat"] == "harvester-1" && row["outcome"] == "ok"
    });
    let args: Value = said
        .and_then(|row| serde_json::from_str(row["args"].as_str()?).ok())
        .expect("arguments");
    assert_eq!(
        args["text"],
        format!("out of my way, \"please\",\n{}", "x".repeat(20))
    );
    let moved = rows.iter().find(|row| row["action"] == "move");
    let args = moved.expect("a move")["args"].as_str().expect("JSON text");
    assert!(args.starts_with("{\"dir\":\""), "{args}");
}

#[test]
fn files_and_leases_are_exported_while_they_are_written() {
    let folder = Folder::new("export-files");
    let run = folder.path("run");
    let _recorder = recorded(&run);
    let to = folder.path("tables");
    good(&run, &to, &["--to", "jsonl"]);
    let facts = |kind: &str| {
        query_int(
            &run,
            &format!("SELECT count(*) FROM file_facts WHERE kind {kind}"),
        ) as usize
    };
    let files = rows(&to, "files");
    assert_eq!(files.len(), facts("!= 'lease'"));
    let of = |change: &str| -> Vec<&Value> {
        files.iter().filter(|row| row["change"] == change).collect()
    };
    let refused = of("refused")[0];
    assert_eq!(
        (&refused["seat"], &refused["reason"], &refused["holder"]),
        (&"bob".into(), &"leased".into(), &"ada".into())
    );
    let deleted = of("deleted")[0];
    assert_eq!(
        (
            &deleted["path"],
            &deleted["version"],
            &deleted["input_tick"]
        ),
        (&"toc.md".into(), &3.into(), &3.into())
    );
    assert!(deleted["token"].is_u64() && deleted["hash"].is_null());
    assert_eq!(of("created")[0]["input_tick"], 0, "the scenario's own file");
    assert_eq!(files.last().expect("p.png")["input_tick"], Value::Null);
    let leases = rows(&to, "leases");
    assert_eq!(leases.len(), facts("= 'lease'"));
    assert_eq!(
        (
            &leases[0]["change"],
            &leases[0]["ttl_ms"],
            &leases[0]["scope"]
        ),
        (&"granted".into(), &60_000.into(), &"path".into())
    );
}

#[test]
fn a_run_that_goes_on_and_one_that_was_killed_are_exported() {
    let folder = Folder::new("export-live");
    let out = folder.path("run");
    let mut live = Live::start(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "restrained",
            "--seed",
            "4",
            "--ticks",
            "0",
        ],
    );
    live.until("SELECT count(*) FROM inputs", 30);
    let whole = |to: &Path, status: &str| {
        good(&out, to, &["--to", "jsonl"]);
        let run = &rows(to, "runs")[0];
        assert_eq!(run["end_reason"], Value::Null, "{status}");
        let ticks = run["ticks"].as_u64().expect("ticks");
        let actions = rows(to, "actions");
        // All tables are of one moment.
        assert_eq!(actions.last().expect("rows")["tick"], ticks, "{status}");
        let unknown = actions
            .iter()
            .filter(|row| row["kind"] == "act" && row["outcome"].is_null());
        assert!(
            unknown.clone().count() > 0,
            "{status}: nobody can know of the last tick"
        );
        assert!(
            unknown.into_iter().all(|row| row["tick"] == ticks),
            "{status}"
        );
        assert_eq!(rows(to, "seats")[0]["score"], Value::Null, "{status}");
    };
    whole(&folder.path("live"), "live");
    live.signal(nix::sys::signal::Signal::SIGKILL);
    live.wait();
    whole(&folder.path("killed"), "killed");
}

#[test]
fn a_folder_that_is_not_empty_is_left_alone_unless_forced() {
    let folder = Folder::new("export-folder");
    let run = folder.path("run");
    drop(recorded(&run));
    let to = folder.path("tables");
    folder.write("tables/notes.md", "mine");
    folder.write("tables/runs.csv", "old");
    let (status, errors, _) = export(&run, &to, &["--to", "csv"]);
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("is not empty (--force"), "{errors}");
    assert_eq!(names_in(&to), ["notes.md", "runs.csv"]);
    good(
        &run,
        &to,
        &["--to", "csv", "--force", "--tables", "runs,seats"],
    );
    assert_eq!(names_in(&to), ["notes.md", "runs.csv", "seats.csv"]);
    let table = std::fs::read_to_string(to.join("runs.csv")).expect("a table");
    assert!(table.starts_with("run,scenario,"), "{table}");

    let link = folder.path("link");
    std::os::unix::fs::symlink(&to, &link).expect("a link");
    let file = folder.write("file", "");
    let nowhere = folder.path("not/there");
    for to in [&link, &file, &nowhere] {
        let (status, errors, _) = export(&run, to, &["--to", "csv", "--force"]);
        assert_eq!(status, Some(2), "{errors}");
        assert!(errors.contains(to.to_str().expect("UTF-8")), "{errors}");
    }
    // A name that is taken by what no file can replace.
    std::fs::create_dir(to.join(".runs.csv.part")).expect("a folder");
    let (status, errors, _) = export(&run, &to, &["--to", "csv", "--force"]);
    assert_eq!(status, Some(1), "{errors}");
    assert!(
        errors.contains("cannot write") && errors.contains("runs.csv"),
        "{errors}"
    );
    let (status, errors, _) = export(&run, &folder.path("x"), &["--to", "csv", "--tables", "run"]);
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("runs, seats, ticks"), "{errors}");
}

#[test]
fn a_damaged_row_is_named_and_leaves_no_table() {
    let folder = Folder::new("export-damage");
    let out = played(&folder);
    let database = out.join("run.db");
    let original = std::fs::read(&database).expect("the recording");
    let cases = [
        (
            "UPDATE metrics SET value = 'many' WHERE tick = 7 AND name = 'apples'",
            "table metrics, row 25: column value must be float64 or null, and is \"many\"",
        ),
        (
            "UPDATE events SET seat = 99 WHERE tick = (SELECT min(tick) FROM events) AND n = 0",
            "table events, row 1: column seat must be text or null, and is 99",
        ),
        (
            "UPDATE notes SET data = '{' WHERE id = 3",
            "table notes, row 3: column data must be json",
        ),
        (
            "UPDATE inputs SET body = replace(body, 'act', 'axt') WHERE tick = 5",
            "damaged at tick 5: the input row does not fit its check value",
        ),
        ("DELETE FROM inputs WHERE tick = 9", "damaged at tick 9"),
        (
            "UPDATE ticks SET hash = x'ff' WHERE tick = 2",
            "table ticks, row 3: column hash must be text",
        ),
    ];
    for (change, words) in cases {
        std::fs::write(&database, &original).expect("the recording");
        let changed = Connection::open(&database).and_then(|db| db.execute(change, []));
        assert_eq!(changed, Ok(1), "{change}");
        for format in ["csv", "jsonl", "parquet"] {
            let to = folder.path("tables");
            let (status, errors, _) = export(&out, &to, &["--to", format]);
            assert_eq!(status, Some(3), "{change}: {errors}");
            assert!(errors.contains(words), "{change}: {errors}");
            assert!(
                errors.contains(database.to_str().expect("UTF-8")),
                "{errors}"
            );
            assert!(!to.exists(), "{change}: {:?}", names_in(&to));
        }
    }
    // The other tables can be had.
    good(
        &out,
        &folder.path("rest"),
        &["--to", "csv", "--tables", "metrics,events"],
    );
    let foreign = folder.write("foreign/run.db", "hello, this is not a database");
    let (status, errors, _) = export(&foreign, &folder.path("f"), &["--to", "csv"]);
    assert_eq!(status, Some(1), "{errors}");
    assert!(
        errors.contains("is not a Formicarium recording"),
        "{errors}"
    );
    assert!(!folder.path("f").exists());
}

#[test]
fn a_page_is_one_file_that_is_not_replaced_and_a_run_that_differs_is_not_played() {
    let folder = Folder::new("export-html");
    let out = played(&folder);
    let file = folder.path("run.html");
    let page = |more: &[&str]| {
        let run = out.to_str().expect("UTF-8");
        output(&[&["export", run, "--to", "html", "--json"], more].concat())
    };
    if !root().join("viewer/dist/index.html").is_file() {
        let errors = String::from_utf8_lossy(&page(&[]).stderr).into_owned();
        assert!(errors.contains("built without the page"), "{errors}");
        return;
    }
    let answer: Value = serde_json::from_slice(&page(&[]).stdout).expect("JSON");
    assert_eq!(
        (&answer["ticks"], &answer["file"]),
        (&150.into(), &file.to_str().into())
    );
    let text = std::fs::read_to_string(&file).expect("the page");
    assert_eq!(answer["bytes"], text.len());
    // Whatever it needs is in it.
    for address in ["src=\"./", "href=\"./", "rel=\"stylesheet\""] {
        assert!(!text.contains(address), "{address}");
    }
    let again = page(&[]);
    let errors = String::from_utf8_lossy(&again.stderr);
    assert_eq!(again.status.code(), Some(2), "{errors}");
    assert!(errors.contains("is there already (--force"), "{errors}");
    assert_eq!(page(&["--force"]).status.code(), Some(0));
    assert_eq!(
        std::fs::read_to_string(&file).expect("the page"),
        text,
        "the same run, the same bytes"
    );
    assert_eq!(page(&["--tables", "runs"]).status.code(), Some(2));

    let change = "UPDATE ticks SET hash = '00' WHERE tick = 70";
    let changed = Connection::open(out.join("run.db")).and_then(|db| db.execute(change, []));
    assert_eq!(changed, Ok(1));
    let differs = page(&["--force"]);
    let errors = String::from_utf8_lossy(&differs.stderr);
    assert_eq!(differs.status.code(), Some(3), "{errors}");
    assert!(
        errors.contains("at tick 70: it cannot be played"),
        "{errors}"
    );
    assert_eq!(
        std::fs::read_to_string(&file).expect("the page"),
        text,
        "the old one stays"
    );
    assert!(!folder.path(".run.html.part").exists());
}

#[test]
fn a_recording_of_other_rules_has_numbers_for_names() {
    let folder = Folder::new("export-semantics");
    let out = played(&folder);
    let change = "UPDATE meta SET value = json_set(value, '$.semantics', 99) WHERE key = 'run'";
    let changed = Connection::open(out.join("run.db")).and_then(|db| db.execute(change, []));
    assert_eq!(changed, Ok(1));
    let to = folder.path("tables");
    let answer = good(&out, &to, &["--to", "jsonl"]);
    let lacks = answer["lacks"].as_str().expect("words");
    assert!(lacks.contains("semantics version is 99"), "{lacks}");
    let rows = rows(&to, "actions");
    let act = rows.iter().find(|row| row["kind"] == "act").expect("rows");
    assert!(act["action"].is_null() && act["outcome"].is_null() && act["action_id"].is_u64());
    let args: Value = serde_json::from_str(act["args"].as_str().expect("text")).expect("JSON");
    assert!(args.is_array());
}

#[test]
fn the_document_lists_the_tables_as_they_are() {
    const MARK: &str = "<!-- made from src/export/tables.rs by `make bless` -->\n\n";
    let path = root().join("docs/export.md");
    let text = std::fs::read_to_string(&path).expect("the document");
    let (head, rest) = text.split_once(MARK).expect("its mark");
    let tables = formicarium::export::columns_document();
    // What people wrote after the tables begins with the next heading of its level.
    let tail = rest.find("\n## ").map_or("", |at| &rest[at + 1..]);
    if std::env::var_os("FORMICARIUM_BLESS").is_some() {
        std::fs::write(&path, format!("{head}{MARK}{tables}{tail}")).expect("the document");
        return;
    }
    assert_eq!(
        rest,
        format!("{tables}{tail}"),
        "docs/export.md: make bless"
    );
}
