//! `formicarium bridge`: what an ACP agent starts as its tool server. Copies between its own standard streams and a
//! socket, and ends when either side does. Must not know what goes through it.

use std::io::{self, Read, Write};
use std::net::Shutdown;
use std::path::PathBuf;
use std::sync::mpsc;
use std::thread;

use clap::Args;
use formicarium_agents::mcp::socket;

use super::{Exit, fail};

#[derive(Debug, Args)]
pub(super) struct BridgeArgs {
    /// The socket of a seat's tools, in the seat's folder.
    socket: PathBuf,
}

pub(super) fn run(args: &BridgeArgs) -> Exit {
    let both = socket::connect(&args.socket).and_then(|socket| Ok((socket.try_clone()?, socket)));
    let (mut from, mut to) = match both {
        Ok(both) => both,
        Err(error) => {
            let what = format!("no socket of tools at {}: {error}", args.socket.display());
            return fail(Exit::Failed, &io::Error::new(error.kind(), what));
        }
    };
    let (over, is_over) = mpsc::channel();
    let in_over = over.clone();
    thread::spawn(move || {
        copy(&mut io::stdin().lock(), &mut to);
        let _ = to.shutdown(Shutdown::Both);
        let _ = in_over.send(());
    });
    thread::spawn(move || {
        copy(&mut from, &mut io::stdout().lock());
        let _ = over.send(());
    });
    // The other thread ends with the process.
    let _ = is_over.recv();
    Exit::Good
}

/// Copies until there is nothing more, or nobody takes it; each piece goes on at once.
fn copy(from: &mut impl Read, to: &mut impl Write) {
    let mut piece = [0; 16_384];
    loop {
        let length = match from.read(&mut piece) {
            Ok(0) => return,
            Ok(length) => length,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => continue,
            Err(_) => return,
        };
        if to
            .write_all(&piece[..length])
            .and_then(|()| to.flush())
            .is_err()
        {
            return;
        }
    }
}
