//! `formicarium-player`: the players of the shipped casts, each a small agent process that speaks protocol 1.
//!
//! It knows the lines of the protocol and the observations of the shipped scenarios, and nothing of the host or the
//! engine. A thousand of them run at once, so it has one thread, keeps one line in memory and starts no runtime.
//! Every choice follows from what was seen, the seat's name and the tick: no clock, no dice of the system.

mod axelrod;
mod commons;
mod grid;
mod line;
mod sheriff;
mod wait;

use line::{Act, Hello, Seen};
use std::process::ExitCode;

const USAGE: &str = "\
usage: formicarium-player SCENARIO POLICY
  commons  greedy | restrained | sheriff
  axelrod  tit-for-tat | cooperator | defector | grudger | win-stay-lose-shift | tit-for-two-tats | alternator
  wait     (no policy: answers every observation with wait)";

/// What decides: made when the host has said hello, asked once a tick.
type Policy = Box<dyn FnMut(&Seen) -> Result<Act, line::Error>>;

/// What makes a policy for the seat that hello names.
type Maker = Box<dyn FnOnce(&Hello) -> Policy>;

fn policy(scenario: &str, name: &str) -> Option<Maker> {
    match scenario {
        "commons" if name == "sheriff" => Some(Box::new(|hello| {
            let mut sheriff = sheriff::Sheriff::new(&hello.seat);
            Box::new(move |seen| sheriff.decide(seen))
        })),
        "commons" => {
            let appetite = commons::Appetite::named(name)?;
            Some(Box::new(move |hello| {
                let mut forager = commons::Forager::new(&hello.seat, appetite);
                Box::new(move |seen| forager.decide(seen))
            }))
        }
        "axelrod" => {
            let strategy = axelrod::Strategy::named(name)?;
            Some(Box::new(move |_| {
                Box::new(move |seen| axelrod::decide(strategy, seen))
            }))
        }
        _ => None,
    }
}

fn main() -> ExitCode {
    let args: Vec<String> = std::env::args().skip(1).collect();
    let words: Vec<&str> = args.iter().map(String::as_str).collect();
    let done = match words[..] {
        ["wait"] => wait::run(),
        ["--help" | "-h"] => {
            println!("{USAGE}");
            return ExitCode::SUCCESS;
        }
        [scenario, name] => match policy(scenario, name) {
            Some(policy) => line::run(&format!("formicarium-player {scenario} {name}"), policy),
            None => {
                eprintln!("formicarium-player: there is no player '{scenario} {name}'\n{USAGE}");
                return ExitCode::from(2);
            }
        },
        _ => {
            eprintln!("{USAGE}");
            return ExitCode::from(2);
        }
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("formicarium-player: {error}");
            ExitCode::FAILURE
        }
    }
}
