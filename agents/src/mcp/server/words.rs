//! What a client is told in words: how to play, the rules, why something is refused.
//!
//! Must not know who is told, or over what.

use crate::protocol::{End, Hello, Observe, ThinkPer, TimeMode};

/// An action in the tick in which the client came in.
pub(super) const JOINING: &str = "you have come in the middle of a tick, which ends without you; call wait: it answers with the first \
     observation that you can act on";

/// Another client plays now.
pub(super) fn taken_over(client: &str) -> String {
    format!(
        "another client, {client}, has taken this seat with the same token; this session can look on no more. Connect again \
         to take the seat back"
    )
}

/// The run has ended.
pub(super) fn over(end: &End) -> String {
    format!(
        "The run is over after {} ticks: {}. Your score: {}. There is nothing more to do here.",
        end.tick, end.reason, end.score
    )
}

/// Too many calls.
pub(super) fn flood(most: u32) -> String {
    format!(
        "too many calls in this tick, and {most} are the most; wait for the answers you have asked for"
    )
}

/// What a client is told when it connects.
pub(super) fn instructions(hello: &Hello) -> String {
    let mut text = format!(
        "You are {} in \"{}\".\n\n{}\n\n{}\n\n{}\n",
        hello.seat,
        hello.scenario.title,
        hello.role.trim(),
        hello.rules.trim(),
        limits(hello)
    );
    if let Some(note) = &hello.remembered {
        let note = note
            .as_str()
            .map_or_else(|| note.to_string(), str::to_owned);
        text += &format!("\nThe note that was kept for this seat: {note}\n");
    }
    text
}

fn limits(hello: &Hello) -> String {
    let (limits, time) = (&hello.limits, &hello.time);
    let pace = match time.mode {
        TimeMode::Lockstep => format!(
            "The world waits up to {} for everyone's answer, then goes on",
            duration(time.deadline_ms)
        ),
        TimeMode::Realtime => format!(
            "The world goes on every {}, whether you have acted or not",
            duration(time.deadline_ms)
        ),
        TimeMode::Async => format!(
            "The world goes on every {}, however long you think; what you do enters it when you do it",
            duration(time.deadline_ms)
        ),
        TimeMode::Turns => format!(
            "One seat acts at a time; when it is your turn, the world waits up to {} for you",
            duration(time.deadline_ms)
        ),
    };
    let bank = time.bank.map_or(String::new(), |bank| {
        format!(
            ". In all you may think for {}, and {} more for each answer; after that you have {} each time",
            duration(bank.initial_ms),
            duration(bank.increment_ms),
            duration(bank.min_ms)
        )
    });
    let think = time.think.map_or(String::new(), |think| {
        let amount = match think.per {
            ThinkPer::Ms => duration(think.amount),
            ThinkPer::Tokens => format!("{} tokens", think.amount),
        };
        format!(
            ". Thinking costs time of the world: for each {amount}, what you do takes effect a tick later, up to {} ticks",
            think.max_ticks
        )
    });
    let last = match time.ticks {
        0 => "The run has no last tick.".to_owned(),
        ticks => format!("The last tick is {ticks}."),
    };
    format!(
        "How to play: call `wait` or `look` to see the world, then one of the action tools. The answer to an action comes when \
         the tick is over and shows what you see then, so go on from there; do not call several action tools at once. {} a \
         tick; `say` ({} a tick, {} characters) costs no action and is answered at once. `wait` passes. Keep playing until you \
         are told that the run is over. {pace}{bank}{think}. {last}",
        match limits.actions {
            1 => "You have one action".to_owned(),
            most => format!("You have up to {most} actions"),
        },
        limits.speech,
        limits.speech_chars,
    )
}

fn duration(ms: u64) -> String {
    match ms {
        ms if ms >= 1000 && ms.is_multiple_of(1000) => format!("{} s", ms / 1000),
        ms => format!("{ms} ms"),
    }
}

/// The present observation, or that there is none.
pub(super) fn observation(now: Option<&Observe>) -> String {
    now.map_or_else(
        || "The world has not begun yet.".to_owned(),
        |now| now.text.clone(),
    )
}
