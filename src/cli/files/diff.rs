//! `files RUN diff`: two versions compared, with the exit statuses of diff(1).

use diffy::DiffOptions;
use formicarium_agents::broker::{State, Version};
use serde_json::json;

use super::{Exit, Wrong, line, lookup, reading, row, say, say_bytes};
use crate::recorder::reader::Recording;
use crate::recorder::versions::History;

/// As diff(1) has it.
const DIFFERENT: Exit = Exit::Failed;

pub(super) fn run(
    recording: &Recording,
    history: &History,
    old: &str,
    new: Option<&str>,
    json: bool,
) -> Result<Exit, Wrong> {
    let old = history.find(old).map_err(lookup)?;
    let new = match new {
        None => history.find(old.path.as_str()),
        Some(number) if number.starts_with('@') => history.find(&format!("{}{number}", old.path)),
        Some(name) => history.find(name),
    };
    let new = new.map_err(lookup)?;
    let contents = (
        recording.version_content(old).map_err(reading)?,
        recording.version_content(new).map_err(reading)?,
    );
    let is_equal = old.state == new.state;
    let is_binary = contents.0.contains(&0) || contents.1.contains(&0);
    let exit = if is_equal { Exit::Good } else { DIFFERENT };
    let text = match is_equal {
        true => Vec::new(),
        false => words(old, new, &contents, is_binary),
    };
    if json {
        say(&line(&json!({
            "equal": is_equal, "old": row(old), "new": row(new), "binary": is_binary,
            "diff": String::from_utf8_lossy(&text),
        })))?;
    } else {
        say_bytes(&text)?;
    }
    Ok(exit)
}

fn words(old: &Version, new: &Version, contents: &(Vec<u8>, Vec<u8>), is_binary: bool) -> Vec<u8> {
    let (was, is) = (label(old), label(new));
    let mut text = Vec::new();
    if kind(&old.state) != kind(&new.state) {
        let change = format!(
            "{was} is {}; {is} is {}\n",
            kind(&old.state),
            kind(&new.state)
        );
        text.extend(change.into_bytes());
    }
    if contents.0 == contents.1 {
        return text;
    }
    if is_binary {
        text.extend(format!("binary files {was} and {is} differ\n").into_bytes());
        return text;
    }
    let mut options = DiffOptions::new();
    options.set_original_filename(was).set_modified_filename(is);
    text.extend(
        options
            .create_patch_bytes(&contents.0, &contents.1)
            .to_bytes(),
    );
    text
}

fn label(version: &Version) -> String {
    format!("{}@{}", version.path, version.number)
}

fn kind(state: &State) -> &'static str {
    match state {
        State::Absent => "no file",
        State::Dir => "a folder",
        State::File {
            executable: true, ..
        } => "an executable file",
        State::File { .. } => "a file",
    }
}
