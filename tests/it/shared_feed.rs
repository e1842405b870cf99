//! Shared files on the feed, by a client that has only read docs/feed-protocol.md.

use std::collections::BTreeMap;
use std::path::PathBuf;

use serde_json::{Value, json};

use crate::feed::{COMMONS, Got, block, hello, json_of, next};
use crate::host::{Folder, Live};

/// Ada holds the poem from tick 3 to 9. At ticks 0, 6 and 12 she waits for the test's clients to come in.
const ADA: &str = r#"
case $1 in
0 | 6 | 12) until [ -e "go-$1" ]; do sleep 0.02; done ;;
1) printf '#!/bin/sh\n' > shared/run.sh; chmod +x shared/run.sh ;;
2) rm shared/old.md ;;
3) desk lease poem.md 60 && echo 'two, by ada' >> shared/poem.md ;;
9) desk release poem.md ;;
esac
"#;
/// Bob plays on while he waits for the poem, from tick 4 to 10.
const BOB: &str = r#"
import json, sys
def lease(**more):
    print(json.dumps({"type": "lease", "path": "poem.md", **more}), flush=True)
    return next(m for m in messages if m["type"] == "files")["ok"]
messages = map(json.loads, sys.stdin)
for message in messages:
    tick = message.get("tick")
    if message["type"] == "hello":
        print('{"type":"ready"}', flush=True)
    elif message["type"] == "observe":
        if tick in (4, 5, 7):
            assert not lease(again_ms=60000)
        elif tick == 10:
            assert lease()
            with open("shared/poem.md", "a") as poem:
                poem.write("three, by bob\n")
        elif tick == 12:
            assert lease(do="release")
        print(json.dumps({"type": "act", "tick": tick}), flush=True)
"#;

/// A scenario of two who share files, with a run that goes on for `ticks`.
fn shared(folder: &Folder, ticks: u32) -> PathBuf {
    let scenario = format!(
        "format = 1\nname = \"poem\"\ntitle = \"One poem\"\nsummary = \"Two want one file.\"\ncast = \"two\"\n[time]\nmode = \
         \"lockstep\"\ndeadline_ms = 60000\nticks = {ticks}\n[space]\nkind = \"none\"\n[mechanic.report.lines]\nfields.count = \
         {{ min = 0, max = 9, doc = \"lines\" }}\n[files]\ntree = \"tree\"\nlease_ms = 60000\n[[seat]]\nname = \"ada\"\n[[seat]]\n\
         name = \"bob\"\n"
    );
    folder.write("poem/scenario.toml", &scenario);
    let cast = "format = 1\n[[seat]]\nmatch = \"ada\"\ncommand = \"python3\"\nargs = [\"player.py\", \"ada.sh\"]\nfiles = \
                [\"player.py\", \"ada.sh\"]\n[[seat]]\nmatch = \"bob\"\ncommand = \"python3\"\nargs = [\"bob.py\"]\nfiles = \
                [\"bob.py\"]\n";
    folder.write("poem/casts/two.toml", cast);
    folder.write("poem/casts/player.py", include_str!("story/player.py"));
    folder.write("poem/casts/ada.sh", ADA);
    folder.write("poem/casts/bob.py", BOB);
    folder.write("poem/tree/poem.md", "one\n");
    folder.write("poem/tree/old.md", "old\n");
    folder.path("poem")
}

/// The shared files as a client has them, which has read the protocol alone.
#[derive(Debug, Clone, PartialEq, Default)]
struct Files {
    /// Version, kind, bytes, seat, by path.
    paths: BTreeMap<String, (i64, i64, i64, i64)>,
    /// Path, seat, the tick in which it began.
    leases: Vec<(String, i64, i64)>,
    waiting: Vec<(String, i64, i64)>,
    counts: Vec<i64>,
}

impl Files {
    fn take(&mut self, files: &Value, paths: &str) {
        let columns = |name: &str| files[name].as_object().is_some();
        let number = |part: &str, name: &str, row: usize| {
            files[part][name][row].as_i64().expect("a whole number")
        };
        for path in files["del"].as_array().into_iter().flatten() {
            self.paths.remove(path.as_str().expect("a path"));
        }
        let named = files[paths]["path"].as_array().into_iter().flatten();
        for (row, path) in named.enumerate() {
            let at = |name| number(paths, name, row);
            let state = (at("version"), at("kind"), at("bytes"), at("seat"));
            self.paths
                .insert(path.as_str().expect("a path").into(), state);
        }
        let holders = |part: &str| {
            let named = files[part]["path"].as_array().expect("a column").iter();
            let one = |(row, path): (usize, &Value)| {
                assert_eq!(number(part, "subtree", row), 0);
                let path = path.as_str().expect("a path").to_owned();
                (path, number(part, "seat", row), number(part, "since", row))
            };
            named.enumerate().map(one).collect::<Vec<_>>()
        };
        if columns("leases") {
            self.leases = holders("leases");
        }
        if columns("waiting") {
            self.waiting = holders("waiting");
        }
        let counts = ["count", "bytes", "held", "waits", "published", "refused"];
        self.counts = counts
            .map(|name| files[name].as_i64().expect("a count"))
            .into();
    }
}

/// Reads a feed to the end of the run: the files after each of its frames, by the frame's number.
async fn watch(live: &Live, mut at: impl FnMut(u64)) -> Vec<(u64, u64, Files)> {
    let mut socket = hello(live, json!({})).await;
    let (mut seen, mut files) = (Vec::new(), Files::default());
    loop {
        match next(&mut socket).await {
            Got::Data {
                kind,
                seq,
                tick,
                payload,
                flags,
            } if kind > 1 => {
                let body = json_of(&payload, flags);
                if !body["files"].is_null() {
                    let paths = if kind == 2 { "paths" } else { "upd" };
                    files.take(&body["files"], paths);
                }
                seen.push((seq, tick, files.clone()));
                at(tick);
            }
            Got::Control(message) if message["type"] == "gap" => panic!("{message}"),
            Got::Control(message) if message["type"] == "end" => return seen,
            Got::Closed(code) => panic!("closed with {code:?}"),
            _ => {}
        }
    }
}

#[test]
fn shared_files_are_told_alike_to_early_and_late_joiners() {
    let folder = Folder::new("shared");
    let scenario = shared(&folder, 14);
    let live = Live::start(&folder.path("run"), &[scenario.to_str().expect("a path")]);
    block(async {
        let (tell, heard) = tokio::sync::watch::channel(0);
        let ada = folder.path("run/agents/ada/workspace");
        // Lets the run go on when a client is there.
        let come = |tick: u64| {
            let go = ada.join(format!("go-{tick}"));
            move |_| drop(std::fs::write(&go, "go"))
        };
        let first = come(0);
        let early = watch(&live, |tick| {
            first(tick);
            tell.send_replace(tick);
        });
        let late = |tick: u64| {
            let (mut heard, live, there) = (heard.clone(), &live, come(tick));
            async move {
                let arrived = heard.wait_for(|now| *now >= tick).await.map(|now| *now);
                arrived.expect("the first client reads on");
                watch(live, there).await
            }
        };
        // The second client comes in while bob waits, the third when he has it.
        let (early, second, third) = tokio::join!(early, late(6), late(12));
        for others in [&second, &third] {
            let common = others.iter().filter(|(seq, _, files)| {
                let same = early.iter().find(|(number, _, _)| number == seq);
                let (_, tick, own) = same.expect("the early one has every frame");
                assert_eq!(own, files, "at tick {tick}");
                true
            });
            assert!(common.count() > 2);
        }
        let at = |tick: u64| {
            let frame = early.iter().rfind(|(_, now, _)| *now == tick);
            frame.expect("a frame of that tick").2.clone()
        };
        let lease = |seat, since| vec![("poem.md".to_owned(), seat, since)];
        // What is done in answer to tick T is in the input of tick T + 1.
        assert_eq!(at(1).paths["poem.md"], (1, 1, 4, -1));
        assert_eq!(at(1).counts, [2, 8, 0, 0, 0, 0]);
        assert_eq!(at(2).paths["run.sh"], (1, 2, 10, 0), "executable");
        assert_eq!(at(3).paths["old.md"], (2, 0, 0, 0), "deleted");
        assert_eq!(at(4).leases, lease(0, 3));
        assert_eq!(at(4).paths["poem.md"], (2, 1, 16, 0));
        assert_eq!((at(4).waiting, at(4).counts[5]), (vec![], 0));
        for tick in 5..9 {
            assert_eq!(at(tick).leases, lease(0, 3), "tick {tick}");
            assert_eq!(at(tick).waiting, lease(1, 4), "tick {tick}");
            assert_eq!(
                at(tick).counts,
                [2, 26, 1, 1, 3, 1],
                "one refusal, not many"
            );
        }
        assert_eq!(at(11).leases.len(), 1);
        assert_eq!((at(11).leases[0].1, at(11).waiting), (1, vec![]));
        assert_eq!(at(11).paths["poem.md"], (3, 1, 30, 1));
        assert_eq!((at(13).leases, at(13).counts[5]), (vec![], 1));
    });
}

#[test]
fn a_scenario_without_shared_files_says_nothing_of_them() {
    let folder = Folder::new("none-shared");
    let live = Live::start(&folder.path("run"), &COMMONS);
    block(async {
        let mut socket = hello(&live, json!({})).await;
        let mut ticks = 0;
        while ticks < 10 {
            match next(&mut socket).await {
                Got::Data {
                    kind: 2,
                    payload,
                    flags,
                    ..
                } => assert_eq!(json_of(&payload, flags)["files"], Value::Null),
                Got::Data {
                    kind: 3,
                    payload,
                    flags,
                    ..
                } => {
                    assert_eq!(json_of(&payload, flags).get("files"), None);
                    ticks += 1;
                }
                _ => {}
            }
        }
    });
}
