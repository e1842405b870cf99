//! Bytes in pieces of any size to whole lines, with a limit. Knows nothing of what a line means.

/// Cuts a stream into lines. Whole lines are handed on where they lie; only a line cut by the end of a piece is kept,
/// and its memory given back.
#[derive(Debug)]
pub(crate) struct Lines {
    limit: usize,
    /// The beginning of a line whose end has not come.
    partial: Vec<u8>,
    /// In a line over the limit: skip to its newline.
    skipping: bool,
}

/// What the stream held.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum Piece<'a> {
    /// A line without its newline.
    Line(&'a [u8]),
    /// A line over the limit begins; it is skipped.
    TooLong,
}

impl Lines {
    /// Lines of at most `limit` bytes.
    pub(crate) fn new(limit: usize) -> Self {
        Self {
            limit,
            partial: Vec::new(),
            skipping: false,
        }
    }

    pub(crate) fn read(&mut self, mut bytes: &[u8], mut on: impl FnMut(Piece<'_>)) {
        while let Some(end) = memchr::memchr(b'\n', bytes) {
            let piece = &bytes[..end];
            bytes = &bytes[end + 1..];
            if std::mem::take(&mut self.skipping) {
                continue;
            }
            if self.partial.len() + piece.len() > self.limit {
                self.partial = Vec::new();
                on(Piece::TooLong);
            } else if self.partial.is_empty() {
                on(Piece::Line(piece));
            } else {
                self.partial.extend_from_slice(piece);
                on(Piece::Line(&std::mem::take(&mut self.partial)));
            }
        }
        if self.skipping || bytes.is_empty() {
            return;
        }
        if self.partial.len() + bytes.len() > self.limit {
            self.partial = Vec::new();
            self.skipping = true;
            on(Piece::TooLong);
        } else {
            self.partial.extend_from_slice(bytes);
        }
    }

    /// The stream has ended: what is left of a line without its newline. Ready for another stream then.
    pub(crate) fn end(&mut self) -> Vec<u8> {
        self.skipping = false;
        std::mem::take(&mut self.partial)
    }

    #[cfg(test)]
    pub(crate) fn kept(&self) -> usize {
        self.partial.capacity()
    }
}
