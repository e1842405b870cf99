//! A text that must not be seen: a model key or a seat's token. No error, log or `Debug` output shows it.
//!
//! Must not know what it opens.

use std::fmt;

use subtle::ConstantTimeEq;

/// A key or token. `Debug` shows that there is one, and nothing of it; there is no `Display`.
#[derive(Clone)]
pub struct Secret(String);

impl Secret {
    /// Wraps a text, from here on out of sight.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text itself, for the header it goes into and nothing else.
    pub(crate) fn expose(&self) -> &str {
        &self.0
    }

    /// Whether `bytes` are this text. The time it takes tells the length at most.
    pub(crate) fn is(&self, bytes: &[u8]) -> bool {
        self.0.as_bytes().ct_eq(bytes).into()
    }

    /// `text` with this secret blotted out, for words that come from elsewhere.
    pub(super) fn scrub(&self, text: &str) -> String {
        if self.0.is_empty() {
            return text.to_owned();
        }
        text.replace(&self.0, "[key]")
    }
}

impl fmt::Debug for Secret {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("Secret(..)")
    }
}
