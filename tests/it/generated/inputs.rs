//! Makes what seats send: mostly what an agent that knows the catalogue would, in part what none should. One number makes
//! one list of inputs, always the same. Must not know what is done with them.

use formicarium_engine::{
    ActionCall, ActionId, Arg, FileFact, FileNews, InputBody, ParamKind, SeatId, SeatInput,
    TickInput, World,
};
use rand::RngExt;
use rand::rngs::ChaCha8Rng;

use super::scenario::chance;

/// Inputs of ticks 1 up to `ticks`, each sorted as the host's door leaves them. Facts of files only with `files`: a
/// recording has those of its broker and no others.
pub fn make(number: u64, stream: u8, world: &World, ticks: u64, files: bool) -> Vec<TickInput> {
    let mut rng = chance(number, stream);
    let seats = world.seats().len() as u32;
    (1..=ticks)
        .map(|tick| {
            let mut inputs = Vec::new();
            for seat in 0..seats {
                for seq in 0..rng.random_range(0..=2_u32) {
                    let body = body(&mut rng, world, files);
                    inputs.push(SeatInput {
                        seat: SeatId(seat),
                        seq,
                        body,
                    });
                }
            }
            TickInput {
                set: Vec::new(),
                tick,
                seats: inputs,
            }
        })
        .collect()
}

fn body(rng: &mut ChaCha8Rng, world: &World, files: bool) -> InputBody {
    match rng.random_range(0..100) {
        0..5 => InputBody::Late,
        5..8 => InputBody::Absent,
        8..11 => InputBody::Back,
        11 => InputBody::Exited {
            reason: "its program ended".into(),
        },
        12..18 if files => InputBody::File(FileFact {
            number: rng.random_range(1..1000),
            path: ["toc.md", "one/text.md", "new.md"][rng.random_range(0..3)].into(),
            news: news(rng),
        }),
        18 => InputBody::Told {
            text: "be quick".into(),
        },
        19 => InputBody::Seated {
            agent: "builtin:noop".into(),
        },
        20 => InputBody::Unseen,
        21 => InputBody::Thought {
            ms: rng.random_range(0..5000),
            tokens: rng.random_range(0..5000),
        },
        _ => {
            let calls = rng.random_range(0..=3);
            InputBody::Act((0..calls).map(|_| call(rng, world)).collect())
        }
    }
}

fn news(rng: &mut ChaCha8Rng) -> FileNews {
    match rng.random_range(0..5) {
        0 => FileNews::Published {
            version: rng.random_range(1..9),
            change: "changed".into(),
            merged: rng.random(),
        },
        1 => FileNews::Refused {
            code: "leased".into(),
            reason: "another holds it".into(),
            holder: Some(SeatId(rng.random_range(0..5))),
        },
        2 => FileNews::Leased {
            token: rng.random(),
        },
        3 => FileNews::Released {
            token: rng.random(),
        },
        _ => FileNews::Expired {
            token: rng.random(),
        },
    }
}

fn call(rng: &mut ChaCha8Rng, world: &World) -> ActionCall {
    let catalogue = world.catalogue();
    if rng.random_range(0..20) == 0 {
        // Past the catalogue, or with arguments that do not fit.
        let args = (0..rng.random_range(0..4)).map(|_| any(rng)).collect();
        let action = ActionId(rng.random_range(0..catalogue.len() as u16 + 2));
        return ActionCall { action, args };
    }
    let spec = &catalogue[rng.random_range(0..catalogue.len())];
    let seats = world.seats().len() as u32;
    let args = spec.params.iter().map(|param| {
        if !param.required && rng.random_range(0..3) == 0 {
            return Arg::None;
        }
        match &param.kind {
            ParamKind::Choice(words) => Arg::Choice(rng.random_range(0..words.len()) as u16),
            ParamKind::Int { min, max } => Arg::Int(rng.random_range(*min..=*max)),
            ParamKind::Num { min, max } => Arg::Num(min + (max - min) * rng.random::<f64>()),
            ParamKind::Bool => Arg::Bool(rng.random()),
            ParamKind::Text { max_chars } => Arg::Text(text(rng, *max_chars)),
            ParamKind::Seat => Arg::Seat(SeatId(rng.random_range(0..seats))),
        }
    });
    ActionCall {
        action: spec.id,
        args: args.collect(),
    }
}

fn text(rng: &mut ChaCha8Rng, most: u32) -> String {
    let letters = ['a', ' ', 'ä', '\n', '"', '\u{1f41c}', '\\', '\u{0}'];
    let length = rng.random_range(0..=most.min(12));
    (0..length)
        .map(|_| letters[rng.random_range(0..letters.len())])
        .collect()
}

fn any(rng: &mut ChaCha8Rng) -> Arg {
    match rng.random_range(0..6) {
        0 => Arg::Choice(rng.random()),
        1 => Arg::Int(rng.random()),
        2 => Arg::Num(f64::from_bits(rng.random())).finite(),
        3 => Arg::Bool(rng.random()),
        4 => Arg::Text(text(rng, 2000)),
        _ => Arg::Seat(SeatId(rng.random())),
    }
}

trait Finite {
    /// JSON, in which inputs are recorded, has no other numbers.
    fn finite(self) -> Self;
}

impl Finite for Arg {
    fn finite(self) -> Arg {
        match self {
            Arg::Num(number) if !number.is_finite() => Arg::Num(0.1),
            arg => arg,
        }
    }
}
