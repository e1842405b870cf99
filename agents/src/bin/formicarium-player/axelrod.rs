//! Seven strategies for the iterated prisoner's dilemma, each a function of the history with one opponent.
//!
//! They keep nothing between ticks: the observation carries both sides' moves against this opponent. They must not
//! know payoffs; what each strategy is and where it comes from stands in scenarios/axelrod/README.md.

use super::line::{Act, Error, Seen};
use serde_json::Value;

/// One of the two moves.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Move {
    /// Cooperate.
    C,
    /// Defect.
    D,
}
use Move::{C, D};

impl Move {
    /// The name of the choice in the scenario.
    fn choice(self) -> &'static str {
        match self {
            C => "cooperate",
            D => "defect",
        }
    }
}

/// A strategy by its name in the literature.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Strategy {
    /// Cooperates first, then does what the other did last.
    TitForTat,
    /// Always cooperates.
    Cooperator,
    /// Always defects.
    Defector,
    /// Cooperates until the other defects once, then always defects.
    Grudger,
    /// Repeats its move when the other cooperated (a win), changes it when not (a loss). Also called Pavlov.
    WinStayLoseShift,
    /// Defects only after two defections in a row.
    TitForTwoTats,
    /// Cooperates and defects in turn.
    Alternator,
}

impl Strategy {
    /// The strategy that the command line names.
    pub(crate) fn named(name: &str) -> Option<Strategy> {
        Some(match name {
            "tit-for-tat" => Strategy::TitForTat,
            "cooperator" => Strategy::Cooperator,
            "defector" => Strategy::Defector,
            "grudger" => Strategy::Grudger,
            "win-stay-lose-shift" => Strategy::WinStayLoseShift,
            "tit-for-two-tats" => Strategy::TitForTwoTats,
            "alternator" => Strategy::Alternator,
            _ => return None,
        })
    }

    /// The next move after what both sides played so far, oldest first.
    fn next(self, mine: &[Move], theirs: &[Move]) -> Move {
        match self {
            Strategy::TitForTat => theirs.last().copied().unwrap_or(C),
            Strategy::Cooperator => C,
            Strategy::Defector => D,
            Strategy::Grudger if theirs.contains(&D) => D,
            Strategy::Grudger => C,
            Strategy::WinStayLoseShift => match (mine.last(), theirs.last()) {
                (Some(C), Some(D)) | (Some(D), Some(C)) => D,
                _ => C,
            },
            Strategy::TitForTwoTats if theirs.ends_with(&[D, D]) => D,
            Strategy::TitForTwoTats => C,
            Strategy::Alternator if mine.last() == Some(&C) => D,
            Strategy::Alternator => C,
        }
    }
}

/// Plays the strategy against the opponent of this tick; waits through a bye.
pub(crate) fn decide(strategy: Strategy, seen: &Seen) -> Result<Act, Error> {
    let game = seen.state.get("match").ok_or(Error::Missing("match"))?;
    let Some(opponent) = game["opponent"].as_str() else {
        return Ok(Act::wait("a bye: nobody to play"));
    };
    let (mine, theirs) = history(game)?;
    let choice = strategy.next(&mine, &theirs).choice();
    Ok(Act::with(
        "play",
        ("choice", choice),
        format!("against {opponent}: {choice}"),
    ))
}

/// Both histories, like "CCD" and "CDD", as moves by the letters that the observation explains.
///
/// A round in which one side did not play (`-`) was not scored; here it counts as not played by either.
fn history(game: &Value) -> Result<(Vec<Move>, Vec<Move>), Error> {
    let letters = game["letters"]
        .as_object()
        .ok_or(Error::Missing("match.letters"))?;
    let read = |letter: char| match letters.get(letter.encode_utf8(&mut [0; 4]))?.as_str()? {
        "cooperate" => Some(C),
        "defect" => Some(D),
        _ => None,
    };
    let mine = game["mine"].as_str().ok_or(Error::Missing("match.mine"))?;
    let theirs = game["theirs"]
        .as_str()
        .ok_or(Error::Missing("match.theirs"))?;
    let rounds = mine.chars().zip(theirs.chars());
    let played = rounds.filter(|(mine, theirs)| *mine != '-' && *theirs != '-');
    let moves = played.map(|(mine, theirs)| Some((read(mine)?, read(theirs)?)));
    let moves: Option<Vec<(Move, Move)>> = moves.collect();
    Ok(moves
        .ok_or(Error::Missing("match.letters"))?
        .into_iter()
        .unzip())
}

#[cfg(test)]
mod tests {
    use super::*;
    use serde_json::json;

    const ALL: [(&str, u32); 7] = [
        ("tit-for-tat", 3097),
        ("cooperator", 2700),
        ("defector", 2816),
        ("grudger", 3196),
        ("win-stay-lose-shift", 2950),
        ("tit-for-two-tats", 2898),
        ("alternator", 2760),
    ];

    fn payoff(mine: Move, theirs: Move) -> u32 {
        match (mine, theirs) {
            (C, C) => 3,
            (C, D) => 0,
            (D, C) => 5,
            (D, D) => 1,
        }
    }

    /// Total of each strategy against all others, 200 rounds a pair. The figures are those that the README derives.
    #[test]
    fn a_round_robin_of_two_hundred_rounds_gives_the_known_totals() {
        let mut totals = [0; 7];
        for i in 0..ALL.len() {
            for j in 0..i {
                let pair = [i, j].map(|at| Strategy::named(ALL[at].0).expect("the name is known"));
                let (mut one, mut other) = (Vec::new(), Vec::new());
                for _ in 0..200 {
                    let (a, b) = (pair[0].next(&one, &other), pair[1].next(&other, &one));
                    one.push(a);
                    other.push(b);
                    totals[i] += payoff(a, b);
                    totals[j] += payoff(b, a);
                }
            }
        }
        assert_eq!(totals, ALL.map(|(_, total)| total));
    }

    #[test]
    fn the_move_follows_from_the_history_in_the_observation() {
        let state = |theirs: &str, opponent: Value| Seen {
            tick: 3,
            state: json!({"match": {"opponent": opponent, "round": 2, "mine": "CC", "theirs": theirs,
                "choices": ["cooperate", "defect"], "letters": {"C": "cooperate", "D": "defect"}}}),
        };
        let choice =
            |seen: &Seen| decide(Strategy::TitForTat, seen).map(|act| (act.action, act.arg));
        let play = |choice: &str| ("play", Some(("choice", choice.to_owned())));
        assert_eq!(
            choice(&state("DC", json!("b"))).expect("complete"),
            play("cooperate")
        );
        assert_eq!(
            choice(&state("CD", json!("b"))).expect("complete"),
            play("defect")
        );
        assert_eq!(
            choice(&state("D-", json!("b"))).expect("complete"),
            play("defect"),
            "a round that was not played is left out"
        );
        assert_eq!(
            choice(&state("", Value::Null)).expect("complete"),
            ("wait", None)
        );
        assert!(matches!(
            choice(&state("CX", json!("b"))),
            Err(Error::Missing("match.letters"))
        ));
    }
}
