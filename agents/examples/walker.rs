//! A whole agent in Rust: walks in circles. It knows the lines of protocol 1 and nothing of the host.

use serde_json::{Value, json};
use std::io::{Write, stdin, stdout};

fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut moves = ["north", "east", "south", "west"].into_iter().cycle();
    for line in stdin().lines() {
        let message: Value = serde_json::from_str(&line?)?;
        let answer = match message["type"].as_str() {
            Some("hello") => json!({"type": "ready", "name": "walker.rs"}),
            Some("observe") => json!({"type": "act", "tick": message["tick"],
                "actions": [{"name": "move", "args": {"dir": moves.next()}}]}),
            _ => break,
        };
        writeln!(stdout(), "{answer}")?;
    }
    Ok(())
}
