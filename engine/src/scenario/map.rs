//! The space of a scenario: `[space]`, its legend and its map file. It must not know what kinds do.

use super::bundle::Bundle;
use super::diagnostic::{Diagnostic, suggest};
use super::reader::{Item, Reader, Table};
use super::spec::Kind;
use crate::space::Grid;
use std::collections::BTreeMap;

/// The most cells along one side of a grid.
const MAX_SIDE: usize = 2000;

/// A grid with what the map puts into it.
#[derive(Clone, Debug)]
pub(crate) struct Space {
    pub(crate) grid: Grid,
    /// For each cell: index of a kind + 1, 0 for none.
    pub(crate) kinds: Vec<u16>,
    /// The cells of each spawn, in the map's order.
    pub(crate) spawns: BTreeMap<String, Vec<u32>>,
}

#[derive(Default)]
struct Glyph {
    kind: u16,
    spawn: Option<String>,
}

/// Reads `[space]`. `None` is a game without a place, or a fault that is already told.
pub(super) fn read(root: &Table<'_>, bundle: &Bundle, kinds: &[Kind]) -> Option<Space> {
    let table = root.table("space")?;
    let kind = table
        .need("kind", "grid or none")?
        .choice(&["grid", "none"]);
    if kind == Some(1) {
        return None;
    }
    let torus = table
        .get("edges")
        .and_then(|item| item.choice(&["bounded", "torus"]))
        == Some(1);
    let neighbours = table.get("neighbours").and_then(|item| {
        let value = item.int(4..=8)?;
        if value != 4 && value != 8 {
            item.fault(format!("`{}` is {value}", item.path()))
                .expected("4 or 8");
        }
        Some(if value == 8 { 8 } else { 4 })
    });
    let legend = table
        .need(
            "legend",
            "a table: glyph = \"kind\", \"\" for an empty cell, or { kind = .., spawn = .. }",
        )
        .and_then(|item| item.table())
        .map(|table| read_legend(&table, kinds));
    let map = table.need("map", "the name of a text file, one line a row")?;
    kind?;
    read_map(&map, bundle, &legend?, torus, neighbours.unwrap_or(4))
}

fn read_legend(table: &Table<'_>, kinds: &[Kind]) -> BTreeMap<char, Glyph> {
    let mut legend = BTreeMap::new();
    for (key, span, item) in table.entries() {
        let mut chars = key.chars();
        let glyph = match (chars.next(), chars.next()) {
            (Some(glyph), None) => glyph,
            _ => {
                table
                    .reader()
                    .fault(span, format!("`{key}` is no glyph"))
                    .expected("one character as the key");
                continue;
            }
        };
        let mut entry = Glyph::default();
        if item.is_table() {
            if let Some(table) = item.table() {
                entry.kind = table.get("kind").map_or(0, |item| read_kind(&item, kinds));
                entry.spawn = table.get("spawn").and_then(|item| item.text_of(1..=40));
            }
        } else {
            entry.kind = read_kind(&item, kinds);
        }
        legend.insert(glyph, entry);
    }
    legend
}

fn read_kind(item: &Item<'_>, kinds: &[Kind]) -> u16 {
    match item.text() {
        Some(name) if !name.is_empty() => {
            kind_named(item, &name, kinds).map_or(0, |index| index + 1)
        }
        _ => 0,
    }
}

/// The index of a kind by name; an unknown one is a fault.
pub(crate) fn kind_named(item: &Item<'_>, name: &str, kinds: &[Kind]) -> Option<u16> {
    let index = kinds.iter().position(|kind| kind.name == name);
    if index.is_none() {
        item.fault(format!("there is no kind `{name}`"))
            .help(suggest(name, kinds.iter().map(|kind| kind.name.as_str())));
    }
    index.map(|index| index as u16)
}

fn read_map(
    item: &Item<'_>,
    bundle: &Bundle,
    legend: &BTreeMap<char, Glyph>,
    torus: bool,
    neighbours: u8,
) -> Option<Space> {
    let file = item.text()?;
    let Some(bytes) = bundle.get(&file) else {
        let maps: Vec<&str> = bundle
            .iter()
            .map(|(path, _)| path)
            .filter(|path| path.ends_with(".txt"))
            .collect();
        item.fault(format!("the map `{file}` is not in the scenario's folder"))
            .help(suggest(&file, maps.iter().copied()));
        return None;
    };
    let Ok(text) = std::str::from_utf8(bytes) else {
        item.fault(format!("the map `{file}` is not UTF-8"));
        return None;
    };
    let reader: &Reader = item.reader();
    let rows: Vec<&str> = text
        .trim_end_matches(['\n', '\r'])
        .split('\n')
        .map(|row| row.trim_end_matches('\r'))
        .collect();
    let width = rows[0].chars().count();
    if width == 0 || width > MAX_SIDE || rows.len() > MAX_SIDE {
        let message = format!("the map has {width} columns and {} rows", rows.len());
        reader.push(
            Diagnostic::error(&file, text, 0..0, message)
                .expected(format!("1 to {MAX_SIDE} of each")),
        );
        return None;
    }
    let mut kinds = Vec::with_capacity(width * rows.len());
    let mut spawns: BTreeMap<String, Vec<u32>> = BTreeMap::new();
    let mut unknown: BTreeMap<char, usize> = BTreeMap::new();
    let mut at = 0;
    let mut ragged = false;
    for row in &rows {
        let columns = row.chars().count();
        if columns != width {
            ragged = true;
            let message = format!("this row has {columns} columns, the first has {width}");
            reader.push(
                Diagnostic::error(&file, text, at..at + row.len(), message)
                    .help("fill it up to a rectangle"),
            );
        }
        for (offset, glyph) in row.char_indices() {
            match legend.get(&glyph) {
                Some(entry) => {
                    if let Some(spawn) = &entry.spawn {
                        spawns
                            .entry(spawn.clone())
                            .or_default()
                            .push(kinds.len() as u32);
                    }
                    kinds.push(entry.kind);
                }
                None => {
                    unknown.entry(glyph).or_insert(at + offset);
                    kinds.push(0);
                }
            }
        }
        at += row.len() + 1 + usize::from(text[at + row.len()..].starts_with("\r\n"));
    }
    for (glyph, at) in &unknown {
        let fault = Diagnostic::error(
            &file,
            text,
            *at..*at + glyph.len_utf8(),
            format!("glyph `{glyph}` has no legend"),
        );
        reader.push(fault.help(format!("add \"{glyph}\" to [space.legend]")));
    }
    if ragged || !unknown.is_empty() {
        return None;
    }
    let grid = Grid {
        width: width as i32,
        height: rows.len() as i32,
        torus,
        neighbours,
    };
    Some(Space {
        grid,
        kinds,
        spawns,
    })
}
