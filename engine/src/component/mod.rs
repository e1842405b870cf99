//! The nouns that more than one mechanic speaks of, one file each; data only.

mod mailbox;
mod place;
mod presence;
mod seat;

pub(crate) use mailbox::{Mailbox, Outcome};
pub(crate) use place::{Cells, Facing, Position};
pub(crate) use presence::{Held, Presence, Standing};
pub(crate) use seat::{Bodies, Score, Seat};
