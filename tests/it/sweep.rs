//! `formicarium sweep`: every run of a grid, whatever stops it on the way, in one table; and the picture of it.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::process::{Child, Stdio};

use formicarium::run::lock::RunLock;
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;
use serde_json::Value;

use crate::host::{
    Folder, copy, formicarium, output, processes_with, query, query_int, root, wait_for,
};

const RANDOM: &str =
    "format = 1\nname = \"random\"\n[[seat]]\nmatch = \"*\"\nagent = \"builtin:random\"\n";
const NOOP: &str =
    "format = 1\nname = \"noop\"\n[[seat]]\nmatch = \"*\"\nagent = \"builtin:noop\"\n";
const GONE: &str = "format = 1\nname = \"gone\"\n[[seat]]\nmatch = \"*\"\nagent = \"process\"\ncommand = \"no-such-program\"\n";

/// The commons with casts that need no processes, and one whose program is not there.
fn scenario(name: &str) -> Folder {
    let folder = Folder::new(name);
    copy(&root().join("scenarios/commons"), &folder.path("field"));
    for (name, text) in [("random", RANDOM), ("noop", NOOP), ("gone", GONE)] {
        folder.write(&format!("field/casts/{name}.toml"), text);
    }
    folder
}

const HEAD: &str =
    "format = 1\nscenario = \"./field\"\ndeadline = \"60s\"\nisolation = \"advisory\"\n";

fn write(folder: &Folder, text: &str) -> PathBuf {
    folder.write("s.toml", &format!("{HEAD}{text}"))
}

/// Status, standard error, and what was printed as JSON.
fn sweep(file: &Path, out: &Path) -> (Option<i32>, String, Value) {
    let (file, out) = (file.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let output = output(&["sweep", file, "--out", out, "--json"]);
    (
        output.status.code(),
        String::from_utf8_lossy(&output.stderr).into_owned(),
        serde_json::from_slice(&output.stdout).unwrap_or_default(),
    )
}

fn good(file: &Path, out: &Path) -> Value {
    let (status, errors, answer) = sweep(file, out);
    assert_eq!(status, Some(0), "{errors}");
    answer
}

fn rows(out: &Path) -> Vec<BTreeMap<String, Field>> {
    let file = std::fs::File::open(out.join("sweep.parquet")).expect("a table");
    let reader = SerializedFileReader::new(file).expect("Parquet");
    let rows = reader.get_row_iter(None).expect("rows");
    rows.map(|row| row.expect("a row").into_columns().into_iter().collect())
        .collect()
}

fn text<'a>(row: &'a BTreeMap<String, Field>, column: &str) -> &'a str {
    match &row[column] {
        Field::Str(text) => text,
        other => panic!("{column} is {other:?}"),
    }
}

/// The rows without what differs between two runs of the same inputs.
fn timeless(out: &Path) -> Vec<BTreeMap<String, Field>> {
    let mut rows = rows(out);
    for row in &mut rows {
        assert!(row.remove("run").is_some() && row.remove("seconds").is_some());
    }
    rows
}

#[test]
fn a_broken_sweep_is_told_with_its_place_before_anything_runs() {
    let folder = scenario("sweep-broken");
    // Room for a few.
    folder.write("field/map.txt", "....A\n.....\n.....\n");
    let out = folder.path("out");
    let one = "ticks = 5\nseeds = [1]\ncast = \"noop\"\n";
    let cases = [
        (
            "ticks = 5\nseeds = [1]\ncast = \"nop\"\n".to_owned(),
            "s.toml:7:8",
            "did you mean `noop`?",
        ),
        (
            format!("{one}[grid]\nvieww = [1]\n"),
            "s.toml:9:1",
            "did you mean `view`?",
        ),
        (
            format!("{one}[grid]\nview = [3, 99]\n"),
            "s.toml:9:12",
            "a whole number from 1 to 15",
        ),
        (
            format!("{one}[grid]\nview = [3, 3]\n"),
            "s.toml:9:12",
            "stands here twice",
        ),
        (
            format!("{one}[grid]\nview = {{ from = 1, to = 9, step = 0 }}\n"),
            "s.toml:9:8",
            "a step that leads",
        ),
        (
            format!("{one}[grid]\nview = {{ from = 14, to = 18, step = 1 }}\n"),
            "s.toml:9:8",
            "from 1 to 15",
        ),
        (
            format!("{one}[set]\nview = 3\n[grid]\nview = [4]\n"),
            "s.toml:11:1",
            "stands in [set] too",
        ),
        (
            format!("{one}[set]\ninterview = \"perhaps\"\n"),
            "s.toml:9:13",
            "true or false",
        ),
        (
            format!("{one}seedz = 4\n"),
            "s.toml:8:1",
            "did you mean `seeds`?",
        ),
        (
            "ticks = 5\nseeds = []\ncast = \"noop\"\n".to_owned(),
            "s.toml:6:9",
            "`seeds` is empty",
        ),
        (
            format!("{one}[grid]\nharvesters = [1, 400]\n"),
            "the scenario with harvesters = 400 is broken",
            "scenario.toml:",
        ),
    ];
    for (case, place, words) in cases {
        let (status, errors, _) = sweep(&write(&folder, &case), &out);
        assert_eq!(status, Some(2), "{case}\n{errors}");
        assert!(
            errors.contains(place) && errors.contains(words),
            "{place}, {words} in:\n{case}\n{errors}"
        );
        assert!(!out.exists(), "{case}");
    }
}

#[test]
fn every_cell_is_run_once_and_the_table_is_what_the_recordings_say() {
    let folder = scenario("sweep-table");
    let out = folder.path("out");
    let text_of = |values: &str| {
        format!(
            "ticks = 30\ncast = [\"random\", \"noop\"]\nseeds = {{ first = 3, count = 2 }}\n[set]\nview = 4\n[grid]\nharvesters = {values}\n"
        )
    };
    let file = write(&folder, &text_of("[2, 5]"));
    let answer = good(&file, &out);
    assert_eq!(
        (&answer["runs"], &answer["ended"], &answer["left"]),
        (&8.into(), &8.into(), &0.into())
    );
    let mut cells: Vec<String> = Vec::new();
    let table = rows(&out);
    for row in &table {
        let cell = text(row, "cell").to_owned();
        let run = out.join("runs").join(&cell);
        let last = |sql: &str| query(&run, sql).remove(0).remove(0);
        let name = text(row, "name");
        let sql = match text(row, "measure") {
            "score" => format!(
                "SELECT c.score FROM scores c JOIN seats s USING (seat) WHERE s.name = '{name}'"
            ),
            _ => format!(
                "SELECT value FROM metrics WHERE name = '{name}' ORDER BY tick DESC LIMIT 1"
            ),
        };
        let recorded = match last(&sql) {
            rusqlite::types::Value::Real(number) => Field::Double(number),
            _ => Field::Null,
        };
        assert_eq!(row["value"], recorded, "{cell} {name}");
        let Field::Long(seats) = row["param_harvesters"] else {
            panic!("{row:?}")
        };
        let Field::ULong(seed) = row["seed"] else {
            panic!("{row:?}")
        };
        assert_eq!(
            cell,
            format!("{},harvesters={seats},seed={seed}", text(row, "cast"))
        );
        assert_eq!(query_int(&run, "SELECT count(*) FROM seats"), seats);
        assert_eq!(
            (&row["param_view"], &row["ticks"]),
            (&Field::Long(4), &Field::Long(30))
        );
        if cells.last() != Some(&cell) {
            let printed = output(&["fingerprint", run.to_str().expect("UTF-8")]).stdout;
            assert!(String::from_utf8_lossy(&printed).contains(text(row, "fingerprint")));
            cells.push(cell);
        }
    }
    assert_eq!(cells.len(), 8);
    // Four metrics, and the seats' scores.
    assert_eq!(table.len(), 8 * 4 + 4 * (2 + 5));

    // One sweep at a time.
    let held = RunLock::take(&out).expect("free");
    let (status, errors, _) = sweep(&file, &out);
    assert_eq!(status, Some(1), "{errors}");
    assert!(errors.contains("another host is at it"), "{errors}");
    drop(held);

    // A wider grid runs what is new; what it ran before stays.
    let began = |cell: &str| {
        std::fs::metadata(out.join("runs").join(cell).join("run.db")).and_then(|of| of.modified())
    };
    let before = began(&cells[0]).expect("a recording");
    let answer = good(&write(&folder, &text_of("[2, 5, 6]")), &out);
    assert_eq!(
        (&answer["runs"], &answer["ended_before"]),
        (&12.into(), &8.into())
    );
    assert_eq!(began(&cells[0]).expect("a recording"), before);

    // The same cells of another scenario, or with other fixed parameters, are not taken for these.
    let other = text_of("[2, 5]").replace("view = 4", "view = 3");
    let (status, errors, _) = sweep(&write(&folder, &other), &out);
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("of its parameters it has"), "{errors}");
    let file = write(&folder, &text_of("[2, 5]"));
    folder.write("field/README.md", "another story");
    let (status, errors, _) = sweep(&file, &out);
    assert_eq!(status, Some(2), "{errors}");
    assert!(errors.contains("scenario's digest"), "{errors}");
}

fn start(file: &Path, out: &Path) -> Child {
    let (file, out) = (file.to_str().expect("UTF-8"), out.to_str().expect("UTF-8"));
    let mut command = formicarium(&["sweep", file, "--out", out]);
    command.stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a sweep")
}

/// Runs of whose recording a query tells that it is so; a recording that is being made has no tables yet.
fn those(out: &Path, sql: &str) -> usize {
    let runs = std::fs::read_dir(out.join("runs"))
        .into_iter()
        .flatten()
        .flatten();
    let is_so = |run: PathBuf| {
        let flags = rusqlite::OpenFlags::SQLITE_OPEN_READ_ONLY;
        let connection = rusqlite::Connection::open_with_flags(run.join("run.db"), flags);
        connection.is_ok_and(|of| {
            of.query_row(sql, [], |row| row.get(0))
                .is_ok_and(|so: bool| so)
        })
    };
    runs.filter(|entry| is_so(entry.path())).count()
}

const BEGUN: &str = "SELECT max(tick) >= 20 FROM ticks";
const ENDED: &str =
    "SELECT count(*) > 0 FROM meta WHERE key = 'end' AND value NOT LIKE '%interrupted%'";

#[test]
fn a_sweep_that_is_stopped_and_killed_comes_to_the_same_table() {
    let folder = scenario("sweep-killed");
    let text = "jobs = 2\nticks = 1200\ncast = \"random\"\nseeds = { count = 6 }\n[grid]\nharvesters = [3, 6]\n";
    let file = write(&folder, text);
    let (whole, cut) = (folder.path("whole"), folder.path("cut"));
    good(&file, &whole);

    // The last run waits for its folder as long as this is held: no sweep comes to its end before it is stopped.
    let last = cut.join("runs/random,harvesters=6,seed=6");
    std::fs::create_dir_all(&last).expect("a folder");
    let held = RunLock::take(&last).expect("free");
    for (signal, runs) in [
        (Signal::SIGINT, 1),
        (Signal::SIGKILL, 2),
        (Signal::SIGKILL, 3),
    ] {
        let mut child = start(&file, &cut);
        wait_for("runs that have begun", || those(&cut, BEGUN) >= runs);
        kill(Pid::from_raw(child.id() as i32), signal).expect("our own child");
        let status = child.wait().expect("our own child");
        assert!(!status.success(), "it was stopped in the middle");
        assert!(those(&cut, ENDED) < 12, "it was stopped in the middle");
    }
    drop(held);
    // Runs go with their sweep, also if it could not tell them.
    let word = cut.to_str().expect("UTF-8").to_owned();
    wait_for("the end of all runs", || processes_with(&word).is_empty());
    let answer = good(&file, &cut);
    assert_eq!(
        (&answer["runs"], &answer["ended"]),
        (&12.into(), &12.into())
    );
    assert_eq!(timeless(&cut), timeless(&whole));
    assert!(
        std::fs::read_dir(cut.join("runs"))
            .expect("runs")
            .flatten()
            .all(|entry| entry.path().is_dir())
    );
}

#[test]
fn what_fails_is_a_row_with_its_last_words_and_the_others_run() {
    let folder = scenario("sweep-failed");
    let out = folder.path("out");
    let file = write(
        &folder,
        "ticks = 10\ncast = [\"gone\", \"noop\"]\nseeds = [1]\n",
    );
    for _ in 0..2 {
        let (status, errors, answer) = sweep(&file, &out);
        assert_eq!(status, Some(1), "{errors}");
        assert_eq!(answer["ended"], 1);
        assert_eq!(answer["failed"][0]["cell"], "gone,seed=1");
        assert!(
            errors.contains("failed: gone,seed=1: every agent has left after 0 ticks"),
            "{errors}"
        );
        let rows = rows(&out);
        let failed: Vec<_> = rows
            .iter()
            .filter(|row| text(row, "status") == "failed")
            .collect();
        assert_eq!(failed.len(), 1);
        assert!(
            text(failed[0], "error").contains("no-such-program"),
            "{failed:?}"
        );
        assert_eq!(failed[0]["value"], Field::Null);
        assert!(rows.iter().any(|row| text(row, "status") == "ended"));
    }
    // A host that fails before it has a recording is tried again.
    let blocked = folder.path("blocked");
    std::fs::create_dir_all(blocked.join("runs/noop,seed=1/run.db")).expect("a folder in the way");
    let file = write(&folder, "ticks = 10\ncast = \"noop\"\nseeds = [1, 2]\n");
    let (status, errors, _) = sweep(&file, &blocked);
    assert_eq!(status, Some(1), "{errors}");
    std::fs::remove_dir(blocked.join("runs/noop,seed=1/run.db")).expect("removed");
    good(&file, &blocked);
}

#[test]
fn a_plot_has_the_means_and_their_confidence() {
    let folder = scenario("sweep-plot");
    let out = folder.path("out");
    let file = write(
        &folder,
        "ticks = 60\ncast = [\"random\", \"noop\"]\nseeds = [1, 2, 3]\n[grid]\nharvesters = [2, 10, 30]\n",
    );
    good(&file, &out);
    let dir = out.to_str().expect("UTF-8");
    let to = folder.path("plot.svg");
    let plot = |args: &[&str]| {
        let fixed = [
            "sweep",
            "plot",
            dir,
            "--to",
            to.to_str().expect("UTF-8"),
            "--json",
        ];
        output(&[&fixed, args].concat())
    };
    let printed = plot(&["--x", "harvesters", "--y", "harvested", "--by", "cast"]);
    let printed: Value = serde_json::from_slice(&printed.stdout).expect("JSON");
    let means = printed["means"].as_array().expect("means");
    assert_eq!(means.len(), 6);
    for mean in means {
        let (by, x) = (
            mean["by"].as_str().expect("a cast"),
            mean["x"].as_str().expect("a number"),
        );
        // From the recordings, by another formula for the variance, with t of two degrees of freedom as tables print it.
        let eaten = |seed: u64| {
            let run = out
                .join("runs")
                .join(format!("{by},harvesters={x},seed={seed}"));
            query_int(&run, "SELECT cast(total(score) AS INTEGER) FROM scores") as f64
        };
        let values = [eaten(1), eaten(2), eaten(3)];
        let average = values.iter().sum::<f64>() / 3.0;
        let squares = values.iter().map(|value| value * value).sum::<f64>();
        let half = 4.302_652_73 * ((squares - 3.0 * average * average).max(0.0) / 2.0).sqrt()
            / 3.0_f64.sqrt();
        let close =
            |found: &Value, value: f64| (found.as_f64().expect("a number") - value).abs() < 1e-6;
        assert!(
            close(&mean["mean"], average) && close(&mean["half"], half),
            "{mean} for {values:?}"
        );
        assert_eq!(mean["n"], 3);
    }
    // Two lines of three points, over a straight scale: 2, 10 and 30 stand as far apart as the numbers.
    let svg = std::fs::read_to_string(&to).expect("a picture");
    let lines: Vec<Vec<f64>> = svg
        .lines()
        .filter(|line| line.starts_with("<polyline"))
        .map(|line| {
            let points = line
                .split("points=\"")
                .nth(1)
                .expect("points")
                .split('"')
                .next()
                .expect("points");
            points
                .split(' ')
                .map(|point| {
                    point
                        .split(',')
                        .next()
                        .expect("x")
                        .parse()
                        .expect("a number")
                })
                .collect()
        })
        .collect();
    assert_eq!(lines.len(), 2);
    for line in lines {
        assert!(
            (2.5 * (line[1] - line[0]) - (line[2] - line[1])).abs() < 0.5,
            "{line:?}"
        );
    }
    assert_eq!(svg.matches("<polygon class=\"band").count(), 2);
    assert!(
        svg.contains(">harvested (apples)<")
            && svg.contains(">random<")
            && svg.contains("prefers-color-scheme:dark")
    );

    let refused = |args: &[&str], words: &str| {
        let output = plot(args);
        let errors = String::from_utf8_lossy(&output.stderr).into_owned();
        assert_eq!(output.status.code(), Some(2), "{errors}");
        assert!(errors.contains(words), "{errors}");
    };
    refused(
        &["--x", "harvester", "--y", "harvested"],
        "did you mean `harvesters`?",
    );
    refused(
        &["--x", "harvesters", "--y", "harvests"],
        "did you mean `harvested`?",
    );
    // Words along x: a whisker each and no line.
    assert!(plot(&["--x", "cast", "--y", "score"]).status.success());
    let svg = std::fs::read_to_string(&to).expect("a picture");
    assert_eq!(
        (
            svg.matches("<polyline").count(),
            svg.matches("whisker s0").count()
        ),
        (0, 2)
    );
    assert!(svg.contains("over all values of harvesters"));
}
