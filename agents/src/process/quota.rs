//! How much seats keep in their folders, held against their limits about once a second.
//!
//! On a thread of its own: counting waits for disks, and nothing that drives agents may. Must not stop anybody itself; it
//! posts that a seat is over. A file that is open and has no name any more is not seen.

use std::fs;
use std::io::ErrorKind;
use std::os::unix::fs::MetadataExt;
use std::path::PathBuf;
use std::sync::Weak;
use std::time::{Duration, Instant};

use super::agents::Shared;
use super::seat::Seat;

/// Shortest time between two counts; a count may take a tenth of the time between it and the next.
const PAUSE: Duration = Duration::from_secs(1);
/// Folders in folders, at most.
const DEPTH: usize = 256;

/// One seat's folders and limits.
#[derive(Debug)]
pub(super) struct Quota {
    slot: usize,
    folders: Vec<PathBuf>,
    bytes: u64,
    files: u64,
}

impl Quota {
    /// The quota of a seat; none if it has no limits.
    pub(super) fn of(slot: usize, seat: &Seat) -> Option<Self> {
        let limits = &seat.plan.program.limits;
        if limits.workspace_bytes.is_none() && limits.workspace_files.is_none() {
            return None;
        }
        Some(Quota {
            slot,
            folders: [&seat.at.workspace, &seat.at.home, &seat.at.tmp]
                .map(Clone::clone)
                .into(),
            bytes: limits.workspace_bytes.unwrap_or(u64::MAX),
            files: limits.workspace_files.unwrap_or(u64::MAX),
        })
    }

    /// Counts, and says in words what is over. Stops counting there.
    fn excess(&self) -> Option<String> {
        let (mut bytes, mut files) = (0u64, 0u64);
        let mut open: Vec<(PathBuf, usize)> = self
            .folders
            .iter()
            .map(|folder| (folder.clone(), 0))
            .collect();
        while let Some((folder, depth)) = open.pop() {
            let entries = match fs::read_dir(&folder) {
                Ok(entries) => entries,
                Err(error) => match error.kind() {
                    // It has just been removed, or was never made.
                    ErrorKind::NotFound | ErrorKind::NotADirectory => continue,
                    ErrorKind::InvalidFilename => return Some(too_deep()),
                    _ => {
                        return Some(format!(
                            "the host cannot count what is in a folder of its own: {error}; give folders back the right to be \
                             read"
                        ));
                    }
                },
            };
            for entry in entries.flatten() {
                let found = match fs::symlink_metadata(entry.path()) {
                    Ok(found) => found,
                    Err(error) if error.kind() == ErrorKind::InvalidFilename => {
                        return Some(too_deep());
                    }
                    Err(_) => continue,
                };
                files += 1;
                // Each name of a file has its part of it.
                bytes = bytes.saturating_add(found.blocks() * 512 / found.nlink().max(1));
                if found.is_dir() {
                    if depth == DEPTH {
                        return Some(too_deep());
                    }
                    open.push((entry.path(), depth + 1));
                }
                if bytes > self.bytes {
                    return Some(format!(
                        "it keeps more than {} bytes in its workspace, home and tmp (limits.workspace_bytes)",
                        self.bytes
                    ));
                }
                if files > self.files {
                    return Some(format!(
                        "it keeps more than {} files and folders in its workspace, home and tmp (limits.workspace_files)",
                        self.files
                    ));
                }
            }
        }
        None
    }
}

fn too_deep() -> String {
    format!(
        "its folders are nested more than {DEPTH} deep, or a path is longer than the system takes"
    )
}

/// Counts for as long as there are agents. A seat that is over is told of once.
pub(super) async fn watch(agents: Weak<Shared>, mut quotas: Vec<Quota>) {
    let mut pause = PAUSE;
    while !quotas.is_empty() {
        tokio::time::sleep(pause).await;
        if agents.strong_count() == 0 {
            return;
        }
        let counted = tokio::task::spawn_blocking(move || {
            let begin = Instant::now();
            let mut over = Vec::new();
            quotas.retain(|quota| match quota.excess() {
                None => true,
                Some(why) => {
                    over.push((quota.slot, why));
                    false
                }
            });
            (quotas, over, begin.elapsed())
        });
        let Ok((left, over, took)) = counted.await else {
            return;
        };
        quotas = left;
        pause = PAUSE.max(took * 10);
        let Some(agents) = agents.upgrade() else {
            return;
        };
        for (slot, why) in over {
            agents.post_over(slot, why);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_over_is_told_and_links_count_once() {
        let base = std::env::temp_dir().join(format!("formicarium-quota-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        fs::create_dir_all(base.join("a/b")).unwrap();
        fs::write(base.join("a/file"), vec![1; 100_000]).unwrap();
        for link in 0..10 {
            fs::hard_link(base.join("a/file"), base.join(format!("a/b/link-{link}"))).unwrap();
        }
        std::os::unix::fs::symlink("/", base.join("a/everything")).unwrap();
        let quota = |bytes, files| Quota {
            slot: 0,
            folders: vec![base.clone(), base.join("missing")],
            bytes,
            files,
        };
        assert_eq!(quota(200_000, 20).excess(), None);
        let over = |quota: Quota| quota.excess().unwrap();
        assert!(over(quota(50_000, 20)).contains("50000 bytes"));
        assert!(over(quota(200_000, 10)).contains("10 files"));
        let mut deep = base.clone();
        for _ in 0..16 {
            deep.push("d".repeat(200));
        }
        fs::create_dir_all(&deep).unwrap();
        assert_eq!(quota(u64::MAX, u64::MAX).excess(), None);
        let mut flat = base.join("n");
        for _ in 0..DEPTH + 1 {
            flat.push("n");
        }
        fs::create_dir_all(&flat).unwrap();
        assert!(over(quota(u64::MAX, u64::MAX)).contains("deep"));
        fs::remove_dir_all(&base).unwrap();
    }
}
