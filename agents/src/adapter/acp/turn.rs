//! How a turn of an ACP agent begins and ends, and what it has cost.

use serde_json::{Value, json};

use super::open::greeting;
use super::wire::Usage;
use super::{Acp, Asked, State};
use crate::adapter::Output;
use crate::event::{Blame, Cost, FaultKind, Transcript, TranscriptKind};

/// What comes after a turn, if the tick is still open.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Next {
    /// The tick is passed.
    Pass,
    /// Another turn, if there is an observation that the agent has not seen.
    News,
    /// Another turn with the same observation.
    Again,
}

impl Acp {
    /// Begins a turn with the present observation.
    pub(super) fn begin_turn(&mut self, out: &mut dyn FnMut(Output)) {
        let mut text = String::new();
        if !std::mem::replace(&mut self.is_greeted, true)
            && let Some(hello) = &self.hello
        {
            text = greeting(hello, self.plan.prompt.as_deref());
        }
        text += &self.play.show();
        let params = json!({"sessionId": self.session, "prompt": [{"type": "text", "text": text}]});
        self.state = State::Running;
        self.has_called = false;
        self.request(Asked::Prompt, &params, out);
    }

    pub(super) fn transcribe_end(&self, reason: &str, out: &mut dyn FnMut(Output)) {
        out(Output::Transcript(Transcript {
            kind: TranscriptKind::Result,
            text: reason.to_owned(),
            line: json!({"stopReason": reason}).to_string(),
        }));
    }

    pub(super) fn turn_over(&mut self, result: &Value, out: &mut dyn FnMut(Output)) {
        self.flush(out);
        let reason = result["stopReason"].as_str().unwrap_or_default();
        self.transcribe_end(reason, out);
        self.tell_cost(&result["usage"], out);
        let expected = self.over || self.state == State::Cancelled;
        let trouble = match reason {
            "end_turn" => return self.idle(Next::News, out),
            // What was cut off by a limit of calls goes on, unless it would be cut off for ever.
            "max_turn_requests" if self.has_called => return self.idle(Next::Again, out),
            "max_turn_requests" => {
                "its turn reached the agent's limit of model calls without a call of the seat's tools"
            }
            "cancelled" if expected => return self.idle(Next::News, out),
            "cancelled" => "its turn was cancelled, and not by this host",
            "refusal" => "the model refused to go on; look at the scenario's prompts",
            "max_tokens" => {
                "the model's answer reached its limit of tokens; ask for shorter answers in the prompt, or raise the agent's \
                 own limit"
            }
            _ => "its turn ended for a reason that this host does not know",
        };
        let detail = format!(
            "{trouble} (stopReason {reason:?}); it passes this tick and tries again with the next"
        );
        Self::fault(FaultKind::ModelError, Blame::Agent, detail, out);
        self.idle(Next::Pass, out);
    }

    /// The turn is over. What of the present tick is still open goes on as said, or is passed.
    pub(super) fn idle(&mut self, next: Next, out: &mut dyn FnMut(Output)) {
        self.held = None;
        self.state = State::Idle;
        if self.over {
            return;
        }
        let goes_on = match next {
            Next::Pass => false,
            Next::News => self.play.has_news(),
            Next::Again => self.play.is_open() || self.play.has_news(),
        };
        if goes_on {
            self.begin_turn(out);
        } else {
            self.pass(out);
        }
    }

    pub(super) fn tell_cost(&mut self, usage: &Value, out: &mut dyn FnMut(Output)) {
        let usage: Usage = serde_json::from_value(usage.clone()).unwrap_or_default();
        // A session that was loaded may count anew.
        let before = if self.usd < self.told_usd {
            0.0
        } else {
            self.told_usd
        };
        let cost = Cost {
            model: self.name.clone(),
            input_tokens: usage.input_tokens,
            output_tokens: usage.output_tokens,
            cache_read_tokens: usage.cached_read_tokens,
            cache_write_tokens: usage.cached_write_tokens,
            usd: self.usd - before,
        };
        self.told_usd = self.usd;
        let nothing = Cost {
            model: self.name.clone(),
            ..Cost::default()
        };
        if cost != nothing {
            out(Output::Cost(cost));
        }
    }
}
