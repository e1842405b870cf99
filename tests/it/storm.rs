//! The storm through the host: sixteen agents, one tree, every tool, leases, agents that die; and the host killed at random.
//!
//! After each kill the run's folder is recovered over its recording, and all that journal, tree and inputs must hold is
//! checked; a fresh broker then goes on with it. `FORMICARIUM_STORM_ROUNDS` sets the number of kills,
//! `FORMICARIUM_STORM_SEED` the seed, which is printed.

#[path = "../../agents/tests/storm/check.rs"]
pub mod check;

use std::collections::BTreeMap;
use std::fs;
use std::path::Path;
use std::process::Stdio;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use formicarium::recorder::reader::Recording;
use formicarium::recorder::writer::Recorder;
use formicarium_agents::broker::{
    Base, Broker, Change, Fact, Journal, Limits, Publish, State, TreePath, Wanted,
};
use formicarium_engine::InputBody;
use serde_json::Value;

use crate::host::{Folder, assert_replays, formicarium};

const SEATS: usize = 16;
/// Kills in the test suite.
const ROUNDS: u64 = 3;
/// How long a host may take to its first acknowledged publish, and agents to die with it.
const PATIENCE: Duration = Duration::from_secs(60);

const SCENARIO: &str = r#"
format = 1
name = "storm"
title = "A storm"
summary = "Sixteen agents and one tree."
cast = "all"

[time]
mode = "lockstep"
deadline_ms = 5000
ticks = 0

[space]
kind = "none"

[files]
tree = "tree"
lease_ms = 2000

[[seat]]
name = "seat"
count = 16
numbered = true
"#;

/// What is told of all rounds.
#[derive(Default)]
struct Tally {
    counts: check::Counts,
    compared: usize,
    given_anew: usize,
    died: usize,
    early: usize,
    ticks: u64,
}

pub fn from_environment(name: &str) -> Option<u64> {
    std::env::var(name).ok()?.parse().ok()
}

#[test]
fn a_host_that_is_killed_in_a_storm_loses_nothing_that_it_acknowledged() {
    let clock = SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .expect("after 1970");
    let seed = from_environment("FORMICARIUM_STORM_SEED").unwrap_or(clock.as_nanos() as u64);
    let rounds = from_environment("FORMICARIUM_STORM_ROUNDS").unwrap_or(ROUNDS);
    println!("storm through the host: seed {seed}, {rounds} kills");
    let mut tally = Tally::default();
    for round in 0..rounds {
        storm(seed, round, &mut tally);
    }
    let Tally {
        counts,
        compared,
        given_anew,
        died,
        early,
        ticks,
    } = tally;
    println!(
        "storm through the host: {rounds} kills, {early} of them before there was a recording, {counts}; {ticks} ticks, {died} \
         agents killed, {compared} versions compared byte by byte, {given_anew} facts given to the next tick"
    );
    let is_long = rounds >= 100;
    assert!(counts.acknowledged > 0 && compared > 0);
    assert!(!is_long || counts.merged > 0 && counts.leased > 0 && counts.refused > 0 && died > 0);
}

/// One host, from its start to its kill, and what it left.
fn storm(seed: u64, round: u64, tally: &mut Tally) {
    let what = format!("round {round} of seed {seed}");
    let mut random = random(seed.wrapping_add(round));
    let folder = Folder::new("storm");
    write_scenario(&folder, seed, round);
    let run = folder.path("run");
    let (scenario, out) = (folder.path("storm"), run.to_str().expect("UTF-8"));
    let scenario = scenario.to_str().expect("UTF-8");
    let mut args = vec!["run", scenario, "--out", out, "--headless", "--seed", "1"];
    // As root, every other host runs as others would have to.
    if round % 2 == 1 {
        args.extend(["--isolation", "landlock"]);
    }
    let log = fs::File::create(folder.path("log")).expect("a log");
    let mut host = formicarium(&args)
        .stdout(Stdio::null())
        .stderr(log)
        .spawn()
        .expect("the host starts");
    // Mostly in the midst of work; now and then while it makes desks and starts agents.
    if random(5) == 0 {
        std::thread::sleep(Duration::from_millis(random(600)));
    } else {
        let began = Instant::now();
        while acknowledged(&run).is_empty() {
            assert!(began.elapsed() < PATIENCE, "{what}: the storm stands still");
            let ended = host.try_wait().expect("our own child");
            assert!(ended.is_none(), "{what}: the host ended: {}", said(&folder));
            std::thread::sleep(Duration::from_millis(5));
        }
        std::thread::sleep(Duration::from_micros(random(2_000_000)));
    }
    let ended = host.try_wait().expect("our own child");
    host.kill().expect("our own child");
    host.wait().expect("our own child");
    assert!(
        ended.is_none(),
        "{what}: the host ended by itself: {}",
        said(&folder)
    );
    await_death(&run, &what);

    let lines = acknowledged(&run);
    let (recorder, _) = match Recorder::reopen(&run) {
        Ok(open) => open,
        Err(error) => {
            assert!(
                lines.is_empty(),
                "{what}: {error}: {} acknowledged",
                lines.len()
            );
            tally.early += 1;
            return;
        }
    };
    let journal = recorder.journal().expect("a journal");
    let mut check = check::Check::new(&run);
    check.round(&what, &journal);
    compare(&lines, &journal, &what, tally);
    let taken = taken(&run, &journal, &what, tally);
    assert_replays(&run);

    // A fresh broker goes on: it gives out again what no tick has, and takes the next publish.
    let (mut broker, repaired) = Broker::open(&run, Box::new(journal), Limits::default(), taken)
        .unwrap_or_else(|error| panic!("{what}: {error}"));
    assert!(repaired.is_nothing(), "{what}: {repaired}");
    let again = broker.take_facts(0, 0).expect("the journal works");
    assert!(
        again
            .iter()
            .map(Fact::sequence)
            .eq(taken + 1..=broker.sequence()),
        "{what}: each fact once, from {taken} to {}",
        broker.sequence()
    );
    tally.given_anew += again.len();
    let change = Change {
        path: TreePath::new("after.md").expect("a path"),
        wanted: Wanted::file(what.as_bytes(), false),
        base: Base::NONE,
        from: None,
    };
    let publish = Publish {
        changes: vec![change],
        ..Publish::default()
    };
    let outcome = broker.publish(&[publish], 0).expect("the journal works");
    assert!(outcome[0].is_published(), "{what}: {outcome:?}");
    drop(broker);
    let journal = recorder.journal().expect("a journal");
    check.round(&what, &journal);
    let counts = &mut tally.counts;
    counts.facts += check.counts.facts;
    counts.repaired += check.counts.repaired;
    counts.merged += check.counts.merged;
    counts.leased += check.counts.leased;
    counts.refused += check.counts.refused;
}

/// A small generator (splitmix64): the same seed gives the same wishes, if not the same timing.
pub fn random(seed: u64) -> impl FnMut(u64) -> u64 {
    let mut state = seed;
    move |below| {
        state = state.wrapping_add(0x9E37_79B9_7F4A_7C15);
        let mut z = state;
        z = (z ^ (z >> 30)).wrapping_mul(0xBF58_476D_1CE4_E5B9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94D0_49BB_1331_11EB);
        (z ^ (z >> 31)) % below
    }
}

fn write_scenario(folder: &Folder, seed: u64, round: u64) {
    folder.write("storm/scenario.toml", SCENARIO.trim_start());
    let seats: String = (1..=SEATS)
        .map(|n| {
            format!(
                "[[seat]]\nmatch = \"seat-{n}\"\ncommand = \"python3\"\nargs = [\"agent.py\", \"{seed}-{round}-{n}\"]\n\
                 files = [\"agent.py\"]\n"
            )
        })
        .collect();
    folder.write("storm/casts/all.toml", &format!("format = 1\n{seats}"));
    folder.write("storm/casts/agent.py", include_str!("storm/agent.py"));
    let text: String = (0..30).map(|n| format!("line {n}\n")).collect();
    for path in ["a.md", "b.md", "c.md", "d/a.md", "d/b.md", "d/e/a.md"] {
        folder.write(&format!("storm/tree/{path}"), &text);
    }
}

fn said(folder: &Folder) -> String {
    fs::read_to_string(folder.path("log")).unwrap_or_default()
}

/// What agents were told is published. A line that its writer's death cut off does not count.
fn acknowledged(run: &Path) -> Vec<(String, Value)> {
    let mut lines = Vec::new();
    for n in 1..=SEATS {
        let seat = format!("seat-{n}");
        let at = run
            .join("agents")
            .join(&seat)
            .join("workspace/acknowledged");
        let text = fs::read_to_string(at).unwrap_or_default();
        let whole = text.rsplit_once('\n').map_or("", |(whole, _)| whole);
        lines.extend(whole.lines().map(|line| {
            let line = serde_json::from_str(line).expect("a line of the agent");
            (seat.clone(), line)
        }));
    }
    lines
}

/// The host's death is everybody's: no process of a seat is left.
fn await_death(run: &Path, what: &str) {
    let agents = fs::canonicalize(run.join("agents")).unwrap_or_else(|_| run.join("agents"));
    let began = Instant::now();
    loop {
        let left: Vec<_> = fs::read_dir("/proc")
            .expect("/proc")
            .flatten()
            .filter(|process| {
                fs::read_link(process.path().join("cwd")).is_ok_and(|cwd| cwd.starts_with(&agents))
            })
            .map(|process| process.file_name())
            .collect();
        if left.is_empty() {
            return;
        }
        assert!(
            began.elapsed() < PATIENCE,
            "{what}: processes of seats outlive the host: {left:?}"
        );
        std::thread::sleep(Duration::from_millis(5));
    }
}

/// All that was acknowledged is in the journal, as it stood on the desk.
fn compare(lines: &[(String, Value)], journal: &dyn Journal, what: &str, tally: &mut Tally) {
    let mut logs = BTreeMap::new();
    for (seat, line) in lines {
        let path = TreePath::new(line["path"].as_str().expect("a path")).expect("a path");
        let log = logs
            .entry(path.clone())
            .or_insert_with(|| journal.log(&path).expect("a log"));
        let number = line["version"].as_u64().expect("a number");
        let version = log.iter().find(|version| version.number == number);
        let version = version.unwrap_or_else(|| panic!("{what}: {seat} {line}: lost"));
        assert_eq!(
            version.seat.as_ref(),
            Some(seat),
            "{what}: {line} {version:?}"
        );
        tally.counts.acknowledged += 1;
        let (Some(text), State::File { hash, .. }) = (line.get("text"), version.state) else {
            continue;
        };
        let kept = journal.content(&hash).expect("readable").expect("kept");
        let latin: String = kept.iter().map(|byte| char::from(*byte)).collect();
        assert_eq!(Some(latin.as_str()), text.as_str(), "{what}: {line}");
        tally.compared += 1;
    }
}

/// The last fact that is in a tick's input: all before it are, each once, in their order.
fn taken(run: &Path, journal: &dyn Journal, what: &str, tally: &mut Tally) -> u64 {
    let recording = Recording::open(run).expect("a recording");
    let mut taken = Vec::new();
    recording
        .inputs::<formicarium::recorder::RecorderError>(|input| {
            for seat in &input.seats {
                match &seat.body {
                    InputBody::File(fact) => taken.push(fact.number),
                    InputBody::Exited { .. } => tally.died += 1,
                    _ => {}
                }
            }
            tally.ticks += 1;
            Ok(())
        })
        .expect("inputs are sound");
    taken.sort_unstable();
    let last = taken.last().copied().unwrap_or(0);
    // The scenario's own files are nobody's doing, and no input.
    let wanted = journal.facts_after(0).expect("facts");
    let wanted: Vec<u64> = wanted
        .iter()
        .filter(|fact| !matches!(fact, Fact::Version(version) if version.seat.is_none()))
        .map(Fact::sequence)
        .filter(|sequence| *sequence <= last)
        .collect();
    assert_eq!(taken, wanted, "{what}: facts in inputs");
    last
}
