//! The tools of a seat's desk: what they are called, and the message of the protocol that a call of one is.
//!
//! Must not know who calls, or what becomes of it. The same requests as words of a command: `formicarium desk`.

use std::collections::VecDeque;

use serde_json::{Map, Value, json};

use super::tools::Tool;
use crate::protocol::{
    AskFiles, AskLease, AskPublish, FilesInfo, FilesWhat, FromAgent, LeaseWhat, PATHS_PER_PUBLISH,
    PublishWhen,
};

/// What their names begin with.
const DESK: &str = "desk_";
/// Calls of a seat that may wait for the broker.
const WAITING: usize = 32;

/// The tools of a desk.
pub(super) fn list(files: &FilesInfo) -> Vec<Tool> {
    let text = |words: &str| json!({"type": "string", "description": words});
    let path = || {
        (
            "path",
            text("a path of the tree, for example notes/plan.md"),
        )
    };
    let schema = |fields: Vec<(&str, Value)>, required: &[&str]| {
        let properties: Map<String, Value> = fields
            .into_iter()
            .map(|(name, schema)| (name.to_owned(), schema))
            .collect();
        json!({"type": "object", "properties": properties, "required": required, "additionalProperties": false})
    };
    let when = match files.publish {
        PublishWhen::OnAct => "All of it is published when you act, too.",
        PublishWhen::Explicit => "Nothing is published before you call this.",
    };
    let longest = files.lease_ms / 1000;
    let scope = text("a path, `folder/**` for a folder and all in it, `**` for everything");
    [
        (
            "status",
            "What you have changed in the folder shared and not published, what others changed there too, and who has leases.".to_owned(),
            schema(vec![], &[]),
        ),
        (
            "lease",
            format!(
                "Take a path for yourself alone: until the lease ends, nobody else's changes of it are published. At most {longest} \
                 s; ask again to prolong it."
            ),
            schema(
                vec![
                    ("path", scope.clone()),
                    (
                        "seconds",
                        json!({"type": "number", "exclusiveMinimum": 0, "maximum": files.lease_ms as f64 / 1000.0,
                            "description": "for how long from now"}),
                    ),
                ],
                &["path"],
            ),
        ),
        (
            "release",
            "Give a lease back, so that others can go on.".into(),
            schema(vec![("path", scope)], &["path"]),
        ),
        (
            "publish",
            format!("Publish what you have changed in the folder shared, all of it or some paths. {when}"),
            schema(
                vec![(
                    "paths",
                    json!({"type": "array", "items": {"type": "string"}, "maxItems": PATHS_PER_PUBLISH,
                        "description": "only these, and what lies below them"}),
                )],
                &[],
            ),
        ),
        (
            "log",
            "All versions of a path: who published which, and when.".into(),
            schema(vec![path()], &["path"]),
        ),
        (
            "show",
            "What a version of a path says; without a version, the one that stands now.".into(),
            schema(
                vec![
                    path(),
                    ("version", json!({"type": "integer", "minimum": 1})),
                ],
                &["path"],
            ),
        ),
        (
            "refresh",
            "Bring what others have published into your folder now; it comes by itself with each observation.".into(),
            schema(vec![], &[]),
        ),
        (
            "take",
            "Give up what you have at a path, for what stands in the shared tree.".into(),
            schema(vec![path()], &["path"]),
        ),
        (
            "resolve",
            "After a collision: say that what you have at a path now holds both your changes and those of a version that you \
             have looked at, so that it may be published over that one."
                .into(),
            schema(
                vec![
                    path(),
                    ("version", json!({"type": "integer", "minimum": 1})),
                ],
                &["path", "version"],
            ),
        ),
    ]
    .map(|(name, description, schema)| Tool {
        name: format!("{DESK}{name}"),
        description,
        schema,
    })
    .into()
}

/// Reads a call; none if the tool is none of a desk.
pub(super) fn read(name: &str, args: &Map<String, Value>) -> Option<Result<FromAgent, String>> {
    let what = name.strip_prefix(DESK)?;
    let path = |called: &str| match args.get(called) {
        Some(Value::String(path)) => Ok(path.clone()),
        _ => Err(format!("{name} needs the argument `{called}`, a text")),
    };
    let lease = |what| -> Result<FromAgent, String> {
        let ttl_ms = match args.get("seconds") {
            None | Some(Value::Null) => None,
            Some(seconds) => Some(
                seconds
                    .as_f64()
                    .filter(|seconds| *seconds > 0.0 && *seconds < 1e9)
                    .map(|seconds| (seconds * 1000.0).ceil() as u64)
                    .ok_or("`seconds` has to be a number above 0")?,
            ),
        };
        Ok(FromAgent::Lease(AskLease {
            id: None,
            path: path("path")?,
            what,
            ttl_ms,
            again_ms: None,
        }))
    };
    let files = |what, path: Option<String>| {
        Ok(FromAgent::Files(AskFiles {
            id: None,
            what,
            path,
            version: args.get("version").and_then(Value::as_u64),
        }))
    };
    Some(match what {
        "lease" => lease(LeaseWhat::Take),
        "release" => lease(LeaseWhat::Release),
        "publish" => {
            paths(args.get("paths")).map(|paths| FromAgent::Publish(AskPublish { id: None, paths }))
        }
        "status" => files(FilesWhat::Status, None),
        "refresh" => files(FilesWhat::Refresh, None),
        "log" => path("path").and_then(|path| files(FilesWhat::Log, Some(path))),
        "show" => path("path").and_then(|path| files(FilesWhat::Show, Some(path))),
        "take" => path("path").and_then(|path| files(FilesWhat::Take, Some(path))),
        "resolve" => path("path").and_then(|path| files(FilesWhat::Resolve, Some(path))),
        _ => return None,
    })
}

fn paths(given: Option<&Value>) -> Result<Vec<String>, String> {
    let wrong = || format!("`paths` has to be a list of at most {PATHS_PER_PUBLISH} texts");
    match given {
        None | Some(Value::Null) => Ok(Vec::new()),
        Some(Value::Array(paths)) if paths.len() <= PATHS_PER_PUBLISH => paths
            .iter()
            .map(|path| path.as_str().map(str::to_owned).ok_or_else(wrong))
            .collect(),
        Some(_) => Err(wrong()),
    }
}

/// Gives a request the number that its answer repeats.
pub(super) fn number(request: &mut FromAgent, number: u64) {
    match request {
        FromAgent::Lease(ask) => ask.id = Some(number),
        FromAgent::Publish(ask) => ask.id = Some(number),
        FromAgent::Files(ask) => ask.id = Some(number),
        _ => {}
    }
}

/// Calls of tools that wait for the broker's answer, by its number. Bounded: the oldest is forgotten.
#[derive(Debug)]
pub struct Waiting<C>(VecDeque<(u64, C)>);

impl<C> Default for Waiting<C> {
    fn default() -> Self {
        Self(VecDeque::new())
    }
}

impl<C> Waiting<C> {
    /// A call waits; one that is forgotten for it comes back.
    pub fn add(&mut self, number: u64, call: C) -> Option<C> {
        let forgotten = (self.0.len() >= WAITING).then(|| self.0.pop_front());
        self.0.push_back((number, call));
        forgotten.flatten().map(|(_, call)| call)
    }

    /// The call that an answer is for.
    pub fn take(&mut self, number: Option<u64>) -> Option<C> {
        let at = self.0.iter().position(|(own, _)| Some(*own) == number)?;
        self.0.remove(at).map(|(_, call)| call)
    }

    /// Forgets calls.
    pub fn retain(&mut self, keep: impl Fn(&C) -> bool) {
        self.0.retain(|(_, call)| keep(call));
    }

    /// Forgets all, and returns them.
    pub fn clear(&mut self) -> impl Iterator<Item = C> {
        std::mem::take(&mut self.0)
            .into_iter()
            .map(|(_, call)| call)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn message(name: &str, args: Value) -> String {
        match read(name, args.as_object().unwrap()) {
            None => "no tool of a desk".into(),
            Some(Err(why)) => why,
            Some(Ok(mut message)) => {
                number(&mut message, 3);
                serde_json::to_string(&message).unwrap()
            }
        }
    }

    #[test]
    fn a_call_is_a_message_of_the_protocol() {
        let cases = [
            (
                "desk_lease",
                json!({"path": "toc.md", "seconds": 1.5}),
                r#"{"type":"lease","id":3,"path":"toc.md","do":"take","ttl_ms":1500}"#,
            ),
            (
                "desk_lease",
                json!({"path": "a", "seconds": -1}),
                "`seconds` has to be a number above 0",
            ),
            (
                "desk_release",
                json!({"path": "a/**"}),
                r#"{"type":"lease","id":3,"path":"a/**","do":"release"}"#,
            ),
            (
                "desk_publish",
                json!({"paths": ["a", "b"]}),
                r#"{"type":"publish","id":3,"paths":["a","b"]}"#,
            ),
            ("desk_publish", json!({}), r#"{"type":"publish","id":3}"#),
            (
                "desk_publish",
                json!({"paths": "a"}),
                "`paths` has to be a list of at most 1000 texts",
            ),
            (
                "desk_show",
                json!({"path": "a", "version": 2}),
                r#"{"type":"files","id":3,"do":"show","path":"a","version":2}"#,
            ),
            (
                "desk_log",
                json!({}),
                "desk_log needs the argument `path`, a text",
            ),
            (
                "desk_status",
                json!({}),
                r#"{"type":"files","id":3,"do":"status"}"#,
            ),
            ("desk_burn", json!({}), "no tool of a desk"),
            ("move", json!({}), "no tool of a desk"),
        ];
        for (name, args, expected) in cases {
            assert_eq!(message(name, args), expected);
        }
    }

    #[test]
    fn every_tool_of_the_list_can_be_called() {
        let files = FilesInfo {
            folder: "shared".into(),
            publish: PublishWhen::OnAct,
            lease_ms: 1000,
            max_files: 1,
            max_bytes: 1,
            max_file_bytes: 1,
        };
        let args = json!({"path": "a"});
        let tools = list(&files);
        assert_eq!(tools.len(), 9);
        for tool in tools {
            assert!(
                matches!(read(&tool.name, args.as_object().unwrap()), Some(Ok(_))),
                "{}",
                tool.name
            );
        }
    }

    #[test]
    fn no_more_calls_wait_than_may() {
        let mut waiting = Waiting::default();
        for number in 0..WAITING as u64 {
            assert_eq!(waiting.add(number, number), None);
        }
        assert_eq!(waiting.add(99, 99), Some(0));
        assert_eq!(waiting.take(Some(0)), None);
        assert_eq!(waiting.take(Some(99)), Some(99));
        assert_eq!(waiting.take(None), None);
        waiting.retain(|call| *call > 30);
        assert_eq!(waiting.clear().collect::<Vec<_>>(), [31]);
    }
}
