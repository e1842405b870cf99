//! What agents do wrong: each habit becomes a named fault with whose it was, and the others play on.

use std::collections::BTreeSet;

use expect_test::expect;
use formicarium_agents::{Agents, FaultKind, ProcessStatus, Program, StartError};

use super::stage::{Stage, Start, block_on, left_of, misbehaver, processes_of, run_mark};

const HABITS: [&str; 33] = [
    "good",
    "hang-at-start",
    "crash-at-start",
    "early-act",
    "second-ready",
    "hang",
    "deaf",
    "slow 20",
    "garbage",
    "half-line",
    "long-line",
    "flood",
    "exit",
    "exit-3",
    "signal",
    "killed",
    "grandchild",
    "grandchild-and-exit",
    "daemon",
    "fork-bomb 5",
    "close-stdout",
    "stale",
    "future",
    "nan",
    "string-tick",
    "unknown-type",
    "other-seat",
    "not-utf8",
    "stderr",
    "long-thought",
    "big-remember",
    "ignore-term",
    "good",
];

pub fn every_bad_habit(start: Start) {
    block_on(async {
        let programs = HABITS
            .iter()
            .enumerate()
            .map(|(at, habit)| (format!("seat-{at}"), misbehaver(habit)))
            .collect();
        let mut stage = Stage::open(start, programs).await;
        assert!(stage.all_ready(20_000).await);
        const TICKS: u64 = 12;
        for tick in 0..TICKS {
            stage.observe(tick, 20_000);
            // The good ones are waited for, the others have as long as they take, or a moment.
            let last = HABITS.len() - 1;
            let both = |seen: &std::collections::BTreeMap<usize, super::stage::Seen>| {
                [0, last]
                    .iter()
                    .all(|seat| seen[seat].acts.last() == Some(&tick))
            };
            assert!(
                stage.until(10_000, both).await,
                "a good agent is waited for at tick {tick}"
            );
            stage.until(150, |_| false).await;
        }
        stage.until(1000, |_| false).await;
        let mut table = String::new();
        for (seat, habit) in HABITS.iter().enumerate() {
            let seen = &stage.seen[&seat];
            let faults: BTreeSet<String> = seen
                .faults
                .iter()
                .map(|f| format!("{} ({})", f.kind.as_str(), f.blame.as_str()))
                .collect();
            let faults = if faults.is_empty() {
                "-".into()
            } else {
                faults.into_iter().collect::<Vec<_>>().join(", ")
            };
            let status = match seen.statuses.last().unwrap() {
                ProcessStatus::Exited { reason, .. } => format!("exited: {reason}"),
                other => format!("{:?}", other.phase()).to_lowercase(),
            };
            table += &format!("{habit}: {faults}; {status}\n");
            for fault in &seen.faults {
                assert!(
                    fault.detail.len() <= 600 && !fault.detail.contains('\n'),
                    "{fault}"
                );
            }
        }
        expect![[r#"
            good: -; running
            hang-at-start: ready-timeout (agent); exited: no `ready` in time
            crash-at-start: exited (agent); exited: exited with status 4 before the run ended
            early-act: out-of-order (agent); running
            second-ready: out-of-order (agent); running
            hang: not-reading (agent); running
            deaf: not-reading (agent); running
            slow 20: -; running
            garbage: garbage (agent); running
            half-line: exited (agent), half-line (agent); exited: exited with status 0 before the run ended
            long-line: too-long (agent); running
            flood: flood (agent); running
            exit: exited (agent); exited: exited with status 0 before the run ended
            exit-3: exited (agent); exited: exited with status 3 before the run ended
            signal: exited (agent); exited: was killed by SIGABRT
            killed: exited (machine); exited: was killed by SIGKILL; it was not the host that sent it: the kernel out of memory, or someone outside
            grandchild: -; running
            grandchild-and-exit: exited (agent); exited: exited with status 0 before the run ended
            daemon: -; running
            fork-bomb 5: -; running
            close-stdout: eof (agent); exited: closed its output
            stale: -; running
            future: -; running
            nan: garbage (agent); running
            string-tick: bad-message (agent); running
            unknown-type: bad-message (agent); running
            other-seat: bad-message (agent); running
            not-utf8: not-utf8 (agent); running
            stderr: -; running
            long-thought: text-cut (agent); running
            big-remember: remember-too-large (agent); running
            ignore-term: -; running
            good: -; running
        "#]].assert_eq(&table);
        for good in [0, HABITS.len() - 1] {
            assert_eq!(stage.seen[&good].acts, (0..TICKS).collect::<Vec<_>>());
        }
        let seat = |habit: &str| HABITS.iter().position(|h| *h == habit).unwrap();
        assert_eq!(stage.seen[&seat("long-thought")].bytes_thought, 2000);
        assert_eq!(
            stage.seen[&seat("big-remember")].other,
            1,
            "ready, and no remember"
        );
        assert!(
            stage.seen[&seat("flood")].other <= 64 * TICKS as usize,
            "of 5000"
        );
        let run = stage.run.clone();
        stage
            .agents
            .shutdown(std::time::Duration::from_millis(600))
            .await;
        assert_eq!(processes_of(&run_mark(&run)), Vec::<i32>::new());
    });
}

pub fn missing_programs(start: Start) {
    block_on(async {
        let folder = start.folder.clone();
        std::fs::create_dir_all(&folder).unwrap();
        let script = |name: &str, text: &str, mode: u32| {
            use std::os::unix::fs::PermissionsExt;
            let path = folder.join(name);
            std::fs::write(&path, text).unwrap();
            std::fs::set_permissions(&path, std::fs::Permissions::from_mode(mode)).unwrap();
            path.to_str().unwrap().to_owned()
        };
        let long = {
            let mut program = Program::new("sh");
            program.args = vec!["x".repeat(200_000)];
            program
        };
        let programs = [
            Program::new("formicarium-no-such-program"),
            Program::new(script("no-right", "#!/bin/sh\n", 0o644)),
            Program::new(script("no-interpreter", "#!/no/such/interpreter\n", 0o755)),
            Program::new(script("no-format", "just text\n", 0o755)),
            Program::new("a\0b"),
            long,
        ];
        let count = programs.len();
        let mut stage = Stage::open(
            start,
            programs
                .into_iter()
                .enumerate()
                .map(|(at, p)| (format!("s{at}"), p))
                .collect(),
        )
        .await;
        assert!(stage.all_ready(10_000).await);
        let mut table = String::new();
        for seat in 0..count {
            let [fault] = &stage.seen[&seat].faults[..] else {
                panic!("one fault, not {:?}", stage.seen[&seat].faults)
            };
            let text = fault
                .to_string()
                .replace(folder.to_str().unwrap(), "FOLDER");
            // From here on it depends on the machine's PATH, or on the length of the folder's name.
            let shared = text.split(", /").next().unwrap();
            table += &format!("{}\n", shared.split("have 200").next().unwrap());
        }
        expect![[r#"
            spawn-failed (fault of the cast): no executable "formicarium-no-such-program": looked in the seat's program folder
            spawn-failed (fault of the cast): no executable "FOLDER/no-right": looked in this path; install it, or correct the command in the cast
            spawn-failed (fault of the cast): cannot run "FOLDER/no-interpreter": the interpreter in its first line does not exist; install it
            spawn-failed (fault of the cast): cannot run "FOLDER/no-format": neither a program of this machine nor a script with a `#!` line; add the line
            spawn-failed (fault of the cast): no executable "a\0b": looked in the seat's program folder
            spawn-failed (fault of the cast): arguments and environment 
        "#]].assert_eq(&table);
        stage.agents.shutdown(std::time::Duration::ZERO).await;
    });
}

pub fn unusable_plans(start: Start) {
    block_on(async {
        let mut missing = misbehaver("good");
        missing.files = vec![("/no/such/file.py".into(), "file.py".into())];
        let plans = vec![
            (0, start.plan("../up", misbehaver("good"))),
            (1, start.plan("b", missing)),
        ];
        let run = start.run.clone();
        let (sender, _inbox) = tokio::sync::mpsc::channel(8);
        let error = Agents::start(start.nursery, plans, sender)
            .await
            .unwrap_err();
        assert!(
            matches!(&error, StartError::Seats(seats) if seats.len() == 2),
            "all in one go: {error}"
        );
        assert!(error.to_string().contains("/no/such/file.py"), "{error}");
        assert_eq!(processes_of(&run_mark(&run)).len(), 0);
    });
}

pub fn stderr_is_limited(start: Start) {
    block_on(async {
        let mut limited = misbehaver("stderr");
        limited.limits.stderr_bytes = 100_000;
        let mut stage = Stage::open(
            start,
            vec![
                ("loud".into(), limited),
                ("quiet".into(), misbehaver("good")),
            ],
        )
        .await;
        assert!(stage.all_ready(10_000).await);
        for tick in 0..4 {
            stage.observe(tick, 10);
            assert!(
                stage
                    .until(10_000, |seen| seen[&0].acts.last() == Some(&tick))
                    .await,
                "it is not held up"
            );
        }
        let folder = stage.folder.clone();
        stage
            .agents
            .shutdown(std::time::Duration::from_secs(1))
            .await;
        let log = std::fs::read_to_string(folder.join("agents/loud/stderr.log")).unwrap();
        assert!((90_000..=100_000).contains(&log.len()), "{}", log.len());
        assert_eq!(
            log.lines().last(),
            Some("[stderr reached its limit of 100000 bytes; the rest was dropped]")
        );
        assert_eq!(
            std::fs::read_to_string(folder.join("agents/quiet/stderr.log")).unwrap(),
            ""
        );
    });
}

pub fn long_lines_and_floods_cost_no_memory(start: Start) {
    block_on(async {
        let mut programs: Vec<_> = (0..8)
            .map(|at| (format!("long-{at}"), misbehaver("long-line")))
            .collect();
        programs.extend((0..8).map(|at| (format!("flood-{at}"), misbehaver("flood"))));
        let mut stage = Stage::open(start, programs).await;
        assert!(stage.all_ready(10_000).await);
        let before = resident_kib();
        for tick in 0..6 {
            stage.observe(tick, 100);
            stage.until(300, |_| false).await;
        }
        // Eight long lines at once keep at most a line each while they last.
        let after = resident_kib();
        assert!(
            after < before + 16_384,
            "{before} KiB before, {after} KiB after"
        );
        let run = stage.run.clone();
        stage
            .agents
            .shutdown(std::time::Duration::from_millis(500))
            .await;
        assert_eq!(left_of(&run_mark(&run), 0), 0);
    });
}

/// What never ends its line is read up to a limit, and neither the others nor the clock wait for it.
pub fn endless_line(start: Start) {
    block_on(async {
        let mut stage = Stage::open(
            start,
            vec![
                ("endless".into(), misbehaver("endless-line")),
                ("good".into(), misbehaver("good")),
            ],
        )
        .await;
        assert!(stage.all_ready(10_000).await);
        for tick in 0..8 {
            stage.observe(tick, 100);
            let played = stage
                .until(5000, |seen| seen[&1].acts.last() == Some(&tick))
                .await;
            assert!(played, "the other plays tick {tick}");
        }
        let named = stage
            .until(5000, |seen| {
                let mut faults = seen[&0].faults.iter();
                faults.any(|fault| fault.kind == FaultKind::Flood)
            })
            .await;
        assert!(named, "{:?}", stage.seen[&0].faults);
        let run = stage.run.clone();
        let from = std::time::Instant::now();
        stage
            .agents
            .shutdown(std::time::Duration::from_millis(600))
            .await;
        assert!(from.elapsed() < std::time::Duration::from_secs(5));
        assert_eq!(processes_of(&run_mark(&run)), Vec::<i32>::new());
    });
}

fn resident_kib() -> u64 {
    let status = std::fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|l| l.starts_with("VmRSS:")).unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}
