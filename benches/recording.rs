//! What does a recording cost while it is made, and what does it take to read it again?
//!
//! `long`: a run of 100,000 ticks of commons with eight builtin agents: seeking to random ticks, verify, and the size of the
//! sealed file against its inputs and events alone. `cost`: a lockstep round with processes, recording off against
//! `process` and `power`, in turns. Off: this program as the host, whose recorder acknowledges and writes nothing.
//!
//! `cargo bench --bench recording [-- long|cost] [--ticks N]`; other programs from FORMICARIUM_BIN's folder.

mod field;

use std::fs;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};
use std::process::{Command, ExitCode, Stdio};
use std::time::{Duration, Instant};

use formicarium::recorder::reader::Recording;
use formicarium::recorder::replay::replay;
use formicarium::recorder::seal::seal;
use formicarium::recorder::seek::world_at;
use formicarium::recorder::verify::verify;
use formicarium::recorder::writer::write_nothing;
use rusqlite::Connection;

/// Set for the copy of this program that is the host.
const AS_HOST: &str = "FORMICARIUM_BENCH_HOST";
/// Random ticks that are sought.
const SEEKS: u64 = 500;
/// Times that the variants of a recording take turns.
const PAIRS: usize = 7;

fn main() -> ExitCode {
    if let Ok(how) = std::env::var(AS_HOST) {
        if how == "off" {
            write_nothing();
        }
        return formicarium::cli::main();
    }
    let words: Vec<String> = std::env::args().skip(1).collect();
    let ticks = words
        .iter()
        .position(|word| word == "--ticks")
        .and_then(|at| words.get(at + 1)?.parse().ok())
        .unwrap_or(100_000);
    let asked = |part: &str| {
        let named = |part: &str| words.iter().any(|word| word == part);
        named(part) || !(named("long") || named("cost"))
    };
    if asked("long") {
        long(ticks);
    }
    if asked("cost") {
        cost();
    }
    ExitCode::SUCCESS
}

fn host() -> PathBuf {
    std::env::var_os("FORMICARIUM_BIN").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("target/release/formicarium"),
        PathBuf::from,
    )
}

fn fresh(name: &str) -> PathBuf {
    let out = std::env::temp_dir().join(format!("formicarium-bench-{}-{name}", std::process::id()));
    let _ = fs::remove_dir_all(&out);
    out
}

fn done(command: &mut Command) {
    let done = command.stdin(Stdio::null()).output().expect("it starts");
    let words = String::from_utf8_lossy(&done.stderr);
    assert!(done.status.success(), "{command:?}: {words}");
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

/// Middle, 99 of 100, and worst.
fn spread(mut times: Vec<Duration>) -> String {
    times.sort();
    let at = |share: usize| ms(times[(times.len() - 1) * share / 100]);
    format!(
        "p50 {:.1} ms, p99 {:.1} ms, worst {:.1} ms",
        at(50),
        at(99),
        at(100)
    )
}

/// The same ticks each time, all over the run.
fn random_ticks(ticks: u64) -> impl Iterator<Item = u64> {
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    std::iter::repeat_with(move || {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        state % (ticks + 1)
    })
}

fn long(ticks: u64) {
    let out = fresh("long");
    let to = out.to_str().expect("UTF-8").to_owned();
    let begin = Instant::now();
    let last = ticks.to_string();
    done(
        Command::new(host())
            .args([
                "run",
                "commons",
                "--agent",
                "*=builtin:random",
                "--seed",
                "1",
            ])
            .args(["--headless", "--ticks", &last, "--out", &to]),
    );
    let bytes = fs::metadata(out.join("run.db")).expect("a recording").len();
    println!(
        "{ticks} ticks of commons, 8 seats: recorded in {:.1} s, run.db {:.1} MB",
        begin.elapsed().as_secs_f64(),
        bytes as f64 / 1e6
    );
    seeks(&out, ticks, "a run");

    let fork = fresh("long-fork");
    let at = (ticks * 9 / 10).to_string();
    let begin = Instant::now();
    done(
        Command::new(host())
            .args([
                "fork",
                &to,
                "--at",
                &at,
                "--headless",
                "--ticks",
                &last,
                "--out",
            ])
            .arg(&fork),
    );
    let bytes = fs::metadata(fork.join("run.db"))
        .expect("a recording")
        .len();
    println!(
        "a fork at {at} that goes on to {ticks}: {:.1} s, run.db {:.1} MB",
        begin.elapsed().as_secs_f64(),
        bytes as f64 / 1e6
    );
    seeks(&fork, ticks, "a fork");
    let _ = fs::remove_dir_all(&fork);

    for _ in 0..3 {
        let begin = Instant::now();
        let report = verify(&out).expect("a recording");
        assert_eq!(report.faults, []);
        let whole = begin.elapsed();
        let begin = Instant::now();
        replay(&out, |_| {}).expect("it replays");
        let replayed = begin.elapsed();
        println!(
            "verify: {:.0} ticks/s ({:.2} s); replay, which compares hashes alone: {:.0} ticks/s",
            ticks as f64 / whole.as_secs_f64(),
            whole.as_secs_f64(),
            ticks as f64 / replayed.as_secs_f64()
        );
    }
    sizes(&out);
    let _ = fs::remove_dir_all(&out);
}

fn seeks(run: &Path, ticks: u64, name: &str) {
    let mut times = Vec::new();
    for tick in random_ticks(ticks).take(SEEKS as usize) {
        let begin = Instant::now();
        let recording = Recording::open(run).expect("a recording");
        let (world, _) = world_at(&recording, tick, tick).expect("a world");
        times.push(begin.elapsed());
        assert_eq!(world.tick(), tick);
    }
    println!(
        "seek in {name}, opening it each time, {SEEKS} random ticks: {}",
        spread(times)
    );
    let mut times = Vec::new();
    for tick in random_ticks(ticks).take(SEEKS as usize / 5) {
        let tick = tick.to_string();
        let begin = Instant::now();
        done(
            Command::new(host())
                .arg("replay")
                .arg(run)
                .args(["--from", &tick, "--to", &tick]),
        );
        times.push(begin.elapsed());
    }
    println!(
        "the same by `formicarium replay --from T --to T`: {}",
        spread(times)
    );
}

fn pack(bytes: &[u8]) -> u64 {
    let mut encoder = zstd::Encoder::new(Vec::new(), 19).expect("zstd");
    encoder.window_log(27).expect("a window");
    encoder.long_distance_matching(true).expect("zstd");
    std::io::Write::write_all(&mut encoder, bytes).expect("packed");
    encoder.finish().expect("packed").len() as u64
}

/// The values of a column, one behind the other.
fn column(database: &Connection, sql: &str) -> Vec<u8> {
    let mut statement = database.prepare(sql).expect("a query");
    let mut rows = statement.query([]).expect("rows");
    let mut all = Vec::new();
    while let Some(row) = rows.next().expect("a row") {
        match row.get_ref(0).expect("a value") {
            rusqlite::types::ValueRef::Text(text) => all.extend_from_slice(text),
            rusqlite::types::ValueRef::Integer(number) => all.extend(number.to_string().bytes()),
            rusqlite::types::ValueRef::Real(number) => all.extend(number.to_string().bytes()),
            rusqlite::types::ValueRef::Blob(blob) => all.extend_from_slice(blob),
            rusqlite::types::ValueRef::Null => {}
        }
        all.push(b'\n');
    }
    all
}

/// The sealed file against its inputs and events alone.
fn sizes(run: &Path) {
    let begin = Instant::now();
    let sealed = seal(run).expect("sealed");
    println!(
        "sealed in {:.1} s: {:.2} MB of {:.1} MB",
        begin.elapsed().as_secs_f64(),
        sealed.sealed_bytes as f64 / 1e6,
        sealed.open_bytes as f64 / 1e6
    );
    let begin = Instant::now();
    let recording = Recording::open(run).expect("it opens");
    println!("opening it: {:.0} ms", ms(begin.elapsed()));
    let bare = fresh("bare.db");
    recording
        .connection()
        .execute("VACUUM main INTO ?1", [bare.to_str().expect("UTF-8")])
        .expect("a copy");
    let database = Connection::open(&bare).expect("a copy");
    let plain = |table: &str, columns: &[&str]| -> u64 {
        let packed = columns.iter().map(|name| {
            pack(&column(
                &database,
                &format!("SELECT {name} FROM {table} ORDER BY 1"),
            ))
        });
        packed.sum()
    };
    let inputs = pack(&column(&database, "SELECT body FROM inputs ORDER BY tick"));
    let events = pack(&column(
        &database,
        "SELECT concat_ws('|', tick, n, name, seat, other, x, y, text, data) FROM events ORDER BY tick, n",
    ));
    println!(
        "alone, packed the same way: inputs {:.2} MB, events {:.2} MB; ticks.at_us and step_us {:.2} MB, metrics {:.2} MB, notes {:.2} MB",
        inputs as f64 / 1e6,
        events as f64 / 1e6,
        plain("ticks", &["at_us", "step_us"]) as f64 / 1e6,
        pack(&column(
            &database,
            "SELECT concat_ws('|', tick, name, value) FROM metrics ORDER BY tick, name"
        )) as f64
            / 1e6,
        pack(&column(
            &database,
            "SELECT concat_ws('|', id, tick, seat, kind, text, data) FROM notes ORDER BY id"
        )) as f64
            / 1e6,
    );
    // What is left without hashes and chain, which nothing makes smaller.
    database
        .execute_batch(
            "UPDATE ticks SET hash = '', parts = x''; UPDATE inputs SET digest = ''; DELETE FROM chain; \
             PRAGMA journal_mode = DELETE; VACUUM",
        )
        .expect("without hashes");
    drop(database);
    let rest = pack(&fs::read(&bare).expect("a copy"));
    println!(
        "without hashes and chain {:.2} MB: {:.2} times inputs and events; hashes and chain {:.2} MB",
        rest as f64 / 1e6,
        rest as f64 / (inputs + events) as f64,
        sealed.sealed_bytes.saturating_sub(rest) as f64 / 1e6
    );
    let _ = fs::remove_file(&bare);
}

/// A lockstep round with the recording off, and on at both durabilities.
fn cost() {
    let player = host().with_file_name("formicarium-player");
    assert!(
        player.is_file(),
        "{} is missing: cargo build --release",
        player.display()
    );
    let scenario = field::field();
    for (agents, rounds) in [(8, 6000), (100, 1500)] {
        let variants = ["off", "process", "power"];
        let mut times = vec![Vec::new(); variants.len()];
        let mut ratios = vec![Vec::new(); variants.len()];
        for pair in 0..PAIRS {
            let mut turn = [0.0; 3];
            for at in 0..variants.len() {
                // Who is first changes.
                let at = (at + pair) % variants.len();
                turn[at] = round(&player, &scenario, agents, rounds, variants[at]);
                times[at].push(turn[at]);
            }
            for at in 1..variants.len() {
                ratios[at].push(turn[at] / turn[0]);
            }
        }
        for at in 0..variants.len() {
            let ratio = match at {
                0 => String::new(),
                _ => format!(
                    ", {:+.1} % (pairs from {:+.1} to {:+.1} %)",
                    100.0 * (median(&mut ratios[at]) - 1.0),
                    100.0 * (ratios[at].first().unwrap_or(&1.0) - 1.0),
                    100.0 * (ratios[at].last().unwrap_or(&1.0) - 1.0)
                ),
            };
            println!(
                "{agents} agents, recording {}: {:.1} us a round{ratio}",
                variants[at],
                median(&mut times[at])
            );
        }
    }
    let _ = fs::remove_dir_all(&scenario);
}

fn median(times: &mut [f64]) -> f64 {
    times.sort_by(f64::total_cmp);
    times[times.len() / 2]
}

/// Microseconds of a round, from the moment that agents are ready to the end of the run.
fn round(player: &Path, scenario: &Path, agents: usize, rounds: usize, how: &str) -> f64 {
    let out = fresh("cost");
    let mut child = Command::new(std::env::current_exe().expect("this program"))
        .env(AS_HOST, how)
        .args([
            "run",
            scenario.to_str().expect("UTF-8"),
            "--headless",
            "--json",
            "--log-format",
            "json",
        ])
        .args([
            "--agent",
            &format!("*={} wait", player.display()),
            "--deadline",
            "60s",
            "--seed",
            "1",
        ])
        .args([
            "--set",
            &format!("agents={agents}"),
            "--ticks",
            &rounds.to_string(),
        ])
        .args([
            "--durability",
            if how == "power" { "power" } else { "process" },
        ])
        .args(["--out", out.to_str().expect("UTF-8")])
        .stdin(Stdio::null())
        .stdout(Stdio::null())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the host starts");
    let mut begin = None;
    let mut log = String::new();
    for line in BufReader::new(child.stderr.take().expect("piped"))
        .lines()
        .map_while(Result::ok)
    {
        if line.contains("agents are ready") {
            begin = Some(Instant::now());
        }
        log += &line;
    }
    let end = Instant::now();
    assert!(child.wait().expect("our own child").success(), "{log}");
    let _ = fs::remove_dir_all(&out);
    let begin = begin.unwrap_or_else(|| panic!("the agents were never ready: {log}"));
    (end - begin).as_secs_f64() * 1e6 / rounds as f64
}
