//! What the runner sees from outside, before an attack and after: files and processes that must be as they were.
//!
//! Must not know attacks.

use std::collections::BTreeMap;
use std::os::unix::ffi::OsStrExt;
use std::os::unix::fs::MetadataExt;
use std::path::{Path, PathBuf};

use super::others::SECRET;
use super::stage::Stage;

/// Files and processes that no attack may change.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Outside {
    files: BTreeMap<PathBuf, String>,
    processes: BTreeMap<&'static str, String>,
}

impl Outside {
    /// Looks.
    pub(super) fn look(stage: &Stage) -> Self {
        let mut files = BTreeMap::new();
        // The attacker's own workspace is its own; the workspace's entry in the gate is not.
        for root in ["shared", "agents"] {
            walk(&stage.folder.join(root), stage, &mut files);
        }
        let processes = BTreeMap::from([
            (
                "the victim",
                process(stage.victim.pid, Some(stage.victim.secret_address)),
            ),
            ("the host", process(stage.host.pid, None)),
        ]);
        Self { files, processes }
    }

    /// The first thing that is not as it was.
    pub(super) fn changed(&self, after: &Self, stage: &Stage) -> Option<String> {
        for (path, was) in &self.files {
            match after.files.get(path) {
                None => return Some(format!("{} is gone", stage.short(path))),
                Some(is) if is != was => return Some(format!("{} was changed", stage.short(path))),
                Some(_) => {}
            }
        }
        if let Some(path) = after.files.keys().find(|p| !self.files.contains_key(*p)) {
            return Some(format!("{} was made", stage.short(path)));
        }
        for (name, was) in &self.processes {
            let is = &after.processes[name];
            if let Some((before, now)) = was.lines().zip(is.lines()).find(|(a, b)| a != b) {
                return Some(format!("{name} was changed: {before} -> {now}"));
            }
            if is != was {
                return Some(format!("{name} was changed"));
            }
        }
        None
    }
}

/// The victim's secret in the attacker's workspace.
pub(super) fn stolen(stage: &Stage) -> Option<String> {
    let mut found = BTreeMap::new();
    walk_all(&stage.own, 0, &mut |path| {
        // Only small regular files: an attacker may have made large ones.
        let small = path
            .symlink_metadata()
            .is_ok_and(|m| m.is_file() && m.size() < 1 << 20);
        if small && std::fs::read(path).is_ok_and(|c| c.windows(SECRET.len()).any(|w| w == SECRET))
        {
            found.insert(path.to_owned(), ());
        }
    });
    let (path, ()) = found.pop_first()?;
    Some(format!(
        "the other seat's secret is in {}",
        stage.short(&path)
    ))
}

fn walk(root: &Path, stage: &Stage, into: &mut BTreeMap<PathBuf, String>) {
    let own_metadata = |path: &Path| path == stage.own || Some(path) == stage.own.parent();
    let churned = stage.churned();
    walk_all(root, 0, &mut |path| {
        let churn = churned
            .parent()
            .is_some_and(|folder| path.starts_with(folder));
        if churn || (path.starts_with(&stage.own) && path != stage.own) {
            return;
        }
        let Ok(m) = path.symlink_metadata() else {
            return;
        };
        let mut seen = format!("{:o} {} {} {}", m.mode(), m.uid(), m.gid(), m.ino());
        if !own_metadata(path) {
            seen += &format!(
                " {} {} {}.{} {}.{}",
                m.size(),
                m.nlink(),
                m.mtime(),
                m.mtime_nsec(),
                m.ctime(),
                m.ctime_nsec()
            );
        }
        if m.is_file() {
            seen += &format!(" {:?}", std::fs::read(path).ok());
        } else if m.is_symlink() {
            seen += &format!(
                " {:?}",
                path.read_link()
                    .ok()
                    .map(|l| l.as_os_str().as_bytes().to_vec())
            );
        }
        into.insert(path.to_owned(), seen);
    });
}

fn walk_all(path: &Path, depth: usize, visit: &mut impl FnMut(&Path)) {
    visit(path);
    // Deeper than any attack of the suite goes in what it must not change.
    if depth > 80 || !path.symlink_metadata().is_ok_and(|m| m.is_dir()) {
        return;
    }
    for entry in std::fs::read_dir(path).into_iter().flatten().flatten() {
        walk_all(&entry.path(), depth + 1, visit);
    }
}

/// What others can change of a process, one fact a line.
fn process(pid: i32, secret: Option<u64>) -> String {
    let file = |name: &str| std::fs::read_to_string(format!("/proc/{pid}/{name}"));
    let Ok(stat) = file("stat") else {
        return "gone".to_owned();
    };
    let fields: Vec<&str> = stat
        .rsplit(')')
        .next()
        .unwrap_or_default()
        .split(' ')
        .collect();
    let field = |n: usize| fields.get(n - 2).copied().unwrap_or_default();
    // Numbers as in proc_pid_stat(5). Running and sleeping are the same here.
    let state = match field(3) {
        "R" | "S" | "D" => "alive",
        "T" | "t" => "stopped",
        _ => "dead",
    };
    let mut seen = format!(
        "state {state}\nnice {}\nreal-time priority {}\npolicy {}\n",
        field(19),
        field(40),
        field(41)
    );
    for name in [
        "comm",
        "limits",
        "oom_score_adj",
        "coredump_filter",
        "timerslack_ns",
        "autogroup",
    ] {
        seen += &format!("{name} {}\n", file(name).unwrap_or_default());
    }
    for line in file("status").unwrap_or_default().lines() {
        if ["TracerPid", "Cpus_allowed:", "Uid", "Gid"]
            .iter()
            .any(|k| line.starts_with(k))
        {
            seen += line;
            seen.push('\n');
        }
    }
    if let Some(address) = secret {
        use std::os::unix::fs::FileExt;
        let mut memory = [0; 32];
        let read = std::fs::File::open(format!("/proc/{pid}/mem"))
            .and_then(|mem| mem.read_exact_at(&mut memory, address));
        let memory = read.map(|()| String::from_utf8_lossy(&memory).into_owned());
        seen += &format!("memory {}\n", memory.unwrap_or_default());
    }
    seen
}
