//! Words between seats: said to who is near, whispered to one, broadcast to all. It must not know what they mean.
//!
//! Words are carried before anybody moves: near is who stood near when the speaker spoke. They are heard with the next
//! observation, in the order of the speakers' seats.

use super::order::{Clock, Orders, Outbox, Rules, by};
use crate::action::{ActionSpec, Arg, ParamKind, ParamSpec};
use crate::component::{Bodies, Cells, Mailbox, Position};
use crate::event::{Code, Event};
use crate::id::{ActionId, SeatId};
use crate::observation::{Heard, How};
use crate::scenario::reader::Table;
use crate::scenario::{LimitSpec, Spec};
use crate::value::Value;
use bevy_ecs::prelude::*;

/// `[mechanic.speech]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    /// How far a say carries, in cells (the larger of the two axes).
    pub(crate) radius: i32,
    /// How far a whisper carries.
    pub(crate) whisper_radius: i32,
    pub(crate) whisper: bool,
    pub(crate) broadcast: bool,
    pub(crate) max_chars: u32,
}

const HOW: [How; 3] = [How::Say, How::Whisper, How::Broadcast];

impl Config {
    pub(crate) fn read(table: &Table<'_>, limits: &LimitSpec) -> Self {
        Self {
            radius: table.int_or("radius", 0..=4000, 8) as i32,
            whisper_radius: table.int_or("whisper_radius", 0..=4000, 1) as i32,
            whisper: table.bool_or("whisper", true),
            broadcast: table.bool_or("broadcast", true),
            max_chars: limits.speech_chars,
        }
    }

    fn hows(&self) -> impl Iterator<Item = How> {
        let allowed = |how: &How| match how {
            How::Say => true,
            How::Whisper => self.whisper,
            How::Broadcast => self.broadcast,
        };
        HOW.into_iter().filter(allowed)
    }

    pub(crate) fn action(&self) -> ActionSpec {
        let param = |name: &str, doc: &str, kind, required| ParamSpec {
            name: name.into(),
            doc: doc.into(),
            kind,
            required,
        };
        ActionSpec {
            id: ActionId(0),
            name: "say".into(),
            description:
                "Speak. It is heard with the next observation and does not use up your action."
                    .into(),
            params: vec![
                param(
                    "text",
                    "The words.",
                    ParamKind::Text {
                        max_chars: self.max_chars,
                    },
                    true,
                ),
                param(
                    "to",
                    "Whom you mean; a whisper needs it.",
                    ParamKind::Seat,
                    false,
                ),
                param(
                    "how",
                    "say: to all near you (the default); whisper: to one seat beside you; broadcast: to everyone.",
                    ParamKind::Choice(self.hows().map(|how| how.as_str().to_owned()).collect()),
                    false,
                ),
            ],
            speech: true,
        }
    }

    pub(crate) fn rules(&self, spec: &Spec) -> String {
        let place = spec.space.is_some();
        let mut text = match place {
            true => format!(
                "You may speak: who is within {} cells hears it with the next observation.",
                self.radius
            ),
            false => "You may speak: everyone hears it with the next observation.".to_owned(),
        };
        if self.whisper && place {
            text += &format!(
                " A whisper reaches one seat within {} cells.",
                self.whisper_radius
            );
        } else if self.whisper {
            text += " A whisper reaches one seat.";
        }
        if self.broadcast && place {
            text += " A broadcast reaches everyone.";
        }
        text
    }
}

/// Carries all words of this tick.
pub(crate) fn speak(
    rules: Res<Rules>,
    clock: Res<Clock>,
    orders: Res<Orders>,
    bodies: Res<Bodies>,
    cells: Res<Cells>,
    mut out: ResMut<Outbox<by::Speech>>,
    places: Query<&Position>,
    mut mailboxes: Query<&mut Mailbox>,
) {
    let Some(config) = &rules.spec.mechanics.speech else {
        return;
    };
    let space = rules.spec.space.as_ref();
    let place = |seat: SeatId| {
        let cell = places.get(bodies.0[seat.index()]).ok()?.0;
        space.map(|space| space.grid.place(cell))
    };
    let hows: Vec<How> = config.hows().collect();
    for (index, order) in orders.of(rules.ids.say) {
        let Arg::Text(text) = order.arg(0) else {
            continue;
        };
        let to = match order.arg(1) {
            Arg::Seat(seat) => Some(*seat),
            _ => None,
        };
        let how = order
            .choice(2)
            .and_then(|how| hows.get(usize::from(how)))
            .copied()
            .unwrap_or(How::Say);
        if text.trim().is_empty() {
            out.refuse(index, Code::BadArgs, "text: is empty");
            continue;
        }
        let from = place(order.seat);
        let near = |seat: SeatId, radius: i32| match (space, from, place(seat)) {
            (Some(space), Some(from), Some(to)) => space.grid.distance(from, to) <= radius,
            _ => true,
        };
        let listeners: Vec<SeatId> = match (how, to) {
            (How::Whisper, None) => {
                out.refuse(index, Code::BadArgs, "to: a whisper needs it");
                continue;
            }
            (How::Whisper, Some(to)) if !near(to, config.whisper_radius) => {
                let reason = format!("a whisper carries {} cells", config.whisper_radius);
                out.refuse(index, Code::TooFar, reason);
                continue;
            }
            (How::Whisper, Some(to)) => vec![to],
            (How::Say, _) => match (space, from) {
                (Some(space), Some((x, y))) => within(&space.grid, &cells, x, y, config.radius),
                _ => (0..bodies.0.len() as u32).map(SeatId).collect(),
            },
            (How::Broadcast, _) => (0..bodies.0.len() as u32).map(SeatId).collect(),
        };
        for listener in listeners
            .into_iter()
            .filter(|listener| *listener != order.seat)
        {
            if let Ok(mut mailbox) = mailboxes.get_mut(bodies.0[listener.index()]) {
                mailbox.heard.push(Heard {
                    from: order.seat,
                    how,
                    text: text.clone(),
                    tick: clock.0,
                });
            }
        }
        let to_value = to.map_or(Value::Null, Value::from);
        let mut event = Event::new("speech.said")
            .seat(order.seat)
            .field("how", how.as_str())
            .field("to", to_value);
        event.text = Some(text.clone());
        event.other = to;
        event.at = from;
        out.events.push(event);
    }
}

/// Who stands within a radius, sorted by seat: asked of the cells, so that the price does not grow with the seats.
fn within(grid: &crate::space::Grid, cells: &Cells, x: i32, y: i32, radius: i32) -> Vec<SeatId> {
    let (reach_x, reach_y) = (radius.min(grid.width), radius.min(grid.height));
    let mut seats = Vec::new();
    for dy in -reach_y..=reach_y {
        for dx in -reach_x..=reach_x {
            if let Some(cell) = grid.cell(x + dx, y + dy)
                && let Some(seat) = cells.body[cell as usize].checked_sub(1)
            {
                seats.push(SeatId(seat));
            }
        }
    }
    seats.sort_unstable();
    seats.dedup();
    seats
}
