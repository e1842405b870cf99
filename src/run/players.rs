//! Everyone the host talks to, by seat: the processes it has started, and the MCP clients that come by themselves.
//!
//! Here the seats that are open to MCP clients get their tokens, and the files that tell where to connect. Must not know
//! ticks, or what is said.

use std::fs;
use std::io::Write;
use std::os::unix::fs::OpenOptionsExt;
use std::path::{Path, PathBuf};
use std::time::Duration;

use formicarium_agents::gateway::Secret;
use formicarium_agents::mcp::server::{McpPlan, McpServer};
use formicarium_agents::{AgentEvent, Agents, Outgoing};
use serde_json::json;
use tokio::sync::mpsc::Sender;

use super::{RunError, token};

/// The file in a seat's folder that tells an MCP client where to connect, in the form that such clients take.
const FILE: &str = "mcp.json";

/// Everyone.
pub(super) struct Players {
    /// Seats that processes fill.
    pub(super) processes: Agents,
    /// Seats that are open to MCP clients.
    pub(super) clients: Option<Clients>,
}

/// Seats that are open to MCP clients.
pub(super) struct Clients {
    server: McpServer,
    seats: Vec<usize>,
    files: Vec<PathBuf>,
}

/// Opens seats to MCP clients, and says where; none: nothing is opened.
pub(super) async fn open(
    seats: &[(usize, String)],
    dir: &Path,
    inbox: Sender<AgentEvent>,
) -> Result<Option<Clients>, RunError> {
    if seats.is_empty() {
        return Ok(None);
    }
    let tokens: Vec<String> = seats.iter().map(|_| token()).collect();
    let plan = McpPlan {
        seats: seats
            .iter()
            .zip(&tokens)
            .map(|((seat, name), token)| (*seat, name.clone(), Secret::new(token.clone())))
            .collect(),
        bind: std::net::Ipv4Addr::LOCALHOST.into(),
        port: 0,
    };
    let server = McpServer::start(plan, inbox).await?;
    let mut clients = Clients {
        server,
        seats: seats.iter().map(|(seat, _)| *seat).collect(),
        files: Vec::new(),
    };
    let url = clients.server.url();
    for ((_, name), token) in seats.iter().zip(&tokens) {
        let folder = dir.join("agents").join(name);
        let file = folder.join(FILE);
        write(&folder, &file, &url, token).map_err(|source| RunError::Io {
            what: format!("writing {}", file.display()),
            source,
        })?;
        tracing::info!(
            seat = name,
            url,
            token = %file.display(),
            "this seat waits for an MCP client: claude --mcp-config FILE, or any other with the URL and the token"
        );
        clients.files.push(file);
    }
    Ok(Some(clients))
}

/// Writes the file so that nobody but the host's own user can ever read it.
fn write(folder: &Path, file: &Path, url: &str, token: &str) -> std::io::Result<()> {
    fs::create_dir_all(folder)?;
    let server = json!({"type": "http", "url": url, "headers": {"Authorization": format!("Bearer {token}")}});
    let mut out = fs::OpenOptions::new()
        .write(true)
        .create_new(true)
        .mode(0o600)
        .open(file)?;
    let text = serde_json::to_string_pretty(&json!({"mcpServers": {"formicarium": server}}))?;
    writeln!(out, "{text}")
}

impl Players {
    /// Tells a seat something.
    pub(super) fn send(&self, seat: usize, message: Outgoing) {
        match &self.clients {
            Some(clients) if clients.seats.contains(&seat) => clients.server.send(seat, message),
            _ => self.processes.send(seat, message),
        }
    }

    /// Ends a seat's process. A client ends itself.
    pub(super) fn stop(&self, seat: usize, why: &str) {
        self.processes.stop(seat, why);
    }

    /// Whether the seat is open to MCP clients.
    pub(super) fn is_open_to_clients(&self, seat: usize) -> bool {
        self.clients
            .as_ref()
            .is_some_and(|clients| clients.seats.contains(&seat))
    }

    /// What comes after an agent's end, in words.
    pub(super) fn what_next(&self, seat: usize, will_restart: bool) -> &'static str {
        match will_restart {
            true if self.is_open_to_clients(seat) => "a client can take the seat at any time",
            true => "it is started again",
            false => "it is not started again",
        }
    }

    /// Ends everyone; the files go, since their tokens open nothing any more.
    pub(super) async fn shutdown(self, grace: Duration) {
        let clients = async {
            if let Some(clients) = self.clients {
                clients.server.stop(grace).await;
                for file in &clients.files {
                    if let Err(error) = fs::remove_file(file) {
                        tracing::debug!(file = %file.display(), %error, "it could not be removed");
                    }
                }
            }
        };
        tokio::join!(self.processes.shutdown(grace), clients);
    }
}
