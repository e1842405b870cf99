//! Starts the host binary and reads what it says. Every test has a folder of its own, removed at the end.

use std::io::{BufRead, BufReader, Read};
use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::{Duration, Instant};

use serde_json::Value;

/// A folder that is removed when the test is over.
pub struct Folder(pub PathBuf);

impl Folder {
    pub fn new(name: &str) -> Folder {
        static NEXT: AtomicU32 = AtomicU32::new(0);
        let number = NEXT.fetch_add(1, Ordering::Relaxed);
        let path = std::env::temp_dir().join(format!(
            "formicarium-it-{}-{number}-{name}",
            std::process::id()
        ));
        std::fs::create_dir_all(&path).expect("a folder for the test");
        Folder(path)
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.0.join(name)
    }

    pub fn write(&self, name: &str, text: &str) -> PathBuf {
        let path = self.path(name);
        std::fs::create_dir_all(path.parent().expect("inside the folder")).expect("parents");
        std::fs::write(&path, text).expect("a file of the test");
        path
    }
}

impl Drop for Folder {
    fn drop(&mut self) {
        let _ = std::fs::remove_dir_all(&self.0);
    }
}

pub fn binary() -> PathBuf {
    std::env::var_os("FORMICARIUM_BIN").map_or_else(
        || PathBuf::from(env!("CARGO_BIN_EXE_formicarium")),
        PathBuf::from,
    )
}

/// The misbehaving agent lies beside the binary that cargo built for the tests.
pub fn misbehaver() -> PathBuf {
    let built = Path::new(env!("CARGO_BIN_EXE_formicarium"));
    let path = built
        .parent()
        .expect("a target folder")
        .join("formicarium-misbehaver");
    assert!(
        path.is_file(),
        "{} is missing; run `cargo test` for the whole workspace",
        path.display()
    );
    path
}

pub fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

/// `formicarium` with arguments, from the project's folder.
pub fn formicarium(args: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command
        .args(args)
        .current_dir(root())
        .stdin(Stdio::null())
        .env_remove("FORMICARIUM_LOG");
    command
}

pub fn output(args: &[&str]) -> Output {
    formicarium(args).output().expect("the host starts")
}

/// Runs to the end and returns the summary. The deadline is out of reach: a loaded machine must not
/// make anybody late where a test compares results.
pub fn run(out: &Path, args: &[&str]) -> Value {
    let mut all = vec!["run"];
    all.extend(args);
    let out = out.to_str().expect("UTF-8");
    all.extend(["--out", out, "--headless", "--json"]);
    if !["--deadline", "realtime", "async"]
        .iter()
        .any(|word| args.contains(word))
    {
        all.extend(["--deadline", "60s"]);
    }
    let output = output(&all);
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(
        output.status.success(),
        "{all:?} exited with {:?}:\n{errors}",
        output.status.code()
    );
    serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error} in {}\n{errors}",
            String::from_utf8_lossy(&output.stdout)
        )
    })
}

/// `replay`: exit status and verdict.
pub fn replay(run: &Path) -> (i32, Value) {
    let output = output(&["replay", run.to_str().expect("UTF-8"), "--json"]);
    let json = serde_json::from_slice(&output.stdout).unwrap_or_else(|error| {
        panic!(
            "{error}: {} {}",
            String::from_utf8_lossy(&output.stdout),
            String::from_utf8_lossy(&output.stderr)
        )
    });
    (output.status.code().expect("an exit status"), json)
}

pub fn assert_replays(run: &Path) {
    let (status, verdict) = replay(run);
    assert_eq!(
        (status, verdict["verdict"].as_str()),
        (0, Some("equal")),
        "{verdict}"
    );
}

pub fn assert_verifies(run: &Path) {
    let output = output(&["verify", run.to_str().expect("UTF-8")]);
    assert!(
        output.status.success(),
        "{}{}",
        String::from_utf8_lossy(&output.stdout),
        String::from_utf8_lossy(&output.stderr)
    );
}

pub fn seat<'a>(summary: &'a Value, name: &str) -> &'a Value {
    let seats = summary["seats"].as_array().expect("seats");
    seats
        .iter()
        .find(|seat| seat["seat"] == name)
        .unwrap_or_else(|| panic!("no seat {name} in {summary}"))
}

pub fn scores(summary: &Value) -> Vec<f64> {
    let seats = summary["seats"].as_array().expect("seats");
    seats
        .iter()
        .map(|seat| seat["score"].as_f64().expect("a score"))
        .collect()
}

/// Rows of a query on a run's recording.
pub fn query(run: &Path, sql: &str) -> Vec<Vec<rusqlite::types::Value>> {
    let connection = rusqlite::Connection::open(run.join("run.db")).expect("the recording opens");
    let mut statement = connection
        .prepare(sql)
        .unwrap_or_else(|error| panic!("{error}: {sql}"));
    let columns = statement.column_count();
    let rows = statement
        .query_map([], |row| {
            (0..columns).map(|column| row.get(column)).collect()
        })
        .expect("rows");
    rows.collect::<Result<_, _>>().expect("rows")
}

pub fn query_text(run: &Path, sql: &str) -> Vec<String> {
    query(run, sql)
        .into_iter()
        .map(|row| match row.into_iter().next() {
            Some(rusqlite::types::Value::Text(text)) => text,
            other => panic!("{sql}: text expected, got {other:?}"),
        })
        .collect()
}

pub fn query_int(run: &Path, sql: &str) -> i64 {
    match query(run, sql)
        .into_iter()
        .next()
        .and_then(|row| row.into_iter().next())
    {
        Some(rusqlite::types::Value::Integer(number)) => number,
        other => panic!("{sql}: a number expected, got {other:?}"),
    }
}

/// Copies a folder with all that is in it.
pub fn copy(from: &Path, to: &Path) {
    std::fs::create_dir_all(to).expect("a folder");
    for entry in std::fs::read_dir(from).expect("a folder").flatten() {
        let target = to.join(entry.file_name());
        if entry.file_type().expect("a type").is_dir() {
            copy(&entry.path(), &target);
        } else {
            std::fs::copy(entry.path(), target).expect("a copy");
        }
    }
}

/// A host that goes on while the test looks at it. Ended with the test.
pub struct Live {
    pub child: Child,
    pub link: String,
    pub out: PathBuf,
}

impl Live {
    /// Starts a run with a page and waits for its link.
    pub fn start(out: &Path, args: &[&str]) -> Live {
        Live::start_with(out, args, &[])
    }

    /// The same with more in the host's environment.
    pub fn start_with(out: &Path, args: &[&str], env: &[(&str, &str)]) -> Live {
        let mut all = vec!["run"];
        all.extend(args);
        all.extend(["--out", out.to_str().expect("UTF-8"), "--port", "0"]);
        Live::watch(out, &all, env)
    }

    /// Any command that serves a page and prints its link first.
    pub fn watch(out: &Path, all: &[&str], env: &[(&str, &str)]) -> Live {
        let log = std::fs::File::create(out.with_extension("log")).expect("a log");
        let mut child = formicarium(all)
            .envs(env.iter().copied())
            .stdout(Stdio::piped())
            .stderr(log)
            .spawn()
            .expect("the host starts");
        let mut lines = BufReader::new(child.stdout.take().expect("piped"));
        let mut line = String::new();
        lines.read_line(&mut line).expect("the link");
        let link = line
            .split("http://")
            .nth(1)
            .unwrap_or_else(|| panic!("no link in {line:?}"))
            .trim()
            .to_owned();
        // Keeps the pipe open and empty for as long as the host writes.
        std::thread::spawn(move || lines.read_to_string(&mut String::new()));
        Live {
            child,
            link,
            out: out.to_owned(),
        }
    }

    pub fn address(&self) -> &str {
        self.link.split('/').next().expect("host and port")
    }

    pub fn token(&self) -> &str {
        self.link.rsplit('=').next().expect("a token")
    }

    pub fn signal(&self, signal: nix::sys::signal::Signal) {
        let pid = nix::unistd::Pid::from_raw(self.child.id() as i32);
        nix::sys::signal::kill(pid, signal).expect("our own child");
    }

    /// Waits until `sql` on the recording gives a number of at least `least`.
    pub fn until(&self, sql: &str, least: i64) {
        wait_for(&format!("{sql} >= {least}"), || {
            query_int(&self.out, sql) >= least
        });
    }

    /// Waits for its end; the exit status.
    pub fn wait(&mut self) -> Option<i32> {
        let mut status = None;
        wait_for("the host's end", || {
            status = self.child.try_wait().expect("our own child");
            status.is_some()
        });
        status.and_then(|status| status.code())
    }
}

impl Drop for Live {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// Polls for something that has to come; the limit only keeps a broken test from hanging.
pub fn wait_for(what: &str, mut there: impl FnMut() -> bool) {
    let begin = Instant::now();
    while !there() {
        assert!(
            begin.elapsed() < Duration::from_secs(60),
            "waited a minute for {what}"
        );
        std::thread::sleep(Duration::from_millis(20));
    }
}

/// Processes whose command line or environment holds `word`.
pub fn processes_with(word: &str) -> Vec<i32> {
    let own = std::process::id() as i32;
    let holds = |pid: i32| {
        ["cmdline", "environ"].iter().any(|file| {
            let text = std::fs::read(format!("/proc/{pid}/{file}")).unwrap_or_default();
            String::from_utf8_lossy(&text).contains(word)
        })
    };
    std::fs::read_dir("/proc")
        .expect("/proc")
        .flatten()
        .filter_map(|entry| entry.file_name().to_str()?.parse::<i32>().ok())
        .filter(|pid| *pid != own && holds(*pid))
        .collect()
}
