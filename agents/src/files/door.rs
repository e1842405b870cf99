//! The command `desk` of a seat: a script in its program folder, and the socket in the seat's folder that it talks to.
//!
//! A line of the socket is a request as an agent would write it on its output (`lease`, `publish`, `files`), and the answer
//! is a line too. Whoever connects is known by its user where seats have users of their own; elsewhere the first line is a
//! token that lies where only this seat's programs can read. Must not know what a request means.

use std::fs;
use std::io::{self, Write};
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use subtle::ConstantTimeEq;
use tokio::io::{AsyncBufReadExt, AsyncReadExt, AsyncWriteExt, BufReader};
use tokio::net::{UnixListener, UnixStream};
use tokio::sync::Semaphore;
use tokio::time::timeout;

use super::{Asker, words};
use crate::isolation::Owner;
use crate::mcp::socket;
use crate::protocol::{self, FromAgent, decode_from_agent};
use crate::workspace::{self, WorkspaceError};

/// The socket's name in the seat's folder.
pub const SOCKET: &str = "desk.sock";
/// The token's name in the seat's program folder.
pub const TOKEN: &str = "desk.token";
/// The command's name there.
const COMMAND: &str = "desk";
/// Connections of one seat at a time.
const CONNECTIONS: usize = 8;
/// Longest line, its newline included.
const LINE_BYTES: u64 = 1 << 20;
/// A connection that says nothing for so long is closed.
const IDLE: Duration = Duration::from_secs(60);

/// How whoever connects is known.
#[derive(Debug, Clone)]
enum Caller {
    /// By its user.
    User(u32),
    /// By what it can read.
    Token(Arc<str>),
}

/// A seat's socket, not listened to yet.
#[derive(Debug)]
pub struct Door {
    listener: std::os::unix::net::UnixListener,
    caller: Caller,
}

/// Writes the command into a seat's program folder: a script that starts `host desk`, and the token where one is needed.
///
/// # Errors
/// As the system says.
pub fn install(
    at: &workspace::Workspace,
    host: &Path,
    token: Option<&str>,
) -> Result<(), WorkspaceError> {
    let quoted = |path: &Path| format!("'{}'", path.display().to_string().replace('\'', r"'\''"));
    let script = format!(
        "#!/bin/sh\n# Leases and publishes files of the folder `shared`: desk --help\nexec {} desk --at {} \"$@\"\n",
        quoted(host),
        quoted(&at.root)
    );
    workspace::add_program(at, COMMAND, script.as_bytes(), 0o555)?;
    if let Some(token) = token {
        workspace::add_program(at, TOKEN, token.as_bytes(), 0o400)?;
    }
    Ok(())
}

impl Door {
    /// Makes the socket in a seat's folder, in place of one that was left there.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(root: &Path, owner: Option<Owner>, token: Option<&str>) -> io::Result<Door> {
        let caller = match (owner, token) {
            (Some(owner), _) => Caller::User(owner.uid),
            (None, Some(token)) => Caller::Token(token.into()),
            (None, None) => return Err(io::ErrorKind::InvalidInput.into()),
        };
        let (listener, _) = socket::bind(root, SOCKET, owner)?;
        Ok(Door { listener, caller })
    }

    /// Answers whoever may ask, until the task is dropped.
    ///
    /// # Errors
    /// The system has no place for the socket in its runtime.
    pub async fn serve(self, asker: Asker) -> io::Result<()> {
        let listener = UnixListener::from_std(self.listener)?;
        let places = Arc::new(Semaphore::new(CONNECTIONS));
        loop {
            let stream = match listener.accept().await {
                Ok((stream, _)) => stream,
                Err(_) => {
                    // Out of descriptors: others give theirs back.
                    tokio::time::sleep(Duration::from_millis(50)).await;
                    continue;
                }
            };
            let Ok(place) = Arc::clone(&places).try_acquire_owned() else {
                tokio::spawn(send_away(stream));
                continue;
            };
            let (asker, caller) = (asker.clone(), self.caller.clone());
            tokio::spawn(async move {
                // A connection that breaks is the caller's loss.
                let _ = talk(stream, asker, caller).await;
                drop(place);
            });
        }
    }
}

async fn send_away(mut stream: UnixStream) {
    let answer = words::plain(
        None,
        "flood",
        &format!("{CONNECTIONS} calls of desk are under way already; try again"),
    );
    let _ = timeout(IDLE, stream.write_all(&line(answer))).await;
}

fn line(answer: protocol::Files) -> Vec<u8> {
    protocol::encode(&protocol::ToAgent::Files(answer))
}

/// One connection: who it is, then requests one after the other.
async fn talk(mut stream: UnixStream, asker: Asker, caller: Caller) -> io::Result<()> {
    let mut is_known = match &caller {
        Caller::User(uid) => stream.peer_cred()?.uid() == *uid,
        Caller::Token(_) => false,
    };
    let (read, mut write) = stream.split();
    let mut read = BufReader::new(read);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let mut limited = (&mut read).take(LINE_BYTES);
        let length = timeout(IDLE, limited.read_until(b'\n', &mut bytes)).await??;
        if length == 0 {
            return Ok(());
        }
        if let Caller::Token(token) = &caller
            && !is_known
        {
            is_known = token.as_bytes().ct_eq(bytes.trim_ascii_end()).into();
            if is_known {
                continue;
            }
        }
        let answer = if !is_known {
            let why = "this socket is another seat's: `desk` on your own PATH knows yours";
            write
                .write_all(&line(words::plain(None, "stranger", why)))
                .await?;
            return Ok(());
        } else if !bytes.ends_with(b"\n") {
            let why = format!("a request has at most {LINE_BYTES} bytes and ends with a newline");
            write
                .write_all(&line(words::plain(None, "request", &why)))
                .await?;
            return Ok(());
        } else {
            match decode_from_agent(&bytes) {
                Ok(
                    request @ (FromAgent::Lease(_) | FromAgent::Publish(_) | FromAgent::Files(_)),
                ) => asker.ask(request).await,
                Ok(_) => words::plain(
                    None,
                    "request",
                    "this socket takes `lease`, `publish` and `files`; everything else goes to standard output",
                ),
                Err(error) => words::plain(None, "request", &error.to_string()),
            }
        };
        write.write_all(&line(answer)).await?;
    }
}

/// The other end: what the command `desk` does. `at` is the seat's folder.
///
/// # Errors
/// There is no host, or it does not answer.
pub fn ask(at: &Path, request: &FromAgent) -> io::Result<protocol::Files> {
    let mut stream = socket::connect(&at.join(SOCKET))?;
    if let Ok(token) = fs::read_to_string(at.join("program").join(TOKEN)) {
        stream.write_all(token.trim_end().as_bytes())?;
        stream.write_all(b"\n")?;
    }
    stream.write_all(&protocol::encode(request))?;
    let mut answer = Vec::new();
    let mut lines = io::BufReader::new(stream);
    io::BufRead::read_until(&mut lines, b'\n', &mut answer)?;
    match protocol::decode_to_agent(&answer) {
        Ok(protocol::ToAgent::Files(files)) => Ok(files),
        Ok(_) => Err(io::ErrorKind::InvalidData.into()),
        Err(_) if answer.is_empty() => Err(io::Error::new(
            io::ErrorKind::UnexpectedEof,
            "the run is over",
        )),
        Err(error) => Err(io::Error::new(io::ErrorKind::InvalidData, error)),
    }
}
