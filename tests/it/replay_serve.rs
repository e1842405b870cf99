//! `replay --serve`, by the same client as a live run's: each tick once, in order, at the recorded pace.

use std::time::{Duration, Instant};

use serde_json::{Value, json};

use crate::feed::{Got, block, hello, json_of, next};
use crate::host::{Folder, Live, output, run, scores};

const ARGS: [&str; 11] = [
    "scenarios/commons",
    "--cast",
    "greedy",
    "--mode",
    "realtime",
    "--hz",
    "40",
    "--ticks",
    "60",
    "--seed",
    "5",
];

/// Watches to the end: the ticks of the frames after the snapshot, which is the first number, and the end.
async fn watch(live: &Live) -> (Vec<u64>, Value) {
    let mut socket = hello(live, json!({})).await;
    let mut ticks = Vec::new();
    loop {
        match next(&mut socket).await {
            Got::Data {
                kind: kind @ (2 | 3),
                tick,
                payload,
                flags,
                ..
            } => {
                assert_eq!(kind == 2, ticks.is_empty(), "one snapshot, and it is first");
                assert!(json_of(&payload, flags).is_object());
                // What is told around agents between two ticks comes in frames of the same tick.
                if ticks.last() != Some(&tick) {
                    ticks.push(tick);
                }
            }
            Got::Data { .. } => {}
            Got::Control(message) if message["type"] == "end" => return (ticks, message),
            Got::Control(_) => {}
            Got::Closed(code) => panic!("closed before the end: {code:?} after {ticks:?}"),
        }
    }
}

#[test]
fn a_recording_is_shown_as_if_it_were_live() {
    let folder = Folder::new("replay-serve");
    let out = folder.path("run");
    let summary = run(&out, &ARGS);
    let words = out.to_str().expect("UTF-8").to_owned();
    let serve = |more: &[&str]| {
        let all = [&["replay", &words, "--serve", "--port", "0"], more].concat();
        Live::watch(&out, &all, &[])
    };
    let mut live = serve(&["--speed", "2"]);
    let began = Instant::now();
    let (ticks, end) = block(watch(&live));
    // 60 ticks of 25 ms, twice as fast; how much longer depends on the machine.
    assert!(
        began.elapsed() >= Duration::from_millis(600),
        "{:?}",
        began.elapsed()
    );
    let whole: Vec<u64> = (ticks[0]..=60).collect();
    assert_eq!(ticks, whole);
    assert!(ticks[0] < 60, "nothing was left to see");
    let told: Vec<f64> = serde_json::from_value(end["scores"].clone()).expect("scores");
    assert_eq!(told, scores(&summary));
    // It stays for whoever comes later, until it is told to end.
    let (late, _) = block(watch(&live));
    assert_eq!(late, [60]);
    live.signal(nix::sys::signal::Signal::SIGTERM);
    assert_eq!(live.wait(), Some(0));

    let live = serve(&["--from", "20", "--to", "30"]);
    let (ticks, end) = block(watch(&live));
    assert!((20..30).contains(&ticks[0]), "{ticks:?}");
    assert_eq!(ticks, (ticks[0]..=30).collect::<Vec<u64>>());
    assert_eq!(end["tick"], 30);
}

#[test]
fn what_is_no_replay_says_why() {
    let folder = Folder::new("replay-serve-wrong");
    let out = folder.path("run");
    run(&out, &ARGS);
    let words = out.to_str().expect("UTF-8");
    for (more, said) in [
        (&["--speed", "2"][..], "--serve"),
        (&["--serve", "--speed", "0"], "0.01"),
        (&["--serve", "--json"], "--json"),
        (&["--serve", "--from", "9", "--to", "8"], "--from 9"),
        (&["--serve", "--to", "61"], "ends at tick 60"),
    ] {
        let done = output(&[&["replay", words], more].concat());
        let errors = String::from_utf8_lossy(&done.stderr);
        assert_eq!(done.status.code(), Some(2), "{more:?}: {errors}");
        assert!(errors.contains(said), "{more:?}: {errors}");
    }
    let connection = rusqlite::Connection::open(out.join("run.db")).expect("the recording");
    let sql = "UPDATE ticks SET hash = replace(hash, substr(hash, 1, 1), 'g') WHERE tick = 7";
    assert_eq!(connection.execute(sql, []), Ok(1));
    drop(connection);
    let all = ["replay", words, "--serve", "--port", "0", "--speed", "10"];
    let mut live = Live::watch(&out, &all, &[]);
    block(async {
        let _socket = hello(&live, json!({})).await;
        let status = tokio::task::spawn_blocking(move || live.wait()).await;
        assert_eq!(
            status.expect("it waits"),
            Some(3),
            "tick 7 is another world"
        );
    });
}
