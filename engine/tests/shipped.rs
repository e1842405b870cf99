//! The shipped scenarios, stepped by plain players written here: what the engine must give them.

use formicarium_engine::{
    ActionCall, ActionId, Arg, Bundle, InputBody, Scenario, SeatId, SeatInput, TickInput, World,
};

fn load(name: &str) -> Scenario {
    let mut bundle = Bundle::new();
    let folder = format!("{}/../scenarios/{name}", env!("CARGO_MANIFEST_DIR"));
    for file in ["scenario.toml", "map.txt"] {
        #[expect(
            clippy::disallowed_methods,
            reason = "a test may read the files it is about"
        )]
        if let Ok(bytes) = std::fs::read(format!("{folder}/{file}")) {
            bundle.insert(file, bytes);
        }
    }
    Scenario::load(&bundle).unwrap_or_else(|faults| {
        panic!(
            "{}",
            faults
                .iter()
                .map(ToString::to_string)
                .collect::<Vec<_>>()
                .join("\n")
        )
    })
}

fn action(world: &World, name: &str) -> ActionId {
    world
        .catalogue()
        .iter()
        .find(|spec| spec.name == name)
        .unwrap()
        .id
}

/// Cooperate is 0, defect is 1; `mine` and `theirs` are letters, oldest first.
fn strategy(name: &str, mine: &str, theirs: &str) -> u16 {
    let last = |text: &str| text.chars().last();
    match name {
        "tit-for-tat" => u16::from(last(theirs) == Some('D')),
        "cooperator" => 0,
        "defector" => 1,
        "grudger" => u16::from(theirs.contains('D')),
        "win-stay-lose-shift" => match (last(mine), last(theirs)) {
            (Some(mine), Some('C')) => u16::from(mine == 'D'),
            (Some(mine), Some(_)) => u16::from(mine == 'C'),
            _ => 0,
        },
        "tit-for-two-tats" => u16::from(theirs.ends_with("DD")),
        "alternator" => (mine.len() % 2) as u16,
        other => panic!("who is {other}?"),
    }
}

#[test]
fn axelrod_totals() {
    let scenario = load("axelrod");
    let params = scenario.params(&[]).unwrap();
    let mut world = World::new(&scenario, &params, 1).unwrap();
    let play = action(&world, "play");
    let names: Vec<String> = world.seats().iter().map(|seat| seat.name.clone()).collect();
    let ended = loop {
        let mut input = TickInput::empty(world.tick() + 1);
        for (index, name) in names.iter().enumerate() {
            let seat = SeatId(index as u32);
            let observation = world.observe(seat);
            let game = observation.state.get("match").unwrap();
            if game.get("opponent").unwrap().as_text().is_none() {
                continue;
            }
            let text = |key| game.get(key).unwrap().as_text().unwrap();
            let call = ActionCall::new(
                play,
                vec![Arg::Choice(strategy(name, text("mine"), text("theirs")))],
            );
            input.seats.push(SeatInput {
                seat,
                seq: 0,
                body: InputBody::Act(vec![call]),
            });
        }
        if let Some(reason) = world.step(&input).ended {
            break reason;
        }
    };
    assert_eq!(ended, "all rounds are played");
    assert_eq!(world.tick(), 7 * 200);
    // Made with a plain simulation of the same tournament, and by hand for the simple pairs.
    assert_eq!(
        world.scores(),
        [3097.0, 2700.0, 2816.0, 3196.0, 2950.0, 2898.0, 2760.0]
    );
}

#[test]
fn commons_holds_its_map_full_of_harvesters() {
    let scenario = load("commons");
    assert_eq!(scenario.default_cast(), Some("restrained"));
    let params = scenario
        .params(&[("harvesters".into(), "400".into())])
        .unwrap();
    let mut world = World::new(&scenario, &params, 3).unwrap();
    assert_eq!(world.seats().len(), 400);
    let walk = action(&world, "move");
    let mut eaten = 0.0;
    for tick in 1..=50u64 {
        let mut input = TickInput::empty(tick);
        for seat in 0..400u32 {
            let dir = (u64::from(seat) * 7 + tick * 13 + tick * u64::from(seat)) % 4;
            let call = ActionCall::new(walk, vec![Arg::Choice(dir as u16)]);
            input.seats.push(SeatInput {
                seat: SeatId(seat),
                seq: 0,
                body: InputBody::Act(vec![call]),
            });
        }
        let output = world.step(&input);
        eaten += output
            .events
            .iter()
            .filter(|event| event.name == "harvest.ate")
            .count() as f64;
    }
    assert!(eaten > 0.0);
    assert_eq!(world.scores().iter().sum::<f64>(), eaten);
}

#[test]
fn an_observation_of_commons() {
    let scenario = load("commons");
    let params = scenario.params(&[]).unwrap();
    let world = World::new(&scenario, &params, 1).unwrap();
    println!("{}", scenario.rules_text(&params));
    let observation = world.observe(SeatId(0));
    println!("{}", observation.text);
    println!(
        "{}",
        serde_json::to_string_pretty(&observation.state).unwrap()
    );
    let view = observation.state.get("view").unwrap();
    let you = observation.state.get("you").unwrap();
    let at = |map: &formicarium_engine::Value, key: &str| map.get(key).unwrap().as_int().unwrap();
    let (dx, dy) = (at(you, "x") - at(view, "x0"), at(you, "y") - at(view, "y0"));
    let row = view.get("rows").unwrap().as_list().unwrap()[dy as usize]
        .as_text()
        .unwrap();
    assert_eq!(row.chars().nth(dx as usize), Some('@'));
}
