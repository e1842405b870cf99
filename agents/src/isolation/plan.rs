//! A seat's confinement as data, and its form on the wire from host to keeper.
//!
//! Must not apply anything.

use std::ffi::OsStr;
use std::fmt;
use std::os::unix::ffi::OsStrExt;
use std::path::PathBuf;
use std::str::FromStr;

/// How strongly seats are kept apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Level {
    /// A user of its own for each seat, with Landlock and seccomp. The host is root.
    Uid,
    /// Landlock and seccomp alone; all seats run as the host's user.
    Landlock,
    /// Nothing is enforced.
    Advisory,
}

impl Level {
    /// All, strongest first.
    pub const ALL: [Level; 3] = [Level::Uid, Level::Landlock, Level::Advisory];

    /// Its word on the command line, in recordings and on the page.
    pub fn word(self) -> &'static str {
        match self {
            Level::Uid => "uid",
            Level::Landlock => "landlock",
            Level::Advisory => "advisory",
        }
    }
}

impl fmt::Display for Level {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        out.write_str(self.word())
    }
}

impl FromStr for Level {
    type Err = String;

    fn from_str(word: &str) -> Result<Self, String> {
        Level::ALL
            .into_iter()
            .find(|level| level.word() == word)
            .ok_or_else(|| {
                format!("{word:?} is no isolation level; it is uid, landlock or advisory")
            })
    }
}

/// A user and a group that a seat's process runs as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Owner {
    /// The user.
    pub uid: u32,
    /// The group.
    pub gid: u32,
}

/// What the host decides about a seat's confinement; the rest follows from its folders and its program.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Isolation {
    /// How strongly it is kept apart.
    pub level: Level,
    /// Whom it runs as; at level `uid` alone.
    pub owner: Option<Owner>,
    /// The files that all agents have in common, read-only.
    pub shared: Option<PathBuf>,
}

impl Isolation {
    /// Nothing is enforced.
    pub const ADVISORY: Isolation = Isolation {
        level: Level::Advisory,
        owner: None,
        shared: None,
    };

    /// Landlock and seccomp, as the host's user.
    pub const LANDLOCK: Isolation = Isolation {
        level: Level::Landlock,
        owner: None,
        shared: None,
    };

    /// A user of its own.
    pub fn uid(owner: Owner) -> Self {
        Isolation {
            level: Level::Uid,
            owner: Some(owner),
            shared: None,
        }
    }
}

/// Limits that the kernel keeps for a process; none: as the host has it.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rlimits {
    /// Writable private memory in bytes (RLIMIT_DATA).
    pub memory_bytes: Option<u64>,
    /// Processes and threads of the user (RLIMIT_NPROC).
    pub processes: Option<u64>,
    /// Open files of one process (RLIMIT_NOFILE).
    pub files: Option<u64>,
    /// Size of one file in bytes (RLIMIT_FSIZE).
    pub file_bytes: Option<u64>,
    /// Processor seconds of one process (RLIMIT_CPU).
    pub cpu_seconds: Option<u64>,
}

/// All that is enforced on one seat's process.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Plan {
    /// How strongly it is kept apart.
    pub level: Level,
    /// Whom it runs as; none: the host's user.
    pub owner: Option<Owner>,
    /// Folders and files that it may read and execute. Those that are missing are left out.
    pub read: Vec<PathBuf>,
    /// Folders that it may also write. All must be there.
    pub write: Vec<PathBuf>,
    /// TCP ports that it may connect to, on any address.
    pub ports: Vec<u16>,
    /// Limits.
    pub limits: Rlimits,
}

impl Plan {
    /// Nothing is enforced.
    pub const ADVISORY: Plan = Plan {
        level: Level::Advisory,
        owner: None,
        read: Vec::new(),
        write: Vec::new(),
        ports: Vec::new(),
        limits: Rlimits {
            memory_bytes: None,
            processes: None,
            files: None,
            file_bytes: None,
            cpu_seconds: None,
        },
    };

    /// As bytes.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let level = Level::ALL.iter().position(|level| *level == self.level);
        out.push(level.unwrap_or(0) as u8);
        let owner = self.owner.unwrap_or(Owner {
            uid: NONE_32,
            gid: NONE_32,
        });
        out.extend_from_slice(&owner.uid.to_le_bytes());
        out.extend_from_slice(&owner.gid.to_le_bytes());
        let Rlimits {
            memory_bytes,
            processes,
            files,
            file_bytes,
            cpu_seconds,
        } = self.limits;
        for limit in [memory_bytes, processes, files, file_bytes, cpu_seconds] {
            out.extend_from_slice(&limit.unwrap_or(NONE_64).to_le_bytes());
        }
        out.extend_from_slice(&(self.ports.len() as u32).to_le_bytes());
        for port in &self.ports {
            out.extend_from_slice(&port.to_le_bytes());
        }
        for paths in [&self.read, &self.write] {
            out.extend_from_slice(&(paths.len() as u32).to_le_bytes());
            for path in paths {
                let bytes = path.as_os_str().as_bytes();
                out.extend_from_slice(&(bytes.len() as u32).to_le_bytes());
                out.extend_from_slice(bytes);
            }
        }
    }

    /// From the front of `bytes`, which then begins behind it.
    pub(crate) fn decode(bytes: &mut &[u8]) -> Option<Self> {
        let [level] = take(bytes)?;
        let level = *Level::ALL.get(usize::from(level))?;
        let (uid, gid) = (number(bytes)?, number(bytes)?);
        let mut limits = [None; 5];
        for limit in &mut limits {
            let value = u64::from_le_bytes(take(bytes)?);
            *limit = (value != NONE_64).then_some(value);
        }
        let [memory_bytes, processes, files, file_bytes, cpu_seconds] = limits;
        let mut ports = Vec::new();
        for _ in 0..number(bytes)? {
            ports.push(u16::from_le_bytes(take(bytes)?));
        }
        let mut paths = [Vec::new(), Vec::new()];
        for paths in &mut paths {
            for _ in 0..number(bytes)? {
                let length = number(bytes)? as usize;
                let (path, rest) = bytes.split_at_checked(length)?;
                *bytes = rest;
                paths.push(PathBuf::from(OsStr::from_bytes(path)));
            }
        }
        let [read, write] = paths;
        Some(Plan {
            level,
            owner: (uid != NONE_32).then_some(Owner { uid, gid }),
            read,
            write,
            ports,
            limits: Rlimits {
                memory_bytes,
                processes,
                files,
                file_bytes,
                cpu_seconds,
            },
        })
    }
}

/// No user has this number: to the kernel it means "leave it".
const NONE_32: u32 = u32::MAX;
/// What the kernel takes for no limit.
const NONE_64: u64 = u64::MAX;

fn take<const N: usize>(bytes: &mut &[u8]) -> Option<[u8; N]> {
    let (first, rest) = bytes.split_first_chunk()?;
    *bytes = rest;
    Some(*first)
}

fn number(bytes: &mut &[u8]) -> Option<u32> {
    take(bytes).map(u32::from_le_bytes)
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use proptest::prelude::*;

    fn limit() -> impl Strategy<Value = Option<u64>> {
        proptest::option::of(0..u64::MAX)
    }

    fn paths() -> impl Strategy<Value = Vec<PathBuf>> {
        proptest::collection::vec("[^\0]{0,9}".prop_map(PathBuf::from), 0..5)
    }

    pub(crate) fn plans() -> impl Strategy<Value = Plan> {
        (
            0..3usize,
            proptest::option::of((0..u32::MAX, any::<u32>())),
            paths(),
            paths(),
            any::<Vec<u16>>(),
            (limit(), limit(), limit(), limit(), limit()),
        )
            .prop_map(|(level, owner, read, write, ports, limits)| Plan {
                level: Level::ALL[level],
                owner: owner.map(|(uid, gid)| Owner { uid, gid }),
                read,
                write,
                ports,
                limits: Rlimits {
                    memory_bytes: limits.0,
                    processes: limits.1,
                    files: limits.2,
                    file_bytes: limits.3,
                    cpu_seconds: limits.4,
                },
            })
    }

    proptest! {
        #[test]
        fn a_plan_comes_back_and_leaves_what_follows(plan in plans(), after: Vec<u8>) {
            let mut bytes = Vec::new();
            plan.encode(&mut bytes);
            bytes.extend_from_slice(&after);
            let mut rest = &bytes[..];
            prop_assert_eq!(Plan::decode(&mut rest), Some(plan));
            prop_assert_eq!(rest, &after[..]);
        }

        #[test]
        fn no_bytes_are_a_panic(bytes: Vec<u8>) {
            let _ = Plan::decode(&mut &bytes[..]);
        }
    }

    #[test]
    fn levels_have_words() {
        for level in Level::ALL {
            assert_eq!(level.word().parse(), Ok(level));
        }
        assert!("root".parse::<Level>().unwrap_err().contains("landlock"));
    }
}
