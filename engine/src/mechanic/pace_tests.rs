//! What thinking costs, and what waits for a seat that is not shown the world.

use crate::*;

/// Two ants in earshot, in a world where 100 ms of thinking cost a tick, at most 4.
fn world() -> World {
    let toml = fixture::COMMONS.replace(
        "[time]\n",
        "[time]\nthink = { per = \"ms\", amount = 100, max_ticks = 4 }\n",
    );
    let scenario = fixture::load(&toml, "...\n.#A\nA..\n");
    let params = scenario.params(&[("seats".into(), "2".into())]).unwrap();
    World::new(&scenario, &params, 1).unwrap()
}

fn input(tick: u64, bodies: Vec<(u32, InputBody)>) -> TickInput {
    let seats = bodies
        .into_iter()
        .zip(0..)
        .map(|((seat, body), seq)| SeatInput {
            seat: SeatId(seat),
            seq,
            body,
        });
    TickInput {
        set: Vec::new(),
        tick,
        seats: seats.collect(),
    }
}

fn call(world: &World, name: &str, args: Vec<Arg>) -> InputBody {
    let spec = world.catalogue().iter().find(|spec| spec.name == name);
    InputBody::Act(vec![ActionCall::new(spec.unwrap().id, args)])
}

fn thought(ms: u64) -> InputBody {
    InputBody::Thought { ms, tokens: 7 }
}

#[test]
fn an_act_takes_effect_when_its_thinking_is_paid() {
    let mut world = world();
    let turn = call(&world, "turn", vec![Arg::Choice(1)]);
    let face = |world: &World| world.picture().things[0].face;
    let before = face(&world);
    let output = world.step(&input(1, vec![(0, thought(250)), (0, turn.clone())]));
    let told = output
        .events
        .iter()
        .find(|e| e.name == "seat.thinking")
        .unwrap();
    assert_eq!(told.fields[0].1, Value::Int(2));
    assert_eq!((world.busy(SeatId(0)), world.busy(SeatId(1))), (2, 0));
    // Meanwhile neither another act nor lateness moves the body.
    let output = world.step(&input(2, vec![(0, turn.clone()), (0, InputBody::Late)]));
    assert_eq!(output.rejections[0].code, "busy");
    assert_eq!((face(&world), world.busy(SeatId(0))), (before, 1));

    // A world brought back in between goes on as this one does.
    let scenario_of = |toml: &str| fixture::load(toml, "...\n.#A\nA..\n");
    let toml = fixture::COMMONS.replace(
        "[time]\n",
        "[time]\nthink = { per = \"ms\", amount = 100, max_ticks = 4 }\n",
    );
    let scenario = scenario_of(&toml);
    let params = scenario.params(&[("seats".into(), "2".into())]).unwrap();
    let mut again = World::restore(&scenario, &params, 1, &world.keyframe()).unwrap();
    assert_eq!(again.busy(SeatId(0)), 1);
    let output = world.step(&TickInput::empty(3));
    assert_eq!(again.step(&TickInput::empty(3)).hash, output.hash);
    assert_ne!(face(&world), before);
    assert_eq!(world.busy(SeatId(0)), 0);
    assert_eq!(world.observe(SeatId(0)).results[0].code, "ok");

    // Quick answers cost nothing, and no answer costs more than the most.
    world.step(&input(4, vec![(0, thought(99)), (0, turn.clone())]));
    assert_eq!(world.busy(SeatId(0)), 0);
    world.step(&input(5, vec![(0, thought(u64::MAX)), (0, turn)]));
    assert_eq!(world.busy(SeatId(0)), 4);
}

#[test]
fn what_a_seat_was_not_shown_waits_for_it() {
    let mut world = world();
    let say = |world: &World, text: &str| {
        call(
            world,
            "say",
            vec![Arg::Text(text.into()), Arg::None, Arg::None],
        )
    };
    let heard = |world: &World| -> Vec<String> {
        let observation = world.observe(SeatId(1));
        observation
            .heard
            .iter()
            .map(|heard| heard.text.clone())
            .collect()
    };
    let first = say(&world, "one");
    world.step(&input(1, vec![(0, first)]));
    assert_eq!(heard(&world), ["one"]);
    let second = say(&world, "two");
    world.step(&input(2, vec![(0, second), (1, InputBody::Unseen)]));
    assert_eq!(heard(&world), ["one", "two"]);
    world.step(&TickInput::empty(3));
    assert_eq!(heard(&world), [""; 0]);
    for tick in 4..400 {
        let more = say(&world, &tick.to_string());
        world.step(&input(tick, vec![(0, more), (1, InputBody::Unseen)]));
    }
    let words = heard(&world);
    assert!(
        words.len() <= 129 && words.last().unwrap() == "399",
        "{}",
        words.len()
    );
}
