//! The host's HTTP side: the page, its assets and the upgrade to the feed.

use std::net::{IpAddr, SocketAddr};
use std::sync::Arc;

use axum::Router;
use axum::body::Body;
use axum::extract::{Path, Request, State};
use axum::http::{HeaderMap, HeaderValue, Response, StatusCode, header};
use axum::routing::get;
use tokio::net::TcpListener;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;

use super::client;
use super::hub::Hub;
use super::wire::PROTOCOL;
use crate::page;

/// Ports tried after the wanted one.
const PORTS: u16 = 100;

#[derive(Clone)]
struct Shared {
    hub: Arc<Hub>,
    token: Arc<str>,
}

/// Binds the wanted port, or the next free one after it; port 0 takes any.
pub async fn bind(address: IpAddr, port: u16) -> std::io::Result<TcpListener> {
    let mut result = TcpListener::bind(SocketAddr::new(address, port)).await;
    for next in (1..=PORTS).map_while(|n| port.checked_add(n)) {
        match &result {
            Err(error) if error.kind() == std::io::ErrorKind::AddrInUse => {
                result = TcpListener::bind(SocketAddr::new(address, next)).await;
            }
            _ => break,
        }
    }
    result
}

/// Serves until the task is dropped; `more`: routes of others on the same port.
pub async fn serve(listener: TcpListener, hub: Arc<Hub>, token: Arc<str>, more: Router) {
    let router = Router::new()
        .route("/", get(|| async { asset("index.html") }))
        .route("/feed", get(feed))
        .route("/health", get(health))
        .route(
            "/{*path}",
            get(|Path(path): Path<String>| async move { asset(&path) }),
        )
        .with_state(Shared { hub, token })
        .merge(more);
    if let Err(error) = axum::serve(listener, router).await {
        tracing::error!(%error, "the page is no longer served; the run goes on");
    }
}

fn asset(path: &str) -> Response<Body> {
    let Some((body, kind)) = page::file(path) else {
        return plain(
            StatusCode::NOT_FOUND,
            "there is no such page here; the glass is at /",
        );
    };
    let mut response = Response::new(Body::from(body));
    let headers = response.headers_mut();
    headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(kind));
    // Page and feed must be of one host: assets carry a hash in their name, the page is always asked for.
    let cache = if path == "index.html" {
        "no-store"
    } else {
        "max-age=31536000, immutable"
    };
    headers.insert(header::CACHE_CONTROL, HeaderValue::from_static(cache));
    headers.insert(
        header::X_CONTENT_TYPE_OPTIONS,
        HeaderValue::from_static("nosniff"),
    );
    headers.insert(
        header::REFERRER_POLICY,
        HeaderValue::from_static("no-referrer"),
    );
    response
}

async fn health(State(shared): State<Shared>) -> Response<Body> {
    let (tick, _) = shared.hub.head();
    let body = serde_json::json!({"ok": true, "tick": tick, "spectators": shared.hub.clients()});
    let mut response = Response::new(Body::from(body.to_string()));
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("application/json"),
    );
    response
}

/// Answers the WebSocket handshake (RFC 6455, section 4.2) and hands the connection to a client task.
async fn feed(State(shared): State<Shared>, request: Request) -> Response<Body> {
    let headers = request.headers();
    if !has(headers, header::UPGRADE, "websocket") || !has(headers, header::CONNECTION, "upgrade") {
        return plain(
            StatusCode::UPGRADE_REQUIRED,
            "this address speaks WebSocket; see docs/feed-protocol.md",
        );
    }
    if !has(headers, header::SEC_WEBSOCKET_VERSION, "13") {
        return plain(StatusCode::BAD_REQUEST, "WebSocket version 13 is needed");
    }
    if !has(headers, header::SEC_WEBSOCKET_PROTOCOL, PROTOCOL) {
        return plain(
            StatusCode::BAD_REQUEST,
            "ask for the subprotocol formicarium.observe.v1",
        );
    }
    let Some(key) = headers.get(header::SEC_WEBSOCKET_KEY) else {
        return plain(StatusCode::BAD_REQUEST, "Sec-WebSocket-Key is missing");
    };
    let accept = derive_accept_key(key.as_bytes());
    let upgrade = hyper::upgrade::on(request);
    tokio::spawn(async move {
        if let Ok(upgraded) = upgrade.await {
            client::serve(upgraded, shared.hub, shared.token).await;
        }
    });
    let mut response = Response::new(Body::empty());
    *response.status_mut() = StatusCode::SWITCHING_PROTOCOLS;
    let headers = response.headers_mut();
    headers.insert(header::UPGRADE, HeaderValue::from_static("websocket"));
    headers.insert(header::CONNECTION, HeaderValue::from_static("Upgrade"));
    headers.insert(
        header::SEC_WEBSOCKET_PROTOCOL,
        HeaderValue::from_static(PROTOCOL),
    );
    headers.insert(
        header::SEC_WEBSOCKET_ACCEPT,
        HeaderValue::from_str(&accept).expect("base64 is ASCII"),
    );
    response
}

/// True if one of the comma-separated values of a header is `word`, letter case aside.
fn has(headers: &HeaderMap, name: header::HeaderName, word: &str) -> bool {
    headers
        .get_all(name)
        .iter()
        .filter_map(|value| value.to_str().ok())
        .flat_map(|value| value.split(','))
        .any(|value| value.trim().eq_ignore_ascii_case(word))
}

fn plain(status: StatusCode, words: &'static str) -> Response<Body> {
    let mut response = Response::new(Body::from(words));
    *response.status_mut() = status;
    response.headers_mut().insert(
        header::CONTENT_TYPE,
        HeaderValue::from_static("text/plain; charset=utf-8"),
    );
    response
}
