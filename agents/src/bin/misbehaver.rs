//! An agent with every bad habit, for the tests of whoever runs agents: `formicarium-misbehaver HABIT [NUMBER]`.
//!
//! It plays well (answers each `observe` with `wait`) but for its habit, which most often shows at tick 2. Processes that
//! it leaves behind ignore SIGTERM and live for two minutes at most. It must not know its host.

use std::io::{BufRead, Write};
use std::process::{Command, Stdio};
use std::time::Duration;

use nix::sys::signal::{SigSet, Signal, raise};
use serde_json::Value;

/// The tick at which most habits show.
const BAD_TICK: u64 = 2;

fn main() {
    let mut args = std::env::args().skip(1);
    let habit = args.next().unwrap_or_else(|| "good".to_owned());
    let number: u64 = args.next().and_then(|n| n.parse().ok()).unwrap_or(0);
    match habit.as_str() {
        "_linger" => linger(),
        "_daemon" => {
            leave_behind("_linger", 0);
            return;
        }
        "_bomb" => {
            for _ in 0..if number > 0 { 2 } else { 0 } {
                leave_behind("_bomb", number - 1);
            }
            linger();
        }
        _ => {}
    }
    play(&habit, number);
}

fn play(habit: &str, number: u64) {
    match habit {
        "hang-at-start" => sleep(120_000),
        "early-act" => say(r#"{"type":"act","tick":0,"actions":[]}"#),
        "ignore-term" => ignore_term(),
        "crash-at-start" => std::process::exit(4),
        _ => {}
    }
    let stdin = std::io::stdin();
    let mut line = String::new();
    loop {
        line.clear();
        if stdin.lock().read_line(&mut line).unwrap_or(0) == 0 {
            break;
        }
        let message: Value = serde_json::from_str(&line).unwrap_or_default();
        match message["type"].as_str() {
            Some("hello") => {
                say(r#"{"type":"ready","name":"misbehaver"}"#);
                if habit == "second-ready" {
                    say(r#"{"type":"ready"}"#);
                }
            }
            Some("observe") => answer(habit, number, message["tick"].as_u64().unwrap_or(0)),
            Some("end") => break,
            _ => {}
        }
    }
    if habit == "ignore-term" {
        sleep(120_000);
    }
}

fn answer(habit: &str, number: u64, tick: u64) {
    if habit == "slow" {
        sleep(number);
    }
    if tick == BAD_TICK || matches!(habit, "stale" | "future") {
        misbehave(habit, number, tick);
    }
    if !matches!(habit, "stale" | "future") || tick == 0 {
        act(tick);
    }
}

fn misbehave(habit: &str, number: u64, tick: u64) {
    match habit {
        "hang" | "deaf" => sleep(120_000),
        "garbage" => say("Traceback (most recent call last): it is not JSON"),
        "half-line" => {
            write(br#"{"type":"act","tick":2,"acti"#);
            std::process::exit(0);
        }
        "long-line" => {
            let piece = vec![b'x'; 65_536];
            for _ in 0..160 {
                write(&piece);
            }
            write(b"\n");
        }
        "endless-line" => loop {
            write(&[b'x'; 65_536]);
        },
        "flood" => {
            for _ in 0..5000 {
                say(r#"{"type":"log","text":"again"}"#);
            }
        }
        "exit" => std::process::exit(0),
        "exit-3" => std::process::exit(3),
        "signal" => std::process::abort(),
        "killed" => {
            let _ = raise(Signal::SIGKILL);
        }
        "grandchild" => leave_behind("_linger", 0),
        "grandchild-and-exit" => {
            leave_behind("_linger", 0);
            std::process::exit(0);
        }
        "daemon" => leave_behind("_daemon", 0),
        "fork-bomb" => leave_behind("_bomb", number),
        "close-stdout" => {
            let _ = nix::unistd::close(1);
            sleep(120_000);
        }
        "stale" => act(tick.saturating_sub(1)),
        "future" => act(tick + 1000),
        "nan" => say(r#"{"type":"act","tick":2,"actions":[{"name":"move","args":{"speed":NaN}}]}"#),
        "string-tick" => say(r#"{"type":"act","tick":"2","actions":[]}"#),
        "unknown-type" => say(r#"{"type":"dance","tick":2}"#),
        "other-seat" => say(r#"{"type":"act","tick":2,"seat":"harvester-1","actions":[]}"#),
        "not-utf8" => write(b"{\"type\":\"log\",\"text\":\"\xff\xfe\"}\n"),
        "stderr" => {
            let line = [b'e'; 1024];
            for _ in 0..3072 {
                let _ = std::io::stderr().write_all(&line);
            }
        }
        "long-thought" => {
            let thought = "t".repeat(3000);
            say(&format!(
                r#"{{"type":"act","tick":{tick},"actions":[],"thought":"{thought}"}}"#
            ));
        }
        "big-remember" => {
            let state = "s".repeat(20_000);
            say(&format!(r#"{{"type":"remember","state":"{state}"}}"#));
        }
        _ => {}
    }
}

fn act(tick: u64) {
    say(&format!(
        r#"{{"type":"act","tick":{tick},"actions":[{{"name":"wait","args":{{}}}}]}}"#
    ));
}

fn say(line: &str) {
    write(format!("{line}\n").as_bytes());
}

fn write(bytes: &[u8]) {
    let mut stdout = std::io::stdout().lock();
    let _ = stdout.write_all(bytes).and_then(|()| stdout.flush());
}

fn sleep(ms: u64) {
    std::thread::sleep(Duration::from_millis(ms));
}

fn ignore_term() {
    let mut set = SigSet::empty();
    set.add(Signal::SIGTERM);
    let _ = set.thread_block();
}

fn linger() -> ! {
    let _ = nix::unistd::setsid();
    ignore_term();
    sleep(120_000);
    std::process::exit(0)
}

/// Starts a process of its own that nobody waits for; it keeps this one's output open.
fn leave_behind(habit: &str, number: u64) {
    let Ok(own) = std::env::current_exe() else {
        return;
    };
    let _ = Command::new(own)
        .args([habit, &number.to_string()])
        .stdin(Stdio::null())
        .spawn();
}
