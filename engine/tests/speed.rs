//! Costs of a step and of an observation, printed and held to loose limits in release builds:
//! `cargo test --release -p formicarium-engine --test speed -- --nocapture`

use formicarium_engine::{
    ActionCall, ActionId, Arg, Bundle, InputBody, Scenario, SeatId, SeatInput, TickInput, World,
};

#[expect(clippy::disallowed_types, reason = "the one test that is about time")]
type Clock = std::time::Instant;

fn world(seats: usize, radius: usize) -> World {
    // About ten cells a seat, an apple on one of twelve.
    let side = ((seats * 10) as f64).sqrt().ceil() as usize + 4;
    let glyph = |cell: usize| if cell.is_multiple_of(12) { 'A' } else { '.' };
    let map: String = (0..side)
        .map(|y| {
            (0..side)
                .map(|x| glyph(y * side + x))
                .chain(['\n'])
                .collect::<String>()
        })
        .collect();
    let toml = format!(
        "format = 1\nname = \"speed\"\ntitle = \"speed\"\n[space]\nkind = \"grid\"\nmap = \"map.txt\"\n[space.legend]\n\
         \".\" = {{ spawn = \"s\" }}\n\"A\" = \"apple\"\n[kind.apple]\nglyph = \"A\"\n[[seat]]\nname = \"ant\"\ncount = {seats}\n\
         spawn = \"s\"\n[mechanic.movement]\n[mechanic.sanction]\n[mechanic.speech]\n[mechanic.harvest]\nkind = \"apple\"\n\
         regrow = [0.0, 0.0025, 0.005, 0.025]\n[observation]\nradius = {radius}\n"
    );
    let mut bundle = Bundle::new();
    bundle.insert("scenario.toml", toml.into_bytes());
    bundle.insert("map.txt", map.into_bytes());
    let scenario = Scenario::load(&bundle).unwrap();
    World::new(&scenario, &scenario.params(&[]).unwrap(), 1).unwrap()
}

fn input(tick: u64, seats: usize) -> TickInput {
    let one = |seat: usize| {
        let dir = (seat as u64)
            .wrapping_mul(0x9E37_79B9)
            .wrapping_add(tick.wrapping_mul(0x85EB_CA6B))
            >> 13;
        let call = ActionCall::new(ActionId(1), vec![Arg::Choice((dir % 4) as u16)]);
        SeatInput {
            seat: SeatId(seat as u32),
            seq: 0,
            body: InputBody::Act(vec![call]),
        }
    };
    TickInput {
        tick,
        seats: (0..seats).map(one).collect(),
    }
}

/// Nanoseconds of a step (with hash, delta, scores), of the hash alone, and of one observation.
fn measure(seats: usize) -> [f64; 3] {
    let mut world = world(seats, 5);
    let rounds = if cfg!(debug_assertions) {
        3
    } else {
        40_000 / (seats as u64 + 40)
    };
    let inputs: Vec<TickInput> = (1..=rounds).map(|tick| input(tick, seats)).collect();
    let start = Clock::now();
    let mut ticks = 0;
    for input in &inputs {
        ticks = world.step(input).tick;
    }
    let step = start.elapsed().as_nanos() as f64 / rounds as f64;
    assert_eq!(ticks, rounds);
    let start = Clock::now();
    let mut hashes = 0;
    for _ in 0..rounds {
        hashes ^= world.hash();
    }
    let hash = start.elapsed().as_nanos() as f64 / rounds as f64;
    assert!(
        hashes == 0 || hashes == world.hash(),
        "a hash depends on the state alone"
    );
    let start = Clock::now();
    let mut bytes = 0;
    for round in 0..rounds {
        for seat in 0..seats as u32 {
            bytes += world.observe(SeatId(seat)).text.len() + round as usize % 2;
        }
    }
    let observe = start.elapsed().as_nanos() as f64 / (rounds * seats as u64) as f64;
    assert!(bytes > 0);
    [step, hash, observe]
}

#[test]
fn costs() {
    for seats in [8, 100, 1000] {
        let [step, hash, observe] = measure(seats);
        println!(
            "{seats:>5} seats: step {:>8.1} us, of it hash {:>7.1} us; observe {observe:>6.0} ns",
            step / 1e3,
            hash / 1e3
        );
        if !cfg!(debug_assertions) {
            // A tenth of what a lockstep round of 1000 pipes takes; far above what is measured on an idle machine.
            assert!(
                step < 10_000.0 * seats as f64 + 100_000.0,
                "a step of {seats} seats took {step} ns"
            );
            assert!(observe < 30_000.0, "an observation took {observe} ns");
        }
    }
}
