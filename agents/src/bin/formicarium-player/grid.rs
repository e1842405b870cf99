//! What an agent of `commons` sees, as a grid it can ask: apples, neighbours, the way to a cell.
//!
//! It reads the `state` of an observation only, and must not know any policy. `scenarios/commons/casts/grid.py` is the
//! same in Python.

use super::line::{Error, Seen};
use serde::Deserialize;
use std::collections::{BTreeMap, VecDeque};

/// A cell in the map's own coordinates: x to the east, y to the south.
pub(crate) type Cell = (i32, i32);

/// The four directions of `move` and `turn`, clockwise, with their step.
pub(crate) const DIRECTIONS: [(&str, Cell); 4] = [
    ("north", (0, -1)),
    ("east", (1, 0)),
    ("south", (0, 1)),
    ("west", (-1, 0)),
];

/// A direction as an index into [`DIRECTIONS`].
pub(crate) type Way = usize;

/// The cell one step from `cell`.
pub(crate) fn next(cell: Cell, way: Way) -> Cell {
    let (dx, dy) = DIRECTIONS[way % 4].1;
    (cell.0 + dx, cell.1 + dy)
}

/// Steps between two cells when nothing is in the way.
pub(crate) fn distance(one: Cell, other: Cell) -> u32 {
    one.0.abs_diff(other.0) + one.1.abs_diff(other.1)
}

/// The cells that count as near an apple: L2 distance of at most 2, as the scenario's regrowth has it.
fn near_cells(cell: Cell) -> impl Iterator<Item = Cell> {
    (-2..=2_i32)
        .flat_map(|dy| (-2..=2_i32).map(move |dx| (dx, dy)))
        .filter(|&(dx, dy)| (dx, dy) != (0, 0) && dx * dx + dy * dy <= 4)
        .map(move |(dx, dy)| (cell.0 + dx, cell.1 + dy))
}

/// A number that looks random and is the same in every run: FNV-1a (32 bits) of the seat's name and the tick, with
/// half of murmur3's finisher, since the low bits of FNV are weak for short keys.
pub(crate) fn chance(seat: &str, tick: u64) -> u32 {
    let mut value = 0x811C_9DC5_u32;
    for byte in format!("{seat}:{tick}").bytes() {
        value = (value ^ u32::from(byte)).wrapping_mul(0x0100_0193);
    }
    value ^= value >> 16;
    value.wrapping_mul(0x85EB_CA6B) >> 8
}

/// One's own body.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct You {
    x: i32,
    y: i32,
    /// The direction one looks in, by name.
    pub(crate) face: String,
    /// Ticks for which one may do nothing; 0 when free.
    pub(crate) timed_out: u32,
}

/// Another body in sight.
#[derive(Clone, Debug, Deserialize)]
pub(crate) struct Body {
    /// Its seat's name.
    pub(crate) seat: String,
    x: i32,
    y: i32,
    /// Ticks for which it may do nothing; 0 when free.
    pub(crate) timed_out: u32,
}

impl Body {
    /// Where it stands.
    pub(crate) fn cell(&self) -> Cell {
        (self.x, self.y)
    }
}

#[derive(Clone, Debug, Deserialize)]
struct View {
    x0: i32,
    y0: i32,
    rows: Vec<String>,
    legend: BTreeMap<char, String>,
}

/// The visible part of the map, and the bodies in it.
#[derive(Clone, Debug)]
pub(crate) struct Grid {
    x0: i32,
    y0: i32,
    rows: Vec<Vec<char>>,
    apple: Option<char>,
    /// Oneself.
    pub(crate) you: You,
    /// The others in sight.
    pub(crate) near: Vec<Body>,
}

impl Grid {
    /// Reads `state.view`, `state.you` and `state.near`.
    pub(crate) fn read(seen: &Seen) -> Result<Grid, Error> {
        let part = |key: &'static str| seen.state.get(key).ok_or(Error::Missing(key));
        let view = View::deserialize(part("view")?).map_err(|_| Error::Missing("view"))?;
        let apple = view
            .legend
            .iter()
            .find(|(_, kind)| *kind == "apple")
            .map(|(glyph, _)| *glyph);
        Ok(Grid {
            x0: view.x0,
            y0: view.y0,
            rows: view.rows.iter().map(|row| row.chars().collect()).collect(),
            apple,
            you: You::deserialize(part("you")?).map_err(|_| Error::Missing("you"))?,
            near: Vec::deserialize(part("near")?).map_err(|_| Error::Missing("near"))?,
        })
    }

    /// Where one stands.
    pub(crate) fn me(&self) -> Cell {
        (self.you.x, self.you.y)
    }

    /// What stands at a cell; None where the view ends.
    fn glyph(&self, cell: Cell) -> Option<char> {
        let column = usize::try_from(cell.0 - self.x0).ok()?;
        let row = usize::try_from(cell.1 - self.y0).ok()?;
        self.rows.get(row)?.get(column).copied()
    }

    /// Whether a live apple is seen there.
    pub(crate) fn is_apple(&self, cell: Cell) -> bool {
        self.apple.is_some() && self.glyph(cell) == self.apple
    }

    /// Whether the cell is seen to be bare ground.
    pub(crate) fn is_bare(&self, cell: Cell) -> bool {
        self.glyph(cell) == Some('.')
    }

    /// The apple in sight that is nearest as the crow flies, the northernmost of equals.
    pub(crate) fn nearest_apple(&self) -> Option<Cell> {
        let rows = self.rows.iter().zip(self.y0..);
        rows.flat_map(|(row, y)| {
            row.iter()
                .zip(self.x0..)
                .map(move |(glyph, x)| (*glyph, (x, y)))
        })
        .filter(|(glyph, _)| Some(*glyph) == self.apple)
        .map(|(_, cell)| cell)
        .min_by_key(|cell| distance(*cell, self.me()))
    }

    /// How many live apples can be seen within distance 2 of a cell.
    pub(crate) fn near_apples(&self, cell: Cell) -> usize {
        near_cells(cell).filter(|near| self.is_apple(*near)).count()
    }

    /// Whether all cells within distance 2 of a cell are seen or beyond the edge of the map, so that
    /// [`Grid::near_apples`] is exact there.
    pub(crate) fn counts(&self, cell: Cell) -> bool {
        let (x, y) = self.me();
        let right = self.x0 + self.rows.first().map_or(0, Vec::len) as i32 - 1;
        let bottom = self.y0 + self.rows.len() as i32 - 1;
        let radius = [x - self.x0, y - self.y0, right - x, bottom - y]
            .into_iter()
            .max()
            .unwrap_or(0);
        near_cells(cell).all(|near| match self.glyph(near) {
            Some(glyph) => glyph != '?',
            None => (near.0 - x).abs().max((near.1 - y).abs()) <= radius,
        })
    }

    /// The first step of a shortest way to the nearest cell with `goal`, and that cell; None when there is none.
    ///
    /// `enter` says which cells may be stepped on. `first` turns the order in which directions are tried, so that two
    /// agents at one place do not always choose the same way.
    pub(crate) fn way(
        &self,
        goal: impl Fn(Cell) -> bool,
        enter: impl Fn(Cell) -> bool,
        first: u32,
    ) -> Option<(Way, Cell)> {
        let order = [0, 1, 2, 3].map(|turn| (first as usize % 4 + turn) % 4);
        let mut queue = VecDeque::from([(self.me(), None)]);
        let mut visited = vec![self.me()];
        while let Some((at, step)) = queue.pop_front() {
            for way in order {
                let cell = next(at, way);
                if visited.contains(&cell) || !enter(cell) {
                    continue;
                }
                let step = step.unwrap_or(way);
                if goal(cell) {
                    return Some((step, cell));
                }
                visited.push(cell);
                queue.push_back((cell, Some(step)));
            }
        }
        None
    }

    /// The direction of a walk that looks for something: straight on, now and then a turn, round whatever is in the
    /// way. None when all four cells around are shut.
    pub(crate) fn wander(
        &self,
        heading: Way,
        dice: u32,
        enter: impl Fn(Cell) -> bool,
    ) -> Option<Way> {
        let side = if dice & 16 == 0 { 3 } else { 1 };
        let mut order =
            [heading, heading + side, heading + 4 - side, heading + 2].map(|way| way % 4);
        if dice.is_multiple_of(16) {
            order.swap(0, 1);
        }
        order.into_iter().find(|way| enter(next(self.me(), *way)))
    }
}

#[cfg(test)]
pub(crate) mod tests {
    use super::*;
    use serde_json::json;

    /// An observation of a view whose top left cell is 10,20; `@` is oneself, digits are other seats.
    pub(crate) fn seen(tick: u64, face: &str, rows: &[&str]) -> Seen {
        let mut you = json!(null);
        let mut near = Vec::new();
        let mut drawn = Vec::new();
        for (y, row) in (20..).zip(rows) {
            for (x, glyph) in (10..).zip(row.chars()) {
                match glyph {
                    '@' => you = json!({"seat": "me", "x": x, "y": y, "face": face, "score": 0.0, "timed_out": 0}),
                    '0'..='9' => near.push(json!({"seat": format!("seat-{glyph}"), "x": x, "y": y, "face": "north", "timed_out": 0})),
                    _ => {}
                }
            }
            drawn.push(row.replace(|glyph: char| glyph.is_ascii_digit(), "o"));
        }
        let legend = json!({"A": "apple", "#": "rock", "@": "you", "o": "other"});
        let view = json!({"x0": 10, "y0": 20, "rows": drawn, "legend": legend});
        Seen {
            tick,
            state: json!({"you": you, "view": view, "near": near, "time": {"tick": tick, "ticks": 0}}),
        }
    }

    #[test]
    fn neighbours_are_those_within_distance_two() {
        let grid = Grid::read(&seen(
            0,
            "north",
            &["AAAAA", "AAAAA", "AAAAA", "AAAAA", "AAAA@"],
        ))
        .expect("complete");
        assert_eq!(grid.near_apples((12, 22)), 12);
        assert_eq!(grid.near_apples((10, 20)), 5);
    }

    #[test]
    fn a_way_leads_round_what_may_not_be_entered() {
        let grid =
            Grid::read(&seen(0, "north", &["..A..", ".###.", "..@..", "....."])).expect("complete");
        let enter = |cell| grid.is_bare(cell) || grid.is_apple(cell);
        let (way, cell) = grid
            .way(|cell| grid.is_apple(cell), enter, 0)
            .expect("there is a way");
        assert_eq!(cell, (12, 20));
        assert!([1, 3].contains(&way), "{way}");
        assert_eq!(
            grid.way(|cell| grid.is_apple(cell), |cell| grid.is_apple(cell), 0),
            None
        );
        assert_eq!(grid.wander(0, 1, enter), Some(3));
    }

    #[test]
    fn a_count_is_exact_only_where_nothing_is_hidden() {
        // The view is clipped in the west (x0 is the edge of the map, 2 steps away) and complete in the east (4 steps).
        let grid = Grid::read(&seen(
            0,
            "north",
            &["..@....", ".......", ".....?.", ".......", "......."],
        ))
        .expect("complete");
        assert!(grid.counts((10, 21)));
        assert!(!grid.counts((14, 21)), "an unseen cell is near");
        assert!(!grid.counts((16, 20)), "the view ends in the east");
    }

    /// The same numbers as `chance` in grid.py: both foragers walk alike.
    #[test]
    fn chance_is_the_same_as_in_python() {
        assert_eq!(
            [chance("harvester-1", 0), chance("harvester-8", 999)],
            [2_314_017, 6_944_632]
        );
    }
}
