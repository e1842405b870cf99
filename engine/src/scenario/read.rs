//! Reads every table of scenario.toml but params, space, mechanics and what is counted, with its checks.
//! It must not know how a world runs.

use super::bundle::Bundle;
use super::diagnostic::suggest;
use super::fault;
use super::files;
use super::map::{self, Space, kind_named};
use super::metric;
use super::params::is_name;
use super::question;
use super::reader::{Reader, Table};
use super::spec::*;
use super::time;
use crate::mechanic::Mechanics;

/// Reads the whole file. Faults are left in the reader; the result is only whole if there are none.
pub(super) fn read(root: &Table<'_>, bundle: &Bundle) -> Option<Spec> {
    let reader = root.reader();
    let name = root.need("name", "the scenario's name").and_then(|item| {
        let name = item.text()?;
        if !is_name(&name) {
            item.fault(format!("`{name}` cannot name a scenario"))
                .expected("a-z, then a-z, 0-9, _ or -");
        }
        Some(name)
    });
    let title = root
        .need("title", "a short title")
        .and_then(|item| item.text_of(1..=100));
    let summary = root
        .get("summary")
        .and_then(|item| item.text_of(0..=2000))
        .unwrap_or_default();
    let cast = root.get("cast").and_then(|item| item.text_of(1..=100));
    root.get("params");
    let limits = read_limits(root);
    let mut kinds = read_kinds(root);
    let space = map::read(root, bundle, &kinds);
    let placeless = root.table("space").is_none_or(|table| {
        let kind = table.get("kind").and_then(|item| item.text_quiet());
        table.forget();
        kind.as_deref() == Some("none")
    });
    let mechanics = Mechanics::read(root, &kinds, placeless, &limits);
    let seats = read_seats(root, &mut kinds, space.as_ref(), placeless);
    let catalogue = mechanics.catalogue();
    let time = time::read(root, |name| {
        catalogue
            .iter()
            .find(|spec| spec.name == name)
            .is_some_and(|spec| spec.params.iter().all(|p| !p.required))
    });
    let sight = read_sight(root);
    let metrics = metric::read(root, &kinds, &mechanics);
    let (score, earn) = metric::read_score(root, &mechanics);
    let end = metric::read_end(root, &metrics);
    let groups: Vec<&str> = seats.iter().map(|group| group.name.as_str()).collect();
    if let Some(report) = &mechanics.report {
        report.check_groups(reader, &groups);
    }
    let questions = question::read(root, &groups);
    let files = files::read(root, bundle);
    let names: Vec<String> = seats.iter().flat_map(SeatGroup::names).collect();
    let faults = fault::read(root, &names);
    let spec = Spec {
        name: name?,
        title: title?,
        summary,
        cast,
        time,
        space,
        kinds,
        seats,
        mechanics,
        sight,
        limits,
        metrics,
        score,
        earn,
        end,
        questions,
        files,
        faults,
    };
    if let Some(matrix) = &spec.mechanics.matrix {
        matrix.check_size(reader, spec.seat_count());
    }
    Some(spec)
}

fn read_limits(root: &Table<'_>) -> LimitSpec {
    let Some(table) = root.table("limits") else {
        return LimitSpec {
            actions: 1,
            speech: 1,
            speech_chars: 500,
        };
    };
    LimitSpec {
        actions: table.int_or("actions", 1..=16, 1) as u32,
        speech: table.int_or("speech", 0..=16, 1) as u32,
        speech_chars: table.int_or("speech_chars", 1..=500, 500) as u32,
    }
}

fn read_kinds(root: &Table<'_>) -> Vec<Kind> {
    let mut kinds: Vec<Kind> = Vec::new();
    let Some(table) = root.table("kind") else {
        return kinds;
    };
    for (name, span, item) in table.entries() {
        if !is_name(name) {
            table
                .reader()
                .fault(span, format!("`{name}` cannot name a kind"))
                .expected("a-z, then a-z, 0-9, _ or -");
        }
        let Some(table) = item.table() else { continue };
        let glyph = table
            .need("glyph", "one visible character")
            .and_then(|item| {
                let glyph = item.glyph()?;
                let clash = match glyph {
                    '@' | 'o' | '?' | '.' if name != "body" => {
                        Some("maps keep it for you, others, unseen and empty".into())
                    }
                    _ => kinds
                        .iter()
                        .find(|kind| kind.glyph == glyph)
                        .map(|kind| format!("kind `{}` has it", kind.name)),
                };
                if let Some(clash) = clash {
                    item.fault(format!("glyph `{glyph}` is taken")).help(clash);
                }
                Some(glyph)
            });
        let colour = table.get("colour").and_then(|item| {
            let colour = item.text()?;
            let digits = colour.strip_prefix('#').unwrap_or_default();
            if digits.len() != 6 || !digits.chars().all(|c| c.is_ascii_hexdigit()) {
                item.fault(format!("`{}` is {colour:?}", item.path()))
                    .expected("a colour as \"#rrggbb\"");
            }
            Some(colour)
        });
        kinds.push(Kind {
            name: name.to_owned(),
            glyph: glyph.unwrap_or('x'),
            colour: colour.unwrap_or_else(|| "#888888".into()),
            solid: table.bool_or("solid", false),
            opaque: table.bool_or("opaque", false),
        });
    }
    kinds
}

fn read_seats(
    root: &Table<'_>,
    kinds: &mut Vec<Kind>,
    space: Option<&Space>,
    placeless: bool,
) -> Vec<SeatGroup> {
    let reader = root.reader();
    let mut groups: Vec<SeatGroup> = Vec::new();
    let mut demands: Vec<(Vec<String>, u32, std::ops::Range<usize>)> = Vec::new();
    for table in root.tables("seat") {
        let name = table.need("name", "a name, a-z first").and_then(|item| {
            let name = item.text()?;
            if !is_name(&name) {
                item.fault(format!("`{name}` cannot name a seat"))
                    .expected("a-z, then a-z, 0-9, _ or -");
            } else if groups.iter().any(|group| group.name == name) {
                item.fault(format!("a second [[seat]] is named `{name}`"))
                    .help("use count for seats that are alike");
            }
            Some(name)
        });
        let count = table.int_or("count", 1..=MAX_SEATS, 1) as u32;
        let numbered = table.bool_or("numbered", false);
        let role = table
            .get("role")
            .and_then(|item| item.text_of(0..=4000))
            .unwrap_or_default();
        let kind = match table
            .get("kind")
            .and_then(|item| Some((item.text()?, item)))
        {
            Some((name, item)) => kind_named(&item, &name, kinds).unwrap_or(0),
            None => body_kind(kinds),
        };
        if let Some(kind) = kinds.get(usize::from(kind)).filter(|kind| !kind.solid) {
            reader
                .fault(
                    table.span(),
                    format!("bodies of kind `{}` are not solid", kind.name),
                )
                .help("set solid = true");
        }
        let mut spawns = Vec::new();
        if placeless {
            if let Some(item) = table.get("spawn") {
                item.fault("a spawn in a game without a place")
                    .help("remove it");
            }
        } else if let Some(item) = table.need(
            "spawn",
            "the name of a spawn in [space.legend], or a list of them",
        ) {
            spawns = if item.is_list() {
                item.texts().unwrap_or_default()
            } else {
                item.text().into_iter().collect()
            };
            if let Some(space) = space {
                for spawn in spawns
                    .iter()
                    .filter(|spawn| !space.spawns.contains_key(*spawn))
                {
                    item.fault(format!("the map has no spawn `{spawn}`"))
                        .help(suggest(spawn, space.spawns.keys().map(String::as_str)));
                }
            }
            demands.push((spawns.clone(), count, item.span()));
        }
        let Some(name) = name else { continue };
        groups.push(SeatGroup {
            name,
            count,
            numbered,
            role,
            spawns,
            kind,
        });
    }
    if groups.is_empty() && !reader.failed() {
        reader
            .fault(0..0, "there is no [[seat]]")
            .help("add one: name, and a spawn if there is a place");
    }
    let total: i64 = groups.iter().map(|group| i64::from(group.count)).sum();
    if total > MAX_SEATS {
        reader
            .fault(0..0, format!("there are {total} seats"))
            .expected(format!("at most {MAX_SEATS}"));
    }
    if let Some(space) = space {
        check_room(reader, space, kinds, &demands);
    }
    groups
}

/// Seats take spawn cells group by group, so running out can be told before a world exists.
fn check_room(
    reader: &Reader,
    space: &Space,
    kinds: &[Kind],
    demands: &[(Vec<String>, u32, std::ops::Range<usize>)],
) {
    let mut taken = vec![false; space.kinds.len()];
    for (spawns, count, span) in demands {
        let mut left = *count;
        let mut room = 0;
        for cell in spawns
            .iter()
            .filter_map(|spawn| space.spawns.get(spawn))
            .flatten()
        {
            let kind = space.kinds[*cell as usize];
            if kind > 0 && kinds[usize::from(kind) - 1].solid {
                continue;
            }
            if !taken[*cell as usize] {
                room += 1;
                if left > 0 {
                    taken[*cell as usize] = true;
                    left -= 1;
                }
            }
        }
        if left > 0 && spawns.iter().all(|spawn| space.spawns.contains_key(spawn)) {
            reader
                .fault(
                    span.clone(),
                    format!("{count} seats, but the map has room for {room} here"),
                )
                .help("lower the count or give the map more cells of this spawn");
        }
    }
}

/// The kind of bodies that no scenario has to write: made on first need.
fn body_kind(kinds: &mut Vec<Kind>) -> u16 {
    if let Some(index) = kinds.iter().position(|kind| kind.name == "body") {
        return index as u16;
    }
    kinds.push(Kind {
        name: "body".into(),
        glyph: '@',
        colour: "#3b6ea5".into(),
        solid: true,
        opaque: false,
    });
    (kinds.len() - 1) as u16
}

fn read_sight(root: &Table<'_>) -> Sight {
    let mut sight = Sight {
        radius: 5,
        line_of_sight: false,
        tell_view: true,
        tell_near: true,
        tell_time: true,
        tell_scores: false,
    };
    let Some(table) = root.table("observation") else {
        return sight;
    };
    sight.radius = table.int_or("radius", 0..=50, 5) as i32;
    sight.line_of_sight = table.bool_or("line_of_sight", false);
    if let Some(items) = table.get("tell").and_then(|item| item.list()) {
        let told: Vec<usize> = items
            .iter()
            .filter_map(|item| item.choice(&["view", "near", "time", "scores"]))
            .collect();
        sight.tell_view = told.contains(&0);
        sight.tell_near = told.contains(&1);
        sight.tell_time = told.contains(&2);
        sight.tell_scores = told.contains(&3);
    }
    sight
}
