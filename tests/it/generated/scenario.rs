//! Makes small scenarios: maps, kinds, seats, every mechanic with numbers from a range and now and then from its ends,
//! parameters, metrics, scores, ends, questions. One number makes one scenario, always the same.
//!
//! What it writes is meant to be without fault: `check` refusing one is a fault of this file, or of the check. Must not
//! know what is done with a scenario.

use std::fmt::Write;

use formicarium_engine::Bundle;
use rand::rngs::ChaCha8Rng;
use rand::{RngExt, SeedableRng};

/// A scenario in memory, and how it is to be run.
pub struct Made {
    pub bundle: Bundle,
    /// Parameters that are set.
    pub set: Vec<(String, String)>,
    /// Seed of the world.
    pub seed: u64,
    /// Steps to make.
    pub ticks: u64,
}

pub fn chance(number: u64, stream: u8) -> ChaCha8Rng {
    let mut key = [stream; 32];
    key[..8].copy_from_slice(&number.to_le_bytes());
    ChaCha8Rng::from_seed(key)
}

struct Maker {
    rng: ChaCha8Rng,
    toml: String,
    params: String,
    set: Vec<(String, String)>,
    named: usize,
}

pub fn make(number: u64) -> Made {
    let mut maker = Maker {
        rng: chance(number, 1),
        toml: String::new(),
        params: String::new(),
        set: Vec::new(),
        named: 0,
    };
    let ticks = maker.rng.random_range(4..=32);
    let mut bundle = Bundle::new();
    maker.all(number, ticks, &mut bundle);
    let toml = format!("format = 1\n{}{}", maker.toml, maker.params);
    bundle.insert("scenario.toml", toml.into_bytes());
    Made {
        bundle,
        set: maker.set,
        seed: maker.rng.random(),
        ticks,
    }
}

impl Maker {
    fn yes(&mut self, percent: u32) -> bool {
        self.rng.random_range(0..100) < percent
    }

    fn pick<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.rng.random_range(0..of.len())]
    }

    fn line(&mut self, line: &str) {
        self.toml.push_str(line);
        self.toml.push('\n');
    }

    /// A line that may be left out.
    fn maybe(&mut self, line: &str) {
        if self.yes(70) {
            self.line(line);
        }
    }

    /// A whole number from a range, now and then at one of its ends; in some files a parameter that is set to another.
    fn int(&mut self, low: i64, high: i64) -> String {
        let draw = |maker: &mut Maker| match maker.rng.random_range(0..10) {
            0 => low,
            1 => high,
            _ => maker.rng.random_range(low..=high),
        };
        let value = draw(self);
        if !self.yes(20) {
            return value.to_string();
        }
        let other = draw(self);
        let range = format!("min = {low}\nmax = {high}\n");
        self.param("int", &value.to_string(), &range, &other.to_string())
    }

    fn real(&mut self, low: f64, high: f64) -> String {
        let draw = |maker: &mut Maker| match maker.rng.random_range(0..10) {
            0 => low,
            1 => high,
            _ => low + (high - low) * maker.rng.random::<f64>(),
        };
        let value = draw(self);
        if !self.yes(20) {
            return format!("{value:?}");
        }
        let other = draw(self);
        let range = format!("min = {low:?}\nmax = {high:?}\n");
        self.param(
            "float",
            &format!("{value:?}"),
            &range,
            &format!("{other:?}"),
        )
    }

    fn flag(&mut self) -> String {
        let value: bool = self.rng.random();
        if !self.yes(20) {
            return value.to_string();
        }
        self.param("bool", &value.to_string(), "", &(!value).to_string())
    }

    fn word(&mut self, of: &[&str]) -> String {
        let value = self.pick(of);
        if !self.yes(20) {
            return format!("{value:?}");
        }
        let other = self.pick(of);
        let choices = format!("choices = {of:?}\n");
        self.param("choice", &format!("{value:?}"), &choices, other)
    }

    /// Declares a parameter, sets it in half of the cases, and returns what stands for it.
    fn param(&mut self, kind: &str, default: &str, more: &str, set: &str) -> String {
        let name = format!("p{}", self.named);
        self.named += 1;
        let _ = write!(
            self.params,
            "[params.{name}]\ntype = \"{kind}\"\ndefault = {default}\n{more}doc = \"A number of this scenario.\"\n"
        );
        if self.yes(50) {
            self.set.push((name.clone(), set.to_owned()));
        }
        format!("\"${name}\"")
    }

    fn all(&mut self, number: u64, ticks: u64, bundle: &mut Bundle) {
        self.line(&format!(
            "name = \"made-{number}\"\ntitle = \"Made of {number}\""
        ));
        self.maybe("summary = \"One of many.\"");
        let placed = self.yes(85);
        self.time(ticks, placed);
        let limits = [
            (1, 16, "actions"),
            (0, 16, "speech"),
            (1, 500, "speech_chars"),
        ];
        if self.yes(60) {
            self.line("[limits]");
            for (low, high, key) in limits {
                // Small ones are met.
                let most = if key == "speech_chars" { high } else { 4 };
                let value = self.int(low, most);
                self.maybe(&format!("{key} = {value}"));
            }
        }
        let groups = self.rng.random_range(1..=3_usize);
        let counts: Vec<i64> = (0..groups).map(|_| self.rng.random_range(1..=4)).collect();
        let seats: i64 = counts.iter().sum();
        let apples = placed && self.yes(75);
        let den = match placed {
            true => self.space(seats, apples, bundle),
            false => {
                self.maybe("[space]\nkind = \"none\"");
                false
            }
        };
        self.seats(&counts, placed, den);
        let reports = self.mechanics(placed, apples, seats, groups);
        self.line("[observation]");
        let (radius, sight) = (self.int(0, 9), self.flag());
        self.maybe(&format!("radius = {radius}"));
        self.maybe(&format!("line_of_sight = {sight}"));
        if self.yes(50) {
            let told = ["view", "near", "time", "scores"].map(|word| self.yes(60).then_some(word));
            let told: Vec<&str> = told.into_iter().flatten().collect();
            self.line(&format!("tell = {told:?}"));
        }
        self.counted(placed, apples, &reports);
        self.questions(ticks, groups);
        if self.yes(25) {
            self.files(bundle);
        }
    }

    fn time(&mut self, ticks: u64, placed: bool) {
        self.line("[time]");
        let last = self.pick(&[0, ticks, ticks + 100]);
        self.line(&format!("ticks = {last}"));
        let late = match placed {
            true => &["noop", "repeat", "wait"][..],
            false => &["noop", "repeat"],
        };
        let (late, absent) = (self.pick(late), self.int(1, 4));
        self.maybe(&format!("on_late = {late:?}"));
        self.maybe(&format!("absent_after = {absent}"));
        let (mode, deadline) = (
            self.pick(&["lockstep", "realtime"]),
            self.int(1, 86_400_000),
        );
        self.maybe(&format!("mode = {mode:?}"));
        self.maybe(&format!("deadline_ms = {deadline}"));
    }

    /// A map with room for all seats. Whether it has a den.
    fn space(&mut self, seats: i64, apples: bool, bundle: &mut Bundle) -> bool {
        let (mut width, height) = (
            self.rng.random_range(1..=12_usize),
            self.rng.random_range(1..=9_usize),
        );
        let needed = seats as usize + 2;
        while width * height < needed {
            width += 1;
        }
        let den = self.yes(40);
        let mut glyphs = vec!['.', '.', ',', '#', '~', 'g'];
        if apples {
            glyphs.extend(['A', 'A', 'A', 'B']);
        }
        if den {
            glyphs.push('D');
        }
        let mut cells: Vec<char> = (0..width * height).map(|_| self.pick(&glyphs)).collect();
        let mut free: Vec<usize> = (0..cells.len()).collect();
        for index in 0..needed {
            let at = free.swap_remove(self.rng.random_range(0..free.len()));
            cells[at] = match index {
                0 if den => 'D',
                1 if apples => 'A',
                _ => '.',
            };
        }
        let rows: Vec<String> = cells
            .chunks(width)
            .map(|row| row.iter().collect())
            .collect();
        let end = self.pick(&["", "\n", "\r\n"]);
        let between = if end == "\r\n" { "\r\n" } else { "\n" };
        bundle.insert("map.txt", (rows.join(between) + end).into_bytes());
        self.line("[space]\nkind = \"grid\"\nmap = \"map.txt\"");
        let (edges, eight) = (self.word(&["bounded", "torus"]), self.pick(&[4, 8]));
        self.maybe(&format!("edges = {edges}"));
        self.maybe(&format!("neighbours = {eight}"));
        self.line("[space.legend]\n\".\" = { spawn = \"ground\" }\n\",\" = \"\"\n\"#\" = \"rock\"\n\"~\" = \"water\"\ng = \"fog\"");
        if apples {
            self.line("A = \"apple\"\nB = { kind = \"apple\", spawn = \"ground\" }");
        }
        if den {
            self.line("D = { spawn = \"den\" }");
        }
        self.line("[kind.rock]\nglyph = \"#\"\nsolid = true\nopaque = true\n[kind.water]\nglyph = \"~\"\nsolid = true");
        self.line("[kind.fog]\nglyph = \"g\"\nopaque = true");
        if apples {
            self.line("[kind.apple]\nglyph = \"A\"\ncolour = \"#d6453d\"");
            self.maybe("opaque = true");
        }
        den
    }

    fn seats(&mut self, counts: &[i64], placed: bool, den: bool) {
        let own = placed && self.yes(30);
        if own {
            self.line("[kind.beetle]\nglyph = \"b\"\nsolid = true");
            self.maybe("opaque = true");
        }
        for (index, count) in counts.iter().enumerate() {
            self.line(&format!("[[seat]]\nname = \"group-{index}\""));
            if *count != 1 || self.yes(50) {
                self.line(&format!("count = {count}"));
            }
            let numbered = self.flag();
            self.maybe(&format!("numbered = {numbered}"));
            self.maybe("role = \"You live here.\\nSo do others.\"");
            if placed {
                let spawns: &[&str] = match den {
                    true => &[
                        "\"ground\"",
                        "[\"den\", \"ground\"]",
                        "[\"ground\", \"den\"]",
                    ],
                    false => &["\"ground\"", "[\"ground\"]"],
                };
                let spawn = self.pick(spawns);
                self.line(&format!("spawn = {spawn}"));
            }
            if own && self.yes(60) {
                self.line("kind = \"beetle\"");
            }
        }
    }

    /// Any subset of the mechanics; the reports with their fields.
    fn mechanics(&mut self, placed: bool, apples: bool, seats: i64, groups: usize) -> Vec<String> {
        if placed && self.yes(90) {
            self.line("[mechanic.movement]");
            if apples && self.yes(85) {
                self.harvest();
            }
            if self.yes(60) {
                let (length, width) = (self.int(1, 7), self.pick(&[1, 3, 5, 21]));
                let (timeout, cooldown) = (self.int(0, 9), self.int(0, 4));
                let (penalty, cost) = (self.real(0.0, 3.0), self.real(0.0, 2.0));
                self.line("[mechanic.sanction]");
                for (key, value) in [
                    ("length", length),
                    ("timeout", timeout),
                    ("cooldown", cooldown),
                    ("penalty", penalty),
                    ("cost", cost),
                ] {
                    self.maybe(&format!("{key} = {value}"));
                }
                self.maybe(&format!("width = {width}"));
            }
        }
        if self.yes(60) {
            let (radius, near) = (self.int(0, 12), self.int(0, 4));
            let (whisper, broadcast) = (self.flag(), self.flag());
            self.line("[mechanic.speech]");
            self.maybe(&format!("radius = {radius}"));
            self.maybe(&format!("whisper_radius = {near}"));
            self.maybe(&format!("whisper = {whisper}"));
            self.maybe(&format!("broadcast = {broadcast}"));
        }
        if seats >= 2 && self.yes(if placed { 25 } else { 80 }) {
            self.matrix();
        }
        match self.yes(35) {
            true => self.reports(groups),
            false => Vec::new(),
        }
    }

    fn harvest(&mut self) {
        let chances: Vec<String> = (0..self.rng.random_range(1..=6))
            .map(|_| self.real(0.0, 1.0))
            .collect();
        let (reward, radius) = (self.real(-2.0, 5.0), self.real(0.0, 4.0));
        self.line("[mechanic.harvest]\nkind = \"apple\"");
        self.line(&format!("regrow = [{}]", chances.join(", ")));
        self.maybe(&format!("reward = {reward}"));
        self.maybe(&format!("regrow_radius = {radius}"));
    }

    fn matrix(&mut self) {
        let actions = self.rng.random_range(2..=5_usize);
        let names: Vec<String> = (0..actions).map(|index| format!("act-{index}")).collect();
        let table = |maker: &mut Maker| -> String {
            let rows: Vec<String> = (0..actions)
                .map(|_| {
                    let row: Vec<String> = (0..actions).map(|_| maker.real(-3.0, 5.0)).collect();
                    format!("[{}]", row.join(", "))
                })
                .collect();
            format!("[{}]", rows.join(", "))
        };
        let (payoff, column) = (table(self), table(self));
        let rounds = self.int(1, 40);
        self.line("[mechanic.matrix]");
        self.line(&format!("actions = {names:?}\npayoff = {payoff}"));
        if self.yes(30) {
            self.line(&format!("column_payoff = {column}"));
        }
        if self.yes(30) {
            self.line(&format!(
                "letters = {:?}",
                &["z", "Y", "0", "x", "9"][..actions]
            ));
        }
        self.maybe(&format!("rounds = {rounds}"));
    }

    fn reports(&mut self, groups: usize) -> Vec<String> {
        let mut fields = Vec::new();
        for report in 0..self.rng.random_range(1..=2) {
            self.line(&format!("[mechanic.report.told{report}]"));
            self.maybe("doc = \"What you have counted.\"");
            if self.yes(40) {
                let group = self.rng.random_range(0..groups);
                self.line(&format!("seats = [\"group-{group}\"]"));
            }
            self.line(&format!("[mechanic.report.told{report}.fields]"));
            for field in 0..self.rng.random_range(1..=3) {
                let (low, high) = (
                    self.rng.random_range(-50..=0_i64),
                    self.rng.random_range(0..=50_i64),
                );
                self.line(&format!("n{field} = {{ min = {low}, max = {high} }}"));
                fields.push(format!("told{report}.n{field}"));
            }
        }
        fields
    }

    fn counted(&mut self, placed: bool, apples: bool, reports: &[String]) {
        const EVENTS: [&str; 7] = [
            "seat.late",
            "speech.said",
            "sanction.hit",
            "harvest.ate",
            "harvest.grew",
            "matrix.played",
            "file.published",
        ];
        let metrics = self.rng.random_range(0..=4);
        for index in 0..metrics {
            self.line(&format!("[[metric]]\nname = \"m{index}\""));
            self.maybe("title = \"A number\"");
            self.maybe("unit = \"things\"");
            match self.rng.random_range(0..6) {
                0 if placed => {
                    let kind = if apples { "apple" } else { "rock" };
                    self.line(&format!("count = {kind:?}"));
                }
                1 if !reports.is_empty() => {
                    let (report, of) = (
                        self.rng.random_range(0..reports.len()),
                        self.pick(&["last", "sum", "mean", "lowest", "highest"]),
                    );
                    self.line(&format!("report = {:?}", reports[report]));
                    self.maybe(&format!("of = {of:?}"));
                }
                2 => self.line("sum = \"score\""),
                3 => self.line("mean = \"score\""),
                4 => self.line("gini = \"score\""),
                _ => {
                    let (event, over) = (self.pick(&EVENTS), self.pick(&["tick", "run"]));
                    self.line(&format!("events = {event:?}"));
                    self.maybe(&format!("over = {over:?}"));
                }
            }
        }
        if self.yes(70) {
            let best = self.pick(&["highest", "lowest"]);
            self.line("[score]");
            self.maybe(&format!("best = {best:?}"));
            for _ in 0..self.rng.random_range(0..=2) {
                let (event, points) = (self.pick(&EVENTS), self.real(-2.0, 3.0));
                self.line(&format!("[[score.earn]]\nevents = {event:?}"));
                self.maybe(&format!("points = {points}"));
            }
        }
        if metrics > 0 && self.yes(30) {
            let (metric, bound) = (self.rng.random_range(0..metrics), self.real(-5.0, 60.0));
            let side = self.pick(&["above", "below"]);
            self.line(&format!(
                "[end]\nwhen = [{{ metric = \"m{metric}\", {side} = {bound} }}]"
            ));
        }
    }

    fn questions(&mut self, ticks: u64, groups: usize) {
        for index in 0..self.rng.random_range(0..=2) {
            if !self.yes(30) {
                continue;
            }
            self.line(&format!(
                "[[question]]\nname = \"q{index}\"\ntext = \"What now?\""
            ));
            let (at, every) = (
                self.rng.random_range(0..=ticks),
                self.rng.random_range(1..=ticks),
            );
            let when = match self.rng.random_range(0..3) {
                0 => format!("at = [0, {at}]"),
                1 => format!("every = {every}"),
                _ => "at_end = true\nwait_ms = 5".to_owned(),
            };
            self.line(&when);
            let (enabled, group) = (self.flag(), self.rng.random_range(0..groups));
            self.maybe(&format!("enabled = {enabled}"));
            self.maybe(&format!("seats = [\"group-{group}\"]"));
        }
    }

    fn files(&mut self, bundle: &mut Bundle) {
        let (publish, lease) = (self.word(&["on-act", "explicit"]), self.int(1, 86_400_000));
        self.line("[files]");
        self.maybe(&format!("publish = {publish}"));
        self.maybe(&format!("lease_ms = {lease}"));
        if self.yes(70) {
            self.line("tree = \"book\"");
            bundle.insert("book/toc.md", *b"# Contents\n");
            bundle.insert("book/one/text.md", *b"Once upon a time.\n");
        }
    }
}
