//! What came of two runs, compared: metrics, scores, messages, files. Must not know where their worlds part.

use std::collections::{BTreeMap, BTreeSet};

use formicarium_agents::broker::{Fact, State, Version};
use rusqlite::Params;
use rusqlite::types::FromSql;
use serde_json::Value;

use super::super::RecorderError;
use super::super::reader::Recording;
use super::super::versions::History;
use super::{Messages, Metric, Pair, Path};

/// Rows of a query with two columns.
type Rows<A, B> = Vec<(A, B)>;

/// Asks for them.
fn query<A: FromSql, B: FromSql>(
    of: &Recording,
    sql: &str,
    with: impl Params,
) -> Result<Vec<(A, B)>, RecorderError> {
    let read = || -> rusqlite::Result<Vec<(A, B)>> {
        let mut statement = of.connection.prepare_cached(sql)?;
        let rows = statement.query_map(with, |row| Ok((row.get(0)?, row.get(1)?)))?;
        rows.collect()
    };
    read().map_err(|error| of.sql(error))
}

pub(super) fn metrics(
    a: &Recording,
    b: &Recording,
    both: i64,
) -> Result<Vec<Metric>, RecorderError> {
    type Series = BTreeMap<String, Vec<(i64, Option<f64>)>>;
    let read = |of: &Recording| -> Result<Series, RecorderError> {
        let mut series = Series::new();
        for name in &of.meta.metrics {
            let sql = "SELECT tick, value FROM metrics WHERE name = ?1 ORDER BY tick";
            series.insert(name.clone(), query(of, sql, [name])?);
        }
        Ok(series)
    };
    let (mut was, mut is) = (read(a)?, read(b)?);
    let names: BTreeSet<String> = was.keys().chain(is.keys()).cloned().collect();
    let mut list = Vec::new();
    for name in names {
        let (was, is) = (
            was.remove(&name).unwrap_or_default(),
            is.remove(&name).unwrap_or_default(),
        );
        let (ours, theirs): (BTreeMap<_, _>, BTreeMap<_, _>) =
            (was.iter().copied().collect(), is.iter().copied().collect());
        let ticks: BTreeSet<i64> = ours.keys().chain(theirs.keys()).copied().collect();
        let of = |series: &BTreeMap<i64, Option<f64>>, tick| series.get(&tick).copied().flatten();
        let differs = ticks
            .into_iter()
            .take_while(|tick| *tick <= both)
            .find(|tick| ours.get(tick) != theirs.get(tick));
        if let Some(tick) = differs {
            list.push(Metric {
                name,
                tick: tick as u64,
                a: of(&ours, tick),
                b: of(&theirs, tick),
                last_a: was.last().and_then(|(_, value)| *value),
                last_b: is.last().and_then(|(_, value)| *value),
            });
        }
    }
    Ok(list)
}

pub(super) fn scores(a: &Recording, b: &Recording) -> Result<Vec<Pair>, RecorderError> {
    let sql = "SELECT s.name, c.score FROM scores c JOIN seats s USING (seat)";
    let (was, is): (Rows<String, f64>, Rows<String, f64>) =
        (query(a, sql, [])?, query(b, sql, [])?);
    if was.is_empty() || is.is_empty() {
        // A run without an end has none.
        return Ok(Vec::new());
    }
    let (was, is): (BTreeMap<_, _>, BTreeMap<_, _>) =
        (was.into_iter().collect(), is.into_iter().collect());
    let names: BTreeSet<&String> = was.keys().chain(is.keys()).collect();
    let of = |scores: &BTreeMap<String, f64>, name: &String| {
        scores
            .get(name)
            .map_or(Value::Null, |score| (*score).into())
    };
    let list = names.into_iter().map(|name| Pair {
        name: name.clone(),
        a: of(&was, name),
        b: of(&is, name),
    });
    Ok(list.filter(|pair| pair.a != pair.b).collect())
}

pub(super) fn messages(
    a: &Recording,
    b: &Recording,
    both: i64,
) -> Result<Option<Messages>, RecorderError> {
    let sql = "SELECT e.tick, s.name || ' (' || coalesce(json_extract(e.data, '$.how'), '?') || coalesce(' to ' || o.name, '') || \
               '): ' || coalesce(e.text, '') \
               FROM events e JOIN seats s ON s.seat = e.seat LEFT JOIN seats o ON o.seat = e.other \
               WHERE e.name = 'speech.said' AND e.tick <= ?1 ORDER BY e.tick, e.n";
    let (was, is): (Rows<i64, String>, Rows<i64, String>) =
        (query(a, sql, [both])?, query(b, sql, [both])?);
    if was == is {
        return Ok(None);
    }
    let at = was
        .iter()
        .zip(&is)
        .take_while(|(was, is)| was == is)
        .count();
    let (ours, theirs) = (was.get(at), is.get(at));
    let tick = ours.into_iter().chain(theirs).map(|(tick, _)| *tick).min();
    let of = |message: Option<&(i64, String)>| {
        message.map_or(Value::Null, |(tick, text)| {
            format!("tick {tick}: {text}").into()
        })
    };
    Ok(Some(Messages {
        a: was.len() as u64,
        b: is.len() as u64,
        first: Pair {
            name: format!("tick {}", tick.unwrap_or(0)),
            a: of(ours),
            b: of(theirs),
        },
    }))
}

pub(super) fn files(a: &Recording, b: &Recording) -> Result<Vec<Path>, RecorderError> {
    let (ours, theirs) = (a.facts()?, b.facts()?);
    // What entered no input is no part of the worlds.
    let read = |history: &'_ History| {
        let mut paths: BTreeMap<String, Vec<Version>> = BTreeMap::new();
        for told in history.facts() {
            if let (Fact::Version(version), Some(_)) = (&told.fact, told.entered) {
                let path = version.path.to_string();
                paths.entry(path).or_default().push(version.clone());
            }
        }
        paths
    };
    let (mut was, mut is) = (read(&ours), read(&theirs));
    let names: BTreeSet<String> = was.keys().chain(is.keys()).cloned().collect();
    let mut list = Vec::new();
    for path in names {
        let (was, is) = (
            was.remove(&path).unwrap_or_default(),
            is.remove(&path).unwrap_or_default(),
        );
        let alike = |was: &Version, is: &Version| was.state == is.state && was.seat == is.seat;
        let at = was
            .iter()
            .zip(&is)
            .take_while(|(was, is)| alike(was, is))
            .count();
        if at == was.len() && at == is.len() {
            continue;
        }
        let words = |versions: &[Version]| {
            versions.get(at).map(|version| {
                let seat = version.seat.as_deref().unwrap_or("the scenario");
                match version.state {
                    State::Absent => format!("removed by {seat}"),
                    State::Dir => format!("a folder by {seat}"),
                    State::File { bytes, .. } => format!("{bytes} bytes by {seat}"),
                }
            })
        };
        let newest = |versions: &[Version]| versions.last().map(|version| version.number);
        list.push(Path {
            path,
            version: at as u64 + 1,
            newest_a: newest(&was),
            newest_b: newest(&is),
            a: words(&was),
            b: words(&is),
        });
    }
    Ok(list)
}
