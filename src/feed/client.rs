//! One spectator's socket: hello, then frames until either side leaves.
//!
//! Data is latest-wins: who falls behind gets a gap and a snapshot. Control is not: who cannot take
//! it is closed. Must not know the world or the tick loop.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::{SinkExt, StreamExt};
use hyper::upgrade::Upgraded;
use hyper_util::rt::TokioIo;
use tokio::sync::broadcast::Receiver;
use tokio::sync::broadcast::error::{RecvError, TryRecvError};
use tokio::time::timeout;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{self, Message, Utf8Bytes};

use super::hub::{Frame, Hub, Joined};
use super::wire::{self, CLIENT_FRAME_MOST, Compress, FromClient, Resume, ToClient};

/// Time for the first message.
const HELLO: Duration = Duration::from_secs(5);
/// Time for one frame to leave; a client that takes longer is gone.
const SEND: Duration = Duration::from_secs(20);

type Socket = WebSocketStream<TokioIo<Upgraded>>;

/// Why a client is closed.
struct Closing {
    code: u16,
    message: String,
    retry: bool,
}

impl Closing {
    fn new(code: u16, retry: bool, message: impl Into<String>) -> Closing {
        Closing {
            code,
            message: message.into(),
            retry,
        }
    }
}

/// Serves one upgraded connection until it ends.
pub async fn serve(upgraded: Upgraded, hub: Arc<Hub>, token: Arc<str>) {
    // The default buffers cost 139 KB a client (measured); frames are written whole anyway.
    let config = WebSocketConfig::default()
        .read_buffer_size(4096)
        .write_buffer_size(0)
        .max_write_buffer_size(16 << 20)
        .max_message_size(Some(CLIENT_FRAME_MOST))
        .max_frame_size(Some(CLIENT_FRAME_MOST));
    let mut socket =
        WebSocketStream::from_raw_socket(TokioIo::new(upgraded), Role::Server, Some(config)).await;
    if let Err(Some(closing)) = talk(&mut socket, &hub, &token).await {
        let error = ToClient::Error {
            code: closing.code,
            message: closing.message.clone(),
            retry: closing.retry,
        };
        let _ = send_json(&mut socket, &error).await;
        let reason: String = closing.message.chars().take(30).collect();
        let frame = CloseFrame {
            code: CloseCode::from(closing.code),
            reason: Utf8Bytes::from(reason),
        };
        let _ = timeout(SEND, socket.close(Some(frame))).await;
    }
}

/// `Err(None)`: the client is gone.
async fn talk(socket: &mut Socket, hub: &Arc<Hub>, token: &str) -> Result<(), Option<Closing>> {
    let (compress, resume) = hello(socket, token).await?;
    if !hub.enter() {
        return Err(Some(Closing::new(
            4409,
            true,
            "all places for spectators are taken; try again later",
        )));
    }
    let _place = Place(hub);
    let joined = hub.join(resume.as_ref());
    follow(socket, hub, joined, compress).await
}

/// Gives the client's place back however the conversation ends.
struct Place<'a>(&'a Hub);

impl Drop for Place<'_> {
    fn drop(&mut self) {
        self.0.leave();
    }
}

async fn hello(
    socket: &mut Socket,
    token: &str,
) -> Result<(Compress, Option<Resume>), Option<Closing>> {
    let late = || Some(Closing::new(4408, true, "no hello within 5 seconds"));
    let first = timeout(HELLO, next(socket)).await.map_err(|_| late())??;
    match first {
        FromClient::Hello { proto, .. } if proto != wire::PROTOCOL => Err(Some(Closing::new(
            4400,
            false,
            format!("this host speaks {}; reload the page", wire::PROTOCOL),
        ))),
        FromClient::Hello { token: given, .. } if !same(given.as_bytes(), token.as_bytes()) => {
            Err(Some(Closing::new(
                4401,
                false,
                "wrong or missing token; open the link that `formicarium run` printed",
            )))
        }
        FromClient::Hello {
            compress, resume, ..
        } => Ok((compress, resume)),
        FromClient::Ping { .. } => Err(Some(Closing::new(
            4400,
            false,
            "the first message must be hello",
        ))),
    }
}

async fn follow(
    socket: &mut Socket,
    hub: &Arc<Hub>,
    joined: Joined,
    compress: Compress,
) -> Result<(), Option<Closing>> {
    let Joined {
        welcome,
        control,
        frames,
        mut seq,
        mut data,
        mut messages,
    } = joined;
    send_json(socket, &welcome).await?;
    for frame in frames {
        send(socket, Message::Binary(frame.bytes(compress))).await?;
    }
    for message in control {
        send_json(socket, &message).await?;
    }
    loop {
        tokio::select! {
            biased;
            message = messages.recv() => match message {
                Ok(said) => {
                    if said.last {
                        // What came before the end is handed over before it.
                        while let Some(frame) = waiting(&mut data) {
                            pass(socket, hub, &mut data, &mut seq, compress, frame).await?;
                        }
                    }
                    send(socket, text(said.json)).await?;
                }
                Err(RecvError::Lagged(_)) => {
                    return Err(Some(Closing::new(4410, true, "you read too slowly for control messages")));
                }
                Err(RecvError::Closed) => return Err(Some(Closing::new(1001, true, "the host ends"))),
            },
            asked = next(socket) => match asked? {
                FromClient::Ping { id } => {
                    let (head_tick, head_seq) = hub.head();
                    send_json(socket, &ToClient::Pong { id, head_tick, head_seq }).await?;
                }
                FromClient::Hello { .. } => {
                    return Err(Some(Closing::new(4400, false, "hello was said already")));
                }
            },
            frame = data.recv() => pass(socket, hub, &mut data, &mut seq, compress, frame).await?,
        }
    }
}

/// A frame that waits already, or that some were missed.
fn waiting(data: &mut Receiver<Arc<Frame>>) -> Option<Result<Arc<Frame>, RecvError>> {
    match data.try_recv() {
        Ok(frame) => Some(Ok(frame)),
        Err(TryRecvError::Lagged(missed)) => Some(Err(RecvError::Lagged(missed))),
        Err(TryRecvError::Empty | TryRecvError::Closed) => None,
    }
}

/// Hands over a frame; a client that missed some gets a snapshot of the present in their place.
async fn pass(
    socket: &mut Socket,
    hub: &Hub,
    data: &mut Receiver<Arc<Frame>>,
    seq: &mut u64,
    compress: Compress,
    frame: Result<Arc<Frame>, RecvError>,
) -> Result<(), Option<Closing>> {
    match frame {
        Ok(frame) if frame.seq <= *seq => Ok(()),
        Ok(frame) => {
            *seq = frame.seq;
            send(socket, Message::Binary(frame.bytes(compress))).await
        }
        Err(RecvError::Lagged(_)) => {
            let (snapshot, fresh) = hub.snapshot();
            *data = fresh;
            let gap = ToClient::Gap {
                from: *seq + 1,
                to: snapshot.seq,
                reason: "you read too slowly",
            };
            *seq = snapshot.seq;
            send_json(socket, &gap).await?;
            send(socket, Message::Binary(snapshot.bytes(compress))).await
        }
        Err(RecvError::Closed) => Err(Some(Closing::new(1001, true, "the host ends"))),
    }
}

/// The next message of the client. Cancel-safe: a frame is taken from the stream whole or not at all.
async fn next(socket: &mut Socket) -> Result<FromClient, Option<Closing>> {
    loop {
        match socket.next().await {
            None | Some(Ok(Message::Close(_))) => return Err(None),
            Some(Ok(Message::Text(text))) => {
                return serde_json::from_str(&text).map_err(|error| {
                    Some(Closing::new(
                        4400,
                        false,
                        format!("not a message of {}: {error}", wire::PROTOCOL),
                    ))
                });
            }
            Some(Ok(Message::Binary(_))) => {
                return Err(Some(Closing::new(
                    4400,
                    false,
                    "clients send text frames only",
                )));
            }
            // Pings are answered by the library with the next write.
            Some(Ok(_)) => {}
            Some(Err(tungstenite::Error::Capacity(_))) => {
                let most = format!("a message may have at most {CLIENT_FRAME_MOST} bytes");
                return Err(Some(Closing::new(4400, false, most)));
            }
            Some(Err(_)) => return Err(None),
        }
    }
}

async fn send_json(socket: &mut Socket, message: &ToClient) -> Result<(), Option<Closing>> {
    let json = serde_json::to_vec(message).expect("feed messages have string keys");
    send(socket, text(json.into())).await
}

fn text(json: Bytes) -> Message {
    Message::Text(Utf8Bytes::try_from(json).expect("JSON is UTF-8"))
}

async fn send(socket: &mut Socket, message: Message) -> Result<(), Option<Closing>> {
    match timeout(SEND, socket.send(message)).await {
        Ok(Ok(())) => Ok(()),
        Ok(Err(_)) | Err(_) => Err(None),
    }
}

/// Compares in a time that depends on the length only.
fn same(given: &[u8], token: &[u8]) -> bool {
    given.len() == token.len() && given.iter().zip(token).fold(0, |sum, (a, b)| sum | (a ^ b)) == 0
}
