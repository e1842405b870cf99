//! The feed, by a client that has only read docs/feed-protocol.md.

use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde_json::{Value, json};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::host::{Folder, Live, query_int};

type Socket = WebSocketStream<TcpStream>;

pub const COMMONS: [&str; 9] = [
    "scenarios/commons",
    "--cast",
    "greedy",
    "--mode",
    "realtime",
    "--hz",
    "40",
    "--ticks",
    "0",
];

pub fn block<T>(future: impl Future<Output = T>) -> T {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .expect("a runtime");
    runtime.block_on(async {
        tokio::time::timeout(Duration::from_secs(120), future)
            .await
            .expect("within two minutes")
    })
}

async fn connect(address: &str) -> Option<Socket> {
    let mut request = format!("ws://{address}/feed")
        .into_client_request()
        .expect("an address");
    request.headers_mut().insert(
        "sec-websocket-protocol",
        "formicarium.observe.v1".parse().expect("a header"),
    );
    // A small buffer, so that who does not read is behind soon.
    let socket = tokio::net::TcpSocket::new_v4().expect("a socket");
    socket
        .set_recv_buffer_size(16_384)
        .expect("a buffer of that size");
    let address = address.parse().expect("an address");
    let stream = socket.connect(address).await.ok()?;
    Some(client_async(request, stream).await.ok()?.0)
}

/// The highest tick that a client was shown until the host was gone; 0 if it came too late for any.
pub async fn highest_tick(address: &str, token: &str) -> u64 {
    let Some(mut socket) = connect(address).await else {
        return 0;
    };
    let hello = json!({"type": "hello", "proto": "formicarium.observe.v1", "token": token});
    if socket.send(Message::text(hello.to_string())).await.is_err() {
        return 0;
    }
    let mut highest = 0;
    loop {
        match next(&mut socket).await {
            Got::Data { tick, .. } => highest = highest.max(tick),
            Got::Control(_) => {}
            Got::Closed(_) => return highest,
        }
    }
}

async fn say(socket: &mut Socket, message: Value) {
    socket
        .send(Message::text(message.to_string()))
        .await
        .expect("sent");
}

pub async fn hello(live: &Live, more: Value) -> Socket {
    let mut socket = connect(live.address()).await.expect("the feed opens");
    let mut hello =
        json!({"type": "hello", "proto": "formicarium.observe.v1", "token": live.token()});
    for (key, value) in more.as_object().expect("an object") {
        hello[key] = value.clone();
    }
    say(&mut socket, hello).await;
    socket
}

#[derive(Debug)]
pub enum Got {
    Control(Value),
    Data {
        kind: u8,
        flags: u8,
        seq: u64,
        tick: u64,
        payload: Vec<u8>,
    },
    Closed(Option<u16>),
}

pub async fn next(socket: &mut Socket) -> Got {
    match socket.next().await {
        Some(Ok(Message::Text(text))) => Got::Control(serde_json::from_str(&text).expect("JSON")),
        Some(Ok(Message::Binary(bytes))) => {
            let number =
                |at: usize| u64::from_le_bytes(bytes[at..at + 8].try_into().expect("8 bytes"));
            Got::Data {
                kind: bytes[0],
                flags: bytes[1],
                seq: number(6),
                tick: number(14),
                payload: bytes[22..].to_vec(),
            }
        }
        Some(Ok(Message::Close(frame))) => Got::Closed(frame.map(|frame| frame.code.into())),
        Some(Ok(other)) => panic!("{other:?}"),
        Some(Err(_)) | None => Got::Closed(None),
    }
}

pub fn json_of(payload: &[u8], flags: u8) -> Value {
    if flags & 1 == 0 {
        return serde_json::from_slice(payload).expect("JSON");
    }
    let mut text = String::new();
    std::io::Read::read_to_string(&mut flate2::read::DeflateDecoder::new(payload), &mut text)
        .expect("deflate");
    serde_json::from_str(&text).expect("JSON")
}

#[test]
fn a_late_joiner_sees_the_present_and_then_every_tick() {
    let folder = Folder::new("join");
    let live = Live::start(&folder.path("run"), &COMMONS);
    live.until("SELECT count(*) FROM inputs", 10);
    block(async {
        for compress in ["none", "deflate"] {
            let mut socket = hello(&live, json!({"compress": compress})).await;
            let Got::Control(welcome) = next(&mut socket).await else {
                panic!("welcome first")
            };
            assert_eq!(
                (welcome["type"].as_str(), welcome["mode"].as_str()),
                (Some("welcome"), Some("realtime"))
            );
            assert!(welcome["tick"].as_u64() >= Some(5), "{welcome}");
            let Got::Data {
                kind: 1,
                flags,
                payload,
                ..
            } = next(&mut socket).await
            else {
                panic!("static second")
            };
            assert_eq!(flags, u8::from(compress == "deflate"));
            let statics = json_of(&payload, flags);
            assert_eq!(statics["seats"].as_array().map(Vec::len), Some(8));
            assert!(
                statics["casts"]
                    .as_array()
                    .is_some_and(|casts| casts.contains(&"mixed".into()))
            );
            let Got::Data {
                kind: 2,
                seq,
                payload,
                flags,
                ..
            } = next(&mut socket).await
            else {
                panic!("snapshot third")
            };
            let snapshot = json_of(&payload, flags);
            let columns = &snapshot["things"];
            let bodies = columns["seat"]
                .as_array()
                .expect("a column")
                .iter()
                .filter(|seat| seat.as_i64() >= Some(0))
                .count();
            assert_eq!(bodies, 8, "{snapshot}");
            let Got::Control(status) = next(&mut socket).await else {
                panic!("status fourth")
            };
            assert_eq!(status["seats"].as_array().map(Vec::len), Some(8));
            let (mut last, mut ticks, mut moved) = (seq, 0, false);
            while ticks < 20 {
                if let Got::Data {
                    kind,
                    seq,
                    payload,
                    flags,
                    ..
                } = next(&mut socket).await
                {
                    assert_eq!(
                        (kind, seq),
                        (3, last + 1),
                        "frames are numbered without holes"
                    );
                    last = seq;
                    ticks += 1;
                    moved |= json_of(&payload, flags)["upd"]["id"]
                        .as_array()
                        .is_some_and(|ids| !ids.is_empty());
                }
            }
            assert!(moved, "nothing moved in 20 ticks");
        }
    });
}

#[test]
fn a_returning_client_goes_on_where_it_stopped() {
    let folder = Folder::new("resume");
    let live = Live::start(&folder.path("run"), &COMMONS);
    block(async {
        let mut socket = hello(&live, json!({})).await;
        let Got::Control(welcome) = next(&mut socket).await else {
            panic!("welcome first")
        };
        let epoch = welcome["epoch"].clone();
        let mut last = 0;
        for _ in 0..20 {
            if let Got::Data { seq, .. } = next(&mut socket).await {
                last = seq;
            }
        }
        drop(socket);
        tokio::time::sleep(Duration::from_millis(200)).await;
        let mut socket = hello(&live, json!({"resume": {"epoch": epoch, "seq": last}})).await;
        let Got::Control(welcome) = next(&mut socket).await else {
            panic!("welcome first")
        };
        assert_eq!(welcome["resumed"], true);
        let Got::Data { kind: 3, seq, .. } = next(&mut socket).await else {
            panic!("the next tick")
        };
        assert_eq!(seq, last + 1);
        let mut socket = hello(
            &live,
            json!({"resume": {"epoch": "another host", "seq": last}}),
        )
        .await;
        let Got::Control(welcome) = next(&mut socket).await else {
            panic!("welcome first")
        };
        assert_eq!(welcome["resumed"], false);
        let Got::Data { kind: 1, .. } = next(&mut socket).await else {
            panic!("static again")
        };
    });
}

#[test]
fn wrong_clients_are_told_why_and_closed() {
    let folder = Folder::new("wrong");
    let live = Live::start(&folder.path("run"), &COMMONS);
    block(async {
        for (message, code) in [
            (Message::text(json!({"type": "hello", "proto": "formicarium.observe.v1", "token": "guess"}).to_string()), 4401),
            (Message::text(json!({"type": "hello", "proto": "formicarium.observe.v1"}).to_string()), 4401),
            (Message::text(json!({"type": "hello", "proto": "formicarium.observe.v9", "token": live.token()}).to_string()), 4400),
            (Message::text("{"), 4400),
            (Message::text(json!({"type": "ping", "id": 1}).to_string()), 4400),
            (Message::binary(vec![0; 100]), 4400),
            (Message::text("x".repeat(100_000)), 4400),
        ] {
            let mut socket = connect(live.address()).await.expect("the feed opens");
            socket.send(message.clone()).await.expect("sent");
            let Got::Control(error) = next(&mut socket).await else { panic!("an error for {code}") };
            assert_eq!((error["type"].as_str(), error["code"].as_u64()), (Some("error"), Some(code)), "{error}");
            assert!(error["message"].as_str().is_some_and(|words| words.len() > 10), "{error}");
            let Got::Closed(closed) = next(&mut socket).await else { panic!("a close for {code}") };
            // After an oversized frame the rest of it may still be under way, and the close lost.
            assert!(closed == Some(code as u16) || closed.is_none(), "{closed:?} for {code}");
        }
        // The feed is still there for others.
        let mut socket = hello(&live, json!({})).await;
        assert!(matches!(next(&mut socket).await, Got::Control(_)));
        say(&mut socket, json!({"type": "ping", "id": 9})).await;
        loop {
            if let Got::Control(message) = next(&mut socket).await
                && message["type"] == "pong"
            {
                assert_eq!(message["id"], 9);
                break;
            }
        }
    });
}

#[test]
fn a_client_that_stops_reading_gets_a_gap_and_a_snapshot() {
    let folder = Folder::new("gap");
    let args = [
        "scenarios/commons",
        "--agent",
        "*=builtin:random",
        "--set",
        "harvesters=200",
        "--mode",
        "realtime",
        "--hz",
        "500",
        "--ticks",
        "0",
    ];
    let live = Live::start(&folder.path("run"), &args);
    block(async {
        let mut socket = hello(&live, json!({})).await;
        let mut head = 0;
        for _ in 0..10 {
            if let Got::Data { tick, .. } = next(&mut socket).await {
                head = tick;
            }
        }
        // The host's side of the socket holds 4 MB at most; a tick has about 10 KB.
        // It reads a little, so that it is slow on any machine and gone on none.
        while query_int(&folder.path("run"), "SELECT count(*) FROM inputs") < head as i64 + 1000 {
            for _ in 0..4 {
                next(&mut socket).await;
            }
            tokio::time::sleep(Duration::from_millis(500)).await;
        }
        let mut gap = None;
        loop {
            match next(&mut socket).await {
                Got::Control(message) if message["type"] == "gap" => gap = Some(message),
                Got::Data { kind: 2, seq, .. } if gap.is_some() => {
                    assert_eq!(
                        gap.expect("a gap")["to"].as_u64(),
                        Some(seq),
                        "the snapshot closes the gap"
                    );
                    break;
                }
                Got::Closed(code) => panic!("closed with {code:?}"),
                _ => {}
            }
        }
    });
}

#[test]
fn the_end_is_told() {
    let folder = Folder::new("end");
    let args = [
        "scenarios/commons",
        "--agent",
        "*=builtin:random",
        "--mode",
        "realtime",
        "--hz",
        "40",
        "--ticks",
        "60",
    ];
    let live = Live::start(&folder.path("run"), &args);
    block(async {
        let mut socket = hello(&live, json!({})).await;
        let mut last = 0;
        loop {
            match next(&mut socket).await {
                Got::Data { tick, .. } => last = tick,
                Got::Control(message) if message["type"] == "end" => {
                    assert_eq!(
                        (&message["tick"], last),
                        (&json!(60), 60),
                        "all ticks first"
                    );
                    assert_eq!(message["scores"].as_array().map(Vec::len), Some(8));
                    return;
                }
                Got::Closed(code) => panic!("closed with {code:?} before the end"),
                _ => {}
            }
        }
    });
}
