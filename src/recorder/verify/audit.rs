//! Recomputes the hash chain from the tables: block by block for those that only grow, row by row for the others.
//!
//! Must not know what a row means.

use std::collections::BTreeMap;

use rusqlite::Connection;
use rusqlite::types::ValueRef;

use super::super::Parent;
use super::super::chain::{self, BLOCK_TICKS, Block, Covered, NO_PREVIOUS, Span, Sum, key_text};
use super::super::tables::{Kind, TABLES, Table};
use super::{ChainReport, Faults};

/// A block with what it covers.
type Link = (Block, Covered);

/// Checks the chain, which goes on from what a fork has of its parent; none if there is no table of that name.
pub(super) fn audit(
    connection: &Connection,
    has_end: bool,
    parent: Option<&Parent>,
    faults: &mut Faults,
) -> Option<ChainReport> {
    match chain::exists(connection) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(error) => {
            faults.add("chain", None, None, error.to_string());
            return Some(ChainReport::default());
        }
    }
    let inherited = parent.and_then(|parent| parent.history.as_ref());
    let first = inherited.map_or(NO_PREVIOUS, |inherited| inherited.digest.as_str());
    let links = links(connection, first, faults);
    let mut report = ChainReport {
        blocks: links.len() as u64,
        digest: links
            .last()
            .map_or(String::new(), |(block, _)| block.digest.clone()),
        open: 0,
    };
    for table in TABLES {
        let checked = match table.kind {
            Kind::Replaced => replaced(connection, table, &links, faults).map(|()| 0),
            Kind::Ticked | Kind::Numbered => {
                let before = inherited.and_then(|of| of.to.get(table.name)).copied();
                grown(connection, table, before, &links, faults)
            }
        };
        let open = match checked {
            Ok(open) => open,
            Err(error) => {
                faults.add(table.name, None, None, error.to_string());
                continue;
            }
        };
        report.open += open;
        if open > 0 && has_end {
            let why = "in no block of the chain, though the run came to its end";
            let row = Some(format!("the last {open}"));
            faults.add(table.name, None, row, why);
        } else if table.name == "inputs" && open >= BLOCK_TICKS {
            let why = format!(
                "{open} inputs after the last block; a host leaves less than {BLOCK_TICKS}"
            );
            faults.add("chain", None, None, why);
        }
    }
    Some(report)
}

/// The blocks, each checked with the one before it. One that is no block, or whose text is none, is left out.
fn links(connection: &Connection, first: &str, faults: &mut Faults) -> Vec<Link> {
    let mut links: Vec<Link> = Vec::new();
    let blocks = match chain::blocks(connection) {
        Ok(blocks) => blocks,
        Err(error) => {
            faults.add("chain", None, None, error.to_string());
            return links;
        }
    };
    let (mut number, mut previous) = (0, first.to_owned());
    for block in blocks {
        let block = match block {
            Ok(block) => block,
            Err(error) => {
                faults.add(
                    "chain",
                    None,
                    Some(format!("block {number}")),
                    error.to_string(),
                );
                continue;
            }
        };
        let tick = u64::try_from(block.tick).ok();
        let mut wrong = |why: String| {
            faults.add("chain", tick, Some(format!("block {}", block.number)), why);
        };
        if block.number != number {
            wrong(format!("block {number} should stand here"));
        } else if block.previous != previous {
            wrong("it does not follow the block before it".into());
        }
        if block.sum() != block.digest {
            wrong("it does not fit its digest: it was changed".into());
        }
        number = block.number.saturating_add(1);
        previous.clone_from(&block.digest);
        match block.covered() {
            Ok(covered) => links.push((block, covered)),
            Err(error) => wrong(format!("what it covers cannot be read: {error}")),
        }
    }
    if links.is_empty() {
        faults.add("chain", None, None, "there is no block");
    }
    links
}

/// Rows of a table that only grows, behind those that a fork has from before, against the blocks; says how many are in none.
fn grown(
    connection: &Connection,
    table: &'static Table,
    before: Option<i64>,
    links: &[Link],
    faults: &mut Faults,
) -> rusqlite::Result<u64> {
    let mut spans = links.iter().filter_map(|(block, covered)| {
        let span = covered.grown.get(table.name)?;
        Some((block.number, span))
    });
    let mut from = before;
    let mut current = spans.next();
    let mut sum = Sum::default();
    let mut open = 0;
    table.read(connection, before, |key, row| {
        // A key that is no number is above all numbers in SQLite's order.
        let key = match key {
            ValueRef::Integer(key) => Some(key),
            _ => None,
        };
        while let Some((block, span)) = current {
            if key.is_some_and(|key| key <= span.to) {
                break;
            }
            compare(table, block, from, span, &sum.span(), faults);
            from = Some(span.to);
            current = spans.next();
        }
        match (current, key) {
            (Some(_), Some(key)) => sum.add(key, row),
            _ => open += 1,
        }
    })?;
    while let Some((block, span)) = current {
        compare(table, block, from, span, &sum.span(), faults);
        from = Some(span.to);
        current = spans.next();
    }
    Ok(open)
}

fn compare(
    table: &Table,
    block: i64,
    from: Option<i64>,
    span: &Span,
    found: &Span,
    faults: &mut Faults,
) {
    if found.digest == span.digest && found.rows == span.rows {
        return;
    }
    let key = table.columns[0];
    let rows = match from {
        Some(from) => format!("{key} {} to {}", from.saturating_add(1), span.to),
        None => format!("{key} up to {}", span.to),
    };
    let why = match (found.rows, span.rows) {
        (found, written) if found != written => {
            format!("block {block} of the chain has {written} rows here, the table has {found}")
        }
        _ => {
            format!("block {block} of the chain has another digest for these rows: one was changed")
        }
    };
    let tick = (key == "tick")
        .then(|| u64::try_from(span.to).ok())
        .flatten();
    faults.add(table.name, tick, Some(rows), why);
}

/// Rows of a table whose rows are replaced, against the newest word on each.
fn replaced(
    connection: &Connection,
    table: &'static Table,
    links: &[Link],
    faults: &mut Faults,
) -> rusqlite::Result<()> {
    let mut standing: BTreeMap<&str, (i64, Option<&str>)> = BTreeMap::new();
    for (block, covered) in links {
        for (key, digest) in covered.replaced.get(table.name).into_iter().flatten() {
            standing.insert(key, (block.number, digest.as_deref()));
        }
    }
    let name = |key: &str| Some(format!("{} {key}", table.columns[0]));
    table.read(connection, None, |key, row| {
        let key = key_text(key);
        match standing.remove(key.as_str()) {
            Some((_, Some(digest))) if blake3::hash(row).to_hex().as_str() == digest => {}
            Some((block, Some(_))) => {
                let why =
                    format!("block {block} of the chain has another digest for it: it was changed");
                faults.add(table.name, None, name(&key), why);
            }
            Some((block, None)) => {
                let why = format!("block {block} of the chain says that it is gone");
                faults.add(table.name, None, name(&key), why);
            }
            None => faults.add(table.name, None, name(&key), "no block of the chain has it"),
        }
    })?;
    for (key, (block, digest)) in standing {
        if digest.is_some() {
            let why = format!("block {block} of the chain has it, the table has not");
            faults.add(table.name, None, name(key), why);
        }
    }
    Ok(())
}
