//! Many generated scenarios, each run, run again from its serialized inputs, cut at a keyframe, recorded, replayed,
//! verified and forked: equal hashes at every tick, however it comes to it.
//!
//! `FORMICARIUM_GENERATED_COUNT` says how many, `FORMICARIUM_GENERATED_SEED` which is the first: a failure names its
//! number, and that number alone makes it again (`make generated COUNT=1 SEED=NUMBER`).

mod inputs;
mod scenario;

use std::collections::BTreeSet;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use formicarium::recorder::reader::Recording;
use formicarium::recorder::replay::{Verdict, replay, replay_part};
use formicarium::recorder::writer::{Outcome, Recorder};
use formicarium::recorder::{
    Changes, Parent, Provenance, RunEnd, RunMeta, SeatMeta, fingerprint, fork, hash_text, seek,
    verify,
};
use formicarium_engine::{Params, SEMANTICS, Scenario, TickInput, TickOutput, World};
use rand::RngExt;
use serde_json::json;

use self::scenario::{Made, chance};
use crate::host::{Folder, assert_replays, output, run};

/// How many are made where nobody says.
const COUNT: u64 = 200;
/// Of them, those that the real binary runs: one in so many.
const REAL: u64 = 50;

fn asked(name: &str, default: u64) -> u64 {
    let text = std::env::var(name).ok().filter(|text| !text.is_empty());
    text.map_or(default, |text| {
        text.parse()
            .unwrap_or_else(|_| panic!("{name} is {text:?}, no number"))
    })
}

/// Calls `each` with every number that is asked for, on all cores; a failure tells its number.
fn for_each(step: u64, each: impl Fn(u64) + Sync) {
    let (first, count) = (
        asked("FORMICARIUM_GENERATED_SEED", 1),
        asked("FORMICARIUM_GENERATED_COUNT", COUNT),
    );
    let next = AtomicU64::new(first);
    let cores = std::thread::available_parallelism().map_or(1, usize::from);
    std::thread::scope(|scope| {
        for _ in 0..cores {
            scope.spawn(|| {
                loop {
                    let number = next.fetch_add(step, Ordering::Relaxed);
                    if number >= first + count {
                        return;
                    }
                    let told = Told(number);
                    each(number);
                    std::mem::forget(told);
                }
            });
        }
    });
}

/// Tells which scenario it was when a test of it panics.
struct Told(u64);

impl Drop for Told {
    fn drop(&mut self) {
        eprintln!(
            "generated scenario {0} failed; alone: make generated COUNT=1 SEED={0}",
            self.0
        );
    }
}

/// A generated scenario, loaded.
struct Game {
    made: Made,
    scenario: Scenario,
    params: Params,
}

impl Game {
    fn new(number: u64) -> Game {
        let made = scenario::make(number);
        let text = String::from_utf8_lossy(made.bundle.get("scenario.toml").expect("a scenario"))
            .into_owned();
        let refused = |faults: Vec<formicarium_engine::Diagnostic>| -> ! {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            panic!(
                "scenario {number} is refused:\n{}\nset {:?}\n{text}",
                lines.join("\n"),
                made.set
            )
        };
        let scenario = Scenario::load(&made.bundle).unwrap_or_else(|faults| refused(faults));
        let params = scenario
            .params(&made.set)
            .unwrap_or_else(|faults| refused(faults));
        if let Err(faults) = World::new(&scenario, &params, made.seed) {
            refused(faults);
        }
        Game {
            made,
            scenario,
            params,
        }
    }

    fn world(&self) -> World {
        World::new(&self.scenario, &self.params, self.made.seed).expect("it was made before")
    }

    fn restored(&self, keyframe: &[u8]) -> World {
        World::restore(&self.scenario, &self.params, self.made.seed, keyframe)
            .expect("our own keyframe")
    }
}

fn is_equal(number: u64, what: &str, one: &TickOutput, other: &TickOutput) {
    assert_eq!(
        one.parts, other.parts,
        "scenario {number}, {what}, tick {}",
        one.tick
    );
    assert_eq!(
        (
            one.hash,
            &one.events,
            &one.rejections,
            &one.metrics,
            &one.scores,
            &one.ended
        ),
        (
            other.hash,
            &other.events,
            &other.rejections,
            &other.metrics,
            &other.scores,
            &other.ended
        ),
        "scenario {number}, {what}, tick {}",
        one.tick
    );
}

#[test]
fn any_scenario_comes_to_the_same_hashes_however_it_is_executed() {
    for_each(1, |number| {
        let game = Game::new(number);
        let mut world = game.world();
        let inputs = inputs::make(number, 2, &world, game.made.ticks, true);
        let mut rng = chance(number, 3);
        let cut = rng.random_range(0..=game.made.ticks);
        let (mut again, mut restored) = (game.world(), None);
        assert_eq!(world.hash(), again.hash());
        for input in &inputs {
            if input.tick == cut + 1 {
                let keyframe = world.keyframe();
                let back = game.restored(&keyframe);
                assert_eq!(
                    (back.hash(), back.keyframe()),
                    (world.hash(), keyframe),
                    "scenario {number}, keyframe {cut}"
                );
                restored = Some(back);
            }
            let output = world.step(input);
            assert_eq!(output.hash, world.hash());
            // As a recording has it, and in any order.
            let text = serde_json::to_string(input).expect("JSON");
            let mut read: TickInput = serde_json::from_str(&text).expect("an input");
            assert_eq!(read, *input, "scenario {number}: {text}");
            read.seats.reverse();
            is_equal(
                number,
                "from serialized inputs",
                &output,
                &again.step(&read),
            );
            if let Some(restored) = &mut restored {
                is_equal(number, "after a keyframe", &output, &restored.step(input));
            }
            for seat in 0..world.seats().len() as u32 {
                let id = formicarium_engine::SeatId(seat);
                assert_eq!(
                    world.observe(id),
                    again.observe(id),
                    "scenario {number}, what seat {seat} is shown"
                );
            }
        }
    });
}

/// What the scenarios are made for is reached: every event that a world has, ends, refusals.
#[test]
fn a_hundred_of_them_meet_every_event() {
    let mut met: BTreeSet<String> = BTreeSet::new();
    for number in 1..=100 {
        let game = Game::new(number);
        let mut world = game.world();
        for input in inputs::make(number, 2, &world, game.made.ticks, true) {
            let output = world.step(&input);
            met.extend(output.events.iter().map(|event| event.name.to_string()));
            met.extend(output.rejections.iter().map(|_| "a rejection".to_owned()));
            met.extend(output.ended.map(|_| "an end".to_owned()));
        }
    }
    let met: Vec<&str> = met.iter().map(String::as_str).collect();
    assert_eq!(
        met,
        [
            "a rejection",
            "an end",
            "file.expired",
            "file.leased",
            "file.published",
            "file.refused",
            "file.released",
            "harvest.ate",
            "harvest.grew",
            "matrix.played",
            "matrix.skipped",
            "report.made",
            "sanction.hit",
            "sanction.zap",
            "seat.absent",
            "seat.back",
            "seat.exited",
            "seat.late",
            "seat.seated",
            "seat.told",
            "speech.said",
        ]
    );
}

fn meta(game: &Game, world: &World, run: &str) -> RunMeta {
    let digest = blake3::Hash::from(game.made.bundle.digest()).to_hex();
    let seats = world.seats().iter().map(|seat| SeatMeta {
        seat: seat.name.clone(),
        group: seat.group.clone(),
        agent: "generated".into(),
        session: None,
        session_from: None,
    });
    let meta = json!({
        "run": run, "scenario": game.scenario.name(), "scenario_digest": digest.to_string(), "seed": game.made.seed,
        "set": game.made.set, "mode": "lockstep", "hz": 0.0, "ticks": game.made.ticks, "cast": "", "isolation": "advisory",
        "durability": "process", "semantics": SEMANTICS, "host_version": "", "started_unix": 0,
        "seats": seats.collect::<Vec<_>>(),
        "parts": world.parts().iter().map(|(name, _)| *name).collect::<Vec<_>>(),
        "metrics": game.scenario.metrics().iter().map(|metric| &metric.name).collect::<Vec<_>>(),
    });
    let mut meta: RunMeta = serde_json::from_value(meta).expect("a meta");
    meta.provenance = Some(Provenance {
        cast_digest: String::new(),
        host_digest: String::new(),
        params: serde_json::to_value(&game.params).expect("JSON"),
    });
    meta
}

/// Steps a world by inputs and records it as the host does.
fn record(recorder: Recorder, world: &mut World, inputs: &[TickInput], keyframe_every: u64) {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .build()
        .expect("a runtime");
    let mut last = None;
    for input in inputs {
        let answer = recorder.input(input.tick, serde_json::to_vec(input).expect("JSON"));
        let output = world.step(input);
        runtime
            .block_on(recorder.acknowledged(answer))
            .expect("committed");
        last = Some(output.hash);
        recorder.outcome(Outcome {
            output: Arc::new(output),
            at_us: input.tick * 1000,
            step_us: 1,
        });
        if input.tick.is_multiple_of(keyframe_every) {
            recorder.keyframe(input.tick, world.keyframe());
        }
    }
    let end = RunEnd {
        reason: "ticks reached".into(),
        ticks: world.tick(),
        hash: hash_text(last.unwrap_or_else(|| world.hash())),
        scores: world.scores(),
        status: vec!["ready".into(); world.seats().len()],
    };
    runtime.block_on(recorder.finish(end)).expect("finished");
}

fn assert_whole(number: u64, dir: &Path, hash: u128) {
    let hash = hash_text(hash);
    match replay(dir, |_| ()).expect("a replay") {
        Verdict::Equal { hash: found, .. } => assert_eq!(found, hash, "scenario {number}"),
        other => panic!("scenario {number}: {other:?}"),
    }
    let report = verify::verify(dir).expect("a verification");
    assert_eq!(report.faults, [], "scenario {number}");
    assert_eq!(report.hash.as_ref(), Some(&hash), "scenario {number}");
}

#[test]
fn any_scenario_is_recorded_replayed_and_forked_with_equal_hashes() {
    let folder = Folder::new("generated");
    for_each(1, |number| {
        let game = Game::new(number);
        let mut world = game.world();
        let inputs = inputs::make(number, 4, &world, game.made.ticks, false);
        let mut rng = chance(number, 5);
        let (cut, every) = (
            rng.random_range(0..=game.made.ticks),
            rng.random_range(1..=9),
        );
        let parent = folder.path(&format!("{number}"));
        std::fs::create_dir_all(&parent).expect("a folder");
        let whole = meta(&game, &world, "parent");
        let recorder = Recorder::create(&parent.join("run.db"), &whole, &game.made.bundle)
            .expect("a recording");
        let parts = world.parts().iter().map(|(_, hash)| *hash as u64).collect();
        recorder.start(world.hash(), parts, world.keyframe());
        record(recorder, &mut world, &inputs, every);
        assert_whole(number, &parent, world.hash());
        let recording = Recording::open(&parent).expect("a recording");
        let part = replay_part(&parent, cut, None, |_| ()).expect("a replay");
        assert!(
            matches!(part, Verdict::Equal { .. }),
            "scenario {number} from tick {cut}: {part:?}"
        );

        // A fork that goes on as its parent did is its parent; one that goes another way is whole too.
        for (name, stream) in [("same", 4), ("other", 6)] {
            let dir = folder.path(&format!("{number}-{name}"));
            std::fs::create_dir_all(&dir).expect("a folder");
            let (mut there, _) = seek::world_at(&recording, cut, cut).expect("the world of a tick");
            let at = recording.tick(cut).expect("a row").expect("a tick");
            assert_eq!(
                hash_text(there.hash()),
                at.hash,
                "scenario {number}, tick {cut}"
            );
            let mut branch = whole.clone();
            branch.run = name.into();
            branch.parent = Some(Parent {
                run: whole.run.clone(),
                tick: cut,
                hash: at.hash,
                history: None,
                changes: Changes::default(),
            });
            fork::branch(&recording, &dir, branch, &[]).expect("a fork");
            let (recorder, meta) = Recorder::reopen(&dir).expect("the fork");
            recorder.go_on(meta);
            let rest = inputs::make(number, stream, &there, game.made.ticks, false);
            record(recorder, &mut there, &rest[cut as usize..], every);
            assert_whole(number, &dir, there.hash());
            if name == "same" {
                assert_eq!(
                    there.hash(),
                    world.hash(),
                    "scenario {number}, forked at {cut}"
                );
                let of = |dir: &Path| {
                    fingerprint::fingerprint(&Recording::open(dir).expect("a recording"))
                        .expect("one")
                        .fingerprint
                };
                assert_eq!(of(&dir), of(&parent), "scenario {number}, forked at {cut}");
            }
            std::fs::remove_dir_all(&dir).expect("removed");
        }
        drop(recording);
        std::fs::remove_dir_all(&parent).expect("removed");
    });
}

#[test]
fn some_scenarios_are_run_forked_and_verified_by_the_binary() {
    let folder = Folder::new("generated-real");
    for_each(REAL, |number| {
        let game = Game::new(number);
        let home = folder.path(&format!("s{number}"));
        for (path, body) in game.made.bundle.iter() {
            let path = home.join(path);
            std::fs::create_dir_all(path.parent().expect("inside")).expect("a folder");
            std::fs::write(path, body).expect("a file");
        }
        let text = |path: &Path| path.to_str().expect("UTF-8").to_owned();
        let (out, forked) = (
            folder.path(&format!("r{number}")),
            folder.path(&format!("f{number}")),
        );
        let mut args = vec![text(&home)];
        let ticks = game.made.ticks.to_string();
        for (name, value) in &game.made.set {
            args.push(format!("--set={name}={value}"));
        }
        args.extend(
            [
                "--agent",
                "*=builtin:random",
                "--mode",
                "lockstep",
                "--isolation",
                "advisory",
                "--ticks",
                &ticks,
            ]
            .map(String::from),
        );
        args.push(format!("--seed={}", game.made.seed));
        let args: Vec<&str> = args.iter().map(String::as_str).collect();
        let first = run(&out, &args);
        assert_replays(&out);
        let verified = output(&["verify", &text(&out)]);
        assert!(
            verified.status.success(),
            "scenario {number}: {}",
            String::from_utf8_lossy(&verified.stdout)
        );
        let last = first["ticks"].as_u64().expect("ticks");
        let at = chance(number, 7).random_range(0..=last).to_string();
        let made = output(&[
            "fork",
            &text(&out),
            "--at",
            &at,
            "--out",
            &text(&forked),
            "--headless",
            "--json",
            "--deadline",
            "60s",
        ]);
        assert!(
            made.status.success(),
            "scenario {number} at {at}: {}",
            String::from_utf8_lossy(&made.stderr)
        );
        assert_replays(&forked);
        let second: serde_json::Value = serde_json::from_slice(&made.stdout).expect("JSON");
        assert_eq!(
            (&second["hash"], &second["ticks"]),
            (&first["hash"], &first["ticks"]),
            "scenario {number}, forked at {at}"
        );
    });
}
