//! One request at the door: who asks, may it pass, and the two streams through it.
//!
//! Must not know sockets, or who reads the reports.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::{Body, Incoming};
use hyper::header::{AUTHORIZATION, HeaderMap, HeaderValue};
use hyper::{Method, Request, Response, StatusCode, Version};
use tokio::sync::Semaphore;

use super::body::{Broken, Download, Upload, chain, drain};
use super::call::{Desk, Outcome, Report};
use super::count::Counter;
use super::refusal::Refusal;
use super::secret::Secret;
use super::upstream::{Upstream, UpstreamClient, X_API_KEY, strip_connection, strip_request};

/// Every limit of the door.
#[derive(Debug, Clone)]
pub(super) struct Limits {
    /// Bytes of a request's body.
    pub(super) body: u64,
    /// Requests of one seat at a time.
    pub(super) concurrent: usize,
    /// Connections of all seats at a time; further ones wait to be accepted.
    pub(super) connections: usize,
    /// Bytes of the reading copy of one event or JSON answer.
    pub(super) reading: usize,
    /// Time to a connection to the upstream.
    pub(super) connect: Duration,
    /// Time to a request's head, the time between two requests of a connection included.
    pub(super) head: Duration,
    /// Time for which a refused request's body is read on.
    pub(super) drain: Duration,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            body: 64 << 20,
            concurrent: 32,
            connections: 1024,
            reading: 1 << 20,
            connect: Duration::from_secs(10),
            head: Duration::from_secs(120),
            drain: Duration::from_secs(5),
        }
    }
}

/// One seat at the door.
#[derive(Debug)]
pub(super) struct Seat {
    pub(super) index: usize,
    pub(super) token: Secret,
    pub(super) places: Arc<Semaphore>,
    /// Nothing of it passes.
    pub(super) barred: Arc<AtomicBool>,
}

/// What all requests share.
#[derive(Debug)]
pub(super) struct Door {
    pub(super) upstream: Upstream,
    pub(super) client: UpstreamClient,
    /// The real key as a header, marked as sensitive.
    pub(super) key: Option<HeaderValue>,
    pub(super) seats: Vec<Seat>,
    pub(super) desk: Arc<Desk>,
    pub(super) limits: Limits,
}

/// The door's own words, or the upstream's stream.
pub(super) type Answer = Either<Full<Bytes>, Download>;

impl Door {
    /// Answers one request.
    pub(super) async fn answer(&self, request: Request<Incoming>) -> Response<Answer> {
        let path = request.uri().path();
        if path == "/" && matches!(*request.method(), Method::HEAD | Method::GET) {
            return Response::new(Either::Left(Full::default()));
        }
        let Some(seat) = self.seat(request.headers()) else {
            let refusal = Refusal::new(
                StatusCode::UNAUTHORIZED,
                "this address opens for a seat of the run only: send the token that the seat was given as its API key, in \
                 the header x-api-key or as authorization: Bearer",
            );
            return self.refuse(refusal, request.into_body()).await;
        };
        let mut report = Report::new(self.desk.clone(), seat.index, path);
        match self.admit(seat, &request, &mut report) {
            Ok(()) => self.forward(request, report).await,
            Err(refusal) => {
                report.status(refusal.status.as_u16());
                report.decide(Outcome::Refused);
                self.refuse(refusal, request.into_body()).await
            }
        }
    }

    /// The seat whose token the request carries. All tokens are compared, so that the time tells none apart.
    fn seat(&self, headers: &HeaderMap) -> Option<&Seat> {
        let keys = headers.get_all(X_API_KEY).iter().map(HeaderValue::as_bytes);
        let bearers = headers.get_all(AUTHORIZATION).iter().filter_map(|value| {
            let (scheme, token) = value.as_bytes().split_at_checked(7)?;
            scheme
                .eq_ignore_ascii_case(b"bearer ")
                .then(|| token.trim_ascii())
        });
        let mut found = None;
        for token in keys.chain(bearers) {
            for seat in &self.seats {
                if seat.token.is(token) {
                    found = Some(seat);
                }
            }
        }
        found
    }

    fn admit(
        &self,
        seat: &Seat,
        request: &Request<Incoming>,
        report: &mut Report,
    ) -> Result<(), Refusal> {
        if !opens(request.uri().path()) {
            return Err(Refusal::new(
                StatusCode::NOT_FOUND,
                "only paths under /v1/ pass here, and none with `.` or `..` in it; use this address as the base URL of the \
                 Messages API",
            ));
        }
        if seat.barred.load(Ordering::Relaxed) {
            return Err(Refusal::new(
                StatusCode::SERVICE_UNAVAILABLE,
                "the seat is cut off from its model for a while; try again later",
            ));
        }
        let body = request.body().size_hint();
        if body.exact().is_some_and(|bytes| bytes > self.limits.body) {
            return Err(self.too_large());
        }
        match seat.places.clone().try_acquire_owned() {
            Ok(place) => report.take_place(place),
            Err(_) => {
                return Err(Refusal::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    format!(
                        "this seat has {} requests under way, as many as it may; wait for one to end and try again",
                        self.limits.concurrent
                    ),
                ));
            }
        }
        Ok(())
    }

    fn too_large(&self) -> Refusal {
        Refusal::new(
            StatusCode::PAYLOAD_TOO_LARGE,
            format!(
                "the request's body is over {} bytes, the most that passes here; send less",
                self.limits.body
            ),
        )
    }

    async fn refuse(&self, refusal: Refusal, body: Incoming) -> Response<Answer> {
        // A body that says at once that it is too long is not worth reading.
        if body.size_hint().lower() <= self.limits.body {
            drain(body, self.limits.body, self.limits.drain).await;
        }
        refusal.response().map(Either::Left)
    }

    async fn forward(&self, request: Request<Incoming>, mut report: Report) -> Response<Answer> {
        let (mut head, body) = request.into_parts();
        let method = head.method.clone();
        let path = head.uri.path().to_owned();
        let path_and_query = head.uri.path_and_query().map_or("/", |path| path.as_str());
        let uri = match self.upstream.join(path_and_query) {
            Ok(uri) => uri,
            Err(error) => {
                let refusal = Refusal::new(
                    StatusCode::BAD_REQUEST,
                    format!("the path cannot be passed on ({error}); shorten it"),
                );
                report.status(refusal.status.as_u16());
                report.decide(Outcome::Refused);
                return self.refuse(refusal, body).await;
            }
        };
        head.uri = uri;
        head.version = Version::HTTP_11;
        head.extensions.clear();
        strip_request(&mut head.headers);
        if let Some(key) = &self.key {
            head.headers.insert(X_API_KEY, key.clone());
        }
        let (upload, rest) = Upload::new(body, self.limits.body);
        match self.client.request(Request::from_parts(head, upload)).await {
            Ok(response) => self.pass(response, &method, &path, report),
            Err(error) => {
                let rest = tokio::time::timeout(self.limits.drain, rest).await;
                let rest = rest.ok().and_then(Result::ok);
                let refusal = match rest.as_ref().and_then(|rest| rest.broken) {
                    Some(Broken::TooLarge) => {
                        report.decide(Outcome::Refused);
                        self.too_large()
                    }
                    Some(Broken::ClientLeft) => {
                        report.decide(Outcome::ClientLeft);
                        // Nobody is there to read it, and the report names no status.
                        return self
                            .unreachable("the request broke off")
                            .response()
                            .map(Either::Left);
                    }
                    None => {
                        let reason = chain(&error);
                        report.upstream_failed(&reason);
                        self.unreachable(&reason)
                    }
                };
                report.status(refusal.status.as_u16());
                match rest {
                    Some(rest) if rest.broken.is_none() => self.refuse(refusal, rest.body).await,
                    _ => refusal.response().map(Either::Left),
                }
            }
        }
    }

    fn pass(
        &self,
        response: Response<Incoming>,
        method: &Method,
        path: &str,
        mut report: Report,
    ) -> Response<Answer> {
        let (mut head, body) = response.into_parts();
        if head.status == StatusCode::SWITCHING_PROTOCOLS {
            let reason = "it wants another protocol than HTTP";
            let refusal = self.unreachable(reason);
            report.upstream_failed(reason);
            report.status(refusal.status.as_u16());
            return refusal.response().map(Either::Left);
        }
        head.version = Version::HTTP_11;
        head.extensions.clear();
        strip_connection(&mut head.headers);
        report.status(head.status.as_u16());
        let counter = Counter::new(
            method,
            path,
            head.status,
            &head.headers,
            self.limits.reading,
        );
        Response::from_parts(head, Either::Right(Download::new(body, counter, report)))
    }

    fn unreachable(&self, reason: &str) -> Refusal {
        let message = format!(
            "the model's upstream {} did not answer: {reason}; it may be down, or the host's upstream address wrong",
            self.upstream
        );
        let message = match &self.desk.key {
            Some(key) => key.scrub(&message),
            None => message,
        };
        Refusal::new(StatusCode::BAD_GATEWAY, message)
    }
}

/// Whether a path passes. The upstream may resolve `..`, encoded or not, and the host's key must not open more than a
/// seat is meant to reach.
pub(super) fn opens(path: &str) -> bool {
    let plain = path
        .to_ascii_lowercase()
        .replace("%2e", ".")
        .replace("%2f", "/")
        .replace("%5c", "/")
        .replace('\\', "/");
    let dots = |part: &str| matches!(part.split(';').next(), Some("." | ".."));
    path.starts_with("/v1/") && !plain.split('/').any(dots)
}
