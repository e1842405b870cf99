//! How processes end: restarts, stops, and that nothing outlives its keeper or its host.

use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use formicarium_agents::{
    Blame, FaultKind, Outgoing, Phase, ProcessStatus, Program, Restart, RestartPolicy,
};
use nix::sys::signal::{Signal, kill};
use nix::unistd::Pid;

use super::stage::{
    Stage, Start, block_on, left_of, misbehaver, parent_of, processes_of, run_mark,
};

/// Names the mark that a host to be killed puts on all that it starts.
const MARK: &str = "FORMICARIUM_TEST_MARK";

pub fn restarts(start: Start) {
    block_on(async {
        let with = |habit: &str, policy, max| {
            let mut program = misbehaver(habit);
            program.restart = Restart {
                policy,
                max,
                backoff_ms: 50,
                backoff_cap_ms: 80,
            };
            program
        };
        let programs = vec![
            ("never".into(), with("exit-3", RestartPolicy::Never, 5)),
            (
                "on-failure".into(),
                with("exit-3", RestartPolicy::OnFailure, 2),
            ),
            ("clean".into(), with("exit", RestartPolicy::OnFailure, 2)),
            ("always".into(), with("exit", RestartPolicy::Always, 1)),
            (
                "at-start".into(),
                with("crash-at-start", RestartPolicy::OnFailure, 3),
            ),
            ("good".into(), with("good", RestartPolicy::Always, 3)),
        ];
        let mut stage = Stage::open(start, programs).await;
        assert!(stage.all_ready(10_000).await);
        for _ in 0..8 {
            stage.observe(2, 10);
            stage.until(250, |_| false).await;
        }
        let attempts: Vec<usize> = stage.seen.values().map(|seen| seen.started.len()).collect();
        assert_eq!(attempts, [1, 3, 1, 2, 4, 1]);
        assert_eq!(stage.seen[&1].started, [1, 2, 3]);
        for (seat, attempts) in attempts.iter().enumerate().take(5) {
            let exits: Vec<bool> = stage.seen[&seat]
                .statuses
                .iter()
                .filter_map(|s| match s {
                    ProcessStatus::Exited { will_restart, .. } => Some(*will_restart),
                    _ => None,
                })
                .collect();
            assert_eq!(exits.len(), *attempts);
            assert!(
                exits.iter().rev().skip(1).all(|again| *again) && exits.last() == Some(&false),
                "{exits:?}"
            );
        }
        // An end that was announced is no fault, and is followed by no restart.
        stage.agents.send(
            5,
            Outgoing::End(
                b"{\"type\":\"end\",\"reason\":\"over\",\"score\":0,\"tick\":1}\n"[..].into(),
            ),
        );
        assert!(
            stage
                .until(5000, |seen| seen[&5].phase() == Some(Phase::Exited))
                .await
        );
        assert_eq!(stage.seen[&5].faults, []);
        assert!(matches!(
            stage.seen[&5].statuses.last(),
            Some(ProcessStatus::Exited {
                blame: None,
                will_restart: false,
                ..
            })
        ));
        stage.agents.shutdown(Duration::from_millis(200)).await;
    });
}

pub fn stop_kills(start: Start) {
    block_on(async {
        let mut stubborn = misbehaver("ignore-term");
        stubborn.restart = Restart {
            policy: RestartPolicy::Always,
            ..Restart::default()
        };
        let mut stage = Stage::open(
            start,
            vec![
                ("stubborn".into(), stubborn),
                ("good".into(), misbehaver("good")),
            ],
        )
        .await;
        assert!(stage.all_ready(10_000).await);
        let from = Instant::now();
        stage.agents.stop(0, "its budget is used up");
        assert!(
            stage
                .until(5000, |seen| seen[&0].phase() == Some(Phase::Exited))
                .await
        );
        assert!(
            from.elapsed() >= Duration::from_millis(300),
            "the grace time is granted"
        );
        let last = stage.seen[&0].statuses.last().unwrap();
        assert_eq!(
            *last,
            ProcessStatus::Exited {
                reason: "its budget is used up".into(),
                blame: None,
                will_restart: false
            }
        );
        assert_eq!(stage.seen[&0].faults, []);
        stage.agents.stop(1, "no reason");
        assert!(
            stage
                .until(5000, |seen| seen[&1].phase() == Some(Phase::Exited))
                .await
        );
        stage.agents.shutdown(Duration::from_secs(30)).await;
        assert!(
            from.elapsed() < Duration::from_secs(10),
            "nobody is left to be waited for"
        );
    });
}

const STUBBORN: [&str; 7] = [
    "grandchild",
    "daemon",
    "fork-bomb 7",
    "ignore-term",
    "deaf",
    "close-stdout",
    "good",
];

/// Opens a stage with agents that leave all sorts of processes, and lets them do so.
async fn unruly(start: Start, extra: Option<(&str, String)>) -> Stage {
    let programs = STUBBORN.iter().enumerate().map(|(at, habit)| {
        let mut program = misbehaver(habit);
        program
            .env
            .extend(extra.clone().map(|(name, value)| (name.to_owned(), value)));
        (format!("seat-{at}"), program)
    });
    let mut stage = Stage::open(start, programs.collect()).await;
    assert!(stage.all_ready(20_000).await);
    for tick in 0..4 {
        stage.observe(tick, 10);
        stage.until(100, |_| false).await;
    }
    // Seven mains, one that lingers, another, and 255 of the bomb.
    let run = run_mark(&stage.run);
    let end = Instant::now() + Duration::from_secs(30);
    while processes_of(&run).len() < 7 + 2 + 255 - 1 {
        assert!(
            Instant::now() < end,
            "{} processes only",
            processes_of(&run).len()
        );
        stage.until(50, |_| false).await;
    }
    stage
}

pub fn shutdown_leaves_nothing(start: Start) {
    block_on(async {
        let stage = unruly(start, None).await;
        let run = stage.run.clone();
        let from = Instant::now();
        stage.agents.shutdown(Duration::from_millis(400)).await;
        assert_eq!(
            processes_of(&run_mark(&run)).len(),
            0,
            "when it returns, all are gone"
        );
        assert!(
            from.elapsed() < Duration::from_secs(5),
            "{:?}",
            from.elapsed()
        );
    });
}

pub fn killed_host(start: Start) {
    if let Ok(mark) = std::env::var(MARK) {
        // The host that is going to be killed.
        block_on(async {
            let _stage = unruly(start, Some((MARK, mark))).await;
            println!("up");
            std::future::pending::<()>().await;
        });
        return;
    }
    let mark = format!("host-{}", std::process::id());
    let mut host = Command::new(std::env::current_exe().unwrap())
        .env(MARK, &mark)
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let mut lines = std::io::BufRead::lines(std::io::BufReader::new(host.stdout.take().unwrap()));
    assert_eq!(lines.next().unwrap().unwrap(), "up");
    let pair = format!("{MARK}={mark}");
    assert!(
        processes_of(&pair).len() > 255,
        "agents, keepers and the nursery carry the mark"
    );
    kill(Pid::from_raw(host.id() as i32), Signal::SIGKILL).unwrap();
    host.wait().unwrap();
    let from = Instant::now();
    assert_eq!(
        left_of(&pair, 2000),
        0,
        "left 2 s after the host was killed"
    );
    println!(
        "all processes of a killed host were gone after {:?}",
        from.elapsed()
    );
    assert!(
        lines.next().is_none(),
        "nobody holds the host's output open"
    );
}

pub fn killed_keeper(start: Start) {
    block_on(async {
        let mut daemon = misbehaver("daemon");
        daemon.restart = Restart {
            policy: RestartPolicy::OnFailure,
            backoff_ms: 20,
            ..Restart::default()
        };
        // Of this run only: the same case may run beside this one, from another checkout.
        let mark = format!("daemon-of-{}", start.run);
        daemon.env = vec![("WHICH".into(), mark.clone())];
        let mut stage = Stage::open(
            start,
            vec![
                ("daemon".into(), daemon),
                ("good".into(), misbehaver("good")),
            ],
        )
        .await;
        assert!(stage.all_ready(10_000).await);
        for tick in 0..3 {
            stage.observe(tick, 10);
            assert!(
                stage
                    .until(5000, |seen| seen
                        .values()
                        .all(|s| s.acts.last() == Some(&tick)))
                    .await
            );
        }
        let end = Instant::now() + Duration::from_secs(10);
        let tree = loop {
            let tree = processes_of(&format!("WHICH={mark}"));
            // The main process and the daemon; the one between them has ended.
            if tree.len() == 2 && parent_of(tree[0]) == parent_of(tree[1]) {
                break tree;
            }
            assert!(Instant::now() < end, "{tree:?}");
            std::thread::sleep(Duration::from_millis(10));
        };
        kill(Pid::from_raw(parent_of(tree[0])), Signal::SIGKILL).unwrap();
        assert!(
            stage.until(5000, |seen| seen[&0].started.len() == 2).await,
            "it is started again"
        );
        for pid in tree {
            assert!(
                !std::path::Path::new(&format!("/proc/{pid}")).exists(),
                "of the old tree nothing is left"
            );
        }
        let [fault] = &stage.seen[&0].faults[..] else {
            panic!("{:?}", stage.seen[&0].faults)
        };
        assert_eq!(
            (fault.kind, fault.blame),
            (FaultKind::KeeperLost, Blame::Machine)
        );
        assert_eq!(stage.seen[&1].faults, []);
        assert!(stage.all_ready(5000).await);
        stage.observe(3, 10);
        assert!(
            stage
                .until(5000, |seen| seen
                    .values()
                    .all(|s| s.acts.last() == Some(&3)))
                .await,
            "all play on"
        );
        let run = stage.run.clone();
        stage.agents.shutdown(Duration::from_millis(300)).await;
        assert_eq!(processes_of(&run_mark(&run)).len(), 0);
    });
}

pub fn clean_world(start: Start) {
    block_on(async {
        std::fs::create_dir_all(&start.folder).unwrap();
        let script = start.folder.join("look.sh");
        std::fs::write(
            &script,
            "ls /proc/$$/fd > fds\n\
             { env | cut -d= -f1 | sort | tr '\\n' ' '; echo; pwd; echo $(cat fds)\n\
             grep -E '^(SigBlk|SigIgn|NoNewPrivs)' /proc/$$/status | tr '\\t' ' '; umask; } > seen 2>&1\n\
             [ \"$(cut -d' ' -f6 /proc/$$/stat)\" = $$ ] && echo own session >> seen\n\
             read hello; echo '{\"type\":\"ready\"}'; read end\n",
        )
        .unwrap();
        let mut program = Program::new("sh");
        program.args = vec!["look.sh".into()];
        program.files = vec![(script, "look.sh".into())];
        let mut stage = Stage::open(start, vec![("looker".into(), program)]).await;
        assert!(stage.all_ready(10_000).await);
        let folder = stage.folder.clone();
        let seen = std::fs::read_to_string(folder.join("agents/looker/workspace/seen")).unwrap();
        let seen = seen.replace(folder.to_str().unwrap(), "RUN");
        // Descriptor 10 is the script itself, opened by the shell. The list is written without a pipe: the shell would hold
        // its ends for a moment.
        expect_test::expect![[r#"
            FORMICARIUM_PROGRAM FORMICARIUM_RUN FORMICARIUM_SEAT HOME LANG PATH PWD PYTHONDONTWRITEBYTECODE PYTHONUNBUFFERED TMPDIR 
            RUN/agents/looker/workspace
            0 1 10 11 2
            SigBlk: 0000000000000000
            SigIgn: 0000000000000000
            NoNewPrivs: 1
            0022
            own session
        "#]].assert_eq(&seen);
        stage.agents.shutdown(Duration::from_millis(200)).await;
    });
}

pub fn dropped(start: Start) {
    let run = start.run.clone();
    block_on(async {
        let stage = unruly(start, None).await;
        drop(stage);
        assert_eq!(left_of(&run_mark(&run), 3000), 0);
    });
}
