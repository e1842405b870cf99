//! Reads TOML with spans: every key is asked for by name, type and range; what was not asked for is unknown; and all
//! faults are collected, so that a file's author sees them in one go. It must not know what any key means.

mod item;
mod node;
mod table;

pub use item::Item;
pub use table::Table;

use super::diagnostic::Diagnostic;
use super::params::Params;
use node::Node;
use std::cell::RefCell;
use std::ops::Range;
use toml::de::DeTable;

/// The most bytes of a TOML file.
pub const MAX_TOML_BYTES: usize = 1 << 20;

/// A parsed file and the faults found in it so far.
pub struct Reader {
    file: String,
    text: String,
    root: Node,
    faults: RefCell<Vec<Diagnostic>>,
    params: Option<Params>,
}

impl Reader {
    /// Parses `bytes`. Faults of syntax are collected; what could be read is still there.
    #[must_use]
    pub fn parse(file: &str, bytes: &[u8]) -> Self {
        let (text, fault) = match std::str::from_utf8(bytes) {
            Ok(text) if bytes.len() <= MAX_TOML_BYTES => (text.to_owned(), None),
            Ok(_) => (
                String::new(),
                Some(format!(
                    "the file has {} bytes, at most {MAX_TOML_BYTES} are read",
                    bytes.len()
                )),
            ),
            Err(error) => (
                String::new(),
                Some(format!("not UTF-8 from byte {}", error.valid_up_to())),
            ),
        };
        let (root, errors) = DeTable::parse_recoverable(&text);
        let mut faults: Vec<Diagnostic> = errors
            .iter()
            .map(|error| {
                Diagnostic::error(
                    file,
                    &text,
                    error.span().unwrap_or(0..0),
                    error.message().trim(),
                )
            })
            .collect();
        faults.extend(fault.map(|message| Diagnostic::error(file, &text, 0..0, message)));
        let root = Node::table(root.get_ref(), &mut |span, message| {
            faults.push(Diagnostic::error(file, &text, span, message))
        });
        Self {
            file: file.to_owned(),
            text,
            root,
            faults: RefCell::new(faults),
            params: None,
        }
    }

    /// From here on a text `"$name"` stands for the value of a parameter.
    pub fn set_params(&mut self, params: Params) {
        self.params = Some(params);
    }

    /// The whole file as a table.
    #[must_use]
    pub fn root(&self) -> Table<'_> {
        Table::new(self, self.root.entries(), 0..0, String::new())
    }

    /// Adds a fault of this file.
    pub fn fault(&self, span: Range<usize>, message: impl Into<String>) -> Fault<'_> {
        let fault = Diagnostic::error(&self.file, &self.text, span, message);
        Fault {
            reader: self,
            fault: Some(fault),
        }
    }

    /// Adds a fault of any file.
    pub fn push(&self, fault: Diagnostic) {
        self.faults.borrow_mut().push(fault);
    }

    /// Whether a fault was found.
    #[must_use]
    pub fn failed(&self) -> bool {
        !self.faults.borrow().is_empty()
    }

    /// All faults in the order of their places, without repetition.
    #[must_use]
    pub fn into_faults(self) -> Vec<Diagnostic> {
        let mut faults = self.faults.into_inner();
        faults.sort_by(|a, b| {
            (a.file != self.file, &a.file, a.span.start).cmp(&(
                b.file != self.file,
                &b.file,
                b.span.start,
            ))
        });
        faults.dedup();
        faults
    }
}

/// A fault that is added when it goes out of scope, so that help can be said first.
pub struct Fault<'r> {
    reader: &'r Reader,
    fault: Option<Diagnostic>,
}

impl Fault<'_> {
    /// Says what should stand there.
    pub fn expected(mut self, expected: impl Into<String>) -> Self {
        self.fault = self.fault.take().map(|fault| fault.expected(expected));
        self
    }

    /// Says what to do.
    pub fn help(mut self, help: impl Into<String>) -> Self {
        self.fault = self.fault.take().map(|fault| fault.help(help));
        self
    }
}

impl Drop for Fault<'_> {
    fn drop(&mut self) {
        if let Some(fault) = self.fault.take() {
            self.reader.push(fault);
        }
    }
}
