//! The recording: nothing of it can be changed unseen, it survives a kill, and its documented queries work.

use std::process::Command;

use rusqlite::Connection;

use crate::host::{Folder, Live, assert_replays, query, query_int, replay, root, run};

#[test]
fn a_changed_byte_of_any_input_row_is_found_with_its_tick() {
    let folder = Folder::new("bytes");
    let out = folder.path("run");
    run(
        &out,
        &[
            "scenarios/commons",
            "--agent",
            "*=builtin:random",
            "--seed",
            "2",
            "--ticks",
            "40",
        ],
    );
    assert_replays(&out);
    let database = out.join("run.db");
    let original = std::fs::read(&database).expect("the recording");
    let mut tried = 0;
    for tick in [1, 2, 17, 39, 40] {
        let length = query_int(
            &out,
            &format!("SELECT length(CAST(body AS BLOB)) FROM inputs WHERE tick = {tick}"),
        ) as usize;
        // Every column of the row; in the body every 13th byte.
        let mut changes: Vec<String> = (0..length)
            .step_by(13)
            .map(|at| {
                format!(
                    "UPDATE inputs SET body = CAST(substr(CAST(body AS BLOB), 1, {at}) || \
                     CASE WHEN substr(CAST(body AS BLOB), {p}, 1) = x'20' THEN x'21' ELSE x'20' END || \
                     substr(CAST(body AS BLOB), {n}) AS TEXT) WHERE tick = {tick}",
                    p = at + 1,
                    n = at + 2
                )
            })
            .collect();
        changes.push(format!(
            "UPDATE inputs SET digest = '0000000000000000' WHERE tick = {tick}"
        ));
        changes.push(format!(
            "UPDATE inputs SET tick = tick + 1000 WHERE tick = {tick}"
        ));
        changes.push(format!("DELETE FROM inputs WHERE tick = {tick}"));
        for change in changes {
            std::fs::write(&database, &original).expect("the recording");
            assert_eq!(
                Connection::open(&database).and_then(|db| db.execute(&change, [])),
                Ok(1),
                "{change}"
            );
            let (status, verdict) = replay(&out);
            assert_eq!(
                (status, &verdict["verdict"]),
                (3, &"damaged".into()),
                "{change}: {verdict}"
            );
            assert_eq!(verdict["tick"], tick, "{change}: {verdict}");
            tried += 1;
        }
    }
    assert!(tried > 50, "only {tried} changes were tried");
}

#[test]
fn a_changed_hash_is_a_difference_with_tick_and_part() {
    let folder = Folder::new("hash");
    let out = folder.path("run");
    run(
        &out,
        &[
            "scenarios/commons",
            "--agent",
            "*=builtin:random",
            "--seed",
            "2",
            "--ticks",
            "20",
        ],
    );
    let database = Connection::open(out.join("run.db")).expect("the recording");
    let parts: Vec<u8> = database
        .query_row("SELECT parts FROM ticks WHERE tick = 9", [], |row| {
            row.get(0)
        })
        .expect("parts");
    let mut changed = parts.clone();
    changed[8] ^= 1;
    database
        .execute("UPDATE ticks SET parts = ?1 WHERE tick = 9", [changed])
        .expect("an update");
    drop(database);
    let (status, verdict) = replay(&out);
    assert_eq!(
        (status, &verdict["verdict"], &verdict["tick"]),
        (3, &"different".into(), &9.into()),
        "{verdict}"
    );
    let meta: serde_json::Value = serde_json::from_str(
        &crate::host::query_text(&out, "SELECT value FROM meta WHERE key = 'run'")[0],
    )
    .expect("JSON");
    assert_eq!(
        verdict["part"], meta["parts"][1],
        "the second part was changed"
    );
}

#[test]
fn a_part_of_a_run_is_replayed_from_the_nearest_keyframe() {
    let folder = Folder::new("part");
    let out = folder.path("run");
    let args = [
        "scenarios/commons",
        "--agent",
        "*=builtin:random",
        "--seed",
        "2",
        "--ticks",
        "900",
    ];
    run(&out, &args);
    let last = 900;
    let part = |more: &[&str]| {
        let all = [&["replay", out.to_str().expect("UTF-8"), "--json"], more].concat();
        let output = crate::host::output(&all);
        let verdict = serde_json::from_slice(&output.stdout).unwrap_or(serde_json::Value::Null);
        (output.status.code(), verdict)
    };
    let change = |sql: &str| {
        let changed = Connection::open(out.join("run.db")).and_then(|db| db.execute(sql, []));
        assert_eq!(changed, Ok(1), "{sql}");
    };
    let kept: Vec<i64> = query(
        &out,
        "SELECT tick FROM keyframes WHERE tick > 0 ORDER BY tick",
    )
    .into_iter()
    .filter_map(|row| match row[0] {
        rusqlite::types::Value::Integer(tick) => Some(tick),
        _ => None,
    })
    .collect();
    assert_eq!(kept.len(), 2, "{kept:?}");
    let (first, second) = (kept[0], kept[1]);
    assert!(
        first > 110 && second > first + 60 && second < last - 30,
        "{kept:?}"
    );
    let from_to =
        |from: i64, to: i64| part(&["--from", &from.to_string(), "--to", &to.to_string()]);
    let (status, verdict) = from_to(first + 44, second - 2);
    assert_eq!(
        (status, &verdict["verdict"]),
        (Some(0), &"equal".into()),
        "{verdict}"
    );
    assert_eq!(
        (&verdict["from"], &verdict["ticks"]),
        (&(first + 44).into(), &(second - 2).into()),
        "{verdict}"
    );
    // An input that only a replay from the beginning steps; the first keyframe stands for it.
    let changed = first + 44;
    change("UPDATE inputs SET digest = '0' WHERE tick = 100");
    change(&format!(
        "UPDATE ticks SET hash = '0' WHERE tick = {changed}"
    ));
    assert_eq!(
        from_to(changed + 1, last).0,
        Some(0),
        "what lies before is believed"
    );
    assert_eq!(from_to(first + 4, changed - 1).0, Some(0));
    let (status, verdict) = from_to(first, last);
    assert_eq!(
        (status, &verdict["tick"]),
        (Some(3), &changed.into()),
        "{verdict}"
    );
    let (status, verdict) = from_to(first - 1, last);
    assert_eq!(
        (status, &verdict["tick"]),
        (Some(3), &100.into()),
        "{verdict}"
    );
    change(&format!("DELETE FROM inputs WHERE tick = {}", last - 1));
    let (status, verdict) = from_to(second + 8, last - 1);
    assert_eq!(
        (status, &verdict["tick"]),
        (Some(3), &(last - 1).into()),
        "{verdict}"
    );
    assert_eq!(from_to(second + 8, last - 2).0, Some(0));
    change(&format!(
        "UPDATE keyframes SET body = x'00' WHERE tick = {second}"
    ));
    let (status, verdict) = from_to(second + 8, second + 18);
    assert_eq!(
        (status, &verdict["verdict"], &verdict["tick"]),
        (Some(3), &"damaged".into(), &second.into())
    );
    assert_eq!(part(&["--from", &(last + 1).to_string()]).0, Some(2));
    assert_eq!(part(&["--from", "9", "--to", "8"]).0, Some(2));
}

#[test]
fn a_killed_host_leaves_a_recording_that_replays() {
    let folder = Folder::new("killed");
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
    live.until("SELECT count(*) FROM inputs", 50);
    live.signal(nix::sys::signal::Signal::SIGKILL);
    live.wait();
    assert_replays(&out);
    assert!(query_int(&out, "SELECT count(*) FROM ticks") >= 50);
    assert_eq!(
        query(&out, "SELECT 1 FROM meta WHERE key = 'end'").len(),
        0,
        "a killed run has no end"
    );
}

#[test]
fn a_file_that_is_no_recording_is_refused_in_words() {
    let folder = Folder::new("foreign");
    for (name, body, words) in [
        (
            "text",
            &b"hello, this is not a database"[..],
            "is not a Formicarium recording",
        ),
        ("empty", b"", "is not a Formicarium recording"),
    ] {
        let path = folder.path(name);
        std::fs::create_dir_all(&path).expect("a folder");
        std::fs::write(path.join("run.db"), body).expect("a file");
        let output = crate::host::output(&["replay", path.to_str().expect("UTF-8")]);
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(1), "{errors}");
        assert!(errors.contains(words), "{errors}");
    }
}

#[test]
fn the_documented_queries_work_with_stock_sqlite3() {
    let folder = Folder::new("queries");
    let out = folder.path("run");
    run(
        &out,
        &[
            "scenarios/commons",
            "--cast",
            "mixed",
            "--seed",
            "1",
            "--ticks",
            "120",
        ],
    );
    let text =
        std::fs::read_to_string(root().join("docs/recording-format.md")).expect("the document");
    let queries: Vec<&str> = text
        .split("```sql")
        .skip(1)
        .filter_map(|part| part.split("```").next())
        .collect();
    assert!(queries.len() >= 5, "the document has lost its queries");
    for sql in queries {
        let output = Command::new("sqlite3")
            .arg(out.join("run.db"))
            .arg(sql)
            .output()
            .expect("sqlite3 is installed");
        assert!(
            output.status.success(),
            "{sql}: {}",
            String::from_utf8_lossy(&output.stderr)
        );
        let trouble = ["trouble", "without an apple", "no rows unless"]
            .iter()
            .any(|words| sql.contains(words));
        assert!(trouble || !output.stdout.is_empty(), "no rows: {sql}");
    }
}
