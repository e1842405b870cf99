//! What passes between the parts of a step: orders on the way in, events, refusals and gains on the way out. All of it
//! is empty between two steps, so none of it is state. It must not know any mechanic.

use crate::action::{ActionCall, ActionSpec, Arg};
use crate::component::{Bodies, Mailbox, Outcome};
use crate::event::{Code, Event, Rejection};
use crate::id::{ActionId, SeatId};
use crate::input::SeatInput;
use crate::mechanic::Ids;
use crate::scenario::Spec;
use bevy_ecs::prelude::*;
use std::marker::PhantomData;
use std::sync::Arc;

/// What a world is made of and never changes.
#[derive(Resource, Clone)]
pub(crate) struct Rules {
    pub(crate) spec: Arc<Spec>,
    pub(crate) catalogue: Arc<[ActionSpec]>,
    pub(crate) ids: Ids,
    pub(crate) seed: u64,
}

/// The number of steps done; in a step, the tick that it makes.
#[derive(
    Resource, Clone, Copy, Debug, Default, PartialEq, Eq, serde::Serialize, serde::Deserialize,
)]
pub(crate) struct Clock(pub(crate) u64);

/// The input of this step.
#[derive(Resource, Default)]
pub(crate) struct Inbox(pub(crate) Vec<SeatInput>);

/// One action that a seat may do.
pub(crate) struct Order {
    pub(crate) seat: SeatId,
    pub(crate) call: ActionCall,
    /// What intake says: anything but `Ok` is refused already.
    pub(crate) code: Code,
    pub(crate) reason: String,
}

impl Order {
    /// The argument, `None` where it was left out.
    pub(crate) fn arg(&self, index: usize) -> &Arg {
        self.call.args.get(index).unwrap_or(&Arg::None)
    }

    /// The index of a choice, if one is given.
    pub(crate) fn choice(&self, index: usize) -> Option<u16> {
        match self.arg(index) {
            Arg::Choice(choice) => Some(*choice),
            _ => None,
        }
    }
}

/// All orders of this step, sorted by seat, then by the order in which they were sent.
#[derive(Resource, Default)]
pub(crate) struct Orders(pub(crate) Vec<Order>);

impl Orders {
    /// The orders of one action that intake let through, with their numbers.
    pub(crate) fn of(&self, action: Option<ActionId>) -> impl Iterator<Item = (usize, &Order)> {
        self.0
            .iter()
            .enumerate()
            .filter(move |(_, o)| Some(o.call.action) == action && o.code == Code::Ok)
    }
}

/// What one mechanic tells of this step. Each has its own, so that they can run side by side; they are read in a
/// fixed order.
#[derive(Resource)]
pub(crate) struct Outbox<M: Send + Sync + 'static> {
    pub(crate) events: Vec<Event>,
    /// (number of the order, code, reason)
    pub(crate) refused: Vec<(usize, Code, String)>,
    /// (who, how many points)
    pub(crate) gains: Vec<(SeatId, f64)>,
    marker: PhantomData<M>,
}

impl<M: Send + Sync + 'static> Default for Outbox<M> {
    fn default() -> Self {
        Self {
            events: Vec::new(),
            refused: Vec::new(),
            gains: Vec::new(),
            marker: PhantomData,
        }
    }
}

impl<M: Send + Sync + 'static> Outbox<M> {
    pub(crate) fn refuse(&mut self, order: usize, code: Code, reason: impl Into<String>) {
        self.refused.push((order, code, reason.into()));
    }
}

/// Names the outbox of each mechanic.
pub(crate) mod by {
    pub(crate) struct Intake;
    pub(crate) struct Speech;
    pub(crate) struct Sanction;
    pub(crate) struct Movement;
    pub(crate) struct Harvest;
    pub(crate) struct Matrix;
    pub(crate) struct Report;
}

/// What was refused in this step, for the world's output.
#[derive(Resource, Default)]
pub(crate) struct Rejected(pub(crate) Vec<Rejection>);

/// Gives every seat its results.
pub(crate) fn report(
    bodies: Res<Bodies>,
    mut orders: ResMut<Orders>,
    mut movement: ResMut<Outbox<by::Movement>>,
    mut sanction: ResMut<Outbox<by::Sanction>>,
    mut speech: ResMut<Outbox<by::Speech>>,
    mut matrix: ResMut<Outbox<by::Matrix>>,
    mut reports: ResMut<Outbox<by::Report>>,
    mut rejected: ResMut<Rejected>,
    mut mailboxes: Query<&mut Mailbox>,
) {
    let refused = movement
        .refused
        .drain(..)
        .chain(sanction.refused.drain(..))
        .chain(speech.refused.drain(..))
        .chain(matrix.refused.drain(..))
        .chain(reports.refused.drain(..));
    for (order, code, reason) in refused {
        let order = &mut orders.0[order];
        (order.code, order.reason) = (code, reason);
    }
    for order in orders.0.drain(..) {
        if order.code != Code::Ok {
            rejected.0.push(Rejection {
                seat: order.seat,
                action: order.call.action,
                code: order.code.as_str(),
                reason: order.reason.clone(),
            });
        }
        if let Ok(mut mailbox) = mailboxes.get_mut(bodies.0[order.seat.index()]) {
            mailbox.results.push(Outcome {
                action: order.call.action,
                code: order.code,
                reason: order.reason,
            });
        }
    }
}
