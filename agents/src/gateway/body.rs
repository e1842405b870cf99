//! The bodies that pass through the door: requests with a limit, answers read in passing. Neither is kept.
//!
//! Must not know where they go. Who takes slowly is sent slowly: a frame is taken only when it is asked for.

use std::error::Error;
use std::pin::Pin;
use std::task::{Context, Poll, ready};
use std::time::Duration;

use bytes::Bytes;
use http_body_util::BodyExt;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::sync::oneshot;

use super::call::{Outcome, Report};
use super::count::Counter;

pub(super) type BoxError = Box<dyn Error + Send + Sync>;

/// Why a request's body came to no good end.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Broken {
    #[error("the request's body is over its limit")]
    TooLarge,
    #[error("the client left in the middle of its request")]
    ClientLeft,
}

/// What is left of a request's body that its sender no longer needs.
#[derive(Debug)]
pub(super) struct Rest {
    pub(super) body: Incoming,
    pub(super) broken: Option<Broken>,
}

/// A request's body on its way to the upstream. What is left of it comes back when it is dropped: a refused request is
/// read to its end, or else the client's system may throw the answer away.
#[derive(Debug)]
pub(super) struct Upload {
    rest: Option<Rest>,
    back: Option<oneshot::Sender<Rest>>,
    left: u64,
}

impl Upload {
    pub(super) fn new(body: Incoming, limit: u64) -> (Self, oneshot::Receiver<Rest>) {
        let (back, rest) = oneshot::channel();
        let upload = Self {
            rest: Some(Rest { body, broken: None }),
            back: Some(back),
            left: limit,
        };
        (upload, rest)
    }
}

impl Body for Upload {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        let Some(rest) = &mut this.rest else {
            return Poll::Ready(None);
        };
        let broken = match ready!(Pin::new(&mut rest.body).poll_frame(cx)) {
            None => return Poll::Ready(None),
            Some(Ok(frame)) => {
                let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
                match this.left.checked_sub(bytes) {
                    Some(left) => {
                        this.left = left;
                        return Poll::Ready(Some(Ok(frame)));
                    }
                    None => Broken::TooLarge,
                }
            }
            Some(Err(_)) => Broken::ClientLeft,
        };
        rest.broken = Some(broken);
        Poll::Ready(Some(Err(broken.into())))
    }

    fn is_end_stream(&self) -> bool {
        self.rest
            .as_ref()
            .is_none_or(|rest| rest.body.is_end_stream())
    }

    fn size_hint(&self) -> SizeHint {
        self.rest
            .as_ref()
            .map_or_else(SizeHint::new, |rest| rest.body.size_hint())
    }
}

impl Drop for Upload {
    fn drop(&mut self) {
        if let (Some(back), Some(rest)) = (self.back.take(), self.rest.take()) {
            // Nobody waits for it once the upstream has answered.
            let _ = back.send(rest);
        }
    }
}

/// Reads what is left of a refused request and throws it away, up to `limit` bytes and for `time` at most.
pub(super) async fn drain(mut body: Incoming, limit: u64, time: Duration) {
    let all = async {
        let mut left = limit;
        while let Some(Ok(frame)) = body.frame().await {
            let bytes = frame.data_ref().map_or(0, Bytes::len) as u64;
            match left.checked_sub(bytes) {
                Some(rest) => left = rest,
                None => break,
            }
        }
    };
    // Too slow or too long: the answer goes out all the same, and the connection is closed after it.
    let _ = tokio::time::timeout(time, all).await;
}

/// The upstream's answer on its way to the seat. Its report goes out when it is over or dropped.
#[derive(Debug)]
pub(super) struct Download {
    body: Incoming,
    counter: Counter,
    report: Report,
}

impl Download {
    pub(super) fn new(body: Incoming, counter: Counter, report: Report) -> Self {
        let mut download = Self {
            body,
            counter,
            report,
        };
        // An answer without a body is never asked for a frame.
        if download.body.is_end_stream() {
            download.end();
        }
        download
    }

    fn tell(&mut self) {
        self.report.usage(&self.counter.usage, self.counter.unread);
        self.report.send();
    }

    fn end(&mut self) {
        if self.report.decided() {
            return;
        }
        self.counter.end();
        if let Some(error) = &self.counter.error {
            self.report.upstream_failed(error);
        } else if self.counter.half_told() {
            self.report
                .upstream_failed("the stream ended without message_stop");
        } else {
            self.report.decide(Outcome::Complete);
        }
    }
}

impl Body for Download {
    type Data = Bytes;
    type Error = BoxError;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BoxError>>> {
        let this = &mut *self;
        match ready!(Pin::new(&mut this.body).poll_frame(cx)) {
            None => {
                this.end();
                Poll::Ready(None)
            }
            Some(Ok(frame)) => {
                if let Some(data) = frame.data_ref() {
                    this.counter.read(data);
                }
                // Told before the last piece reaches the seat: the host knows what a call has used before the seat can
                // act on it. (With a known length the server asks for no frame after the last.)
                if this.counter.finished() || this.body.is_end_stream() {
                    this.end();
                    this.tell();
                }
                Poll::Ready(Some(Ok(frame)))
            }
            Some(Err(error)) => {
                let reason = format!("the answer was cut: {}", chain(&error));
                this.report.upstream_failed(&reason);
                // An error here cuts the seat's connection as well: a half answer must not look whole.
                Poll::Ready(Some(Err(error.into())))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}

impl Drop for Download {
    fn drop(&mut self) {
        if !self.report.decided() && self.counter.finished() {
            self.end();
        }
        self.tell();
    }
}

/// An error and its causes on one line.
pub(super) fn chain(error: &dyn Error) -> String {
    let mut words = error.to_string();
    let mut cause = error.source();
    while let Some(error) = cause {
        let next = error.to_string();
        // Some wrappers repeat the words of what they wrap.
        if !words.ends_with(&next) {
            words.push_str(": ");
            words.push_str(&next);
        }
        cause = error.source();
    }
    words
}
