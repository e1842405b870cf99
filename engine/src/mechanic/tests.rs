//! What each mechanic does, as small scenes: a map, actions, and what comes of them.

use crate::fixture;
use crate::*;
use expect_test::{Expect, expect};
use proptest::prelude::*;

/// Seats stand on the digits of the map, seat 0 on `0` and so on, all in one group a digit.
fn scene(map: &str, extra: &str) -> World {
    seeded_scene(map, extra, 1)
}

fn seeded_scene(map: &str, extra: &str, seed: u64) -> World {
    let mut toml = String::from(
        "format = 1\nname = \"scene\"\ntitle = \"scene\"\n[mechanic.movement]\n[space]\nkind = \"grid\"\nmap = \"map.txt\"\n",
    );
    if extra.contains("# torus") {
        toml += "edges = \"torus\"\n";
    }
    toml += "[space.legend]\n\".\" = \"\"\n\"A\" = \"apple\"\n\"#\" = \"wall\"\n";
    let digits: Vec<char> = ('0'..='9').filter(|digit| map.contains(*digit)).collect();
    for digit in &digits {
        toml += &format!("\"{digit}\" = {{ spawn = \"s{digit}\" }}\n");
    }
    toml +=
        "[kind.apple]\nglyph = \"A\"\n[kind.wall]\nglyph = \"#\"\nsolid = true\nopaque = true\n";
    for digit in &digits {
        toml += &format!("[[seat]]\nname = \"s{digit}\"\nspawn = \"s{digit}\"\n");
    }
    let scenario = fixture::load(&format!("{toml}{extra}"), map);
    World::new(&scenario, &scenario.params(&[]).unwrap(), seed).unwrap()
}

fn call(world: &World, words: &str) -> ActionCall {
    let mut words = words.splitn(2, ' ');
    let name = words.next().unwrap();
    let spec = world
        .catalogue()
        .iter()
        .find(|spec| spec.name == name)
        .unwrap_or_else(|| panic!("no action {name}"));
    let args = match (name, words.next()) {
        ("move" | "turn", Some(dir)) => {
            vec![Arg::Choice(
                crate::space::Dir::ALL
                    .iter()
                    .position(|d| d.name() == dir)
                    .unwrap() as u16,
            )]
        }
        ("say", Some(rest)) => match rest.split_once('>') {
            Some((to, text)) => {
                vec![
                    Arg::Text(text.into()),
                    Arg::Seat(SeatId(to.parse().unwrap())),
                    Arg::Choice(1),
                ]
            }
            None => match rest.strip_prefix('!') {
                Some(text) => vec![Arg::Text(text.into()), Arg::None, Arg::Choice(2)],
                None => vec![Arg::Text(rest.into())],
            },
        },
        _ => Vec::new(),
    };
    ActionCall::new(spec.id, args)
}

/// Steps once for each list of (seat, action) and tells what came of it.
fn play(world: &mut World, ticks: &[&[(u32, &str)]]) -> String {
    let mut story = String::new();
    for actions in ticks {
        let input = TickInput {
            set: Vec::new(),
            tick: world.tick() + 1,
            seats: actions
                .iter()
                .enumerate()
                .map(|(seq, (seat, words))| SeatInput {
                    seat: SeatId(*seat),
                    seq: seq as u32,
                    body: InputBody::Act(vec![call(world, words)]),
                })
                .collect(),
        };
        let output = world.step(&input);
        let picture = world.picture();
        let space = picture.space.unwrap();
        let mut map: Vec<Vec<char>> = vec![vec!['.'; space.width as usize]; space.height as usize];
        for (cell, kind) in picture
            .terrain
            .iter()
            .enumerate()
            .filter(|(_, kind)| **kind > 0)
        {
            map[cell / space.width as usize][cell % space.width as usize] =
                picture.kinds[usize::from(*kind) - 1].glyph;
        }
        for thing in picture.things.iter().rev() {
            map[thing.y as usize][thing.x as usize] = match thing.seat {
                Some(seat) => char::from_digit(seat.0, 10).unwrap(),
                None => picture.kinds[usize::from(thing.kind)].glyph,
            };
        }
        for row in map {
            story.extend(row);
            story.push('\n');
        }
        for event in &output.events {
            story += event.name;
            story += &event
                .seat
                .map_or(String::new(), |seat| format!(" {}", seat.0));
            story += &event
                .other
                .map_or(String::new(), |seat| format!(" -> {}", seat.0));
            story.push('\n');
        }
        for rejection in &output.rejections {
            story += &format!(
                "{} refused: {}, {}\n",
                rejection.seat.0, rejection.code, rejection.reason
            );
        }
    }
    story
}

fn check(map: &str, extra: &str, ticks: &[&[(u32, &str)]], expected: Expect) {
    expected.assert_eq(&play(&mut scene(map, extra), ticks));
}

#[test]
fn moves() {
    check(
        "0.1\n",
        "",
        &[&[(0, "move east")]],
        expect![[r#"
        .01
    "#]],
    );
    check(
        "01.\n",
        "",
        &[&[(0, "move east"), (1, "move east")]],
        expect![[r#"
        .01
    "#]],
    );
    check(
        "01.\n",
        "",
        &[&[(0, "move east"), (1, "move west")]],
        expect![[r#"
        01.
        0 refused: swap, the body there wanted to come to your cell
        1 refused: swap, the body there wanted to come to your cell
    "#]],
    );
    check(
        "01#\n",
        "",
        &[&[(0, "move east"), (1, "move east")]],
        expect![[r#"
        01#
        0 refused: blocked, a body that stays is there
        1 refused: blocked, something solid is there
    "#]],
    );
    check(
        "0\n",
        "",
        &[&[(0, "move north")]],
        expect![[r#"
        0
        0 refused: outside, the map ends there
    "#]],
    );
    check(
        "01\n32\n",
        "",
        &[&[
            (0, "move east"),
            (1, "move south"),
            (2, "move west"),
            (3, "move north"),
        ]],
        expect![[r#"
        30
        21
    "#]],
    );
    check(
        "0.1\n",
        "# torus",
        &[
            &[(0, "move west"), (1, "wait")],
            &[(1, "move west"), (0, "move west")],
        ],
        expect![[r#"
        0.1
        0 refused: blocked, a body that stays is there
        .10
    "#]],
    );
    check(
        "0..\n",
        "",
        &[&[(0, "move east"), (0, "move east")]],
        expect![[r#"
        .0.
        0 refused: over-limit, the limit of actions is 1 a tick
    "#]],
    );
}

#[test]
fn harvests() {
    let harvest = "[mechanic.harvest]\nkind = \"apple\"\nregrow = [1.0]\n";
    check(
        "0A.\n",
        harvest,
        &[&[(0, "move east")], &[], &[(0, "move east")]],
        expect![[r#"
        .0.
        harvest.ate 0
        .0.
        .A0
        harvest.grew
    "#]],
    );
}

#[test]
fn zaps() {
    let zap =
        "[mechanic.sanction]\nlength = 2\ntimeout = 2\ncooldown = 1\npenalty = 1.0\ncost = 0.25\n";
    check(
        "0.12\n",
        zap,
        &[
            &[(0, "turn east")],
            &[(0, "zap"), (1, "move east")],
            &[(0, "zap"), (1, "move west")],
            &[(0, "wait"), (1, "wait")],
            &[(1, "move west")],
        ],
        expect![[r#"
            0.12
            0.12
            sanction.zap 0
            sanction.hit 0 -> 1
            1 refused: blocked, a body that stays is there
            0.12
            0 refused: cooldown, the beam is ready in 1 ticks
            1 refused: timed-out, you are timed out for 2 more ticks, this one included
            0.12
            01.2
        "#]],
    );
    check(
        "0#1\n",
        zap,
        &[&[(0, "turn east")], &[(0, "zap")]],
        expect![[r#"
        0#1
        0#1
        sanction.zap 0
    "#]],
    );
    check(
        "0..1\n",
        zap,
        &[&[(0, "turn east")], &[(0, "zap")]],
        expect![[r#"
        0..1
        0..1
        sanction.zap 0
    "#]],
    );
    let wide = "[mechanic.sanction]\nwidth = 3\n";
    check(
        "..1\n0#3\n..2\n",
        wide,
        &[&[(0, "turn east")], &[(0, "zap")]],
        expect![[r#"
        ..1
        0#3
        ..2
        ..1
        0#3
        ..2
        sanction.zap 0
        sanction.hit 0 -> 1
        sanction.hit 0 -> 2
    "#]],
    );
    check(
        "0..1\n",
        "# torus\n[mechanic.sanction]\n",
        &[&[(0, "turn west")], &[(0, "zap"), (1, "turn east")]],
        expect![[r#"
        0..1
        0..1
        sanction.zap 0
        sanction.hit 0 -> 1
    "#]],
    );
}

#[test]
fn timed_out_seats_are_told() {
    let mut world = scene("01\n", "[mechanic.sanction]\ntimeout = 2\n");
    let mut left = Vec::new();
    play(&mut world, &[&[(0, "turn east")], &[(0, "zap")]]);
    for _ in 0..3 {
        let state = world.observe(SeatId(1)).state;
        left.push(
            state
                .get("you")
                .unwrap()
                .get("timed_out")
                .unwrap()
                .as_int()
                .unwrap(),
        );
        world.step(&TickInput::empty(0));
    }
    assert_eq!(left, [2, 1, 0]);
}

#[test]
fn speech() {
    let mut world = scene("01.2\n", "[mechanic.speech]\nradius = 2\n");
    let mut heard = |actions: &[(u32, &str)]| {
        let mut story = play(&mut world, &[actions]);
        for seat in 0..3 {
            for heard in world.observe(SeatId(seat)).heard {
                story += &format!(
                    "{seat} heard {} {} {:?}\n",
                    heard.from.0,
                    heard.how.as_str(),
                    heard.text
                );
            }
        }
        story
    };
    let told = [
        heard(&[(0, "say hi")]),
        heard(&[(1, "say near")]),
        heard(&[(0, "say 1>psst"), (1, "say 2>far")]),
        heard(&[(2, "say !all")]),
        heard(&[(2, "say one"), (2, "say two"), (2, "wait")]),
        heard(&[(2, "say  ")]),
    ];
    expect![[r#"
        01.2
        speech.said 0
        1 heard 0 say "hi"
        --
        01.2
        speech.said 1
        0 heard 1 say "near"
        2 heard 1 say "near"
        --
        01.2
        speech.said 0 -> 1
        1 refused: too-far, a whisper carries 1 cells
        1 heard 0 whisper "psst"
        --
        01.2
        speech.said 2
        0 heard 2 broadcast "all"
        1 heard 2 broadcast "all"
        --
        01.2
        speech.said 2
        2 refused: over-limit, the limit of speech is 1 a tick
        1 heard 2 say "one"
        --
        01.2
        2 refused: bad-argument, text: is empty
    "#]]
    .assert_eq(&told.join("--\n"));
}

#[test]
fn lateness() {
    let scenario = fixture::load(
        &fixture::COMMONS.replace("count = \"$seats\"", ""),
        "...\n.#.\nA..\n",
    );
    let mut world = World::new(&scenario, &scenario.params(&[]).unwrap(), 1).unwrap();
    let mut send = |body: InputBody| {
        let seats = vec![SeatInput {
            seat: SeatId(0),
            seq: 0,
            body,
        }];
        let output = world.step(&TickInput {
            tick: 0,
            seats,
            set: Vec::new(),
        });
        let names: Vec<&str> = output
            .events
            .iter()
            .map(|event| event.name)
            .filter(|n| n.starts_with("seat"))
            .collect();
        let flags = world.picture().things[0].flags;
        format!(
            "{names:?} {flags} {:?}\n",
            world.observe(SeatId(0)).results.len()
        )
    };
    let wait = || InputBody::Act(vec![ActionCall::new(ActionId(0), Vec::new())]);
    let story = [
        send(wait()),
        send(InputBody::Late),
        send(InputBody::Absent),
        send(InputBody::Absent),
        send(wait()),
        send(InputBody::Exited {
            reason: "gone".into(),
        }),
        send(InputBody::Back),
    ];
    expect![[r#"
        [] 0 1
        ["seat.late"] 0 1
        ["seat.absent"] 2 0
        [] 2 0
        ["seat.back"] 0 1
        ["seat.exited"] 4 0
        ["seat.back"] 0 0
    "#]]
    .assert_eq(&story.concat());
}

/// Four bodies around one free cell, all of which want it: who gets it with this seed.
fn winner(seed: u64, order: [usize; 4]) -> usize {
    let mut world = seeded_scene(".0.\n1.2\n.3.\n", "", seed);
    let dirs = ["move south", "move east", "move west", "move north"];
    let seats = order.map(|seat| (seat as u32, dirs[seat]));
    play(&mut world, &[&seats]);
    (0..4)
        .find(|seat| world.picture().things[*seat].x == 1 && world.picture().things[*seat].y == 1)
        .unwrap()
}

#[test]
fn contested_cells_are_fair() {
    let n = 2000;
    let mut won = [0i32; 4];
    for seed in 0..n {
        won[winner(seed, [0, 1, 2, 3])] += 1;
    }
    // Five standard deviations of a binomial with n = 2000, p = 1/4: sqrt(375) = 19.4.
    for wins in won {
        assert!((wins - 500).abs() < 97, "{won:?}");
    }
    for seed in 0..20 {
        assert_eq!(
            winner(seed, [0, 1, 2, 3]),
            winner(seed, [3, 1, 0, 2]),
            "the order of arrival decides nothing"
        );
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// A crowd that pushes in all directions: nobody shares a cell, leaves the map or enters a wall, and whoever was
    /// not refused stands where it wanted to go.
    #[test]
    fn a_crowd(dirs in prop::collection::vec(prop::collection::vec(0u16..8, 12), 1..20), torus in any::<bool>(), seed in any::<u64>()) {
        let mut toml = fixture::COMMONS.replace("default = 4", "default = 12").replace("line_of_sight = true", "");
        toml = toml.replace("map = \"map.txt\"", "map = \"map.txt\"\nneighbours = 8");
        if torus {
            toml = toml.replace("neighbours = 8", "neighbours = 8\nedges = \"torus\"");
        }
        let scenario = fixture::load(&toml, ".....\n..#..\n..A..\n.#...\n");
        let mut world = World::new(&scenario, &scenario.params(&[]).unwrap(), seed).unwrap();
        for dirs in dirs {
            let before = world.picture();
            let seats = dirs.iter().enumerate().map(|(seat, dir)| SeatInput {
                seat: SeatId(seat as u32),
                seq: 0,
                body: InputBody::Act(vec![ActionCall::new(ActionId(1), vec![Arg::Choice(*dir)])]),
            });
            let output = world.step(&TickInput { tick: 0, seats: seats.collect(), set: Vec::new() });
            let after = world.picture();
            let mut taken = std::collections::BTreeSet::new();
            for (seat, dir) in dirs.iter().enumerate() {
                let (old, new) = (before.things[seat], after.things[seat]);
                prop_assert!(taken.insert((new.x, new.y)), "two bodies in a cell");
                prop_assert!((0..5).contains(&new.x) && (0..4).contains(&new.y));
                prop_assert_eq!(after.terrain[(new.y * 5 + new.x) as usize], 0);
                let (dx, dy) = crate::space::Dir::from_index(*dir).unwrap().step();
                let refused = output.rejections.iter().any(|rejection| rejection.seat.index() == seat);
                let want = if refused { (old.x, old.y) } else { ((old.x + dx).rem_euclid(5), (old.y + dy).rem_euclid(4)) };
                prop_assert_eq!((new.x, new.y), want);
                prop_assert_eq!(new.face, *dir as i8);
            }
        }
    }
}
