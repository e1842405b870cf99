//! The shape of a grid: its size, its edges, its directions. It must not know what stands in a cell.

use serde::{Deserialize, Serialize};

/// A direction; the numbers are those of [`crate::Thing::face`].
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize, Deserialize)]
#[repr(u8)]
pub(crate) enum Dir {
    North,
    East,
    South,
    West,
    NorthEast,
    SouthEast,
    SouthWest,
    NorthWest,
}

impl Dir {
    pub(crate) const ALL: [Dir; 8] = [
        Dir::North,
        Dir::East,
        Dir::South,
        Dir::West,
        Dir::NorthEast,
        Dir::SouthEast,
        Dir::SouthWest,
        Dir::NorthWest,
    ];

    pub(crate) fn from_index(index: u16) -> Option<Dir> {
        Self::ALL.get(usize::from(index)).copied()
    }

    pub(crate) fn name(self) -> &'static str {
        match self {
            Dir::North => "north",
            Dir::East => "east",
            Dir::South => "south",
            Dir::West => "west",
            Dir::NorthEast => "north-east",
            Dir::SouthEast => "south-east",
            Dir::SouthWest => "south-west",
            Dir::NorthWest => "north-west",
        }
    }

    /// The step in cells: x east, y south.
    pub(crate) fn step(self) -> (i32, i32) {
        match self {
            Dir::North => (0, -1),
            Dir::East => (1, 0),
            Dir::South => (0, 1),
            Dir::West => (-1, 0),
            Dir::NorthEast => (1, -1),
            Dir::SouthEast => (1, 1),
            Dir::SouthWest => (-1, 1),
            Dir::NorthWest => (-1, -1),
        }
    }

    /// The directions that a grid with so many neighbours (4 or 8) allows.
    pub(crate) fn allowed(neighbours: u8) -> &'static [Dir] {
        if neighbours == 8 {
            &ALL_DIRS
        } else {
            &ALL_DIRS[..4]
        }
    }
}

static ALL_DIRS: [Dir; 8] = Dir::ALL;

/// The shape of a grid. Cells are numbered row by row from the north-west, x east, y south, from 0.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct Grid {
    pub(crate) width: i32,
    pub(crate) height: i32,
    pub(crate) torus: bool,
    /// 4 or 8.
    pub(crate) neighbours: u8,
}

impl Grid {
    /// The number of the cell at (x, y): wrapped on a torus, none outside a bounded grid.
    #[inline]
    pub(crate) fn cell(&self, x: i32, y: i32) -> Option<u32> {
        let (x, y) = if self.torus {
            (x.rem_euclid(self.width), y.rem_euclid(self.height))
        } else if x < 0 || y < 0 || x >= self.width || y >= self.height {
            return None;
        } else {
            (x, y)
        };
        Some((y * self.width + x) as u32)
    }

    /// The place of a cell.
    #[inline]
    pub(crate) fn place(&self, cell: u32) -> (i32, i32) {
        (cell as i32 % self.width, cell as i32 / self.width)
    }

    /// The cell one step away.
    pub(crate) fn toward(&self, cell: u32, dir: Dir) -> Option<u32> {
        let (x, y) = self.place(cell);
        let (dx, dy) = dir.step();
        self.cell(x + dx, y + dy)
    }

    /// The shortest way from one place to another, in cells; on a torus it may cross the edge.
    pub(crate) fn offset(&self, from: (i32, i32), to: (i32, i32)) -> (i32, i32) {
        let (dx, dy) = (to.0 - from.0, to.1 - from.1);
        if !self.torus {
            return (dx, dy);
        }
        let wrap = |d: i32, size: i32| {
            let d = d.rem_euclid(size);
            if d * 2 > size { d - size } else { d }
        };
        (wrap(dx, self.width), wrap(dy, self.height))
    }

    /// The larger of the distances along the two axes: the distance that radii are measured in.
    pub(crate) fn distance(&self, a: (i32, i32), b: (i32, i32)) -> i32 {
        let (dx, dy) = self.offset(a, b);
        dx.abs().max(dy.abs())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn edges() {
        let bounded = Grid {
            width: 3,
            height: 2,
            torus: false,
            neighbours: 4,
        };
        let torus = Grid {
            torus: true,
            ..bounded
        };
        assert_eq!(bounded.cell(2, 1), Some(5));
        assert_eq!(bounded.cell(3, 0), None);
        assert_eq!(bounded.cell(0, -1), None);
        assert_eq!(torus.cell(3, -1), Some(3));
        assert_eq!(torus.place(3), (0, 1));
        assert_eq!(torus.distance((0, 0), (2, 0)), 1);
        assert_eq!(bounded.distance((0, 0), (2, 0)), 2);
    }
}
