//! Who may come in at the control door: a token for each host process, and the file that tells local tools of it.
//!
//! The token stands in no argument and no environment. Must not know what the door does.

use std::fs;
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

/// The file in a run's folder.
pub const FILE: &str = "control.json";

/// What the file holds.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pass {
    /// Host and port.
    pub address: String,
    /// The operator's token.
    pub token: String,
}

/// The file while the host serves; it goes with this value.
#[derive(Debug)]
pub struct PassFile(PathBuf);

impl Pass {
    /// Writes the file so that nobody but the host's own user can ever read it.
    pub fn write(&self, dir: &Path) -> io::Result<PassFile> {
        let path = dir.join(FILE);
        // Of a host that was killed; a new one, so that nothing that stands there is written through.
        match fs::remove_file(&path) {
            Err(error) if error.kind() != io::ErrorKind::NotFound => return Err(error),
            _ => {}
        }
        let mut file = fs::OpenOptions::new()
            .write(true)
            .create_new(true)
            .mode(0o600)
            .open(&path)?;
        writeln!(file, "{}", serde_json::to_string(self)?)?;
        Ok(PassFile(path))
    }

    /// Reads the file of a run's folder.
    pub fn read(dir: &Path) -> io::Result<Pass> {
        Ok(serde_json::from_slice(&fs::read(dir.join(FILE))?)?)
    }
}

impl Drop for PassFile {
    fn drop(&mut self) {
        if let Err(error) = fs::remove_file(&self.0) {
            tracing::debug!(file = %self.0.display(), %error, "it could not be removed");
        }
    }
}

/// Whether what was given is the token. The time that it takes says nothing of where they differ.
pub(super) fn is_token(given: &str, token: &str) -> bool {
    blake3::hash(given.as_bytes()) == blake3::hash(token.as_bytes())
}
