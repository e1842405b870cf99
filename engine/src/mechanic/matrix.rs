//! A matrix game between pairs, round after round. It must not know any strategy.
//!
//! Who meets whom follows the circle method: with n seats (and a bye if n is odd) there are n - 1 slots (n if odd) in
//! which everyone meets everyone once. The step that makes tick t plays slot (t - 1) mod slots, so what is observed at
//! tick T is decided for slot T mod slots. After rounds * slots ticks the run ends.
//!
//! A pair of which one did not play scores nothing in that round; the history shows `-` for who did not.

use super::order::{Clock, Orders, Outbox, Rules, by};
use crate::action::{ActionSpec, ParamKind, ParamSpec};
use crate::event::{Code, Event};
use crate::id::{ActionId, SeatId};
use crate::scenario::Spec;
use crate::scenario::reader::{Item, Reader, Table};
use crate::value::Value;
use bevy_ecs::prelude::*;
use serde::{Deserialize, Serialize};

/// The most rounds of all pairs together: history is state, and all state is hashed each tick.
const MAX_ROUNDS: u64 = 2_000_000;

/// What a round without a move looks like in the history.
pub(crate) const MISSED: u8 = b'-';

/// `[mechanic.matrix]`.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Config {
    pub(crate) actions: Vec<String>,
    /// One ASCII letter for each action.
    pub(crate) letters: Vec<u8>,
    /// `payoff[mine][theirs]`; with `column_payoff` what the lower seat number gets.
    pub(crate) payoff: Vec<Vec<f64>>,
    /// `column_payoff[lower's action][higher's action]`: what the higher seat number gets.
    pub(crate) column_payoff: Option<Vec<Vec<f64>>>,
    /// Rounds that each pair plays.
    pub(crate) rounds: u64,
}

impl Config {
    pub(crate) fn read(table: &Table<'_>) -> Option<Self> {
        let rounds = table.int_or("rounds", 1..=1_000_000, 200) as u64;
        let payoff_item = table.need(
            "payoff",
            "a row for each of my actions, in it a number for each of theirs",
        );
        let column_item = table.get("column_payoff");
        let letters_item = table.get("letters");
        let item = table.need("actions", "a list of at least two names")?;
        let actions = item.texts()?;
        let unique = actions
            .iter()
            .enumerate()
            .all(|(index, name)| !actions[..index].contains(name));
        if !(2..=26).contains(&actions.len())
            || !unique
            || !actions.iter().all(|name| crate::scenario::is_name(name))
        {
            item.fault("these cannot be the actions of a game")
                .expected("2 to 26 different names, a-z first");
            return None;
        }
        let letters = match letters_item {
            Some(item) => {
                let letters: Vec<u8> = item
                    .texts()?
                    .iter()
                    .filter(|l| l.len() == 1)
                    .map(|letter| letter.as_bytes()[0])
                    .collect();
                let good = |letter: &u8| letter.is_ascii_alphanumeric();
                if letters.len() != actions.len()
                    || !letters.iter().all(good)
                    || !distinct(&letters)
                {
                    item.fault("these cannot be letters")
                        .expected("one different ASCII letter for each action");
                    return None;
                }
                letters
            }
            None => default_letters(&actions),
        };
        let payoff = read_payoff(&payoff_item?, actions.len())?;
        let column_payoff = match column_item {
            Some(item) => Some(read_payoff(&item, actions.len())?),
            None => None,
        };
        Some(Self {
            actions,
            letters,
            payoff,
            column_payoff,
            rounds,
        })
    }

    pub(crate) fn check_size(&self, reader: &Reader, seats: usize) {
        let pairs = seats as u64 * seats.saturating_sub(1) as u64 / 2;
        if seats < 2 {
            reader
                .fault(0..0, "[mechanic.matrix] needs at least two seats")
                .help("raise the count of a [[seat]]");
        } else if pairs.saturating_mul(self.rounds) > MAX_ROUNDS {
            reader
                .fault(
                    0..0,
                    format!(
                        "{seats} seats with {} rounds a pair are too many rounds",
                        self.rounds
                    ),
                )
                .expected(format!("at most {MAX_ROUNDS} rounds of all pairs together"));
        }
    }

    pub(crate) fn action(&self) -> ActionSpec {
        ActionSpec {
            id: ActionId(0),
            name: "play".into(),
            description: "Play your move of this round against the opponent you are shown.".into(),
            params: vec![ParamSpec {
                name: "choice".into(),
                doc: "Your move.".into(),
                kind: ParamKind::Choice(self.actions.clone()),
                required: true,
            }],
            speech: false,
        }
    }

    pub(crate) fn rules(&self, spec: &Spec) -> String {
        let mut text = format!(
            "Each tick you meet one other seat, or nobody (a bye); everyone meets everyone else {} times. Both play at \
             once, without knowing the other's move; then the game goes on to the next opponent. If one of you does \
             not play, neither gets anything. Points for you, by your move and theirs:",
            self.rounds
        );
        for (mine, row) in self.payoff.iter().enumerate() {
            for (theirs, points) in row.iter().enumerate() {
                let (mine, theirs) = (&self.actions[mine], &self.actions[theirs]);
                text += &format!(" {mine} against {theirs}: {points};");
            }
        }
        text.pop();
        text.push('.');
        if let Some(column) = &self.column_payoff {
            text += " That is for the seat of a pair that stands first in the list of seats. The other gets, by the \
                     first one's move and its own:";
            for (first, row) in column.iter().enumerate() {
                for (second, points) in row.iter().enumerate() {
                    text += &format!(
                        " {}, {}: {points};",
                        self.actions[first], self.actions[second]
                    );
                }
            }
        }
        let _ = spec;
        text
    }

    /// How many ticks the whole game takes.
    pub(crate) fn ticks(&self, seats: usize) -> u64 {
        self.rounds * slots(seats)
    }
}

fn distinct(letters: &[u8]) -> bool {
    letters
        .iter()
        .enumerate()
        .all(|(index, letter)| !letters[..index].contains(letter))
}

/// The first letter of each name in upper case where that is unambiguous, else A, B, C, ...
fn default_letters(actions: &[String]) -> Vec<u8> {
    let first: Vec<u8> = actions
        .iter()
        .map(|name| name.as_bytes()[0].to_ascii_uppercase())
        .collect();
    if distinct(&first) {
        first
    } else {
        (b'A'..).take(actions.len()).collect()
    }
}

fn read_payoff(item: &Item<'_>, size: usize) -> Option<Vec<Vec<f64>>> {
    // Two passes each, so that every wrong number is told, not only the first.
    let read = |row: &Item<'_>| {
        let numbers: Vec<Option<f64>> = row
            .list()?
            .iter()
            .map(|number| number.float(-1e9..=1e9))
            .collect();
        if numbers.len() != size {
            row.fault(format!("this row has {} numbers", numbers.len()))
                .expected(format!("{size}, one an action"));
        }
        numbers.into_iter().collect::<Option<Vec<f64>>>()
    };
    let rows: Vec<Option<Vec<f64>>> = item.list()?.iter().map(read).collect();
    if rows.len() != size {
        item.fault(format!("`{}` has {} rows", item.path(), rows.len()))
            .expected(format!("{size}, one an action"));
    }
    let rows: Vec<Vec<f64>> = rows.into_iter().collect::<Option<_>>()?;
    (rows.len() == size && rows.iter().all(|row| row.len() == size)).then_some(rows)
}

/// How many slots it takes until everyone has met everyone.
pub(crate) fn slots(seats: usize) -> u64 {
    (seats + seats % 2).saturating_sub(1).max(1) as u64
}

/// Whom a seat meets in a slot; nobody is a bye. The circle method: seat 0 (or the bye's partner) stands still, the
/// others go round.
pub(crate) fn opponent(seats: usize, slot: u64, seat: SeatId) -> Option<SeatId> {
    let even = seats + seats % 2;
    let circle = even as u64 - 1;
    let me = u64::from(seat.0);
    let fixed = circle;
    // Seats 0..circle go round; number `circle` stands still and is the bye when the count is odd.
    let partner = if me == fixed {
        // The one for whom 2 * i = slot (mod circle); circle is odd, so there is one.
        (slot % circle * circle.div_ceil(2)) % circle
    } else {
        let partner = (slot % circle + circle - me) % circle;
        if partner == me { fixed } else { partner }
    };
    (partner < seats as u64).then_some(SeatId(partner as u32))
}

/// What has been played: for each pair (i < j), pair by pair, the letters of both.
#[derive(Resource, Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Matches {
    pub(crate) played: Vec<[Vec<u8>; 2]>,
}

impl Matches {
    pub(crate) fn new(seats: usize) -> Self {
        Self {
            played: vec![Default::default(); seats * seats.saturating_sub(1) / 2],
        }
    }

    /// The number of a pair with `low < high`.
    fn pair(low: SeatId, high: SeatId) -> usize {
        high.index() * (high.index() - 1) / 2 + low.index()
    }

    /// The letters of `mine` and `theirs`, round by round.
    pub(crate) fn history(&self, mine: SeatId, theirs: SeatId) -> (&[u8], &[u8]) {
        let [low, high] = &self.played[Self::pair(mine.min(theirs), mine.max(theirs))];
        if mine < theirs {
            (low, high)
        } else {
            (high, low)
        }
    }
}

/// Plays one round of each pair of this slot.
pub(crate) fn play(
    rules: Res<Rules>,
    clock: Res<Clock>,
    orders: Res<Orders>,
    mut matches: ResMut<Matches>,
    mut out: ResMut<Outbox<by::Matrix>>,
) {
    let Some(config) = &rules.spec.mechanics.matrix else {
        return;
    };
    let seats = rules.spec.seat_count();
    let slot = (clock.0 - 1) % slots(seats);
    let over = clock.0 > config.ticks(seats);
    let mut moves: Vec<Option<u16>> = vec![None; seats];
    for (index, order) in orders.of(rules.ids.play) {
        if over {
            out.refuse(index, Code::Over, "all rounds are played");
        } else if opponent(seats, slot, order.seat).is_none() {
            out.refuse(index, Code::Bye, "you had no opponent in this tick");
        } else {
            moves[order.seat.index()] = order.choice(0);
        }
    }
    if over {
        return;
    }
    for low in 0..seats {
        let low_seat = SeatId(low as u32);
        let Some(high_seat) = opponent(seats, slot, low_seat).filter(|other| *other > low_seat)
        else {
            continue;
        };
        let pair = (moves[low], moves[high_seat.index()]);
        let letter = |choice: Option<u16>| {
            choice.map_or(MISSED, |choice| config.letters[usize::from(choice)])
        };
        let [low_history, high_history] = &mut matches.played[Matches::pair(low_seat, high_seat)];
        low_history.push(letter(pair.0));
        high_history.push(letter(pair.1));
        let event = |name| Event::new(name).seat(low_seat).other(high_seat);
        let word = |choice: Option<u16>| match choice {
            Some(choice) => Value::from(config.actions[usize::from(choice)].clone()),
            None => Value::Null,
        };
        let (Some(mine), Some(theirs)) = (pair.0.map(usize::from), pair.1.map(usize::from)) else {
            out.events.push(
                event("matrix.skipped")
                    .field("mine", word(pair.0))
                    .field("theirs", word(pair.1)),
            );
            continue;
        };
        let gains = match &config.column_payoff {
            Some(column) => (config.payoff[mine][theirs], column[mine][theirs]),
            None => (config.payoff[mine][theirs], config.payoff[theirs][mine]),
        };
        out.gains.push((low_seat, gains.0));
        out.gains.push((high_seat, gains.1));
        out.events.push(
            event("matrix.played")
                .field("mine", word(pair.0))
                .field("theirs", word(pair.1))
                .field("my_points", gains.0)
                .field("their_points", gains.1),
        );
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn everyone_meets_everyone_once() {
        for seats in 2..=17 {
            let mut met = vec![0; seats * seats];
            for slot in 0..slots(seats) {
                let mut byes = 0;
                for seat in 0..seats {
                    match opponent(seats, slot, SeatId(seat as u32)) {
                        Some(other) => {
                            assert_ne!(other.index(), seat, "nobody plays itself");
                            assert_eq!(
                                opponent(seats, slot, other),
                                Some(SeatId(seat as u32)),
                                "meeting is mutual"
                            );
                            met[seat * seats + other.index()] += 1;
                        }
                        None => byes += 1,
                    }
                }
                assert_eq!(byes, seats % 2, "{seats} seats, slot {slot}");
            }
            for seat in 0..seats {
                for other in (0..seats).filter(|other| *other != seat) {
                    assert_eq!(
                        met[seat * seats + other],
                        1,
                        "{seats} seats: {seat} and {other}"
                    );
                }
            }
        }
    }
}
