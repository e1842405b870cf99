//! Where things are: the grid and what can be seen in it. It must not know what stands in a cell.

mod grid;
mod sight;

pub(crate) use grid::{Dir, Grid};
pub(crate) use sight::visible;
