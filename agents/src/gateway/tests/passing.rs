//! What passes through the door, and that it passes unchanged.

use super::*;
use crate::gateway::{Outcome, Unread};

#[tokio::test]
async fn the_key_takes_the_place_of_the_token() {
    let mut scene = Scene::new().await;
    let (seen, response) = scene.exchange(messages(), Response::new(full("ok"))).await;
    assert_eq!(text(response).await, "ok");
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    assert!(!format!("{:?}", seen.head).contains(ALICE));
    assert_eq!(scene.call().await.seat, 3);

    let request = Request::post("/v1/messages")
        .header("authorization", format!("bearer {BOB}"))
        .body(full("{}"))
        .unwrap();
    let (seen, response) = scene.exchange(request, Response::new(full("ok"))).await;
    text(response).await;
    assert_eq!(seen.header("x-api-key"), Some(KEY));
    assert_eq!(seen.header("authorization"), None);
    assert_eq!(scene.call().await.seat, 7);
}

#[tokio::test]
async fn without_a_key_requests_pass_without_one() {
    let mut upstream = Upstream::start().await;
    let (sender, _calls) = mpsc::channel(1);
    let mut plan = plan(&upstream.url);
    plan.key = None;
    let gateway = Gateway::start(plan, sender).await.unwrap();
    let mut client = Client::connect(&gateway).await;
    let (response, ()) = tokio::join!(client.send(messages()), async {
        let seen = upstream.next().await;
        assert_eq!(seen.header("x-api-key"), None);
        seen.answer(Response::new(full("ok")));
    });
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn heads_and_bodies_pass_unchanged_but_for_the_connections_own() {
    let mut upstream = Upstream::start().await;
    let (sender, mut calls) = mpsc::channel(1);
    let gateway = Gateway::start(plan(&format!("{}/anthropic/", upstream.url)), sender)
        .await
        .unwrap();
    let body = Bytes::from((0..1_000_000u32).map(|n| n as u8).collect::<Vec<_>>());
    let request = Request::put("/v1/files/a%20b?x=1&y=%2F")
        .header("x-api-key", ALICE)
        .header("host", "door")
        .header("anthropic-version", "2023-06-01")
        .header("anthropic-beta", "one")
        .header("anthropic-beta", "two")
        .header("accept-encoding", "gzip")
        .header("connection", "keep-alive, x-mine")
        .header("x-mine", "1")
        .header("te", "trailers")
        .body(full(body.clone()))
        .unwrap();
    let mut client = Client::connect(&gateway).await;
    let (response, ()) = tokio::join!(client.send(request), async {
        let seen = upstream.next().await;
        assert_eq!(seen.head.method, "PUT");
        assert_eq!(seen.head.uri, "/anthropic/v1/files/a%20b?x=1&y=%2F");
        assert!(seen.body == body, "the body has changed");
        let mut names: Vec<_> = seen.head.headers.keys().map(|name| name.as_str()).collect();
        names.sort_unstable();
        let expected = [
            "anthropic-beta",
            "anthropic-version",
            "content-length",
            "host",
            "x-api-key",
        ];
        assert_eq!(names, expected);
        let betas: Vec<_> = seen.head.headers.get_all("anthropic-beta").iter().collect();
        assert_eq!(betas, ["one", "two"]);
        assert_eq!(seen.header("host"), upstream.url.strip_prefix("http://"));
        seen.answer(
            Response::builder()
                .status(299)
                .header("request-id", "req_1")
                .header("set-cookie", "a=1")
                .header("set-cookie", "b=2")
                .header("date", "then")
                .header("keep-alive", "timeout=5")
                .body(full("done"))
                .unwrap(),
        );
    });
    assert_eq!(response.status(), 299);
    let mut names: Vec<_> = response
        .headers()
        .iter()
        .map(|(name, _)| name.as_str())
        .collect();
    names.sort_unstable();
    assert_eq!(
        names,
        [
            "content-length",
            "date",
            "request-id",
            "set-cookie",
            "set-cookie"
        ]
    );
    assert_eq!(response.headers()["date"], "then");
    assert_eq!(text(response).await, "done");
    let call = calls.recv().await.unwrap();
    assert_eq!((call.path.as_str(), call.status), ("/v1/files/a%20b", 299));
    assert_eq!(call.outcome, Outcome::Complete);
    assert_eq!(call.unread, None, "a file is nothing that a model said");
}

#[tokio::test]
async fn a_stream_passes_piece_by_piece() {
    let mut scene = Scene::new().await;
    let (mut writer, body) = written();
    let (_, response) = scene
        .exchange(messages(), answer("text/event-stream", body))
        .await;
    let mut body = response.into_body();
    // Each piece arrives before the next is written.
    for piece in [&START[..30], &START[30..], DELTA, STOP] {
        writer.send_data(Bytes::from(piece)).await.unwrap();
        let mut got = Vec::new();
        while got.len() < piece.len() {
            got.extend_from_slice(&next_data(&mut body).await.unwrap().unwrap());
        }
        assert_eq!(got, piece.as_bytes());
    }
    drop(writer);
    assert!(next_data(&mut body).await.is_none());
    let call = scene.call().await;
    assert_eq!(call.outcome, Outcome::Complete);
    assert_eq!(call.model, "claude-x");
    assert_eq!((call.input_tokens, call.output_tokens), (11, 42));
    assert_eq!((call.cache_read_tokens, call.cache_write_tokens), (7, 5));
    assert_eq!((call.status, call.unread), (200, None));
    assert_eq!(call.path, "/v1/messages");
}

#[tokio::test]
async fn a_status_and_its_headers_pass() {
    let mut scene = Scene::new().await;
    let busy = Response::builder()
        .status(429)
        .header("retry-after", "17")
        .header("content-type", "application/json")
        .body(full(r#"{"type":"error"}"#))
        .unwrap();
    let (_, response) = scene.exchange(messages(), busy).await;
    assert_eq!(response.status(), 429);
    assert_eq!(response.headers()["retry-after"], "17");
    assert_eq!(text(response).await, r#"{"type":"error"}"#);
    let call = scene.call().await;
    assert_eq!((call.status, call.outcome), (429, Outcome::Complete));
    assert_eq!(call.unread, None);
}

#[tokio::test]
async fn ten_megabytes_pass_and_are_counted() {
    let mut scene = Scene::new().await;
    let filler = format!(
        "data: {{\"type\":\"content_block_delta\",\"x\":\"{}\"}}\n\n",
        "y".repeat(1000)
    );
    let mut stream = START.to_owned();
    while stream.len() < 10_000_000 {
        stream.push_str(&filler);
    }
    stream.push_str(DELTA);
    stream.push_str(STOP);
    let reply = answer("text/event-stream; charset=utf-8", full(stream.clone()));
    let (_, response) = scene.exchange(messages(), reply).await;
    assert!(text(response).await == stream, "the answer has changed");
    let call = scene.call().await;
    assert_eq!(call.outcome, Outcome::Complete);
    assert_eq!((call.output_tokens, call.unread), (42, None));
}

#[tokio::test]
async fn an_event_too_long_to_read_passes_and_is_flagged() {
    let mut scene = Scene::new().await;
    let long = "z".repeat(2 << 20);
    let stream = format!("{START}data: {long}\n\n{DELTA}{STOP}");
    let reply = answer("text/event-stream", full(stream.clone()));
    let (_, response) = scene.exchange(messages(), reply).await;
    assert!(text(response).await == stream, "the answer has changed");
    let call = scene.call().await;
    assert_eq!(
        (call.output_tokens, call.unread),
        (42, Some(Unread::TooLong))
    );
}

#[tokio::test]
async fn probes_are_answered_by_the_door() {
    let scene = Scene::new().await;
    for method in ["HEAD", "GET"] {
        let request = Request::builder()
            .method(method)
            .uri("/")
            .body(full(""))
            .unwrap();
        let response = scene.client().await.send(request).await;
        assert_eq!(response.status(), 200);
        assert_eq!(text(response).await, "");
    }
}
