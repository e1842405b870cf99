//! A run while it runs, as the command line has it: the page's port, Ctrl-C, the line of progress, the summary.
//!
//! Must not know where the plan came from.

use std::io;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Duration;

use clap::Args;
use formicarium_agents::Nursery;
use formicarium_agents::gateway::{DEFAULT_UPSTREAM, Secret};
use tokio::sync::{oneshot, watch};

use super::{Exit, LogFormat, fail};
use crate::control::{self, Command, Request, http, pass::Pass};
use crate::feed::server;
use crate::run::progress::Progress;
use crate::run::{self, Plan, RunError, Summary, Upstream};

/// Who may watch, and how the end is told.
#[derive(Debug, Clone, Args)]
pub(super) struct LiveArgs {
    /// Port of the page; the next free one if it is taken, 0 for any.
    #[arg(long, default_value_t = 7878)]
    pub(super) port: u16,
    /// Address of the page.
    #[arg(long, default_value = "127.0.0.1")]
    pub(super) bind: IpAddr,
    /// Serve no page.
    #[arg(long)]
    pub(super) headless: bool,
    /// Begin paused: make no tick until told to (`formicarium control RUN resume`, or `step`).
    #[arg(long, conflicts_with = "headless")]
    pub(super) paused: bool,
    /// Print one JSON object on standard output at the end, and nothing else there.
    #[arg(long)]
    pub(super) json: bool,
}

/// Time that spectators get to be told of the end.
const FAREWELL: Duration = Duration::from_millis(300);

/// What is logged unless the environment says otherwise; the MCP library tells every message.
const LOGGED: &str = "info,rmcp=error";

/// Runs a plan to its end and tells how it went.
pub(super) fn drive(plan: Plan, args: &LiveArgs, nursery: Nursery, logs: LogFormat) -> Exit {
    let progress = Progress::new(plan.timing.last());
    start_logging(logs, &progress);
    let runtime = match tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
    {
        Ok(runtime) => runtime,
        Err(error) => return fail(Exit::Failed, &error),
    };
    match runtime.block_on(live(args, plan, nursery, progress)) {
        Ok(summary) => {
            report(&summary, args.json);
            Exit::Good
        }
        Err(error) => fail(Exit::Failed, &error),
    }
}

/// Runs a plan that asks instead of playing, without a page and a word.
pub(super) fn converse(plan: Plan, nursery: Nursery, logs: LogFormat) -> Result<Summary, RunError> {
    let progress = Progress::new(0);
    start_logging(logs, &progress);
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|source| RunError::Io {
            what: "starting threads".into(),
            source,
        })?;
    runtime.block_on(async {
        let ready = run::prepare(plan, false)?;
        let (stopper, stop) = watch::channel(false);
        // Nobody asks for anything.
        let (_, requests) = control::channel();
        let signals = tokio::spawn(async move {
            while signalled().await {
                let _ = stopper.send(true);
            }
        });
        let summary = run::execute(ready, nursery, progress, stop, requests).await;
        signals.abort();
        summary
    })
}

/// Serves the page and runs to the end.
async fn live(
    args: &LiveArgs,
    plan: Plan,
    nursery: Nursery,
    progress: Progress,
) -> Result<Summary, RunError> {
    let (dir, seed, cast) = (plan.dir.clone(), plan.seed, plan.cast.clone());
    let ready = run::prepare(plan, !args.headless)?;
    let (stopper, stop) = watch::channel(false);
    let stopper = Arc::new(stopper);
    let (asker, requests) = control::channel();
    let mut serving = None;
    // Goes at the end.
    let mut pass_file = None;
    let mut hub = None;
    if let Some(feed) = ready.feed() {
        let what = || format!("opening port {} on {}", args.port, args.bind);
        let listener = server::bind(args.bind, args.port)
            .await
            .map_err(|source| RunError::Io {
                what: what(),
                source,
            })?;
        let address = listener.local_addr().map_err(|source| RunError::Io {
            what: what(),
            source,
        })?;
        let token: Arc<str> = run::token().into();
        let host = host(args.bind);
        let pass = Pass {
            address: format!("{host}:{}", address.port()),
            token: run::token(),
        };
        pass_file = Some(pass.write(&dir).map_err(|source| RunError::Io {
            what: format!("writing the operator's token in {}", dir.display()),
            source,
        })?);
        let link = format!("watch it: http://{host}:{}/#token={token}", address.port());
        match args.json {
            true => eprintln!("{link}"),
            false => println!("{link}"),
        }
        eprintln!("control: formicarium control {} status", dir.display());
        if args.paused {
            let (answer, _) = oneshot::channel();
            let command = Command::Pause;
            asker
                .try_send(Request { command, answer })
                .map_err(|error| RunError::Bug(error.to_string()))?;
        }
        let door = http::Door {
            requests: asker,
            stopper: stopper.clone(),
            token: pass.token.into(),
            is_local: args.bind.is_loopback(),
        };
        hub = Some(feed.hub());
        let served = server::serve(listener, feed.hub(), token, http::router(door));
        serving = Some(tokio::spawn(served));
    }
    tracing::info!(dir = %dir.display(), seed, cast, "recording");
    ready.seclusion().tell();

    let signals = tokio::spawn(async move {
        for attempt in 0.. {
            if !signalled().await {
                return;
            }
            if attempt > 0 {
                // Keepers end their agents when the host is gone; the recording is whole up to its last tick.
                std::process::exit(130);
            }
            let _ = stopper.send(true);
        }
    });
    let drawing = tokio::spawn(progress.clone().draw());
    let summary = run::execute(ready, nursery, progress, stop, requests).await;
    drawing.abort();
    signals.abort();
    if hub.is_some_and(|hub| hub.clients() > 0) {
        tokio::time::sleep(FAREWELL).await;
    }
    if let Some(serving) = serving {
        serving.abort();
    }
    drop(pass_file);
    summary
}

/// An address as it stands in a link. A wildcard address is where to listen, not where to go.
pub(super) fn host(bind: IpAddr) -> String {
    match bind.is_unspecified() {
        true => "localhost".to_owned(),
        false if bind.is_ipv6() => format!("[{bind}]"),
        false => bind.to_string(),
    }
}

/// Waits for Ctrl-C or SIGTERM; false if signals cannot be had.
pub(super) async fn signalled() -> bool {
    let Ok(mut terminate) =
        tokio::signal::unix::signal(tokio::signal::unix::SignalKind::terminate())
    else {
        return tokio::signal::ctrl_c().await.is_ok();
    };
    tokio::select! {
        result = tokio::signal::ctrl_c() => result.is_ok(),
        got = terminate.recv() => got.is_some(),
    }
}

pub(super) fn report(summary: &Summary, json: bool) {
    if json {
        println!("{}", serde_json::json!(summary));
        return;
    }
    println!(
        "{} after {} ticks, hash {}",
        summary.end, summary.ticks, summary.hash
    );
    let width = summary
        .seats
        .iter()
        .map(|seat| seat.seat.len())
        .max()
        .unwrap_or(0);
    for seat in &summary.seats {
        let trouble = seat
            .trouble
            .as_ref()
            .map_or(String::new(), |words| format!("  ({words})"));
        println!(
            "  {:width$}  {:>10}  {}{trouble}",
            seat.seat, seat.score, seat.status
        );
    }
    println!("recorded in {}", summary.dir.display());
}

fn start_logging(format: LogFormat, progress: &Progress) {
    use std::io::IsTerminal;
    use tracing_subscriber::EnvFilter;
    let filter =
        EnvFilter::try_from_env("FORMICARIUM_LOG").unwrap_or_else(|_| EnvFilter::new(LOGGED));
    let progress = progress.clone();
    let builder = tracing_subscriber::fmt()
        .with_env_filter(filter)
        .with_target(false)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(move || progress.writer());
    // A second logger can only be a test's; the first one stays.
    let _ = match format {
        LogFormat::Text => builder.try_init(),
        LogFormat::Json => builder.json().try_init(),
    };
}

/// The model's API, as the tools of its provider name it in the environment. No child inherits either.
pub(super) fn upstream() -> Upstream {
    let set = |name: &str| std::env::var(name).ok().filter(|value| !value.is_empty());
    Upstream {
        url: set("ANTHROPIC_BASE_URL").unwrap_or_else(|| DEFAULT_UPSTREAM.to_owned()),
        key: set("ANTHROPIC_API_KEY").map(Secret::new),
    }
}
