//! What must hold for any run: equal hashes however it is executed or interrupted, a valid state after any input, and
//! nothing that appears from nowhere.

use crate::fixture;
use crate::*;
use proptest::prelude::*;

fn arg() -> impl Strategy<Value = Arg> {
    prop_oneof![
        (0u16..10).prop_map(Arg::Choice),
        any::<i64>().prop_map(Arg::Int),
        prop_oneof![any::<f64>(), Just(f64::NAN), Just(f64::INFINITY)].prop_map(Arg::Num),
        any::<bool>().prop_map(Arg::Bool),
        ".{0,12}".prop_map(Arg::Text),
        (0u32..16).prop_map(|seat| Arg::Seat(SeatId(seat))),
        Just(Arg::None),
    ]
}

/// Any action of the catalogue or just outside it, with any arguments; often enough with good ones.
fn call() -> impl Strategy<Value = ActionCall> {
    let good = (0u16..6, 0u16..4)
        .prop_map(|(action, choice)| ActionCall::new(ActionId(action), vec![Arg::Choice(choice)]));
    let zap = Just(ActionCall::new(ActionId(3), Vec::new()));
    let say = ("[a-c]{1,3}", 0u32..6, 0u16..3).prop_map(|(text, to, how)| {
        ActionCall::new(
            ActionId(4),
            vec![Arg::Text(text), Arg::Seat(SeatId(to)), Arg::Choice(how)],
        )
    });
    let any = (0u16..9, prop::collection::vec(arg(), 0..5))
        .prop_map(|(id, args)| ActionCall::new(ActionId(id), args));
    let report = (
        2u16..4,
        prop::collection::vec((-9i64..120).prop_map(Arg::Int), 1..3),
    )
        .prop_map(|(action, values)| ActionCall::new(ActionId(action), values));
    prop_oneof![6 => good, 1 => zap, 1 => say, 2 => report, 1 => any]
}

fn body() -> impl Strategy<Value = InputBody> {
    prop_oneof![
        8 => prop::collection::vec(call(), 0..4).prop_map(InputBody::Act),
        1 => Just(InputBody::Late),
        1 => Just(InputBody::Absent),
        1 => Just(InputBody::Back),
        1 => Just(InputBody::Turn),
        1 => Just(InputBody::Unseen),
        2 => (0u64..9, any::<u64>()).prop_map(|(ms, tokens)| InputBody::Thought { ms, tokens }),
        1 => Just(InputBody::Fault { line: 0, kind: FaultKind::Mute, ticks: 3 }),
        1 => Just(InputBody::FaultOver { line: 0, kind: FaultKind::Mute }),
        1 => ".{0,8}".prop_map(|reason| InputBody::Exited { reason }),
        1 => ".{0,8}".prop_map(|text| InputBody::Told { text }),
        1 => ".{0,8}".prop_map(|agent| InputBody::Seated { agent }),
        1 => (any::<u64>(), ".{0,8}", news()).prop_map(|(number, path, news)| {
            InputBody::File(FileFact { number, path, news })
        }),
    ]
}

fn news() -> impl Strategy<Value = FileNews> {
    let holder = prop::option::of((0u32..6).prop_map(SeatId));
    prop_oneof![
        (any::<u64>(), ".{0,8}", any::<bool>()).prop_map(|(version, change, merged)| {
            FileNews::Published {
                version,
                change,
                merged,
            }
        }),
        (".{0,8}", ".{0,8}", holder).prop_map(|(code, reason, holder)| FileNews::Refused {
            code,
            reason,
            holder,
        }),
        any::<u64>().prop_map(|token| FileNews::Leased { token }),
        any::<u64>().prop_map(|token| FileNews::Released { token }),
        any::<u64>().prop_map(|token| FileNews::Expired { token }),
    ]
}

fn input() -> impl Strategy<Value = TickInput> {
    let seat = (0u32..6, 0u32..3, body()).prop_map(|(seat, seq, body)| SeatInput {
        seat: SeatId(seat),
        seq,
        body,
    });
    (any::<u64>(), prop::collection::vec(seat, 0..8)).prop_map(|(tick, seats)| TickInput {
        tick,
        seats,
        set: Vec::new(),
    })
}

fn worlds() -> [(Scenario, Params); 3] {
    [fixture::commons(), fixture::axelrod(), fixture::workshop()].map(|scenario| {
        let params = scenario.params(&[]).unwrap();
        (scenario, params)
    })
}

/// What every step keeps true.
fn check(world: &World) {
    world.check_state().unwrap();
    assert_eq!(
        *world.ecs.resource::<crate::component::Cells>(),
        world.mirror(),
        "the mirror shows the state"
    );
    for seat in 0..=world.seats().len() as u32 {
        let observation = world.observe(SeatId(seat));
        assert_eq!(observation.tick, world.tick());
        serde_json::to_string(&observation).unwrap();
    }
}

/// A metric can name every event, and each of its fields by the kind that is listed.
fn check_event(event: &Event) {
    use crate::mechanic::{EVENTS, FieldKind};
    let (_, fields) = EVENTS
        .iter()
        .find(|(name, _)| *name == event.name)
        .unwrap_or_else(|| panic!("{} is not listed", event.name));
    let listed = |name: &str| fields.iter().find(|(field, _)| *field == name);
    assert!(
        event.text.is_none() || listed("text").is_some(),
        "{} has a text that is not listed",
        event.name
    );
    for (name, value) in &event.fields {
        let kind = match value {
            Value::Text(_) => FieldKind::Text,
            Value::Bool(_) => FieldKind::Bool,
            Value::Int(_) => FieldKind::Int,
            Value::Num(_) => FieldKind::Num,
            Value::Null => continue,
            other => panic!("{} of {} is {other:?}", name, event.name),
        };
        match listed(name) {
            Some((_, listed)) => assert_eq!(*listed, kind, "{name} of {}", event.name),
            // What a report counts, the scenario names.
            None => assert!(
                event.name == "report.made" && kind == FieldKind::Int,
                "{name} of {}",
                event.name
            ),
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(64))]

    /// Any input: no panic, a valid state, deltas that make the next picture, and a keyframe at any tick from which
    /// the run goes on alike.
    #[test]
    fn any_input(inputs in prop::collection::vec(input(), 1..25), seed in any::<u64>(), cut in 0usize..25) {
        for (scenario, params) in worlds() {
            let mut world = World::new(&scenario, &params, seed).unwrap();
            let mut other: Option<World> = None;
            let mut picture = world.picture();
            for (index, input) in inputs.iter().enumerate() {
                if index == cut {
                    let restored = World::restore(&scenario, &params, seed, &world.keyframe()).unwrap();
                    prop_assert_eq!(restored.parts(), world.parts());
                    prop_assert_eq!(restored.picture(), world.picture());
                    other = Some(restored);
                }
                let output = world.step(input);
                check(&world);
                picture.apply(&output.delta);
                prop_assert_eq!(&picture, &world.picture());
                for event in &output.events {
                    check_event(event);
                }
                prop_assert_eq!(output.hash, world.hash());
                prop_assert!(output.metrics.iter().chain(&output.scores).all(|number| number.is_finite()));
                if let Some(other) = &mut other {
                    prop_assert_eq!(&output, &other.step(input));
                }
            }
        }
    }

    /// The order in which a host lists seats does not matter.
    #[test]
    fn order_of_inputs(inputs in prop::collection::vec(input(), 1..10)) {
        for (scenario, params) in worlds() {
            let mut world = World::new(&scenario, &params, 1).unwrap();
            let mut other = World::new(&scenario, &params, 1).unwrap();
            for mut input in inputs.clone() {
                // Inputs of one seat with one number keep their order; the host never sends such.
                input.seats.sort_by_key(|input| (input.seat, input.seq));
                input.seats.dedup_by_key(|input| (input.seat, input.seq));
                let output = world.step(&input);
                input.seats.reverse();
                prop_assert_eq!(output, other.step(&input));
            }
        }
    }

    /// Inputs are recorded as JSON and must come back exactly.
    #[test]
    fn inputs_round_trip(input in input()) {
        let finite = |arg: &Arg| !matches!(arg, Arg::Num(number) if !number.is_finite());
        let all_finite = input.seats.iter().all(|seat| match &seat.body {
            InputBody::Act(calls) => calls.iter().flat_map(|call| &call.args).all(finite),
            _ => true,
        });
        match serde_json::to_string(&input) {
            Ok(text) => {
                prop_assert!(all_finite);
                prop_assert_eq!(serde_json::from_str::<TickInput>(&text).unwrap(), input);
            }
            Err(error) => prop_assert!(!all_finite, "{}", error),
        }
    }

    /// A keyframe with any byte changed is refused, and any bytes at all make no panic.
    #[test]
    fn damaged_keyframes(at in any::<prop::sample::Index>(), flip in 1u8..=255, junk in prop::collection::vec(any::<u8>(), 0..200)) {
        let (scenario, params) = &worlds()[0];
        let world = World::new(scenario, params, 1).unwrap();
        let mut bytes = world.keyframe();
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert!(World::restore(scenario, params, 1, &bytes).is_err());
        prop_assert!(World::restore(scenario, params, 1, &junk).is_err());
        // The check value made right again, the bytes still wrong: a state that holds, or a refusal.
        let end = bytes.len() - 8;
        let check_value = xxhash_rust::xxh3::xxh3_64(&bytes[..end]).to_le_bytes();
        bytes[end..].copy_from_slice(&check_value);
        if let Ok(mut restored) = World::restore(scenario, params, 1, &bytes) {
            restored.step(&TickInput::empty(1));
            check(&restored);
        }
    }

    /// Everything that was eaten is gone from the map, and everything that grew is there: nothing else changes either.
    #[test]
    fn harvest_is_conserved(inputs in prop::collection::vec(input(), 1..60), seed in any::<u64>()) {
        let scenario = fixture::load(&fixture::COMMONS.replace("penalty = 0.5", ""), fixture::MAP);
        let params = scenario.params(&[]).unwrap();
        let mut world = World::new(&scenario, &params, seed).unwrap();
        let live = |world: &World| world.picture().things.iter().filter(|thing| thing.seat.is_none()).count();
        let start = live(&world);
        let (mut ate, mut grew) = (0, 0);
        for input in &inputs {
            let output = world.step(input);
            ate += output.events.iter().filter(|event| event.name == "harvest.ate").count();
            grew += output.events.iter().filter(|event| event.name == "harvest.grew").count();
            prop_assert_eq!(live(&world) + ate, start + grew);
            prop_assert_eq!(world.scores().iter().sum::<f64>(), ate as f64);
            prop_assert_eq!(&output.metrics, &vec![live(&world) as f64, ate as f64]);
        }
    }
}

/// A plain driver: everyone does something that depends on seat and tick alone.
fn drive(world: &World) -> TickInput {
    let tick = world.tick() + 1;
    let moves = world.catalogue().len() as u64;
    let seats = (0..world.seats().len() as u64).map(|seat| {
        let roll = (seat + 1)
            .wrapping_mul(0x9E37_79B9_7F4A_7C15)
            .wrapping_mul(tick | 1)
            >> 40;
        let id = ActionId((roll % moves) as u16);
        let args = match world.catalogue()[id.index()].name.as_str() {
            "say" => vec![Arg::Text(format!("tick {tick}"))],
            "move" | "turn" => vec![Arg::Choice((roll / moves % 4) as u16)],
            "play" => vec![Arg::Choice((roll / moves % 2) as u16)],
            "report_build" => [roll / moves % 7, roll / moves % 3]
                .map(|number| Arg::Int(number as i64))
                .to_vec(),
            "report_mood" => vec![Arg::Int((roll / moves % 11) as i64 - 5)],
            _ => Vec::new(),
        };
        let body = InputBody::Act(vec![ActionCall::new(id, args)]);
        SeatInput {
            seat: SeatId(seat as u32),
            seq: 0,
            body,
        }
    });
    TickInput {
        set: Vec::new(),
        tick,
        seats: seats.collect(),
    }
}

#[test]
fn threads_change_nothing() {
    for (scenario, params) in worlds() {
        let mut one = World::new(&scenario, &params, 5).unwrap();
        let mut two = World::new(&scenario, &params, 5).unwrap();
        two.set_executor(Executor::Threads(2));
        for _ in 0..200 {
            let input = drive(&one);
            assert_eq!(one.step(&input), two.step(&input));
        }
    }
}

/// The hashes of two short runs. They are equal in debug and release and on any machine; a change of them is a change
/// of what recordings mean and raises `SEMANTICS`.
#[test]
fn golden() {
    let mut lines = String::new();
    for (scenario, params) in worlds() {
        let mut world = World::new(&scenario, &params, 42).unwrap();
        lines += &format!("{} 0 {:032x}\n", scenario.name(), world.hash());
        for _ in 0..100 {
            let output = world.step(&drive(&world));
            if output.tick.is_multiple_of(25) {
                lines += &format!(
                    "{} {} {:032x} {:?}\n",
                    scenario.name(),
                    output.tick,
                    output.hash,
                    output.scores
                );
            }
        }
    }
    expect_test::expect_file!["golden.txt"].assert_eq(&lines);
}

#[test]
fn a_parameter_that_is_set_changes_the_rules_and_nothing_else() {
    let text = fixture::COMMONS
        .replace("timeout = 5", "timeout = \"$timeout\"")
        .replace(
            "[space]\n",
            "[params.timeout]\ntype = \"int\"\ndefault = 5\nmin = 0\nmax = 50\ndoc = \"ticks\"\n[space]\n",
        );
    let mut bundle = Bundle::new();
    bundle.insert("scenario.toml", text.into_bytes());
    bundle.insert("map.txt", fixture::MAP.as_bytes().to_vec());
    let scenario = Scenario::load(&bundle).unwrap();
    let params = scenario.params(&[]).unwrap();
    let make = || World::new(&scenario, &params, 3).unwrap();
    let (mut plain, mut changed) = (make(), make());
    changed.set_ticks(77);
    let set = |name: &str, value: &str| (name.to_owned(), value.to_owned());
    for _ in 0..20 {
        let input = drive(&plain);
        assert_eq!(plain.step(&input).hash, changed.step(&input).hash);
    }
    // What cannot be set leaves all as it was, and says why.
    let mut input = drive(&plain);
    let before = plain.step(&input);
    for (name, value) in [
        ("seats", "5"),
        ("timeout", "51"),
        ("timeout", "x"),
        ("nothing", "1"),
    ] {
        assert!(changed.could_set(name, value).is_err(), "{name} = {value}");
        input.set.push(set(name, value));
    }
    let after = changed.step(&input);
    assert_eq!(before.hash, after.hash);
    let told: Vec<_> = after.events.iter().take(4).collect();
    assert!(told.iter().all(|event| event.name == "world.not-set"));
    assert!(
        told[0].text.as_ref().unwrap().contains("other seats"),
        "{told:?}"
    );
    assert!(
        told[3].text.as_ref().unwrap().contains("nothing"),
        "{told:?}"
    );
    // What can be set is state of the run, not of the world: its hash is that of the same steps under other rules.
    assert_eq!(changed.could_set("timeout", "0"), Ok(()));
    let mut input = drive(&plain);
    input.set.push(set("timeout", "0"));
    let output = changed.step(&input);
    assert_eq!(output.events[0].name, "world.set");
    assert_eq!(changed.params().iter().last().unwrap().1.to_string(), "0");
    assert_eq!(changed.time().ticks, 77, "the host's own word stays");
    assert!(changed.observe(SeatId(0)).text.contains("of 77"));
    let mut hits = 0;
    for _ in 0..60 {
        let input = drive(&changed);
        let output = changed.step(&input);
        hits += output
            .events
            .iter()
            .filter(|event| event.name == "sanction.hit")
            .count();
        let timed_out = |rejection: &&Rejection| rejection.code == "timed-out";
        assert_eq!(output.rejections.iter().filter(timed_out).count(), 0);
        let restored = World::restore(&scenario, changed.params(), 3, &changed.keyframe());
        assert_eq!(restored.unwrap().hash(), changed.hash());
        let beside = changed.restored(&changed.keyframe()).unwrap();
        assert_eq!(
            (beside.hash(), beside.params()),
            (changed.hash(), changed.params())
        );
    }
    assert!(hits > 0);
}

#[test]
fn seeds_differ() {
    let (scenario, params) = &worlds()[0];
    let hash = |seed| World::new(scenario, params, seed).unwrap().hash();
    assert_eq!(hash(1), hash(1));
    assert_ne!(hash(1), hash(2), "the seed places the bodies");
}

#[test]
fn a_keyframe_of_another_scenario_is_refused() {
    let [(commons, commons_params), (axelrod, axelrod_params), _] = worlds();
    let keyframe = World::new(&commons, &commons_params, 1).unwrap().keyframe();
    let error = World::restore(&axelrod, &axelrod_params, 1, &keyframe)
        .err()
        .unwrap();
    assert!(matches!(error, RestoreError::Mismatch(_)), "{error}");
}
