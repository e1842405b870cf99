//! `formicarium ask`: what a seat's agent has to say at a tick, on a fork that is thrown away.
//!
//! The run itself is only read; answers are kept beside it. Must not know how forks are made or agents started.

use std::fs;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use formicarium_agents::Nursery;
use formicarium_agents::protocol::check_answer;
use formicarium_engine::{Mode, QuestionSpec};
use serde::Serialize;
use serde_json::{Map, Value, json};

use super::fork::{self, Branch};
use super::live;
use super::resume::ResumeError;
use super::run::duration;
use super::table::table;
use super::{Exit, LogFormat, fail};
use crate::cast::{self, Agent};
use crate::recorder::SeatMeta;
use crate::recorder::ancestry::forget;
use crate::recorder::diff::action;
use crate::recorder::reader::Recording;
use crate::run::builtin::Move;
use crate::run::catalogue::Catalogue;
use crate::run::{Asking, Plan, Timing, seclusion};

/// Beside `run.db`: what agents of the run were asked later, a JSON object a line.
pub(super) const ANNOTATIONS: &str = "annotations.jsonl";
/// The question's name, as agents see it.
const NAME: &str = "asked";

#[derive(Debug, Args)]
pub(super) struct AskArgs {
    /// A run's folder.
    run: PathBuf,
    /// Who, and when: SEAT@TICK. The seat may have * and ?; @TICK is for --all.
    #[arg(value_name = "SEAT@TICK", value_parser = whom)]
    whom: (String, u64),
    /// The question.
    question: String,
    /// Ask every seat, each by itself: a survey.
    #[arg(long)]
    all: bool,
    /// JSON Schema of the answer, of an object: a file, or the schema itself. Default: {"answer": "some words"}.
    #[arg(long, value_name = "FILE|JSON")]
    schema: Option<String>,
    /// Write the answers to a file, by its end .csv or .jsonl, instead of printing them.
    #[arg(long, value_name = "FILE")]
    to: Option<PathBuf>,
    /// Longest wait for answers, such as 30s or 5m.
    #[arg(long, value_parser = duration, default_value = "2m")]
    wait: Duration,
    /// Print a JSON array on standard output.
    #[arg(long)]
    json: bool,
}

fn whom(text: &str) -> Result<(String, u64), String> {
    let wrong = || "write it as SEAT@TICK, such as harvester-3@120".to_owned();
    let (seat, tick) = text.rsplit_once('@').ok_or_else(wrong)?;
    let tick = tick.parse().map_err(|_| wrong())?;
    Ok((seat.to_owned(), tick))
}

/// What became of the question at one seat.
#[derive(Debug, Serialize)]
struct Answer {
    seat: String,
    agent: String,
    tick: u64,
    question: String,
    /// `answered`, `declined`, `unanswered`, `builtin`, `nobody`.
    status: String,
    /// What was answered, as the schema has it.
    value: Option<Value>,
    /// In words: the answer, or why there is none.
    words: String,
}

pub(super) fn run(args: &AskArgs, logs: LogFormat) -> Exit {
    // Before any thread, and while the process is small: keepers share its pages.
    let nursery = match Nursery::start() {
        Ok(nursery) => nursery,
        Err(error) => return fail(Exit::Failed, &error),
    };
    let usage = |words: String| {
        eprintln!("formicarium: {words}");
        Exit::Usage
    };
    let (pattern, tick) = match (&args.whom, args.all) {
        ((seat, tick), true) if seat.is_empty() => ("*", *tick),
        ((seat, _), false) if seat.is_empty() => {
            return usage("whom? SEAT@TICK names a seat; --all asks every one".into());
        }
        ((seat, tick), _) => (seat.as_str(), *tick),
    };
    let schema = match args.schema.as_deref().map(schema).transpose() {
        Ok(schema) => schema.unwrap_or_else(words_schema),
        Err(why) => return usage(why),
    };
    let answers = match ask(args, (pattern, tick), schema.clone(), nursery, logs) {
        Ok(answers) => answers,
        Err(error) => return error.tell(),
    };
    if answers.is_empty() {
        return usage(format!("the run has no seat {pattern}"));
    }
    if let Err(error) = keep(&args.run, &answers) {
        return fail(Exit::Failed, &error);
    }
    let text = match &args.to {
        Some(path) => {
            let is_csv = path.extension().is_some_and(|end| end == "csv");
            let text = if is_csv {
                csv(&answers, &schema)
            } else {
                lines(&answers)
            };
            if let Err(error) = fs::write(path, text) {
                return usage(format!("{}: {error}", path.display()));
            }
            String::new()
        }
        None if args.json => format!("{}\n", json!(answers)),
        None if answers.len() == 1 => format!("{}\n", answers[0].words),
        None => table(
            &answers
                .iter()
                .map(|a| vec![a.seat.clone(), a.status.clone(), a.words.clone()])
                .collect::<Vec<_>>(),
            &[],
        ),
    };
    print!("{text}");
    match answers
        .iter()
        .any(|a| a.status == "answered" || a.status == "builtin")
    {
        true => Exit::Good,
        false => Exit::Failed,
    }
}

/// A fork that is thrown away, whatever becomes of it.
struct Throwaway {
    folder: PathBuf,
    run: Option<String>,
}

impl Drop for Throwaway {
    fn drop(&mut self) {
        if let Ok(recording) = Recording::open(&self.folder) {
            forget(&self.folder, &recording.meta);
        }
        if let Some(run) = &self.run {
            seclusion::clear(&self.folder, run);
        }
        if let Err(error) = fs::remove_dir_all(&self.folder)
            && error.kind() != std::io::ErrorKind::NotFound
        {
            eprintln!(
                "formicarium: {} was not removed: {error}",
                self.folder.display()
            );
        }
    }
}

fn ask(
    args: &AskArgs,
    (pattern, tick): (&str, u64),
    schema: Value,
    nursery: Nursery,
    logs: LogFormat,
) -> Result<Vec<Answer>, ResumeError> {
    let parent = Recording::open(&args.run)?;
    let is_asked = |name: &str| cast::matches(pattern, name);
    let others = parent
        .meta
        .seats
        .iter()
        .filter(|seat| !is_asked(&seat.seat));
    let mut branch = Branch::new(args.run.clone(), tick);
    branch.drop = others.map(|seat| seat.seat.clone()).collect();
    let word: u64 = rand::random();
    let folder = std::env::temp_dir().join(format!("formicarium-ask-{word:016x}"));
    let mut throwaway = Throwaway {
        folder: folder.clone(),
        run: None,
    };
    branch.out = Some(folder.clone());
    let mut plan = fork::plan(branch)?;
    throwaway.run = Some(plan.run.clone());
    let time = plan.world.time();
    plan.timing = Timing::new(time, Some(Mode::Lockstep), None, Some(args.wait), Some(0));
    let mut answers: Vec<Answer> = Vec::new();
    let seats = plan
        .world
        .seats()
        .iter()
        .zip(&parent.meta.seats)
        .zip(&plan.seated);
    let mut is_awaited = false;
    for (index, ((seat, meta), seated)) in seats
        .enumerate()
        .filter(|(_, ((seat, ..), _))| is_asked(&seat.name))
    {
        let (status, words) = match &seated.agent {
            Agent::Builtin(_) => ("builtin", intention(&plan, &parent.meta.seats, index, tick)),
            Agent::Mcp { .. } => (
                "nobody",
                "the seat is open to clients, and none is there".to_owned(),
            ),
            Agent::Process(_) => {
                is_awaited = true;
                ("unanswered", "no answer".to_owned())
            }
        };
        answers.push(Answer {
            seat: seat.name.clone(),
            agent: meta.agent.clone(),
            tick,
            question: args.question.clone(),
            status: status.to_owned(),
            value: None,
            words,
        });
    }
    if !is_awaited {
        return Ok(answers);
    }
    let groups = plan.world.seats().iter().map(|seat| seat.group.clone());
    plan.asking = Some(Asking {
        question: QuestionSpec {
            name: NAME.into(),
            text: args.question.clone(),
            groups: groups.collect(),
            at: vec![tick],
            every: 0,
            at_end: false,
            wait_ms: args.wait.as_millis() as u64,
            schema,
        },
        wait: args.wait,
    });
    let summary = live::converse(plan, nursery, logs)?;
    let recording = Recording::open(&folder)?;
    for answer in answers
        .iter_mut()
        .filter(|answer| answer.status == "unanswered")
    {
        if let Some((status, value)) = recording.last_answer(&answer.seat, NAME)? {
            answer.words = match (&value, status.as_str()) {
                (Some(value), _) => in_words(value),
                (None, "declined") => "no answer to this".into(),
                (None, _) => format!("no answer within {:?}", args.wait),
            };
            (answer.status, answer.value) = (status, value);
            continue;
        }
        let of = summary.seats.iter().find(|seat| seat.seat == answer.seat);
        let trouble = of.and_then(|seat| seat.trouble.clone());
        answer.words = trouble.unwrap_or_else(|| {
            "its agent does not answer questions: it has not said `answers` with `ready`".into()
        });
        answer.status = "nobody".into();
    }
    Ok(answers)
}

/// What a builtin agent would do: it has no words.
fn intention(plan: &Plan, seats: &[SeatMeta], seat: usize, tick: u64) -> String {
    let names: Vec<String> = plan
        .world
        .seats()
        .iter()
        .map(|seat| seat.name.clone())
        .collect();
    let catalogue = Catalogue::new(plan.world.catalogue().to_vec(), &names);
    let Agent::Builtin(builtin) = &plan.seated[seat].agent else {
        return String::new();
    };
    let wants = match builtin.answer(plan.seed, seat, tick, &catalogue, names.len()) {
        Move::Calls(calls) => calls
            .iter()
            .filter_map(|call| {
                let spec = catalogue.specs().get(call.action.index())?;
                Some(action(spec, &call.args, seats))
            })
            .collect::<Vec<_>>()
            .join(", "),
        Move::Asked(asked) => asked
            .actions
            .iter()
            .map(|(name, args)| format!("{name} {}", json!(args)))
            .chain(asked.say.iter().map(|text| format!("say {text:?}")))
            .collect::<Vec<_>>()
            .join(", "),
    };
    let wants = if wants.is_empty() { "nothing" } else { &wants };
    format!(
        "{} has no words; at tick {tick} it does: {wants}",
        plan.seated[seat].label
    )
}

fn words_schema() -> Value {
    json!({"type": "object", "properties": {"answer": {"type": "string"}}, "required": ["answer"],
        "additionalProperties": false})
}

/// A schema, or the file that it stands in.
fn schema(given: &str) -> Result<Value, String> {
    let text = match given.trim_start().starts_with('{') {
        true => given.to_owned(),
        false => fs::read_to_string(given).map_err(|error| format!("--schema {given}: {error}"))?,
    };
    let schema: Value =
        serde_json::from_str(&text).map_err(|error| format!("--schema is no JSON: {error}"))?;
    if schema["type"] != "object" {
        return Err("--schema: an answer is an object; give the schema \"type\": \"object\" and its \"properties\"".into());
    }
    // Whether anything fits is the agents' to find out; that it is a schema shows here.
    match check_answer(&schema, &Map::new()) {
        Err(why) if why.contains("no JSON Schema") => Err(format!("--schema: {why}")),
        _ => Ok(schema),
    }
}

/// An answer's only field, or all of them.
fn in_words(value: &Value) -> String {
    let plain = |value: &Value| {
        value
            .as_str()
            .map_or_else(|| value.to_string(), str::to_owned)
    };
    match value.as_object() {
        Some(fields) if fields.len() == 1 => fields.values().map(plain).collect(),
        Some(fields) => {
            let fields: Vec<String> = fields
                .iter()
                .map(|(name, value)| format!("{name}: {}", plain(value)))
                .collect();
            fields.join("; ")
        }
        None => plain(value),
    }
}

fn lines(answers: &[Answer]) -> String {
    answers
        .iter()
        .map(|answer| format!("{}\n", json!(answer)))
        .collect()
}

/// A column for each property of the schema.
fn csv(answers: &[Answer], schema: &Value) -> String {
    let properties: Vec<&String> = schema["properties"]
        .as_object()
        .map_or(Vec::new(), |map| map.keys().collect());
    let quoted = |text: &str| match text.contains(['"', ',', '\r', '\n']) {
        true => format!("\"{}\"", text.replace('"', "\"\"")),
        false => text.to_owned(),
    };
    let mut text = String::from("seat,agent,tick,status");
    for property in &properties {
        text += &format!(",{}", quoted(property));
    }
    text += "\r\n";
    for answer in answers {
        let tick = answer.tick.to_string();
        let mut row = [&answer.seat, &answer.agent, &tick, &answer.status]
            .map(|cell| quoted(cell))
            .to_vec();
        for property in &properties {
            let value = answer
                .value
                .as_ref()
                .and_then(|value| value.get(property.as_str()));
            row.push(value.map_or(String::new(), |value| match value {
                Value::String(text) => quoted(text),
                Value::Null => String::new(),
                other => quoted(&other.to_string()),
            }));
        }
        text += &row.join(",");
        text += "\r\n";
    }
    text
}

/// Keeps the answers beside the run, whose recording stays as it was.
fn keep(run: &Path, answers: &[Answer]) -> std::io::Result<()> {
    let folder = match run.is_file() {
        true => run.parent().unwrap_or(run),
        false => run,
    };
    let mut file = fs::OpenOptions::new()
        .create(true)
        .append(true)
        .open(folder.join(ANNOTATIONS))?;
    let now = jiff::Timestamp::now().as_second();
    for answer in answers {
        let mut line = json!(answer);
        line["asked_unix"] = json!(now);
        // One write a line: two who ask at once do not mix theirs.
        file.write_all(format!("{line}\n").as_bytes())?;
    }
    Ok(())
}
