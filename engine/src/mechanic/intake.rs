//! Inputs become orders: who takes part, what the catalogue allows, the limits of a tick, and what lateness means.
//! It must not know what any action does.

use super::files;
use super::order::{Clock, Inbox, Order, Orders, Outbox, Rules, by};
use super::sanction::Timeout;
use crate::action::ActionCall;
use crate::component::{Bodies, Mailbox, Presence, Standing};
use crate::event::{Code, Event};
use crate::id::SeatId;
use crate::input::InputBody;
use crate::scenario::OnLate;
use bevy_ecs::prelude::*;

/// After so many refusals of one seat in one tick the rest is told of in one sentence.
const MAX_REFUSALS: usize = 32;

/// What a seat has sent so far in this tick.
#[derive(Default)]
struct Sent {
    actions: u32,
    speech: u32,
    refused: usize,
    seen: Vec<u16>,
}

/// Turns the inbox into orders.
pub(crate) fn take(
    rules: Res<Rules>,
    clock: Res<Clock>,
    bodies: Res<Bodies>,
    mut inbox: ResMut<Inbox>,
    mut orders: ResMut<Orders>,
    mut out: ResMut<Outbox<by::Intake>>,
    mut seats: Query<(&mut Presence, &mut Mailbox, Option<&Timeout>)>,
) {
    for (_, mut mailbox, _) in &mut seats {
        mailbox.heard.clear();
        mailbox.results.clear();
    }
    let mut inputs = std::mem::take(&mut inbox.0);
    inputs.sort_by_key(|input| (input.seat, input.seq));
    let mut current = None;
    let mut sent = Sent::default();
    for input in inputs {
        let seat = input.seat;
        let Some(entity) = bodies.0.get(seat.index()) else {
            continue;
        };
        let Ok((mut presence, _, timeout)) = seats.get_mut(*entity) else {
            continue;
        };
        if current != Some(seat) {
            current = Some(seat);
            sent = Sent::default();
        }
        let timed_out = timeout.map_or(0, |timeout| timeout.left);
        let mut change = |presence: &mut Presence, standing: Standing, event: Event| {
            if presence.standing != standing {
                presence.standing = standing;
                out.events.push(event.seat(seat));
            }
        };
        match input.body {
            InputBody::Act(calls) => {
                change(&mut presence, Standing::Playing, Event::new("seat.back"));
                let is_speech = |call: &ActionCall| {
                    rules
                        .catalogue
                        .get(call.action.index())
                        .is_some_and(|s| s.speech)
                };
                if calls.is_empty() || !calls.iter().all(is_speech) {
                    let limit = rules.spec.limits.actions as usize;
                    let valid = |call: &&ActionCall| {
                        let spec = rules.catalogue.get(call.action.index());
                        !is_speech(call)
                            && spec
                                .is_some_and(|spec| spec.check(&call.args, bodies.0.len()).is_ok())
                    };
                    presence.last = calls.iter().filter(valid).take(limit).cloned().collect();
                }
                admit(
                    &rules,
                    &mut orders,
                    &mut sent,
                    seat,
                    calls,
                    timed_out,
                    bodies.0.len(),
                );
            }
            InputBody::Late => {
                out.events.push(Event::new("seat.late").seat(seat));
                let calls = match &rules.spec.time.on_late {
                    OnLate::Noop => Vec::new(),
                    OnLate::Repeat => presence.last.clone(),
                    OnLate::Action(name) => rules
                        .catalogue
                        .iter()
                        .filter(|spec| spec.name == *name)
                        .map(|spec| ActionCall::new(spec.id, Vec::new()))
                        .collect(),
                };
                admit(
                    &rules,
                    &mut orders,
                    &mut sent,
                    seat,
                    calls,
                    timed_out,
                    bodies.0.len(),
                );
            }
            InputBody::Absent => {
                change(&mut presence, Standing::Absent, Event::new("seat.absent"));
            }
            InputBody::Back => change(&mut presence, Standing::Playing, Event::new("seat.back")),
            InputBody::Exited { reason } => {
                let mut event = Event::new("seat.exited").field("tick", clock.0 as i64);
                event.text = Some(reason);
                change(&mut presence, Standing::Exited, event);
            }
            InputBody::File(fact) => out.events.push(files::event(seat, fact)),
            InputBody::Told { text } => {
                let mut event = Event::new("seat.told").seat(seat);
                event.text = Some(text);
                out.events.push(event);
            }
            InputBody::Seated { agent } => {
                let mut event = Event::new("seat.seated").seat(seat);
                event.text = Some(agent);
                out.events.push(event);
            }
        }
    }
}

fn admit(
    rules: &Rules,
    orders: &mut Orders,
    sent: &mut Sent,
    seat: SeatId,
    calls: Vec<ActionCall>,
    timed_out: u32,
    seats: usize,
) {
    let count = calls.len();
    for (index, call) in calls.into_iter().enumerate() {
        let (code, reason) = judge(rules, sent, &call, timed_out, seats);
        if code != Code::Ok {
            sent.refused += 1;
            if sent.refused > MAX_REFUSALS {
                if sent.refused == MAX_REFUSALS + 1 {
                    let reason = format!("{} more actions were dropped", count - index);
                    orders.0.push(Order {
                        seat,
                        call: bare(call),
                        code: Code::Limit,
                        reason,
                    });
                }
                return;
            }
        }
        let call = if code == Code::Ok { call } else { bare(call) };
        orders.0.push(Order {
            seat,
            call,
            code,
            reason,
        });
    }
}

/// A refused call needs no arguments any more; they may be large.
fn bare(call: ActionCall) -> ActionCall {
    ActionCall::new(call.action, Vec::new())
}

fn judge(
    rules: &Rules,
    sent: &mut Sent,
    call: &ActionCall,
    timed_out: u32,
    seats: usize,
) -> (Code, String) {
    let Some(spec) = rules.catalogue.get(call.action.index()) else {
        return (
            Code::UnknownAction,
            format!("there is no action number {}", call.action.0),
        );
    };
    let limits = &rules.spec.limits;
    let (used, limit, noun) = if spec.speech {
        (&mut sent.speech, limits.speech, "speech")
    } else {
        (&mut sent.actions, limits.actions, "actions")
    };
    if *used >= limit {
        return (
            Code::Limit,
            format!("the limit of {noun} is {limit} a tick"),
        );
    }
    if let Err(what) = spec.check(&call.args, seats) {
        return (Code::BadArgs, what);
    }
    *used += 1;
    if spec.speech {
        return (Code::Ok, String::new());
    }
    if sent.seen.contains(&call.action.0) {
        return (Code::Repeated, format!("{} counts once a tick", spec.name));
    }
    sent.seen.push(call.action.0);
    if timed_out > 0 && spec.name != "wait" {
        return (
            Code::TimedOut,
            format!("you are timed out for {timed_out} more ticks, this one included"),
        );
    }
    (Code::Ok, String::new())
}
