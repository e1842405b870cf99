//! `formicarium desk`: what the command `desk` on an agent's PATH starts. Words to one request, its answer to words.
//!
//! Must not know what a request means: the host answers it.

use std::path::PathBuf;
use std::time::{Duration, Instant};

use clap::{Args, Subcommand};
use formicarium_agents::files::door;
use formicarium_agents::protocol::{
    AskFiles, AskLease, AskPublish, Files, FilesWhat, FromAgent, LeaseWhat,
};
use std::io::Write;

use super::{Exit, fail};

/// How often a lease that another holds is asked for.
const AGAIN: Duration = Duration::from_millis(100);
/// Within this time it is asked for again at the latest, as the host is told: longer, since machines may be busy.
const PROMISED: Duration = Duration::from_secs(3);

#[derive(Debug, Args)]
pub(super) struct DeskArgs {
    /// The seat's folder; the command `desk` names it.
    #[arg(long, hide = true)]
    at: PathBuf,
    /// Print the answer as JSON.
    #[arg(long, global = true)]
    json: bool,
    #[command(subcommand)]
    what: What,
}

#[derive(Debug, Subcommand)]
enum What {
    /// What you changed and did not publish, what others changed too, who has leases.
    Status,
    /// Take a path for yourself alone: `desk lease toc.md 30`, `desk lease 'notes/**'`; again to prolong it.
    Lease {
        /// A path, a folder with all in it (`folder/**`), or everything (`**`).
        path: String,
        /// For how many seconds; as long as leases may be.
        seconds: Option<f64>,
        /// Ask again for so many seconds while somebody else has it.
        #[arg(long, value_name = "SECONDS", default_value_t = 0.0)]
        wait: f64,
    },
    /// Give a lease back.
    Release {
        /// As it was taken.
        path: String,
    },
    /// Publish what you changed: all of it, or some paths.
    Publish {
        /// Paths, with what lies below them.
        paths: Vec<String>,
    },
    /// The versions of a path.
    Log {
        /// The path.
        path: String,
    },
    /// What a version says: `desk show toc.md@3`.
    Show {
        /// The path, with `@` and a number for an older version.
        path: String,
    },
    /// Bring what others published onto your desk now.
    Refresh,
    /// Give up what you have at a path for what stands in the shared tree.
    Take {
        /// The path.
        path: String,
    },
    /// After a collision: what you have at a path holds both, and may be published over theirs: `desk resolve toc.md@3`.
    Resolve {
        /// The path, with `@` and the number of the version that you looked at.
        path: String,
    },
    /// The leases that are held.
    Leases,
}

pub(super) fn run(args: &DeskArgs) -> Exit {
    let (mut request, patience) = match request(&args.what) {
        Ok(request) => request,
        Err(why) => return fail(Exit::Usage, &std::io::Error::other(why)),
    };
    let began = Instant::now();
    let answer = loop {
        let is_last = began.elapsed() >= patience;
        if let FromAgent::Lease(lease) = &mut request {
            lease.again_ms = (!is_last).then_some(PROMISED.as_millis() as u64);
        }
        let answer = match door::ask(&args.at, &request) {
            Ok(answer) => answer,
            Err(error) => {
                let what = format!("no host answers for this desk: {error}");
                return fail(Exit::Usage, &std::io::Error::new(error.kind(), what));
            }
        };
        let is_held = !answer.ok && answer.data["code"] == "leased";
        if !is_held || is_last {
            break answer;
        }
        std::thread::sleep(AGAIN.min(patience.saturating_sub(began.elapsed())));
    };
    print(&answer, args);
    match answer.ok {
        true => Exit::Good,
        false => Exit::Failed,
    }
}

fn request(what: &What) -> Result<(FromAgent, Duration), String> {
    let files = |what, path: Option<&str>, version| {
        FromAgent::Files(AskFiles {
            id: None,
            what,
            path: path.map(str::to_owned),
            version,
        })
    };
    // `toc.md@3`: a path and a version of it.
    let numbered = |what, text: &str| {
        let parts = text
            .rsplit_once('@')
            .and_then(|(path, number)| Some((path, number.parse().ok()?)));
        match parts {
            Some((path, number)) => files(what, Some(path), Some(number)),
            None => files(what, Some(text), None),
        }
    };
    let seconds = |seconds: f64| {
        Duration::try_from_secs_f64(seconds)
            .map_err(|_| format!("{seconds} is no number of seconds"))
    };
    let lease = |path: &str, what, ttl_ms| {
        FromAgent::Lease(AskLease {
            id: None,
            path: path.to_owned(),
            what,
            ttl_ms,
            again_ms: None,
        })
    };
    let request = match what {
        What::Lease {
            path,
            seconds: ttl,
            wait,
        } => {
            let ttl = ttl.map(seconds).transpose()?;
            let ttl_ms = ttl.map(|ttl| ttl.as_millis().try_into().unwrap_or(u64::MAX));
            return Ok((lease(path, LeaseWhat::Take, ttl_ms), seconds(*wait)?));
        }
        What::Release { path } => lease(path, LeaseWhat::Release, None),
        What::Publish { paths } => FromAgent::Publish(AskPublish {
            id: None,
            paths: paths.clone(),
        }),
        What::Status => files(FilesWhat::Status, None, None),
        What::Leases => files(FilesWhat::Leases, None, None),
        What::Refresh => files(FilesWhat::Refresh, None, None),
        What::Log { path } => files(FilesWhat::Log, Some(path), None),
        What::Take { path } => files(FilesWhat::Take, Some(path), None),
        What::Resolve { path } => numbered(FilesWhat::Resolve, path),
        What::Show { path } => numbered(FilesWhat::Show, path),
    };
    Ok((request, Duration::ZERO))
}

fn print(answer: &Files, args: &DeskArgs) {
    let mut out = std::io::stdout().lock();
    // Whoever closes the pipe has seen enough.
    let _ = match (args.json, &args.what, &answer.data["content"]) {
        (true, _, _) => writeln!(out, "{}", serde_json::json!(answer)),
        // As it is, for a redirect.
        (_, What::Show { .. }, serde_json::Value::String(content)) => {
            out.write_all(content.as_bytes())
        }
        _ if answer.ok => writeln!(out, "{}", answer.text),
        _ => {
            eprintln!("{}", answer.text);
            Ok(())
        }
    };
}
