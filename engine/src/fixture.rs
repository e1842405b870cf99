//! Three small scenarios for the tests of this crate: one on a map, one without a place, one of files and reports.

use crate::scenario::{Bundle, Scenario};

pub(crate) const COMMONS: &str = r##"
format = 1
name = "commons"
title = "A small commons"
[time]
ticks = 1000
on_late = "repeat"
[params.seats]
type = "int"
default = 4
min = 1
max = 12
doc = "How many"
[space]
kind = "grid"
map = "map.txt"
[space.legend]
"." = { spawn = "ground" }
"A" = "apple"
"#" = "wall"
[kind.apple]
glyph = "A"
[kind.wall]
glyph = "#"
solid = true
opaque = true
[[seat]]
name = "ant"
count = "$seats"
spawn = "ground"
[mechanic.movement]
[mechanic.harvest]
kind = "apple"
regrow = [0.01, 0.05, 0.1, 0.2]
[mechanic.sanction]
timeout = 5
cooldown = 1
width = 3
penalty = 0.5
[mechanic.speech]
radius = 3
[observation]
radius = 2
line_of_sight = true
[limits]
actions = 2
[[metric]]
name = "apples"
count = "apple"
[[metric]]
name = "eaten"
events = "harvest.ate"
over = "run"
"##;

pub(crate) const MAP: &str = "..A..A.\n.AAA...\n..A#.A.\n...#AAA\nA....A.\n";

pub(crate) const AXELROD: &str = r#"
format = 1
name = "axelrod"
title = "A small tournament"
[space]
kind = "none"
[mechanic.matrix]
actions = ["cooperate", "defect"]
payoff = [[3, 0], [5, 1]]
rounds = 4
[mechanic.speech]
[[seat]]
name = "one"
[[seat]]
name = "two"
[[seat]]
name = "three"
[[metric]]
name = "points"
sum = "score"
"#;

pub(crate) const WORKSHOP: &str = r#"
format = 1
name = "workshop"
title = "A small workshop"
[mechanic.speech]
[mechanic.report.build]
doc = "What the build said."
seats = ["binder"]
[mechanic.report.build.fields]
links = { max = 100, doc = "Links of the contents" }
broken = { max = 100 }
[mechanic.report.mood.fields]
joy = { min = -5, max = 5 }
[[seat]]
name = "writer"
count = 3
[[seat]]
name = "binder"
[files]
[limits]
actions = 2
[score]
unit = "versions"
[[score.earn]]
events = "file.published"
where = { merged = false }
[[score.earn]]
events = "file.published"
where = { merged = true }
points = 0.5
[[score.earn]]
events = "report.made"
where = { text = "build", broken = 0 }
points = 3
[[metric]]
name = "broken"
report = "build.broken"
[[metric]]
name = "joy"
report = "mood.joy"
of = "mean"
[[metric]]
name = "merges"
events = "file.published"
where = { merged = true }
over = "run"
[[metric]]
name = "conflicts"
events = "file.refused"
where = { code = "conflict" }
over = "run"
[[metric]]
name = "chapters"
events = "file.published"
where = { text = "chapter-1.md", version = 1 }
over = "run"
"#;

pub(crate) fn bundle(toml: &str, map: &str) -> Bundle {
    let mut bundle = Bundle::new();
    bundle.insert("scenario.toml", toml.as_bytes());
    bundle.insert("map.txt", map.as_bytes());
    bundle
}

pub(crate) fn load(toml: &str, map: &str) -> Scenario {
    Scenario::load(&bundle(toml, map)).unwrap_or_else(|faults| {
        let faults: Vec<String> = faults.iter().map(ToString::to_string).collect();
        panic!("{}", faults.join("\n"))
    })
}

pub(crate) fn commons() -> Scenario {
    load(COMMONS, MAP)
}

pub(crate) fn axelrod() -> Scenario {
    load(AXELROD, "")
}

pub(crate) fn workshop() -> Scenario {
    load(WORKSHOP, "")
}
