//! Reports: what a seat has measured outside the world, told to it as numbers. It must not know what they mean, and
//! believes every word: they are as true as the seat that makes them.
//!
//! The last report of each seat is kept; metrics are made of them, and every seat is shown the latest.

use super::order::{Clock, Orders, Outbox, Rules, by};
use crate::action::{ActionSpec, Arg, ParamKind, ParamSpec};
use crate::component::Bodies;
use crate::event::{Code, Event};
use crate::id::{ActionId, SeatId};
use crate::scenario::reader::{Item, Table};
use crate::scenario::{Of, is_name};
use crate::value::Value;
use crate::world::SeatInfo;
use bevy_ecs::prelude::{Component, Query, Res, ResMut, World as EcsWorld};
use serde::{Deserialize, Serialize};
use std::borrow::Cow;
use std::fmt::Write;
use std::ops::Range;

/// The most reports of a scenario, and fields of one.
const MOST: usize = 16;
/// Numbers stay exact in metrics, which are floating-point.
const LARGEST: i64 = 1 << 53;
/// What the actions' names begin with.
pub(crate) const PREFIX: &str = "report_";

/// `[mechanic.report]`: the reports in the file's order.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) reports: Vec<Report>,
}

/// `[mechanic.report.NAME]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Report {
    pub(crate) name: String,
    doc: String,
    /// Groups whose seats may make it; empty for all.
    groups: Vec<String>,
    pub(crate) fields: Vec<Field>,
    /// Where the groups stand, for a fault about them.
    groups_at: Range<usize>,
}

/// One number of a report.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Field {
    pub(crate) name: String,
    doc: String,
    min: i64,
    max: i64,
}

impl Config {
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let mut reports = Vec::new();
        for (name, span, item) in table.entries() {
            if !is_word(name) {
                table
                    .reader()
                    .fault(span, format!("`{name}` cannot name a report"))
                    .expected("a-z, then a-z, 0-9 or _: the action is report_NAME");
            }
            reports.extend(item.table().and_then(|table| Report::read(name, &table)));
        }
        if !(1..=MOST).contains(&table.entries().len()) {
            table
                .reader()
                .fault(
                    table.span(),
                    format!("[{}] has {} reports", table.path(), reports.len()),
                )
                .expected(format!("1 to {MOST}, each a table [{}.NAME]", table.path()));
            return None;
        }
        Some(Self { reports })
    }

    /// Groups can only be looked up once the seats are read.
    pub(crate) fn check_groups(&self, reader: &crate::scenario::reader::Reader, known: &[&str]) {
        for report in &self.reports {
            for name in report
                .groups
                .iter()
                .filter(|name| !known.contains(&name.as_str()))
            {
                reader
                    .fault(
                        report.groups_at.clone(),
                        format!("there is no [[seat]] `{name}`"),
                    )
                    .help(crate::scenario::suggest(name, known.iter().copied()));
            }
        }
    }

    pub(crate) fn actions(&self) -> Vec<ActionSpec> {
        self.reports.iter().map(Report::action).collect()
    }

    pub(crate) fn rules(&self) -> String {
        let mut text = String::from(
            "Reports tell the world what was measured; all are shown the latest of each kind, and it is only as true as who \
             makes it.",
        );
        for report in &self.reports {
            let fields: Vec<&str> = report.fields.iter().map(|f| f.name.as_str()).collect();
            let _ = write!(text, " {PREFIX}{} ({})", report.name, fields.join(", "));
            if let Some(makers) = report.makers() {
                text += &format!(", {makers}");
            }
            text += if report.doc.is_empty() { "." } else { ": " };
            text += &report.doc;
        }
        text
    }

    /// Number of a report and of its field, by `NAME.FIELD`; a fault that says what there is if there is none.
    pub(crate) fn find(&self, item: &Item<'_>) -> Option<(usize, usize)> {
        let text = item.text()?;
        let all = || {
            self.reports.iter().enumerate().flat_map(|(r, report)| {
                let field = move |(f, field): (usize, &Field)| {
                    (format!("{}.{}", report.name, field.name), (r, f))
                };
                report.fields.iter().enumerate().map(field)
            })
        };
        let found = all().find(|(name, _)| *name == text);
        if found.is_none() {
            let names: Vec<String> = all().map(|(name, _)| name).collect();
            item.fault(format!("no report has `{text}`"))
                .help(crate::scenario::suggest(
                    &text,
                    names.iter().map(String::as_str),
                ));
        }
        found.map(|(_, place)| place)
    }
}

impl Report {
    fn read(name: &str, table: &Table<'_>) -> Option<Self> {
        let doc = table.get("doc").and_then(|item| item.text_of(1..=500));
        let seats = table.get("seats");
        let groups_at = seats.as_ref().map_or(0..0, Item::span);
        let groups = seats.and_then(|item| item.texts()).unwrap_or_default();
        let fields_item = table.need("fields", "a table: a name for each number")?;
        let fields_table = fields_item.table()?;
        let mut fields = Vec::new();
        for (name, span, item) in fields_table.entries() {
            if !is_word(name) || name == "text" {
                table
                    .reader()
                    .fault(span, format!("`{name}` cannot name a number of a report"))
                    .expected("a-z, then a-z, 0-9 or _, and not text");
            }
            let Some(table) = item.table() else { continue };
            let min = table.int_or("min", -LARGEST..=LARGEST, 0);
            let max = table.int_or("max", -LARGEST..=LARGEST, LARGEST);
            if min > max {
                item.fault(format!("`{}` allows nothing", item.path()))
                    .help("min is above max");
            }
            fields.push(Field {
                name: name.to_owned(),
                doc: table.text_or("doc", ""),
                min,
                max,
            });
        }
        if !(1..=MOST).contains(&fields.len()) {
            fields_item
                .fault(format!(
                    "`{}` has {} numbers",
                    fields_item.path(),
                    fields.len()
                ))
                .expected(format!("1 to {MOST}"));
        }
        Some(Self {
            name: name.to_owned(),
            doc: doc.unwrap_or_default(),
            groups,
            fields,
            groups_at,
        })
    }

    fn action(&self) -> ActionSpec {
        let param = |field: &Field| ParamSpec {
            name: field.name.clone(),
            doc: field.doc.clone(),
            kind: ParamKind::Int {
                min: field.min,
                max: field.max,
            },
            required: true,
        };
        let mut description = match self.makers() {
            Some(makers) => format!("Report what you measured; {makers}."),
            None => "Report what you measured.".to_owned(),
        };
        if !self.doc.is_empty() {
            description = format!("{description} {}", self.doc);
        }
        ActionSpec {
            id: ActionId(0),
            name: format!("{PREFIX}{}", self.name),
            description,
            params: self.fields.iter().map(param).collect(),
            speech: false,
        }
    }

    /// Who may make it, in words; none if all may.
    fn makers(&self) -> Option<String> {
        let groups = self.groups.join(" and ");
        (!groups.is_empty()).then(|| format!("made by {groups} alone"))
    }

    fn fits(&self, values: &[i64]) -> bool {
        values.len() == self.fields.len()
            && values
                .iter()
                .zip(&self.fields)
                .all(|(value, field)| (field.min..=field.max).contains(value))
    }
}

fn is_word(name: &str) -> bool {
    is_name(name) && !name.contains('-')
}

/// The last reports of a seat, one place for each of the scenario's.
#[derive(Component, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Reports(Vec<Option<Made>>);

/// A report that was made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Made {
    /// The tick that the step made in which it was told.
    tick: u64,
    /// A number for each field.
    values: Vec<i64>,
}

impl Reports {
    pub(crate) fn new(config: &Config) -> Self {
        Self(vec![None; config.reports.len()])
    }

    /// What every step keeps true.
    pub(crate) fn holds(&self, config: &Config, now: u64) -> bool {
        self.0.len() == config.reports.len()
            && self.0.iter().zip(&config.reports).all(|(made, report)| {
                made.as_ref()
                    .is_none_or(|made| made.tick <= now && report.fits(&made.values))
            })
    }
}

/// Keeps the reports of this step.
pub(crate) fn take(
    rules: Res<Rules>,
    clock: Res<Clock>,
    bodies: Res<Bodies>,
    orders: Res<Orders>,
    mut out: ResMut<Outbox<by::Report>>,
    mut kept: Query<&mut Reports>,
) {
    let (Some(config), Some(first)) = (&rules.spec.mechanics.report, rules.ids.report) else {
        return;
    };
    for (number, report) in config.reports.iter().enumerate() {
        let action = ActionId(first.0 + number as u16);
        for (index, order) in orders.of(Some(action)) {
            let group = rules.spec.group_of(order.seat);
            if let Some(makers) = report.makers()
                && !group.is_some_and(|name| report.groups.contains(name))
            {
                let reason = format!("{PREFIX}{} is {makers}", report.name);
                out.refuse(index, Code::NotAllowed, reason);
                continue;
            }
            let values: Vec<i64> = (0..report.fields.len())
                .filter_map(|field| match order.arg(field) {
                    Arg::Int(value) => Some(*value),
                    _ => None,
                })
                .collect();
            let Ok(mut kept) = kept.get_mut(bodies.0[order.seat.index()]) else {
                continue;
            };
            let mut event = Event::new("report.made").seat(order.seat);
            event.text = Some(report.name.clone());
            for (field, value) in report.fields.iter().zip(&values) {
                event = event.field(field.name.clone(), *value);
            }
            out.events.push(event);
            kept.0[number] = Some(Made {
                tick: clock.0,
                values,
            });
        }
    }
}

/// The reports of one kind that are kept, by seat.
fn all(ecs: &EcsWorld, report: usize) -> impl Iterator<Item = (SeatId, &Made)> {
    let bodies = &ecs.resource::<Bodies>().0;
    bodies.iter().enumerate().filter_map(move |(index, body)| {
        let made = ecs.get::<Reports>(*body)?.0.get(report)?.as_ref()?;
        Some((SeatId(index as u32), made))
    })
}

/// The latest report of a kind; of two in one tick that of the higher seat.
fn latest(ecs: &EcsWorld, report: usize) -> Option<(SeatId, &Made)> {
    all(ecs, report).max_by_key(|(seat, made)| (made.tick, *seat))
}

/// A number about the last reports of all seats; 0 before the first.
pub(crate) fn measure(ecs: &EcsWorld, report: usize, field: usize, of: Of) -> f64 {
    let values = || all(ecs, report).map(|(_, made)| made.values[field] as f64);
    let count = values().count().max(1) as f64;
    match of {
        Of::Last => latest(ecs, report).map_or(0.0, |(_, made)| made.values[field] as f64),
        Of::Sum => values().sum(),
        Of::Mean => values().sum::<f64>() / count,
        Of::Lowest => values().reduce(f64::min).unwrap_or(0.0),
        Of::Highest => values().reduce(f64::max).unwrap_or(0.0),
    }
}

/// The latest report of each kind, as data and in words.
pub(crate) fn tell(ecs: &EcsWorld, seats: &[SeatInfo], text: &mut String) -> Option<Value> {
    let config = ecs.resource::<Rules>().spec.mechanics.report.as_ref()?;
    let mut entries = Vec::new();
    for (number, report) in config.reports.iter().enumerate() {
        let Some((seat, made)) = latest(ecs, number) else {
            let _ = writeln!(text, "Report {}: none yet.", report.name);
            continue;
        };
        let name = &seats[seat.index()].name;
        let _ = write!(
            text,
            "Report {} by {name} in tick {}:",
            report.name, made.tick
        );
        let mut values = Vec::with_capacity(report.fields.len());
        for (index, (field, value)) in report.fields.iter().zip(&made.values).enumerate() {
            let comma = if index == 0 { "" } else { "," };
            let _ = write!(text, "{comma} {} {value}", field.name);
            values.push((Cow::Owned(field.name.clone()), Value::Int(*value)));
        }
        text.push_str(".\n");
        let entry = vec![
            (Cow::Borrowed("seat"), Value::from(name.clone())),
            (Cow::Borrowed("tick"), Value::Int(made.tick as i64)),
            (Cow::Borrowed("values"), Value::Map(values)),
        ];
        entries.push((Cow::Owned(report.name.clone()), Value::Map(entry)));
    }
    Some(Value::Map(entries))
}

#[cfg(test)]
mod tests {
    use crate::scenario::Scenario;
    use crate::{
        ActionCall, ActionId, Arg, InputBody, SeatId, SeatInput, TickInput, World, fixture,
    };
    use expect_test::expect;

    fn act(seat: u32, calls: &[(u16, &[i64])]) -> SeatInput {
        let call = |(id, values): &(u16, &[i64])| {
            let args = values.iter().map(|value| Arg::Int(*value)).collect();
            ActionCall::new(ActionId(*id), args)
        };
        SeatInput {
            seat: SeatId(seat),
            seq: 0,
            body: InputBody::Act(calls.iter().map(call).collect()),
        }
    }

    #[test]
    fn reports_are_kept_shown_measured_and_earn() {
        let scenario = fixture::workshop();
        let params = scenario.params(&[]).unwrap();
        let names: Vec<String> = scenario
            .catalogue(&params)
            .into_iter()
            .map(|spec| spec.name)
            .collect();
        assert_eq!(names, ["wait", "say", "report_build", "report_mood"]);
        let mut world = World::new(&scenario, &params, 1).unwrap();
        let mut story = world.observe(SeatId(3)).text;
        for seats in [
            vec![act(0, &[(2, &[1, 1]), (3, &[5])]), act(3, &[(2, &[7, 2])])],
            vec![
                act(1, &[(3, &[6])]),
                act(2, &[(3, &[-2])]),
                act(3, &[(2, &[8, 0])]),
            ],
        ] {
            let output = world.step(&TickInput {
                tick: 0,
                seats,
                set: Vec::new(),
            });
            for event in &output.events {
                story += &format!("{}\n", serde_json::to_string(event).unwrap());
            }
            for refused in &output.rejections {
                story += &format!("{} {}: {}\n", refused.seat.0, refused.code, refused.reason);
            }
            story += &format!("{:?} {:?}\n", output.metrics, output.scores);
        }
        story += &world.observe(SeatId(0)).text;
        let shown = world.observe(SeatId(0)).state;
        story += &serde_json::to_string(shown.get("reports").unwrap()).unwrap();
        expect![[r#"
            Tick 0. You are binder. Score 0.
            Report build: none yet.
            Report mood: none yet.
            {"name":"report.made","seat":3,"other":null,"at":null,"text":"build","fields":{"links":7,"broken":2}}
            {"name":"report.made","seat":0,"other":null,"at":null,"text":"mood","fields":{"joy":5}}
            0 not-allowed: report_build is made by binder alone
            [2.0, 5.0, 0.0, 0.0, 0.0] [0.0, 0.0, 0.0, 0.0]
            {"name":"report.made","seat":3,"other":null,"at":null,"text":"build","fields":{"links":8,"broken":0}}
            {"name":"report.made","seat":2,"other":null,"at":null,"text":"mood","fields":{"joy":-2}}
            1 bad-argument: joy: must be -5 to 5, got 6
            [0.0, 1.5, 0.0, 0.0, 0.0] [0.0, 0.0, 0.0, 3.0]
            Tick 2. You are writer-1. Score 0.
            Report build by binder in tick 2: links 8, broken 0.
            Report mood by writer-3 in tick 2: joy -2.
            {"build":{"seat":"binder","tick":2,"values":{"links":8,"broken":0}},"mood":{"seat":"writer-3","tick":2,"values":{"joy":-2}}}"#]].assert_eq(&story);
    }

    #[test]
    fn the_rules_say_who_reports_what() {
        let scenario = fixture::workshop();
        let rules = scenario.rules_text(&scenario.params(&[]).unwrap());
        expect![[r#"
            Your score counts versions; the highest is best. Each of your events file.published with merged false gives 1. Each of your events file.published with merged true gives 0.5. Each of your events report.made with text build and broken 0 gives 3.
            This world has no places.
            You may speak: everyone hears it with the next observation. A whisper reaches one seat.
            Reports tell the world what was measured; all are shown the latest of each kind, and it is only as true as who makes it. report_build (links, broken), made by binder alone: What the build said. report_mood (joy).
            All share a tree of files. The folder shared in your working folder is your own copy of it: edit it with any tool. What you changed there is published when you act, and what others published then appears in yours. Two who changed the same lines collide: the later one is refused, keeps what it wrote, and tries again on the newer version. A lease on a path keeps it for you alone, for at most 60 s.
        "#]].assert_eq(&rules);
    }

    #[test]
    fn faults() {
        let check = |from: &str, to: &str| {
            assert!(fixture::WORKSHOP.contains(from), "{from}");
            let toml = fixture::WORKSHOP.replacen(from, to, 1);
            match Scenario::load(&fixture::bundle(&toml, "")) {
                Ok(_) => "no fault\n".into(),
                Err(faults) => faults.iter().map(|f| format!("{f}\n")).collect::<String>(),
            }
        };
        let told = [
            check("seats = [\"binder\"]", "seats = [\"bindr\"]"),
            check(
                "[mechanic.report.mood.fields]",
                "[mechanic.report.my-mood.fields]",
            ),
            check("joy = { min", "text = { min"),
            check("min = -5, max = 5", "min = 6, max = 5"),
            check("links = {", "\"no-links\" = { kind = 1, "),
            check("report = \"build.broken\"", "report = \"build.brokn\""),
            check("of = \"mean\"", "of = \"meen\""),
            check("report = \"mood.joy\"", "sum = \"score\""),
            check(
                "[mechanic.report.build]\ndoc = \"What the build said.\"\nseats = [\"binder\"]\n[mechanic.report.build.fields]\nlinks = { max = 100, doc = \"Links of the contents\" }\nbroken = { max = 100 }\n[mechanic.report.mood.fields]\njoy = { min = -5, max = 5 }\n",
                "",
            ),
            check(
                "[mechanic.report.mood.fields]\njoy = { min = -5, max = 5 }",
                "[mechanic.report.mood]",
            ),
        ];
        expect![[r#"
            scenario.toml:8:9: there is no [[seat]] `bindr`; did you mean `binder`?
            --
            scenario.toml:12:18: `my-mood` cannot name a report (expected a-z, then a-z, 0-9 or _: the action is report_NAME)
            scenario.toml:40:10: no report has `mood.joy`; did you mean `my-mood.joy`?
            --
            scenario.toml:13:1: `text` cannot name a number of a report (expected a-z, then a-z, 0-9 or _, and not text)
            scenario.toml:40:10: no report has `mood.joy`; known: build.links, build.broken, mood.text
            --
            scenario.toml:13:7: `mechanic.report.mood.fields.joy` allows nothing; min is above max
            --
            scenario.toml:10:1: `no-links` cannot name a number of a report (expected a-z, then a-z, 0-9 or _, and not text)
            scenario.toml:10:16: unknown key `kind` in [mechanic.report.build.fields.no-links]; did you mean `min`?
            --
            scenario.toml:37:10: no report has `build.brokn`; did you mean `build.broken`?
            --
            scenario.toml:41:6: `metric[1].of` is "meen" (expected one of last, sum, mean, lowest, highest); did you mean `mean`?
            --
            scenario.toml:41:6: `metric[1].of` without a report (expected report = "NAME.FIELD" beside it)
            --
            scenario.toml:25:27: event report.made has no field `broken`; known: text
            scenario.toml:29:10: a metric of a report, and there is none; add [mechanic.report.NAME]
            scenario.toml:32:10: a metric of a report, and there is none; add [mechanic.report.NAME]
            --
            scenario.toml:12:1: `fields` is missing in [mechanic.report.mood] (expected a table: a name for each number)
            scenario.toml:39:10: no report has `mood.joy`; known: build.links, build.broken
        "#]].assert_eq(&told.join("--\n"));
    }
}
