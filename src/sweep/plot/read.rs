//! From sweep.parquet to the groups of a figure. Must not know how it is drawn.

use std::collections::{BTreeMap, BTreeSet};
use std::fs::File;
use std::path::Path;

use formicarium_engine::scenario::suggest;
use parquet::file::reader::{FileReader, SerializedFileReader};
use parquet::record::Field;

use super::{Along, Figure, Group, Wanted};
use crate::sweep::SweepError;
use crate::sweep::table::PARAM;

/// Lines that can still be told apart.
const LINES_MOST: usize = 8;

/// A row, its columns by name.
type Row = BTreeMap<String, Field>;

/// A run: what it is grouped by, and its value.
struct Point {
    x: Along,
    by: String,
    value: f64,
}

/// Reads the table and groups its runs.
pub(super) fn figure(file: &Path, wanted: &Wanted) -> Result<Figure, SweepError> {
    let (columns, rows) = rows(file)?;
    let params: Vec<&str> = columns
        .iter()
        .filter_map(|name| name.strip_prefix(PARAM))
        .collect();
    let named = |name: &str| -> Result<String, SweepError> {
        match name {
            "cast" => Ok(name.to_owned()),
            name if params.contains(&name) => Ok(format!("{PARAM}{name}")),
            name => {
                let known = params.iter().copied().chain(["cast"]);
                let words = format!(
                    "the sweep has no parameter '{name}'; {}",
                    suggest(name, known)
                );
                Err(SweepError::Plot(words))
            }
        }
    };
    let (x, by) = (
        named(&wanted.x)?,
        wanted.by.as_deref().map(named).transpose()?,
    );
    let measured = measured(&rows, &wanted.y)?;
    let points: Vec<Point> = measured
        .iter()
        .map(|(row, value)| Point {
            x: along(&row[&x]),
            by: by
                .as_ref()
                .map_or_else(String::new, |by| along(&row[by]).to_string()),
            value: *value,
        })
        .collect();
    if points.is_empty() {
        let words =
            "no run of the sweep has ended with such a number; there is nothing to draw yet";
        return Err(SweepError::Plot(words.into()));
    }
    let lines = lines(points, &measured, by.as_deref());
    if lines.len() > LINES_MOST {
        let words = format!(
            "--by {} makes {} lines, more than the {LINES_MOST} that can be told apart",
            wanted.by.as_deref().unwrap_or_default(),
            lines.len()
        );
        return Err(SweepError::Plot(words));
    }
    let scenario = text(&measured[0].0["scenario"]).unwrap_or_default();
    let unit = unit(&rows, &wanted.y);
    let y_title = match wanted.y.as_str() {
        "score" => "mean score of a seat".to_owned(),
        name => name.replace("score:", "score of "),
    };
    Ok(Figure {
        title: format!("{scenario}: {y_title} by {}", wanted.x),
        x_title: wanted.x.clone(),
        y_title: match unit.is_empty() {
            true => y_title,
            false => format!("{y_title} ({unit})"),
        },
        by_title: wanted.by.clone().unwrap_or_default(),
        note: note(&columns, &measured, &lines, [Some(&x), by.as_ref()]),
        lines,
    })
}

fn rows(file: &Path) -> Result<(Vec<String>, Vec<Row>), SweepError> {
    let wrong = |error: parquet::errors::ParquetError| {
        SweepError::Plot(format!(
            "{} is no table of a sweep: {error}",
            file.display()
        ))
    };
    let handle = File::open(file).map_err(SweepError::io(file))?;
    let reader = SerializedFileReader::new(handle).map_err(wrong)?;
    let schema = reader.metadata().file_metadata().schema_descr();
    let columns: Vec<String> = schema
        .columns()
        .iter()
        .map(|column| column.name().to_owned())
        .collect();
    for needed in [
        "cell", "status", "cast", "scenario", "ticks", "seconds", "measure", "name", "unit",
        "value",
    ] {
        if !columns.iter().any(|name| name == needed) {
            let words = format!(
                "{} is no table of a sweep: it has no column {needed}",
                file.display()
            );
            return Err(SweepError::Plot(words));
        }
    }
    let mut rows = Vec::new();
    for row in reader.get_row_iter(None).map_err(wrong)? {
        let row = row.map_err(wrong)?;
        rows.push(
            row.get_column_iter()
                .map(|(name, field)| (name.clone(), field.clone()))
                .collect(),
        );
    }
    Ok((columns, rows))
}

fn text(field: &Field) -> Option<&str> {
    match field {
        Field::Str(text) => Some(text),
        _ => None,
    }
}

fn number(field: &Field) -> Option<f64> {
    match field {
        Field::Double(number) => Some(*number),
        Field::Long(number) => Some(*number as f64),
        Field::ULong(number) => Some(*number as f64),
        _ => None,
    }
}

fn along(field: &Field) -> Along {
    match (number(field), field) {
        (Some(number), _) => Along::Number(number),
        (None, Field::Str(text)) => Along::Word(text.clone()),
        (None, Field::Bool(value)) => Along::Word(value.to_string()),
        (None, other) => Along::Word(other.to_string()),
    }
}

/// Each ended run that has the measure: one of its rows, and the number.
fn measured<'a>(rows: &'a [Row], y: &str) -> Result<Vec<(&'a Row, f64)>, SweepError> {
    let of = |row: &'a Row, column: &str| text(&row[column]);
    let ended: Vec<&Row> = rows
        .iter()
        .filter(|row| of(row, "status") == Some("ended"))
        .collect();
    if let "seconds" | "ticks" = y {
        let mut seen = BTreeSet::new();
        let once = ended.iter().filter(|row| seen.insert(of(row, "cell")));
        return Ok(once
            .filter_map(|row| Some((*row, number(&row[y])?)))
            .collect());
    }
    let seat = y.strip_prefix("score:");
    let wanted = |row: &Row| match (text(&row["measure"]), seat, y) {
        (Some("score"), None, "score") => true,
        (Some("score"), Some(seat), _) => text(&row["name"]) == Some(seat),
        (Some("metric"), None, y) => text(&row["name"]) == Some(y),
        _ => false,
    };
    let mut runs: BTreeMap<&str, (&Row, Vec<f64>)> = BTreeMap::new();
    for row in ended.iter().filter(|row| wanted(row)) {
        if let (Some(cell), Some(value)) = (of(row, "cell"), number(&row["value"])) {
            runs.entry(cell).or_insert((row, Vec::new())).1.push(value);
        }
    }
    let known: BTreeSet<&str> = ended
        .iter()
        .filter(|row| text(&row["measure"]) == Some("metric"))
        .filter_map(|row| of(row, "name"))
        .chain(["score", "seconds", "ticks"])
        .collect();
    if runs.is_empty() && !ended.is_empty() && !known.contains(y) {
        let words = format!(
            "the sweep has no measure '{y}'; {}",
            suggest(y, known.iter().copied())
        );
        return Err(SweepError::Plot(words));
    }
    let mean = |values: &[f64]| values.iter().sum::<f64>() / values.len() as f64;
    Ok(runs
        .into_values()
        .map(|(row, values)| (row, mean(&values)))
        .collect())
}

fn unit(rows: &[Row], y: &str) -> String {
    if y == "seconds" || y == "ticks" {
        return String::new();
    }
    let fits = |row: &&Row| match text(&row["measure"]) {
        Some("score") => y.starts_with("score"),
        Some("metric") => text(&row["name"]) == Some(y),
        _ => false,
    };
    let units = rows.iter().filter(fits).find_map(|row| text(&row["unit"]));
    units.unwrap_or_default().to_owned()
}

/// Points in lines and groups, numbers and words each in their order; words along x in the table's order.
fn lines(points: Vec<Point>, measured: &[(&Row, f64)], by: Option<&str>) -> Vec<super::Line> {
    let mut order: Vec<Along> = Vec::new();
    let mut groups: BTreeMap<String, Vec<(Along, Vec<f64>)>> = BTreeMap::new();
    for point in points {
        if !order.contains(&point.x) {
            order.push(point.x.clone());
        }
        let line = groups.entry(point.by).or_default();
        match line.iter_mut().find(|(x, _)| *x == point.x) {
            Some((_, values)) => values.push(point.value),
            None => line.push((point.x, vec![point.value])),
        }
    }
    let place = |x: &Along| match x {
        Along::Number(number) => *number,
        Along::Word(_) => order.iter().position(|known| known == x).unwrap_or(0) as f64,
    };
    let mut lines: Vec<super::Line> = groups
        .into_iter()
        .map(|(name, mut line)| {
            line.sort_by(|(a, _), (b, _)| place(a).total_cmp(&place(b)));
            let groups = line.into_iter().map(|(x, values)| (x, Group::of(&values)));
            (name, groups.collect())
        })
        .collect();
    // Lines of numbers in the numbers' order: 10 after 2.
    if by.is_some_and(|by| measured.iter().all(|(row, _)| number(&row[by]).is_some())) {
        lines.sort_by(|(a, _), (b, _)| {
            let number = |text: &str| text.parse().unwrap_or(f64::NAN);
            number(a).total_cmp(&number(b))
        });
    }
    lines
}

/// How many runs stand behind each mean, and what else differs between them.
fn note(
    columns: &[String],
    measured: &[(&Row, f64)],
    lines: &[super::Line],
    shown: [Option<&String>; 2],
) -> String {
    let counts = || {
        lines
            .iter()
            .flat_map(|(_, groups)| groups.iter().map(|(_, group)| group.n))
    };
    let (least, most) = (counts().min().unwrap_or(0), counts().max().unwrap_or(0));
    let runs = match (least == most, most) {
        (true, 1) => "one run a point; no confidence can be told".to_owned(),
        (true, most) => format!("mean of {most} runs, 95 % confidence interval (Student's t)"),
        _ => format!("mean of {least} to {most} runs, 95 % confidence interval (Student's t)"),
    };
    let varies = |name: &&String| {
        let mut fields = measured.iter().map(|(row, _)| along(&row[*name]));
        let first = fields.next();
        fields.any(|field| Some(field) != first)
    };
    let hidden: Vec<&str> = columns
        .iter()
        .filter(|name| name.starts_with(PARAM) || *name == "cast")
        .filter(|name| !shown.contains(&Some(*name)))
        .filter(varies)
        .map(|name| name.strip_prefix(PARAM).unwrap_or(name))
        .collect();
    match hidden.is_empty() {
        true => runs,
        false => format!("{runs}; over all values of {}", hidden.join(", ")),
    }
}
