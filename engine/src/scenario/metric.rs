//! Reads what is counted: `[[metric]]`, `[score]`, and `[end]`, which asks metrics. It must not know how it is measured.

use super::diagnostic::suggest;
use super::filter::Filter;
use super::map::kind_named;
use super::params::is_name;
use super::reader::{Item, Table};
use super::spec::*;
use crate::mechanic::Mechanics;

/// Reads `[[metric]]`.
pub(super) fn read(root: &Table<'_>, kinds: &[Kind], mechanics: &Mechanics) -> Vec<MetricSpec> {
    let mut metrics: Vec<MetricSpec> = Vec::new();
    for table in root.tables("metric") {
        let name = table.need("name", "a name, a-z first").and_then(|item| {
            let name = item.text()?;
            if !is_name(&name) {
                item.fault(format!("`{name}` cannot name a metric"))
                    .expected("a-z, then a-z, 0-9, _ or -");
            } else if metrics.iter().any(|metric| metric.name == name) {
                item.fault(format!("a second [[metric]] is named `{name}`"));
            }
            Some(name)
        });
        let title = table.get("title").and_then(|item| item.text_of(1..=100));
        let unit = table.text_or("unit", "");
        let run = table
            .get("over")
            .and_then(|item| item.choice(&["tick", "run"]))
            == Some(1);
        let mut sources = Vec::new();
        if let Some(item) = table.get("count") {
            sources.extend(
                item.text()
                    .and_then(|name| kind_named(&item, &name, kinds))
                    .map(Source::Count),
            );
        }
        let filter = Filter::read(&table, mechanics);
        sources.extend(filter.map(|filter| Source::Events { filter, run }));
        let of_item = table.get("of");
        let of = of_item.as_ref().and_then(|item| item.choice(&Of::WORDS));
        let of = Of::ALL[of.unwrap_or(0)];
        match (table.get("report"), &mechanics.report, of_item) {
            (Some(item), Some(config), _) => {
                let found = config.find(&item);
                sources.extend(found.map(|(report, field)| Source::Report { report, field, of }));
            }
            (Some(item), None, _) => {
                item.fault("a metric of a report, and there is none")
                    .help("add [mechanic.report.NAME]");
            }
            (None, _, Some(item)) => {
                item.fault(format!("`{}` without a report", item.path()))
                    .expected("report = \"NAME.FIELD\" beside it");
            }
            (None, _, None) => {}
        }
        for (key, source) in [
            ("sum", Source::Sum),
            ("mean", Source::Mean),
            ("gini", Source::Gini),
        ] {
            if let Some(item) = table.get(key) {
                sources.extend(item.choice(&["score"]).map(|_| source));
            }
        }
        let keys = ["count", "events", "report", "sum", "mean", "gini"];
        let given = keys.iter().filter(|key| table.get(key).is_some()).count();
        if given != 1 {
            let message = if given == 0 {
                "a metric of nothing"
            } else {
                "a metric of several things"
            };
            table
                .reader()
                .fault(table.span(), message)
                .expected(format!("one of {}", keys.join(", ")));
        }
        let (Some(name), Some(source)) = (name, sources.pop()) else {
            continue;
        };
        metrics.push(MetricSpec {
            title: title.unwrap_or_else(|| name.clone()),
            name,
            unit,
            source,
        });
    }
    metrics
}

/// Reads `[score]`, and what events earn.
pub(super) fn read_score(root: &Table<'_>, mechanics: &Mechanics) -> (ScoreSpec, Vec<Earn>) {
    let mut score = ScoreSpec {
        unit: "points".into(),
        best: BEST[0],
    };
    let Some(table) = root.table("score") else {
        return (score, Vec::new());
    };
    score.unit = table.text_or("unit", "points");
    if let Some(index) = table.get("best").and_then(|item| item.choice(&BEST)) {
        score.best = BEST[index];
    }
    let earn = |table: &Table<'_>| {
        let points = table.float_or("points", -1e9..=1e9, 1.0);
        if table.get("events").is_none() {
            table
                .reader()
                .fault(table.span(), "points for nothing")
                .expected("events = \"NAME\"");
        }
        let filter = Filter::read(table, mechanics)?;
        Some(Earn { filter, points })
    };
    let earn = table.tables("earn").iter().filter_map(earn).collect();
    (score, earn)
}

/// Reads `[end]`.
pub(super) fn read_end(root: &Table<'_>, metrics: &[MetricSpec]) -> Vec<EndWhen> {
    let Some(table) = root.table("end") else {
        return Vec::new();
    };
    let Some(items) = table.get("when").and_then(|item| item.list()) else {
        return Vec::new();
    };
    let limit = -1e300..=1e300;
    let read = |item: &Item<'_>| {
        let table = item.table()?;
        let below = table
            .get("below")
            .and_then(|item| item.float(limit.clone()));
        let above = table
            .get("above")
            .and_then(|item| item.float(limit.clone()));
        if table.get("below").is_none() && table.get("above").is_none() {
            item.fault("this never ends anything")
                .expected("below or above");
        }
        let item = table.need("metric", "the name of a [[metric]]")?;
        let name = item.text()?;
        let metric = metrics.iter().position(|metric| metric.name == name);
        if metric.is_none() {
            item.fault(format!("there is no metric `{name}`"))
                .help(suggest(
                    &name,
                    metrics.iter().map(|metric| metric.name.as_str()),
                ));
        }
        Some(EndWhen {
            metric: metric?,
            below,
            above,
        })
    };
    items.iter().filter_map(read).collect()
}

#[cfg(test)]
mod tests {
    use crate::fixture::{WORKSHOP, bundle};
    use crate::scenario::Scenario;
    use expect_test::expect;

    #[test]
    fn what_cannot_be_told_apart() {
        let check = |from: &str, to: &str| {
            assert!(WORKSHOP.contains(from), "{from}");
            match Scenario::load(&bundle(&WORKSHOP.replacen(from, to, 1), "")) {
                Ok(_) => "no fault\n".into(),
                Err(faults) => faults.iter().map(|f| format!("{f}\n")).collect::<String>(),
            }
        };
        let told = [
            check(
                "where = { code = \"conflict\" }",
                "where = { cod = \"conflict\" }",
            ),
            check("where = { code = \"conflict\" }", "where = { code = 1 }"),
            check("where = { code = \"conflict\" }", "where = \"conflict\""),
            check("version = 1 }", "version = \"1\" }"),
            check(
                "version = 1 }\nover = \"run\"",
                "version = \"$one\" }\n[params.one]\ntype = \"int\"\ndefault = 1\ndoc = \"one\"",
            ),
            check(
                "where = { merged = true }\nover",
                "where = { merged = \"yes\", token = 1 }\nover",
            ),
            check(
                "events = \"file.refused\"\nwhere = { code = \"conflict\" }",
                "events = \"harvest.ate\"\nwhere = { reward = 1.0 }",
            ),
            check(
                "events = \"file.refused\"\nwhere = { code",
                "gini = \"score\"\nwhere = { code",
            ),
            check("events = \"report.made\"\n", ""),
            check("broken = 0 }", "brokn = 0 }"),
            check("points = 3", "points = inf"),
        ];
        expect![[r#"
            scenario.toml:50:11: event file.refused has no field `cod`; did you mean `code`?
            --
            scenario.toml:50:18: `metric[3].where.code` is a whole number (expected text)
            --
            scenario.toml:50:9: `metric[3].where` is text (expected a table)
            --
            scenario.toml:55:44: `metric[4].where.version` is text (expected a whole number)
            --
            no fault
            --
            scenario.toml:45:20: `metric[2].where.merged` is text (expected true or false)
            scenario.toml:45:27: event file.published has no field `token`; known: text, version, change, merged
            --
            scenario.toml:50:20: `metric[3].where.reward` is about a number with a fraction; only texts, true or false, and whole numbers are told apart
            --
            scenario.toml:50:9: `metric[3].where` without events (expected events = "NAME" beside it)
            --
            scenario.toml:31:1: points for nothing (expected events = "NAME")
            scenario.toml:32:9: `score.earn[2].where` without events (expected events = "NAME" beside it)
            --
            scenario.toml:33:27: event report.made has no field `brokn`; did you mean `broken`?
            --
            scenario.toml:34:10: `score.earn[2].points` is inf (expected a number from -1000000000 to 1000000000)
        "#]].assert_eq(&told.join("--\n"));
    }
}
