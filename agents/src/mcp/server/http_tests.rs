//! The server over real sockets: tokens, headers of a held call, a client that leaves.

use std::sync::Arc;
use std::time::Duration;

use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::sync::mpsc;

use super::{McpError, McpPlan, McpServer};
use crate::event::{AgentEvent, AgentEventBody, ProcessStatus};
use crate::gateway::Secret;
use crate::process::Outgoing;
use crate::protocol::FromAgent;

fn plan(seats: &[(&str, &str)]) -> McpPlan {
    McpPlan {
        seats: seats
            .iter()
            .enumerate()
            .map(|(index, (name, token))| (index, (*name).to_owned(), Secret::new(*token)))
            .collect(),
        bind: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 0,
    }
}

fn line(message: &Value) -> Arc<[u8]> {
    format!("{message}\n").into_bytes().into()
}

/// The host: greets whoever starts.
async fn host(server: &McpServer, inbox: &mut mpsc::Receiver<AgentEvent>) -> AgentEventBody {
    let event = inbox.recv().await.expect("the server lives");
    if matches!(event.body, AgentEventBody::Started { .. }) {
        let hello = json!({
            "type": "hello", "protocol": 1, "run": "r", "scenario": {"name": "s", "title": "S"}, "seat": "a", "role": "Eat.",
            "rules": "", "actions": [{"name": "move", "description": "", "parameters": {"type": "object"}}],
            "limits": {"actions": 1, "speech": 1, "speech_chars": 500, "thought_chars": 2000, "log_chars": 2000,
                "remember_bytes": 16384, "line_bytes": 1048576},
            "time": {"mode": "lockstep", "deadline_ms": 10, "hz": null, "ticks": 9}, "remembered": null,
        });
        server.send(event.seat, Outgoing::Control(line(&hello)));
    }
    event.body
}

/// Sends a request with the token; the connection is closed by the server after the answer.
async fn post(server: &McpServer, token: &str, session: &str, body: &Value) -> TcpStream {
    let mut stream = TcpStream::connect(server.address)
        .await
        .expect("it listens");
    let body = body.to_string();
    let session = match session {
        "" => String::new(),
        id => format!("Mcp-Session-Id: {id}\r\n"),
    };
    let head = format!(
        "POST /mcp HTTP/1.1\r\nHost: {}\r\nAuthorization: Bearer {token}\r\nContent-Type: application/json\r\nAccept: \
         application/json, text/event-stream\r\n{session}Connection: close\r\nContent-Length: {}\r\n\r\n{body}",
        server.address,
        body.len()
    );
    stream.write_all(head.as_bytes()).await.expect("sent");
    stream
}

async fn head(stream: &mut TcpStream) -> String {
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await.expect("a head"));
    }
    String::from_utf8(head).expect("text")
}

async fn rest(stream: &mut TcpStream) -> String {
    let mut body = String::new();
    stream.read_to_string(&mut body).await.expect("a body");
    body
}

fn initialize() -> Value {
    json!({"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {"protocolVersion": "2025-06-18",
        "capabilities": {}, "clientInfo": {"name": "test", "version": "1"}}})
}

/// Initializes; the session's id.
async fn session(server: &McpServer, inbox: &mut mpsc::Receiver<AgentEvent>) -> String {
    let mut stream = post(server, "token-a", "", &initialize()).await;
    assert_eq!(
        host(server, inbox).await,
        AgentEventBody::Started { attempt: 1 }
    );
    let answer = head(&mut stream).await;
    let id = answer
        .lines()
        .find_map(|line| line.strip_prefix("mcp-session-id: "))
        .expect("a session")
        .to_owned();
    assert!(rest(&mut stream).await.contains("Eat."));
    let ready = host(server, inbox).await;
    assert!(
        matches!(ready, AgentEventBody::Message(FromAgent::Ready(_))),
        "{ready:?}"
    );
    let status = host(server, inbox).await;
    assert_eq!(status, AgentEventBody::Status(ProcessStatus::Ready));
    let begun = json!({"jsonrpc": "2.0", "method": "notifications/initialized"});
    let mut stream = post(server, "token-a", &id, &begun).await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 202"));
    id
}

#[tokio::test]
async fn a_token_opens_its_own_seat_alone() {
    let (sender, mut inbox) = mpsc::channel(16);
    let server = McpServer::start(plan(&[("a", "token-a"), ("b", "token-b")]), sender)
        .await
        .expect("started");
    for token in ["", "token-", "token-c", "token-ab"] {
        let mut stream = post(&server, token, "", &initialize()).await;
        let answer = head(&mut stream).await;
        assert!(answer.starts_with("HTTP/1.1 401"), "{token}: {answer}");
        assert!(answer.contains("www-authenticate: Bearer"), "{answer}");
        assert!(rest(&mut stream).await.contains("opens no seat"));
    }
    let id = session(&server, &mut inbox).await;
    // The session of one seat is none of another's.
    let ping = json!({"jsonrpc": "2.0", "id": 2, "method": "ping"});
    let mut stream = post(&server, "token-b", &id, &ping).await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 404"));
    let mut stream = post(&server, "token-a", &id, &ping).await;
    assert!(head(&mut stream).await.starts_with("HTTP/1.1 200"));
    server.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_held_call_has_its_headers_at_once_and_a_client_that_is_killed_is_gone() {
    let (sender, mut inbox) = mpsc::channel(16);
    let server = McpServer::start(plan(&[("a", "token-a")]), sender)
        .await
        .expect("started");
    let id = session(&server, &mut inbox).await;
    let wait = json!({"jsonrpc": "2.0", "id": 3, "method": "tools/call", "params": {"name": "wait", "arguments": {}}});
    let mut stream = post(&server, "token-a", &id, &wait).await;
    // Nothing has been observed: the call cannot be answered, and its head is here.
    let answer = head(&mut stream).await;
    assert!(
        answer.contains("content-type: text/event-stream"),
        "{answer}"
    );
    let observe = json!({"type": "observe", "tick": 0, "deadline_ms": 1, "text": "A field.", "state": {}, "heard": [],
        "results": []});
    server.send(0, Outgoing::Observation(line(&observe)));
    assert!(rest(&mut stream).await.contains("A field."));
    // The next one is cut: after the time of grace the seat is away.
    let mut stream = post(&server, "token-a", &id, &wait).await;
    head(&mut stream).await;
    let act = host(&server, &mut inbox).await;
    assert!(
        matches!(act, AgentEventBody::Message(FromAgent::Act(_))),
        "{act:?}"
    );
    assert_eq!(
        host(&server, &mut inbox).await,
        AgentEventBody::Status(ProcessStatus::Running)
    );
    drop(stream);
    let AgentEventBody::Status(ProcessStatus::Exited {
        reason,
        will_restart: true,
        ..
    }) = host(&server, &mut inbox).await
    else {
        panic!("not away");
    };
    assert!(reason.contains("gone"), "{reason}");
    server.stop(Duration::ZERO).await;
}

#[tokio::test]
async fn a_plan_that_cannot_be_kept_is_refused_in_words() {
    for (seats, bind, words) in [
        (
            vec![("a", "t"), ("b", "t")],
            "127.0.0.1",
            "another seat has the same",
        ),
        (vec![("a", "with space")], "127.0.0.1", "cannot hold"),
        (vec![("a", "t")], "0.0.0.0", "use 127.0.0.1"),
    ] {
        let (sender, _inbox) = mpsc::channel(1);
        let plan = McpPlan {
            bind: bind.parse().expect("an address"),
            ..plan(&seats)
        };
        let error: McpError = McpServer::start(plan, sender).await.expect_err("no use");
        assert!(error.to_string().contains(words), "{error}");
    }
}
