//! Leases against a model that knows only a list: same answers for any sequence of calls.

use proptest::prelude::*;

use super::*;

fn path(text: &str) -> TreePath {
    TreePath::new(text).unwrap()
}

#[test]
fn scopes_overlap_where_a_path_lies_in_both() {
    let (file, folder, beside) = (
        Scope::Path(path("a/b")),
        Scope::Subtree(path("a")),
        Scope::Subtree(path("ab")),
    );
    let itself = Scope::Path(path("a"));
    for (one, other, expected) in [
        (&file, &folder, true),
        (&file, &file, true),
        (&itself, &folder, true),
        (&itself, &file, false),
        (&folder, &beside, false),
        (&Scope::Tree, &file, true),
        (&Scope::Tree, &Scope::Tree, true),
    ] {
        assert_eq!(one.overlaps(other), expected, "{one} {other}");
        assert_eq!(other.overlaps(one), expected, "{other} {one}");
    }
}

#[test]
fn the_life_of_a_lease() {
    let mut leases = Leases::new(7);
    let scope = Scope::Subtree(path("book"));
    let lease = leases.grant(scope.clone(), "alice", 100).unwrap();
    assert_eq!((lease.token, lease.until_ms), (7, 100));
    let refused = leases.grant(Scope::Path(path("book/one")), "bob", 100);
    assert_eq!(
        refused.unwrap_err().to_string(),
        "book/** is leased by alice for another 100 ms: wait and ask again, or work on other files meanwhile"
    );
    assert_eq!(leases.grant(scope, "alice", 50).unwrap().until_ms, 100);
    assert_eq!(leases.renew(7, "alice", 300).unwrap().until_ms, 300);
    assert_eq!(
        leases.renew(7, "bob", 300),
        Err(LeaseError::NotHeld { token: 7 })
    );
    assert!(leases.expire(299).is_empty());
    assert_eq!(leases.expire(300).len(), 1);
    assert_eq!(
        leases.release(7, "alice"),
        Err(LeaseError::NotHeld { token: 7 })
    );
    let next = leases.grant(Scope::Tree, "bob", 1).unwrap();
    assert_eq!((next.token, next.until_ms), (8, 301));
    assert!(leases.expire(5).is_empty(), "the clock never goes back");
    assert_eq!(leases.end_seat("bob").len(), 1);
    assert_eq!(leases.list().count(), 0);
    for ttl_ms in [0, TTL_MS + 1, u64::MAX] {
        let refused = leases.grant(Scope::Tree, "bob", ttl_ms);
        assert_eq!(refused, Err(LeaseError::Ttl { ttl_ms }));
    }
    for n in 0..PER_SEAT {
        let scope = Scope::Path(path(&n.to_string()));
        leases.grant(scope, "eve", 10).unwrap();
    }
    assert_eq!(
        leases.grant(Scope::Path(path("x")), "eve", 10),
        Err(LeaseError::TooMany)
    );
}

#[derive(Debug, Clone)]
enum Call {
    Grant(Scope, u8, u64),
    Renew(u64, u8, u64),
    Release(u64, u8),
    EndSeat(u8),
    Wait(u64),
}

fn a_path() -> impl Strategy<Value = TreePath> {
    prop::sample::select(vec!["a", "a/b", "a/b/c", "a-b", "ab", "a/c", "d", "d/e"]).prop_map(path)
}

fn a_scope() -> impl Strategy<Value = Scope> {
    prop_oneof![
        4 => a_path().prop_map(Scope::Path),
        3 => a_path().prop_map(Scope::Subtree),
        1 => Just(Scope::Tree),
    ]
}

fn a_call() -> impl Strategy<Value = Call> {
    prop_oneof![
        6 => (a_scope(), 0..4u8, 1..60u64).prop_map(|(s, seat, ttl)| Call::Grant(s, seat, ttl)),
        2 => (0..30u64, 0..4u8, 1..60u64).prop_map(|(t, seat, ttl)| Call::Renew(t, seat, ttl)),
        2 => (0..30u64, 0..4u8).prop_map(|(t, seat)| Call::Release(t, seat)),
        1 => (0..4u8).prop_map(Call::EndSeat),
        3 => (0..40u64).prop_map(Call::Wait),
    ]
}

proptest! {
    #[test]
    fn leases_do_what_a_plain_list_does(calls in prop::collection::vec(a_call(), 1..80)) {
        let mut leases = Leases::new(1);
        let mut model: Vec<Lease> = Vec::new();
        let (mut now, mut highest) = (0u64, 0u64);
        for call in calls {
            match call {
                Call::Wait(ms) => {
                    now += ms;
                    let ended = leases.expire(now);
                    let mut expected: Vec<Lease> = model.iter().filter(|l| l.until_ms <= now).cloned().collect();
                    expected.sort_by_key(|l| (l.until_ms, l.token));
                    prop_assert_eq!(ended, expected);
                    model.retain(|l| l.until_ms > now);
                }
                Call::Grant(scope, seat, ttl) => {
                    let seat = seat.to_string();
                    let blocked = model.iter().any(|l| l.seat != seat && l.scope.overlaps(&scope));
                    let granted = leases.grant(scope.clone(), &seat, ttl);
                    prop_assert_eq!(granted.is_err(), blocked);
                    match granted {
                        Ok(lease) => match model.iter_mut().find(|l| l.seat == seat && l.scope == scope) {
                            Some(own) => {
                                own.until_ms = own.until_ms.max(now + ttl);
                                prop_assert_eq!(&lease, &*own);
                            }
                            None => {
                                prop_assert!(lease.token > highest);
                                highest = lease.token;
                                model.push(lease);
                            }
                        },
                        Err(LeaseError::Held { held, left_ms }) => {
                            prop_assert!(held.scope.overlaps(&scope) && held.seat != seat);
                            prop_assert_eq!(left_ms, held.until_ms - now);
                            prop_assert!(model.contains(&held));
                        }
                        Err(other) => prop_assert!(false, "{}", other),
                    }
                }
                Call::Renew(token, seat, ttl) => {
                    let seat = seat.to_string();
                    let own = model.iter_mut().find(|l| l.token == token && l.seat == seat);
                    let renewed = leases.renew(token, &seat, ttl);
                    prop_assert_eq!(renewed.is_ok(), own.is_some());
                    if let Some(own) = own {
                        own.until_ms = own.until_ms.max(now + ttl);
                    }
                }
                Call::Release(token, seat) => {
                    let seat = seat.to_string();
                    let before = model.len();
                    model.retain(|l| !(l.token == token && l.seat == seat));
                    prop_assert_eq!(leases.release(token, &seat).is_ok(), model.len() < before);
                }
                Call::EndSeat(seat) => {
                    let seat = seat.to_string();
                    let expected: Vec<Lease> = model.iter().filter(|l| l.seat == seat).cloned().collect();
                    prop_assert_eq!(leases.end_seat(&seat), expected);
                    model.retain(|l| l.seat != seat);
                }
            }
            prop_assert_eq!(leases.list().cloned().collect::<Vec<_>>(), model.clone());
            // Whoever may publish a path, nobody else may: all that cover it are of one seat.
            for at in ["a", "a/b", "a/b/c", "ab", "d/e"].map(path) {
                let mut holders: Vec<&str> = leases.covering(&at).map(|l| l.seat.as_str()).collect();
                let mut expected: Vec<&str> = model.iter().filter(|l| l.scope.covers(&at)).map(|l| l.seat.as_str()).collect();
                holders.sort_unstable();
                expected.sort_unstable();
                prop_assert_eq!(&holders, &expected);
                holders.dedup();
                prop_assert!(holders.len() <= 1);
            }
        }
    }
}
