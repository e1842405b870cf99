//! The HTTP side: who comes in, at which seat, and whether a client took its whole answer.
//!
//! Must not know MCP's messages or the course of ticks.

use std::convert::Infallible;
use std::pin::Pin;
use std::sync::Arc;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::combinators::BoxBody;
use http_body_util::{BodyExt, Full};
use hyper::body::{Body, Frame, Incoming, SizeHint};
use hyper::header::{AUTHORIZATION, CONTENT_TYPE, HeaderValue, WWW_AUTHENTICATE};
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper::{Method, Request, Response, StatusCode};
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinSet;

use super::client::Made;
use super::{PATH, Seat};

/// Connections at once.
const CONNECTIONS: usize = 256;
/// How long a request's head may take.
const HEAD: Duration = Duration::from_secs(30);
/// A client whose connections were all cut is gone after so long.
const GRACE: Duration = Duration::from_secs(5);
/// How long no connection is accepted after the system refused one.
const PAUSE: Duration = Duration::from_millis(100);
const SESSION: &str = "mcp-session-id";

/// What all connections share.
pub(super) struct Door {
    pub(super) seats: Vec<Arc<Seat>>,
    /// Posted requests under way.
    pub(super) posts: watch::Sender<usize>,
}

/// Takes connections until it is told to end or dropped; its connections end with it.
pub(super) async fn accept(
    listener: TcpListener,
    door: Arc<Door>,
    mut ended: oneshot::Receiver<()>,
) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut ended => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < CONNECTIONS => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, Arc::clone(&door)));
                }
                Err(error) => {
                    tracing::warn!(%error, "the door for MCP clients cannot accept a connection; it tries again");
                    tokio::time::sleep(PAUSE).await;
                }
            },
        }
    }
    drop(listener);
    connections.shutdown().await;
}

async fn serve(stream: TcpStream, door: Arc<Door>) {
    // Small events must not wait for larger ones.
    if let Err(error) = stream.set_nodelay(true) {
        tracing::debug!(%error, "cannot set TCP_NODELAY");
    }
    let service = service_fn(move |request| {
        let door = Arc::clone(&door);
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(HEAD)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // Clients leave as they like.
        tracing::debug!(%error, "a connection of an MCP client ended");
    }
}

impl Door {
    async fn answer(self: Arc<Self>, mut request: Request<Incoming>) -> Response<Watched> {
        if request.uri().path() != PATH {
            let words = format!("There is nothing here. MCP clients connect to {PATH}.\n");
            return refuse(StatusCode::NOT_FOUND, words);
        }
        let Some(seat) = self.seat(request.headers().get(AUTHORIZATION)) else {
            let words = "This token opens no seat. Send the header \"Authorization: Bearer TOKEN\" with the token from the \
                         seat's file mcp.json, which the run has named in its log; a token is good for one run.\n";
            let mut response = refuse(StatusCode::UNAUTHORIZED, words.into());
            let challenge = HeaderValue::from_static("Bearer realm=\"a seat in formicarium\"");
            response.headers_mut().insert(WWW_AUTHENTICATE, challenge);
            return response;
        };
        let named = request.headers().get(SESSION);
        let named = named.and_then(|id| id.to_str().ok()).map(str::to_owned);
        let number = named.as_deref().and_then(|id| seat.desk().find(id));
        let mut guard = Guard {
            posts: (request.method() == Method::POST).then(|| self.posts.clone()),
            seat: Arc::clone(&seat),
            number: None,
            made: Made::default(),
            whole: false,
        };
        guard.begin(number);
        if named.is_none() {
            request.extensions_mut().insert(guard.made.clone());
        }
        let ends = request.method() == Method::DELETE;
        let mut response = seat.service().handle(request).await;
        if let Some(number) = guard.made.0.get().copied()
            && let Some(id) = response.headers().get(SESSION)
            && let Ok(id) = id.to_str()
        {
            seat.desk().name(number, id);
            guard.enter(number);
        }
        if ends
            && response.status().is_success()
            && let Some(number) = number
        {
            seat.desk().ended(number);
            // It is done, not only accepted; some clients look.
            *response.status_mut() = StatusCode::NO_CONTENT;
        }
        response.map(|inner| Watched {
            inner,
            guard: Some(guard),
        })
    }

    /// The seat that a token opens. Takes the same time whichever it is.
    fn seat(&self, header: Option<&HeaderValue>) -> Option<Arc<Seat>> {
        let (scheme, token) = header?.as_bytes().split_at_checked(7)?;
        if !scheme.eq_ignore_ascii_case(b"bearer ") {
            return None;
        }
        let mut found = None;
        for seat in &self.seats {
            if seat.token.is(token.trim_ascii()) {
                found = Some(seat);
            }
        }
        found.cloned()
    }
}

fn refuse(status: StatusCode, words: String) -> Response<Watched> {
    let body = Full::new(Bytes::from(words)).boxed();
    let mut response = Response::new(Watched {
        inner: body,
        guard: None,
    });
    *response.status_mut() = status;
    let plain = HeaderValue::from_static("text/plain; charset=utf-8");
    response.headers_mut().insert(CONTENT_TYPE, plain);
    response
}

/// A request under way. Dropped, it is over.
struct Guard {
    seat: Arc<Seat>,
    number: Option<u64>,
    posts: Option<watch::Sender<usize>>,
    /// The session that this request made, if it did.
    made: Made,
    whole: bool,
}

impl Guard {
    fn begin(&mut self, number: Option<u64>) {
        if let Some(posts) = &self.posts {
            posts.send_modify(|posts| *posts += 1);
        }
        if let Some(number) = number {
            self.enter(number);
        }
    }

    fn enter(&mut self, number: u64) {
        self.seat.desk().opened(number);
        self.number = Some(number);
    }
}

impl Drop for Guard {
    fn drop(&mut self) {
        if let Some(posts) = &self.posts {
            posts.send_modify(|posts| *posts -= 1);
        }
        if self.number.is_none()
            && let Some(number) = self.made.0.get().copied()
        {
            // Its client left before it was answered.
            self.enter(number);
        }
        let Some(number) = self.number else { return };
        let doubt = self.seat.desk().closed(number, !self.whole);
        if let Some(doubt) = doubt
            && let Ok(runtime) = tokio::runtime::Handle::try_current()
        {
            let seat = Arc::clone(&self.seat);
            runtime.spawn(async move {
                tokio::time::sleep(GRACE).await;
                seat.desk().resolve(doubt);
            });
        }
    }
}

/// An answer that is watched to its end.
struct Watched {
    inner: BoxBody<Bytes, Infallible>,
    guard: Option<Guard>,
}

impl Body for Watched {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        let polled = Pin::new(&mut self.inner).poll_frame(context);
        if matches!(polled, Poll::Ready(None))
            && let Some(mut guard) = self.guard.take()
        {
            guard.whole = true;
        }
        polled
    }

    fn is_end_stream(&self) -> bool {
        self.inner.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.inner.size_hint()
    }
}

impl Drop for Watched {
    fn drop(&mut self) {
        if let Some(guard) = &mut self.guard {
            guard.whole = self.inner.is_end_stream();
        }
    }
}
