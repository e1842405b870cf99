//! What does not pass, and in which words.

use super::*;
use crate::gateway::{GatewayError, Outcome};

async fn refusal(response: Response<Incoming>) -> (u16, String, String) {
    let status = response.status().as_u16();
    assert_eq!(response.headers()["content-type"], "application/json");
    let body: serde_json::Value = serde_json::from_str(&text(response).await).unwrap();
    assert_eq!(body["type"], "error");
    let word = |name: &str| body["error"][name].as_str().unwrap().to_owned();
    (status, word("type"), word("message"))
}

#[tokio::test]
async fn a_wrong_token_is_refused_and_nothing_reaches_the_upstream() {
    let mut scene = Scene::new().await;
    for (name, value) in [
        ("x-api-key", "token-of-alicf"),
        ("x-api-key", ""),
        ("x-api-key", KEY),
        ("authorization", ALICE),
        ("authorization", "Basic token-of-alice"),
        ("authorization", "Bearer"),
    ] {
        // Long enough that an answer before the end of the request would be lost.
        let request = Request::post("/v1/messages")
            .header(name, value)
            .body(full(vec![b'x'; 1 << 20]))
            .unwrap();
        let (status, kind, message) = refusal(scene.client().await.send(request).await).await;
        assert_eq!((status, kind.as_str()), (401, "authentication_error"));
        assert!(
            message.contains("send the token that the seat was given"),
            "{message}"
        );
    }
    assert!(scene.upstream.seen.try_recv().is_err());
    assert!(scene.calls.try_recv().is_err());
}

#[tokio::test]
async fn a_seat_that_is_cut_off_is_refused_until_it_is_not() {
    let mut scene = Scene::new().await;
    let bars = scene.gateway.bars();
    bars.set(3, true);
    let refused = scene.client().await.send(messages()).await;
    let (status, kind, message) = refusal(refused).await;
    assert_eq!((status, kind.as_str()), (503, "api_error"));
    assert!(message.contains("cut off"), "{message}");
    assert!(matches!(scene.call().await.outcome, Outcome::Refused));
    // Others pass meanwhile, and it does afterwards.
    let others = Request::post("/v1/messages")
        .header("x-api-key", BOB)
        .body(full("{}"))
        .unwrap();
    let (_, response) = scene.exchange(others, Response::new(full("ok"))).await;
    assert_eq!(text(response).await, "ok");
    bars.set(3, false);
    let (_, response) = scene.exchange(messages(), Response::new(full("ok"))).await;
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn a_client_that_writes_all_before_it_reads_gets_the_words() {
    let scene = Scene::new().await;
    // More than the system holds between two sockets: writing ends only if the door reads.
    let body = "x".repeat(32 << 20);
    let length = body.len();
    let request = format!(
        "POST /v1/messages HTTP/1.1\r\nhost: door\r\nconnection: close\r\ncontent-length: {length}\r\n\r\n{body}"
    );
    let answer = by_hand(&scene.gateway, &request).await;
    assert!(answer.starts_with("HTTP/1.1 401 "), "{answer}");
}

#[tokio::test]
async fn other_paths_are_refused() {
    let mut scene = Scene::new().await;
    for path in [
        "/",
        "/v1",
        "/v2/messages",
        "/api/hello",
        "/v1/../admin",
        "/v1/%2e%2E/admin",
        "/v1/x/..%2Fy",
        "/v1/.%5c..;a/y",
    ] {
        let request = Request::post(path)
            .header("x-api-key", ALICE)
            .body(full("{}"))
            .unwrap();
        let (status, kind, _) = refusal(scene.client().await.send(request).await).await;
        assert_eq!((status, kind.as_str()), (404, "not_found_error"), "{path}");
        let call = scene.call().await;
        assert_eq!(
            (call.seat, call.status, call.outcome),
            (3, 404, Outcome::Refused)
        );
    }
    assert!(scene.upstream.seen.try_recv().is_err());
}

#[tokio::test]
async fn a_body_over_the_limit_is_refused() {
    let limits = Limits {
        body: 1000,
        ..Limits::default()
    };
    let mut scene = Scene::with(limits).await;
    let head = format!("POST /v1/messages HTTP/1.1\r\nhost: door\r\nx-api-key: {ALICE}\r\n");
    let announced = format!("{head}content-length: 1001\r\n\r\n");
    let long = "x".repeat(1001);
    let chunked = format!("{head}transfer-encoding: chunked\r\n\r\n3e9\r\n{long}");
    for request in [announced, chunked] {
        let answer = by_hand(&scene.gateway, &request).await;
        assert!(answer.starts_with("HTTP/1.1 413 "), "{answer}");
        assert!(
            answer.contains("request_too_large") && answer.contains("over 1000 bytes"),
            "{answer}"
        );
        let call = scene.call().await;
        assert_eq!((call.status, call.outcome), (413, Outcome::Refused));
    }
    let request = messages().map(|_| full("x".repeat(1000)));
    let (seen, response) = scene.exchange(request, Response::new(full("ok"))).await;
    assert_eq!(seen.body.len(), 1000);
    assert_eq!(text(response).await, "ok");
}

#[tokio::test]
async fn a_seat_has_so_many_requests_at_a_time() {
    let limits = Limits {
        concurrent: 1,
        ..Limits::default()
    };
    let mut scene = Scene::with(limits).await;
    let mut first = scene.client().await;
    let first = tokio::spawn(async move { text(first.send(messages()).await).await });
    let held = scene.upstream.next().await;

    let response = scene.client().await.send(messages()).await;
    assert_eq!(response.headers()["retry-after"], "1");
    let (status, kind, message) = refusal(response).await;
    assert_eq!((status, kind.as_str()), (429, "rate_limit_error"));
    assert!(message.contains("1 requests under way"), "{message}");
    assert_eq!(scene.call().await.outcome, Outcome::Refused);

    // Another seat has places of its own.
    let mut request = messages();
    request
        .headers_mut()
        .insert("x-api-key", BOB.parse().unwrap());
    let (_, response) = scene.exchange(request, Response::new(full("bob"))).await;
    assert_eq!(text(response).await, "bob");
    assert_eq!(scene.call().await.seat, 7);

    held.answer(Response::new(full("first")));
    assert_eq!(first.await.unwrap(), "first");
    assert_eq!(scene.call().await.outcome, Outcome::Complete);
    let (_, response) = scene
        .exchange(messages(), Response::new(full("second")))
        .await;
    assert_eq!(text(response).await, "second");
}

#[tokio::test]
async fn an_upstream_that_is_down_is_named_and_the_key_is_not() {
    // Bound and not listening: nobody answers, and no other test gets the port.
    let socket = tokio::net::TcpSocket::new_v4().unwrap();
    socket.bind("127.0.0.1:0".parse().unwrap()).unwrap();
    let url = format!("http://{}", socket.local_addr().unwrap());
    let (gateway, mut calls) = gateway(&url, Limits::default()).await;
    let request = messages().map(|_| full(vec![b'x'; 1 << 20]));
    let response = Client::connect(&gateway).await.send(request).await;
    let (status, kind, message) = refusal(response).await;
    assert_eq!((status, kind.as_str()), (502, "api_error"));
    assert!(
        message.contains(&url) && message.contains("refused"),
        "{message}"
    );
    assert!(!message.contains(KEY));
    let call = calls.recv().await.unwrap();
    assert_eq!(call.status, 502);
    let Outcome::UpstreamFailed(reason) = call.outcome else {
        panic!("{:?}", call.outcome);
    };
    assert!(reason.contains("refused"), "{reason}");
}

#[tokio::test]
async fn an_upstream_that_never_greets_is_given_up() {
    // The system takes the connection; nobody answers in TLS.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("https://{}", listener.local_addr().unwrap());
    let limits = Limits {
        connect: std::time::Duration::from_millis(1),
        ..Limits::default()
    };
    let (gateway, _calls) = gateway(&url, limits).await;
    let response = Client::connect(&gateway).await.send(messages()).await;
    let (status, _, message) = refusal(response).await;
    assert_eq!(status, 502);
    assert!(message.contains("no connection within 1ms"), "{message}");
}

#[tokio::test]
async fn a_plan_that_cannot_work_is_refused_in_words() {
    let start = |plan| async {
        Gateway::start(plan, mpsc::channel(1).0)
            .await
            .map(|_| ())
            .unwrap_err()
    };
    for (url, word) in [
        ("", "no URL"),
        ("api.anthropic.com", "does not begin"),
        ("ftp://x", "neither https nor http"),
        ("http://me:secret@x", "user name"),
        ("http://x/?a", "query"),
        ("http://x/v1/", "leave it out"),
    ] {
        let error = start(plan(url)).await;
        let words = error.to_string();
        assert!(
            words.contains(word) && words.contains("give a base URL"),
            "{words}"
        );
        assert!(!format!("{error:?}{words}").contains("secret"), "{words}");
    }
    for key in ["", "a b", "a\nb", "\u{e9}"] {
        let mut plan = plan("http://127.0.0.1:1");
        plan.key = Some(Secret::new(key));
        assert!(matches!(start(plan).await, GatewayError::Key));
    }
    for (token, word) in [
        ("", "empty"),
        ("a b", "header"),
        (ALICE, "the same"),
        (KEY, "itself"),
    ] {
        let mut plan = plan("http://127.0.0.1:1");
        plan.seats[1].1 = Secret::new(token);
        let words = start(plan).await.to_string();
        assert!(words.contains("seat 7") && words.contains(word), "{words}");
    }
}

#[tokio::test]
async fn debug_output_shows_no_secret() {
    let scene = Scene::new().await;
    let shown = format!("{:?} {:?}", plan(&scene.upstream.url), scene.gateway);
    assert!(shown.contains("Secret(..)"), "{shown}");
    for secret in [KEY, ALICE, BOB] {
        assert!(!shown.contains(secret), "{shown}");
    }
}
