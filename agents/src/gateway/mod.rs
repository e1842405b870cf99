//! The model door: a loopback gateway between the seats' agents and the model's API.
//!
//! A seat's agent is given [`Gateway::base_url`] and a token of its own as its API key. The door checks the token, puts
//! the real key in its place, streams request and answer through unchanged, and reports what each request used
//! ([`ModelCall`]). The key never reaches an agent. It must not know bevy, scenarios, the feed, ticks, or how processes
//! are started.
//!
//! * `door`: one request, from its head to the two streams
//! * `upstream`: the way to the upstream
//! * `body`: the two streams
//! * `count`, `sse`: what an answer used
//! * `call`: what the host is told
//! * `refusal`, `secret`: the door's own errors; texts that are not shown

mod body;
mod call;
mod count;
mod door;
mod refusal;
mod secret;
mod sse;
mod upstream;

#[cfg(test)]
mod tests;

use std::collections::HashSet;
use std::convert::Infallible;
use std::io;
use std::net::{Ipv4Addr, SocketAddr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use hyper::header::HeaderValue;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::mpsc::Sender;
use tokio::sync::{Semaphore, oneshot};
use tokio::task::{JoinHandle, JoinSet};

pub use call::{ModelCall, Outcome, Unread};
pub use secret::Secret;

use call::Desk;
use door::{Door, Limits, Seat};
use upstream::Upstream;

/// The upstream that is meant when none is named.
pub const DEFAULT_UPSTREAM: &str = "https://api.anthropic.com";

/// How long no connection is accepted after the system refused one, for want of descriptors as a rule.
const ACCEPT_PAUSE: Duration = Duration::from_millis(100);

/// What a gateway is to do.
#[derive(Debug, Clone)]
pub struct GatewayPlan {
    /// Base URL of the API, without `/v1`.
    pub upstream: String,
    /// The real key, sent as `x-api-key`. None: requests go on without a key.
    pub key: Option<Secret>,
    /// Each seat's index and token.
    pub seats: Vec<(usize, Secret)>,
}

/// Why a gateway could not be started.
#[derive(Debug, thiserror::Error)]
pub enum GatewayError {
    /// The upstream's address is no use.
    #[error(
        "the upstream {url:?} cannot be used: {reason}; give a base URL such as {DEFAULT_UPSTREAM}"
    )]
    Upstream {
        /// The address, without what may be a password.
        url: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The key cannot stand in a header.
    #[error(
        "the model key cannot be sent: it is empty or has characters that a header cannot hold; look for \
         a line break or a space in it"
    )]
    Key,
    /// A token is no use.
    #[error(
        "the token of seat {seat} cannot be used: {reason}; give each seat a random token of its own"
    )]
    Token {
        /// The seat's index.
        seat: usize,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The environment names a proxy that cannot be used.
    #[error(
        "the proxy in HTTPS_PROXY or ALL_PROXY cannot be used: only http:// proxies are; change it, \
         or name the upstream in NO_PROXY"
    )]
    Proxy,
    /// TLS cannot be set up.
    #[error(
        "cannot set up TLS to the upstream: {0}; check SSL_CERT_FILE and the system's certificates"
    )]
    Tls(String),
    /// The system gave no port.
    #[error(
        "cannot listen on 127.0.0.1 for the agents' model requests: {0}; check that \
         loopback is up and descriptors are left"
    )]
    Listen(#[source] io::Error),
}

/// A running gateway. Dropped, it ends too, without waiting for the last reports.
#[derive(Debug)]
pub struct Gateway {
    address: SocketAddr,
    desk: Arc<Desk>,
    bars: Bars,
    end: Option<oneshot::Sender<()>>,
    accepting: JoinHandle<()>,
}

/// Shuts the door for single seats; what is under way goes on.
#[derive(Debug, Clone, Default)]
pub struct Bars(Vec<(usize, Arc<AtomicBool>)>);

impl Bars {
    /// Shuts the door for a seat, or opens it again.
    pub fn set(&self, seat: usize, is_shut: bool) {
        for (_, bar) in self.0.iter().filter(|(index, _)| *index == seat) {
            bar.store(is_shut, Ordering::Relaxed);
        }
    }
}

impl Gateway {
    /// Listens on a random loopback port. Each request of a seat is reported to `calls` when it is over; a report for
    /// which there is no room is counted in [`Gateway::dropped`], and nobody waits.
    pub async fn start(plan: GatewayPlan, calls: Sender<ModelCall>) -> Result<Self, GatewayError> {
        Self::start_with(plan, calls, Limits::default()).await
    }

    async fn start_with(
        plan: GatewayPlan,
        calls: Sender<ModelCall>,
        limits: Limits,
    ) -> Result<Self, GatewayError> {
        let upstream = Upstream::parse(&plan.upstream)?;
        let key = plan.key.as_ref().map(header).transpose()?;
        check_tokens(&plan)?;
        if key.is_some() && upstream.is_plain_and_far() {
            tracing::warn!(%upstream, "the model key is sent without TLS: use https if the upstream has it");
        }
        let client = upstream.client(limits.connect)?;
        let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, 0)).await;
        let listener = listener.map_err(GatewayError::Listen)?;
        let address = listener.local_addr().map_err(GatewayError::Listen)?;
        let desk = Arc::new(Desk {
            calls,
            dropped: AtomicU64::new(0),
            stopping: AtomicBool::new(false),
            key: plan.key,
        });
        let seat = |(index, token)| Seat {
            index,
            token,
            places: Arc::new(Semaphore::new(limits.concurrent)),
            barred: Arc::default(),
        };
        let door = Arc::new(Door {
            upstream,
            client,
            key,
            seats: plan.seats.into_iter().map(seat).collect(),
            desk: desk.clone(),
            limits,
        });
        let bars = Bars(
            door.seats
                .iter()
                .map(|seat| (seat.index, seat.barred.clone()))
                .collect(),
        );
        let (end, ended) = oneshot::channel();
        Ok(Self {
            address,
            desk,
            bars,
            end: Some(end),
            accepting: tokio::spawn(accept(listener, door, ended)),
        })
    }

    /// What agents use as the API's base URL, for example `http://127.0.0.1:40123`.
    pub fn base_url(&self) -> String {
        format!("http://{}", self.address)
    }

    /// What shuts the door for single seats.
    pub fn bars(&self) -> Bars {
        self.bars.clone()
    }

    /// How many reports found no room in the channel.
    pub fn dropped(&self) -> u64 {
        self.desk.dropped.load(Ordering::Relaxed)
    }

    /// Cuts what is under way and closes the port. All reports are in the channel when this returns.
    pub async fn stop(mut self) {
        self.desk.stopping.store(true, Ordering::Release);
        if let Some(end) = self.end.take() {
            // If the task is gone already there is nothing to stop.
            let _ = end.send(());
        }
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for Gateway {
    fn drop(&mut self) {
        self.desk.stopping.store(true, Ordering::Release);
        self.accepting.abort();
    }
}

/// The key as a header that `Debug` does not show.
fn header(key: &Secret) -> Result<HeaderValue, GatewayError> {
    let text = key.expose();
    let visible = !text.is_empty() && text.bytes().all(|byte| byte.is_ascii_graphic());
    let mut value = HeaderValue::from_str(text).map_err(|_| GatewayError::Key)?;
    value.set_sensitive(true);
    visible.then_some(value).ok_or(GatewayError::Key)
}

fn check_tokens(plan: &GatewayPlan) -> Result<(), GatewayError> {
    let mut seen = HashSet::new();
    for (seat, token) in &plan.seats {
        let text = token.expose();
        let wrong = |reason| {
            Err(GatewayError::Token {
                seat: *seat,
                reason,
            })
        };
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("it is empty or has characters that a header cannot hold");
        }
        if plan.key.as_ref().is_some_and(|key| key.is(text.as_bytes())) {
            return wrong("it is the model key itself, which no agent may see");
        }
        if !seen.insert(text) {
            return wrong("another seat has the same");
        }
    }
    Ok(())
}

/// Takes connections until it is told to end or dropped; its connections end with it.
async fn accept(listener: TcpListener, door: Arc<Door>, mut ended: oneshot::Receiver<()>) {
    let mut connections = JoinSet::new();
    loop {
        tokio::select! {
            _ = &mut ended => break,
            Some(_) = connections.join_next() => {}
            accepted = listener.accept(), if connections.len() < door.limits.connections => match accepted {
                Ok((stream, _)) => {
                    connections.spawn(serve(stream, door.clone()));
                }
                Err(error) => {
                    tracing::warn!(%error, "the model door cannot accept a connection; it tries again");
                    tokio::time::sleep(ACCEPT_PAUSE).await;
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
    let head = door.limits.head;
    let service = service_fn(move |request| {
        let door = door.clone();
        async move { Ok::<_, Infallible>(door.answer(request).await) }
    });
    let served = http1::Builder::new()
        .timer(TokioTimer::new())
        .header_read_timeout(head)
        // An upstream's answer passes without a date of ours.
        .auto_date_header(false)
        .serve_connection(TokioIo::new(stream), service)
        .await;
    if let Err(error) = served {
        // Clients leave as they like; what matters of it stands in the reports.
        tracing::debug!(error = %body::chain(&error), "a connection at the model door ended");
    }
}
