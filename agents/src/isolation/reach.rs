//! Whether a seat could execute a file, found out by the host before it is started: by the rights of users and by the
//! folders of its Landlock rules.
//!
//! Reads modes and the first line of scripts; access control lists are not looked at. Must not start anything.

use std::fmt;
use std::fs::{self, File, Metadata};
use std::io::Read;
use std::os::unix::fs::{MetadataExt, PermissionsExt};
use std::path::{Path, PathBuf};

use super::landlock::SYSTEM_FOLDERS;
use super::plan::{Level, Owner, Plan};

/// Scripts whose interpreter is a script, one behind the other, at most: as many as the kernel follows.
const INTERPRETERS: usize = 4;

/// What keeps a seat from executing a file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Obstacle {
    /// It is not there, or no regular file with an executable bit.
    Missing,
    /// A folder on the way that the seat's user may not enter.
    Closed(PathBuf),
    /// The user may not execute the file, or not read it although it is a script.
    Forbidden(PathBuf),
    /// It lies outside of all folders that the seat may read.
    Outside(PathBuf),
    /// The interpreter of a script.
    Interpreter(PathBuf, Box<Obstacle>),
}

impl fmt::Display for Obstacle {
    fn fmt(&self, out: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Obstacle::Missing => write!(out, "is missing or not executable"),
            Obstacle::Closed(folder) => {
                write!(out, "the seat's user may not enter {}", folder.display())
            }
            Obstacle::Forbidden(file) => {
                write!(out, "the seat's user may not execute {}", file.display())
            }
            Obstacle::Outside(file) => write!(
                out,
                "{} is in no folder that a seat may read (`read` in the cast adds one)",
                file.display()
            ),
            Obstacle::Interpreter(path, obstacle) => {
                write!(out, "its interpreter {}: {obstacle}", path.display())
            }
        }
    }
}

/// Who asks, and for which folders.
#[derive(Debug)]
pub struct Reach {
    level: Level,
    owner: Option<Owner>,
    /// Without symbolic links.
    folders: Vec<PathBuf>,
    /// Where `#!/usr/bin/env NAME` looks.
    path: Vec<PathBuf>,
}

impl Reach {
    /// What a plan leaves in reach. `path`: folders of the seat's `PATH`.
    pub fn of(plan: &Plan, path: Vec<PathBuf>) -> Self {
        let folders = SYSTEM_FOLDERS
            .iter()
            .map(PathBuf::from)
            .chain(plan.read.iter().chain(&plan.write).cloned())
            .filter_map(|folder| folder.canonicalize().ok())
            .collect();
        Reach {
            level: plan.level,
            owner: plan.owner,
            folders,
            path,
        }
    }

    /// Everything that the host itself could execute.
    pub fn unlimited() -> Self {
        Reach {
            level: Level::Advisory,
            owner: None,
            folders: Vec::new(),
            path: Vec::new(),
        }
    }

    /// Whether the seat could execute this file.
    ///
    /// # Errors
    /// What keeps it from that.
    pub fn execute(&self, file: &Path) -> Result<(), Obstacle> {
        self.execute_at_depth(file, INTERPRETERS)
    }

    fn execute_at_depth(&self, file: &Path, depth: usize) -> Result<(), Obstacle> {
        let found = fs::metadata(file).map_err(|_| Obstacle::Missing)?;
        if !found.is_file() || found.permissions().mode() & 0o111 == 0 {
            return Err(Obstacle::Missing);
        }
        if self.level == Level::Advisory {
            return Ok(());
        }
        let real = file.canonicalize().map_err(|_| Obstacle::Missing)?;
        self.enter(file)?;
        self.enter(&real)?;
        if !self.may(&found, 0o1, &real) {
            return Err(Obstacle::Forbidden(real));
        }
        if !self.folders.iter().any(|folder| real.starts_with(folder)) {
            return Err(Obstacle::Outside(real));
        }
        let Some(line) = first_line(&real) else {
            return Ok(());
        };
        if !self.may(&found, 0o4, &real) {
            return Err(Obstacle::Forbidden(real));
        }
        let interpreter = self.interpreter(&line, file);
        match (interpreter, depth.checked_sub(1)) {
            (Some(Ok(next)), Some(depth)) => self
                .execute_at_depth(&next, depth)
                .map_err(|obstacle| Obstacle::Interpreter(next, Box::new(obstacle))),
            (Some(Err((name, obstacle))), _) => {
                Err(Obstacle::Interpreter(name, Box::new(obstacle)))
            }
            (Some(Ok(_)), None) | (None, _) => Ok(()),
        }
    }

    /// The file that executes a script, by its first line; what `env` names is looked for on the seat's `PATH`, which
    /// also has the script's own folder.
    fn interpreter(
        &self,
        line: &str,
        script: &Path,
    ) -> Option<Result<PathBuf, (PathBuf, Obstacle)>> {
        let mut words = line.split_ascii_whitespace();
        let program = PathBuf::from(words.next()?);
        if program.file_name().is_none_or(|name| name != "env") {
            return Some(Ok(program));
        }
        let name = words.find(|word| !word.starts_with('-') && !word.contains('='))?;
        let mut nearest = Obstacle::Missing;
        for folder in script
            .parent()
            .into_iter()
            .chain(self.path.iter().map(PathBuf::as_path))
        {
            let file = folder.join(name);
            match self.execute_at_depth(&file, 0) {
                Ok(()) => return Some(Ok(file)),
                Err(Obstacle::Missing) => {}
                Err(obstacle) => nearest = obstacle,
            }
        }
        Some(Err((name.into(), nearest)))
    }

    /// Whether all folders above a path can be entered.
    fn enter(&self, path: &Path) -> Result<(), Obstacle> {
        match closed(path, |found, folder| self.may(found, 0o1, folder)) {
            None => Ok(()),
            Some(folder) => Err(Obstacle::Closed(folder)),
        }
    }

    /// Whether the seat's user has a right (4 read, 1 execute or enter) to a file.
    fn may(&self, found: &Metadata, right: u32, path: &Path) -> bool {
        let Some(owner) = self.owner else {
            use nix::unistd::{AccessFlags, access};
            let flag = match right {
                0o1 => AccessFlags::X_OK,
                _ => AccessFlags::R_OK,
            };
            return access(path, flag).is_ok();
        };
        let shift = match (found.uid() == owner.uid, found.gid() == owner.gid) {
            (true, _) => 6,
            (false, true) => 3,
            (false, false) => 0,
        };
        found.mode() >> shift & right != 0
    }
}

/// The outermost folder above an absolute path, itself not counted, that does not pass a test.
fn closed(path: &Path, mut passes: impl FnMut(&Metadata, &Path) -> bool) -> Option<PathBuf> {
    let mut above: Vec<&Path> = path.ancestors().skip(1).collect();
    above.reverse();
    above
        .into_iter()
        .find(|folder| !fs::metadata(folder).is_ok_and(|found| passes(&found, folder)))
        .map(Path::to_owned)
}

/// The outermost folder on the way to `path`, itself included, that users other than its owner may not enter.
pub fn closed_to_others(path: &Path) -> Option<PathBuf> {
    let real = path.canonicalize().unwrap_or_else(|_| path.to_owned());
    [path, &real]
        .into_iter()
        .find_map(|path| closed(&path.join("inside"), |found, _| found.mode() & 0o001 != 0))
}

/// What stands behind `#!` in a script's first line.
fn first_line(file: &Path) -> Option<String> {
    // As much as the kernel looks at.
    let mut head = Vec::with_capacity(256);
    File::open(file)
        .ok()?
        .take(256)
        .read_to_end(&mut head)
        .ok()?;
    let line = head.strip_prefix(b"#!")?;
    let line = line.split(|&byte| byte == b'\n').next()?;
    Some(String::from_utf8_lossy(line).trim().to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::isolation::plan::Rlimits;

    const OTHER: Owner = Owner {
        uid: 3_900_000_101,
        gid: 3_900_000_101,
    };

    #[test]
    fn what_a_seat_could_execute_is_told_with_what_is_in_the_way() {
        let base = std::env::temp_dir().join(format!("formicarium-reach-{}", std::process::id()));
        let _ = fs::remove_dir_all(&base);
        let write = |name: &str, text: &str, mode: u32| {
            let path = base.join(name);
            fs::create_dir_all(path.parent().unwrap()).unwrap();
            fs::write(&path, text).unwrap();
            fs::set_permissions(&path, fs::Permissions::from_mode(mode)).unwrap();
            path
        };
        let good = write("open/good", "#!/bin/sh\n", 0o755);
        let env = write("open/env", "#!/usr/bin/env -S sh -e\n", 0o755);
        let lost = write("open/lost", "#!/usr/bin/env no-such-program\n", 0o755);
        let closed = write("closed/tool", "#!/bin/sh\n", 0o755);
        let by_closed = write(
            "open/by-closed",
            &format!("#!{}\n", closed.display()),
            0o755,
        );
        let own = write("open/own", "#!/bin/sh\n", 0o700);
        let outside = write("elsewhere/tool", "", 0o755);
        let plain = write("open/plain", "", 0o644);
        fs::set_permissions(base.join("closed"), fs::Permissions::from_mode(0o700)).unwrap();
        for folder in ["open", "elsewhere", "."] {
            fs::set_permissions(base.join(folder), fs::Permissions::from_mode(0o755)).unwrap();
        }
        let plan = Plan {
            level: Level::Uid,
            owner: Some(OTHER),
            read: vec![base.join("open"), base.join("closed")],
            limits: Rlimits::default(),
            ..Plan::ADVISORY
        };
        let reach = Reach::of(&plan, vec!["/usr/bin".into(), "/bin".into()]);
        let real = base.canonicalize().unwrap();
        let way = || Obstacle::Closed(real.join("closed"));
        for (file, want) in [
            (&good, Ok(())),
            (&env, Ok(())),
            (&"/bin/sh".into(), Ok(())),
            (&plain, Err(Obstacle::Missing)),
            (&base.join("open/none"), Err(Obstacle::Missing)),
            (&closed, Err(way())),
            (
                &by_closed,
                Err(Obstacle::Interpreter(closed.clone(), Box::new(way()))),
            ),
            (
                &lost,
                Err(Obstacle::Interpreter(
                    "no-such-program".into(),
                    Box::new(Obstacle::Missing),
                )),
            ),
            (&own, Err(Obstacle::Forbidden(real.join("open/own")))),
            (
                &outside,
                Err(Obstacle::Outside(real.join("elsewhere/tool"))),
            ),
        ] {
            assert_eq!(reach.execute(file), want, "{}", file.display());
        }
        assert_eq!(Reach::unlimited().execute(&closed), Ok(()));
        assert_eq!(
            closed_to_others(&base.join("closed")),
            Some(base.join("closed"))
        );
        assert_eq!(closed_to_others(&base.join("open")), None);
        fs::remove_dir_all(&base).unwrap();
    }
}
