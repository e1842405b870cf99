//! `[[fault]]`: what goes wrong around the seats' agents, at a tick or by chance. Read and checked here; who does it to
//! them is the host's: that it struck enters the world as an input.

use super::reader::Table;
use crate::id::SeatId;
use crate::input::FaultKind;
use crate::rng::{Stream, System};

/// The most lines of a scenario.
const MOST: usize = 64;

/// `[[fault]]`: something that goes wrong for some seats.
#[derive(Clone, Debug, PartialEq)]
pub struct FaultSpec {
    /// What goes wrong.
    pub kind: FaultKind,
    /// For whom, in the order of seats.
    pub seats: Vec<SeatId>,
    /// It strikes all of them at these ticks.
    pub at: Vec<u64>,
    /// It strikes each of them at any tick with this probability.
    pub chance: f64,
    /// For how many ticks; 0 for a `kill`, which is over at once.
    pub ticks: u64,
    /// Its place among the lines, those that are not enabled counted too: the name of its stream of chance.
    pub line: u32,
}

impl FaultSpec {
    /// Whether it strikes a seat at a tick: the same for every run of a seed, whatever happens in the run.
    #[must_use]
    pub fn strikes(&self, seed: u64, tick: u64, seat: SeatId) -> bool {
        if self.seats.binary_search(&seat).is_err() {
            return false;
        }
        // At most 10000 seats: the number of the line has the high half for itself.
        let name = self.line << 16 | seat.0;
        let by_chance = || Stream::new(seed, tick, System::Fault, name).unit() < self.chance;
        self.at.contains(&tick) || (self.chance > 0.0 && by_chance())
    }
}

/// Reads all lines; those that are not enabled are checked and left out. `names` are the seats' names.
pub(super) fn read(root: &Table<'_>, names: &[String]) -> Vec<FaultSpec> {
    let mut faults = Vec::new();
    let tables = root.tables("fault");
    if tables.len() > MOST {
        root.reader()
            .fault(0..0, format!("there are {} [[fault]]", tables.len()))
            .expected(format!("at most {MOST}"));
    }
    for (line, table) in tables.into_iter().enumerate() {
        let enabled = table.bool_or("enabled", true);
        let kind = table
            .need("kind", "one of kill, freeze, mute, cut_off, fill_disk")
            .and_then(|item| item.choice(&FaultKind::WORDS));
        let kind = kind.map_or(FaultKind::Kill, |index| FaultKind::ALL[index]);
        let at = table.get("at").map(|item| match item.is_list() {
            true => item.list().unwrap_or_default(),
            false => vec![item],
        });
        let at: Option<Vec<u64>> = at.map(|items| {
            let ticks = items.iter().filter_map(|item| item.int(0..=1 << 40));
            ticks.map(|tick| tick as u64).collect()
        });
        let chance = table.get("chance");
        if at.is_some() == chance.is_some() {
            table
                .reader()
                .fault(table.span(), "when this fault strikes is not clear")
                .expected(
                    "either at = TICK (or a list of them), or chance = PROBABILITY of each tick",
                );
        }
        let ticks = match (kind, table.get("ticks")) {
            (FaultKind::Kill, None) => 0,
            (FaultKind::Kill, Some(item)) => {
                item.fault("a kill takes no time")
                    .help("leave `ticks` out; whether it is started again, the cast says");
                0
            }
            (_, Some(item)) => item.int(1..=1 << 40).unwrap_or(1) as u64,
            (_, None) => {
                table.need("ticks", "for how many ticks");
                1
            }
        };
        let spec = FaultSpec {
            kind,
            seats: read_seats(&table, names),
            at: at.unwrap_or_default(),
            chance: chance.and_then(|item| item.float(0.0..=1.0)).unwrap_or(0.0),
            ticks,
            line: line as u32,
        };
        if enabled {
            faults.push(spec);
        }
    }
    faults
}

fn read_seats(table: &Table<'_>, names: &[String]) -> Vec<SeatId> {
    let Some(item) = table.need("seats", "a seat's name; * and ? stand for any characters") else {
        return Vec::new();
    };
    let Some(pattern) = item.text() else {
        return Vec::new();
    };
    let seats: Vec<SeatId> = (0..)
        .zip(names)
        .filter(|(_, name)| fits(pattern.as_bytes(), name.as_bytes()))
        .map(|(index, _)| SeatId(index))
        .collect();
    if seats.is_empty() && !names.is_empty() {
        let near = super::nearest(&pattern, names.iter().map(String::as_str));
        let fault = item
            .fault(format!("no seat is named {pattern:?}"))
            .expected("the name of a seat; * and ? stand for any characters");
        if let Some(near) = near {
            fault.help(format!("did you mean `{near}`?"));
        }
    }
    seats
}

/// Whether a name is as the pattern says. Names of seats are ASCII.
fn fits(pattern: &[u8], name: &[u8]) -> bool {
    let (mut at, mut next, mut star) = (0, 0, None);
    while next < name.len() {
        match pattern.get(at) {
            Some(b'*') => {
                star = Some((at, next));
                at += 1;
            }
            Some(wanted) if *wanted == b'?' || *wanted == name[next] => {
                at += 1;
                next += 1;
            }
            // The last star takes one character more.
            _ => match star {
                Some((place, taken)) => {
                    star = Some((place, taken + 1));
                    (at, next) = (place + 1, taken + 1);
                }
                None => return false,
            },
        }
    }
    pattern[at..].iter().all(|left| *left == b'*')
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{COMMONS, MAP, bundle};
    use crate::scenario::Scenario;

    fn load(faults: &str) -> Result<Vec<FaultSpec>, String> {
        let toml = format!("{COMMONS}\n{faults}\n");
        match Scenario::load(&bundle(&toml, MAP)) {
            Ok(scenario) => Ok(scenario.faults(&scenario.params(&[]).unwrap())),
            Err(found) => Err(found
                .iter()
                .map(|fault| format!("{}\n", fault.message))
                .collect()),
        }
    }

    #[test]
    fn patterns() {
        for (pattern, name, expected) in [
            ("*", "ant-1", true),
            ("ant-?", "ant-1", true),
            ("ant-?", "ant-12", false),
            ("a*t*2", "ant-12", true),
            ("ant", "ant-1", false),
            ("*1*1", "ant-1", false),
        ] {
            assert_eq!(
                fits(pattern.as_bytes(), name.as_bytes()),
                expected,
                "{pattern} {name}"
            );
        }
    }

    #[test]
    fn chance_is_a_matter_of_seed_tick_seat_and_line() {
        let faults = load(
            "[[fault]]\nkind = \"mute\"\nseats = \"ant-1\"\nchance = 0.25\nticks = 2\n\
             [[fault]]\nkind = \"kill\"\nenabled = false\nseats = \"*\"\nat = 3\n\
             [[fault]]\nkind = \"kill\"\nseats = \"*\"\nchance = 0.25\n\
             [[fault]]\nkind = \"freeze\"\nseats = \"*\"\nat = [3, 5]\nticks = 1\n",
        )
        .unwrap();
        assert_eq!(faults.len(), 3);
        let struck = |fault: &FaultSpec, seed, seat| -> Vec<u64> {
            (0..4000)
                .filter(|tick| fault.strikes(seed, *tick, SeatId(seat)))
                .collect()
        };
        let mute = struck(&faults[0], 1, 0);
        assert!((800..1200).contains(&mute.len()), "{}", mute.len());
        assert_eq!(mute, struck(&faults[0], 1, 0));
        assert_ne!(mute, struck(&faults[0], 2, 0));
        assert_ne!(mute, struck(&faults[1], 1, 0), "another line");
        assert_ne!(
            struck(&faults[1], 1, 0),
            struck(&faults[1], 1, 1),
            "another seat"
        );
        assert!(struck(&faults[0], 1, 1).is_empty(), "not among its seats");
        assert_eq!(struck(&faults[2], 1, 3), [3, 5]);
    }

    #[test]
    fn broken_lines() {
        for (line, expected) in [
            (
                "kind = \"mute\"\nseats = \"*\"\nat = 1",
                "`ticks` is missing in [fault[0]]\n",
            ),
            (
                "kind = \"kil\"\nseats = \"*\"\nat = 1",
                "`fault[0].kind` is \"kil\"\n",
            ),
            (
                "kind = \"kill\"\nseats = \"*\"\nat = 1\nchance = 0.5\nticks = 3",
                "when this fault strikes is not clear\na kill takes no time\n",
            ),
            (
                "kind = \"kill\"\nseats = \"ant-99\"\nat = 1",
                "no seat is named \"ant-99\"\n",
            ),
            (
                "kind = \"kill\"\nseats = \"*\"\nchance = 1.5",
                "`fault[0].chance` is 1.5\n",
            ),
        ] {
            assert_eq!(
                load(&format!("[[fault]]\n{line}")).unwrap_err(),
                expected,
                "{line}"
            );
        }
    }
}
