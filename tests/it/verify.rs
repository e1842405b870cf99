//! `formicarium verify`: whatever is changed in a recording is found and named; what is whole is called so.

use std::path::{Path, PathBuf};

use formicarium::recorder::reader::Recording;
use formicarium::recorder::verify::{Report, verify};
use formicarium::recorder::writer::Recorder;
use formicarium::recorder::{CostRow, Note, TranscriptRow};
use formicarium_agents::broker::ContentHash;
use formicarium_agents::workspace::history::{Change, Now};
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};
use rusqlite::types::Value;
use rusqlite::{Connection, params_from_iter};

use crate::host::{Folder, Live, output, query_int, run};

/// Changes of each column.
const CHANGES: usize = 3;

/// Runs, and goes on with the recording as a host does, so that no table is empty.
fn recorded(folder: &Folder, name: &str, args: &[&str]) -> PathBuf {
    let out = folder.path(name);
    run(&out, args);
    whole(&out);
    let end = Recording::open(&out).expect("a recording").end;
    let (recorder, _) = Recorder::reopen(&out).expect("it goes on");
    recorder.remember(1, 0, "{\"plan\":\"eat\"}".into());
    recorder.note(Note {
        tick: 2,
        seat: None,
        kind: "log",
        text: "gone on with".into(),
        data: "{\"why\":\"test\"}".into(),
    });
    for (tick, usd) in [(1, None), (2, Some(0.25))] {
        recorder.transcript(TranscriptRow {
            tick,
            seat: 0,
            kind: "text",
            text: format!("tick {tick}"),
            line: "{}".into(),
        });
        recorder.cost(CostRow {
            tick,
            seat: 0,
            source: "call",
            model: "m".into(),
            outcome: "complete",
            status: Some(200),
            input_tokens: 10,
            output_tokens: 20,
            cache_read_tokens: 30,
            cache_write_tokens: 40,
            usd,
            ms: Some(5),
        });
    }
    recorder.remember(2, 0, "{\"plan\":\"rest\"}".into());
    let file = |path: &str, before: &str, more: &str| {
        let whole = format!("{before}{more}");
        let now = Now::File {
            hash: ContentHash::of(whole.as_bytes()),
            bytes: whole.len() as u64,
            executable: false,
            base: (!before.is_empty()).then(|| ContentHash::of(before.as_bytes())),
            rest: more.into(),
        };
        let path = path.to_owned();
        Change { path, now }
    };
    let link = Change {
        path: "workspace/link".into(),
        now: Now::Link("log".into()),
    };
    let own = recorder.workspaces();
    own.put(1, 0, vec![file("workspace/log", "", "one\n"), link]);
    own.put(2, 0, vec![file("workspace/log", "one\n", "two\n")]);
    drop(own);
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    runtime
        .block_on(recorder.finish(end.expect("an end")))
        .expect("closed");
    whole(&out);
    out
}

fn whole(run: &Path) -> Report {
    let report = verify(run).expect("a recording");
    assert!(report.faults.is_empty(), "{:#?}", report.faults);
    assert!(report.hash.is_some());
    report
}

fn texts(database: &Connection, sql: &str) -> Vec<String> {
    let mut statement = database.prepare(sql).expect(sql);
    let rows = statement.query_map([], |row| row.get(0)).expect(sql);
    rows.collect::<Result<_, _>>().expect(sql)
}

/// Another value of the same type.
fn changed(value: &Value, chance: &mut ChaCha8Rng) -> Value {
    match value {
        Value::Null => match chance.random_bool(0.5) {
            true => Value::Integer(chance.random_range(0..9)),
            false => Value::Text("x".into()),
        },
        Value::Integer(number) => Value::Integer(number ^ (1 << chance.random_range(0..40))),
        // Zero has a sign that SQLite does not keep.
        Value::Real(number) => Value::Real(f64::from_bits(
            number.to_bits() ^ (1 << chance.random_range(0..52)),
        )),
        Value::Text(text) if text.is_empty() => Value::Text("x".into()),
        Value::Text(text) => {
            let mut chars: Vec<char> = text.chars().collect();
            let at = chance.random_range(0..chars.len());
            chars[at] = if chars[at] == '0' { '1' } else { '0' };
            Value::Text(chars.into_iter().collect())
        }
        Value::Blob(bytes) if bytes.is_empty() => Value::Blob(vec![0]),
        Value::Blob(bytes) => {
            let mut bytes = bytes.clone();
            let at = chance.random_range(0..bytes.len());
            bytes[at] ^= 1 << chance.random_range(0..8);
            Value::Blob(bytes)
        }
    }
}

/// Rows of a table by their primary keys: the columns of it, and a value for each.
fn keys(database: &Connection, table: &str) -> (Vec<String>, Vec<Vec<Value>>) {
    let sql = format!("SELECT name FROM pragma_table_info('{table}') WHERE pk > 0 ORDER BY pk");
    let columns = texts(database, &sql);
    let list = columns.join(", ");
    let sql = format!("SELECT {list} FROM {table} ORDER BY {list}");
    let mut statement = database.prepare(&sql).expect("a table");
    let rows = statement
        .query_map([], |row| {
            (0..columns.len()).map(|column| row.get(column)).collect()
        })
        .expect("rows");
    let rows = rows.collect::<Result<_, _>>().expect("rows");
    (columns, rows)
}

/// Does something to one row of each column of each table, again and again, and asks who notices.
fn every_value(original: &Path, folder: &Folder, seed: u64) {
    let mut chance = ChaCha8Rng::seed_from_u64(seed);
    let bytes = std::fs::read(original.join("run.db")).expect("the recording");
    let copy = folder.path("changed");
    std::fs::create_dir_all(&copy).expect("a folder");
    let file = copy.join("run.db");
    let fresh = || {
        for left in ["run.db-wal", "run.db-shm"] {
            let _ = std::fs::remove_file(copy.join(left));
        }
        std::fs::write(&file, &bytes).expect("the recording");
        Connection::open(&file).expect("the recording")
    };
    let database = Connection::open(original.join("run.db")).expect("the recording");
    let tables = texts(
        &database,
        "SELECT name FROM sqlite_master WHERE type = 'table' AND name NOT LIKE 'sqlite_%'",
    );
    assert_eq!(tables.len(), 18, "{tables:?}");
    let mut tried = 0;
    for table in &tables {
        let (key, rows) = keys(&database, table);
        if rows.is_empty() {
            assert!(
                ["contents", "file_facts"].contains(&table.as_str()),
                "{table} is empty"
            );
            continue;
        }
        let place: Vec<String> = key.iter().map(|column| format!("{column} = ?")).collect();
        let place = place.join(" AND ");
        let noticed = |what: &str| {
            let report = verify(&copy).expect("still a recording");
            let tables: Vec<&str> = report
                .faults
                .iter()
                .map(|fault| fault.table.as_str())
                .collect();
            assert!(
                tables.contains(&table.as_str()),
                "seed {seed}: {what}: {:#?}",
                report.faults
            );
        };
        let columns = format!("SELECT name FROM pragma_table_info('{table}')");
        for column in texts(&database, &columns) {
            let mut done = 0;
            for _ in 0..100 {
                let row = &rows[chance.random_range(0..rows.len())];
                let of = format!("SELECT {column} FROM {table} WHERE {place}");
                let database = fresh();
                let was: Value = database
                    .query_row(&of, params_from_iter(row), |row| row.get(0))
                    .expect("a row");
                let is = changed(&was, &mut chance);
                let mut values = vec![is.clone()];
                values.extend(row.iter().cloned());
                let update = format!("UPDATE {table} SET {column} = ? WHERE {place}");
                match database.execute(&update, params_from_iter(values)) {
                    Ok(count) => assert_eq!(count, 1),
                    // Another row has that key.
                    Err(_) => continue,
                }
                drop(database);
                noticed(&format!("{table}.{column} of {row:?}: {was:?} -> {is:?}"));
                done += 1;
                if done == CHANGES {
                    break;
                }
            }
            assert_eq!(
                done, CHANGES,
                "{table}.{column} was not changed often enough"
            );
            tried += done;
        }
        let row = &rows[chance.random_range(0..rows.len())];
        let delete = format!("DELETE FROM {table} WHERE {place}");
        let database = fresh();
        assert_eq!(database.execute(&delete, params_from_iter(row)), Ok(1));
        drop(database);
        // Of a chain that lacks its end the rows that it covered are what is told of.
        if table != "chain" || Some(row) != rows.last() {
            noticed(&format!("{table}: {row:?} deleted"));
        } else {
            assert!(!verify(&copy).expect("a recording").faults.is_empty());
        }
    }
    assert!(tried >= 150, "only {tried} changes");
    println!("{tried} changes with seed {seed}");
}

#[test]
fn any_changed_value_of_a_run_of_commons_is_found_with_its_table() {
    let folder = Folder::new("verify-commons");
    let args = [
        "scenarios/commons",
        "--cast",
        "mixed",
        "--seed",
        "3",
        "--ticks",
        "70",
    ];
    every_value(&recorded(&folder, "run", &args), &folder, 1);
}

#[test]
fn any_changed_value_of_a_run_of_the_workshop_is_found_with_its_table() {
    let folder = Folder::new("verify-workshop");
    let out = recorded(&folder, "run", &["scenarios/workshop", "--seed", "3"]);
    assert!(whole(&out).facts > 10);
    every_value(&out, &folder, 2);
}

#[test]
fn what_is_changed_in_the_folder_of_the_shared_tree_is_found() {
    let folder = Folder::new("verify-shared");
    let out = folder.path("run");
    run(&out, &["scenarios/workshop", "--seed", "4", "--ticks", "6"]);
    whole(&out);
    let toc = out.join("shared/toc.md");
    let text = std::fs::read_to_string(&toc).expect("the table of contents");
    let fault = |what: &str| {
        let faults = verify(&out).expect("a recording").faults;
        assert!(
            matches!(&faults[..], [fault] if fault.table == "shared" && fault.why.contains(what)),
            "{faults:?}"
        );
    };
    std::fs::write(&toc, format!("{text} ")).expect("written");
    fault("stands there, not that of @");
    std::fs::remove_file(&toc).expect("removed");
    fault("is missing");
    std::os::unix::fs::symlink("/dev/null", &toc).expect("a link");
    fault("a link");
    std::fs::remove_file(&toc).expect("removed");
    std::fs::write(&toc, &text).expect("written");
    whole(&out);
    std::fs::write(out.join("shared/stray"), "").expect("written");
    fault("is no version");
}

#[test]
fn a_killed_host_leaves_a_recording_that_is_good_and_its_chain_goes_on() {
    let folder = Folder::new("verify-killed");
    let out = folder.path("run");
    let args = [
        "scenarios/commons",
        "--cast",
        "restrained",
        "--seed",
        "4",
        "--ticks",
        "0",
    ];
    let mut live = Live::start(&out, &args);
    live.until("SELECT count(*) FROM inputs", 80);
    // While it goes on, too.
    whole(&out);
    live.signal(nix::sys::signal::Signal::SIGKILL);
    live.wait();
    let report = whole(&out);
    assert!(!report.ended && report.ticks >= 80, "{report:?}");
    let before = report.chain.expect("a chain");
    assert!(before.blocks >= 3, "{before:?}");
    let inputs = "SELECT count(*) FROM inputs WHERE tick > (SELECT max(tick) FROM chain)";
    assert!(query_int(&out, inputs) < 32);

    // A host that goes on closes a block at once: with it all that was open.
    let (recorder, meta) = Recorder::reopen(&out).expect("it goes on");
    recorder.go_on(meta);
    drop(recorder);
    let blocks = before.blocks as i64 + 1;
    crate::host::wait_for("the writer's end", || {
        query_int(&out, "SELECT count(*) FROM chain") == blocks
    });
    let after = whole(&out).chain.expect("a chain");
    assert_eq!((after.blocks, after.open), (before.blocks + 1, 0));

    // The last block of a run without an end may be missing, but not two.
    let database = Connection::open(out.join("run.db")).expect("the recording");
    let last = "DELETE FROM chain WHERE block >= (SELECT max(block) - 1 FROM chain)";
    assert_eq!(database.execute(last, []), Ok(2));
    drop(database);
    let faults = verify(&out).expect("a recording").faults;
    assert!(
        faults.iter().any(|fault| fault.table == "chain"),
        "{faults:?}"
    );
}

#[test]
fn a_run_that_goes_on_after_its_end_says_that_the_end_is_gone() {
    let folder = Folder::new("verify-goes-on");
    let out = folder.path("run");
    let args = [
        "scenarios/commons",
        "--agent",
        "*=builtin:noop",
        "--ticks",
        "5",
    ];
    run(&out, &args);
    let database = Connection::open(out.join("run.db")).expect("the recording");
    let gone = "DELETE FROM meta WHERE key = 'end'; DELETE FROM scores";
    database.execute_batch(gone).expect("gone");
    let faults = verify(&out).expect("a recording").faults;
    let tables: Vec<&str> = faults.iter().map(|fault| fault.table.as_str()).collect();
    assert_eq!(tables.iter().filter(|table| **table == "meta").count(), 1);
    assert_eq!(tables.iter().filter(|table| **table == "scores").count(), 8);
    // Who goes on with it has to remove the end; whoever else does so is found out.
    let (recorder, _) = Recorder::reopen(&out).expect("it goes on");
    let report = whole(&out);
    assert_eq!((report.ended, report.ticks), (false, 5));
    drop(recorder);
}

#[test]
fn the_command_tells_every_fault_and_exits_for_ci() {
    let folder = Folder::new("verify-command");
    let out = folder.path("run");
    let args = [
        "scenarios/commons",
        "--agent",
        "*=builtin:random",
        "--ticks",
        "40",
        "--seed",
        "2",
    ];
    run(&out, &args);
    let told = |more: &[&str]| {
        let output = output(&[&["verify", out.to_str().expect("UTF-8")], more].concat());
        let text = String::from_utf8_lossy(&output.stdout).into_owned();
        (output.status.code(), text)
    };
    let (status, text) = told(&[]);
    assert_eq!(status, Some(0));
    assert!(text.starts_with("good: 40 ticks, hash "), "{text}");
    let database = Connection::open(out.join("run.db")).expect("the recording");
    let change = "UPDATE metrics SET value = value + 1 WHERE tick = 7 AND name = 'apples'; \
                  UPDATE ticks SET step_us = step_us + 1 WHERE tick = 35; \
                  UPDATE seats SET agent = 'another' WHERE seat = 2;";
    database.execute_batch(change).expect("changed");
    drop(database);
    let (status, text) = told(&["--json"]);
    assert_eq!(status, Some(3));
    let report: serde_json::Value = serde_json::from_str(&text).expect("JSON");
    assert_eq!(report["verdict"], "damaged");
    let faults = report["faults"].as_array().expect("faults");
    let has = |table: &str, tick: Option<u64>, row: &str| {
        faults.iter().any(|fault| {
            fault["table"] == table
                && fault["tick"].as_u64() == tick
                && fault["row"]
                    .as_str()
                    .is_some_and(|found| found.contains(row))
        })
    };
    // Where the world can tell, to the row; else to the block and the rows in it.
    assert!(has("metrics", Some(7), "row 1 of the tick"), "{text}");
    assert!(
        has("ticks", Some(40), "tick 32 to 40") || has("ticks", Some(40), "tick 33 to 40"),
        "{text}"
    );
    assert!(has("seats", None, "seat 2"), "{text}");
    let (status, text) = told(&[]);
    assert_eq!(status, Some(3));
    assert!(text.contains("TABLE") && text.contains("metrics"), "{text}");
    let nowhere = output(&["verify", "/nowhere/run"]);
    assert_eq!(nowhere.status.code(), Some(1));
}
