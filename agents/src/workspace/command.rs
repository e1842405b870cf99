//! Which executable a command means, with which arguments and in which environment it runs.
//!
//! Must not start it.

use std::collections::BTreeMap;
use std::ffi::OsString;
use std::path::{Path, PathBuf};

use super::Workspace;
use crate::adapter::Launch;
use crate::isolation::Plan;
use crate::isolation::reach::{Obstacle, Reach};
use crate::plan::Program;

/// Folders that every agent has on its `PATH`, after its own `program` folder.
pub const SYSTEM_PATH: &str = "/usr/local/bin:/usr/bin:/bin";

/// A program that can be executed.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Resolved {
    /// The executable, absolute.
    pub executable: PathBuf,
    /// Arguments, the program's name first.
    pub args: Vec<OsString>,
    /// The whole environment.
    pub env: BTreeMap<String, OsString>,
}

/// Why a command means nothing. The text says where it was looked for.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("no executable {command:?}: looked in {}; install it, or correct the command in the cast", places.join(", "))]
pub struct NotFound {
    /// The command of the cast.
    pub command: String,
    /// Where it was looked for, with what was in the way.
    pub places: Vec<String>,
}

/// Finds an executable that the seat, so confined, can execute, and makes arguments and environment.
///
/// # Errors
/// [`NotFound`] with all places that were looked in.
pub fn resolve(
    program: &Program,
    launch: &Launch,
    seat: &str,
    run: &str,
    at: &Workspace,
    confinement: &Plan,
) -> Result<Resolved, NotFound> {
    let path = std::iter::once(at.program.clone())
        .chain(std::env::split_paths(SYSTEM_PATH))
        .collect();
    let executable = find(&program.command, at, &Reach::of(confinement, path))?;
    let args = std::iter::once(OsString::from(&program.command))
        .chain(program.args.iter().map(
            |arg| match program.files.iter().any(|(_, name)| name == arg) {
                true => at.program.join(arg).into_os_string(),
                false => arg.into(),
            },
        ))
        .chain(launch.args.iter().cloned())
        .collect();
    let env = environment(program, launch, seat, run, at, &executable);
    Ok(Resolved {
        executable,
        args,
        env,
    })
}

/// Where a command without a path is looked for, after the seat's own `program` folder: beside the host's executable,
/// where `make agents` installs (`agents/bin` beside that folder), and on the host's `PATH`.
pub fn search_folders() -> Vec<PathBuf> {
    let own = std::env::current_exe().ok();
    let beside = own.as_deref().and_then(Path::parent);
    let agents = beside
        .and_then(Path::parent)
        .map(|folder| folder.join("agents/bin"));
    let path = std::env::var_os("PATH").unwrap_or_default();
    beside
        .map(Path::to_owned)
        .into_iter()
        .chain(agents)
        .chain(std::env::split_paths(&path))
        .filter(|folder| folder.is_absolute())
        .collect()
}

fn find(command: &str, at: &Workspace, reach: &Reach) -> Result<PathBuf, NotFound> {
    let mut places = Vec::new();
    let mut look = |path: PathBuf, place: String| -> Option<PathBuf> {
        match reach.execute(&path) {
            Ok(()) => return Some(path),
            Err(Obstacle::Missing) => places.push(place),
            Err(obstacle) => places.push(format!("{place} ({obstacle})")),
        }
        None
    };
    let path = Path::new(command);
    let found = if path.is_absolute() {
        look(path.to_owned(), "this path".into())
    } else if command.is_empty()
        || path
            .components()
            .any(|c| !matches!(c, std::path::Component::Normal(_)))
    {
        None
    } else {
        // A folder in the name (`bin/agent`) is one of the program's own; system folders have none.
        let in_system = !command.contains('/');
        look(at.program.join(command), "the seat's program folder".into()).or_else(|| {
            search_folders()
                .into_iter()
                .filter(|_| in_system)
                .find_map(|folder| look(folder.join(command), folder.display().to_string()))
        })
    };
    found.ok_or_else(|| {
        if places.is_empty() {
            places.push("nowhere, since it is neither a name nor an absolute path".into());
        }
        NotFound {
            command: command.to_owned(),
            places,
        }
    })
}

/// The clean environment: nothing of the host's own comes through but what the cast names.
fn environment(
    program: &Program,
    launch: &Launch,
    seat: &str,
    run: &str,
    at: &Workspace,
    executable: &Path,
) -> BTreeMap<String, OsString> {
    let mut path = OsString::from(&at.program);
    // An interpreter from elsewhere finds its companions (node: npm; python of a virtual environment: its scripts).
    let own = executable
        .parent()
        .filter(|folder| !std::env::split_paths(SYSTEM_PATH).any(|p| p == **folder));
    for folder in own.into_iter().filter(|folder| *folder != at.program) {
        path.push(":");
        path.push(folder);
    }
    path.push(":");
    path.push(SYSTEM_PATH);
    let mut env: BTreeMap<String, OsString> = [
        ("PATH", path),
        ("HOME", at.home.clone().into()),
        ("TMPDIR", at.tmp.clone().into()),
        ("LANG", "C.UTF-8".into()),
        ("FORMICARIUM_SEAT", seat.into()),
        ("FORMICARIUM_RUN", run.into()),
        ("FORMICARIUM_PROGRAM", at.program.clone().into()),
        // Lines have to leave the process when they are printed, and `program` is read-only.
        ("PYTHONUNBUFFERED", "1".into()),
        ("PYTHONDONTWRITEBYTECODE", "1".into()),
    ]
    .into_iter()
    .map(|(name, value)| (name.to_owned(), value))
    .collect();
    env.extend(launch.env.iter().cloned());
    env.extend(
        program
            .env
            .iter()
            .map(|(name, value)| (name.clone(), value.into())),
    );
    env
}

#[cfg(test)]
mod tests {
    use super::*;

    fn place() -> Workspace {
        let root = std::env::temp_dir().join(format!("formicarium-command-{}", std::process::id()));
        Workspace {
            workspace: root.join("workspace"),
            home: root.join("home"),
            tmp: root.join("tmp"),
            program: root.join("program"),
            stderr: root.join("stderr.log"),
            root,
        }
    }

    #[test]
    fn a_command_is_found_or_says_where_it_is_not() {
        let at = place();
        assert!(find("sh", &at, &Reach::unlimited()).unwrap().is_absolute());
        assert_eq!(
            find("/bin/sh", &at, &Reach::unlimited()).unwrap(),
            Path::new("/bin/sh")
        );
        let own = std::env::current_exe().unwrap();
        assert_eq!(
            find(
                own.file_name().unwrap().to_str().unwrap(),
                &at,
                &Reach::unlimited()
            )
            .unwrap(),
            own,
            "beside the host's executable"
        );
        for bad in [
            "formicarium-no-such",
            "",
            ".",
            "../sh",
            "/",
            "/proc/version",
            "bin/sh",
        ] {
            let error = find(bad, &at, &Reach::unlimited()).unwrap_err();
            assert!(!error.places.is_empty(), "{bad:?}");
        }
    }

    #[test]
    fn arguments_that_name_program_files_are_placed_and_the_environment_is_clean() {
        let at = place();
        let mut program = Program::new("sh");
        program.args = vec!["my.sh".into(), "--x".into()];
        program.files = vec![("/somewhere/my.sh".into(), "my.sh".into())];
        program.env = vec![("LANG".into(), "de".into()), ("EXTRA".into(), "1".into())];
        let resolved = resolve(
            &program,
            &Launch::default(),
            "alice",
            "r1",
            &at,
            &Plan::ADVISORY,
        )
        .unwrap();
        assert_eq!(
            resolved.args,
            [
                "sh".into(),
                at.program.join("my.sh").into_os_string(),
                "--x".into()
            ]
        );
        assert_eq!(resolved.env["LANG"], "de");
        assert_eq!(resolved.env["FORMICARIUM_SEAT"], "alice");
        assert!(
            !resolved.env.contains_key("CARGO_MANIFEST_DIR"),
            "the host's own environment stays with the host"
        );
        let names: Vec<&str> = resolved.env.keys().map(String::as_str).collect();
        assert_eq!(
            names,
            [
                "EXTRA",
                "FORMICARIUM_PROGRAM",
                "FORMICARIUM_RUN",
                "FORMICARIUM_SEAT",
                "HOME",
                "LANG",
                "PATH",
                "PYTHONDONTWRITEBYTECODE",
                "PYTHONUNBUFFERED",
                "TMPDIR",
            ]
        );
    }
}
