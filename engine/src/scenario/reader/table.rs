//! A table whose keys are asked for one by one, so that those nobody asked for can be told. It must not know any key.

use super::Reader;
use super::item::Item;
use super::node::{Entry, Node};
use crate::scenario::diagnostic::suggest;
use std::cell::RefCell;
use std::ops::{Range, RangeInclusive};

/// A table. When it goes out of scope, keys that nobody asked for are faults.
pub struct Table<'r> {
    reader: &'r Reader,
    entries: &'r [Entry],
    span: Range<usize>,
    path: String,
    asked: RefCell<Vec<String>>,
    open: bool,
}

impl<'r> Table<'r> {
    pub(super) fn new(
        reader: &'r Reader,
        entries: &'r [Entry],
        span: Range<usize>,
        path: String,
    ) -> Self {
        Self {
            reader,
            entries,
            span,
            path,
            asked: RefCell::default(),
            open: false,
        }
    }

    /// The reader, for faults that need more than one value.
    #[must_use]
    pub fn reader(&self) -> &'r Reader {
        self.reader
    }

    /// Where the table stands.
    #[must_use]
    pub fn span(&self) -> Range<usize> {
        self.span.clone()
    }

    /// Path of the table, `seat[0]`; empty for the whole file.
    #[must_use]
    pub fn path(&self) -> &str {
        &self.path
    }

    fn path_of(&self, key: &str) -> String {
        if self.path.is_empty() {
            key.to_owned()
        } else {
            format!("{}.{key}", self.path)
        }
    }

    /// The value of a key, if it is there.
    pub fn get(&self, key: &str) -> Option<Item<'r>> {
        self.asked.borrow_mut().push(key.to_owned());
        let entry = self.entries.iter().find(|entry| entry.key == key)?;
        Some(Item {
            reader: self.reader,
            node: &entry.node,
            span: entry.span.clone(),
            path: self.path_of(key),
        })
    }

    /// The value of a key that has to be there; its absence is a fault.
    pub fn need(&self, key: &str, expected: &str) -> Option<Item<'r>> {
        let item = self.get(key);
        if item.is_none() {
            let place = if self.path.is_empty() {
                "the file".into()
            } else {
                format!("[{}]", self.path)
            };
            self.reader
                .fault(self.span(), format!("`{key}` is missing in {place}"))
                .expected(expected);
        }
        item
    }

    /// All keys with their places and values, in the file's order; none of them is unknown then.
    pub fn entries(&self) -> Vec<(&'r str, Range<usize>, Item<'r>)> {
        self.entries
            .iter()
            .map(|entry| {
                self.asked.borrow_mut().push(entry.key.clone());
                let path = self.path_of(&entry.key);
                let item = Item {
                    reader: self.reader,
                    node: &entry.node,
                    span: entry.span.clone(),
                    path,
                };
                (entry.key.as_str(), entry.key_span.clone(), item)
            })
            .collect()
    }

    /// Lets the table go without a word about unknown keys; for a second look at a table that is read elsewhere.
    pub fn forget(mut self) {
        self.open = true;
    }

    /// Text, or `default`.
    pub fn text_or(&self, key: &str, default: &str) -> String {
        self.get(key)
            .and_then(|item| item.text())
            .unwrap_or_else(|| default.to_owned())
    }

    /// A whole number in a range, or `default`.
    pub fn int_or(&self, key: &str, range: RangeInclusive<i64>, default: i64) -> i64 {
        self.get(key)
            .and_then(|item| item.int(range))
            .unwrap_or(default)
    }

    /// A finite number in a range, or `default`.
    pub fn float_or(&self, key: &str, range: RangeInclusive<f64>, default: f64) -> f64 {
        self.get(key)
            .and_then(|item| item.float(range))
            .unwrap_or(default)
    }

    /// True or false, or `default`.
    pub fn bool_or(&self, key: &str, default: bool) -> bool {
        self.get(key)
            .and_then(|item| item.bool())
            .unwrap_or(default)
    }

    /// A table, if it is there.
    pub fn table(&self, key: &str) -> Option<Table<'r>> {
        self.get(key).and_then(|item| item.table())
    }

    /// The tables of `[[key]]`.
    pub fn tables(&self, key: &str) -> Vec<Table<'r>> {
        let Some(item) = self.get(key) else {
            return Vec::new();
        };
        match item.node {
            Node::List(_) => item
                .list()
                .unwrap_or_default()
                .iter()
                .filter_map(Item::table)
                .collect(),
            _ => {
                item.wrong(&format!("a list of tables, written [[{key}]]"));
                Vec::new()
            }
        }
    }
}

impl Drop for Table<'_> {
    fn drop(&mut self) {
        if self.open {
            return;
        }
        let asked = self.asked.borrow();
        for entry in self.entries {
            if !asked.contains(&entry.key) {
                let place = if self.path.is_empty() {
                    String::new()
                } else {
                    format!(" in [{}]", self.path)
                };
                self.reader
                    .fault(
                        entry.key_span.clone(),
                        format!("unknown key `{}`{place}", entry.key),
                    )
                    .help(suggest(&entry.key, asked.iter().map(String::as_str)));
            }
        }
    }
}
