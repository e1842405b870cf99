//! The adapter for agents that speak the agent protocol itself: JSON Lines on standard output.

use super::lines::{Lines, Piece};
use super::{Adapter, Launch, Output};
use crate::event::{Blame, Fault, FaultKind};
use crate::protocol::{
    DecodeErrorKind, FromAgent, LINE_BYTES, LOG_CHARS, REMEMBER_BYTES, THOUGHT_CHARS,
    decode_from_agent,
};
use crate::workspace::Workspace;

/// JSON Lines on standard output.
#[derive(Debug)]
pub struct Stdio {
    lines: Lines,
}

impl Stdio {
    /// The beginning of an output.
    pub fn new() -> Self {
        Self {
            lines: Lines::new(LINE_BYTES),
        }
    }
}

impl Default for Stdio {
    fn default() -> Self {
        Self::new()
    }
}

impl Adapter for Stdio {
    fn start(&mut self, _at: &Workspace) -> Launch {
        *self = Self::new();
        Launch::default()
    }

    fn read(&mut self, bytes: &[u8], out: &mut dyn FnMut(Output)) {
        self.lines.read(bytes, |piece| match piece {
            Piece::Line(bytes) => line(bytes, out),
            Piece::TooLong => {
                let detail = format!(
                    "a line on standard output is longer than {LINE_BYTES} bytes and was skipped; keep messages small, and \
                     write anything else to stderr"
                );
                out(Output::Fault(Fault::new(
                    FaultKind::TooLong,
                    Blame::Agent,
                    detail,
                )));
            }
        });
    }

    fn end(&mut self, out: &mut dyn FnMut(Output)) {
        let partial = self.lines.end();
        if !partial.trim_ascii().is_empty() {
            let detail = format!(
                "standard output ended after {} bytes of a line without its newline ({}); end each message with a newline",
                partial.len(),
                shown(&partial)
            );
            out(Output::Fault(Fault::new(
                FaultKind::HalfLine,
                Blame::Agent,
                detail,
            )));
        }
    }
}

/// The first characters of a line, fit for a message to people.
fn shown(line: &[u8]) -> String {
    let head = &line[..line.len().min(60)];
    format!(
        "{:?}{}",
        String::from_utf8_lossy(head),
        if head.len() < line.len() { "..." } else { "" }
    )
}

fn line(line: &[u8], on: &mut dyn FnMut(Output)) {
    // Blank lines (and the `\r` of a CRLF) say nothing and harm nobody.
    if line.trim_ascii().is_empty() {
        return;
    }
    match decode_from_agent(line) {
        Ok(message) => limited(message, on),
        Err(error) => {
            let kind = match error.kind {
                DecodeErrorKind::TooLong => FaultKind::TooLong,
                DecodeErrorKind::NotUtf8 => FaultKind::NotUtf8,
                DecodeErrorKind::NotJson => FaultKind::Garbage,
                DecodeErrorKind::NotAMessage => FaultKind::BadMessage,
            };
            on(Output::Fault(Fault::new(
                kind,
                Blame::Agent,
                format!("{error}; the line was {}", shown(line)),
            )));
        }
    }
}

/// Applies the limits on texts.
fn limited(mut message: FromAgent, on: &mut dyn FnMut(Output)) {
    match &mut message {
        FromAgent::Act(act) => {
            if let Some(thought) = &mut act.thought {
                cut(thought, THOUGHT_CHARS, "thought", on);
            }
        }
        // Held against its question, and its limit, where the question is known.
        FromAgent::Answer(_)
        // Held against the limits of the tree, where those are known.
        | FromAgent::Lease(_)
        | FromAgent::Publish(_)
        | FromAgent::Files(_) => {}
        FromAgent::Log(log) => cut(&mut log.text, LOG_CHARS, "log", on),
        FromAgent::Remember(remember) => {
            let bytes = serde_json::to_string(&remember.state).map_or(0, |s| s.len());
            if bytes > REMEMBER_BYTES as usize {
                let detail = format!(
                    "a `remember` state of {bytes} bytes was refused, {REMEMBER_BYTES} is the most; the state kept before \
                     stays; remember less"
                );
                on(Output::Fault(Fault::new(
                    FaultKind::RememberTooLarge,
                    Blame::Agent,
                    detail,
                )));
                return;
            }
        }
        FromAgent::Ready(ready) => {
            if let Some(name) = &mut ready.name {
                cut(name, 80, "name", on);
            }
        }
    }
    on(Output::Message(message));
}

fn cut(text: &mut String, chars: u32, what: &str, on: &mut dyn FnMut(Output)) {
    // Bytes first: a text of at most that many bytes needs no counting.
    if text.len() <= chars as usize {
        return;
    }
    if let Some((at, _)) = text.char_indices().nth(chars as usize) {
        text.truncate(at);
        let detail =
            format!("a `{what}` was cut at its limit of {chars} characters; write shorter ones");
        on(Output::Fault(Fault::new(
            FaultKind::TextCut,
            Blame::Agent,
            detail,
        )));
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use expect_test::{Expect, expect};
    use proptest::prelude::*;

    fn heard(pieces: &[&[u8]]) -> Vec<Output> {
        let mut adapter = Stdio::new();
        let mut all = Vec::new();
        for piece in pieces {
            adapter.read(piece, &mut |heard| all.push(heard));
        }
        adapter.end(&mut |heard| all.push(heard));
        all
    }

    fn check(bytes: &[u8], expected: Expect) {
        let lines: Vec<String> = heard(&[bytes])
            .into_iter()
            .map(|h| match h {
                Output::Message(m) => serde_json::to_string(&m).unwrap(),
                Output::Fault(f) => f.to_string(),
                other => panic!("{other:?}"),
            })
            .collect();
        expected.assert_eq(&lines.join("\n"));
    }

    #[test]
    fn good_lines() {
        check(
            b"{\"type\":\"ready\"}\r\n\n{\"tick\":3,\"type\":\"act\",\"actions\":[{\"name\":\"move\",\"args\":{\"to\":\"n\"}}]}\n",
            expect![[r#"
                {"type":"ready"}
                {"type":"act","tick":3,"actions":[{"name":"move","args":{"to":"n"}}]}"#]],
        );
    }

    #[test]
    fn bad_lines() {
        check(
            b"hello\n",
            expect![[
                r#"garbage (fault of the agent): not JSON: expected value, near "hello"; write one JSON object a line, and anything else to stderr (at byte 1 of the line); the line was "hello""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":NaN}\n",
            expect![[
                r#"garbage (fault of the agent): not JSON: expected value, near "{\"type\":\"act\",\"tick\":NaN}"; write one JSON object a line, and anything else to stderr (at byte 22 of the line); the line was "{\"type\":\"act\",\"tick\":NaN}""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":1e999}\n",
            expect![[
                r#"garbage (fault of the agent): not JSON: number out of range, near "type\":\"act\",\"tick\":1e999}"; write one JSON object a line, and anything else to stderr (at byte 26 of the line); the line was "{\"type\":\"act\",\"tick\":1e999}""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":\"3\"}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: invalid type: string "3", expected u64, near "{\"type\":\"act\",\"tick\":\"3\"}"; see docs/agent-protocol.md (at byte 24 of the line); the line was "{\"type\":\"act\",\"tick\":\"3\"}""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":-1}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: invalid value: integer `-1`, expected u64, near "{\"type\":\"act\",\"tick\":-1}"; see docs/agent-protocol.md (at byte 23 of the line); the line was "{\"type\":\"act\",\"tick\":-1}""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":3,\"seat\":\"bob\"}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: unknown field `seat`, expected one of `tick`, `actions`, `say`, `thought`, near "e\":\"act\",\"tick\":3,\"seat\":\"bob\"}"; see docs/agent-protocol.md (at byte 29 of the line); the line was "{\"type\":\"act\",\"tick\":3,\"seat\":\"bob\"}""#
            ]],
        );
        check(
            b"{\"type\":\"act\"}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: missing field `tick`, near "{\"type\":\"act\"}"; see docs/agent-protocol.md (at byte 14 of the line); the line was "{\"type\":\"act\"}""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"type\":\"log\",\"tick\":3}\n",
            expect![[
                r#"bad-message (fault of the agent): not an object with the key "type": duplicate field `type`, near "{\"type\":\"act\",\"type\":\"log\",\"tick\":3}"; see docs/agent-protocol.md (at byte 20 of the line); the line was "{\"type\":\"act\",\"type\":\"log\",\"tick\":3}""#
            ]],
        );
        check(
            b"{\"type\":\"dance\"}\n",
            expect![[
                r#"bad-message (fault of the agent): unknown type "dance"; expected one of `ready`, `act`, `answer`, `remember`, `lease`, `publish`, `files`, `log` (at byte 2 of the line); the line was "{\"type\":\"dance\"}""#
            ]],
        );
        check(
            b"[1,2]\n",
            expect![[
                r#"bad-message (fault of the agent): not an object with the key "type": invalid type: integer `1`, expected a string, near "[1,2]"; see docs/agent-protocol.md (at byte 2 of the line); the line was "[1,2]""#
            ]],
        );
        check(
            b"{\"type\":\"log\",\"text\":\"\xff\"}\n",
            expect![[
                r#"not-utf8 (fault of the agent): the line is not UTF-8; encode what you write as UTF-8 (at byte 23 of the line); the line was "{\"type\":\"log\",\"text\":\"�\"}""#
            ]],
        );
        check(
            b"{\"type\":\"log\",\"te",
            expect![[
                r#"half-line (fault of the agent): standard output ended after 17 bytes of a line without its newline ("{\"type\":\"log\",\"te"); end each message with a newline"#
            ]],
        );
    }

    #[test]
    fn arrays_are_not_taken_for_objects() {
        check(
            b"[\"ready\"]\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `ready`: invalid type: sequence, expected struct Ready, near "[\"ready\"]"; see docs/agent-protocol.md (at byte 0 of the line); the line was "[\"ready\"]""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":3,\"actions\":[[\"move\",{}]]}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: invalid type: sequence, expected struct ActionCall, near "ct\",\"tick\":3,\"actions\":[[\"move\",{}]]}"; see docs/agent-protocol.md (at byte 34 of the line); the line was "{\"type\":\"act\",\"tick\":3,\"actions\":[[\"move\",{}]]}""#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":3,\"actions\":[{\"name\":\"move\",\"args\":[1]}]}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: invalid type: sequence, expected a map, near ":[{\"name\":\"move\",\"args\":[1]}]}"; see docs/agent-protocol.md (at byte 56 of the line); the line was "{\"type\":\"act\",\"tick\":3,\"actions\":[{\"name\":\"move\",\"args\":[1]}"..."#
            ]],
        );
        check(
            b"{\"type\":\"act\",\"tick\":3,\"actions\":[{\"type\":\"x\",\"name\":\"move\"}]}\n",
            expect![[
                r#"bad-message (fault of the agent): not the message `act`: unknown field `type`, expected `name` or `args`, near "ck\":3,\"actions\":[{\"type\":\"x\",\"name\":\"mov..."; see docs/agent-protocol.md (at byte 41 of the line); the line was "{\"type\":\"act\",\"tick\":3,\"actions\":[{\"type\":\"x\",\"name\":\"move\"}"..."#
            ]],
        );
    }

    #[test]
    fn a_line_at_the_limit_and_one_over_it() {
        let frame = br#"{"type":"log","text":""}"#.len();
        let of = |length: usize| {
            format!(
                "{{\"type\":\"log\",\"text\":\"{}\"}}\n",
                "x".repeat(length - frame)
            )
            .into_bytes()
        };
        let after = b"{\"type\":\"ready\"}\n";
        for pieces in [1, 7, 4096, usize::MAX] {
            for (length, kind) in [
                (LINE_BYTES, FaultKind::TextCut),
                (LINE_BYTES + 1, FaultKind::TooLong),
            ] {
                let mut bytes = of(length);
                bytes.extend_from_slice(after);
                let size = pieces.min(bytes.len()).max(bytes.len() / 5000);
                let all = heard(&bytes.chunks(size).collect::<Vec<_>>());
                assert!(
                    matches!(&all[0], Output::Fault(f) if f.kind == kind),
                    "{length} in pieces of {size}: {:?}",
                    all[0]
                );
                assert!(matches!(
                    all.last(),
                    Some(Output::Message(FromAgent::Ready(_)))
                ));
            }
        }
    }

    #[test]
    fn memory_of_a_long_line_is_given_back() {
        let mut adapter = Stdio::new();
        for _ in 0..40 {
            adapter.read(&[b'x'; 65_536], &mut |_| {});
            assert!(adapter.lines.kept() <= 2 * LINE_BYTES);
        }
        assert_eq!(adapter.lines.kept(), 0);
        adapter.read(b"\n{\"type\":\"rea", &mut |_| {});
        adapter.read(b"dy\"}\n", &mut |_| {});
        assert_eq!(adapter.lines.kept(), 0);
    }

    proptest! {
        /// How the output is cut into pieces changes nothing.
        #[test]
        fn pieces_do_not_matter(
            lines in proptest::collection::vec(prop_oneof![
                Just(b"{\"type\":\"ready\"}".to_vec()),
                Just("{\"type\":\"log\",\"text\":\"gr\u{fc}n\"}".as_bytes().to_vec()),
                proptest::collection::vec(any::<u8>(), 0..20),
            ], 0..8),
            size in 1usize..30,
        ) {
            let bytes = lines.join(&b'\n');
            prop_assert_eq!(heard(&[&bytes]), heard(&bytes.chunks(size).collect::<Vec<_>>()));
        }
    }
}
