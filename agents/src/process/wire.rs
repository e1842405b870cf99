//! What host, nursery and keepers say to each other over their socket pairs, as bytes.
//!
//! One packet (SOCK_SEQPACKET) a message, so there is nothing to reassemble. Both ends are the same executable, so there
//! is no version. Must not know who acts on it.

use std::ffi::{CString, OsStr};
use std::os::unix::ffi::OsStrExt;
use std::path::Path;

use crate::isolation::{Plan, Step};

/// Largest spawn request in bytes: arguments and environment together.
pub(super) const REQUEST_BYTES: usize = 131_072;

/// What the nursery is asked to start. Its descriptors travel beside it: stdin, stdout, stderr file, control socket.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct SpawnRequest {
    /// Names this keeper in the nursery's reports.
    pub(super) serial: u32,
    pub(super) stderr_bytes: u64,
    pub(super) executable: CString,
    pub(super) folder: CString,
    /// With the program's name as the first.
    pub(super) args: Vec<CString>,
    /// `NAME=value` each.
    pub(super) env: Vec<CString>,
    /// What it may reach.
    pub(super) isolation: Plan,
}

/// How many descriptors travel with a [`SpawnRequest`].
pub(super) const REQUEST_DESCRIPTORS: usize = 4;

impl SpawnRequest {
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut out = Vec::with_capacity(512);
        out.extend_from_slice(&self.serial.to_le_bytes());
        out.extend_from_slice(&self.stderr_bytes.to_le_bytes());
        out.extend_from_slice(&(self.args.len() as u32).to_le_bytes());
        self.isolation.encode(&mut out);
        for text in [&self.executable, &self.folder]
            .into_iter()
            .chain(&self.args)
            .chain(&self.env)
        {
            out.extend_from_slice(text.as_bytes_with_nul());
        }
        out
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let (serial, rest) = bytes.split_first_chunk()?;
        let (stderr_bytes, rest) = rest.split_first_chunk()?;
        let (args, mut rest) = rest.split_first_chunk()?;
        let isolation = Plan::decode(&mut rest)?;
        let mut texts = rest
            .strip_suffix(b"\0")?
            .split(|&b| b == 0)
            .map(|t| CString::new(t).expect("split at zeros"));
        Some(Self {
            serial: u32::from_le_bytes(*serial),
            stderr_bytes: u64::from_le_bytes(*stderr_bytes),
            executable: texts.next()?,
            folder: texts.next()?,
            args: texts
                .by_ref()
                .take(u32::from_le_bytes(*args) as usize)
                .collect(),
            env: texts.collect(),
            isolation,
        })
    }
}

/// A path or text for the system; none if it holds a zero byte.
pub(super) fn c_text(text: impl AsRef<OsStr>) -> Option<CString> {
    CString::new(text.as_ref().as_bytes()).ok()
}

/// The same for a path.
pub(super) fn c_path(path: &Path) -> Option<CString> {
    c_text(path.as_os_str())
}

/// Host to keeper.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Command {
    /// SIGTERM to the whole tree.
    Term = b'T' as isize,
    /// SIGKILL to the whole tree, until nothing is left.
    Kill = b'K' as isize,
    /// SIGSTOP to the whole tree; answered by [`Report::Stopped`].
    Stop = b'S' as isize,
    /// SIGCONT to the whole tree.
    Continue = b'C' as isize,
    /// No process of the tree can write to a file; answered by [`Report::Filled`].
    Fill = b'F' as isize,
    /// They can again; answered alike.
    Empty = b'E' as isize,
}

impl Command {
    /// Whether files are full.
    pub(super) fn files(are_full: bool) -> Self {
        match are_full {
            true => Command::Fill,
            false => Command::Empty,
        }
    }

    pub(super) fn encode(self) -> [u8; 1] {
        [self as u8]
    }

    pub(super) fn decode(byte: u8) -> Option<Self> {
        match byte {
            b'T' => Some(Command::Term),
            b'K' => Some(Command::Kill),
            b'S' => Some(Command::Stop),
            b'C' => Some(Command::Continue),
            b'F' => Some(Command::Fill),
            b'E' => Some(Command::Empty),
            _ => None,
        }
    }
}

/// At which step a program could not be started.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    Fork,
    Session,
    Descriptors,
    Folder,
    User,
    Limits,
    Landlock,
    Seccomp,
    Exec,
}

impl From<Step> for Stage {
    fn from(step: Step) -> Self {
        match step {
            Step::User => Stage::User,
            Step::Limits => Stage::Limits,
            Step::Landlock => Stage::Landlock,
            Step::Seccomp => Stage::Seccomp,
        }
    }
}

impl Stage {
    const ALL: [Stage; 9] = [
        Stage::Fork,
        Stage::Session,
        Stage::Descriptors,
        Stage::Folder,
        Stage::User,
        Stage::Limits,
        Stage::Landlock,
        Stage::Seccomp,
        Stage::Exec,
    ];

    pub(super) fn decode(number: i32) -> Option<Self> {
        Self::ALL.get(usize::try_from(number).ok()?).copied()
    }
}

/// Keeper to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Report {
    Spawned {
        /// Of the keeper itself, the root of the seat's tree.
        keeper: i32,
    },
    SpawnFailed {
        errno: i32,
        stage: Stage,
    },
    /// The main process ended by itself or by a signal; what it left is being ended.
    ExitedCode(i32),
    ExitedSignal(i32),
    /// The whole tree has been sent SIGSTOP.
    Stopped,
    /// Whether the tree can write to files is as the host wants it.
    Filled,
    /// Nothing of the tree is left. The last report.
    TreeGone,
}

/// Bytes of a [`Report`].
pub(super) const REPORT_BYTES: usize = 12;

impl Report {
    pub(super) fn encode(self) -> [u8; REPORT_BYTES] {
        let (kind, a, b) = match self {
            Report::Spawned { keeper } => (1, keeper, 0),
            Report::SpawnFailed { errno, stage } => (2, errno, stage as i32),
            Report::ExitedCode(code) => (3, code, 0),
            Report::ExitedSignal(signal) => (4, signal, 0),
            Report::TreeGone => (5, 0, 0),
            Report::Stopped => (6, 0, 0),
            Report::Filled => (7, 0, 0),
        };
        triple(kind, a, b)
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [kind, a, b] = untriple(bytes)?;
        Some(match kind {
            1 => Report::Spawned { keeper: a },
            2 => Report::SpawnFailed {
                errno: a,
                stage: Stage::decode(b)?,
            },
            3 => Report::ExitedCode(a),
            4 => Report::ExitedSignal(a),
            5 => Report::TreeGone,
            6 => Report::Stopped,
            7 => Report::Filled,
            _ => return None,
        })
    }
}

/// Nursery to host.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum NurseryReport {
    /// The keeper ended without having said [`Report::TreeGone`], and all that it left has been killed.
    Cleared { serial: u32 },
    /// The keeper could not be forked.
    ForkFailed { serial: u32, errno: i32 },
}

impl NurseryReport {
    pub(super) fn encode(self) -> [u8; REPORT_BYTES] {
        match self {
            NurseryReport::Cleared { serial } => triple(1, serial.cast_signed(), 0),
            NurseryReport::ForkFailed { serial, errno } => triple(2, serial.cast_signed(), errno),
        }
    }

    pub(super) fn decode(bytes: &[u8]) -> Option<Self> {
        let [kind, serial, errno] = untriple(bytes)?;
        let serial = serial.cast_unsigned();
        match kind {
            1 => Some(NurseryReport::Cleared { serial }),
            2 => Some(NurseryReport::ForkFailed { serial, errno }),
            _ => None,
        }
    }
}

fn triple(a: i32, b: i32, c: i32) -> [u8; REPORT_BYTES] {
    let mut out = [0; REPORT_BYTES];
    for (place, number) in out.chunks_exact_mut(4).zip([a, b, c]) {
        place.copy_from_slice(&number.to_le_bytes());
    }
    out
}

fn untriple(bytes: &[u8]) -> Option<[i32; 3]> {
    let bytes: &[u8; REPORT_BYTES] = bytes.try_into().ok()?;
    let number =
        |at: usize| i32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]]);
    Some([number(0), number(4), number(8)])
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::plan::tests::plans;
    use proptest::prelude::*;

    #[test]
    fn every_report_comes_back() {
        let reports = [
            Report::Spawned { keeper: 4711 },
            Report::SpawnFailed {
                errno: 2,
                stage: Stage::Exec,
            },
            Report::SpawnFailed {
                errno: 11,
                stage: Stage::Fork,
            },
            Report::ExitedCode(3),
            Report::ExitedSignal(9),
            Report::Stopped,
            Report::TreeGone,
        ];
        for report in reports {
            assert_eq!(Report::decode(&report.encode()), Some(report));
        }
        for report in [
            NurseryReport::Cleared { serial: u32::MAX },
            NurseryReport::ForkFailed {
                serial: 7,
                errno: 11,
            },
        ] {
            assert_eq!(NurseryReport::decode(&report.encode()), Some(report));
        }
        assert_eq!(Report::decode(b"short"), None);
        for command in [
            Command::Term,
            Command::Kill,
            Command::Stop,
            Command::Continue,
        ] {
            assert_eq!(Command::decode(command.encode()[0]), Some(command));
        }
    }

    proptest! {
        #[test]
        fn a_request_comes_back(
            serial: u32,
            stderr_bytes: u64,
            texts in proptest::collection::vec("[^\0]{0,12}", 2..12),
            args in 0usize..10,
            isolation in plans(),
        ) {
            let mut texts: Vec<CString> = texts.into_iter().map(|t| CString::new(t).unwrap()).collect();
            let executable = texts.remove(0);
            let folder = texts.remove(0);
            let env = texts.split_off(args.min(texts.len()));
            let request = SpawnRequest { serial, stderr_bytes, executable, folder, args: texts, env, isolation };
            prop_assert_eq!(SpawnRequest::decode(&request.encode()), Some(request));
        }

        #[test]
        fn no_bytes_are_a_panic(bytes: Vec<u8>) {
            let _ = SpawnRequest::decode(&bytes);
            let _ = Report::decode(&bytes);
            let _ = NurseryReport::decode(&bytes);
        }
    }
}
