//! Reads SWEEP.toml, format 1, with the engine's TOML reader, and checks all of it against the scenario before anything
//! is started. Starts nothing and writes nothing.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use formicarium_engine::scenario::reader::{Item, Reader, Table};
use formicarium_engine::scenario::suggest;
use formicarium_engine::{Bundle, Diagnostic, Params, Scenario, World};

use super::grid::{self, Axis, CELLS_MOST, VALUES_MOST};
use super::{Cell, Sweep, SweepError};
use crate::cast::{self, CastError};
use crate::library::{self, Source};
use crate::run::prompt::Prompts;

/// Runs at once at most.
const JOBS_MOST: i64 = 1024;
/// Words of `isolation`, those of `run --isolation`.
const ISOLATION: [&str; 4] = ["uid", "landlock", "advisory", "best"];

/// What stands in the file, each value fit for the scenario by itself.
struct Wanted {
    casts: Vec<String>,
    seeds: Vec<u64>,
    set: Vec<(String, String)>,
    grid: Vec<Axis>,
    ticks: Option<u64>,
    deadline_ms: Option<u64>,
    isolation: Option<String>,
    jobs: Option<usize>,
    out: Option<PathBuf>,
}

/// Reads and checks a sweep.
///
/// # Errors
/// All faults of the file in one go; else the first set of parameters with which the scenario cannot be run.
pub fn sweep(file: &Path) -> Result<Sweep, SweepError> {
    let bytes = std::fs::read(file).map_err(SweepError::io(file))?;
    let shown = file.display().to_string();
    let folder = match file.parent() {
        Some(folder) if !folder.as_os_str().is_empty() => folder,
        _ => Path::new("."),
    };
    let reader = Reader::parse(&shown, &bytes);
    // After a fault of syntax the tree has holes, and what would be said about them is noise.
    let broken = |reader: Reader| {
        let mut bundle = Bundle::new();
        bundle.insert(shown.clone(), bytes.clone());
        SweepError::Broken(reader.into_faults(), bundle)
    };
    if reader.failed() {
        return Err(broken(reader));
    }
    let read = {
        let root = reader.root();
        if let Some(item) = root.need("format", "format = 1, first in the file") {
            item.int(1..=1);
        }
        match scenario(&root, folder) {
            Some(found) => {
                let (argument, source, scenario) = found?;
                let wanted = wanted(&root, &scenario, &source.bundle)?;
                Some((argument, source, scenario, wanted))
            }
            None => {
                root.forget();
                None
            }
        }
    };
    let Some((argument, source, scenario, wanted)) = read.filter(|_| !reader.failed()) else {
        return Err(broken(reader));
    };
    let digest = blake3::Hash::from(source.bundle.digest()).to_hex();
    let cells = cells(&wanted, &source, &scenario)?;
    let name = file.file_stem().unwrap_or(file.as_os_str());
    Ok(Sweep {
        name: name.to_string_lossy().into_owned(),
        scenario_argument: argument,
        digest: digest.to_string(),
        bundle: source.bundle,
        scenario,
        ticks: wanted.ticks,
        deadline_ms: wanted.deadline_ms,
        isolation: wanted.isolation,
        jobs: wanted.jobs,
        out: wanted.out,
        cells,
    })
}

type Found = (String, Source, Scenario);

/// The scenario: a path is seen from the file's folder, a name is one that `run` takes.
fn scenario(root: &Table<'_>, folder: &Path) -> Option<Result<Found, SweepError>> {
    let text = root
        .need("scenario", "a scenario's folder, or its name")?
        .text_of(1..=4096)?;
    let argument = match text.contains('/') || text.starts_with('.') {
        true => std::path::absolute(folder.join(&text))
            .unwrap_or_else(|_| folder.join(&text))
            .to_string_lossy()
            .into_owned(),
        false => text,
    };
    Some(
        library::find(&argument)
            .map_err(SweepError::from)
            .and_then(|source| {
                let what = || format!("the scenario {argument}");
                let scenario = Scenario::load(&source.bundle)
                    .map_err(|list| broken_scenario(what(), list, &source.bundle))?;
                Ok((argument, source, scenario))
            }),
    )
}

fn broken_scenario(what: String, list: Vec<Diagnostic>, bundle: &Bundle) -> SweepError {
    SweepError::Scenario {
        what,
        list,
        bundle: bundle.clone(),
    }
}

fn wanted(root: &Table<'_>, scenario: &Scenario, bundle: &Bundle) -> Result<Wanted, SweepError> {
    let set = match root.table("set") {
        Some(table) => fixed(&table, scenario),
        None => Vec::new(),
    };
    let grid = match root.table("grid") {
        Some(table) => axes(&table, scenario, &set),
        None => Vec::new(),
    };
    let out = root.get("out").and_then(|item| item.text_of(1..=4096));
    let jobs = root.get("jobs").and_then(|item| item.int(1..=JOBS_MOST));
    let ticks = root.get("ticks").and_then(|item| item.int(1..=1 << 53));
    let isolation = root
        .get("isolation")
        .and_then(|item| item.choice(&ISOLATION));
    let wanted = Wanted {
        casts: casts(root, scenario, bundle)?,
        seeds: seeds(root),
        deadline_ms: root.get("deadline").and_then(|item| deadline(&item)),
        set,
        grid,
        ticks: ticks.map(|ticks| ticks as u64),
        isolation: isolation.map(|index| ISOLATION[index].to_owned()),
        jobs: jobs.map(|jobs| jobs as usize),
        out: out.map(PathBuf::from),
    };
    if wanted.ticks.is_none() && scenario.time().ticks == 0 {
        root.reader()
            .fault(0..0, "the scenario has no last tick, so no run would end")
            .expected("ticks = ...");
    }
    let lengths = wanted.grid.iter().map(|axis| axis.values.len());
    let count = lengths
        .chain([wanted.casts.len(), wanted.seeds.len()])
        .try_fold(1_usize, |all, one| all.checked_mul(one));
    if count.is_none_or(|count| count > CELLS_MOST) {
        let words = format!("casts, grid and seeds make more than {CELLS_MOST} runs");
        root.reader()
            .fault(0..0, words)
            .help("make several sweeps, or see docs/sweep.md on clusters");
    }
    Ok(wanted)
}

fn deadline(item: &Item<'_>) -> Option<u64> {
    let text = item.text()?;
    let ms = cast::read::duration_ms(&text).filter(|ms| (1..=86_400_000).contains(ms));
    if ms.is_none() {
        item.fault(format!("`deadline` is {text:?}"))
            .expected("a duration such as \"200ms\", \"10s\" or \"5m\", up to 24 hours");
    }
    ms
}

/// One cast, a list of them, or the scenario's own.
fn casts(
    root: &Table<'_>,
    scenario: &Scenario,
    bundle: &Bundle,
) -> Result<Vec<String>, SweepError> {
    let items = match root.get("cast") {
        None => match scenario.default_cast() {
            Some(name) => return check_cast(bundle, name).map(|()| vec![name.to_owned()]),
            None => {
                root.need("cast", "a cast of the scenario: it has none of its own");
                return Ok(Vec::new());
            }
        },
        Some(item) if item.is_list() => item.list().unwrap_or_default(),
        Some(item) => vec![item],
    };
    let have = cast::names(bundle);
    let mut casts: Vec<String> = Vec::new();
    for item in &items {
        let Some(name) = item.text() else { continue };
        if !have.contains(&name) {
            item.fault(format!("the scenario has no cast {name:?}"))
                .help(suggest(&name, have.iter().map(String::as_str)));
        } else if casts.contains(&name) {
            item.fault(format!("the cast {name:?} is named twice"));
        } else {
            check_cast(bundle, &name)?;
            casts.push(name);
        }
    }
    if items.is_empty() {
        root.need("cast", "")
            .map(|item| item.fault("`cast` names nobody").expected("a cast"));
    }
    Ok(casts)
}

fn check_cast(bundle: &Bundle, name: &str) -> Result<(), SweepError> {
    match cast::load(bundle, name) {
        Ok(_) => Ok(()),
        Err(CastError::Broken(list)) => {
            Err(broken_scenario(format!("the cast {name}"), list, bundle))
        }
        Err(source) => Err(SweepError::Cast {
            cell: format!("cast {name}"),
            source,
        }),
    }
}

/// `seeds = [1, 2]` or `seeds = { first = 1, count = 20 }`.
fn seeds(root: &Table<'_>) -> Vec<u64> {
    const EXPECTED: &str = "a list of whole numbers, or { first = 1, count = 20 }";
    let Some(item) = root.need("seeds", EXPECTED) else {
        return Vec::new();
    };
    if item.is_table() {
        let Some(table) = item.table() else {
            return Vec::new();
        };
        let first = table.int_or("first", 0..=1 << 53, 1) as u64;
        let count = table.need("count", "how many seeds");
        let count = count.and_then(|item| item.int(1..=CELLS_MOST as i64));
        return (first..).take(count.unwrap_or(0) as usize).collect();
    }
    if !item.is_list() {
        item.fault("`seeds` is neither a list nor a table")
            .expected(EXPECTED);
        return Vec::new();
    }
    let mut seeds = Vec::new();
    let mut seen = BTreeSet::new();
    let items = item.list().unwrap_or_default();
    for each in &items {
        let Some(seed) = each.int(0..=i64::MAX) else {
            continue;
        };
        match seen.insert(seed) {
            true => seeds.push(seed as u64),
            false => drop(each.fault(format!("the seed {seed} stands here twice"))),
        }
    }
    if items.is_empty() {
        item.fault("`seeds` is empty").expected(EXPECTED);
    }
    seeds
}

/// `[set]`: parameters that all runs have.
fn fixed(table: &Table<'_>, scenario: &Scenario) -> Vec<(String, String)> {
    let entries = table.entries().into_iter();
    entries
        .filter_map(|(name, span, item)| {
            known(table.reader(), scenario, name, span)?;
            let text = scalar(&item)?;
            check(&item, scenario, name, &text).then(|| (name.to_owned(), text))
        })
        .collect()
}

/// `[grid]`: parameters that take each of several values.
fn axes(table: &Table<'_>, scenario: &Scenario, set: &[(String, String)]) -> Vec<Axis> {
    let mut axes = Vec::new();
    for (name, span, item) in table.entries() {
        if known(table.reader(), scenario, name, span.clone()).is_none() {
            continue;
        }
        if set.iter().any(|(fixed, _)| fixed == name) {
            let words =
                format!("`{name}` stands in [set] too: all runs have one value, or each its own");
            table.reader().fault(span, words);
            continue;
        }
        let values = match item.is_table() {
            true => item
                .table()
                .and_then(|range| steps(&item, &range))
                .unwrap_or_default(),
            false => match item.list() {
                Some(list) => listed(&item, &list, scenario, name),
                None => continue,
            },
        };
        if item.is_table() {
            // One fault is enough: a range that leaves what is allowed does so at its ends.
            let _ = values.iter().all(|text| check(&item, scenario, name, text));
        }
        axes.push(Axis {
            name: name.to_owned(),
            values,
        });
    }
    axes
}

fn listed(whole: &Item<'_>, list: &[Item<'_>], scenario: &Scenario, name: &str) -> Vec<String> {
    if list.is_empty() || list.len() > VALUES_MOST {
        whole
            .fault(format!("`{}` has {} values", whole.path(), list.len()))
            .expected(format!("1 to {VALUES_MOST}"));
    }
    let mut values: Vec<String> = Vec::new();
    for item in list {
        let Some(text) = scalar(item) else { continue };
        if values.contains(&text) {
            item.fault(format!("{text:?} stands here twice"));
        } else if check(item, scenario, name, &text) {
            values.push(text);
        }
    }
    values
}

/// The values of `{ from, to, step }`.
fn steps(item: &Item<'_>, table: &Table<'_>) -> Option<Vec<String>> {
    let number = |key| {
        let item = table.need(key, "a range is { from = ..., to = ..., step = ... }");
        item.and_then(|item| item.float(-1e300..=1e300))
    };
    let (from, to, step) = (number("from"), number("to"), number("step"));
    let values = grid::range(from?, to?, step?);
    if values.is_none() {
        item.fault(format!(
            "`{}` is a range that makes no values, or too many",
            item.path()
        ))
        .expected(format!(
            "1 to {VALUES_MOST} values: a step that leads from `from` to `to`"
        ));
    }
    Some(values?.iter().map(f64::to_string).collect())
}

fn known(
    reader: &Reader,
    scenario: &Scenario,
    name: &str,
    span: std::ops::Range<usize>,
) -> Option<()> {
    let docs = scenario.param_docs();
    if docs.iter().any(|doc| doc.name == name) {
        return Some(());
    }
    reader
        .fault(span, format!("the scenario has no parameter `{name}`"))
        .help(suggest(name, docs.iter().map(|doc| doc.name.as_str())));
    None
}

/// A value as it would stand behind `--set NAME=`.
fn scalar(item: &Item<'_>) -> Option<String> {
    if item.is_list() || item.is_table() {
        item.fault(format!("`{}` is no single value", item.path()))
            .expected("a number, true or false, or text");
        return None;
    }
    Some(match item.json()? {
        serde_json::Value::String(text) => text,
        other => other.to_string(),
    })
}

/// Whether a parameter may have this value; says what it may have where the value stands.
fn check(item: &Item<'_>, scenario: &Scenario, name: &str, text: &str) -> bool {
    let Err(faults) = scenario.params(&[(name.to_owned(), text.to_owned())]) else {
        return true;
    };
    // What the scenario lacks with this value alone may be there with the others: `cells` looks at whole sets.
    let Some(fault) = faults.into_iter().find(|fault| fault.file == "--set") else {
        return true;
    };
    let mut shown = item.fault(fault.message);
    if let Some(expected) = fault.expected {
        shown = shown.expected(expected);
    }
    if let Some(help) = fault.help {
        shown.help(help);
    }
    false
}

/// Every run, each set of parameters tried on the scenario and each cast on its seats.
fn cells(wanted: &Wanted, source: &Source, scenario: &Scenario) -> Result<Vec<Cell>, SweepError> {
    let bundle = &source.bundle;
    Prompts::new(bundle)?;
    let mut cells = Vec::new();
    for varied in grid::combinations(&wanted.grid) {
        let set: Vec<(String, String)> = wanted.set.iter().chain(&varied).cloned().collect();
        let words: Vec<String> = set
            .iter()
            .map(|(name, value)| format!("{name} = {value}"))
            .collect();
        let words = match words.is_empty() {
            true => "its own parameters".to_owned(),
            false => words.join(", "),
        };
        let failed = |list| broken_scenario(format!("the scenario with {words}"), list, bundle);
        let params: Params = scenario.params(&set).map_err(failed)?;
        let world = World::new(scenario, &params, 1).map_err(failed)?;
        let seats: Vec<String> = world.seats().iter().map(|seat| seat.name.clone()).collect();
        for cast in &wanted.casts {
            seat(source, cast, &seats).map_err(|source| SweepError::Cast {
                cell: words.clone(),
                source,
            })?;
            let digest = cast::digest(bundle, cast, std::iter::empty());
            cells.extend(wanted.seeds.iter().map(|seed| Cell {
                name: grid::name(cast, &varied, *seed),
                cast: cast.clone(),
                cast_digest: digest.clone(),
                set: set.clone(),
                params: params.clone(),
                seed: *seed,
                ticks: wanted.ticks.unwrap_or(world.time().ticks),
            }));
        }
    }
    Ok(cells)
}

/// Whether a cast seats everybody, with files that are there. Of a shipped scenario there are no files yet.
fn seat(source: &Source, name: &str, seats: &[String]) -> Result<(), CastError> {
    match &source.folder {
        Some(folder) => {
            let cast = cast::load(&source.bundle, name)?;
            cast::seat(&cast, &folder.join("casts"), &[], seats).map(drop)
        }
        None => Ok(()),
    }
}
