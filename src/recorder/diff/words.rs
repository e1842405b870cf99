//! Inputs in words: seats, actions and choices by their names. Must not know what they are compared with.

use std::collections::BTreeMap;

use formicarium_engine::{ActionSpec, Arg, InputBody, ParamKind, SeatInput};

use super::super::SeatMeta;
use super::super::reader::Recording;
use super::super::replay::initial_world;

/// Inputs by seat, in words.
pub(super) fn words(of: &Recording, inputs: Vec<SeatInput>) -> BTreeMap<String, String> {
    // Without a world that this host can make, actions have their numbers.
    let catalogue = initial_world(of).map_or(Vec::new(), |world| world.catalogue().to_vec());
    let seats = &of.meta.seats;
    let mut words: BTreeMap<String, Vec<String>> = BTreeMap::new();
    for input in inputs {
        let seat = match seats.get(input.seat.index()) {
            Some(meta) => meta.seat.clone(),
            None => format!("seat {}", input.seat.0),
        };
        let said = match &input.body {
            InputBody::Act(calls) if calls.is_empty() => vec!["nothing".to_owned()],
            InputBody::Act(calls) => calls
                .iter()
                .map(|call| match catalogue.get(call.action.index()) {
                    Some(spec) => action(spec, &call.args, seats),
                    None => format!("action {}", call.action.0),
                })
                .collect(),
            InputBody::Late => vec!["late".to_owned()],
            InputBody::Absent => vec!["absent".to_owned()],
            InputBody::Back => vec!["back".to_owned()],
            InputBody::Told { text } => vec![format!("told: {text}")],
            InputBody::Seated { agent } => vec![format!("seated: {agent}")],
            InputBody::Exited { reason } => vec![format!("exited: {reason}")],
            // Whom the host asks follows from its time mode and is no doing of anybody.
            InputBody::Turn | InputBody::Unseen => continue,
            InputBody::Thought { ms, tokens } => vec![format!("thought {ms} ms, {tokens} tokens")],
            InputBody::Fault { kind, .. } => vec![format!("fault {}", kind.word())],
            InputBody::FaultOver { kind, .. } => vec![format!("fault {} over", kind.word())],
            InputBody::File(fact) => {
                let news = serde_json::to_string(&fact.news).unwrap_or_default();
                vec![format!("file {} {news}", fact.path)]
            }
        };
        words.entry(seat).or_default().extend(said);
    }
    words
        .into_iter()
        .map(|(seat, list)| (seat, list.join("; ")))
        .collect()
}

/// An action with its arguments, as people read it.
pub(crate) fn action(spec: &ActionSpec, args: &[Arg], seats: &[SeatMeta]) -> String {
    let mut text = spec.name.clone();
    for (param, arg) in spec.params.iter().zip(args) {
        let value = match (arg, &param.kind) {
            (Arg::None, _) => continue,
            (Arg::Choice(index), ParamKind::Choice(choices)) => choices
                .get(usize::from(*index))
                .cloned()
                .unwrap_or_else(|| index.to_string()),
            (Arg::Choice(index), _) => index.to_string(),
            (Arg::Int(number), _) => number.to_string(),
            (Arg::Num(number), _) => number.to_string(),
            (Arg::Bool(is), _) => is.to_string(),
            (Arg::Text(words), _) => format!("{words:?}"),
            (Arg::Seat(seat), _) => seats
                .get(seat.index())
                .map_or_else(|| format!("seat {}", seat.0), |meta| meta.seat.clone()),
        };
        text += &format!(" {}={value}", param.name);
    }
    text
}
