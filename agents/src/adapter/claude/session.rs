//! A session of Claude Code as a file: cut at a tick, and carried to another working folder.
//!
//! The program keeps each session under its configuration folder, in `projects/<working folder>/<session>.jsonl`, one JSON
//! object a line, only ever appended to; `--resume` looks there (seen with 2.1.331). Must not know recordings or worlds:
//! what was shown at the tick is given as text.

use std::path::Path;

use serde_json::Value;

use crate::workspace::history::restore::Kept;

/// Where sessions lie in a seat's folder.
const PROJECTS: &str = "home/.claude/projects/";
/// What belongs to processes that are gone.
const STALE: [&str; 2] = ["home/.claude/sessions", "home/.cache/claude-cli-nodejs"];

/// The conversation up to what was shown: a tool's result that shows it is the last line; a message that shows it is not
/// there any more, since it will be sent again. None if it was never shown: nothing can be cut then.
pub fn cut(session: &[u8], shown: &str) -> Option<Vec<u8>> {
    let mut end = 0;
    for line in session.split_inclusive(|byte| *byte == b'\n') {
        let after = end + line.len();
        match shows(line, shown) {
            Some(Place::Result) => return Some(session[..after].to_vec()),
            Some(Place::Message) => return Some(session[..end].to_vec()),
            None => end = after,
        }
    }
    None
}

/// Whether anything was said in it.
pub fn is_begun(session: &[u8]) -> bool {
    session.split(|byte| *byte == b'\n').any(|line| {
        serde_json::from_slice::<Value>(line)
            .is_ok_and(|line| line["type"] == "user" || line["type"] == "assistant")
    })
}

enum Place {
    Result,
    Message,
}

fn shows(line: &[u8], shown: &str) -> Option<Place> {
    let line: Value = serde_json::from_slice(line).ok()?;
    if line["type"] != "user" || line["isSidechain"] == true {
        return None;
    }
    let content = &line["message"]["content"];
    let has = |value: &Value| value.as_str().is_some_and(|text| text.contains(shown));
    if has(content) {
        return Some(Place::Message);
    }
    content.as_array()?.iter().find_map(|block| {
        if has(&block["text"]) {
            return Some(Place::Message);
        }
        let result = &block["content"];
        let texts = result.as_array().into_iter().flatten();
        let found = has(result) || texts.into_iter().any(|block| has(&block["text"]));
        found.then_some(Place::Result)
    })
}

/// The path of a session among a seat's files, if it is there.
pub fn find<'a>(mut paths: impl Iterator<Item = &'a str>, session: &str) -> Option<&'a str> {
    paths.find(|path| {
        path.strip_prefix(PROJECTS)
            .and_then(|rest| rest.split_once('/'))
            .is_some_and(|(_, name)| name.strip_suffix(".jsonl") == Some(session))
    })
}

/// Carries a session to another working folder (absolute, without links), and leaves behind what processes that are gone
/// held. False if there is no such session.
pub fn carry(files: &mut Vec<(String, Kept)>, session: &str, to: &Path) -> bool {
    let is_stale = |path: &str| {
        let is_lock = path.starts_with("home/.claude") && path.ends_with(".lock");
        is_lock || STALE.iter().any(|stale| path.starts_with(stale))
    };
    files.retain(|(path, _)| !is_stale(path));
    let paths = files.iter().map(|(path, _)| path.as_str());
    let Some(found) = find(paths, session) else {
        return false;
    };
    let from = found[..found.rfind('/').unwrap_or(0)].to_owned();
    let to = format!("{PROJECTS}{}", folder_name(to));
    for (path, _) in files {
        if let Some(rest) = path.strip_prefix(&from)
            && (rest.is_empty() || rest.starts_with('/'))
        {
            *path = format!("{to}{rest}");
        }
    }
    true
}

/// How the program names a working folder: all that is no letter or digit is a dash.
fn folder_name(folder: &Path) -> String {
    let dash = |c: char| if c.is_ascii_alphanumeric() { c } else { '-' };
    folder.to_string_lossy().chars().map(dash).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    const SESSION: &str = r#"{"type":"queue-operation","content":"Tick 0 of 5."}
{"type":"user","message":{"content":"Tick 0 of 5.\nMap"}}
{"type":"assistant","message":{"content":[{"type":"tool_use","id":"a"}]}}
{"type":"user","message":{"content":[{"type":"tool_result","content":[{"type":"text","text":"Tick 1 of 5.\nMap"}]}]}}
{"type":"assistant","message":{"content":[{"type":"text","text":"Tick 2 of 5. will come"}]}}
{"type":"user","message":{"content":[{"type":"text","text":"Tick 2 of 5.\nMap"}]}}
{"type":"ass
"#;

    #[test]
    fn a_session_is_cut_behind_a_result_and_before_a_message() {
        let lines = |shown: &str| {
            let cut = cut(SESSION.as_bytes(), shown)?;
            Some(cut.iter().filter(|byte| **byte == b'\n').count())
        };
        assert_eq!(lines("Tick 0 of 5.\nMap"), Some(1));
        assert_eq!(lines("Tick 1 of 5.\nMap"), Some(4));
        assert_eq!(lines("Tick 2 of 5.\nMap"), Some(5));
        assert_eq!(lines("Tick 3 of 5.\nMap"), None);
    }

    #[test]
    fn a_session_goes_where_the_program_looks_for_it() {
        let file = || Kept::File {
            content: Vec::new(),
            executable: false,
        };
        let mut files: Vec<(String, Kept)> = [
            "home/.claude/projects/-old-place",
            "home/.claude/projects/-old-place/abc.jsonl",
            "home/.claude/projects/-old-place/memory/note.md",
            "home/.claude/projects/-old-place-2/other.jsonl",
            "home/.claude/.claude.json.lock",
            "home/.claude/sessions/17.json",
            "workspace/notes.lock",
        ]
        .map(|path| (path.to_owned(), file()))
        .into();
        assert!(!carry(&mut files.clone(), "xyz", Path::new("/new")));
        assert!(carry(&mut files, "abc", Path::new("/new/a_b.c")));
        let paths: Vec<&str> = files.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(
            paths,
            [
                "home/.claude/projects/-new-a-b-c",
                "home/.claude/projects/-new-a-b-c/abc.jsonl",
                "home/.claude/projects/-new-a-b-c/memory/note.md",
                "home/.claude/projects/-old-place-2/other.jsonl",
                "workspace/notes.lock",
            ]
        );
    }
}
