//! The typed scenario: what every table of scenario.toml says, once it is read. Data only.

use super::fault::FaultSpec;
use super::files::FilesSpec;
use super::filter::Filter;
use super::map::Space;
use super::question::QuestionSpec;
use super::time::TimeSpec;
use crate::id::SeatId;
use crate::mechanic::Mechanics;
use serde::Serialize;

/// The most seats of a world.
pub(crate) const MAX_SEATS: i64 = 10_000;

/// `[kind.*]`: what can exist.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Kind {
    pub(crate) name: String,
    pub(crate) glyph: char,
    pub(crate) colour: String,
    pub(crate) solid: bool,
    pub(crate) opaque: bool,
}

/// `[[seat]]`: seats that are alike.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct SeatGroup {
    pub(crate) name: String,
    pub(crate) count: u32,
    pub(crate) numbered: bool,
    pub(crate) role: String,
    /// Names of spawns, tried in this order.
    pub(crate) spawns: Vec<String>,
    /// Index of the kind of its bodies.
    pub(crate) kind: u16,
}

/// `[observation]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Sight {
    pub(crate) radius: i32,
    pub(crate) line_of_sight: bool,
    pub(crate) tell_view: bool,
    pub(crate) tell_near: bool,
    pub(crate) tell_time: bool,
    pub(crate) tell_scores: bool,
}

/// `[limits]`: what a seat may send in a tick.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct LimitSpec {
    /// Actions that are not speech.
    pub actions: u32,
    /// Speech actions.
    pub speech: u32,
    /// Characters of one speech.
    pub speech_chars: u32,
}

/// `[[metric]]`: a number of each tick.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct MetricSpec {
    /// Its name.
    pub name: String,
    /// What to call it on a page.
    pub title: String,
    /// Its unit.
    pub unit: String,
    /// What it measures.
    #[serde(skip)]
    pub(crate) source: Source,
}

/// What a metric measures.
#[derive(Clone, Debug, PartialEq)]
pub(crate) enum Source {
    /// Things of this kind.
    Count(u16),
    /// Events that the filter takes: in the tick, or in the run so far.
    Events { filter: Filter, run: bool },
    /// A number of a report.
    Report { report: usize, field: usize, of: Of },
    /// All scores together.
    Sum,
    /// The mean score.
    Mean,
    /// The Gini coefficient of the scores.
    Gini,
}

/// Which of the seats' last reports a metric takes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Of {
    /// The one that was made last.
    Last,
    /// All of them together.
    Sum,
    /// Their mean.
    Mean,
    /// The lowest.
    Lowest,
    /// The highest.
    Highest,
}

impl Of {
    pub(super) const ALL: [Of; 5] = [
        Self::Last,
        Self::Sum,
        Self::Mean,
        Self::Lowest,
        Self::Highest,
    ];
    /// Their words, in the same order.
    pub(super) const WORDS: [&str; 5] = ["last", "sum", "mean", "lowest", "highest"];
}

/// `[[score.earn]]`: what a seat gets for each of these events of its own.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Earn {
    pub(crate) filter: Filter,
    pub(crate) points: f64,
}

/// `[score]`.
#[derive(Clone, Debug, PartialEq, Eq, Serialize)]
pub struct ScoreSpec {
    /// What a point is.
    pub unit: String,
    /// Which score is best: `highest` or `lowest`.
    pub best: &'static str,
}

/// The words of `[score] best`.
pub(super) const BEST: [&str; 2] = ["highest", "lowest"];

/// One entry of `[end] when`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct EndWhen {
    pub(crate) metric: usize,
    pub(crate) below: Option<f64>,
    pub(crate) above: Option<f64>,
}

/// The whole scenario with the values of one run's parameters.
#[derive(Clone, Debug)]
pub(crate) struct Spec {
    pub(crate) name: String,
    pub(crate) title: String,
    pub(crate) summary: String,
    pub(crate) cast: Option<String>,
    pub(crate) time: TimeSpec,
    pub(crate) space: Option<Space>,
    pub(crate) kinds: Vec<Kind>,
    pub(crate) seats: Vec<SeatGroup>,
    pub(crate) mechanics: Mechanics,
    pub(crate) sight: Sight,
    pub(crate) limits: LimitSpec,
    pub(crate) metrics: Vec<MetricSpec>,
    pub(crate) score: ScoreSpec,
    pub(crate) earn: Vec<Earn>,
    pub(crate) end: Vec<EndWhen>,
    pub(crate) questions: Vec<QuestionSpec>,
    pub(crate) files: Option<FilesSpec>,
    pub(crate) faults: Vec<FaultSpec>,
}

impl SeatGroup {
    /// The names of its seats, in their order.
    pub(crate) fn names(&self) -> impl Iterator<Item = String> {
        let plain = self.count == 1 && !self.numbered;
        (1..=self.count).map(move |number| match plain {
            true => self.name.clone(),
            false => format!("{}-{number}", self.name),
        })
    }
}

impl Spec {
    /// How many seats there are.
    pub(crate) fn seat_count(&self) -> usize {
        self.seats.iter().map(|group| group.count as usize).sum()
    }
    /// The group of a seat.
    pub(crate) fn group_of(&self, seat: SeatId) -> Option<&String> {
        let mut left = seat.0;
        for group in &self.seats {
            if left < group.count {
                return Some(&group.name);
            }
            left -= group.count;
        }
        None
    }
}
