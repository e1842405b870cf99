//! Reading the usage, whatever the pieces look like.

use super::*;
use crate::gateway::Unread;
use crate::gateway::count::{Counter, Usage};
use proptest::prelude::*;

fn usage(input: u64, output: u64, read: u64, write: u64) -> Usage {
    Usage {
        model: "claude-x".into(),
        input_tokens: input,
        output_tokens: output,
        cache_read_tokens: read,
        cache_write_tokens: write,
    }
}

fn count(mut counter: Counter, pieces: &[&[u8]]) -> Counter {
    for piece in pieces {
        counter.read(piece);
    }
    counter.end();
    counter
}

#[tokio::test]
async fn an_answer_in_one_piece_is_counted() {
    let mut scene = Scene::new().await;
    let body = r#"{"id":"m","model":"claude-x","content":[],"usage":{"input_tokens":3,"output_tokens":4,
        "cache_read_input_tokens":null,"cache_creation_input_tokens":6,"service_tier":"standard"}}"#;
    let (_, response) = scene
        .exchange(messages(), answer("application/json", full(body)))
        .await;
    assert_eq!(text(response).await, body);
    let call = scene.call().await;
    assert_eq!((call.input_tokens, call.output_tokens), (3, 4));
    assert_eq!((call.cache_read_tokens, call.cache_write_tokens), (0, 6));
    assert_eq!((call.model.as_str(), call.unread), ("claude-x", None));
}

#[tokio::test]
async fn what_cannot_be_counted_is_flagged() {
    let mut scene = Scene::new().await;
    let packed = Response::builder()
        .header("content-type", "application/json")
        .header("content-encoding", "gzip")
        .body(full("\x1f"))
        .unwrap();
    let json = |body: &'static str| answer("application/json", full(body));
    for (reply, unread) in [
        (packed, Some(Unread::Compressed)),
        (json("{"), Some(Unread::Garbled)),
        (json("{}"), Some(Unread::Missing)),
        (answer("text/event-stream", full("")), Some(Unread::Missing)),
        (
            answer("text/event-stream", full("data: {\n\n")),
            Some(Unread::Garbled),
        ),
        (
            answer("text/html", full("hello")),
            Some(Unread::UnknownForm),
        ),
        (json(r#"{"usage":{}}"#), None),
    ] {
        let (_, response) = scene.exchange(messages(), reply).await;
        text(response).await;
        assert_eq!(scene.call().await.unread, unread);
    }
    for (path, unread) in [
        ("/v1/messages/count_tokens", None),
        ("/v1/messages/batches", Some(Unread::UnknownForm)),
    ] {
        let request = Request::post(path)
            .header("x-api-key", ALICE)
            .body(full("{}"))
            .unwrap();
        let (_, response) = scene.exchange(request, json(r#"{"input_tokens":9}"#)).await;
        text(response).await;
        let call = scene.call().await;
        assert_eq!((call.unread, call.input_tokens), (unread, 0), "{path}");
    }
}

#[test]
fn line_ends_fields_and_marks_are_read_as_the_standard_says() {
    for text in [
        format!("{START}{DELTA}{STOP}"),
        format!("\u{feff}{START}{DELTA}{STOP}").replace('\n', "\r\n"),
        format!(": a comment\n\n{START}id: 1\nretry: 5\n\n{DELTA}{STOP}").replace('\n', "\r"),
        START.replace("{\"type\"", "{\ndata:\"type\"") + DELTA + STOP,
        // Were the newline of a pair a line of its own, it would end the event after its first line.
        (START.replace("{\"type\"", "{\ndata:\"type\"") + DELTA + STOP).replace('\n', "\r\n"),
    ] {
        let counter = count(Counter::stream(1 << 10), &[text.as_bytes()]);
        assert_eq!(counter.usage, usage(11, 42, 7, 5), "{text:?}");
        assert_eq!(counter.unread, None);
        assert!(counter.finished());
    }
}

#[test]
fn later_totals_replace_earlier_ones_and_an_event_cut_short_counts_for_nothing() {
    let more = r#"data: {"type":"message_delta","usage":{"input_tokens":20,"output_tokens":50}}"#;
    let text = format!("{START}{DELTA}{more}\n\n{}", DELTA.trim_end());
    let counter = count(Counter::stream(1 << 10), &[text.as_bytes()]);
    assert_eq!(counter.usage, usage(20, 50, 7, 5));
}

/// One piece of a stream: events that count, and much that does not.
fn piece() -> impl Strategy<Value = String> {
    let delta = |tokens: u64| {
        format!("data: {{\"type\":\"message_delta\",\"usage\":{{\"output_tokens\":{tokens}}}}}\n\n")
    };
    prop_oneof![
        Just(START.to_owned()),
        any::<u64>().prop_map(delta),
        Just(STOP.to_owned()),
        Just("event: ping\ndata: {\"type\": \"ping\"}\n\n".to_owned()),
        (0usize..600).prop_map(|n| format!("data: {}\n\n", "x".repeat(n))),
        Just("data\ndata:\n\n".to_owned()),
        "[a-z:{}\" \u{e9}\r\n]{0,20}",
        Just("\r".to_owned()),
        Just("\n".to_owned()),
        Just("\u{feff}".to_owned()),
    ]
}

/// `bytes` cut at those places.
fn cut<'a>(bytes: &'a [u8], places: &[prop::sample::Index]) -> Vec<&'a [u8]> {
    let mut places: Vec<usize> = places
        .iter()
        .map(|place| place.index(bytes.len() + 1))
        .collect();
    places.push(0);
    places.push(bytes.len());
    places.sort_unstable();
    places
        .windows(2)
        .map(|pair| &bytes[pair[0]..pair[1]])
        .collect()
}

proptest! {
    #[test]
    fn chunks_make_no_difference(
        pieces in prop::collection::vec(piece(), 0..12),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
        limit in 1usize..800,
        stream in any::<bool>(),
    ) {
        let text = pieces.concat();
        let new = || if stream { Counter::stream(limit) } else { Counter::json(limit) };
        let whole = count(new(), &[text.as_bytes()]);
        prop_assert_eq!(&count(new(), &cut(text.as_bytes(), &places)), &whole);
        let single: Vec<&[u8]> = text.as_bytes().chunks(1).collect();
        prop_assert_eq!(&count(new(), &single), &whole);
    }

    #[test]
    fn whatever_stands_between_the_last_total_counts(
        totals in prop::collection::vec(0u64..1_000_000, 1..20),
        places in prop::collection::vec(any::<prop::sample::Index>(), 0..40),
    ) {
        let mut text = START.to_owned();
        for total in &totals {
            text.push_str("event: ping\ndata: {\"type\": \"ping\"}\n\n");
            text.push_str(&DELTA.replace("42", &total.to_string()));
        }
        text.push_str(STOP);
        let counter = count(Counter::stream(1 << 10), &cut(text.as_bytes(), &places));
        prop_assert_eq!(counter.usage, usage(11, *totals.last().unwrap(), 7, 5));
        prop_assert_eq!(counter.unread, None);
    }
}
