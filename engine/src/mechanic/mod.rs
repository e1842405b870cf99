//! The mechanics of a scenario and, on one screen, the order in which a step runs them.
//! It must not know what any of them does.

mod files;
pub(crate) mod harvest;
pub(crate) mod intake;
pub(crate) mod matrix;
pub(crate) mod movement;
pub(crate) mod order;
#[cfg(test)]
mod pace_tests;
pub(crate) mod report;
pub(crate) mod sanction;
pub(crate) mod score;
pub(crate) mod speech;
#[cfg(test)]
mod tests;
pub(crate) mod vision;

use crate::action::ActionSpec;
use crate::id::ActionId;
use crate::scenario::reader::Table;
use crate::scenario::{Kind, LimitSpec, Spec};
use bevy_ecs::prelude::*;
use bevy_ecs::schedule::{LogLevel, ScheduleBuildSettings};

/// What the field of an event is, where it is not null.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum FieldKind {
    Text,
    Bool,
    Int,
    /// With a fraction, so that nothing is gained by comparing it.
    Num,
}

use FieldKind::{Bool, Int, Num, Text};

/// A parameter is another from now on.
pub(crate) const SET: &str = "world.set";
/// A parameter could not be changed; why stands in the text.
pub(crate) const NOT_SET: &str = "world.not-set";

/// All events that a step can tell of, with their fields (`text` is the event's own text), so that metrics and scores
/// can name them. A report brings fields of its own.
pub(crate) const EVENTS: &[(&str, &[(&str, FieldKind)])] = &[
    ("seat.late", &[]),
    ("seat.absent", &[]),
    ("seat.back", &[]),
    ("seat.exited", &[("text", Text), ("tick", Int)]),
    ("seat.told", &[("text", Text)]),
    ("seat.seated", &[("text", Text)]),
    (SET, &[("text", Text), ("name", Text), ("value", Text)]),
    (NOT_SET, &[("text", Text), ("name", Text), ("value", Text)]),
    (
        "seat.thinking",
        &[("ticks", Int), ("ms", Int), ("tokens", Int)],
    ),
    ("fault.struck", &[("text", Text), ("ticks", Int)]),
    ("fault.over", &[("text", Text)]),
    ("speech.said", &[("text", Text), ("how", Text), ("to", Int)]),
    (
        "sanction.zap",
        &[("dir", Text), ("length", Int), ("width", Int)],
    ),
    ("sanction.hit", &[("timeout", Int), ("penalty", Num)]),
    ("harvest.ate", &[("reward", Num)]),
    ("harvest.grew", &[]),
    (
        "matrix.played",
        &[
            ("mine", Text),
            ("theirs", Text),
            ("my_points", Num),
            ("their_points", Num),
        ],
    ),
    ("matrix.skipped", &[("mine", Text), ("theirs", Text)]),
    (
        "file.published",
        &[
            ("text", Text),
            ("version", Int),
            ("change", Text),
            ("merged", Bool),
        ],
    ),
    (
        "file.refused",
        &[("text", Text), ("code", Text), ("reason", Text)],
    ),
    ("file.leased", &[("text", Text), ("token", Int)]),
    ("file.released", &[("text", Text), ("token", Int)]),
    ("file.expired", &[("text", Text), ("token", Int)]),
    ("report.made", &[("text", Text)]),
];

/// The parts of a step, one after the other. What stands in the same part touches nothing in common; bevy checks that
/// when the schedule is built, and an ambiguity is an error.
#[derive(SystemSet, Clone, Debug, PartialEq, Eq, Hash)]
enum Part {
    /// Inputs become orders; what cannot be done at all is refused.
    Intake,
    /// Words reach who is near now, clocks of the beam run down, pairs play their round, reports are kept.
    Before,
    /// Bodies turn, then all beams fire from where everyone stands.
    Aim,
    /// All bodies move at once.
    Move,
    /// Who entered a cell eats what is there; then things grow.
    Harvest,
    /// Gains become scores, and each seat gets its results.
    Settle,
}

/// The whole order of a step.
pub(crate) fn schedule() -> Schedule {
    let mut schedule = Schedule::default();
    schedule
        .configure_sets(
            (
                Part::Intake,
                Part::Before,
                Part::Aim,
                Part::Move,
                Part::Harvest,
                Part::Settle,
            )
                .chain(),
        )
        .add_systems(intake::take.in_set(Part::Intake))
        .add_systems(
            (speech::speak, sanction::wear, matrix::play, report::take).in_set(Part::Before),
        )
        .add_systems((movement::turn, sanction::zap).chain().in_set(Part::Aim))
        .add_systems(movement::walk.in_set(Part::Move))
        .add_systems(
            (harvest::eat, harvest::regrow)
                .chain()
                .in_set(Part::Harvest),
        )
        .add_systems((score::gain, order::report).chain().in_set(Part::Settle))
        .set_build_settings(ScheduleBuildSettings {
            ambiguity_detection: LogLevel::Error,
            ..Default::default()
        });
    schedule
}

/// The mechanics a scenario uses, each with its configuration.
#[derive(Clone, Debug, Default)]
pub(crate) struct Mechanics {
    pub(crate) movement: Option<movement::Config>,
    pub(crate) harvest: Option<harvest::Config>,
    pub(crate) sanction: Option<sanction::Config>,
    pub(crate) speech: Option<speech::Config>,
    pub(crate) matrix: Option<matrix::Config>,
    pub(crate) report: Option<report::Config>,
}

/// The numbers of the built-in actions, where the scenario has them.
#[derive(Clone, Copy, Debug, Default)]
pub(crate) struct Ids {
    pub(crate) walk: Option<ActionId>,
    pub(crate) turn: Option<ActionId>,
    pub(crate) zap: Option<ActionId>,
    pub(crate) say: Option<ActionId>,
    pub(crate) play: Option<ActionId>,
    /// The first of the reports; the others follow.
    pub(crate) report: Option<ActionId>,
}

impl Mechanics {
    /// Reads `[mechanic.*]`.
    pub(crate) fn read(
        root: &Table<'_>,
        kinds: &[Kind],
        placeless: bool,
        limits: &LimitSpec,
    ) -> Self {
        let Some(table) = root.table("mechanic") else {
            return Self::default();
        };
        let neighbours = root.table("space").map_or(4, |space| {
            let eight = space.get("neighbours").is_some_and(|item| item.is_int(8));
            space.forget();
            if eight { 8 } else { 4 }
        });
        let placed = |name: &str| {
            let item = table.get(name)?;
            if placeless {
                item.fault(format!("[mechanic.{name}] in a game without a place"))
                    .help("give [space] kind = \"grid\"");
            }
            item.table()
        };
        let mechanics = Self {
            movement: placed("movement").map(|_| movement::Config { neighbours }),
            harvest: placed("harvest").and_then(|table| harvest::Config::read(&table, kinds)),
            sanction: placed("sanction").map(|table| sanction::Config::read(&table)),
            speech: table
                .table("speech")
                .map(|table| speech::Config::read(&table, limits)),
            matrix: table
                .table("matrix")
                .and_then(|table| matrix::Config::read(&table)),
            report: table
                .table("report")
                .and_then(|table| report::Config::read(&table)),
        };
        for name in ["harvest", "sanction"] {
            if let Some(item) = table.get(name).filter(|_| mechanics.movement.is_none()) {
                item.fault(format!("[mechanic.{name}] needs movement"))
                    .help("add [mechanic.movement]");
            }
        }
        mechanics
    }

    /// All actions: `wait`, then those of the mechanics in a fixed order.
    pub(crate) fn catalogue(&self) -> Vec<ActionSpec> {
        let mut specs = vec![ActionSpec {
            id: ActionId(0),
            name: "wait".into(),
            description: "Do nothing this tick.".into(),
            params: Vec::new(),
            speech: false,
        }];
        specs.extend(self.movement.iter().flat_map(movement::Config::actions));
        specs.extend(self.sanction.iter().map(sanction::Config::action));
        specs.extend(self.speech.iter().map(speech::Config::action));
        specs.extend(self.matrix.iter().map(matrix::Config::action));
        specs.extend(self.report.iter().flat_map(report::Config::actions));
        for (index, spec) in specs.iter_mut().enumerate() {
            spec.id = ActionId(index as u16);
        }
        specs
    }

    pub(crate) fn ids(catalogue: &[ActionSpec]) -> Ids {
        let id = |name: &str| {
            catalogue
                .iter()
                .find(|spec| spec.name == name)
                .map(|spec| spec.id)
        };
        Ids {
            walk: id("move"),
            turn: id("turn"),
            zap: id("zap"),
            say: id("say"),
            play: id("play"),
            report: catalogue
                .iter()
                .find(|spec| spec.name.starts_with(report::PREFIX))
                .map(|spec| spec.id),
        }
    }

    /// The rules in words: one paragraph each.
    pub(crate) fn rules_text(&self, spec: &Spec) -> String {
        let mut text = String::new();
        let mut add = |sentence: String| {
            text.push_str(&sentence);
            text.push('\n');
        };
        if !spec.summary.is_empty() {
            add(spec.summary.clone());
        }
        add(score::rules(spec));
        add(vision::rules(spec));
        self.movement
            .iter()
            .for_each(|config| add(config.rules(spec)));
        self.harvest
            .iter()
            .for_each(|config| add(config.rules(spec)));
        self.sanction
            .iter()
            .for_each(|config| add(config.rules(spec)));
        self.speech
            .iter()
            .for_each(|config| add(config.rules(spec)));
        self.matrix
            .iter()
            .for_each(|config| add(config.rules(spec)));
        self.report.iter().for_each(|config| add(config.rules()));
        files::rules(spec).into_iter().for_each(&mut add);
        text
    }
}
