//! A seat's tools on a socket in its folder: for agents that start their tool servers themselves, as a bridge to it.
//!
//! A socket with a path needs no secret: who may reach it is a matter of the folder's rights. Nothing here blocks or
//! waits; whoever drives it says when there is something to do. Everything is bounded: connections, lines, and what
//! waits to be written. Must not know what a line means.

use std::fs::{File, Permissions};
use std::io::{self, ErrorKind, Read, Write};
use std::net::Shutdown;
use std::os::fd::{AsFd, AsRawFd, BorrowedFd};
use std::os::unix::fs::{OpenOptionsExt, PermissionsExt, lchown};
use std::os::unix::net::{UnixListener, UnixStream};
use std::path::{Path, PathBuf};

use nix::sys::socket::getsockopt;
use nix::sys::socket::sockopt::PeerCredentials;
use serde_json::Value;

use crate::adapter::lines::{Lines, Piece};
use crate::isolation::Owner;

/// The socket's name in the seat's folder.
pub const NAME: &str = "mcp.sock";
/// Connections at a time; an agent needs one, and one more while it starts its servers anew.
pub const CONNECTIONS: usize = 4;
/// Longest line of a client.
pub const LINE_BYTES: usize = 1 << 20;
/// What may wait for a client that does not read; more, and its connection is closed.
pub const WAITING_BYTES: usize = 4 << 20;

/// The listener and its connections.
#[derive(Debug)]
pub struct Socket {
    listener: UnixListener,
    path: PathBuf,
    places: [Option<Connection>; CONNECTIONS],
    next: u32,
}

#[derive(Debug)]
struct Connection {
    id: u32,
    stream: UnixStream,
    lines: Lines,
    waiting: Vec<u8>,
}

/// What a connection brought.
#[derive(Debug, PartialEq, Eq)]
pub enum Got {
    /// A line of this connection, without its newline.
    Line(u32, Vec<u8>),
    /// A line was longer than [`LINE_BYTES`]. The connection is closed.
    TooLong(u32),
    /// The connection has ended.
    Closed(u32),
}

/// A JSON value as a line.
pub fn line(value: &Value) -> Vec<u8> {
    let mut line = value.to_string().into_bytes();
    line.push(b'\n');
    line
}

/// Uses a path of any length where the system takes 107 bytes: by way of its open folder.
fn short<T>(path: &Path, use_it: impl FnOnce(&Path) -> io::Result<T>) -> io::Result<T> {
    let (Some(folder), Some(name)) = (path.parent(), path.file_name()) else {
        return Err(ErrorKind::InvalidInput.into());
    };
    let folder = match folder.as_os_str().is_empty() {
        true => Path::new("."),
        false => folder,
    };
    // As a place only: who may pass through a folder may not always read it.
    let folder = File::options()
        .read(true)
        .custom_flags(nix::libc::O_PATH)
        .open(folder)?;
    use_it(
        &Path::new("/proc/self/fd")
            .join(folder.as_raw_fd().to_string())
            .join(name),
    )
}

/// Connects to a socket whose path may have any length.
///
/// # Errors
/// As the system says.
pub fn connect(path: &Path) -> io::Result<UnixStream> {
    short(path, |path| UnixStream::connect(path))
}

/// Makes a listening socket in a folder, in place of one that was left there. The socket is for its owner alone, and
/// without an owner so is the folder.
///
/// # Errors
/// As the system says.
pub(crate) fn bind(
    folder: &Path,
    name: &str,
    owner: Option<Owner>,
) -> io::Result<(UnixListener, PathBuf)> {
    if owner.is_none() {
        std::fs::set_permissions(folder, Permissions::from_mode(0o700))?;
    }
    let path = folder.join(name);
    match std::fs::remove_file(&path) {
        Err(error) if error.kind() != ErrorKind::NotFound => return Err(error),
        _ => {}
    }
    let listener = short(&path, |path| UnixListener::bind(path))?;
    listener.set_nonblocking(true)?;
    std::fs::set_permissions(&path, Permissions::from_mode(0o600))?;
    if let Some(owner) = owner {
        lchown(&path, Some(owner.uid), Some(owner.gid))?;
    }
    Ok((listener, path))
}

impl Socket {
    /// Makes the socket in a folder, in place of one that was left there. The socket is for its owner alone, and without
    /// an owner so is the folder.
    ///
    /// # Errors
    /// As the system says.
    pub fn open(folder: &Path, owner: Option<Owner>) -> io::Result<Self> {
        let (listener, path) = bind(folder, NAME, owner)?;
        Ok(Self {
            listener,
            path,
            places: Default::default(),
            next: 0,
        })
    }

    /// Readable when somebody wants to connect.
    pub fn listener(&self) -> BorrowedFd<'_> {
        self.listener.as_fd()
    }

    /// A connection's descriptor, and whether it waits for room to write.
    pub fn place(&self, place: usize) -> Option<(BorrowedFd<'_>, bool)> {
        let connection = self.places.get(place)?.as_ref()?;
        Some((connection.stream.as_fd(), !connection.waiting.is_empty()))
    }

    /// The process that made a connection.
    pub fn peer(&self, place: usize) -> Option<i32> {
        let connection = self.places.get(place)?.as_ref()?;
        let peer = getsockopt(&connection.stream, PeerCredentials).ok()?;
        Some(peer.pid())
    }

    /// Sends a connection away.
    pub fn dismiss(&mut self, place: usize) {
        if let Some(place) = self.places.get_mut(place) {
            *place = None;
        }
    }

    /// Takes one of those who want to connect, and says its place. Whoever finds no place is sent away.
    pub fn accept(&mut self) -> Option<usize> {
        loop {
            let Ok((stream, _)) = self.listener.accept() else {
                return None;
            };
            let free = self.places.iter().position(Option::is_none);
            if let Some(place) = free.filter(|_| stream.set_nonblocking(true).is_ok()) {
                self.next = self.next.wrapping_add(1);
                self.places[place] = Some(Connection {
                    id: self.next,
                    stream,
                    lines: Lines::new(LINE_BYTES),
                    waiting: Vec::new(),
                });
                return Some(place);
            }
        }
    }

    /// Reads once what a connection brings, through a buffer.
    pub fn read(&mut self, place: usize, buffer: &mut [u8]) -> Vec<Got> {
        let mut got = Vec::new();
        let Some(Some(connection)) = self.places.get_mut(place) else {
            return got;
        };
        let id = connection.id;
        let ended = match connection.stream.read(buffer) {
            Ok(0) => true,
            Ok(length) => {
                connection.lines.read(&buffer[..length], |piece| {
                    got.push(match piece {
                        Piece::Line(line) => Got::Line(id, line.to_vec()),
                        Piece::TooLong => Got::TooLong(id),
                    });
                });
                got.contains(&Got::TooLong(id))
            }
            Err(error) => !matches!(error.kind(), ErrorKind::WouldBlock | ErrorKind::Interrupted),
        };
        if ended {
            self.places[place] = None;
            got.push(Got::Closed(id));
        }
        got
    }

    /// Writes a line to a connection, and says its place; none if it is closed. What it does not take waits.
    pub fn send(&mut self, id: u32, line: &[u8]) -> Option<usize> {
        let place = self
            .places
            .iter()
            .position(|place| place.as_ref().is_some_and(|found| found.id == id))?;
        let connection = self.places[place].as_mut()?;
        if connection.waiting.len() + line.len() > WAITING_BYTES {
            // Its end is seen where it is read.
            let _ = connection.stream.shutdown(Shutdown::Both);
            connection.waiting = Vec::new();
            return Some(place);
        }
        connection.waiting.extend_from_slice(line);
        self.write(place);
        Some(place)
    }

    /// Writes what waits, as far as there is room.
    pub fn write(&mut self, place: usize) {
        let Some(Some(connection)) = self.places.get_mut(place) else {
            return;
        };
        let mut done = 0;
        while done < connection.waiting.len() {
            match connection.stream.write(&connection.waiting[done..]) {
                Ok(length) => done += length,
                Err(error) if error.kind() == ErrorKind::Interrupted => {}
                Err(error) if error.kind() == ErrorKind::WouldBlock => break,
                Err(_) => {
                    done = connection.waiting.len();
                }
            }
        }
        connection.waiting.drain(..done);
    }
}

impl Drop for Socket {
    fn drop(&mut self) {
        let _ = std::fs::remove_file(&self.path);
    }
}

#[cfg(test)]
mod tests {
    use std::io::BufRead;

    use super::*;

    struct Folder(PathBuf);

    impl Folder {
        fn new(name: &str) -> Self {
            let path = std::env::temp_dir()
                .join(format!("formicarium-socket-{}-{name}", std::process::id()));
            let _ = std::fs::remove_dir_all(&path);
            std::fs::create_dir_all(&path).unwrap();
            Self(path)
        }
    }

    impl Drop for Folder {
        fn drop(&mut self) {
            let _ = std::fs::remove_dir_all(&self.0);
        }
    }

    fn read(socket: &mut Socket, place: usize) -> Vec<Got> {
        socket.read(place, &mut [0; 4096])
    }

    #[test]
    fn lines_go_both_ways_however_long_the_path_is() {
        let folder = Folder::new("long");
        let deep = folder.0.join("x".repeat(100)).join("y".repeat(100));
        std::fs::create_dir_all(&deep).unwrap();
        let mut socket = Socket::open(&deep, None).unwrap();
        let path = deep.join(NAME);
        let mode = |path: &Path| std::fs::metadata(path).unwrap().permissions().mode() & 0o777;
        assert_eq!((mode(&deep), mode(&path)), (0o700, 0o600));
        assert!(
            UnixStream::connect(&path).is_err(),
            "the system takes no such path"
        );
        let mut client = connect(&path).unwrap();
        let place = socket.accept().unwrap();
        assert_eq!(socket.accept(), None);
        assert_eq!(read(&mut socket, place), [], "nothing yet");
        client.write_all(b"one\ntw").unwrap();
        assert_eq!(read(&mut socket, place), [Got::Line(1, b"one".to_vec())]);
        client.write_all(b"o\n").unwrap();
        assert_eq!(read(&mut socket, place), [Got::Line(1, b"two".to_vec())]);
        assert_eq!(socket.send(1, b"answer\n"), Some(place));
        let mut answer = String::new();
        io::BufReader::new(client).read_line(&mut answer).unwrap();
        assert_eq!(answer, "answer\n");
        assert_eq!(read(&mut socket, place), [Got::Closed(1)]);
        assert_eq!(socket.send(1, b"to the dead\n"), None);
        drop(socket);
        assert!(!path.exists());
    }

    #[test]
    fn what_is_left_there_is_replaced_and_the_fifth_is_sent_away() {
        let folder = Folder::new("many");
        let left = Socket::open(&folder.0, None).unwrap();
        std::mem::forget(left);
        let mut socket = Socket::open(&folder.0, None).unwrap();
        let path = folder.0.join(NAME);
        let mut clients: Vec<UnixStream> =
            (0..=CONNECTIONS).map(|_| connect(&path).unwrap()).collect();
        let places: Vec<usize> = std::iter::from_fn(|| socket.accept()).collect();
        assert_eq!(places, [0, 1, 2, 3]);
        let mut fifth = clients.pop().unwrap();
        assert_eq!(fifth.read(&mut [0; 1]).unwrap(), 0, "sent away");
        drop(clients.remove(1));
        assert_eq!(read(&mut socket, 1), [Got::Closed(2)]);
        let _again = connect(&path).unwrap();
        assert_eq!(socket.accept(), Some(1));
        assert_eq!(socket.send(2, b"x\n"), None, "numbers are not given twice");
        assert_eq!(socket.send(5, b"x\n"), Some(1));
    }

    #[test]
    fn who_writes_or_leaves_too_much_is_closed() {
        let folder = Folder::new("much");
        let mut socket = Socket::open(&folder.0, None).unwrap();
        let path = folder.0.join(NAME);
        let mut client = connect(&path).unwrap();
        let place = socket.accept().unwrap();
        client.set_nonblocking(true).unwrap();
        let mut seen = Vec::new();
        while seen.is_empty() {
            let _ = client.write(&[b'x'; 65536]);
            seen = socket.read(place, &mut [0; 65536]);
        }
        assert_eq!(seen, [Got::TooLong(1), Got::Closed(1)]);

        let client = connect(&path).unwrap();
        let place = socket.accept().unwrap();
        let line = vec![b'y'; 1 << 20];
        for _ in 0..4 {
            socket.send(2, &line);
        }
        assert!(socket.place(place).unwrap().1, "waits for room");
        for _ in 0..4 {
            socket.send(2, &line);
        }
        assert_eq!(read(&mut socket, place), [Got::Closed(2)]);
        drop(client);
    }
}
