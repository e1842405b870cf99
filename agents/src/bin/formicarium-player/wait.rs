//! The player that only waits: a line in, a line out. Benches measure the host with it, so it costs next to nothing.
//!
//! It finds the two things it needs by their bytes and must not parse: `"type":"..."` and the first `"tick":` of a
//! line. Neither can stand earlier inside a text, where quotes are escaped.

use super::line::Error;
use std::io::{self, BufRead, Write};

/// Answers hello with ready and each observation with `wait`, until the end or until the host closes the pipe.
pub(crate) fn run() -> Result<(), Error> {
    serve(io::stdin().lock(), io::stdout().lock())
}

fn serve(mut input: impl BufRead, mut output: impl Write) -> Result<(), Error> {
    let mut line = Vec::new();
    let mut answer = Vec::with_capacity(96);
    loop {
        line.clear();
        if input.read_until(b'\n', &mut line)? == 0 {
            return Ok(());
        }
        answer.clear();
        if line.starts_with(br#"{"type":"observe""#) {
            let tick = after(&line, br#""tick":"#).ok_or(Error::Missing("tick"))?;
            let digits = tick.iter().take_while(|byte| byte.is_ascii_digit()).count();
            answer.extend_from_slice(br#"{"type":"act","tick":"#);
            answer.extend_from_slice(&tick[..digits]);
            answer.extend_from_slice(b",\"actions\":[{\"name\":\"wait\",\"args\":{}}]}\n");
        } else if line.starts_with(br#"{"type":"hello""#) {
            answer
                .extend_from_slice(b"{\"type\":\"ready\",\"name\":\"formicarium-player wait\"}\n");
        } else if line.starts_with(br#"{"type":"end""#) {
            return Ok(());
        } else {
            return Err(Error::Missing("type"));
        }
        output.write_all(&answer)?;
        output.flush()?;
    }
}

/// What follows the first occurrence of `key`.
fn after<'a>(line: &'a [u8], key: &[u8]) -> Option<&'a [u8]> {
    line.windows(key.len())
        .position(|window| window == key)
        .map(|at| &line[at + key.len()..])
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_observation_is_answered_for_its_own_tick() {
        let lines = concat!(
            "{\"type\":\"hello\",\"protocol\":1}\n",
            "{\"type\":\"observe\",\"tick\":0,\"text\":\"\\\"tick\\\":5\"}\n",
            "{\"type\":\"observe\",\"tick\":1234,\"state\":{\"time\":{\"tick\":9}}}\n",
            "{\"type\":\"end\",\"tick\":1235}\n",
            "never read\n",
        );
        let mut output = Vec::new();
        serve(lines.as_bytes(), &mut output).expect("the lines are of protocol 1");
        let expected = concat!(
            "{\"type\":\"ready\",\"name\":\"formicarium-player wait\"}\n",
            "{\"type\":\"act\",\"tick\":0,\"actions\":[{\"name\":\"wait\",\"args\":{}}]}\n",
            "{\"type\":\"act\",\"tick\":1234,\"actions\":[{\"name\":\"wait\",\"args\":{}}]}\n",
        );
        assert_eq!(String::from_utf8_lossy(&output), expected);
        assert!(matches!(
            serve(&b"garbage\n"[..], Vec::new()),
            Err(Error::Missing("type"))
        ));
    }
}
