//! What agents of models say, call and spend: told to the recording and the feed, and held against their budgets.
//!
//! Tokens and calls are counted at the model door, as they happen; money is what the agent's own program says at the
//! end of its turns. Must not end anybody: it says who is over, the tick loop acts.

use std::collections::VecDeque;
use std::time::{Instant, SystemTime, UNIX_EPOCH};

use formicarium_agents::gateway::{ModelCall, Outcome};
use formicarium_agents::{Cost, Transcript, TranscriptKind};
use serde_json::json;

use super::board::Listeners;
use super::budget::{Budget, Spent, Standing};
use crate::feed::wire::{CostTotals, Event};
use crate::recorder::{CostRow, TranscriptRow};

/// The account of one seat, or of all together.
#[derive(Debug, Default)]
struct Account {
    /// Its agent calls a model.
    has_model: bool,
    budget: Budget,
    spent: Spent,
    /// Tokens that its model has written since they were asked for.
    written: u64,
    first: Option<Instant>,
    warned: bool,
    over: Option<String>,
}

/// The accounts of all seats.
#[derive(Debug)]
pub struct Ledger {
    accounts: Vec<Account>,
    run: Account,
    /// When observations went out, by tick: a call belongs to the tick that was shown when it began, although its
    /// report comes when it is over.
    shown: VecDeque<(u64, u64)>,
}

/// Ticks whose beginning is kept; a call that began before the oldest of them belongs to that.
const SHOWN: usize = 4096;

impl Ledger {
    /// An account for each seat, by its budget and whether its agent calls a model, and one for the whole run.
    pub fn new(seats: Vec<(Budget, bool)>, run: Budget) -> Ledger {
        let account = |(budget, has_model)| Account {
            has_model,
            budget,
            ..Account::default()
        };
        Ledger {
            accounts: seats.into_iter().map(account).collect(),
            run: account((run, true)),
            shown: VecDeque::new(),
        }
    }

    /// What a seat had spent before the run was resumed.
    pub fn restore(&mut self, seat: usize, tokens: u64, calls: u64, usd: f64) {
        for account in [&mut self.accounts[seat], &mut self.run] {
            account.spent.tokens += tokens;
            account.spent.calls += calls;
            account.spent.usd += usd;
        }
    }

    /// The observations of a tick are going out.
    pub fn shows(&mut self, tick: u64) {
        if self.shown.len() >= SHOWN {
            self.shown.pop_front();
        }
        self.shown.push_back((unix_ms(), tick));
    }

    fn tick_at(&self, ms: u64) -> u64 {
        let after = self.shown.partition_point(|(since, _)| *since <= ms);
        let entry = self.shown.get(after.saturating_sub(1));
        entry.map_or(0, |(_, tick)| *tick)
    }

    /// A request has gone through the model door.
    pub fn call(&mut self, call: &ModelCall, to: Listeners<'_>) {
        let tick = self.tick_at(call.started_ms);
        let tokens = call.input_tokens
            + call.output_tokens
            + call.cache_read_tokens
            + call.cache_write_tokens;
        for account in [&mut self.accounts[call.seat], &mut self.run] {
            account.spent.tokens += tokens;
            account.spent.calls += 1;
            account.written += call.output_tokens;
            let first = account.first.get_or_insert_with(Instant::now);
            account.spent.time = first.elapsed();
        }
        to.recorder.cost(CostRow {
            tick,
            seat: call.seat as u32,
            source: "call",
            model: call.model.clone(),
            outcome: outcome_word(&call.outcome),
            status: Some(call.status),
            input_tokens: call.input_tokens,
            output_tokens: call.output_tokens,
            cache_read_tokens: call.cache_read_tokens,
            cache_write_tokens: call.cache_write_tokens,
            usd: None,
            ms: Some(call.duration_ms),
        });
        self.check(call.seat, to);
    }

    /// Tokens that a seat's model has written since the last time, in calls that are over.
    pub fn take_written(&mut self, seat: usize) -> u64 {
        std::mem::take(&mut self.accounts[seat].written)
    }

    /// A turn is over, and this is what the agent's program says of it.
    pub fn turn(&mut self, seat: usize, cost: &Cost, to: Listeners<'_>) {
        self.accounts[seat].spent.usd += cost.usd;
        self.run.spent.usd += cost.usd;
        to.recorder.cost(CostRow {
            tick: to.tick,
            seat: seat as u32,
            source: "turn",
            model: cost.model.clone(),
            outcome: "complete",
            status: None,
            input_tokens: cost.input_tokens,
            output_tokens: cost.output_tokens,
            cache_read_tokens: cost.cache_read_tokens,
            cache_write_tokens: cost.cache_write_tokens,
            usd: Some(cost.usd),
            ms: None,
        });
        self.check(seat, to);
    }

    /// A line of a seat's conversation.
    pub fn transcript(&self, seat: usize, line: Transcript, to: Listeners<'_>) {
        let kind = line.kind.as_str();
        // Words and thoughts come with the act that they led to.
        if matches!(line.kind, TranscriptKind::ToolCall)
            && let Some(feed) = to.feed
        {
            let data = json!({"kind": kind});
            let seat = Some(seat as u32);
            feed.event(Event::of_agent(
                to.tick,
                "agent.tool",
                seat,
                line.text.clone(),
                data,
            ));
        }
        to.recorder.transcript(TranscriptRow {
            tick: to.tick,
            seat: seat as u32,
            kind,
            text: line.text,
            line: line.line,
        });
    }

    /// Why a seat is to be retired once its turn is over; none while it may go on.
    pub fn over(&self, seat: usize) -> Option<&str> {
        let account = &self.accounts[seat];
        let run = self.run.over.as_deref().filter(|_| account.has_model);
        account.over.as_deref().or(run)
    }

    /// Whether any seat is to be retired, or has been.
    pub fn is_anybody_over(&self) -> bool {
        self.run.over.is_some() || self.accounts.iter().any(|account| account.over.is_some())
    }

    fn check(&mut self, seat: usize, to: Listeners<'_>) {
        let account = &mut self.accounts[seat];
        if let Some(feed) = to.feed {
            let totals = CostTotals {
                tokens: account.spent.tokens,
                calls: account.spent.calls,
                usd: account.spent.usd,
            };
            feed.cost(seat as u32, totals);
        }
        account.check("its", Some(seat), to);
        self.run.check("the run's", None, to);
    }
}

impl Account {
    /// Says once when the budget runs low, and once when it is used up.
    fn check(&mut self, whose: &str, seat: Option<usize>, to: Listeners<'_>) {
        let words = match self.budget.standing(whose, &self.spent) {
            Standing::Low(words) if !self.warned => words,
            Standing::Over(words) if self.over.is_none() => {
                self.over = Some(words.clone());
                words
            }
            Standing::Fine | Standing::Low(_) | Standing::Over(_) => return,
        };
        self.warned = true;
        tracing::warn!(seat, tick = to.tick, "{words}");
        let data =
            json!({"tokens": self.spent.tokens, "calls": self.spent.calls, "usd": self.spent.usd});
        to.note(seat, "budget", "agent.budget", &words, data);
    }
}

fn unix_ms() -> u64 {
    SystemTime::now()
        .duration_since(UNIX_EPOCH)
        .map_or(0, |since| since.as_millis() as u64)
}

fn outcome_word(outcome: &Outcome) -> &'static str {
    match outcome {
        Outcome::Complete => "complete",
        Outcome::ClientLeft => "client-left",
        Outcome::UpstreamFailed(_) => "upstream-failed",
        Outcome::Refused => "refused",
        Outcome::Stopped => "stopped",
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_runs_budget_retires_those_who_call_models() {
        let mut ledger = Ledger::new(
            vec![(Budget::default(), true), (Budget::default(), false)],
            Budget::default(),
        );
        assert_eq!((ledger.over(0), ledger.over(1)), (None, None));
        ledger.run.over = Some("used up".into());
        assert_eq!((ledger.over(0), ledger.over(1)), (Some("used up"), None));
        ledger.accounts[0].over = Some("its own".into());
        assert_eq!(
            ledger.over(0),
            Some("its own"),
            "its own reason comes first"
        );
    }

    #[test]
    fn a_call_belongs_to_the_tick_that_was_shown_when_it_began() {
        let mut ledger = Ledger::new(Vec::new(), Budget::default());
        assert_eq!(ledger.tick_at(5), 0);
        ledger.shown = [(10, 0), (20, 1), (20, 2), (30, 3)].into();
        for (ms, tick) in [(5, 0), (10, 0), (19, 0), (20, 2), (29, 2), (31, 3)] {
            assert_eq!(ledger.tick_at(ms), tick, "{ms}");
        }
    }
}
