//! The door with a real upstream behind it and a real client before it, all on loopback.
//!
//! Must not use the clock: each step waits for the one before it to be seen.

mod counting;
mod ending;
mod passing;
mod refusing;

use bytes::Bytes;
use http_body_util::combinators::UnsyncBoxBody;
use http_body_util::{BodyExt, Channel, Full, channel};
use hyper::body::{Frame, Incoming};
use hyper::http::request::Parts;
use hyper::{Request, Response};
use hyper::{client, server};
use hyper_util::rt::TokioIo;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, oneshot};
use tokio::task::JoinHandle;

use super::door::Limits;
use super::{Gateway, GatewayPlan, ModelCall, Secret};

type AnyBody = UnsyncBoxBody<Bytes, std::io::Error>;

const KEY: &str = "sk-the-real-key";
const ALICE: &str = "token-of-alice";
const BOB: &str = "token-of-bob";

/// A request as the upstream saw it. It is answered when the test says so.
struct Seen {
    head: Parts,
    body: Bytes,
    reply: oneshot::Sender<Response<AnyBody>>,
}

impl Seen {
    fn answer(self, response: Response<AnyBody>) {
        self.reply.send(response).expect("the upstream waits");
    }

    fn header(&self, name: &str) -> Option<&str> {
        self.head
            .headers
            .get(name)
            .map(|value| value.to_str().unwrap())
    }
}

/// A small upstream that hands each request to the test.
struct Upstream {
    url: String,
    seen: mpsc::UnboundedReceiver<Seen>,
    task: JoinHandle<()>,
}

impl Upstream {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let (told, seen) = mpsc::unbounded_channel();
        let task = tokio::spawn(async move {
            loop {
                let (stream, _) = listener.accept().await.unwrap();
                let told = told.clone();
                let service = hyper::service::service_fn(move |request: Request<Incoming>| {
                    let told = told.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await?.to_bytes();
                        let (reply, replied) = oneshot::channel();
                        // A test that is over looks at nothing more.
                        let _ = told.send(Seen { head, body, reply });
                        match replied.await {
                            Ok(response) => Ok::<_, hyper::Error>(response),
                            Err(_) => std::future::pending().await,
                        }
                    }
                });
                tokio::spawn(
                    server::conn::http1::Builder::new()
                        .serve_connection(TokioIo::new(stream), service),
                );
            }
        });
        Self { url, seen, task }
    }

    async fn next(&mut self) -> Seen {
        self.seen.recv().await.expect("the upstream runs")
    }
}

impl Drop for Upstream {
    fn drop(&mut self) {
        self.task.abort();
    }
}

/// A door with two seats: 3 is Alice's, 7 is Bob's.
struct Scene {
    upstream: Upstream,
    gateway: Gateway,
    calls: mpsc::Receiver<ModelCall>,
}

impl Scene {
    async fn new() -> Self {
        Self::with(Limits::default()).await
    }

    async fn with(limits: Limits) -> Self {
        let upstream = Upstream::start().await;
        let (gateway, calls) = gateway(&upstream.url, limits).await;
        Self {
            upstream,
            gateway,
            calls,
        }
    }

    async fn client(&self) -> Client {
        Client::connect(&self.gateway).await
    }

    /// Sends the request and has it answered so.
    async fn exchange(
        &mut self,
        request: Request<AnyBody>,
        response: Response<AnyBody>,
    ) -> (Seen, Response<Incoming>) {
        let mut client = self.client().await;
        let (answer, seen) = tokio::join!(client.send(request), async {
            let mut seen = self.upstream.next().await;
            let reply = std::mem::replace(&mut seen.reply, oneshot::channel().0);
            reply.send(response).expect("the upstream waits");
            seen
        });
        // Detached, so that the body can still be read.
        (seen, answer)
    }

    async fn call(&mut self) -> ModelCall {
        self.calls.recv().await.expect("a report")
    }
}

fn plan(upstream: &str) -> GatewayPlan {
    GatewayPlan {
        upstream: upstream.to_owned(),
        key: Some(Secret::new(KEY)),
        seats: vec![(3, Secret::new(ALICE)), (7, Secret::new(BOB))],
    }
}

async fn gateway(upstream: &str, limits: Limits) -> (Gateway, mpsc::Receiver<ModelCall>) {
    let (sender, calls) = mpsc::channel(16);
    let gateway = Gateway::start_with(plan(upstream), sender, limits)
        .await
        .unwrap();
    (gateway, calls)
}

/// One connection to the door.
struct Client {
    sender: client::conn::http1::SendRequest<AnyBody>,
    connection: JoinHandle<()>,
}

impl Client {
    async fn connect(gateway: &Gateway) -> Self {
        let stream = TcpStream::connect(gateway.address).await.unwrap();
        let (sender, connection) = client::conn::http1::handshake(TokioIo::new(stream))
            .await
            .unwrap();
        let connection = tokio::spawn(async {
            // A cut connection is what some of the tests are about.
            let _ = connection.await;
        });
        Self { sender, connection }
    }

    async fn send(&mut self, request: Request<AnyBody>) -> Response<Incoming> {
        self.sender.send_request(request).await.expect("an answer")
    }

    /// Closes the connection.
    async fn leave(self) {
        self.connection.abort();
        let _ = self.connection.await;
    }
}

fn full(text: impl Into<Bytes>) -> AnyBody {
    Full::new(text.into())
        .map_err(|never| match never {})
        .boxed_unsync()
}

/// A body that the test writes.
fn written() -> (channel::Sender<Bytes, std::io::Error>, AnyBody) {
    let (sender, body) = Channel::new(1);
    (sender, body.boxed_unsync())
}

/// A message request of Alice's.
fn messages() -> Request<AnyBody> {
    Request::post("/v1/messages?beta=true")
        .header("host", "127.0.0.1")
        .header("x-api-key", ALICE)
        .header("content-type", "application/json")
        .body(full("{}"))
        .unwrap()
}

fn answer(content_type: &str, body: AnyBody) -> Response<AnyBody> {
    Response::builder()
        .header("content-type", content_type)
        .body(body)
        .unwrap()
}

async fn text(response: Response<Incoming>) -> String {
    let bytes = response
        .into_body()
        .collect()
        .await
        .expect("a whole body")
        .to_bytes();
    String::from_utf8(bytes.to_vec()).unwrap()
}

/// The next data of a stream; none when it has ended or was cut.
async fn next_data(body: &mut Incoming) -> Option<Result<Bytes, hyper::Error>> {
    let frame = body.frame().await?;
    Some(frame.map(|frame| Frame::into_data(frame).expect("data")))
}

/// The answer to a request whose head is written by hand, read to the end of the connection.
async fn by_hand(gateway: &Gateway, request: &str) -> String {
    use tokio::io::{AsyncReadExt, AsyncWriteExt};
    let mut stream = TcpStream::connect(gateway.address).await.unwrap();
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    answer
}

const START: &str = concat!(
    "event: message_start\n",
    r#"data: {"type":"message_start","message":{"model":"claude-x","usage":{"input_tokens":11,"#,
    r#""cache_creation_input_tokens":5,"cache_read_input_tokens":7,"output_tokens":1}}}"#,
    "\n\n"
);
const DELTA: &str = concat!(
    "event: message_delta\n",
    r#"data: {"type":"message_delta","delta":{},"usage":{"output_tokens":42}}"#,
    "\n\n"
);
const STOP: &str = "event: message_stop\ndata: {\"type\":\"message_stop\"}\n\n";
