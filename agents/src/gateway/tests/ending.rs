//! How requests end before their time, and that each end is told once.

use std::sync::atomic::Ordering;

use super::*;
use crate::gateway::Outcome;

/// A stream under way: its first event has reached the client.
async fn under_way(
    scene: &mut Scene,
    first: &str,
) -> (Client, Incoming, channel::Sender<Bytes, std::io::Error>) {
    let (mut writer, body) = written();
    let mut client = scene.client().await;
    let (response, ()) = tokio::join!(client.send(messages()), async {
        let seen = scene.upstream.next().await;
        seen.answer(answer("text/event-stream", body));
    });
    writer
        .send_data(Bytes::from(first.to_owned()))
        .await
        .unwrap();
    let mut body = response.into_body();
    let mut got = 0;
    while got < first.len() {
        got += next_data(&mut body).await.unwrap().unwrap().len();
    }
    (client, body, writer)
}

#[tokio::test]
async fn an_answer_that_is_cut_reaches_the_seat_as_cut() {
    let mut scene = Scene::new().await;
    let (_client, mut body, writer) = under_way(&mut scene, START).await;
    writer.abort(std::io::Error::other("the upstream falls over"));
    assert!(next_data(&mut body).await.unwrap().is_err());
    let call = scene.call().await;
    let Outcome::UpstreamFailed(reason) = &call.outcome else {
        panic!("{call:?}");
    };
    assert!(reason.starts_with("the answer was cut"), "{reason}");
    assert_eq!(
        (call.status, call.input_tokens, call.output_tokens),
        (200, 11, 1)
    );
}

#[tokio::test]
async fn a_stream_without_its_last_word_has_failed() {
    let mut scene = Scene::new().await;
    let reply = answer("text/event-stream", full(format!("{START}{DELTA}")));
    let (_, response) = scene.exchange(messages(), reply).await;
    text(response).await;
    let call = scene.call().await;
    assert_eq!(
        call.outcome,
        Outcome::UpstreamFailed("the stream ended without message_stop".into())
    );
    assert_eq!(call.output_tokens, 42);
}

#[tokio::test]
async fn an_error_within_a_stream_is_told_without_the_key() {
    let mut scene = Scene::new().await;
    let error = format!(
        "event: error\ndata: {{\"type\":\"error\",\"error\":{{\"type\":\"overloaded_error\",\"message\":\"no {KEY}\"}}}}\n\n"
    );
    let reply = answer("text/event-stream", full(format!("{START}{error}")));
    let (_, response) = scene.exchange(messages(), reply).await;
    assert!(text(response).await.ends_with(&error));
    let call = scene.call().await;
    assert_eq!(
        call.outcome,
        Outcome::UpstreamFailed("overloaded_error: no [key]".into())
    );
}

#[tokio::test]
async fn a_client_that_leaves_a_stream_is_told_with_what_was_counted() {
    let mut scene = Scene::new().await;
    let (client, _body, _writer) = under_way(&mut scene, START).await;
    client.leave().await;
    let call = scene.call().await;
    assert_eq!((call.outcome, call.status), (Outcome::ClientLeft, 200));
    assert_eq!((call.input_tokens, call.output_tokens), (11, 1));
}

#[tokio::test]
async fn a_client_that_leaves_after_the_last_word_has_it_all() {
    let mut scene = Scene::new().await;
    let whole = format!("{START}{DELTA}{STOP}");
    let (client, _body, _writer) = under_way(&mut scene, &whole).await;
    client.leave().await;
    let call = scene.call().await;
    assert_eq!((call.outcome, call.output_tokens), (Outcome::Complete, 42));
}

#[tokio::test]
async fn a_client_that_leaves_before_the_answer_is_told() {
    let mut scene = Scene::new().await;
    let mut client = scene.client().await;
    let _asked = client.sender.send_request(messages());
    let _held = scene.upstream.next().await;
    client.leave().await;
    let call = scene.call().await;
    assert_eq!((call.outcome, call.status), (Outcome::ClientLeft, 0));
}

#[tokio::test]
async fn a_client_that_leaves_within_its_request_is_told() {
    use tokio::io::AsyncReadExt;
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let (gateway, mut calls) = gateway(&url, Limits::default()).await;
    let (mut writer, body) = written();
    let mut client = Client::connect(&gateway).await;
    let _asked = client.sender.send_request(messages().map(|_| body));
    writer
        .send_data(Bytes::from_static(b"half of it"))
        .await
        .unwrap();
    let (mut upstream, _) = listener.accept().await.unwrap();
    let mut got = Vec::new();
    while !got.ends_with(b"half of it\r\n") {
        assert_ne!(upstream.read_buf(&mut got).await.unwrap(), 0);
    }
    client.leave().await;
    let call = calls.recv().await.unwrap();
    assert_eq!((call.outcome, call.status), (Outcome::ClientLeft, 0));
    // The upstream sees that the request is no whole one: the connection ends without the last chunk.
    let mut rest = Vec::new();
    upstream.read_to_end(&mut rest).await.unwrap();
    assert!(rest.is_empty(), "{rest:?}");
}

#[tokio::test]
async fn stop_cuts_tells_and_closes() {
    let mut scene = Scene::new().await;
    let (_client, mut body, _writer) = under_way(&mut scene, START).await;
    scene.gateway.stop().await;
    let call = scene
        .calls
        .try_recv()
        .expect("the report is there when stop returns");
    assert_eq!((call.outcome, call.input_tokens), (Outcome::Stopped, 11));
    assert!(next_data(&mut body).await.is_none_or(|data| data.is_err()));
    // The last sender goes with the last task, and the port with it.
    assert!(scene.calls.recv().await.is_none());
}

#[tokio::test]
async fn dropping_the_gateway_ends_it() {
    let mut scene = Scene::new().await;
    let (_client, _body, _writer) = under_way(&mut scene, START).await;
    drop(scene.gateway);
    let call = scene.calls.recv().await.unwrap();
    assert_eq!(call.outcome, Outcome::Stopped);
    assert!(scene.calls.recv().await.is_none());
}

#[tokio::test]
async fn a_report_without_room_is_counted_and_nobody_waits() {
    let mut upstream = Upstream::start().await;
    let (sender, mut calls) = mpsc::channel(1);
    let gateway = Gateway::start(plan(&upstream.url), sender).await.unwrap();
    for _ in 0..3 {
        let mut client = Client::connect(&gateway).await;
        let (response, ()) = tokio::join!(client.send(messages()), async {
            upstream.next().await.answer(Response::new(full("ok")));
        });
        assert_eq!(text(response).await, "ok");
    }
    let desk = gateway.desk.clone();
    gateway.stop().await;
    assert_eq!(desk.dropped.load(Ordering::Relaxed), 2);
    assert!(calls.recv().await.is_some());
    drop(desk);
    assert!(calls.recv().await.is_none());
}
