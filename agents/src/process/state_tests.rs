//! Every (state, event) pair of the process machine as one table, and what must hold for any sequence of events.

use expect_test::expect;
use proptest::prelude::*;

use super::*;

fn terms(policy: RestartPolicy, max: u32) -> Terms {
    let restart = Restart {
        policy,
        max,
        backoff_ms: 200,
        backoff_cap_ms: 1000,
    };
    Terms {
        restart,
        ready_ms: 5000,
        grace_ms: 2000,
    }
}

fn end() -> End {
    End {
        reason: "why".into(),
        blame: Some(Blame::Agent),
        asked: false,
        failed: true,
    }
}

fn states() -> Vec<State> {
    vec![
        State::Starting,
        State::Ready,
        State::Running,
        State::Terminating { why: end() },
        State::Exited { again: true },
        State::Exited { again: false },
    ]
}

fn events() -> Vec<Event> {
    vec![
        Event::Spawned,
        Event::SpawnFailed {
            blame: Blame::Cast,
            detail: "no such program".into(),
        },
        Event::SaidReady,
        Event::Acted,
        Event::OutputEnded,
        Event::MainExited(ExitStatus::Code(0)),
        Event::MainExited(ExitStatus::Code(3)),
        Event::MainExited(ExitStatus::Signal(9)),
        Event::MainExited(ExitStatus::Signal(11)),
        Event::KeeperLost,
        Event::TreeGone,
        Event::RunEnded,
        Event::GaveUp {
            reason: "it does not answer".into(),
        },
        Event::StopAsked {
            reason: "budget".into(),
        },
        Event::ReadyTimeout,
        Event::GraceOver,
        Event::BackoffOver,
    ]
}

fn short(effect: &Effect) -> String {
    match effect {
        Effect::Fault(fault) => format!("fault {}/{}", fault.kind.as_str(), fault.blame.as_str()),
        Effect::Status(ProcessStatus::Exited {
            will_restart,
            blame,
            ..
        }) => {
            format!(
                "exited(blame {}, restart {will_restart})",
                blame.map_or("none", Blame::as_str)
            )
        }
        Effect::Status(status) => format!("{:?}", status.phase()).to_lowercase(),
        Effect::Set(timer, ms) => format!("{timer:?} {ms} ms").to_lowercase(),
        Effect::Started { attempt } => format!("started {attempt}"),
        other => format!("{other:?}").to_lowercase(),
    }
}

fn name(state: &State) -> String {
    match state {
        State::Terminating { .. } => "Terminating".into(),
        State::Exited { again: true } => "Waiting".into(),
        State::Exited { again: false } => "Exited".into(),
        other => format!("{other:?}"),
    }
}

#[test]
fn every_state_and_event() {
    let mut table = String::new();
    for state in states() {
        for event in events() {
            let mut machine = Machine {
                state: state.clone(),
                terms: terms(RestartPolicy::OnFailure, 2),
                attempt: 1,
                run_ended: false,
                stopped: false,
            };
            let what = match &event {
                Event::MainExited(status) => format!("{status:?}"),
                Event::SpawnFailed { .. } => "SpawnFailed".into(),
                Event::GaveUp { .. } => "GaveUp".into(),
                Event::StopAsked { .. } => "StopAsked".into(),
                other => format!("{other:?}"),
            };
            let effects: Vec<String> = machine.on(event).iter().map(short).collect();
            if effects.is_empty() && machine.state == state {
                continue;
            }
            table += &format!(
                "{} + {what} -> {}: {}\n",
                name(&state),
                name(&machine.state),
                effects.join(", ")
            );
        }
    }
    // What is not listed changes nothing.
    expect![[r#"
        Starting + Spawned -> Starting: ready 5000 ms, started 1
        Starting + SpawnFailed -> Waiting: clear, fault spawn-failed/cast, exited(blame cast, restart true), backoff 200 ms
        Starting + SaidReady -> Ready: clear, ready
        Starting + OutputEnded -> Starting: grace 2000 ms
        Starting + Code(0) -> Terminating: fault exited/agent, clear
        Starting + Code(3) -> Terminating: fault exited/agent, clear
        Starting + Signal(9) -> Terminating: fault exited/machine, clear
        Starting + Signal(11) -> Terminating: fault exited/agent, clear
        Starting + KeeperLost -> Terminating: clear, fault keeper-lost/machine
        Starting + TreeGone -> Waiting: clear, exited(blame machine, restart true), backoff 200 ms
        Starting + GaveUp -> Terminating: grace 2000 ms, terminating, term
        Starting + StopAsked -> Terminating: grace 2000 ms, terminating, term
        Starting + ReadyTimeout -> Terminating: fault ready-timeout/agent, grace 2000 ms, terminating, term
        Starting + GraceOver -> Terminating: fault eof/agent, grace 2000 ms, terminating, term
        Ready + SpawnFailed -> Waiting: clear, fault spawn-failed/cast, exited(blame cast, restart true), backoff 200 ms
        Ready + Acted -> Running: running
        Ready + OutputEnded -> Ready: grace 2000 ms
        Ready + Code(0) -> Terminating: fault exited/agent, clear
        Ready + Code(3) -> Terminating: fault exited/agent, clear
        Ready + Signal(9) -> Terminating: fault exited/machine, clear
        Ready + Signal(11) -> Terminating: fault exited/agent, clear
        Ready + KeeperLost -> Terminating: clear, fault keeper-lost/machine
        Ready + TreeGone -> Waiting: clear, exited(blame machine, restart true), backoff 200 ms
        Ready + GaveUp -> Terminating: grace 2000 ms, terminating, term
        Ready + StopAsked -> Terminating: grace 2000 ms, terminating, term
        Ready + GraceOver -> Terminating: fault eof/agent, grace 2000 ms, terminating, term
        Running + SpawnFailed -> Waiting: clear, fault spawn-failed/cast, exited(blame cast, restart true), backoff 200 ms
        Running + OutputEnded -> Running: grace 2000 ms
        Running + Code(0) -> Terminating: fault exited/agent, clear
        Running + Code(3) -> Terminating: fault exited/agent, clear
        Running + Signal(9) -> Terminating: fault exited/machine, clear
        Running + Signal(11) -> Terminating: fault exited/agent, clear
        Running + KeeperLost -> Terminating: clear, fault keeper-lost/machine
        Running + TreeGone -> Waiting: clear, exited(blame machine, restart true), backoff 200 ms
        Running + GaveUp -> Terminating: grace 2000 ms, terminating, term
        Running + StopAsked -> Terminating: grace 2000 ms, terminating, term
        Running + GraceOver -> Terminating: fault eof/agent, grace 2000 ms, terminating, term
        Terminating + Spawned -> Terminating: term, grace 2000 ms
        Terminating + SpawnFailed -> Waiting: clear, exited(blame agent, restart true), backoff 200 ms
        Terminating + TreeGone -> Waiting: clear, exited(blame agent, restart true), backoff 200 ms
        Terminating + StopAsked -> Terminating: 
        Terminating + GraceOver -> Terminating: kill
        Waiting + RunEnded -> Exited: clear
        Waiting + StopAsked -> Exited: clear
        Waiting + BackoffOver -> Starting: starting, spawn
    "#]].assert_eq(&table);
}

#[test]
fn waits_grow_up_to_the_cap() {
    let restart = terms(RestartPolicy::Always, 9).restart;
    assert_eq!(
        [1, 2, 3, 4, 70].map(|attempt| backoff_ms(restart, attempt)),
        [200, 400, 800, 1000, 1000]
    );
}

#[test]
fn a_policy_decides_who_comes_back() {
    for (policy, code, again) in [
        (RestartPolicy::Never, 1, false),
        (RestartPolicy::OnFailure, 0, false),
        (RestartPolicy::OnFailure, 1, true),
        (RestartPolicy::Always, 0, true),
    ] {
        let mut machine = Machine::new(terms(policy, 1));
        for _ in 0..2 {
            machine.on(Event::Spawned);
            machine.on(Event::MainExited(ExitStatus::Code(code)));
            machine.on(Event::TreeGone);
            if machine.attempt == 1 {
                assert_eq!(
                    machine.state,
                    State::Exited { again },
                    "{policy:?} after status {code}"
                );
            }
            machine.on(Event::BackoffOver);
        }
        assert_eq!(
            machine.state,
            State::Exited { again: false },
            "max is 1: {policy:?}"
        );
        assert_eq!(machine.attempt, if again { 2 } else { 1 });
    }
}

#[test]
fn after_the_end_of_the_run_an_exit_is_no_fault() {
    for status in [
        ExitStatus::Code(0),
        ExitStatus::Code(1),
        ExitStatus::Signal(15),
    ] {
        let mut machine = Machine::new(terms(RestartPolicy::Always, 5));
        machine.on(Event::Spawned);
        machine.on(Event::SaidReady);
        machine.on(Event::RunEnded);
        assert!(
            !machine
                .on(Event::MainExited(status))
                .iter()
                .any(|e| matches!(e, Effect::Fault(_)))
        );
        let effects = machine.on(Event::TreeGone);
        assert_eq!(
            effects.iter().map(short).collect::<Vec<_>>(),
            ["clear", "exited(blame none, restart false)"]
        );
    }
}

proptest! {
    /// Whatever comes in whatever order: a stopped seat is never started again, there are never more processes than
    /// allowed, and a process that is being ended is always either waited for or has a timer that kills it.
    #[test]
    fn any_sequence(choices in proptest::collection::vec(0usize..17, 0..60), stop_at in 0usize..60) {
        let all = events();
        let mut machine = Machine::new(terms(RestartPolicy::Always, 2));
        let mut spawns = 1;
        for (at, choice) in choices.into_iter().enumerate() {
            if at == stop_at {
                machine.on(Event::StopAsked { reason: "enough".into() });
            }
            let effects = machine.on(all[choice].clone());
            let spawned = effects.iter().filter(|e| **e == Effect::Spawn).count();
            prop_assert!(spawned == 0 || !machine.stopped);
            spawns += spawned;
            for effect in &effects {
                if *effect == Effect::Term {
                    let killed_later = effects.iter().any(|e| matches!(e, Effect::Set(Timer::Grace, _)));
                    prop_assert!(killed_later, "TERM without a timer for KILL: {:?}", effects);
                }
            }
        }
        prop_assert!(spawns <= 3);
    }
}
