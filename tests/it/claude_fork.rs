//! A fork of a run with the real Claude Code: the conversation up to the tick, and no word of what came after.

use serde_json::Value;

use crate::claude::{KEY, Standin, arguments, installed, play, scenario};
use crate::host::{Folder, assert_replays, formicarium, query_int};

/// What is said in a message, block by block: words, calls by their id, and their results.
fn said(message: &Value) -> Vec<String> {
    let role = message["role"].as_str().expect("a role");
    let content = &message["content"];
    let blocks = match content.as_str() {
        Some(text) => vec![serde_json::json!({"type": "text", "text": text})],
        None => content.as_array().expect("blocks").clone(),
    };
    let line = |block: &Value| {
        let result = &block["content"];
        let result = result[0]["text"].as_str().or(result.as_str());
        let text = match block["type"].as_str() {
            Some("text") => block["text"].to_string(),
            Some("tool_use") => format!("calls {}", block["id"]),
            Some("tool_result") => format!("{} came to {result:?}", block["tool_use_id"]),
            other => format!("{other:?}"),
        };
        format!("{role}: {text}")
    };
    blocks.iter().map(line).collect()
}

fn conversation(request: &Value) -> Vec<String> {
    let messages = request["conversation"].as_array().expect("a conversation");
    messages.iter().flat_map(said).collect()
}

#[test]
fn a_fork_sends_the_conversation_up_to_its_tick_and_then_the_new_observation() {
    if !installed() {
        return;
    }
    for turn in ["continuous", "per-tick"] {
        let folder = Folder::new(&format!("claude-fork-{turn}"));
        let standin = Standin::start_with(&folder, "[]", &["--bodies"]);
        let scenario = scenario(&folder, 1, &format!("turn = \"{turn}\""));
        play(&folder, &standin, &arguments(&scenario, 1, 8, "60s"));
        let before = standin.requests();
        let (parent, out) = (folder.path("run"), folder.path("fork"));
        let (from, to) = (
            parent.to_str().expect("UTF-8"),
            out.to_str().expect("UTF-8"),
        );
        let fork = formicarium(&["fork", from, "--at", "3", "--out", to, "--headless"])
            .env("ANTHROPIC_BASE_URL", &standin.url)
            .env("ANTHROPIC_API_KEY", KEY)
            .output()
            .expect("the host starts");
        let words = String::from_utf8_lossy(&fork.stderr).into_owned();
        assert!(fork.status.success(), "{words}");
        assert!(!words.contains("WARN"), "{words}");
        let after = standin.requests().split_off(before.len());
        let first = conversation(&after[0]);
        // The parent's first request that shows tick 3 at its end: what the model knew then.
        let shows = |line: &str, tick: u64| line.contains(&format!("Tick {tick} of 8."));
        let known = before
            .iter()
            .map(conversation)
            .find(|lines| lines.iter().any(|line| shows(line, 3)))
            .expect("tick 3 was shown");
        assert!(!first.iter().any(|line| shows(line, 4)), "{first:#?}");
        let last = first.last().expect("a message");
        assert!(last.starts_with("user: \"Tick 3 of 8."), "{last}");
        match turn {
            // The program closes a turn that was cut off with words of its own.
            "continuous" => {
                assert_eq!(first[..known.len()], known[..]);
                assert_eq!(first.len(), known.len() + 2, "{:#?}", &first[known.len()..]);
                assert!(first[known.len()].starts_with("assistant: "));
            }
            _ => assert_eq!(first, known),
        }
        // And so on, as a conversation of its own.
        let sessions = |requests: &[Value]| {
            let mut sessions: Vec<String> =
                requests.iter().map(|r| r["session"].to_string()).collect();
            sessions.dedup();
            sessions
        };
        assert_eq!(sessions(&before).len(), 1);
        assert_eq!(sessions(&after).len(), 1);
        assert_ne!(sessions(&before), sessions(&after));
        assert!(
            conversation(after.last().expect("requests"))
                .iter()
                .any(|line| shows(line, 7))
        );
        let said =
            "SELECT count(DISTINCT tick) FROM transcripts WHERE tick >= 3 AND kind = 'tool-call'";
        assert_eq!(query_int(&out, said), 5);
        assert_replays(&out);
    }
}
