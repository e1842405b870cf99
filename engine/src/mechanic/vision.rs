//! What a seat is shown: the structured form and the text. It must not change anything.
//!
//! It sees the square of `[observation] radius` around it; with `line_of_sight` only what nothing opaque hides. Only
//! things of the map hide anything, bodies do not. The price depends on the radius, not on the number of seats: the
//! cells are asked, never the entities.

use super::matrix::{self, Matches};
use super::order::{Clock, Rules};
use super::report;
use super::sanction::{Cooldown, Timeout};
use crate::component::{
    Bodies, Cells, Facing, Mailbox, Outcome, Position, Presence, Score, Standing,
};
use crate::event::Code;
use crate::id::SeatId;
use crate::observation::{ActionResult, How, Observation};
use crate::scenario::{Space, Spec};
use crate::space::visible;
use crate::value::Value;
use crate::world::SeatInfo;
use bevy_ecs::prelude::World as EcsWorld;
use std::borrow::Cow;
use std::fmt::Write;

pub(crate) fn rules(spec: &Spec) -> String {
    if spec.space.is_none() {
        return "This world has no places.".into();
    }
    let hidden = if spec.sight.line_of_sight {
        ", unless something opaque is in the way"
    } else {
        ""
    };
    format!(
        "You see {} cells in each direction{hidden}. x counts to the east, y to the south. On maps @ is you, o are \
         others, . is empty, ? is unseen.",
        spec.sight.radius
    )
}

/// At most so many things are named in the text; the map shows the rest.
const MAX_NAMED: usize = 6;

type Entries = Vec<(Cow<'static, str>, Value)>;

fn put(map: &mut Entries, key: &'static str, value: impl Into<Value>) {
    map.push((Cow::Borrowed(key), value.into()));
}

/// What one seat is shown.
pub(crate) fn observe(ecs: &EcsWorld, seats: &[SeatInfo], seat: SeatId) -> Observation {
    let tick = ecs.resource::<Clock>().0;
    let rules = ecs.resource::<Rules>();
    let Some(entity) = ecs
        .resource::<Bodies>()
        .0
        .get(seat.index())
        .and_then(|entity| ecs.get_entity(*entity).ok())
    else {
        let state = Value::Map(Vec::new());
        return Observation {
            tick,
            text: String::new(),
            state,
            heard: Vec::new(),
            results: Vec::new(),
        };
    };
    let me = &seats[seat.index()];
    let score = entity.get::<Score>().map_or(0.0, |score| score.0);
    let mut text = String::with_capacity(640);
    let mut state: Entries = Vec::with_capacity(6);
    let ticks = rules.spec.time.ticks;
    let _ = match ticks {
        0 => write!(text, "Tick {tick}. "),
        _ => write!(text, "Tick {tick} of {ticks}. "),
    };
    let _ = write!(text, "You are {}", me.name);
    let mut you: Entries = Vec::with_capacity(8);
    put(&mut you, "seat", me.name.clone());
    let place = rules
        .spec
        .space
        .as_ref()
        .zip(entity.get::<Position>())
        .zip(entity.get::<Facing>());
    if let Some(((space, position), facing)) = place {
        let (x, y) = space.grid.place(position.0);
        put(&mut you, "x", x);
        put(&mut you, "y", y);
        put(&mut you, "face", facing.0.name());
        let _ = write!(text, " at ({x},{y}) facing {}", facing.0.name());
    }
    put(&mut you, "score", score);
    let _ = writeln!(text, ". Score {score}.");
    let timed_out = entity.get::<Timeout>().map_or(0, |timeout| timeout.left);
    put(&mut you, "timed_out", timed_out);
    if timed_out > 0 {
        let _ = writeln!(
            text,
            "You are timed out: for {timed_out} more ticks you can only wait and speak."
        );
    }
    if let Some(cooldown) = entity.get::<Cooldown>() {
        put(&mut you, "cooldown", cooldown.left);
    }
    state.push((Cow::Borrowed("you"), Value::Map(you)));
    if let Some(((space, position), _)) = place {
        look(
            ecs, seats, rules, space, position.0, seat, &mut text, &mut state,
        );
    }
    if rules.spec.mechanics.matrix.is_some() {
        state.push((
            Cow::Borrowed("match"),
            game(ecs, seats, rules, tick, seat, &mut text),
        ));
    }
    if let Some(reports) = report::tell(ecs, seats, &mut text) {
        state.push((Cow::Borrowed("reports"), reports));
    }
    if rules.spec.sight.tell_time {
        let mut time: Entries = Vec::with_capacity(2);
        put(&mut time, "tick", tick as i64);
        put(&mut time, "ticks", ticks as i64);
        state.push((Cow::Borrowed("time"), Value::Map(time)));
    }
    if rules.spec.sight.tell_scores {
        let scores = all_scores(ecs);
        let entries = seats
            .iter()
            .zip(&scores)
            .map(|(seat, score)| (Cow::Owned(seat.name.clone()), Value::Num(*score)));
        state.push((Cow::Borrowed("scores"), Value::Map(entries.collect())));
        text.push_str("Scores:");
        for (seat, score) in seats.iter().zip(&scores) {
            let _ = write!(text, " {} {score}", seat.name);
        }
        text.push('\n');
    }
    let empty = Mailbox::default();
    let mailbox = entity.get::<Mailbox>().unwrap_or(&empty);
    tell(mailbox, seats, rules, &mut text);
    Observation {
        tick,
        text,
        state: Value::Map(state),
        heard: mailbox.heard.clone(),
        results: mailbox.results.iter().map(result).collect(),
    }
}

/// The tick after which nothing comes; 0 for no end.
pub(crate) fn last_tick(spec: &Spec) -> u64 {
    let game = spec
        .mechanics
        .matrix
        .as_ref()
        .map_or(0, |matrix| matrix.ticks(spec.seat_count()));
    match (spec.time.ticks, game) {
        (0, last) | (last, 0) => last,
        (ticks, game) => ticks.min(game),
    }
}

/// The scores of all seats, in order.
pub(crate) fn all_scores(ecs: &EcsWorld) -> Vec<f64> {
    let bodies = &ecs.resource::<Bodies>().0;
    bodies
        .iter()
        .map(|entity| ecs.get::<Score>(*entity).map_or(0.0, |score| score.0))
        .collect()
}

fn result(outcome: &Outcome) -> ActionResult {
    ActionResult {
        action: outcome.action,
        code: outcome.code.as_str(),
        reason: (outcome.code != Code::Ok).then(|| outcome.reason.clone()),
    }
}

fn tell(mailbox: &Mailbox, seats: &[SeatInfo], rules: &Rules, text: &mut String) {
    for heard in &mailbox.heard {
        let verb = match heard.how {
            How::Say => "says",
            How::Whisper => "whispers to you",
            How::Broadcast => "tells everyone",
        };
        let from = seats
            .get(heard.from.index())
            .map_or("someone", |seat| seat.name.as_str());
        let _ = writeln!(text, "{from} {verb}: {:?}", heard.text);
    }
    for outcome in &mailbox.results {
        let name = rules
            .catalogue
            .get(outcome.action.index())
            .map_or("unknown action", |spec| spec.name.as_str());
        let _ = match outcome.code {
            Code::Ok => writeln!(text, "Last {name}: ok."),
            code => writeln!(
                text,
                "Last {name}: refused, {}: {}.",
                code.as_str(),
                outcome.reason
            ),
        };
    }
}

fn look(
    ecs: &EcsWorld,
    seats: &[SeatInfo],
    rules: &Rules,
    space: &Space,
    from: u32,
    seat: SeatId,
    text: &mut String,
    state: &mut Entries,
) {
    let (grid, sight) = (&space.grid, &rules.spec.sight);
    let cells = ecs.resource::<Cells>();
    let (x, y) = grid.place(from);
    let r = sight.radius;
    let side = (2 * r + 1) as usize;
    let seen = sight.line_of_sight.then(|| {
        visible(r, |dx, dy| {
            grid.cell(x + dx, y + dy)
                .is_none_or(|cell| cells.opaque[cell as usize])
        })
    });
    let range = |at: i32, size: i32| {
        if grid.torus {
            (at - r, at + r)
        } else {
            ((at - r).max(0), (at + r).min(size - 1))
        }
    };
    let ((x0, x1), (y0, y1)) = (range(x, grid.width), range(y, grid.height));
    let mut rows: Vec<Value> = Vec::with_capacity(side);
    let mut near: Vec<Value> = Vec::new();
    let mut named: Vec<(i32, i32, i32, u16)> = Vec::new();
    let mut others: Vec<(u32, i32, i32, u32)> = Vec::new();
    let mut kinds_seen = vec![false; rules.spec.kinds.len()];
    let map_at = text.len();
    for cy in y0..=y1 {
        let mut row = String::with_capacity(side + 4);
        for cx in x0..=x1 {
            let (dx, dy) = (cx - x, cy - y);
            let hidden = seen
                .as_ref()
                .is_some_and(|seen| !seen[(dy + r) as usize * side + (dx + r) as usize]);
            let Some(cell) = grid.cell(cx, cy).filter(|_| !hidden) else {
                row.push('?');
                continue;
            };
            let (body, kind) = (cells.body[cell as usize], cells.kind[cell as usize]);
            if kind > 0 {
                kinds_seen[usize::from(kind) - 1] = true;
            }
            row.push(match (body, kind) {
                (0, 0) => '.',
                (0, kind) => {
                    let spec = &rules.spec.kinds[usize::from(kind) - 1];
                    if !spec.solid {
                        named.push((dx.abs() + dy.abs(), dy, dx, kind - 1));
                    }
                    spec.glyph
                }
                (body, _) if body == seat.0 + 1 => '@',
                (body, _) => {
                    // A small torus shows one body several times; it is listed once.
                    if !others.iter().any(|other| other.0 == body - 1) {
                        others.push((body - 1, dx, dy, cell));
                    }
                    'o'
                }
            });
        }
        text.push_str(&row);
        text.push('\n');
        rows.push(row.into());
    }
    let map = text.split_off(map_at);
    for (other, dx, dy, cell) in &others {
        let info = &seats[*other as usize];
        let Ok(entity) = ecs.get_entity(ecs.resource::<Bodies>().0[*other as usize]) else {
            continue;
        };
        let face = entity
            .get::<Facing>()
            .map_or("north", |facing| facing.0.name());
        let timed_out = entity.get::<Timeout>().map_or(0, |timeout| timeout.left);
        let standing = entity
            .get::<Presence>()
            .map_or(Standing::Playing, |presence| presence.standing);
        let (px, py) = grid.place(*cell);
        if sight.tell_near {
            let mut entry: Entries = Vec::with_capacity(6);
            put(&mut entry, "seat", info.name.clone());
            put(&mut entry, "x", px);
            put(&mut entry, "y", py);
            put(&mut entry, "face", face);
            put(&mut entry, "timed_out", timed_out);
            if standing != Standing::Playing {
                put(&mut entry, "absent", true);
            }
            near.push(Value::Map(entry));
            let _ = write!(text, "{}: {}", info.name, Way(*dx, *dy));
            text.push_str(match (timed_out > 0, standing) {
                (true, _) => ", timed out.\n",
                (_, Standing::Playing) => ".\n",
                _ => ", absent.\n",
            });
        }
    }
    if !named.is_empty() {
        named.sort_unstable();
        text.push_str("Near: ");
        for (index, (_, dy, dx, kind)) in named.iter().take(MAX_NAMED).enumerate() {
            let comma = if index == 0 { "" } else { ", " };
            let _ = write!(
                text,
                "{comma}{} {}",
                rules.spec.kinds[usize::from(*kind)].name,
                Way(*dx, *dy)
            );
        }
        text.push_str(if named.len() > MAX_NAMED {
            ", and more.\n"
        } else {
            ".\n"
        });
    }
    if sight.tell_view {
        let mut legend: Entries = vec![(Cow::Borrowed("@"), "you".into())];
        if !others.is_empty() {
            legend.push((Cow::Borrowed("o"), "other".into()));
        }
        let _ = write!(
            text,
            "Map (north is up, top left is ({x0},{y0}); @ you, o others"
        );
        for (kind, _) in rules
            .spec
            .kinds
            .iter()
            .zip(&kinds_seen)
            .filter(|(_, seen)| **seen)
        {
            let _ = write!(text, ", {} {}", kind.glyph, kind.name);
            legend.push((
                Cow::Owned(kind.glyph.to_string()),
                Value::from(kind.name.clone()),
            ));
        }
        text.push_str("):\n");
        text.push_str(&map);
        let mut view: Entries = Vec::with_capacity(4);
        put(&mut view, "x0", x0);
        put(&mut view, "y0", y0);
        put(&mut view, "rows", rows);
        view.push((Cow::Borrowed("legend"), Value::Map(legend)));
        state.push((Cow::Borrowed("view"), Value::Map(view)));
    }
    if sight.tell_near {
        state.push((Cow::Borrowed("near"), Value::List(near)));
    }
}

/// A way in words: `2 north 1 east`.
struct Way(i32, i32);

impl std::fmt::Display for Way {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let vertical = if self.1 < 0 { "north" } else { "south" };
        let horizontal = if self.0 < 0 { "west" } else { "east" };
        match (self.0.abs(), self.1.abs()) {
            (0, 0) => f.write_str("here"),
            (0, dy) => write!(f, "{dy} {vertical}"),
            (dx, 0) => write!(f, "{dx} {horizontal}"),
            (dx, dy) => write!(f, "{dy} {vertical} {dx} {horizontal}"),
        }
    }
}

fn game(
    ecs: &EcsWorld,
    seats: &[SeatInfo],
    rules: &Rules,
    tick: u64,
    seat: SeatId,
    text: &mut String,
) -> Value {
    let mut entries: Entries = Vec::with_capacity(6);
    let Some(config) = &rules.spec.mechanics.matrix else {
        return Value::Null;
    };
    let slots = matrix::slots(seats.len());
    let over = tick >= config.ticks(seats.len());
    let opponent = matrix::opponent(seats.len(), tick % slots, seat).filter(|_| !over);
    let letters = |letters: &[u8]| -> String { letters.iter().copied().map(char::from).collect() };
    let (mine, theirs) = opponent.map_or((&[][..], &[][..]), |other| {
        ecs.resource::<Matches>().history(seat, other)
    });
    match opponent {
        Some(other) => {
            let name = &seats[other.index()].name;
            put(&mut entries, "opponent", name.clone());
            let _ = write!(
                text,
                "You meet {name}, round {} of {}.",
                tick / slots + 1,
                config.rounds
            );
            if mine.is_empty() {
                text.push_str(" You have not met before.\n");
            } else {
                let (mine, theirs) = (letters(mine), letters(theirs));
                let _ = writeln!(
                    text,
                    " So far with this one you played {mine}, they played {theirs}."
                );
            }
        }
        None => {
            put(&mut entries, "opponent", Value::Null);
            text.push_str(if over {
                "All rounds are played.\n"
            } else {
                "You have a bye: nobody to play this tick.\n"
            });
        }
    }
    put(&mut entries, "round", (tick / slots + 1) as i64);
    put(&mut entries, "mine", letters(mine));
    put(&mut entries, "theirs", letters(theirs));
    put(
        &mut entries,
        "choices",
        config
            .actions
            .iter()
            .cloned()
            .map(Value::from)
            .collect::<Vec<Value>>(),
    );
    let words = config.letters.iter().zip(&config.actions);
    let letters = words.map(|(letter, word)| {
        (
            Cow::Owned(char::from(*letter).to_string()),
            Value::from(word.clone()),
        )
    });
    entries.push((Cow::Borrowed("letters"), Value::Map(letters.collect())));
    Value::Map(entries)
}
