//! What a seat may spend, and what it has spent. Pure arithmetic: who is told and what happens is decided elsewhere.

use std::time::Duration;

/// Limits of one seat, or of all together; none: no limit.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Budget {
    /// Tokens of all kinds, read and written, cached ones included.
    pub tokens: Option<u64>,
    /// Model calls.
    pub calls: Option<u64>,
    /// US dollars, by the agent's own price list.
    pub usd: Option<f64>,
    /// Time since the seat's first model call.
    pub time: Option<Duration>,
}

/// What a seat has spent.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Spent {
    /// Tokens of all kinds.
    pub tokens: u64,
    /// Model calls.
    pub calls: u64,
    /// US dollars.
    pub usd: f64,
    /// Time since the seat's first model call.
    pub time: Duration,
}

/// Where a seat stands with its budget.
#[derive(Debug, Clone, PartialEq)]
pub enum Standing {
    /// Below four fifths of every limit.
    Fine,
    /// At least four fifths of a limit are spent; in words.
    Low(String),
    /// A limit is reached; in words.
    Over(String),
}

impl Budget {
    /// Where somebody stands who has spent so much; `whose` budget, in words.
    pub fn standing(&self, whose: &str, spent: &Spent) -> Standing {
        let parts = [
            self.tokens
                .map(|most| (spent.tokens as f64, most as f64, "tokens")),
            self.calls
                .map(|most| (spent.calls as f64, most as f64, "model calls")),
            self.usd.map(|most| (spent.usd, most, "US dollars")),
            self.time
                .map(|most| (spent.time.as_secs_f64(), most.as_secs_f64(), "seconds")),
        ];
        let mut low = None;
        for (used, most, unit) in parts.into_iter().flatten() {
            let words = || format!("{} of {} {unit} are spent", round(used), round(most));
            if used >= most {
                return Standing::Over(format!("{whose} budget is used up: {}", words()));
            }
            if used >= most * 0.8 {
                low.get_or_insert_with(words);
            }
        }
        low.map_or(Standing::Fine, |words| {
            Standing::Low(format!("{whose} budget runs low: {words}"))
        })
    }
}

/// A number as a person writes it: whole, or with four digits behind the point.
fn round(number: f64) -> String {
    match number.fract() == 0.0 {
        true => format!("{number:.0}"),
        false => format!("{number:.4}"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn limits_warn_and_end() {
        let budget = Budget {
            tokens: Some(1000),
            usd: Some(0.5),
            ..Budget::default()
        };
        let spent = |tokens, usd| Spent {
            tokens,
            usd,
            ..Spent::default()
        };
        assert_eq!(budget.standing("its", &spent(799, 0.1)), Standing::Fine);
        assert_eq!(
            budget.standing("its", &spent(800, 0.1)),
            Standing::Low("its budget runs low: 800 of 1000 tokens are spent".into())
        );
        assert_eq!(
            budget.standing("the run's", &spent(800, 0.5)),
            Standing::Over(
                "the run's budget is used up: 0.5000 of 0.5000 US dollars are spent".into()
            )
        );
        assert_eq!(
            Budget::default().standing("its", &spent(u64::MAX, 1e9)),
            Standing::Fine
        );
    }
}
