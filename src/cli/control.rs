//! `formicarium control`: asks a running host something at its control door (docs/control.md).
//!
//! Finds the door by the file in the run's folder. Must not know what the answers mean.

use std::io::{self, Read, Write};
use std::net::TcpStream;
use std::path::PathBuf;
use std::time::Duration;

use clap::{Args, Subcommand};
use serde_json::{Value, json};

use super::{Exit, pair};
use crate::control::pass::{FILE, Pass};

/// A host that says nothing for so long is stuck.
const PATIENCE: Duration = Duration::from_secs(60);

#[derive(Debug, Args)]
pub(super) struct ControlArgs {
    /// The folder of a run that goes on.
    run: PathBuf,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// How the run stands.
    Status,
    /// Tell a seat something.
    Say {
        /// The seat's name.
        seat: String,
        /// What its agent reads with its next observation.
        text: String,
    },
    /// Another value of a parameter, from the next tick on.
    Set {
        /// Which, and its value.
        #[arg(value_name = "NAME=VALUE", value_parser = pair)]
        set: (String, String),
    },
    /// Another agent on a seat, from the next tick on.
    Swap {
        /// The seat, and its agent as `run --agent` takes it.
        #[arg(value_name = "SEAT=AGENT", value_parser = pair)]
        swap: (String, String),
    },
    /// Make no tick until told to.
    Pause,
    /// Make ticks again.
    Resume,
    /// Of a paused run: make some ticks, then pause again.
    Step {
        /// How many.
        #[arg(default_value_t = 1)]
        ticks: u64,
    },
    /// End the host as Ctrl-C does; `formicarium resume` goes on with the run.
    Stop,
}

impl What {
    /// Method, path and body.
    fn request(&self) -> (&'static str, &'static str, Option<Value>) {
        match self {
            What::Status => ("GET", "status", None),
            What::Say { seat, text } => ("POST", "say", Some(json!({"seat": seat, "text": text}))),
            What::Set { set: (name, value) } => {
                ("POST", "set", Some(json!({"name": name, "value": value})))
            }
            What::Swap {
                swap: (seat, agent),
            } => ("POST", "swap", Some(json!({"seat": seat, "agent": agent}))),
            What::Pause => ("POST", "pause", None),
            What::Resume => ("POST", "resume", None),
            What::Step { ticks } => ("POST", "step", Some(json!({"ticks": ticks}))),
            What::Stop => ("POST", "stop", None),
        }
    }
}

pub(super) fn run(args: &ControlArgs) -> Exit {
    let pass = match Pass::read(&args.run) {
        Ok(pass) => pass,
        Err(error) => {
            let file = args.run.join(FILE);
            eprintln!(
                "formicarium: {} cannot be read: {error}\n  it is there while a host with a page runs",
                file.display()
            );
            return Exit::Usage;
        }
    };
    match ask(&pass, args.what.request()) {
        Ok((200..300, answer)) => {
            println!("{}", answer.trim_end());
            Exit::Good
        }
        Ok((status, answer)) => {
            let value: Value = serde_json::from_str(&answer).unwrap_or_default();
            let message = value["message"].as_str().unwrap_or(answer.trim_end());
            eprintln!("formicarium: {message} (status {status})");
            Exit::Usage
        }
        Err(error) => {
            eprintln!(
                "formicarium: the host at {} does not answer: {error}\n  it may have been killed; `formicarium resume` goes on",
                pass.address
            );
            Exit::Failed
        }
    }
}

/// One request over HTTP/1.0, whose answer ends with the connection: its status and body.
fn ask(
    pass: &Pass,
    (method, path, body): (&str, &str, Option<Value>),
) -> io::Result<(u16, String)> {
    let mut stream = TcpStream::connect(&pass.address)?;
    stream.set_read_timeout(Some(PATIENCE))?;
    stream.set_write_timeout(Some(PATIENCE))?;
    let body = body.map_or(String::new(), |body| body.to_string());
    let request = format!(
        "{method} /control/{path} HTTP/1.0\r\nHost: {}\r\nAuthorization: Bearer {}\r\n\
         Content-Type: application/json\r\nContent-Length: {}\r\n\r\n{body}",
        pass.address,
        pass.token,
        body.len()
    );
    stream.write_all(request.as_bytes())?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let bad = || io::Error::other("it does not speak HTTP");
    let (head, body) = answer.split_once("\r\n\r\n").ok_or_else(bad)?;
    let status = head.split(' ').nth(1).and_then(|word| word.parse().ok());
    Ok((status.ok_or_else(bad)?, body.to_owned()))
}
