//! Messages of the feed and their bytes. Shapes only: no state, no sockets.

use std::borrow::Cow;

use bytes::Bytes;
use formicarium_engine::{KindInfo, Thing, Value};
use serde::{Deserialize, Serialize};

use super::files_wire::{FilesSnapshot, FilesTick};
use crate::recorder::writer::FieldMap;

/// WebSocket subprotocol; the version is part of the name.
pub const PROTOCOL: &str = "formicarium.observe.v1";
/// Bytes of the binary header.
pub const HEADER: usize = 22;
/// Header flag: the payload is raw deflate.
pub const FLAG_DEFLATE: u8 = 1;
/// Largest text frame taken from a client, in bytes.
pub const CLIENT_FRAME_MOST: usize = 16 * 1024;

/// What a binary frame carries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u8)]
pub enum Kind {
    /// What never changes in a run.
    Static = 1,
    /// The whole visible state.
    Snapshot = 2,
    /// What changed in one tick.
    Tick = 3,
}

/// Builds a binary frame: little-endian `kind u8, flags u8, stream u32, seq u64, tick u64`, payload.
pub fn frame(kind: Kind, seq: u64, tick: u64, payload: &[u8], deflate: bool) -> Bytes {
    let mut bytes = Vec::with_capacity(HEADER + payload.len());
    bytes.push(kind as u8);
    bytes.push(if deflate { FLAG_DEFLATE } else { 0 });
    bytes.extend_from_slice(&0u32.to_le_bytes());
    bytes.extend_from_slice(&seq.to_le_bytes());
    bytes.extend_from_slice(&tick.to_le_bytes());
    if deflate {
        use std::io::Write;
        let mut encoder = flate2::write::DeflateEncoder::new(bytes, flate2::Compression::fast());
        encoder.write_all(payload).expect("writing to memory");
        return encoder.finish().expect("writing to memory").into();
    }
    bytes.extend_from_slice(payload);
    bytes.into()
}

/// What a client says.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(tag = "type", rename_all = "snake_case", deny_unknown_fields)]
pub enum FromClient {
    /// The first message.
    Hello {
        /// Must be `PROTOCOL`.
        proto: String,
        /// The spectator's token.
        #[serde(default)]
        token: String,
        /// `none` or `deflate`.
        #[serde(default)]
        compress: Compress,
        /// Where an earlier connection stopped.
        #[serde(default)]
        resume: Option<Resume>,
    },
    /// Answered by `pong`.
    Ping {
        /// Handed back.
        id: u64,
    },
}

/// Compression of binary payloads.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Compress {
    /// Plain JSON.
    #[default]
    None,
    /// Raw deflate, made once for all clients that want it.
    Deflate,
}

/// The last frame that a client has.
#[derive(Debug, Clone, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Resume {
    /// The host process that sent it.
    pub epoch: String,
    /// Its number.
    pub seq: u64,
}

/// Control messages of the host.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[serde(tag = "type", rename_all = "snake_case")]
pub enum ToClient {
    /// Answer to `hello`.
    Welcome {
        /// `PROTOCOL`.
        proto: String,
        /// The run's id.
        run: String,
        /// Random per host process; frame numbers are good within one epoch only.
        epoch: String,
        /// Tick of the state that follows.
        tick: u64,
        /// First tick of the run.
        first_tick: u64,
        /// Newest tick.
        head_tick: u64,
        /// `lockstep` or `realtime`.
        mode: String,
        /// Ticks a second in `realtime`.
        hz: f64,
        /// Last tick; 0 = no end.
        ticks: u64,
        /// Where the run stands.
        phase: Phase,
        /// What this host can do.
        caps: Vec<&'static str>,
        /// Limits a client should know.
        limits: ClientLimits,
        /// True if the frames go on where the client stopped.
        resumed: bool,
    },
    /// Heartbeat, and changes of seats between ticks.
    Status {
        /// Where the run stands.
        phase: Phase,
        /// Newest tick.
        head_tick: u64,
        /// Number of the newest frame.
        head_seq: u64,
        /// Ticks a second, measured.
        tps: f64,
        /// Seats whose status changed.
        seats: Vec<SeatStatus>,
    },
    /// Frames were dropped for this client; a snapshot follows.
    Gap {
        /// First missing frame.
        from: u64,
        /// Last missing frame.
        to: u64,
        /// Why.
        reason: &'static str,
    },
    /// The run is over.
    End {
        /// Its last tick.
        tick: u64,
        /// Why.
        reason: String,
        /// Final scores.
        scores: Vec<f64>,
    },
    /// Answer to `ping`.
    Pong {
        /// The ping's.
        id: u64,
        /// Newest tick.
        head_tick: u64,
        /// Number of the newest frame.
        head_seq: u64,
    },
    /// Followed by a close.
    Error {
        /// Close code.
        code: u16,
        /// What went wrong and what to do.
        message: String,
        /// Whether trying again may help.
        retry: bool,
    },
}

/// Limits of one client.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct ClientLimits {
    /// Largest frame that a client may send, in bytes.
    pub frame_bytes: usize,
    /// Clients at once.
    pub clients: usize,
}

/// Phase of a run.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Phase {
    /// Agents are being started.
    Starting,
    /// Ticks are made.
    Running,
    /// Over.
    Ended,
}

/// What a seat has used so far.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
pub struct CostTotals {
    /// Tokens of all kinds.
    pub tokens: u64,
    /// Model calls.
    pub calls: u64,
    /// US dollars, by the agent's own price list.
    pub usd: f64,
}

/// Status of a seat, in one word and a sentence.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct SeatStatus {
    /// The seat's index.
    pub seat: u32,
    /// `starting`, `ready`, `playing`, `late`, `absent`, `exited` or `ended`.
    pub status: &'static str,
    /// What is wrong and whose fault it is; none if nothing is.
    pub reason: Option<String>,
    /// What it has used; none for a seat that calls no model.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub cost: Option<CostTotals>,
}

/// Payload of `Kind::Static`.
#[derive(Debug, Clone, Serialize)]
pub struct Static {
    /// What is played.
    pub scenario: ScenarioInfo,
    /// The run's id.
    pub run: String,
    /// Its seed, as text: JavaScript's numbers hold 53 bits.
    pub seed: String,
    /// Parameters with their values.
    pub params: serde_json::Value,
    /// `lockstep` or `realtime`.
    pub mode: String,
    /// Ticks a second in `realtime`.
    pub hz: f64,
    /// The cast's name.
    pub cast: String,
    /// All casts of the scenario.
    pub casts: Vec<String>,
    /// Command line that starts such a run; with `--cast NAME` behind it, one with another cast.
    pub command: String,
    /// Isolation level of the agents' processes.
    pub isolation: String,
    /// The map; none for games without a place.
    pub space: Option<Space>,
    /// What can exist; things and terrain name them by index.
    pub kinds: Vec<KindInfo>,
    /// Row-major; kind index + 1, 0 for nothing.
    pub terrain: Vec<u16>,
    /// The seats in the scenario's order.
    pub seats: Vec<SeatInfo>,
    /// The metrics in the order of their values.
    pub metrics: Vec<MetricInfo>,
    /// What scores mean.
    pub score: ScoreInfo,
    /// What agents can do.
    pub actions: Vec<ActionInfo>,
}

/// Name and story of a scenario.
#[derive(Debug, Clone, Serialize)]
pub struct ScenarioInfo {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// A sentence or two.
    pub summary: String,
}

/// Extent of a map in cells.
#[derive(Debug, Clone, Serialize)]
pub struct Space {
    /// Columns.
    pub width: u32,
    /// Rows.
    pub height: u32,
    /// True if the edges meet.
    pub torus: bool,
}

/// A seat and who sits there.
#[derive(Debug, Clone, Serialize)]
pub struct SeatInfo {
    /// Its name.
    pub name: String,
    /// Its group.
    pub group: String,
    /// What the cast put there.
    pub agent: String,
}

/// A metric.
#[derive(Debug, Clone, Serialize)]
pub struct MetricInfo {
    /// Its name.
    pub name: String,
    /// Its title.
    pub title: String,
    /// Its unit.
    pub unit: String,
}

/// What scores mean.
#[derive(Debug, Clone, Serialize)]
pub struct ScoreInfo {
    /// Their unit.
    pub unit: String,
    /// `highest` or `lowest`.
    pub best: String,
}

/// An action.
#[derive(Debug, Clone, Serialize)]
pub struct ActionInfo {
    /// Its name.
    pub name: String,
    /// What it does.
    pub description: String,
}

/// Things by column.
#[derive(Debug, Clone, Default, PartialEq, Serialize)]
pub struct Columns {
    id: Vec<u64>,
    kind: Vec<u16>,
    x: Vec<i32>,
    y: Vec<i32>,
    seat: Vec<i64>,
    face: Vec<i8>,
    flags: Vec<u8>,
}

impl Columns {
    /// Lays things out by column.
    pub fn of<'a>(things: impl Iterator<Item = &'a Thing>) -> Columns {
        let mut columns = Columns::default();
        for thing in things {
            columns.id.push(thing.id);
            columns.kind.push(thing.kind);
            columns.x.push(thing.x);
            columns.y.push(thing.y);
            columns
                .seat
                .push(thing.seat.map_or(-1, |seat| i64::from(seat.0)));
            columns.face.push(thing.face);
            columns.flags.push(thing.flags);
        }
        columns
    }

    /// True if there is nothing in it.
    pub fn is_empty(&self) -> bool {
        self.id.is_empty()
    }
}

/// Something that happened.
#[derive(Debug, Clone, Serialize)]
pub struct Event {
    /// Tick.
    pub tick: u64,
    /// `harvest.ate`, `speech.said`, `agent.thought`...
    pub name: String,
    /// Whose.
    pub seat: Option<u32>,
    /// The other one in it.
    pub other: Option<u32>,
    /// Where.
    pub at: Option<(i32, i32)>,
    /// Words.
    pub text: Option<String>,
    /// More.
    pub data: serde_json::Value,
}

impl Event {
    /// An event of the world.
    pub fn of_world(tick: u64, event: &formicarium_engine::Event) -> Event {
        Event {
            tick,
            name: event.name.to_owned(),
            seat: event.seat.map(|seat| seat.0),
            other: event.other.map(|seat| seat.0),
            at: event.at,
            text: event.text.clone(),
            data: fields(&event.fields),
        }
    }

    /// An event around an agent.
    pub fn of_agent(
        tick: u64,
        name: &str,
        seat: Option<u32>,
        text: String,
        data: serde_json::Value,
    ) -> Event {
        Event {
            tick,
            name: name.to_owned(),
            seat,
            other: None,
            at: None,
            text: Some(text),
            data,
        }
    }
}

fn fields(fields: &[(Cow<'static, str>, Value)]) -> serde_json::Value {
    serde_json::to_value(FieldMap(fields)).unwrap_or_default()
}

/// Payload of `Kind::Snapshot`.
#[derive(Debug, Serialize)]
pub struct Snapshot<'a> {
    /// All things.
    pub things: Columns,
    /// Per seat.
    pub scores: &'a [f64],
    /// Per seat.
    pub status: &'a [SeatStatus],
    /// Latest value per metric.
    pub metrics: &'a [f64],
    /// Earlier values, thinned.
    pub history: History<'a>,
    /// The last events.
    pub recent: Vec<&'a Event>,
    /// The shared files; none in a scenario that has none.
    pub files: Option<FilesSnapshot>,
}

/// Metric values over time.
#[derive(Debug, Serialize)]
pub struct History<'a> {
    /// Ticks.
    pub ticks: &'a [u64],
    /// Per tick: per metric.
    pub values: &'a [Vec<f64>],
}

/// Payload of `Kind::Tick`.
#[derive(Debug, Serialize)]
pub struct Tick<'a> {
    /// Things that are new or changed.
    #[serde(skip_serializing_if = "Columns::is_empty")]
    pub upd: Columns,
    /// Things that are gone.
    #[serde(skip_serializing_if = "<[u64]>::is_empty")]
    pub del: &'a [u64],
    /// Scores that changed.
    pub scores: ScoreColumns,
    /// All metrics.
    pub metrics: &'a [f64],
    /// What happened.
    #[serde(skip_serializing_if = "<[Event]>::is_empty")]
    pub events: &'a [Event],
    /// What became of the shared files.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub files: Option<FilesTick>,
}

/// Changed scores by column.
#[derive(Debug, Default, Serialize)]
pub struct ScoreColumns {
    /// Seats.
    pub seat: Vec<u32>,
    /// Their scores.
    pub score: Vec<f64>,
}
