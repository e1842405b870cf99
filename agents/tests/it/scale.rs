//! What agents cost the machine beside themselves.

use std::time::{Duration, Instant};

use super::stage::{Stage, Start, block_on, misbehaver, parent_of, processes_of, run_mark};

pub fn a_hundred_agents(start: Start) {
    const AGENTS: usize = 100;
    block_on(async {
        let programs = (0..AGENTS)
            .map(|at| (format!("seat-{at}"), misbehaver("good")))
            .collect();
        let before = anonymous_kib("self");
        let from = Instant::now();
        let mut stage = Stage::open(start, programs).await;
        assert!(stage.all_ready(30_000).await);
        let started = from.elapsed();
        for tick in 0..50 {
            stage.observe(tick, 1000);
            assert!(
                stage
                    .until(10_000, |seen| seen
                        .values()
                        .all(|s| s.acts.last() == Some(&tick)))
                    .await
            );
        }
        let host = (anonymous_kib("self").saturating_sub(before)) / AGENTS as u64;
        let keepers: Vec<String> = processes_of(&run_mark(&stage.run))
            .iter()
            .map(|pid| parent_of(*pid).to_string())
            .collect();
        assert_eq!(keepers.len(), AGENTS);
        let worst = keepers.iter().map(|pid| pss_kib(pid)).max().unwrap();
        println!(
            "{AGENTS} agents started in {started:?}; host {host} KiB an agent; a keeper's PSS at most {worst} KiB"
        );
        assert!(worst < 500, "a keeper's PSS is {worst} KiB");
        assert!(host < 128, "the host keeps {host} KiB an agent");
        stage.agents.shutdown(Duration::from_secs(2)).await;
    });
}

fn rollup(pid: &str, name: &str) -> u64 {
    let text = std::fs::read_to_string(format!("/proc/{pid}/smaps_rollup")).unwrap();
    let line = text.lines().find(|l| l.starts_with(name)).unwrap();
    line.split_ascii_whitespace()
        .nth(1)
        .unwrap()
        .parse()
        .unwrap()
}

fn pss_kib(pid: &str) -> u64 {
    rollup(pid, "Pss:")
}

fn anonymous_kib(pid: &str) -> u64 {
    rollup(pid, "Anonymous:")
}
