//! The thread that owns a broker: publishes that come while one batch is being committed make up the next.
//!
//! Must not know who calls. Callers wait; a caller that must not (an async runtime) uses a thread that may.

use std::sync::mpsc::{Receiver, SyncSender, sync_channel};
use std::thread::JoinHandle;
use std::time::{Duration, Instant};

use super::{Broker, BrokerError, Outcome, Publish};

/// Requests that may wait.
const QUEUE: usize = 256;
/// Most publishes in one commit.
const BATCH: usize = 64;
/// Longest time that a publish waits for others to share its commit; never more than a quarter of the last one.
const GATHER: Duration = Duration::from_millis(2);

type Call = Box<dyn FnOnce(&mut Broker, u64) + Send>;

enum Request {
    Publish(Publish, SyncSender<Result<Outcome, String>>),
    Call(Call),
}

/// Handle to the broker's thread; clones share it. The thread ends with the last handle.
#[derive(Debug, Clone)]
pub struct BrokerThread {
    requests: SyncSender<Request>,
}

impl BrokerThread {
    /// Starts the thread. Its clock counts milliseconds from here.
    ///
    /// # Errors
    /// The system gives no thread.
    pub fn start(broker: Broker) -> std::io::Result<(BrokerThread, JoinHandle<Broker>)> {
        let (requests, inbox) = sync_channel(QUEUE);
        let thread = std::thread::Builder::new()
            .name("broker".into())
            .spawn(move || serve(broker, &inbox))?;
        Ok((BrokerThread { requests }, thread))
    }

    /// Publishes, together with whoever else does so now, and waits until it is durable.
    ///
    /// # Errors
    /// The journal failed, or the thread has ended.
    pub fn publish(&self, publish: Publish) -> Result<Outcome, BrokerError> {
        let (reply, answer) = sync_channel(1);
        self.requests
            .send(Request::Publish(publish, reply))
            .map_err(|_| BrokerError::Ended)?;
        let outcome = answer.recv().map_err(|_| BrokerError::Ended)?;
        outcome.map_err(|why| BrokerError::Journal(super::JournalError(why)))
    }

    /// Does something with the broker between two batches; it waits for one commit at most. The number is the time in milliseconds.
    ///
    /// # Errors
    /// The thread has ended.
    pub fn with<T: Send + 'static>(
        &self,
        call: impl FnOnce(&mut Broker, u64) -> T + Send + 'static,
    ) -> Result<T, BrokerError> {
        let (reply, answer) = sync_channel(1);
        let call: Call = Box::new(move |broker, now_ms| {
            let _ = reply.send(call(broker, now_ms));
        });
        self.requests
            .send(Request::Call(call))
            .map_err(|_| BrokerError::Ended)?;
        answer.recv().map_err(|_| BrokerError::Ended)
    }
}

fn serve(mut broker: Broker, inbox: &Receiver<Request>) -> Broker {
    let began = Instant::now();
    let now = || u64::try_from(began.elapsed().as_millis()).unwrap_or(u64::MAX);
    let (mut publishes, mut replies) = (Vec::new(), Vec::new());
    // How many publishes the last batch had, and how long one may wait for as many again.
    let (mut expected, mut patience) = (1, Duration::ZERO);
    while let Ok(first) = inbox.recv() {
        // All that wait: calls are answered at once, publishes make up the batch. Whoever has a request here waits for
        // its answer, so that nobody can tell this order from another.
        let mut next = Some(first);
        let gather_until = Instant::now() + patience;
        while let Some(request) = next {
            match request {
                Request::Publish(publish, reply) => {
                    publishes.push(publish);
                    replies.push(reply);
                }
                Request::Call(call) => call(&mut broker, now()),
            }
            // Those of the last batch have only just been answered, and will mostly be back at once: a batch that did
            // not wait for them would have one publish, and the next all the others.
            next = match publishes.len() {
                BATCH.. => None,
                n if 0 < n && n < expected => {
                    let left = gather_until.saturating_duration_since(Instant::now());
                    inbox.recv_timeout(left).ok()
                }
                _ => inbox.try_recv().ok(),
            };
        }
        let committing = Instant::now();
        if !publishes.is_empty() {
            expected = publishes.len();
        }
        if !publishes.is_empty() {
            match broker.publish(&publishes, now()) {
                Ok(outcomes) => {
                    for (reply, outcome) in replies.drain(..).zip(outcomes) {
                        let _ = reply.send(Ok(outcome));
                    }
                }
                Err(error) => {
                    for reply in replies.drain(..) {
                        let _ = reply.send(Err(error.to_string()));
                    }
                }
            }
            publishes.clear();
            patience = (committing.elapsed() / 4).min(GATHER);
        }
    }
    broker
}
