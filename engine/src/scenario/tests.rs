//! Broken scenarios and what is said about them: all faults in one go, each with its place and what to do.

use super::*;
use crate::fixture::{AXELROD, COMMONS, MAP, bundle};
use expect_test::{Expect, expect};

fn faults(toml: &str, map: &str) -> String {
    match Scenario::load(&bundle(toml, map)) {
        Ok(_) => "no fault\n".into(),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    }
}

/// Replaces `from`, which has to be there, in the small commons.
fn check(from: &str, to: &str, expected: Expect) {
    assert!(COMMONS.contains(from), "{from}");
    expected.assert_eq(&faults(&COMMONS.replacen(from, to, 1), MAP));
}

fn check_map(map: &str, expected: Expect) {
    expected.assert_eq(&faults(COMMONS, map));
}

fn check_matrix(from: &str, to: &str, expected: Expect) {
    assert!(AXELROD.contains(from), "{from}");
    expected.assert_eq(&faults(&AXELROD.replacen(from, to, 1), ""));
}

#[test]
fn whole() {
    assert_eq!(faults(COMMONS, MAP), "no fault\n");
    assert_eq!(faults(AXELROD, ""), "no fault\n");
}

#[test]
fn file() {
    expect![[r#"
        scenario.toml:1:1: the scenario has no scenario.toml; name a folder that holds one
    "#]]
    .assert_eq(
        &Scenario::load(&Bundle::new())
            .unwrap_err()
            .iter()
            .map(|fault| format!("{fault}\n"))
            .collect::<String>(),
    );
    expect![[r#"
        scenario.toml:2:10: invalid basic string, expected `"`
        scenario.toml:3:8: unclosed array, expected `]`
    "#]]
    .assert_eq(&faults("format = 1\nname = \"x\nb = [1,\n", ""));
    expect![[r#"
        scenario.toml:1:1: `format` is missing in the file (expected format = 1, first in the file)
        scenario.toml:1:1: `name` is missing in the file (expected the scenario's name)
        scenario.toml:1:1: `title` is missing in the file (expected a short title)
    "#]]
    .assert_eq(&faults("", ""));
    expect![[r#"
        scenario.toml:1:10: `format` is 2 (expected 1)
        scenario.toml:2:8: `X y` cannot name a scenario (expected a-z, then a-z, 0-9, _ or -)
        scenario.toml:3:9: `title` is a whole number (expected text)
    "#]]
    .assert_eq(&faults("format = 2\nname = \"X y\"\ntitle = 3\n", ""));
    let mut latin = bundle("", "");
    latin.insert("scenario.toml", *b"name = \"\xff\"");
    expect!["scenario.toml:1:1: not UTF-8 from byte 8"]
        .assert_eq(&Scenario::load(&latin).unwrap_err()[0].to_string());
    check(
        "format = 1\n",
        "format = 99999999999999999999\n",
        expect![[r#"
        scenario.toml:2:10: a whole number must fit in 64 bits
    "#]],
    );
}

#[test]
fn keys_and_types() {
    check(
        "title =",
        "titel =",
        expect![[r#"
        scenario.toml:1:1: `title` is missing in the file (expected a short title)
        scenario.toml:4:1: unknown key `titel`; did you mean `title`?
    "#]],
    );
    check(
        "[mechanic.harvest]",
        "[mechanic.havest]",
        expect![[r#"
        scenario.toml:32:11: unknown key `havest` in [mechanic]; did you mean `harvest`?
    "#]],
    );
    check(
        "cooldown = 1",
        "cool_down = 1\nfoo = 2",
        expect![[r#"
        scenario.toml:37:1: unknown key `cool_down` in [mechanic.sanction]; did you mean `cooldown`?
        scenario.toml:38:1: unknown key `foo` in [mechanic.sanction]; known: width, length, timeout, cooldown, penalty, cost
    "#]],
    );
    check(
        "ticks = 1000",
        "ticks = \"many\"\nhz = inf\ndeadline_ms = 0\nabsent_after = 1.5",
        expect![[r#"
        scenario.toml:6:9: `time.ticks` is text (expected a whole number from 0 to 1099511627776)
        scenario.toml:7:6: `time.hz` is inf (expected a number from 0.001 to 1000)
        scenario.toml:8:15: `time.deadline_ms` is 0 (expected a whole number from 1 to 86400000)
        scenario.toml:9:16: `time.absent_after` is a number (expected a whole number from 1 to 1000000)
    "#]],
    );
    check(
        "on_late = \"repeat\"",
        "on_late = \"repet\"",
        expect![[r#"
        scenario.toml:7:11: `time.on_late` is "repet" (expected noop, repeat, or an action of this scenario that needs no arguments); did you mean `repeat`?
    "#]],
    );
    check(
        "on_late = \"repeat\"",
        "on_late = \"move\"",
        expect![[r#"
        scenario.toml:7:11: `time.on_late` is "move" (expected noop, repeat, or an action of this scenario that needs no arguments); known: noop, repeat
    "#]],
    );
    check(
        "radius = 2",
        "radius = -1\ntell = [\"view\", \"scors\"]",
        expect![[r#"
        scenario.toml:43:10: `observation.radius` is -1 (expected a whole number from 0 to 50)
        scenario.toml:44:17: `observation.tell[1]` is "scors" (expected one of view, near, time, scores); did you mean `scores`?
    "#]],
    );
    check(
        "actions = 2",
        "actions = 0\nspeech = 100",
        expect![[r#"
        scenario.toml:46:11: `limits.actions` is 0 (expected a whole number from 1 to 16)
        scenario.toml:47:10: `limits.speech` is 100 (expected a whole number from 0 to 16)
    "#]],
    );
}

#[test]
fn params() {
    check(
        "count = \"$seats\"",
        "count = \"$seat\"",
        expect![[r#"
        scenario.toml:29:9: there is no parameter `seat`; did you mean `seats`?
    "#]],
    );
    check(
        "default = 4",
        "default = 40",
        expect![[r#"
        scenario.toml:10:11: `params.seats.default` is 40 (expected a whole number from 1 to 12)
        scenario.toml:30:9: 40 seats, but the map has room for 21 here; lower the count or give the map more cells of this spawn
    "#]],
    );
    check(
        "type = \"int\"",
        "type = \"integer\"",
        expect![[r#"
            scenario.toml:9:8: `params.seats.type` is "integer" (expected one of int, float, bool, text, choice)
            scenario.toml:29:9: there is no parameter `seats`; there is none
        "#]],
    );
    check(
        "doc = \"How many\"",
        "",
        expect![[r#"
        scenario.toml:8:1: `doc` is missing in [params.seats] (expected one sentence that says what it does)
    "#]],
    );
    check(
        "default = 4",
        "default = \"four\"",
        expect![[r#"
            scenario.toml:10:11: `params.seats.default` is text (expected a whole number)
            scenario.toml:29:9: there is no parameter `seats`; there is none
        "#]],
    );
    let scenario = crate::fixture::commons();
    let set = |name: &str, value: &str| match scenario.params(&[(name.into(), value.into())]) {
        Ok(params) => format!("{:?}\n", params.get(name)),
        Err(faults) => faults.iter().map(|fault| format!("{fault}\n")).collect(),
    };
    let told = [
        set("seats", "7"),
        set("seats", "13"),
        set("seats", "x"),
        set("seat", "7"),
    ]
    .concat();
    expect![[r#"
        Some(Int(7))
        --set:1:1: parameter `seats` is "13" (expected a whole number from 1 to 12)
        --set:1:1: parameter `seats` is "x" (expected a whole number from 1 to 12)
        --set:1:1: there is no parameter `seat`; did you mean `seats`?
    "#]]
    .assert_eq(&told);
    let crowded = crate::fixture::load(&COMMONS.replace("max = 12", "max = 500"), MAP);
    expect!["scenario.toml:30:9: 100 seats, but the map has room for 21 here; lower the count or give the map more cells of this spawn"].assert_eq(&crowded.params(&[("seats".into(), "100".into())]).unwrap_err()[0].to_string());
}

#[test]
fn space() {
    check(
        "map = \"map.txt\"",
        "map = \"mop.txt\"",
        expect![[r#"
        scenario.toml:16:7: the map `mop.txt` is not in the scenario's folder; did you mean `map.txt`?
    "#]],
    );
    check(
        "kind = \"grid\"\n",
        "kind = \"hex\"\n",
        expect![[r#"
            scenario.toml:15:8: `space.kind` is "hex" (expected one of grid, none)
        "#]],
    );
    check(
        "kind = \"grid\"\n",
        "kind = \"grid\"\nedges = \"tours\"\nneighbours = 6\n",
        expect![[r#"
        scenario.toml:16:9: `space.edges` is "tours" (expected one of bounded, torus); did you mean `torus`?
        scenario.toml:17:14: `space.neighbours` is 6 (expected 4 or 8)
    "#]],
    );
    check(
        "\"A\" = \"apple\"",
        "\"A\" = \"aple\"\n\"AB\" = \"\"",
        expect![[r#"
        scenario.toml:19:7: there is no kind `aple`; did you mean `apple`?
        scenario.toml:20:1: `AB` is no glyph (expected one character as the key)
    "#]],
    );
    check(
        "\"#\" = \"wall\"\n",
        "",
        expect![[r##"
        map.txt:3:4: glyph `#` has no legend; add "#" to [space.legend]
    "##]],
    );
    check_map(
        "..A\n....\n.x.\n",
        expect![[r#"
        map.txt:2:1: this row has 4 columns, the first has 3; fill it up to a rectangle
        map.txt:3:2: glyph `x` has no legend; add "x" to [space.legend]
    "#]],
    );
    check_map(
        "",
        expect![[r#"
        map.txt:1:1: the map has 0 columns and 1 rows (expected 1 to 2000 of each)
    "#]],
    );
    check_map(
        "#A\n",
        expect![[r#"
        scenario.toml:30:9: the map has no spawn `ground`; there is none
    "#]],
    );
    check(
        "kind = \"grid\"\n",
        "kind = \"none\"\n",
        expect![[r#"
        scenario.toml:16:1: unknown key `map` in [space]; known: kind
        scenario.toml:17:8: unknown key `legend` in [space]; known: kind
        scenario.toml:30:9: a spawn in a game without a place; remove it
        scenario.toml:31:1: [mechanic.movement] in a game without a place; give [space] kind = "grid"
        scenario.toml:32:1: [mechanic.harvest] in a game without a place; give [space] kind = "grid"
        scenario.toml:35:1: [mechanic.sanction] in a game without a place; give [space] kind = "grid"
    "#]],
    );
}

#[test]
fn kinds_and_seats() {
    check(
        "glyph = \"A\"",
        "glyph = \"#\"",
        expect![[r#"
        scenario.toml:24:9: glyph `#` is taken; kind `apple` has it
    "#]],
    );
    check(
        "glyph = \"A\"",
        "glyph = \"@\"\ncolour = \"red\"",
        expect![[r##"
        scenario.toml:22:9: glyph `@` is taken; maps keep it for you, others, unseen and empty
        scenario.toml:23:10: `kind.apple.colour` is "red" (expected a colour as "#rrggbb")
    "##]],
    );
    check(
        "glyph = \"A\"",
        "glyph = \"AA\"",
        expect![[r#"
        scenario.toml:22:9: `kind.apple.glyph` is "AA" (expected one visible character)
    "#]],
    );
    check(
        "glyph = \"A\"",
        "glyph = \"A\"\nsolid = true",
        expect![[r#"
        scenario.toml:34:8: kind `apple` is solid, so nobody can enter its cell; set solid = false
    "#]],
    );
    check(
        "spawn = \"ground\"\n[mech",
        "[mech",
        expect![[r#"
        scenario.toml:27:1: `spawn` is missing in [seat[0]] (expected the name of a spawn in [space.legend], or a list of them)
    "#]],
    );
    check(
        "spawn = \"ground\"\n[mech",
        "spawn = \"grund\"\n[mech",
        expect![[r#"
        scenario.toml:30:9: the map has no spawn `grund`; did you mean `ground`?
    "#]],
    );
    check(
        "name = \"ant\"",
        "name = \"Ant\"\nkind = \"apple\"",
        expect![[r#"
        scenario.toml:27:1: bodies of kind `apple` are not solid; set solid = true
        scenario.toml:28:8: `Ant` cannot name a seat (expected a-z, then a-z, 0-9, _ or -)
    "#]],
    );
    check(
        "count = \"$seats\"",
        "count = 0",
        expect![[r#"
        scenario.toml:29:9: `seat[0].count` is 0 (expected a whole number from 1 to 10000)
    "#]],
    );
    check(
        "[mechanic.movement]",
        "[[seat]]\nname = \"ant\"\nspawn = \"ground\"\n[mechanic.movement]",
        expect![[r#"
        scenario.toml:32:8: a second [[seat]] is named `ant`; use count for seats that are alike
    "#]],
    );
    check(
        "[mechanic.movement]\n",
        "",
        expect![[r#"
        scenario.toml:31:1: [mechanic.harvest] needs movement; add [mechanic.movement]
        scenario.toml:34:1: [mechanic.sanction] needs movement; add [mechanic.movement]
    "#]],
    );
}

#[test]
fn metrics_and_end() {
    check(
        "count = \"apple\"",
        "",
        expect![[r#"
            scenario.toml:47:1: a metric of nothing (expected one of count, events, report, sum, mean, gini)
        "#]],
    );
    check(
        "count = \"apple\"",
        "count = \"aple\"",
        expect![[r#"
        scenario.toml:49:9: there is no kind `aple`; did you mean `apple`?
    "#]],
    );
    check(
        "count = \"apple\"",
        "count = \"apple\"\nsum = \"score\"",
        expect![[r#"
            scenario.toml:47:1: a metric of several things (expected one of count, events, report, sum, mean, gini)
        "#]],
    );
    check(
        "events = \"harvest.ate\"",
        "events = \"harvest.eat\"",
        expect![[r#"
            scenario.toml:52:10: `metric[1].events` is "harvest.eat" (expected one of seat.late, seat.absent, seat.back, seat.exited, seat.told, seat.seated, world.set, world.not-set, seat.thinking, fault.struck, fault.over, speech.said, sanction.zap, sanction.hit, harvest.ate, harvest.grew, matrix.played, matrix.skipped, file.published, file.refused, file.leased, file.released, file.expired, report.made); did you mean `harvest.ate`?
        "#]],
    );
    check(
        "[limits]",
        "[end]\nwhen = [{ metric = \"aples\", below = 1 }, { metric = \"apples\" }]\n[limits]",
        expect![[r#"
        scenario.toml:46:20: there is no metric `aples`; did you mean `apples`?
        scenario.toml:46:42: this never ends anything (expected below or above)
    "#]],
    );
}

#[test]
fn limits_are_those_of_the_run() {
    let toml = AXELROD.to_owned()
        + "\n[limits]\nspeech = \"$words\"\n[params.words]\ntype = \"int\"\ndefault = 1\ndoc = \"Speech a tick\"\n";
    let scenario = Scenario::load(&bundle(&toml, "")).unwrap();
    let speech = |overrides: &[(String, String)]| {
        scenario.limits(&scenario.params(overrides).unwrap()).speech
    };
    assert_eq!(
        (speech(&[]), speech(&[("words".into(), "3".into())])),
        (1, 3)
    );
}

#[test]
fn matrix() {
    check_matrix(
        "[[3, 0], [5, 1]]",
        "[[3, 0], [5, 1], [2, 2]]",
        expect![[r#"
        scenario.toml:9:10: `mechanic.matrix.payoff` has 3 rows (expected 2, one an action)
    "#]],
    );
    check_matrix(
        "[[3, 0], [5, 1]]",
        "[[3, 0], [5]]",
        expect![[r#"
        scenario.toml:9:19: this row has 1 numbers (expected 2, one an action)
    "#]],
    );
    check_matrix(
        "[[3, 0], [5, 1]]",
        "[[3, \"x\"], [5, nan]]",
        expect![[r#"
            scenario.toml:9:15: `mechanic.matrix.payoff[0][1]` is text (expected a number from -1000000000 to 1000000000)
            scenario.toml:9:25: `mechanic.matrix.payoff[1][1]` is NaN (expected a number from -1000000000 to 1000000000)
        "#]],
    );
    check_matrix(
        "\"cooperate\", \"defect\"",
        "\"cooperate\"",
        expect![[r#"
        scenario.toml:8:11: these cannot be the actions of a game (expected 2 to 26 different names, a-z first)
    "#]],
    );
    check_matrix(
        "rounds = 4",
        "rounds = 4\nletters = [\"C\", \"C\"]",
        expect![[r#"
        scenario.toml:11:11: these cannot be letters (expected one different ASCII letter for each action)
    "#]],
    );
    check_matrix(
        "name = \"one\"",
        "name = \"one\"\nspawn = \"here\"",
        expect![[r#"
        scenario.toml:14:9: a spawn in a game without a place; remove it
    "#]],
    );
    check_matrix(
        "rounds = 4",
        "rounds = 1000000",
        expect![[r#"
            scenario.toml:1:1: 3 seats with 1000000 rounds a pair are too many rounds (expected at most 2000000 rounds of all pairs together)
        "#]],
    );
    check_matrix(
        "kind = \"none\"",
        "kind = \"none\"\nmap = \"map.txt\"",
        expect![[r#"
        scenario.toml:7:1: unknown key `map` in [space]; known: kind
    "#]],
    );
}

#[test]
fn the_documentation() {
    let doc = include_str!("../../../docs/scenario-format.md");
    let example = doc
        .split("```toml")
        .nth(1)
        .and_then(|rest| rest.split("```").next())
        .unwrap();
    assert_eq!(faults(example, ".........\n.A#......\n"), "no fault\n");
    for (event, fields) in crate::mechanic::EVENTS {
        let line = doc
            .lines()
            .find(|line| line.starts_with('|') && line.contains(&format!("`{event}`")))
            .unwrap_or_else(|| panic!("{event} is not documented"));
        for (field, _) in fields.iter().filter(|(field, _)| *field != "text") {
            assert!(line.contains(&format!("`{field}`")), "{field} of {event}");
        }
    }
    for code in crate::event::Code::ALL {
        assert!(
            doc.contains(&format!("`{}`", code.as_str())),
            "{} is not documented",
            code.as_str()
        );
    }
}
