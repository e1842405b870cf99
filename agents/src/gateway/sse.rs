//! Server-sent events out of bytes that come in chunks of any size: the `data` of each event, with a limit.
//!
//! Must not know what the data say.

/// An event that was longer than the limit. It was skipped up to its blank line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TooLong;

/// Cuts a stream into events. It holds at most the limit of bytes of one event.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Events {
    limit: usize,
    /// The data of the event so far.
    data: Vec<u8>,
    has_data: bool,
    /// The line so far; empty while skipping.
    line: Vec<u8>,
    /// Length of the line so far, kept or not: an empty line ends the event.
    line_bytes: usize,
    skipping: bool,
    /// The last byte was a carriage return: a newline after it belongs to it.
    after_cr: bool,
    /// Nothing has come yet: a byte order mark may stand here.
    first_line: bool,
}

impl Events {
    pub(super) fn new(limit: usize) -> Self {
        Self {
            limit,
            data: Vec::new(),
            has_data: false,
            line: Vec::new(),
            line_bytes: 0,
            skipping: false,
            after_cr: false,
            first_line: true,
        }
    }

    /// Takes from `bytes` up to the end of the next event. None: all were taken and no event has ended yet.
    pub(super) fn next(&mut self, bytes: &mut &[u8]) -> Option<Result<Vec<u8>, TooLong>> {
        while let Some(&first) = bytes.first() {
            if std::mem::take(&mut self.after_cr) && first == b'\n' {
                *bytes = &bytes[1..];
                continue;
            }
            let Some(end) = memchr::memchr2(b'\n', b'\r', bytes) else {
                self.keep(bytes);
                *bytes = &[];
                return None;
            };
            self.after_cr = bytes[end] == b'\r';
            self.keep(&bytes[..end]);
            *bytes = &bytes[end + 1..];
            if let Some(event) = self.end_line() {
                return Some(event);
            }
        }
        None
    }

    fn keep(&mut self, bytes: &[u8]) {
        self.line_bytes = self.line_bytes.saturating_add(bytes.len());
        if self.line_bytes.saturating_add(self.data.len()) > self.limit {
            self.skipping = true;
            self.line.clear();
            self.data.clear();
        }
        if !self.skipping {
            self.line.extend_from_slice(bytes);
        }
    }

    fn end_line(&mut self) -> Option<Result<Vec<u8>, TooLong>> {
        let blank = std::mem::take(&mut self.line_bytes) == 0;
        let first_line = std::mem::take(&mut self.first_line);
        if blank {
            let data = std::mem::take(&mut self.data);
            let has_data = std::mem::take(&mut self.has_data);
            if std::mem::take(&mut self.skipping) {
                return Some(Err(TooLong));
            }
            return has_data.then_some(Ok(data));
        }
        if !self.skipping {
            let mut line = self.line.as_slice();
            if first_line {
                line = line.strip_prefix(b"\xef\xbb\xbf").unwrap_or(line);
            }
            let value = match line.strip_prefix(b"data") {
                Some(b"") => Some(&b""[..]),
                Some(rest) => rest
                    .strip_prefix(b":")
                    .map(|value| value.strip_prefix(b" ").unwrap_or(value)),
                None => None,
            };
            if let Some(value) = value {
                if std::mem::replace(&mut self.has_data, true) {
                    self.data.push(b'\n');
                }
                self.data.extend_from_slice(value);
            }
        }
        self.line.clear();
        None
    }
}
