//! Seats that any MCP client can take: a server of the Model Context Protocol over streamable HTTP, on loopback.
//!
//! A token opens one seat. The client that came last plays it; the one before is told so. A seat without a client is
//! away, and may be taken at any time. It must not know bevy, scenarios, the feed, or how processes are started.
//!
//! * `door`: HTTP: tokens, connections, who is gone
//! * `client`: one session: MCP's requests
//! * `desk`: one seat: who plays, which calls are held, what the host is told
//! * `words`: what clients are told

mod client;
mod desk;
mod door;
mod words;

#[cfg(test)]
mod desk_tests;
#[cfg(test)]
mod http_tests;

use std::io;
use std::net::{IpAddr, SocketAddr};
use std::sync::{Arc, Mutex, MutexGuard, OnceLock, PoisonError};
use std::time::Duration;

use rmcp::transport::streamable_http_server::session::SessionManager;
use rmcp::transport::streamable_http_server::session::local::LocalSessionManager;
use rmcp::transport::streamable_http_server::{StreamableHttpServerConfig, StreamableHttpService};
use tokio::net::TcpListener;
use tokio::sync::mpsc::{self, Sender};
use tokio::sync::{oneshot, watch};
use tokio::task::JoinHandle;
use tokio_util::sync::CancellationToken;

use self::client::Client;
use self::desk::Desk;
use self::door::Door;
use crate::event::AgentEvent;
use crate::gateway::Secret;
use crate::process::Outgoing;

/// Where clients connect.
const PATH: &str = "/mcp";
/// An open stream carries a comment so often: libraries give up on a silent one after 5 s by default.
const KEEP_ALIVE: Duration = Duration::from_secs(3);
/// Largest request in bytes.
const REQUEST_BYTES: usize = 1 << 20;
/// Web pages that may ask: those of this machine.
const ORIGINS: [&str; 3] = ["http://localhost:*", "http://127.0.0.1:*", "http://[::1]:*"];

/// What a server is to do.
#[derive(Debug, Clone)]
pub struct McpPlan {
    /// Each seat's index, name and token.
    pub seats: Vec<(usize, String, Secret)>,
    /// A loopback address.
    pub bind: IpAddr,
    /// The port; 0 for any.
    pub port: u16,
}

/// Why a server could not be started.
#[derive(Debug, thiserror::Error)]
pub enum McpError {
    /// Not a loopback address.
    #[error(
        "MCP clients cannot be served on {0}: tokens would cross the network unencrypted; use 127.0.0.1, and a tunnel for clients elsewhere"
    )]
    NotLoopback(IpAddr),
    /// A token is no use.
    #[error(
        "the token of seat {seat} cannot be used: {reason}; give each seat a random token of its own"
    )]
    Token {
        /// The seat's name.
        seat: String,
        /// What is wrong with it.
        reason: &'static str,
    },
    /// The system gave no port.
    #[error(
        "cannot listen on {address} for MCP clients: {error}; check that the port is free and loopback is up"
    )]
    Listen {
        /// What was asked for.
        address: SocketAddr,
        /// The system's words.
        error: io::Error,
    },
}

/// A running server. Dropped, it ends too, without waiting for the last answers.
#[derive(Debug)]
pub struct McpServer {
    address: SocketAddr,
    seats: Vec<Arc<Seat>>,
    posts: watch::Receiver<usize>,
    cancel: CancellationToken,
    end: Option<oneshot::Sender<()>>,
    accepting: JoinHandle<()>,
}

/// One seat, as all its connections share it.
struct Seat {
    index: usize,
    name: String,
    token: Secret,
    desk: Mutex<Desk>,
    sessions: Arc<LocalSessionManager>,
    service: OnceLock<StreamableHttpService<Client, LocalSessionManager>>,
}

impl std::fmt::Debug for Seat {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Seat")
            .field("name", &self.name)
            .finish_non_exhaustive()
    }
}

impl Seat {
    fn desk(&self) -> MutexGuard<'_, Desk> {
        self.desk.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn service(&self) -> &StreamableHttpService<Client, LocalSessionManager> {
        self.service.get().expect("set when the seat is made")
    }

    /// Ends sessions whose time is over.
    fn close(&self, ids: Vec<Arc<str>>) {
        let sessions = Arc::clone(&self.sessions);
        tokio::spawn(async move {
            for id in ids {
                if let Err(error) = sessions.close_session(&id).await {
                    tracing::debug!(%error, "a session of an MCP client could not be closed");
                }
            }
        });
    }

    fn new(
        (index, name, token): (usize, String, Secret),
        events: mpsc::UnboundedSender<AgentEvent>,
        cancel: &CancellationToken,
    ) -> Arc<Self> {
        let mut sessions = LocalSessionManager::default();
        // A held call may be longer than any limit; who is gone is found by its connections.
        sessions.session_config.keep_alive = None;
        sessions.session_config.sse_retry = None;
        let sessions = Arc::new(sessions);
        let seat = Arc::new(Self {
            index,
            name,
            token,
            desk: Mutex::new(Desk::new(index, events)),
            sessions: Arc::clone(&sessions),
            service: OnceLock::new(),
        });
        let config = StreamableHttpServerConfig::default()
            .with_sse_keep_alive(Some(KEEP_ALIVE))
            // Clients of older versions trip over the empty event that comes with it.
            .with_sse_retry(None)
            .with_allowed_origins(ORIGINS)
            .with_max_request_body_bytes(REQUEST_BYTES)
            .with_cancellation_token(cancel.child_token());
        let weak = Arc::downgrade(&seat);
        let clients = move || {
            let seat = weak.upgrade();
            seat.map(Client::new)
                .ok_or_else(|| io::Error::other("the run is over"))
        };
        let service = StreamableHttpService::new(clients, sessions, config);
        if seat.service.set(service).is_err() {
            unreachable!("the seat is new");
        }
        seat
    }
}

impl McpServer {
    /// Listens, and tells `inbox` what happens at the seats.
    ///
    /// # Errors
    /// See [`McpError`]; nothing listens then.
    pub async fn start(plan: McpPlan, inbox: Sender<AgentEvent>) -> Result<Self, McpError> {
        if !plan.bind.is_loopback() {
            return Err(McpError::NotLoopback(plan.bind));
        }
        check_tokens(&plan.seats)?;
        let address = SocketAddr::new(plan.bind, plan.port);
        let fail = |error| McpError::Listen { address, error };
        let listener = TcpListener::bind(address).await.map_err(fail)?;
        let address = listener.local_addr().map_err(fail)?;
        // Told in order, under each seat's lock, and never waited for there; a seat's calls in a tick are limited.
        let (events, mut told) = mpsc::unbounded_channel();
        tokio::spawn(async move {
            while let Some(event) = told.recv().await {
                if inbox.send(event).await.is_err() {
                    return;
                }
            }
        });
        let cancel = CancellationToken::new();
        let seats: Vec<Arc<Seat>> = plan
            .seats
            .into_iter()
            .map(|seat| Seat::new(seat, events.clone(), &cancel))
            .collect();
        let (posts, count) = watch::channel(0);
        let door = Arc::new(Door {
            seats: seats.clone(),
            posts,
        });
        let (end, ended) = oneshot::channel();
        Ok(Self {
            address,
            seats,
            posts: count,
            cancel,
            end: Some(end),
            accepting: tokio::spawn(door::accept(listener, door, ended)),
        })
    }

    /// Where clients connect, for example `http://127.0.0.1:40123/mcp`.
    pub fn url(&self) -> String {
        format!("http://{}{PATH}", self.address)
    }

    /// Tells a seat what the host says. Never waits.
    pub fn send(&self, seat: usize, message: Outgoing) {
        let Some(seat) = self.seats.iter().find(|other| other.index == seat) else {
            return;
        };
        match message {
            Outgoing::Observation(line) => seat.desk().observation(line),
            Outgoing::Control(line) | Outgoing::End(line) => seat.desk().line(&line),
        }
    }

    /// Closes the port; up to `grace` for answers under way, which clients of a run that is over are glad of.
    pub async fn stop(mut self, grace: Duration) {
        let answered = self.posts.wait_for(|posts| *posts == 0);
        // Whether they have taken it or not, it is over.
        let _ = tokio::time::timeout(grace, answered).await;
        self.cancel.cancel();
        if let Some(end) = self.end.take() {
            // If the task is gone already there is nothing to stop.
            let _ = end.send(());
        }
        let _ = (&mut self.accepting).await;
    }
}

impl Drop for McpServer {
    fn drop(&mut self) {
        self.cancel.cancel();
        self.accepting.abort();
    }
}

fn check_tokens(seats: &[(usize, String, Secret)]) -> Result<(), McpError> {
    for (place, (_, name, token)) in seats.iter().enumerate() {
        let wrong = |reason| {
            Err(McpError::Token {
                seat: name.clone(),
                reason,
            })
        };
        let text = token.expose();
        if text.is_empty() || !text.bytes().all(|byte| byte.is_ascii_graphic()) {
            return wrong("it is empty or has characters that a header cannot hold");
        }
        if seats[..place]
            .iter()
            .any(|(_, _, other)| other.is(text.as_bytes()))
        {
            return wrong("another seat has the same");
        }
    }
    Ok(())
}
