//! From axes to cells: values of a range, every combination, names. Must not know files or the scenario.

/// Values of one axis at most.
pub const VALUES_MOST: usize = 10_000;
/// Runs of a sweep at most.
pub const CELLS_MOST: usize = 100_000;
/// Length of a cell's name at most: file systems take 255 bytes, and a log's ending comes behind.
const NAME_MOST: usize = 160;

/// A parameter and the values that it takes, as text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Axis {
    /// The parameter.
    pub name: String,
    /// Its values in their order.
    pub values: Vec<String>,
}

/// The numbers `from`, `from + step`, ... that are not beyond `to`; none if there are more than [`VALUES_MOST`].
#[must_use]
pub fn range(from: f64, to: f64, step: f64) -> Option<Vec<f64>> {
    // A last value that is missed by rounding alone is meant.
    let count = ((to - from) / step + 1e-9).floor() + 1.0;
    if !(1.0..=VALUES_MOST as f64).contains(&count) {
        return None;
    }
    Some(
        (0..count as usize)
            .map(|index| rounded(from + index as f64 * step))
            .collect(),
    )
}

/// To 12 digits, so that 3 * 0.1 is 0.3.
fn rounded(number: f64) -> f64 {
    format!("{number:.11e}").parse().unwrap_or(number)
}

/// Every combination of the axes' values, the last axis running fastest.
#[must_use]
pub fn combinations(axes: &[Axis]) -> Vec<Vec<(String, String)>> {
    axes.iter().fold(vec![Vec::new()], |made, axis| {
        made.iter()
            .flat_map(|one| {
                axis.values.iter().map(|value| {
                    let mut next = one.clone();
                    next.push((axis.name.clone(), value.clone()));
                    next
                })
            })
            .collect()
    })
}

/// A cell's name: it stays when the grid grows, and no two cells of a sweep share one.
#[must_use]
pub fn name(cast: &str, varied: &[(String, String)], seed: u64) -> String {
    let mut words = vec![cast.to_owned()];
    words.extend(varied.iter().map(|(name, value)| format!("{name}={value}")));
    words.push(format!("seed={seed}"));
    let whole = words.join(",");
    let plain: String = whole
        .chars()
        .map(|c| match c {
            'a'..='z' | 'A'..='Z' | '0'..='9' | '.' | '_' | '=' | '+' | '-' | ',' => c,
            _ => '_',
        })
        .collect();
    if plain == whole && plain.len() <= NAME_MOST && !plain.starts_with('.') {
        return plain;
    }
    // The words as they were asked for make the difference, in a digest of them.
    let digest = blake3::hash(words.join("\0").as_bytes()).to_hex();
    let short: String = plain
        .trim_start_matches('.')
        .chars()
        .take(NAME_MOST - 17)
        .collect();
    format!("{short}-{}", &digest[..16])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_where_they_are_told_to() {
        assert_eq!(range(0.0, 0.3, 0.1), Some(vec![0.0, 0.1, 0.2, 0.3]));
        assert_eq!(range(1.0, 8.0, 3.0), Some(vec![1.0, 4.0, 7.0]));
        assert_eq!(range(5.0, 1.0, -2.0), Some(vec![5.0, 3.0, 1.0]));
        assert_eq!(range(2.0, 2.0, 1.0), Some(vec![2.0]));
        assert_eq!(range(2.0, 1.0, 1.0), None);
        assert_eq!(range(0.0, 1.0, 0.0), None);
        assert_eq!(range(0.0, 1e9, 1.0), None);
    }

    #[test]
    fn the_last_axis_runs_fastest_and_no_axis_is_one_combination() {
        let axis = |name: &str, values: &[&str]| Axis {
            name: name.into(),
            values: values.iter().map(|value| (*value).to_owned()).collect(),
        };
        let made = combinations(&[axis("a", &["1", "2"]), axis("b", &["x", "y", "z"])]);
        let words: Vec<String> = made
            .iter()
            .map(|one| one.iter().map(|(_, value)| value.as_str()).collect())
            .collect();
        assert_eq!(words, ["1x", "1y", "1z", "2x", "2y", "2z"]);
        assert_eq!(combinations(&[]), [Vec::new()]);
    }

    #[test]
    fn names_are_plain_files_and_differ() {
        let of = |value: &str| name("greedy", &[("word".into(), value.into())], 3);
        assert_eq!(of("1.5"), "greedy,word=1.5,seed=3");
        let odd = [
            "../x",
            "..?x",
            "a b",
            "a_b",
            "a/b",
            "",
            &"y".repeat(400),
            &"y".repeat(401),
        ];
        let mut names: Vec<String> = odd.iter().map(|value| of(value)).collect();
        assert!(
            names
                .iter()
                .all(|name| !name.contains(['/', ' ']) && name.len() <= NAME_MOST)
        );
        names.sort();
        names.dedup();
        assert_eq!(names.len(), odd.len());
        assert!(!name(".hidden", &[], 1).starts_with('.'));
    }
}
