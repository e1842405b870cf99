//! The sessions of one seat's clients: their names, and whether they are still there.
//!
//! Must not know which of them plays, or any clock: whether a client is gone for good is asked later, by whoever has one
//! ([`Doubt`]).

use std::sync::Arc;

use tokio::sync::mpsc::Sender;

/// A client that may be gone: all its connections were cut. Ask again in a while.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Doubt {
    session: u64,
    visits: u64,
}

impl Doubt {
    /// The session that is doubted.
    pub(super) fn session(self) -> u64 {
        self.session
    }
}

#[derive(Debug)]
struct Session {
    number: u64,
    /// Its name on the wire, once it has one.
    id: Option<Arc<str>>,
    client: String,
    /// Requests under way.
    open: usize,
    /// Requests so far: a doubt is over when there was another.
    visits: u64,
    notices: Sender<String>,
}

/// The sessions of one seat.
#[derive(Debug, Default)]
pub(super) struct Sessions {
    list: Vec<Session>,
    last: u64,
}

impl Sessions {
    /// A new session, by its number.
    pub(super) fn add(&mut self, client: String, notices: Sender<String>) -> u64 {
        self.last += 1;
        self.list.push(Session {
            number: self.last,
            id: None,
            client,
            open: 0,
            visits: 0,
            notices,
        });
        self.last
    }

    /// Drops all but one; the wire's names of the others.
    pub(super) fn keep(&mut self, number: Option<u64>) -> Vec<Arc<str>> {
        let list = std::mem::take(&mut self.list);
        let (stay, go): (Vec<_>, Vec<_>) = list
            .into_iter()
            .partition(|session| Some(session.number) == number);
        self.list = stay;
        go.into_iter().filter_map(|session| session.id).collect()
    }

    /// Drops one.
    pub(super) fn remove(&mut self, number: u64) {
        self.list.retain(|session| session.number != number);
    }

    fn get(&mut self, number: u64) -> Option<&mut Session> {
        self.list
            .iter_mut()
            .find(|session| session.number == number)
    }

    /// What its client calls itself.
    pub(super) fn client(&self, number: u64) -> Option<&str> {
        self.list
            .iter()
            .find(|session| session.number == number)
            .map(|session| session.client.as_str())
    }

    /// Sets the wire's name of a session.
    pub(super) fn name(&mut self, number: u64, id: &str) {
        if let Some(session) = self.get(number) {
            session.id = Some(id.into());
        }
    }

    /// The number of the session with that name.
    pub(super) fn find(&self, id: &str) -> Option<u64> {
        self.list
            .iter()
            .find(|session| session.id.as_deref() == Some(id))
            .map(|session| session.number)
    }

    /// A request begins.
    pub(super) fn opened(&mut self, number: u64) {
        if let Some(session) = self.get(number) {
            session.open += 1;
            session.visits += 1;
        }
    }

    /// A request is over; `cut` if the client did not take the whole answer.
    pub(super) fn closed(&mut self, number: u64, cut: bool) -> Option<Doubt> {
        let session = self.get(number)?;
        session.open = session.open.saturating_sub(1);
        (cut && session.open == 0).then_some(Doubt {
            session: number,
            visits: session.visits,
        })
    }

    /// Time has passed since a doubt: whether the client has not come back.
    pub(super) fn is_gone(&mut self, doubt: Doubt) -> bool {
        self.get(doubt.session)
            .is_some_and(|session| session.open == 0 && session.visits == doubt.visits)
    }

    /// Words for one client, or for all.
    pub(super) fn notify(&self, number: Option<u64>, words: &str) {
        for session in &self.list {
            if number.is_none_or(|number| number == session.number) {
                // A client that does not listen is told when it calls.
                let _ = session.notices.try_send(words.to_owned());
            }
        }
    }
}
