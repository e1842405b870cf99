//! `[files]`: the tree that the agents of a scenario have in common. Read and checked here; who keeps it, and how, is the
//! host's: what becomes of it enters the world as facts.

use super::bundle::Bundle;
use super::reader::Table;
use std::sync::Arc;

/// When what an agent changed is published.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum PublishMode {
    /// When it acts.
    OnAct,
    /// When it asks.
    Explicit,
}

/// `[files]`: a shared tree.
#[derive(Clone, Debug, PartialEq)]
pub struct FilesSpec {
    /// What it begins with, by path: relative, `/` between the parts.
    pub tree: Vec<(String, Arc<[u8]>)>,
    /// When what an agent changed is published.
    pub publish: PublishMode,
    /// Longest time of a lease, in milliseconds.
    pub lease_ms: u64,
    /// Most files of the tree, folders included.
    pub max_files: u64,
    /// Most bytes of the tree.
    pub max_bytes: u64,
    /// Most bytes of a file.
    pub max_file_bytes: u64,
    /// Most bytes of all contents that a seat publishes or tries to, all of which the recording keeps.
    pub max_kept_bytes: u64,
}

/// Reads `[files]`; none where the scenario has no files.
pub(super) fn read(root: &Table<'_>, bundle: &Bundle) -> Option<FilesSpec> {
    let table = root.table("files")?;
    let mut spec = FilesSpec {
        tree: Vec::new(),
        publish: PublishMode::OnAct,
        lease_ms: table.int_or("lease_ms", 1..=86_400_000, 60_000) as u64,
        max_files: table.int_or("max_files", 1..=100_000, 1000) as u64,
        max_bytes: table.int_or("max_bytes", 1..=1 << 30, 16 << 20) as u64,
        max_file_bytes: table.int_or("max_file_bytes", 1..=1 << 30, 1 << 20) as u64,
        max_kept_bytes: table.int_or("max_kept_bytes", 1..=1 << 40, 256 << 20) as u64,
    };
    if table
        .get("publish")
        .and_then(|item| item.choice(&["on-act", "explicit"]))
        == Some(1)
    {
        spec.publish = PublishMode::Explicit;
    }
    let Some((item, folder)) = table
        .get("tree")
        .and_then(|item| Some((item.clone(), item.text()?)))
    else {
        return Some(spec);
    };
    let prefix = format!("{}/", folder.trim_end_matches('/'));
    spec.tree = bundle
        .iter()
        .filter_map(|(path, bytes)| Some((path.strip_prefix(&prefix)?.to_owned(), bytes.clone())))
        .collect();
    if spec.tree.is_empty() {
        item.fault(format!("the scenario has no file in {folder:?}"))
            .expected("a folder beside scenario.toml that holds the files to begin with")
            .help("leave `tree` out to begin with nothing");
    }
    let bytes = |file: &(String, Arc<[u8]>)| file.1.len() as u64;
    let over = |what: &str, found: u64, most: u64| {
        if found > most {
            item.fault(format!("{folder:?} has {found} {what}"))
                .expected(format!("at most {most}, by [files]"));
        }
    };
    over("files", spec.tree.len() as u64, spec.max_files);
    over("bytes", spec.tree.iter().map(bytes).sum(), spec.max_bytes);
    let largest = spec.tree.iter().map(bytes).max().unwrap_or(0);
    over("bytes in one file", largest, spec.max_file_bytes);
    Some(spec)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{COMMONS, MAP, bundle};
    use crate::scenario::Scenario;

    fn load(files: &str) -> Result<Scenario, String> {
        let mut bundle = bundle(&format!("{COMMONS}\n[files]\n{files}\n"), MAP);
        bundle.insert("book/toc.md", *b"# Contents\n");
        bundle.insert("book/one/text.md", *b"Once upon a time.\n");
        bundle.insert("bookmarks", *b"no part of it");
        Scenario::load(&bundle).map_err(|faults| {
            let lines: Vec<String> = faults.iter().map(ToString::to_string).collect();
            lines.join("\n")
        })
    }

    #[test]
    fn the_tree_is_a_folder_of_the_scenario() {
        let scenario = load("tree = \"book/\"\npublish = \"explicit\"").unwrap();
        let files = scenario.files(&scenario.params(&[]).unwrap()).unwrap();
        let paths: Vec<&str> = files.tree.iter().map(|(path, _)| path.as_str()).collect();
        assert_eq!(paths, ["one/text.md", "toc.md"]);
        assert_eq!(files.publish, PublishMode::Explicit);
        let scenario = load("").unwrap();
        let files = scenario.files(&scenario.params(&[]).unwrap()).unwrap();
        assert_eq!((files.tree.len(), files.publish), (0, PublishMode::OnAct));
    }

    #[test]
    fn a_tree_that_is_missing_or_too_large_is_a_fault() {
        let why = load("tree = \"boook\"").unwrap_err();
        assert!(
            why.contains("the scenario has no file in \"boook\""),
            "{why}"
        );
        for (limit, words) in [
            ("max_files = 1", "has 2 files (expected at most 1"),
            ("max_bytes = 20", "has 29 bytes (expected at most 20"),
            (
                "max_file_bytes = 17",
                "has 18 bytes in one file (expected at most 17",
            ),
            ("publish = \"later\"", "expected one of on-act, explicit"),
        ] {
            let why = load(&format!("tree = \"book\"\n{limit}")).unwrap_err();
            assert!(why.contains(words), "{why}");
        }
    }
}
