//! The control door's HTTP side: who asks, what is asked, and the status that goes with each answer.
//!
//! Lives on the page's port. Must not know the run: requests go to the tick loop by a channel.

use std::net::IpAddr;
use std::sync::Arc;

use axum::Router;
use axum::body::{Body, to_bytes};
use axum::extract::{Request as HttpRequest, State};
use axum::http::{HeaderMap, HeaderValue, Method, Response, StatusCode, header};
use axum::routing::any;
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::{mpsc, oneshot, watch};

use super::{Command, Refusal, Request, pass};

/// Longest body of a request, in bytes.
const BODY: usize = 64 * 1024;

/// What the door needs.
#[derive(Debug, Clone)]
pub struct Door {
    /// To the tick loop.
    pub requests: mpsc::Sender<Request>,
    /// Ends the run as Ctrl-C does.
    pub stopper: Arc<watch::Sender<bool>>,
    /// The operator's token.
    pub token: Arc<str>,
    /// The host listens to this machine alone, so other names of it are not ours.
    pub is_local: bool,
}

/// An error on its way out: status, word, sentence.
struct Failure(StatusCode, &'static str, String);

/// The routes of the door.
pub fn router(door: Door) -> Router {
    Router::new()
        .route("/control", any(serve))
        .route("/control/{*path}", any(serve))
        .with_state(door)
}

async fn serve(State(door): State<Door>, request: HttpRequest) -> Response<Body> {
    let (status, body) = match handle(&door, request).await {
        Ok((status, value)) => (status, value),
        Err(Failure(status, code, message)) => (status, json!({"error": code, "message": message})),
    };
    let mut response = Response::new(Body::from(format!("{body}\n")));
    *response.status_mut() = status;
    let headers = response.headers_mut();
    let mut put = |name, value| headers.insert(name, HeaderValue::from_static(value));
    put(header::CONTENT_TYPE, "application/json");
    put(header::CACHE_CONTROL, "no-store");
    put(header::X_CONTENT_TYPE_OPTIONS, "nosniff");
    if status == StatusCode::UNAUTHORIZED {
        put(header::WWW_AUTHENTICATE, "Bearer");
    }
    response
}

async fn handle(door: &Door, request: HttpRequest) -> Result<(StatusCode, Value), Failure> {
    allowed(door, request.headers())?;
    let path = request.uri().path().to_owned();
    let name = path.strip_prefix("/control/").unwrap_or_default();
    let wanted = match name {
        "status" => Method::GET,
        "say" | "set" | "swap" | "pause" | "resume" | "step" | "stop" => Method::POST,
        _ => {
            let message = format!(
                "there is no {path}; there are /control/status, say, set, swap, pause, resume, step and stop"
            );
            return Err(Failure(StatusCode::NOT_FOUND, "unknown-path", message));
        }
    };
    if *request.method() != wanted {
        let message = format!("{path} is asked by {wanted}");
        return Err(Failure(
            StatusCode::METHOD_NOT_ALLOWED,
            "wrong-method",
            message,
        ));
    }
    let body = to_bytes(request.into_body(), BODY).await.map_err(|_| {
        let message = format!("a body has at most {BODY} bytes");
        Failure(StatusCode::PAYLOAD_TOO_LARGE, "too-large", message)
    })?;
    let command = match name {
        "status" => Command::Status,
        "say" => Command::Say(read(&body)?),
        "set" => Command::Set(read(&body)?),
        "swap" => Command::Swap(read(&body)?),
        "step" if body.is_empty() => Command::Step(read(b"{}")?),
        "step" => Command::Step(read(&body)?),
        "pause" => Command::Pause,
        "resume" => Command::Resume,
        _ => {
            // Works too when the tick loop is waiting for something.
            let _ = door.stopper.send(true);
            return Ok((StatusCode::ACCEPTED, json!({"stopping": true})));
        }
    };
    let status = match &command {
        Command::Say(_) | Command::Set(_) | Command::Swap(_) | Command::Step(_) => {
            StatusCode::ACCEPTED
        }
        Command::Status | Command::Pause | Command::Resume => StatusCode::OK,
    };
    let over = || {
        Failure(
            StatusCode::CONFLICT,
            "conflict",
            "the run is over; its host is about to end".to_owned(),
        )
    };
    let (answer, done) = oneshot::channel();
    let request = Request { command, answer };
    door.requests.send(request).await.map_err(|_| over())?;
    match done.await.map_err(|_| over())? {
        Ok(value) => Ok((status, value)),
        Err(Refusal::Unknown(why)) => Err(Failure(StatusCode::NOT_FOUND, "unknown", why)),
        Err(Refusal::Conflict(why)) => Err(Failure(StatusCode::CONFLICT, "conflict", why)),
        Err(Refusal::Invalid(why)) => {
            Err(Failure(StatusCode::UNPROCESSABLE_ENTITY, "invalid", why))
        }
    }
}

/// Reads a body; says what is wrong with it, and where.
fn read<T: DeserializeOwned>(body: &[u8]) -> Result<T, Failure> {
    serde_json::from_slice(body).map_err(|error| {
        let message = format!("the body is not what it should be: {error}");
        Failure(StatusCode::BAD_REQUEST, "bad-body", message)
    })
}

/// Lets in who has the token, and is no page of another site.
fn allowed(door: &Door, headers: &HeaderMap) -> Result<(), Failure> {
    let text = |name| {
        let value = headers.get(name);
        value.map(|value: &HeaderValue| value.to_str().unwrap_or_default())
    };
    let host = text(header::HOST).unwrap_or_default();
    let foreign = |message: String| Err(Failure(StatusCode::FORBIDDEN, "foreign", message));
    if host.is_empty() || (door.is_local && !is_loopback(host)) {
        return foreign(format!(
            "the header Host says {host:?}, which is no name of this machine's own"
        ));
    }
    if let Some(origin) = text(header::ORIGIN)
        && origin.strip_prefix("http://") != Some(host)
    {
        return foreign(format!("a page of {origin:?} may not ask here"));
    }
    let given = text(header::AUTHORIZATION).and_then(|value| {
        let (scheme, token) = value.split_once(' ')?;
        scheme.eq_ignore_ascii_case("bearer").then(|| token.trim())
    });
    let why = match given {
        Some(given) if pass::is_token(given, &door.token) => return Ok(()),
        Some(_) => "this is not the operator's token; each host process has its own",
        None => {
            "the header Authorization is missing: Bearer and the token of control.json in the run's folder"
        }
    };
    Err(Failure(
        StatusCode::UNAUTHORIZED,
        "unauthorized",
        why.to_owned(),
    ))
}

/// Whether the authority of a Host header means this machine, seen from itself.
fn is_loopback(authority: &str) -> bool {
    let host = match authority.rsplit_once(':') {
        Some((host, port)) if port.bytes().all(|byte| byte.is_ascii_digit()) => host,
        _ => authority,
    };
    let bare = host.trim_start_matches('[').trim_end_matches(']');
    host.eq_ignore_ascii_case("localhost")
        || bare
            .parse::<IpAddr>()
            .is_ok_and(|address| address.is_loopback())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_of_this_machine_are_told_from_others() {
        for ours in [
            "127.0.0.1:7878",
            "localhost:1",
            "localhost",
            "[::1]:80",
            "127.0.0.2",
        ] {
            assert!(is_loopback(ours), "{ours}");
        }
        for other in [
            "",
            "example.org:7878",
            "10.0.0.1:7878",
            "127.0.0.1.example.org",
            "localhost.x:1",
        ] {
            assert!(!is_loopback(other), "{other}");
        }
    }
}
