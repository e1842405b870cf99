//! Files of recordings as they lie in a run's folder: `run.db`, or `run.db.zst` once it is sealed, which is the same file
//! compressed whole.
//!
//! A sealed one is opened through a temporary file that has no name any more: nothing is left behind, the folder may be one
//! that cannot be written, and no copy beside it can grow old. Must not know what is in it.

use std::fs::{self, File, OpenOptions};
use std::io;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use rusqlite::{Connection, OpenFlags};

/// A recording.
pub const OPEN: &str = "run.db";
/// A sealed one.
pub const SEALED: &str = "run.db.zst";
/// What a sealed one is made from.
pub const DRAFT: &str = "run.db.sealing";
/// One that is being made.
pub const PART: &str = "run.db.zst.part";
/// log2 of the furthest repetition that is found, and of the memory that unpacking takes.
pub const WINDOW_LOG: u32 = 27;

/// The recording in a run's folder, or the file itself; none if there is none. While one is being sealed both are there.
pub fn file_of(run: &Path) -> Option<PathBuf> {
    if run.is_file() {
        return Some(run.to_owned());
    }
    [OPEN, SEALED]
        .into_iter()
        .map(|name| run.join(name))
        .find(|file| file.is_file())
}

/// Whether a recording's file is sealed.
pub fn is_sealed(file: &Path) -> bool {
    file.extension().is_some_and(|ending| ending == "zst")
}

/// Opens a recording's file for reading.
///
/// # Errors
/// SQLite's words, or the system's.
pub fn connect(file: &Path) -> Result<Connection, Box<dyn std::error::Error>> {
    let flags = OpenFlags::SQLITE_OPEN_READ_ONLY
        | OpenFlags::SQLITE_OPEN_NO_MUTEX
        | OpenFlags::SQLITE_OPEN_URI;
    if !is_sealed(file) {
        return Ok(Connection::open_with_flags(uri(file)?, flags)?);
    }
    let unpacked = Unpacked::new(file)?;
    let connection = Connection::open_with_flags(uri(&unpacked.0)?, flags)?;
    touch(&connection, "main")?;
    Ok(connection)
}

/// Attaches a recording's file to a connection.
///
/// # Errors
/// SQLite's words, or the system's.
pub fn attach(
    connection: &Connection,
    schema: &str,
    file: &Path,
) -> Result<(), Box<dyn std::error::Error>> {
    let as_schema = |file: &Path| -> Result<(), Box<dyn std::error::Error>> {
        connection.execute(&format!("ATTACH DATABASE ?1 AS {schema}"), [uri(file)?])?;
        touch(connection, schema)?;
        Ok(())
    };
    if !is_sealed(file) {
        return as_schema(file);
    }
    as_schema(&Unpacked::new(file)?.0)
}

/// The file, to be read only, also on a connection that writes another.
fn uri(file: &Path) -> io::Result<String> {
    let mut uri = "file:".to_owned();
    for byte in std::path::absolute(file)?.as_os_str().as_bytes() {
        match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'/' | b'.' | b'_' | b'-' => {
                uri.push(char::from(*byte));
            }
            other => uri += &format!("%{other:02x}"),
        }
    }
    Ok(uri + "?mode=ro")
}

/// Reads a page, so that the file is open before its name is gone.
fn touch(connection: &Connection, schema: &str) -> rusqlite::Result<()> {
    connection.query_row(
        &format!("SELECT count(*) FROM {schema}.sqlite_master"),
        [],
        |_| Ok(()),
    )
}

/// A sealed recording as SQLite reads it, in a file whose name is gone with this.
struct Unpacked(PathBuf);

impl Unpacked {
    fn new(file: &Path) -> io::Result<Unpacked> {
        let name = format!("formicarium-{:032x}.db", rand::random::<u128>());
        let unpacked = Unpacked(std::env::temp_dir().join(name));
        let mut to = OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&unpacked.0)?;
        unpack(&mut File::open(file)?, &mut to)?;
        Ok(unpacked)
    }
}

impl Drop for Unpacked {
    fn drop(&mut self) {
        let _ = fs::remove_file(&self.0);
    }
}

/// Unpacks a sealed file.
pub(super) fn unpack(from: &mut File, to: &mut File) -> io::Result<()> {
    let mut decoder = zstd::Decoder::new(from)?;
    decoder.window_log_max(WINDOW_LOG)?;
    io::copy(&mut decoder, to)?;
    Ok(())
}
