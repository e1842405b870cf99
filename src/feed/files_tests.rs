//! The law of the shared files on the feed: a snapshot is what its reader would have from the ticks before it.

use serde_json::{Value, json};

use super::*;

/// What a reader of the feed does with ticks, knowing docs/feed-protocol.md alone.
#[derive(Default)]
struct Reader {
    paths: BTreeMap<String, Value>,
    rest: Value,
}

const COLUMNS: [&str; 5] = ["version", "kind", "bytes", "seat", "tick"];

impl Reader {
    fn put(&mut self, columns: &Value) {
        let Some(paths) = columns["path"].as_array() else {
            return;
        };
        for (row, path) in paths.iter().enumerate() {
            let state = COLUMNS.map(|name| columns[name][row].clone());
            let path = path.as_str().expect("a path").to_owned();
            self.paths.insert(path, json!(state));
        }
    }

    fn tick(&mut self, tick: &FilesTick) {
        let mut tick = serde_json::to_value(tick).expect("JSON");
        self.put(&tick["upd"]);
        for path in tick["del"].as_array().into_iter().flatten() {
            let gone = self.paths.remove(path.as_str().expect("a path"));
            assert!(gone.is_some(), "{path} was never told");
        }
        let tick = tick.as_object_mut().expect("an object");
        for (key, value) in tick {
            if key != "upd" && key != "del" {
                self.rest[key.as_str()] = value.clone();
            }
        }
    }

    fn snapshot(snapshot: &FilesSnapshot) -> Reader {
        let mut rest = serde_json::to_value(snapshot).expect("JSON");
        let paths = rest["paths"].take();
        rest.as_object_mut().expect("an object").remove("paths");
        let mut reader = Reader {
            paths: BTreeMap::new(),
            rest,
        };
        reader.put(&paths);
        reader
    }
}

fn version(sequence: u64, standing: Standing) -> PathState {
    PathState {
        sequence,
        version: sequence,
        standing,
        bytes: sequence * 3,
        seat: (!sequence.is_multiple_of(4)).then_some(sequence as u32 % 4),
        tick: sequence / 2,
    }
}

fn scope(path: &str) -> Covered {
    Covered {
        path: path.into(),
        subtree: path.is_empty(),
    }
}

fn held(seat: u32, since: Option<u64>, until_ms: u64) -> Option<Held> {
    Some(Held {
        scope: scope("toc.md"),
        seat,
        since,
        until_ms,
    })
}

/// A tick of a story that is told by a number alone: versions, deletions, leases that begin, go on and end, and waits.
fn delta(n: u64, paths: u64) -> FilesDelta {
    let mix = |salt: u64| (n * 31 + salt).wrapping_mul(0x9E37_79B9_7F4A_7C15) >> 40;
    let mut delta = FilesDelta {
        count: mix(0) % 50,
        bytes: mix(1),
        published: mix(2) % 3,
        refused: mix(3) % 2,
        ..FilesDelta::default()
    };
    for k in 0..mix(4) % 5 {
        let standing = match mix(5 + k) % 4 {
            0 => Standing::Gone,
            1 => Standing::Program,
            _ => Standing::File,
        };
        let path = format!("f{}", mix(20 + k) % paths);
        delta.paths.insert(path, version(n * 10 + k, standing));
    }
    match mix(40) % 4 {
        0 => drop(delta.leases.insert(n, held(1, Some(n), n + 9))),
        1 => drop(
            delta
                .leases
                .insert(n.saturating_sub(1), held(1, None, n + 99)),
        ),
        2 => drop(delta.leases.insert(n.saturating_sub(3), None)),
        _ => {}
    }
    if mix(50).is_multiple_of(3) {
        let wait = |seat| Waiting {
            scope: scope(""),
            seat,
            since: n,
        };
        delta.waiting = Some((0..mix(51) as u32 % 3).map(wait).collect());
    }
    delta
}

#[test]
fn a_snapshot_is_what_ticks_add_up_to_whenever_one_joins() {
    for paths in [3, 40] {
        let mut files = Files::default();
        let mut readers: Vec<Reader> = Vec::new();
        for n in 1..200 {
            let tick = files.apply(delta(n, paths));
            let now = Reader::snapshot(&files.snapshot());
            for reader in &mut readers {
                tick.iter().for_each(|tick| reader.tick(tick));
                assert_eq!(reader.paths, now.paths, "tick {n}");
                assert_eq!(reader.rest, now.rest, "tick {n}");
            }
            readers.push(now);
        }
        let end = files.end().expect("somebody holds something");
        assert_eq!((end.totals.held, end.totals.waits), (0, 0));
        assert_eq!(files.end(), None);
    }
}

#[test]
fn what_did_not_fit_is_told_later_all_the_same() {
    for behind in 2..6 {
        let (mut each, mut some) = (Files::default(), Files::default());
        let mut late = FilesDelta::default();
        for n in 1..120 {
            each.apply(delta(n, 20));
            late.then(delta(n, 20));
            if n.is_multiple_of(behind) {
                some.apply(std::mem::take(&mut late));
                assert_eq!(some.snapshot(), each.snapshot(), "tick {n}");
            }
        }
    }
}

#[test]
fn of_a_large_tree_those_paths_are_shown_that_changed_last() {
    let mut files = Files::default();
    let many = |range: std::ops::Range<u64>, standing| FilesDelta {
        paths: range
            .map(|n| (format!("f{n:06}"), version(n, standing)))
            .collect(),
        count: 3_000,
        ..FilesDelta::default()
    };
    let mut reader = Reader::default();
    let first = files.apply(many(1..3_001, Standing::File)).expect("news");
    assert_eq!((first.upd.path.len(), first.del.len()), (PATHS, 0));
    assert_eq!(first.upd.path[0], "f001001");
    reader.tick(&first);
    assert_eq!(
        files.apply(many(1..3_001, Standing::File)),
        None,
        "told again"
    );
    let gone = many(2_000..2_010, Standing::Gone)
        .paths
        .into_iter()
        .map(|(path, state)| {
            let sequence = state.sequence + 2_000;
            (path, PathState { sequence, ..state })
        });
    let gone = FilesDelta {
        paths: gone.collect(),
        count: 2_990,
        ..FilesDelta::default()
    };
    reader.tick(&files.apply(gone).expect("news"));
    let new = files
        .apply(many(5_000..5_012, Standing::File))
        .expect("news");
    assert_eq!(new.del.len(), 12);
    assert_eq!(
        (&*new.del[0], &*new.del[9], &*new.del[10]),
        ("f002000", "f002009", "f001001"),
        "what is gone makes room first"
    );
    reader.tick(&new);
    let now = Reader::snapshot(&files.snapshot());
    assert_eq!((now.paths.len(), &reader.paths), (PATHS, &now.paths));
    assert_eq!(now.rest["count"], 3_000, "all are counted");
}

#[test]
fn frames_read_as_the_protocol_says() {
    let mut files = Files::default();
    let mut delta = FilesDelta {
        count: 1,
        bytes: 6,
        published: 1,
        ..FilesDelta::default()
    };
    delta
        .paths
        .insert("toc.md".into(), version(2, Standing::File));
    delta.leases.insert(7, held(2, Some(10), 1_764_073_809_000));
    let tick = files.apply(delta).expect("news");
    let expected = json!({
        "upd": {"path": ["toc.md"], "version": [2], "kind": [1], "bytes": [6], "seat": [2], "tick": [1]},
        "leases": {"token": [7], "path": ["toc.md"], "subtree": [0], "seat": [2], "since": [10], "until_ms": [1_764_073_809_000_u64]},
        "count": 1, "bytes": 6, "held": 1, "waits": 0, "published": 1, "refused": 0,
    });
    assert_eq!(serde_json::to_value(tick).expect("JSON"), expected);
}
