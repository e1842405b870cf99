//! Seals a recording: one read-only file that stands alone, as small as it gets.
//!
//! What a fork has by reference is copied in, SQLite packs its pages, and the file is compressed whole. The open recording is
//! removed only when the sealed one has been read back; killed before that, nothing has changed but a draft, which the next
//! attempt overwrites. Must not know who asks, nor whether a host is at the run: the caller holds its lock.

use std::fs::{self, File, OpenOptions};
use std::io::{self, BufReader, Read, Write};
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};

use rusqlite::Connection;

use super::chain::Chain;
use super::reader::Recording;
use super::rows::Rows;
use super::sealed::{DRAFT, OPEN, PART, SEALED, WINDOW_LOG};
use super::verify::unbroken;
use super::{RecorderError, ancestry};

/// zstd's level: the smallest that its usual memory gives. Unpacking is as fast as after any other.
const LEVEL: i32 = 19;
/// Bytes that are compared at once.
const PIECE: usize = 1 << 20;

/// What became of a recording.
#[derive(Debug, Clone, Copy, PartialEq, Eq, serde::Serialize)]
pub struct Sealed {
    /// Whether it had been sealed before.
    pub already: bool,
    /// Bytes of the recording as SQLite reads it.
    pub open_bytes: u64,
    /// Bytes of the sealed file.
    pub sealed_bytes: u64,
}

/// Seals the recording in a run's folder. One that is sealed stays as it is.
///
/// # Errors
/// It is no recording, is damaged, needs a parent that is gone, or the folder cannot be written.
pub fn seal(folder: &Path) -> Result<Sealed, RecorderError> {
    let (open, sealed) = (folder.join(OPEN), folder.join(SEALED));
    let io = |path: &Path| {
        let path = path.to_owned();
        move |source| RecorderError::Io { path, source }
    };
    if !open.exists() && sealed.is_file() {
        // Cut off behind the last step that counts.
        leave_nothing(folder)?;
        let unpacked = zstd::Decoder::new(File::open(&sealed).map_err(io(&sealed))?);
        let open_bytes = unpacked
            .and_then(|mut reader| {
                reader.window_log_max(WINDOW_LOG)?;
                io::copy(&mut reader, &mut io::sink())
            })
            .map_err(io(&sealed))?;
        return Ok(Sealed {
            already: true,
            open_bytes,
            sealed_bytes: fs::metadata(&sealed).map_err(io(&sealed))?.len(),
        });
    }
    leave_nothing(folder)?;
    let draft = folder.join(DRAFT);
    pack(folder, &draft)?;
    let faults = unbroken(&draft)?;
    if let Some(fault) = faults.first() {
        let _ = fs::remove_file(&draft);
        return Err(RecorderError::Damaged {
            path: open,
            tick: fault.tick.unwrap_or(0),
            why: format!(
                "{}: {}; it is not sealed. formicarium verify tells all that is wrong with it",
                fault.table, fault.why
            ),
        });
    }
    let part = folder.join(PART);
    compress(&draft, &part).map_err(io(&part))?;
    compare(&draft, &part).map_err(io(&part))?;
    let done = Sealed {
        already: false,
        open_bytes: fs::metadata(&draft).map_err(io(&draft))?.len(),
        sealed_bytes: fs::metadata(&part).map_err(io(&part))?.len(),
    };
    fs::set_permissions(&part, fs::Permissions::from_mode(0o444)).map_err(io(&part))?;
    fs::rename(&part, &sealed).map_err(io(&sealed))?;
    let directory = File::open(folder).map_err(io(folder))?;
    directory.sync_all().map_err(io(folder))?;
    // From here on the sealed one is what counts as soon as the other is gone.
    fs::remove_file(&open).map_err(io(&open))?;
    leave_nothing(folder)?;
    directory.sync_all().map_err(io(folder))?;
    Ok(done)
}

/// Removes what earlier attempts have left, and the write-ahead log of a recording that is gone.
fn leave_nothing(folder: &Path) -> Result<(), RecorderError> {
    let is_open = folder.join(OPEN).exists();
    let logs = ["run.db-wal", "run.db-shm"]
        .into_iter()
        .filter(|_| !is_open);
    for name in [DRAFT, "run.db.sealing-journal", PART]
        .into_iter()
        .chain(logs)
    {
        match fs::remove_file(folder.join(name)) {
            Err(source) if source.kind() != io::ErrorKind::NotFound => {
                let path = folder.join(name);
                return Err(RecorderError::Io { path, source });
            }
            _ => {}
        }
    }
    Ok(())
}

/// Writes the whole recording into one file, its pages packed.
fn pack(folder: &Path, draft: &Path) -> Result<(), RecorderError> {
    let recording = Recording::open(folder)?;
    let sql = |source| RecorderError::Sql {
        path: draft.to_owned(),
        source,
    };
    let name = draft.to_str().ok_or_else(|| RecorderError::Foreign {
        path: draft.to_owned(),
        why: "the name of its folder is no UTF-8, and SQLite wants one".into(),
    })?;
    // Not by the connection that has ancestors: where a view has a table's name, VACUUM cannot make that table's indices.
    let (_, bare) = Recording::connect(folder)?;
    bare.execute("VACUUM main INTO ?1", [name]).map_err(sql)?;
    drop(bare);
    if recording.ancestors().is_empty() {
        return Ok(());
    }
    let (path, mut meta) = (recording.path().to_owned(), recording.meta.clone());
    drop(recording);
    let mut connection = Connection::open(draft).map_err(sql)?;
    let list = ancestry::attach(&connection, &path, meta.parent.as_ref())?;
    let begin = ancestry::chain(meta.parent.as_ref());
    if let Some(history) = meta.parent.as_mut().and_then(|of| of.history.as_mut()) {
        history.copied = true;
    }
    let copy = |connection: &mut Connection| -> rusqlite::Result<()> {
        let transaction = connection.transaction()?;
        let mut chain = Chain::resume(&transaction, begin)?;
        ancestry::copy(&transaction, &list)?;
        Rows::new(&transaction, &mut chain).stands_alone(&meta)?;
        transaction.commit()
    };
    copy(&mut connection).map_err(sql)?;
    drop(connection);
    // What was put before rows that stood there has torn pages.
    let bare = Connection::open(draft).map_err(sql)?;
    bare.execute_batch("VACUUM").map_err(sql)
}

fn compress(from: &Path, to: &Path) -> io::Result<()> {
    let mut from = File::open(from)?;
    let to = OpenOptions::new().write(true).create_new(true).open(to)?;
    let mut encoder = zstd::Encoder::new(to, LEVEL)?;
    encoder.window_log(WINDOW_LOG)?;
    encoder.long_distance_matching(true)?;
    encoder.include_checksum(true)?;
    encoder.set_pledged_src_size(Some(from.metadata()?.len()))?;
    io::copy(&mut from, &mut encoder)?;
    let mut to = encoder.finish()?;
    to.flush()?;
    to.sync_all()
}

/// Whether the compressed file has the bytes of the other.
fn compare(open: &Path, sealed: &Path) -> io::Result<()> {
    let mut unpacked = zstd::Decoder::new(File::open(sealed)?)?;
    unpacked.window_log_max(WINDOW_LOG)?;
    let (mut a, mut b) = (BufReader::new(File::open(open)?), BufReader::new(unpacked));
    let (mut left, mut right) = (vec![0; PIECE], vec![0; PIECE]);
    loop {
        let read = fill(&mut a, &mut left)?;
        if fill(&mut b, &mut right)? != read || left[..read] != right[..read] {
            return Err(io::Error::other("it does not read back as it was written"));
        }
        if read == 0 {
            return Ok(());
        }
    }
}

fn fill(from: &mut impl Read, piece: &mut [u8]) -> io::Result<usize> {
    let mut filled = 0;
    while filled < piece.len() {
        match from.read(&mut piece[filled..])? {
            0 => break,
            read => filled += read,
        }
    }
    Ok(filled)
}

/// The folder of a run that is named by its folder or its recording's file.
pub fn folder_of(run: &Path) -> PathBuf {
    match run.is_file() {
        true => run.parent().unwrap_or(run).to_owned(),
        false => run.to_owned(),
    }
}
