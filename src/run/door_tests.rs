//! What closes a tick, what is refused and why, who is late, absent, back.

use formicarium_engine::{ActionId, ActionSpec, Arg, ParamKind, ParamSpec};
use serde_json::json;

use super::*;

fn door(seats: usize) -> Door {
    let dir = ParamSpec {
        name: "dir".into(),
        doc: "where".into(),
        kind: ParamKind::Choice(vec!["north".into(), "south".into()]),
        required: true,
    };
    let text = ParamSpec {
        name: "text".into(),
        doc: "what".into(),
        kind: ParamKind::Text { max_chars: 5 },
        required: true,
    };
    let action = |id, name: &str, params, speech| ActionSpec {
        id: ActionId(id),
        name: name.into(),
        description: String::new(),
        params,
        speech,
    };
    let specs = vec![
        action(0, "wait", vec![], false),
        action(1, "move", vec![dir], false),
        action(2, "say", vec![text], true),
    ];
    let names: Vec<String> = (0..seats).map(|seat| format!("s{seat}")).collect();
    let limits = Limits {
        actions: 1,
        speech: 1,
    };
    let mut door = Door::new(Arc::new(Catalogue::new(specs, &names)), limits, 3, seats);
    for seat in 0..seats {
        door.arrive(seat, false);
    }
    door
}

fn asked(tick: u64, actions: Value, say: Option<&str>) -> Asked {
    let actions = actions.as_array().expect("a list").iter();
    let pair = |action: &Value| {
        let args = action["args"].as_object().cloned().unwrap_or_default();
        (action["name"].as_str().expect("a name").to_owned(), args)
    };
    Asked {
        tick,
        actions: actions.map(pair).collect(),
        say: say.map(str::to_owned),
    }
}

fn codes(door: &mut Door, seat: usize) -> Vec<&'static str> {
    door.open_next()
        .swap_remove(seat)
        .into_iter()
        .map(|result| result.code)
        .collect()
}

#[test]
fn what_closes_a_tick_and_what_is_said_of_the_rest() {
    let north = json!({"name": "move", "args": {"dir": "north"}});
    /// What is sent, whether it closes the tick, calls that reach the world, codes of the results.
    type Row<'a> = (Value, Option<&'a str>, bool, usize, &'a [&'a str]);
    let table: &[Row<'_>] = &[
        (json!([north]), None, true, 1, &[]),
        (json!([]), None, true, 0, &[]),
        (json!([]), Some("hi"), false, 1, &[]),
        (
            json!([{"name": "say", "args": {"text": "hi"}}]),
            None,
            false,
            1,
            &[],
        ),
        (json!([north]), Some("hi"), true, 2, &[]),
        (json!([north, north]), None, true, 1, &["over-limit"]),
        (
            json!([{"name": "say", "args": {"text": "a"}}]),
            Some("b"),
            false,
            1,
            &["over-limit"],
        ),
        (
            json!([]),
            Some("longer than five"),
            false,
            0,
            &["bad-argument"],
        ),
        (
            json!([{"name": "mvoe", "args": {"dir": "north"}}]),
            None,
            true,
            0,
            &["unknown-action"],
        ),
        (
            json!([{"name": "move", "args": {"dir": "up"}}]),
            None,
            true,
            0,
            &["bad-argument"],
        ),
        (
            json!([{"name": "move", "args": {"dir": 1}}]),
            None,
            true,
            0,
            &["bad-argument"],
        ),
        (
            json!([{"name": "move"}]),
            None,
            true,
            0,
            &["missing-argument"],
        ),
        (
            json!([{"name": "wait", "args": {"dir": "north"}}]),
            None,
            true,
            0,
            &["unknown-argument"],
        ),
    ];
    for (actions, say, closes, calls, wanted) in table {
        let mut door = door(2);
        door.act(0, asked(0, actions.clone(), *say));
        assert_eq!(
            door.open(),
            if *closes { 1 } else { 2 },
            "{actions} {say:?}"
        );
        let (input, _) = door.close();
        let got: usize = input
            .seats
            .iter()
            .map(|input| match &input.body {
                InputBody::Act(calls) => calls.len(),
                _ => 0,
            })
            .sum();
        assert_eq!(got, *calls, "{actions} {say:?}");
        assert_eq!(codes(&mut door, 0), *wanted, "{actions} {say:?}");
    }
}

#[test]
fn answers_for_another_tick_do_not_count() {
    let mut door = door(1);
    door.close();
    door.open_next();
    door.act(0, asked(0, json!([{"name": "wait"}]), None));
    door.act(0, asked(2, json!([{"name": "wait"}]), None));
    assert_eq!(door.open(), 1);
    door.act(0, asked(1, json!([{"name": "wait"}]), None));
    door.act(0, asked(1, json!([{"name": "wait"}]), None));
    assert_eq!(door.open(), 0);
    assert_eq!(codes(&mut door, 0), ["stale", "future", "duplicate"]);
}

#[test]
fn late_three_times_is_absent_until_it_speaks() {
    let mut door = door(1);
    for row in 1..=3 {
        let (input, changes) = door.close();
        assert!(
            input
                .seats
                .iter()
                .any(|input| input.body == InputBody::Late)
        );
        assert_eq!(changes[0], Change::Late(0, row));
        assert_eq!(changes.contains(&Change::Absent(0)), row == 3);
        door.open_next();
    }
    assert_eq!((door.present(), door.open()), (0, 0));
    let (input, changes) = door.close();
    assert!(
        input.seats.is_empty() && changes.is_empty(),
        "an absent seat is late no more"
    );
    door.open_next();
    // Even a stale word brings it back, for the next tick.
    assert!(door.act(0, asked(1, json!([{"name": "wait"}]), None)));
    assert_eq!((door.present(), door.open()), (1, 0));
    let (input, _) = door.close();
    assert_eq!(input.seats[0].body, InputBody::Back);
    door.open_next();
    assert_eq!(door.open(), 1);
}

#[test]
fn an_agent_in_the_place_of_an_absent_one_is_waited_for_from_the_next_tick() {
    let mut door = door(1);
    for _ in 1..=3 {
        door.close();
        door.open_next();
    }
    assert_eq!(door.standing(0), Standing::Absent);
    door.arrive(0, true);
    assert_eq!((door.present(), door.open()), (1, 0));
    let (input, _) = door.close();
    assert_eq!(input.seats[0].body, InputBody::Back);
    door.open_next();
    assert_eq!(door.open(), 1);
}

#[test]
fn who_leaves_is_not_waited_for_and_who_returns_is_from_the_next_tick() {
    let mut door = door(2);
    door.leave(1, "exit status 7".into());
    assert_eq!((door.present(), door.open()), (1, 1));
    door.arrive(1, true);
    assert_eq!((door.present(), door.open()), (2, 1));
    let (input, _) = door.close();
    let facts: Vec<&InputBody> = input
        .seats
        .iter()
        .filter(|input| input.seat == SeatId(1))
        .map(|input| &input.body)
        .collect();
    assert_eq!(
        facts,
        [
            &InputBody::Exited {
                reason: "exit status 7".into()
            },
            &InputBody::Back
        ]
    );
    door.open_next();
    assert_eq!(door.open(), 2);
}

#[test]
fn the_input_is_sorted_and_numbered() {
    let mut door = door(3);
    for seat in [2, 0, 1] {
        door.act(
            seat,
            asked(0, json!([{"name": "move", "args": {"dir": "south"}}]), None),
        );
    }
    let (input, _) = door.close();
    assert_eq!(input.tick, 1);
    let order: Vec<(u32, u32)> = input
        .seats
        .iter()
        .map(|input| (input.seat.0, input.seq))
        .collect();
    assert_eq!(order, [(0, 0), (1, 0), (2, 0)]);
    let InputBody::Act(calls) = &input.seats[0].body else {
        panic!("an act")
    };
    assert_eq!(calls[0].args, [Arg::Choice(1)]);
}

/// The bodies of a seat's entries in an input, in short.
fn entries(input: &TickInput, seat: u32) -> Vec<String> {
    let of_seat = input.seats.iter().filter(|entry| entry.seat.0 == seat);
    of_seat
        .map(|entry| match &entry.body {
            InputBody::Act(calls) => format!("act {}", calls.len()),
            InputBody::Thought { ms, .. } => format!("thought {ms}"),
            body => format!("{body:?}").to_lowercase(),
        })
        .collect()
}

#[test]
fn in_turns_one_is_asked_after_the_other_and_who_cannot_is_passed_over() {
    let mut door = door(3);
    door.set_pace(Mode::Turns, None);
    door.begin();
    let go = || asked(0, json!([{"name": "wait"}]), None);
    door.act(1, go());
    assert_eq!(
        (door.open(), door.awaits(0), door.awaits(1)),
        (1, Some(0), None)
    );
    door.act(0, go());
    assert_eq!(door.open(), 0);
    let (input, _) = door.close();
    assert_eq!(entries(&input, 0), ["turn", "act 1"]);
    assert_eq!(entries(&input, 1), ["unseen"]);
    // It is told what was refused when it is shown something again: now.
    let told = door.open_next();
    assert_eq!((told[1][0].code, told[0].len()), ("not-your-turn", 0));
    assert!(door.sees(1) && !door.sees(0) && !door.sees(2));
    // Late three times in a row, each time in a turn of its own, and absent: then its turn is passed over.
    door.leave(2, "gone".into());
    let mut turns = Vec::new();
    for _ in 0..7 {
        let turn = (0..3).find(|seat| door.sees(*seat));
        turns.push(turn);
        if turn == Some(0) {
            let tick = door.tick();
            door.act(0, asked(tick, json!([{"name": "wait"}]), None));
        }
        door.close();
        door.open_next();
    }
    let [zero, one] = [Some(0), Some(1)];
    assert_eq!(turns, [one, zero, one, zero, one, zero, zero]);
    // Nobody that could be asked: ticks pass, and nobody is late.
    door.leave(0, "gone".into());
    door.close();
    door.open_next();
    let (input, changes) = door.close();
    assert_eq!((input.seats.len(), changes.len()), (1, 0), "{input:?}");
}

#[test]
fn in_async_an_answer_counts_whenever_it_comes() {
    let mut door = door(2);
    door.set_pace(Mode::Async, None);
    door.begin();
    assert!(door.sees(0) && door.sees(1));
    for tick in 0..5 {
        door.act(1, asked(tick, json!([{"name": "wait"}]), None));
        let (input, changes) = door.close();
        let expected: &[&str] = if tick == 0 { &[] } else { &["unseen"] };
        assert_eq!(
            (&entries(&input, 0)[..], changes.len()),
            (
                &expected.iter().map(|s| s.to_string()).collect::<Vec<_>>()[..],
                0
            )
        );
        assert_eq!(entries(&input, 1), ["act 1"]);
        door.open_next();
        assert!(door.sees(1) && !door.sees(0));
    }
    door.act(0, asked(5, json!([{"name": "wait"}]), None));
    door.act(
        0,
        asked(0, json!([{"name": "move", "args": {"dir": "north"}}]), None),
    );
    door.thought(0, 700, 0);
    let (input, _) = door.close();
    assert_eq!(entries(&input, 0), ["unseen", "thought 700", "act 1"]);
    let told = door.open_next();
    assert_eq!(told[0][0].code, "future");
    assert!(
        door.sees(0),
        "it has answered, and is shown the world again"
    );
}

#[test]
fn who_pays_for_thinking_is_asked_when_it_has_paid() {
    let mut door = door(2);
    let think = ThinkSpec {
        per: formicarium_engine::Per::Ms,
        amount: 10,
        max_ticks: 9,
    };
    door.set_pace(Mode::Lockstep, Some(think));
    door.begin();
    let wait = |door: &mut Door, seat| {
        let tick = door.tick();
        door.act(seat, asked(tick, json!([{"name": "wait"}]), None));
    };
    wait(&mut door, 0);
    door.thought(0, 29, 0);
    let mut sees = Vec::new();
    for _ in 0..4 {
        wait(&mut door, 1);
        assert_eq!(door.open(), 0, "nobody waits for who is busy");
        let (_, changes) = door.close();
        assert!(changes.is_empty(), "{changes:?}");
        door.open_next();
        sees.push((door.tick(), door.sees(0)));
        if door.sees(0) {
            break;
        }
        wait(&mut door, 0);
    }
    assert_eq!(sees, [(1, false), (2, false), (3, true)]);
    // A pass that was thought about is paid like an act, a late seat pays nothing.
    door.act(0, asked(3, json!([]), None));
    door.thought(0, 10, 0);
    door.time_over(1);
    door.thought(1, 99, 0);
    let (input, _) = door.close();
    assert_eq!(entries(&input, 0), ["thought 10", "act 0"]);
    assert_eq!(entries(&input, 1), ["thought 99", "late"]);
    assert_eq!(codes(&mut door, 0).len(), 0);
    assert!(!door.sees(0) && door.sees(1));
}
