//! What the scenario asks its agents: who is asked what, when, and what became of it.
//!
//! Pure and synchronous: the tick loop says what tick it is, sends the questions and tells the answers. No answer ever
//! enters the world.

use std::collections::BTreeMap;

use formicarium_agents::protocol::{self, Answer, End, Question, check_answer};
use formicarium_engine::{QuestionSpec, SeatInfo};
use serde_json::{Map, Value, json};

/// What became of a question.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Outcome {
    /// For people.
    pub(super) words: String,
    /// `question`, `asked` (its tick), `status` and `value`.
    pub(super) data: Value,
}

/// What is to be said, by seat.
#[derive(Debug, Default)]
pub(super) struct Put {
    /// Questions for agents.
    pub(super) questions: Vec<(usize, Question)>,
    /// What earlier questions came to that are closed now.
    pub(super) outcomes: Vec<(usize, Outcome)>,
}

/// Why an answer was not taken.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Refused {
    /// There is no such question open.
    NotAsked(String),
    /// It does not fit: the question is to be put again.
    DoesNotFit(String, Box<Question>),
}

#[derive(Debug, Default)]
struct Seat {
    /// Questions that concern it.
    concerned: Vec<usize>,
    /// Its agent has said that it answers.
    answers: bool,
    /// Open questions, and the tick of each.
    open: BTreeMap<usize, u64>,
    /// Its agent is a new one and has not been put the open questions.
    unasked: bool,
}

/// The questions of a run.
#[derive(Debug)]
pub(super) struct Interview {
    questions: Vec<QuestionSpec>,
    seats: Vec<Seat>,
}

impl Interview {
    /// A run's questions, none asked yet.
    pub(super) fn new(questions: Vec<QuestionSpec>, seats: &[SeatInfo]) -> Interview {
        let concerned = |seat: &SeatInfo| {
            (0..questions.len())
                .filter(|question| questions[*question].groups.contains(&seat.group))
                .collect()
        };
        let seats = seats
            .iter()
            .map(|seat| Seat {
                concerned: concerned(seat),
                ..Seat::default()
            })
            .collect();
        Interview { questions, seats }
    }

    /// What a seat may be asked, for its `hello`.
    pub(super) fn specs(&self, seat: usize) -> Vec<protocol::QuestionSpec> {
        let spec = |question: &usize| {
            let question = &self.questions[*question];
            protocol::QuestionSpec {
                name: question.name.clone(),
                text: question.text.clone(),
                schema: question.schema.clone(),
            }
        };
        self.seats[seat].concerned.iter().map(spec).collect()
    }

    /// A seat's agent is ready.
    pub(super) fn ready(&mut self, seat: usize, answers: bool) {
        let seat = &mut self.seats[seat];
        seat.answers = answers;
        seat.unasked = true;
    }

    /// A seat's agent is gone.
    pub(super) fn leave(&mut self, seat: usize) {
        self.seats[seat].answers = false;
    }

    /// What is to be put with the observations of this tick, to whom; and what an earlier question comes to that is put
    /// anew.
    pub(super) fn due(&mut self, tick: u64) -> Put {
        let due: Vec<usize> = (0..self.questions.len())
            .filter(|question| self.questions[*question].is_due(tick))
            .collect();
        self.put(tick, &due, |_| None)
    }

    /// What is to be put at the end of the run. `end` is what each seat came to.
    pub(super) fn at_end(&mut self, tick: u64, end: impl Fn(usize) -> End) -> Put {
        let mut outcomes = Vec::new();
        for seat in 0..self.seats.len() {
            // Whoever has not answered a question of a tick so far will not see that tick again.
            outcomes.extend(self.close(seat));
        }
        let due: Vec<usize> = (0..self.questions.len())
            .filter(|question| self.questions[*question].at_end)
            .collect();
        let put = self.put(tick, &due, |seat| Some(end(seat)));
        Put { outcomes, ..put }
    }

    fn put(&mut self, tick: u64, due: &[usize], end: impl Fn(usize) -> Option<End>) -> Put {
        let mut put = Put::default();
        let questions = &self.questions;
        for (index, seat) in self.seats.iter_mut().enumerate() {
            if !seat.answers {
                continue;
            }
            for question in due.iter().filter(|due| seat.concerned.contains(due)) {
                if let Some(asked) = seat.open.remove(question) {
                    let outcome = unanswered(&questions[*question], asked);
                    put.outcomes.push((index, outcome));
                }
            }
            if std::mem::take(&mut seat.unasked) {
                for (question, asked) in &seat.open {
                    let question = question_of(&questions[*question], *asked, None);
                    put.questions.push((index, question));
                }
            }
            for question in due.iter().filter(|due| seat.concerned.contains(due)) {
                seat.open.insert(*question, tick);
                let question = question_of(&questions[*question], tick, end(index));
                put.questions.push((index, question));
            }
        }
        put
    }

    /// Takes an answer.
    ///
    /// # Errors
    /// It is to no open question, or does not fit.
    pub(super) fn answer(&mut self, seat: usize, answer: &Answer) -> Result<Outcome, Refused> {
        let open = &mut self.seats[seat].open;
        let questions = &self.questions;
        let found = open
            .iter()
            .map(|(question, asked)| (*question, *asked))
            .find(|(question, asked)| {
                questions[*question].name == answer.question && *asked == answer.tick
            });
        let Some((at, asked)) = found else {
            return Err(Refused::NotAsked(format!(
                "no question {:?} of tick {} is open for you; repeat `name` and `tick` of the question, once",
                shortened(&answer.question),
                answer.tick
            )));
        };
        let question = &questions[at];
        if let Some(value) = &answer.value
            && let Err(why) = check_answer(&question.schema, value)
        {
            let mut again = question_of(question, asked, None);
            again.refused = Some(why.clone());
            return Err(Refused::DoesNotFit(why, Box::new(again)));
        }
        open.remove(&at);
        let (status, words) = match &answer.value {
            Some(value) => ("answered", words(value)),
            None => ("declined", "no answer to this".to_owned()),
        };
        Ok(outcome(
            question,
            asked,
            status,
            &words,
            answer.value.as_ref(),
        ))
    }

    /// Whether somebody who is there has something open.
    pub(super) fn is_open(&self) -> bool {
        self.seats
            .iter()
            .any(|seat| seat.answers && !seat.open.is_empty())
    }

    /// How long the end waits for what is open, in milliseconds.
    pub(super) fn wait_ms(&self) -> u64 {
        let open = self.seats.iter().flat_map(|seat| seat.open.keys());
        open.map(|question| self.questions[*question].wait_ms)
            .max()
            .unwrap_or(0)
    }

    /// Nobody answers any more: what is still open for a seat comes to nothing.
    pub(super) fn close(&mut self, seat: usize) -> Vec<(usize, Outcome)> {
        std::mem::take(&mut self.seats[seat].open)
            .into_iter()
            .map(|(question, asked)| (seat, unanswered(&self.questions[question], asked)))
            .collect()
    }
}

fn question_of(question: &QuestionSpec, tick: u64, end: Option<End>) -> Question {
    Question {
        name: question.name.clone(),
        tick,
        text: question.text.clone(),
        schema: question.schema.clone(),
        end,
        refused: None,
    }
}

fn unanswered(question: &QuestionSpec, asked: u64) -> Outcome {
    outcome(question, asked, "unanswered", "no answer", None)
}

fn outcome(
    question: &QuestionSpec,
    asked: u64,
    status: &str,
    words: &str,
    value: Option<&Map<String, Value>>,
) -> Outcome {
    Outcome {
        words: format!("{} {words}", question.text.trim()),
        data: json!({"question": question.name, "asked": asked, "status": status, "value": value}),
    }
}

/// An answer in words: its fields, or only what the one field holds.
fn words(value: &Map<String, Value>) -> String {
    let plain = |value: &Value| match value {
        Value::String(text) => text.clone(),
        other => other.to_string(),
    };
    let fields: Vec<String> = match value.len() {
        1 => value.values().map(plain).collect(),
        _ => value
            .iter()
            .map(|(name, value)| format!("{name}: {}", plain(value)))
            .collect(),
    };
    format!("- {}", fields.join("; "))
}

/// A name as it may be shown back.
fn shortened(name: &str) -> String {
    name.chars().take(40).collect()
}
