//! What can be seen from a cell. It must not know what stands there, only what is opaque.
//!
//! Symmetric shadow casting after Albert Ford, "Symmetric Shadowcasting" (2020): each quadrant is scanned row by row
//! between two slopes kept as fractions of whole numbers, so no rounding can differ between machines. An open cell A
//! is seen from B exactly if B is seen from A; an opaque cell is seen where any of its face is.

/// A slope, as a fraction with a positive denominator.
#[derive(Clone, Copy)]
struct Slope(i64, i64);

/// Marks what is seen in the square of side `2 * radius + 1` around the viewer, row by row from the north-west.
/// `opaque(dx, dy)` says whether that cell hides what is behind it; outside the map it should say yes.
pub(crate) fn visible(radius: i32, opaque: impl Fn(i32, i32) -> bool) -> Vec<bool> {
    let side = (2 * radius + 1) as usize;
    let mut seen = vec![false; side * side];
    seen[radius as usize * side + radius as usize] = true;
    for quadrant in 0..4 {
        let turn = |depth: i32, column: i32| match quadrant {
            0 => (column, -depth),
            1 => (depth, column),
            2 => (column, depth),
            _ => (-depth, column),
        };
        let mut rows = vec![(1, Slope(-1, 1), Slope(1, 1))];
        while let Some((depth, mut start, end)) = rows.pop() {
            if depth > radius {
                continue;
            }
            let d = i64::from(depth);
            // Ties round towards the middle of the row at both ends.
            let first = (2 * d * start.0 + start.1).div_euclid(2 * start.1);
            let last = -((-2 * d * end.0 + end.1).div_euclid(2 * end.1));
            let mut previous: Option<bool> = None;
            for column in first..=last {
                let (dx, dy) = turn(depth, column as i32);
                let wall = opaque(dx, dy);
                let symmetric = column * start.1 >= d * start.0 && column * end.1 <= d * end.0;
                if (wall || symmetric) && dx.abs() <= radius && dy.abs() <= radius {
                    seen[(dy + radius) as usize * side + (dx + radius) as usize] = true;
                }
                if previous == Some(true) && !wall {
                    start = Slope(2 * column - 1, 2 * d);
                }
                if previous == Some(false) && wall {
                    rows.push((depth + 1, start, Slope(2 * column - 1, 2 * d)));
                }
                previous = Some(wall);
            }
            if previous == Some(false) {
                rows.push((depth + 1, start, end));
            }
        }
    }
    seen
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::expect;
    use proptest::prelude::*;

    #[test]
    fn a_wall_casts_a_shadow() {
        let walls = [(1, -1), (0, -1), (-3, 0)];
        let seen = visible(3, |dx, dy| walls.contains(&(dx, dy)));
        let picture: String = seen
            .chunks(7)
            .map(|row| {
                row.iter()
                    .map(|seen| if *seen { '.' } else { '?' })
                    .chain(['\n'])
                    .collect::<String>()
            })
            .collect();
        expect![[r#"
            ..?????
            ...????
            .......
            .......
            .......
            .......
            .......
        "#]]
        .assert_eq(&picture);
    }

    proptest! {
        #[test]
        fn open_cells_see_each_other_or_neither(walls in prop::collection::btree_set((0i32..9, 0i32..9), 0..30),
                                                a in (0i32..9, 0i32..9), b in (0i32..9, 0i32..9)) {
            prop_assume!(!walls.contains(&a) && !walls.contains(&b));
            let sees = |from: (i32, i32), to: (i32, i32)| {
                let blocked = |dx: i32, dy: i32| {
                    let at = (from.0 + dx, from.1 + dy);
                    walls.contains(&at) || at.0 < 0 || at.1 < 0 || at.0 > 8 || at.1 > 8
                };
                visible(8, blocked)[((to.1 - from.1 + 8) * 17 + to.0 - from.0 + 8) as usize]
            };
            prop_assert_eq!(sees(a, b), sees(b, a));
        }
    }
}
