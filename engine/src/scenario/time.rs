//! `[time]`: when ticks are closed, what lateness means, and what thinking costs. Read and checked here; who measures,
//! and who is waited for, is the host's. It must not know a clock: what was measured enters the world as an input.

use super::diagnostic::suggest;
use super::reader::Table;
use serde::Serialize;

/// What the world goes by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Mode {
    /// Each tick waits for all seats up to the deadline.
    Lockstep,
    /// A tick happens `hz` times a second, whoever has answered.
    Realtime,
    /// A tick happens `hz` times a second; a seat is shown the world when it is ready for it, and is never late.
    Async,
    /// Each tick waits for one seat, up to the deadline: one after the other.
    Turns,
}

impl Mode {
    /// All of them.
    pub const ALL: [Mode; 4] = [Self::Lockstep, Self::Realtime, Self::Async, Self::Turns];
    const WORDS: [&str; 4] = ["lockstep", "realtime", "async", "turns"];

    /// Its word in scenarios, recordings and on command lines.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }

    /// The mode of a word.
    #[must_use]
    pub fn of(word: &str) -> Option<Mode> {
        Self::ALL.into_iter().find(|mode| mode.word() == word)
    }

    /// Whether a tick waits for answers.
    #[must_use]
    pub fn waits(self) -> bool {
        matches!(self, Self::Lockstep | Self::Turns)
    }
}

/// What a late seat does.
#[derive(Clone, Debug, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum OnLate {
    /// Nothing.
    Noop,
    /// The actions of its last answer, without speech.
    Repeat,
    /// This action of the catalogue.
    Action(String),
}

/// `[time.bank]`: what each seat may think in all, as on a chess clock.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct BankSpec {
    /// What it begins with, in milliseconds.
    pub initial_ms: u64,
    /// What it gets for each answer in time, in milliseconds.
    pub increment_ms: u64,
    /// The shortest deadline, also when nothing is left, in milliseconds.
    pub min_ms: u64,
}

impl BankSpec {
    /// What is left of `left` milliseconds after `ms` of thinking, by an answer or without one.
    #[must_use]
    pub fn after(&self, left: u64, ms: u64, answered: bool) -> u64 {
        let gain = if answered { self.increment_ms } else { 0 };
        left.saturating_sub(ms).saturating_add(gain)
    }
}

/// What thinking is measured by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Per {
    /// Milliseconds from the observation to the answer.
    Ms,
    /// Tokens that the seat's model wrote.
    Tokens,
}

impl Per {
    const WORDS: [&str; 2] = ["ms", "tokens"];

    /// Its word.
    #[must_use]
    pub fn word(self) -> &'static str {
        Self::WORDS[self as usize]
    }
}

/// `[time.think]`: what thinking costs in ticks.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Serialize)]
pub struct ThinkSpec {
    /// What is measured.
    pub per: Per,
    /// So much of it costs a tick.
    pub amount: u64,
    /// The most that one answer costs.
    pub max_ticks: u64,
}

impl ThinkSpec {
    /// The ticks that an answer costs.
    #[must_use]
    pub fn cost(&self, ms: u64, tokens: u64) -> u64 {
        let measured = match self.per {
            Per::Ms => ms,
            Per::Tokens => tokens,
        };
        (measured / self.amount.max(1)).min(self.max_ticks)
    }
}

/// `[time]`.
#[derive(Clone, Debug, PartialEq, Serialize)]
pub struct TimeSpec {
    /// What the world goes by.
    pub mode: Mode,
    /// How long a tick waits for answers, in milliseconds.
    pub deadline_ms: u64,
    /// Ticks a second in realtime and async.
    pub hz: f64,
    /// The last tick; 0 for no end.
    pub ticks: u64,
    /// What a late seat does.
    pub on_late: OnLate,
    /// Late so many times in a row makes a seat absent.
    pub absent_after: u32,
    /// What each seat may think in all; none: the deadline is all that counts.
    pub bank: Option<BankSpec>,
    /// What thinking costs; none: nothing.
    pub think: Option<ThinkSpec>,
}

/// Reads `[time]`; `callable`: whether an action of this name can be done without arguments.
pub(super) fn read(root: &Table<'_>, callable: impl Fn(&str) -> bool) -> TimeSpec {
    let mut time = TimeSpec {
        mode: Mode::Lockstep,
        deadline_ms: 1000,
        hz: 8.0,
        ticks: 0,
        on_late: OnLate::Noop,
        absent_after: 3,
        bank: None,
        think: None,
    };
    let Some(table) = root.table("time") else {
        return time;
    };
    if let Some(index) = table.get("mode").and_then(|item| item.choice(&Mode::WORDS)) {
        time.mode = Mode::ALL[index];
    }
    time.deadline_ms = table.int_or("deadline_ms", 1..=86_400_000, 1000) as u64;
    time.hz = table.float_or("hz", 0.001..=1000.0, 8.0);
    time.ticks = table.int_or("ticks", 0..=1 << 40, 0) as u64;
    time.absent_after = table.int_or("absent_after", 1..=1_000_000, 3) as u32;
    if let Some(item) = table.get("on_late") {
        match item.text().as_deref() {
            Some("noop") | None => {}
            Some("repeat") => time.on_late = OnLate::Repeat,
            Some(name) if callable(name) => time.on_late = OnLate::Action(name.to_owned()),
            Some(name) => {
                item.fault(format!("`{}` is {name:?}", item.path()))
                    .expected("noop, repeat, or an action of this scenario that needs no arguments")
                    .help(suggest(name, ["noop", "repeat"]));
            }
        }
    }
    time.bank = read_bank(&table, time.mode);
    time.think = read_think(&table);
    time
}

fn read_bank(time: &Table<'_>, mode: Mode) -> Option<BankSpec> {
    let item = time.get("bank")?;
    let table = item.table()?;
    if !mode.waits() {
        item.fault(format!("[time.bank] in mode {}", mode.word()))
            .expected("mode lockstep or turns")
            .help("a tick of this mode waits for nobody, so that no time is used up");
    }
    let initial = table
        .need("initial_ms", "milliseconds to begin with")
        .and_then(|item| item.int(0..=1 << 40));
    Some(BankSpec {
        initial_ms: initial.unwrap_or(0) as u64,
        increment_ms: table.int_or("increment_ms", 0..=86_400_000, 0) as u64,
        min_ms: table.int_or("min_ms", 1..=86_400_000, 100) as u64,
    })
}

fn read_think(time: &Table<'_>) -> Option<ThinkSpec> {
    let table = time.table("think")?;
    let per = table
        .need("per", "one of ms, tokens")
        .and_then(|item| item.choice(&Per::WORDS));
    let amount = table
        .need("amount", "so many of them cost a tick")
        .and_then(|item| item.int(1..=1 << 40));
    Some(ThinkSpec {
        per: if per == Some(1) { Per::Tokens } else { Per::Ms },
        amount: amount.unwrap_or(1) as u64,
        max_ticks: table.int_or("max_ticks", 1..=1_000_000, 100) as u64,
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{COMMONS, MAP, bundle};
    use crate::scenario::Scenario;

    fn load(time: &str) -> Result<TimeSpec, String> {
        let toml = COMMONS.replace("[time]\n", &format!("[time]\n{time}\n"));
        match Scenario::load(&bundle(&toml, MAP)) {
            Ok(scenario) => Ok(scenario.time().clone()),
            Err(faults) => Err(faults.iter().map(|fault| format!("{fault}\n")).collect()),
        }
    }

    #[test]
    fn every_mode_has_a_word() {
        for mode in Mode::ALL {
            assert_eq!(Mode::of(mode.word()), Some(mode));
            let time = load(&format!("mode = \"{}\"", mode.word())).unwrap();
            assert_eq!(time.mode, mode);
        }
        assert_eq!(Mode::of("chess"), None);
    }

    #[test]
    fn banks_and_costs() {
        let time = load(
            "bank = { initial_ms = 5000, increment_ms = 100 }\nthink = { per = \"tokens\", amount = 50, max_ticks = 3 }",
        )
        .unwrap();
        let bank = time.bank.unwrap();
        assert_eq!(bank.min_ms, 100);
        assert_eq!(bank.after(5000, 700, true), 4400);
        assert_eq!(bank.after(5000, 700, false), 4300);
        assert_eq!(bank.after(10, 700, true), 100);
        let think = time.think.unwrap();
        let costs = [0, 49, 50, 149, 150, 1_000_000].map(|tokens| think.cost(9999, tokens));
        assert_eq!(costs, [0, 0, 1, 2, 3, 3]);
    }

    #[test]
    fn faults_have_places() {
        for (time, expected) in [
            (
                "mode = \"asinc\"",
                "scenario.toml:6:8: `time.mode` is \"asinc\" (expected one of lockstep, realtime, async, turns); did you \
                 mean `async`?\n",
            ),
            (
                "mode = \"async\"\nbank = { initial_ms = 9 }",
                "scenario.toml:7:8: [time.bank] in mode async (expected mode lockstep or turns); a tick of this mode waits \
                 for nobody, so that no time is used up\n",
            ),
            (
                "bank = { increment_ms = -1 }",
                "scenario.toml:6:8: `initial_ms` is missing in [time.bank] (expected milliseconds to begin with)\n\
                 scenario.toml:6:25: `time.bank.increment_ms` is -1 (expected a whole number from 0 to 86400000)\n",
            ),
            (
                "think = { per = \"words\", amont = 0 }",
                "scenario.toml:6:9: `amount` is missing in [time.think] (expected so many of them cost a tick)\n\
                 scenario.toml:6:17: `time.think.per` is \"words\" (expected one of ms, tokens)\n\
                 scenario.toml:6:26: unknown key `amont` in [time.think]; did you mean `amount`?\n",
            ),
        ] {
            assert_eq!(load(time).unwrap_err(), expected, "{time}");
        }
    }
}
