//! `formicarium replay --serve`: a recording on the page, made again by re-execution and shown as if it were live.
//!
//! Every hash is compared on the way. Starts no agent and writes nothing.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread;
use std::time::{Duration, Instant};

use formicarium_engine::{Scenario, TickInput};

use super::replay::ReplayArgs;
use super::{Exit, fail, live};
use crate::export::ExportError;
use crate::export::film::{self, Around};
use crate::feed::handover::Feed;
use crate::feed::wire::{Phase, SeatStatus};
use crate::feed::{files::FilesDelta, picture, server, statics};
use crate::recorder::reader::Recording;
use crate::recorder::seek::{SeekError, world_at};
use crate::recorder::{RecorderError, hash_text};
use crate::run;

/// How long a wait goes on before it is looked whether to end.
const LOOK: Duration = Duration::from_millis(20);

#[derive(Debug, thiserror::Error)]
enum ServeError {
    #[error(transparent)]
    Recorder(#[from] RecorderError),
    #[error(transparent)]
    Seek(#[from] SeekError),
    #[error(transparent)]
    Read(#[from] ExportError),
    #[error("{0}: {1}")]
    Io(String, std::io::Error),
    #[error("--from {0} lies after --to {1}")]
    Range(u64, u64),
    #[error("tick {0} is another world than the recording's; `formicarium replay` says which part")]
    Different(u64),
    #[error("interrupted")]
    Interrupted,
}

pub(super) fn run(args: &ReplayArgs) -> Exit {
    match serve(args) {
        Ok(()) | Err(ServeError::Interrupted) => Exit::Good,
        Err(error @ ServeError::Different(_)) => fail(Exit::Different, &error),
        Err(error @ (ServeError::Range(..) | ServeError::Seek(SeekError::Beyond { .. }))) => {
            fail(Exit::Usage, &error)
        }
        Err(error) => fail(Exit::Failed, &error),
    }
}

fn serve(args: &ReplayArgs) -> Result<(), ServeError> {
    let recording = Recording::open(&args.run)?;
    let last = recording.last_tick()?;
    let to = args.to.unwrap_or(last);
    if args.from > to {
        return Err(ServeError::Range(args.from, to));
    }
    if to > last {
        return Err(SeekError::Beyond { tick: to, last }.into());
    }
    let (mut world, _) = world_at(&recording, args.from, args.from)?;
    let mut around = Around::read(&recording)?;
    let mut files = film::files(&recording)?;
    let feed = open_feed(&recording, &world, to)?;
    (0..=args.from).for_each(|tick| drop(around.at(tick)));
    around.seats.iter().for_each(|seat| tell(&feed, seat));
    if let Some(files) = &mut files {
        let rest = files.split_off(&(args.from + 1));
        let mut now = FilesDelta::default();
        std::mem::replace(files, rest)
            .into_values()
            .for_each(|delta| now.then(delta));
        feed.files(now);
    }

    let is_over = Arc::new(AtomicBool::new(false));
    let runtime = tokio::runtime::Builder::new_multi_thread()
        .enable_all()
        .build()
        .map_err(|error| ServeError::Io("starting threads".into(), error))?;
    let listener = runtime
        .block_on(server::bind(args.bind, args.port))
        .map_err(|error| ServeError::Io(format!("opening port {}", args.port), error))?;
    let address = listener
        .local_addr()
        .map_err(|error| ServeError::Io("the page's address".into(), error))?;
    let token: Arc<str> = run::token().into();
    println!(
        "watch it: http://{}:{}/#token={token}",
        live::host(args.bind),
        address.port()
    );
    runtime.spawn(server::serve(
        listener,
        feed.hub(),
        token,
        axum::Router::new(),
    ));
    let over = is_over.clone();
    runtime.spawn(async move {
        live::signalled().await;
        over.store(true, Ordering::Relaxed);
    });
    // A spectator sees all of it: it begins when the first one is there.
    let hub = feed.hub();
    while hub.clients() == 0 {
        pause(LOOK, &is_over)?;
    }
    feed.phase(Phase::Running);
    let begin = Instant::now();
    let first_us = recording.at_us(args.from)?.unwrap_or(0);
    recording.inputs_between(
        args.from + 1,
        to,
        |input: TickInput| -> Result<(), ServeError> {
            let tick = input.tick;
            let row = recording.tick(tick)?;
            if let Some(at_us) = recording.at_us(tick)? {
                let since = Duration::from_micros(at_us.saturating_sub(first_us));
                let due = since.div_f64(args.speed);
                pause(due.saturating_sub(begin.elapsed()), &is_over)?;
            }
            let output = Arc::new(world.step(&input));
            if row.is_some_and(|row| row.hash != hash_text(output.hash)) {
                return Err(ServeError::Different(tick));
            }
            let (events, statuses) = around.at(tick);
            events.into_iter().for_each(|event| feed.event(event));
            statuses.iter().for_each(|seat| tell(&feed, seat));
            let whole = feed.wants_whole().then(|| world.picture());
            let news = files.as_mut().and_then(|files| files.remove(&tick));
            feed.tick(output, whole, news);
            Ok(())
        },
    )?;
    let reason = match &recording.end {
        Some(end) if end.ticks == to => end.reason.clone(),
        _ => format!("the replay ends at tick {to}"),
    };
    println!("tick {to} reached, every hash is that of the recording; Ctrl-C ends it");
    feed.end(to, reason, world.scores());
    loop {
        pause(LOOK, &is_over)?;
    }
}

/// The feed, with the picture of where the replay begins and the metrics until then.
fn open_feed(
    recording: &Recording,
    world: &formicarium_engine::World,
    to: u64,
) -> Result<Feed, ServeError> {
    let meta = &recording.meta;
    let scenario = Scenario::load(&recording.bundle()?).map_err(|_| {
        let why = "its scenario does not load".to_owned();
        recording.damaged(0, why)
    })?;
    let picture = world.picture();
    let command = format!("formicarium run {}", scenario.name());
    let facts = statics::of(
        &scenario,
        world.params(),
        meta,
        (std::slice::from_ref(&meta.cast), &command),
        &picture,
        world.catalogue(),
    );
    let mut metrics = recording.metrics()?;
    metrics.retain(|(tick, _)| *tick <= world.tick());
    let past = picture::Past {
        tick: world.tick(),
        metrics,
    };
    Feed::start(&facts, &picture, world.scores(), run::token(), (past, to))
        .map_err(|error| ServeError::Io("starting the feed's thread".into(), error))
}

fn tell(feed: &Feed, seat: &SeatStatus) {
    let status = SeatStatus {
        cost: None,
        ..seat.clone()
    };
    feed.status(status);
    if let Some(cost) = seat.cost {
        feed.cost(seat.seat, cost);
    }
}

/// Waits; ends early when it is to end.
fn pause(time: Duration, is_over: &AtomicBool) -> Result<(), ServeError> {
    let end = Instant::now() + time;
    loop {
        if is_over.load(Ordering::Relaxed) {
            return Err(ServeError::Interrupted);
        }
        let left = end.saturating_duration_since(Instant::now());
        if left.is_zero() {
            return Ok(());
        }
        thread::sleep(left.min(LOOK));
    }
}
