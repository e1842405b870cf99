//! What do a step, the hash of all state and one seat's observation cost, by the number of seats?
//!
//! A bounded map with ten cells a seat, an apple on one of twelve, everyone moves each tick. The hash is part of
//! every step and is shown apart. `cargo bench --bench step`; no limit here: the lockstep bench holds the sum
//! against one.

use std::hint::black_box;

use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use formicarium_engine::{
    ActionCall, ActionId, Arg, Bundle, InputBody, Scenario, SeatId, SeatInput, TickInput, World,
};

fn world(seats: usize) -> World {
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
        "format = 1\nname = \"bench\"\ntitle = \"bench\"\n[space]\nkind = \"grid\"\nmap = \"map.txt\"\n[space.legend]\n\
         \".\" = {{ spawn = \"s\" }}\n\"A\" = \"apple\"\n[kind.apple]\nglyph = \"A\"\n[[seat]]\nname = \"ant\"\ncount = {seats}\n\
         spawn = \"s\"\n[mechanic.movement]\n[mechanic.sanction]\n[mechanic.speech]\n[mechanic.harvest]\nkind = \"apple\"\n\
         regrow = [0.0, 0.0025, 0.005, 0.025]\n[observation]\nradius = 5\n"
    );
    let mut bundle = Bundle::new();
    bundle.insert("scenario.toml", toml.into_bytes());
    bundle.insert("map.txt", map.into_bytes());
    let scenario = Scenario::load(&bundle).expect("a scenario without faults");
    let params = scenario.params(&[]).expect("defaults");
    World::new(&scenario, &params, 1).expect("room for all seats")
}

/// Everyone moves, each tick another way.
fn input(world: &World, seats: usize) -> TickInput {
    let tick = world.tick() + 1;
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
        set: Vec::new(),
        tick,
        seats: (0..seats).map(one).collect(),
    }
}

fn bench(criterion: &mut Criterion) {
    for seats in [8, 100, 1000] {
        let mut world = world(seats);
        let mut group = criterion.benchmark_group("step");
        group.throughput(Throughput::Elements(seats as u64));
        group.bench_function(BenchmarkId::new("step", seats), |bencher| {
            bencher.iter(|| {
                let input = input(&world, seats);
                black_box(world.step(&input));
            });
        });
        group.bench_function(BenchmarkId::new("hash", seats), |bencher| {
            bencher.iter(|| black_box(world.hash()));
        });
        group.throughput(Throughput::Elements(1));
        group.bench_function(BenchmarkId::new("observe", seats), |bencher| {
            let mut seat = 0;
            bencher.iter(|| {
                seat = (seat + 1) % seats as u32;
                black_box(world.observe(SeatId(seat)));
            });
        });
        group.finish();
    }
}

criterion_group!(benches, bench);
criterion_main!(benches);
