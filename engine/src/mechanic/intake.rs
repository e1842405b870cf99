//! Inputs become orders: who takes part, what the catalogue allows, the limits of a tick, what lateness means, and when
//! an act that was thought about takes effect.
//! It must not know what any action does.

use super::files;
use super::order::{Clock, Inbox, Order, Orders, Outbox, Rules, by};
use super::sanction::Timeout;
use crate::action::ActionCall;
use crate::component::{Bodies, Held, Mailbox, Presence, Standing};
use crate::event::{Code, Event};
use crate::id::SeatId;
use crate::input::{FaultKind, InputBody, SeatInput};
use crate::scenario::OnLate;
use bevy_ecs::prelude::*;

/// After so many refusals of one seat in one tick the rest is told of in one sentence.
const MAX_REFUSALS: usize = 32;

/// Lines of each kind that wait at most for a seat that is not shown the world; the oldest go first.
const MAX_WAITING: usize = 128;

/// What a seat has sent so far in this tick.
#[derive(Default)]
struct Sent {
    /// What its answer has cost, in milliseconds and tokens.
    thought: (u64, u64),
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
    mut seats: Query<(
        &mut Presence,
        &mut Mailbox,
        Option<&Timeout>,
        Option<&mut Held>,
    )>,
) {
    let mut unseen = vec![false; bodies.0.len()];
    for input in &inbox.0 {
        if let (InputBody::Unseen, Some(slot)) = (&input.body, unseen.get_mut(input.seat.index())) {
            *slot = true;
        }
    }
    let mut inputs: Vec<(SeatInput, bool)> = Vec::with_capacity(inbox.0.len());
    for (index, entity) in bodies.0.iter().enumerate() {
        let Ok((_, mut mailbox, _, held)) = seats.get_mut(*entity) else {
            continue;
        };
        let keep = if unseen[index] { MAX_WAITING } else { 0 };
        forget(&mut mailbox.heard, keep);
        forget(&mut mailbox.results, keep);
        if let Some(mut held) = held
            && held.left > 0
        {
            held.left -= 1;
            if held.left == 0 {
                let body = InputBody::Act(std::mem::take(&mut held.calls));
                let seat = SeatId(index as u32);
                inputs.push((SeatInput { seat, seq: 0, body }, true));
            }
        }
    }
    inputs.extend(inbox.0.drain(..).map(|input| (input, false)));
    // What was held comes first: the sort is stable.
    inputs.sort_by_key(|(input, was_held)| (input.seat, !was_held, input.seq));
    let mut current = None;
    let mut sent = Sent::default();
    for (input, was_held) in inputs {
        let seat = input.seat;
        let Some(entity) = bodies.0.get(seat.index()) else {
            continue;
        };
        let Ok((mut presence, _, timeout, mut held)) = seats.get_mut(*entity) else {
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
                // An act that is held was heard when it came: the seat may have left since.
                if !was_held {
                    change(&mut presence, Standing::Playing, Event::new("seat.back"));
                }
                if let (Some(held), Some(think), false) =
                    (&mut held, &rules.spec.time.think, was_held)
                {
                    if held.left > 0 {
                        refuse_busy(&mut orders, seat, calls, held.left);
                        continue;
                    }
                    let (ms, tokens) = sent.thought;
                    let cost = think.cost(ms, tokens);
                    if cost > 0 {
                        (held.left, held.calls) = (cost, calls);
                        out.events.push(
                            Event::new("seat.thinking")
                                .seat(seat)
                                .field("ticks", cost as i64)
                                .field("ms", whole(ms))
                                .field("tokens", whole(tokens)),
                        );
                        continue;
                    }
                }
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
                    // Its body waits for what it thought about.
                    _ if held.is_some_and(|held| held.left > 0) => Vec::new(),
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
            InputBody::Thought { ms, tokens } => sent.thought = (ms, tokens),
            InputBody::Fault { kind, ticks, .. } => {
                let event = Event::new("fault.struck").field("ticks", whole(ticks));
                out.events.push(named(event, kind).seat(seat));
            }
            InputBody::FaultOver { kind, .. } => {
                out.events
                    .push(named(Event::new("fault.over"), kind).seat(seat));
            }
            // Whom the host asks is recorded for the host that goes on; the mail was kept above.
            InputBody::Turn | InputBody::Unseen => {}
        }
    }
}

/// An event whose text is the kind of a fault. What it does to an agent is the host's: the world tells of it.
fn named(mut event: Event, kind: FaultKind) -> Event {
    event.text = Some(kind.word().into());
    event
}

/// Keeps the newest of what waits for a seat.
fn forget<T>(mail: &mut Vec<T>, keep: usize) {
    let old = mail.len().saturating_sub(keep);
    mail.drain(..old);
}

/// Fields of events are signed; nobody thinks for longer than they hold.
fn whole(number: u64) -> i64 {
    i64::try_from(number).unwrap_or(i64::MAX)
}

/// Refuses an act of a seat whose last one is still held. The host asks nobody then; a recording may be written by hand.
fn refuse_busy(orders: &mut Orders, seat: SeatId, calls: Vec<ActionCall>, left: u64) {
    for call in calls.into_iter().take(MAX_REFUSALS) {
        orders.0.push(Order {
            seat,
            call: bare(call),
            code: Code::Busy,
            reason: format!(
                "what you thought about takes effect in {left} ticks; your body waits until then"
            ),
        });
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
