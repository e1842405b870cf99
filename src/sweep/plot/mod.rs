//! `sweep plot`: a measure against a parameter, mean and confidence over seeds, as an SVG picture.
//!
//! `read` takes the points out of sweep.parquet, `stats` has the numbers of a group, `axis` finds round ticks, `svg` draws.
//! Knows the table only; must not know runs.

mod axis;
mod read;
mod stats;
mod svg;

use std::path::Path;

pub use self::stats::{Group, t_quantile};
use super::SweepError;

/// What is to be drawn.
#[derive(Debug, Clone)]
pub struct Wanted {
    /// The parameter along the x axis, or `cast`.
    pub x: String,
    /// A metric, `score` (the mean over seats), `score:SEAT`, `seconds` or `ticks`.
    pub y: String,
    /// What lines differ in: `cast` or a parameter; none for one line.
    pub by: Option<String>,
}

/// Where a point stands along the x axis.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Along {
    /// A number.
    Number(f64),
    /// A word.
    Word(String),
}

impl std::fmt::Display for Along {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Along::Number(number) => number.fmt(f),
            Along::Word(word) => word.fmt(f),
        }
    }
}

/// A line of a plot: its name, and its groups in the order of the x axis.
pub(crate) type Line = (String, Vec<(Along, Group)>);

/// All that is drawn.
#[derive(Debug)]
pub(crate) struct Figure {
    pub(crate) title: String,
    pub(crate) x_title: String,
    pub(crate) y_title: String,
    /// What the lines differ in; empty for nothing.
    pub(crate) by_title: String,
    pub(crate) note: String,
    pub(crate) lines: Vec<Line>,
}

/// One mean of a plot, for who wants numbers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub struct Mean {
    /// The line.
    pub by: String,
    /// Where it stands.
    pub x: String,
    /// How many runs.
    pub n: usize,
    /// Their mean.
    pub mean: f64,
    /// Half the width of the 95 % confidence interval; none for a single run.
    pub half: Option<f64>,
}

/// A picture with its numbers.
#[derive(Debug)]
pub struct Plot {
    /// The picture.
    pub svg: String,
    /// Its numbers.
    pub means: Vec<Mean>,
    /// What a reader must know besides.
    pub note: String,
}

/// Draws from the table in the folder of a sweep, or from the table itself.
///
/// # Errors
/// There is no such table, column or measure, or there is nothing to draw.
pub fn plot(from: &Path, wanted: &Wanted) -> Result<Plot, SweepError> {
    let file = match from.is_dir() {
        true => from.join(super::table::FILE),
        false => from.to_owned(),
    };
    let figure = read::figure(&file, wanted)?;
    let means = figure.lines.iter().flat_map(|(by, groups)| {
        groups.iter().map(|(x, group)| Mean {
            by: by.clone(),
            x: x.to_string(),
            n: group.n,
            mean: group.mean,
            half: group.half,
        })
    });
    Ok(Plot {
        means: means.collect(),
        svg: svg::draw(&figure),
        note: figure.note,
    })
}
