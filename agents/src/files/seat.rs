//! One seat's part of the shared files: its desk, its leases, and what becomes of each request.
//!
//! Everything here may wait for the disk, the broker or the seat's keeper. Must not know who asks, or how the answer
//! travels; how it reads is for `words`.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use super::words::{self, Trouble};
use super::{Published, Terms};
use crate::broker::{
    BrokerError, BrokerThread, Lease, Outcome, Publish, Reason, Scope, State, TreePath, Unshared,
    Version,
};
use crate::protocol::{AskFiles, AskLease, AskPublish, Files, FilesWhat, FromAgent, LeaseWhat};
use crate::workspace::desk::{Desk, DeskError, Freeze, Refreshed};

/// What all seats' parts look at.
#[derive(Debug)]
pub(super) struct Clock {
    /// The tick that agents see.
    pub(super) tick: AtomicU64,
    /// Highest sequence number of a version, as far as seats have told of it.
    pub(super) newest: AtomicU64,
}

impl Clock {
    pub(super) fn tick(&self) -> u64 {
        self.tick.load(Ordering::Relaxed)
    }
}

/// One seat's part.
pub(super) struct SeatFiles {
    name: String,
    desk: Desk,
    stopper: Box<dyn Freeze + Send>,
    broker: BrokerThread,
    clock: Arc<Clock>,
    terms: Terms,
    /// Leases that the seat believes to hold: one whose time is over stays until the seat has been told.
    held: BTreeMap<u64, Scope>,
    /// Facts up to this one have been told.
    told: u64,
}

impl SeatFiles {
    pub(super) fn new(
        name: String,
        desk: Desk,
        stopper: Box<dyn Freeze + Send>,
        broker: BrokerThread,
        clock: Arc<Clock>,
        terms: Terms,
    ) -> Self {
        SeatFiles {
            name,
            desk,
            stopper,
            broker,
            clock,
            terms,
            held: BTreeMap::new(),
            told: 0,
        }
    }

    /// Answers a request.
    pub(super) fn answer(&mut self, request: &FromAgent) -> Files {
        let answer = match request {
            FromAgent::Lease(ask) => self.lease(ask),
            FromAgent::Publish(ask) => self.publish_asked(ask),
            FromAgent::Files(ask) => self.files(ask),
            _ => Err(Trouble::NoRequest),
        };
        words::answer(request.request_id(), answer)
    }

    /// Publishes all that has changed, since the seat acts.
    pub(super) fn act(&mut self) -> Published {
        match self.publish(None) {
            Ok(outcome) => {
                // What cannot be shared is told once; what was refused, each time.
                let news = outcome
                    .unshared
                    .iter()
                    .filter(|refusal| refusal.sequence > self.told);
                let told = outcome
                    .refusals
                    .iter()
                    .chain(news)
                    .map(|refusal| (refusal.reason.as_str(), words::refusal(refusal)))
                    .collect();
                let unshared = outcome.unshared.iter().map(|refusal| refusal.sequence);
                self.told = unshared.max().unwrap_or(0).max(self.told);
                Published { outcome, told }
            }
            Err(trouble) => Published {
                outcome: Outcome::default(),
                told: vec![(trouble.code(), trouble.to_string())],
            },
        }
    }

    /// Brings in what others have published, if there is anything.
    pub(super) fn catch_up(&mut self) {
        if (self.clock.newest.load(Ordering::Acquire) > self.desk.sequence()
            || self.desk.is_behind())
            && let Err(trouble) = self.refresh()
        {
            tracing::warn!(seat = self.name, "its desk was not refreshed: {trouble}");
        }
    }

    /// The seat's processes are gone: its leases end.
    pub(super) fn leave(&mut self) {
        self.held.clear();
        let (seat, tick) = (self.name.clone(), self.clock.tick());
        // A broker that has ended has no leases.
        let _ = self
            .broker
            .with(move |broker, now| broker.end_seat(&seat, tick, now));
    }

    fn publish(&mut self, only: Option<&[TreePath]>) -> Result<Outcome, Trouble> {
        let mut publish = match self.desk.collect(only, &mut *self.stopper) {
            Ok(publish) => publish,
            Err(error) => {
                self.tell_unread(&error)?;
                return Err(error.into());
            }
        };
        if publish.is_empty() {
            return Ok(Outcome::default());
        }
        publish.tokens = self.tokens(&publish);
        publish.seat = Some(self.name.clone());
        publish.tick = self.clock.tick();
        let outcome = self.broker.publish(publish)?;
        self.desk.settle(&outcome);
        if let Some(last) = outcome.versions.last() {
            self.clock.newest.fetch_max(last.sequence, Ordering::AcqRel);
        }
        if outcome.refusals.iter().any(|r| r.reason == Reason::Token) {
            // It has been told that it is late: from now on it publishes like anybody.
            self.forget_ended()?;
        }
        Ok(outcome)
    }

    /// A desk that cannot be read as a whole is a refusal of everything: a fact like any other.
    fn tell_unread(&self, error: &DeskError) -> Result<(), BrokerError> {
        // Not the error's own words: they say where on this machine the desk lies.
        let (reason, why) = match error {
            DeskError::TooMany { entries, .. } => {
                let why = format!("the desk holds more than {entries} files and folders");
                (Reason::Limit, why)
            }
            DeskError::Slow { limit, .. } => {
                let why = format!("the desk was not read within {limit:?}");
                (Reason::Limit, why)
            }
            DeskError::Gone { .. } => (Reason::Unreadable, "the desk is gone".to_owned()),
            DeskError::System { .. } | DeskError::Freeze(_) => {
                (Reason::Unreadable, "the desk cannot be read".to_owned())
            }
        };
        let path = Scope::Tree.to_string();
        let unread = Publish {
            seat: Some(self.name.clone()),
            tick: self.clock.tick(),
            unshared: vec![Unshared { path, reason, why }],
            ..Publish::default()
        };
        self.broker.publish(unread).map(drop)
    }

    /// The tokens of leases that cover what is published, also of those whose time may be over: only so does a late holder
    /// learn that it is late.
    fn tokens(&self, publish: &Publish) -> Vec<u64> {
        let covers = |scope: &Scope| publish.changes.iter().any(|c| scope.covers(&c.path));
        let held = self.held.iter().filter(|(_, scope)| covers(scope));
        held.map(|(token, _)| *token).collect()
    }

    fn forget_ended(&mut self) -> Result<(), Trouble> {
        let alive = self.leases()?;
        self.held
            .retain(|token, _| alive.iter().any(|(lease, _)| lease.token == *token));
        Ok(())
    }

    /// All leases, and how long each still holds.
    fn leases(&self) -> Result<Vec<(Lease, u64)>, BrokerError> {
        let tick = self.clock.tick();
        self.broker.with(move |broker, now| {
            broker.expire(tick, now);
            let leases = broker.leases();
            let left = |lease: &Lease| (lease.clone(), leases.left_ms(lease));
            leases.list().map(left).collect()
        })
    }

    fn refresh(&mut self) -> Result<Refreshed, Trouble> {
        let since = self.desk.sequence();
        let (changed, sequence) = self.broker.with(move |broker, _| {
            let changed: Vec<Version> = broker.index().changed_since(since).cloned().collect();
            (changed, broker.sequence())
        })?;
        let broker = &self.broker;
        let present = || {
            let present =
                |broker: &mut crate::broker::Broker, _| broker.index().present().cloned().collect();
            // A broker that has ended has nothing to show.
            broker.with(present).unwrap_or_default()
        };
        Ok(self
            .desk
            .refresh(&changed, present, sequence, &mut *self.stopper)?)
    }

    fn lease(&mut self, ask: &AskLease) -> Result<words::Good, Trouble> {
        let scope = self.scope(&ask.path)?;
        let ttl_ms = ask.ttl_ms.unwrap_or(self.terms.lease_ms);
        if ttl_ms == 0 || ttl_ms > self.terms.lease_ms {
            return Err(Trouble::TooLong {
                ttl_ms,
                most: self.terms.lease_ms,
            });
        }
        let (seat, tick) = (self.name.clone(), self.clock.tick());
        let own = self
            .held
            .iter()
            .find(|(_, held)| **held == scope)
            .map(|(token, _)| *token);
        match ask.what {
            LeaseWhat::Take => {
                let (wanted, again_ms) = (scope.clone(), ask.again_ms.unwrap_or(0));
                let lease = self.broker.with(move |broker, now| {
                    broker.grant_or_wait(wanted, &seat, ttl_ms, again_ms, tick, now)
                })??;
                self.held.insert(lease.token, scope);
                // Whoever takes a lease wants to work on what stands there now.
                let refreshed = self.refresh()?;
                Ok(words::leased(&lease, ttl_ms, &refreshed))
            }
            LeaseWhat::Renew => {
                let token = own.ok_or_else(|| self.holds_not(&scope))?;
                let lease = self
                    .broker
                    .with(move |broker, now| broker.renew(token, &seat, ttl_ms, tick, now))?;
                if lease.is_err() {
                    self.held.remove(&token);
                }
                Ok(words::leased(&lease?, ttl_ms, &Refreshed::default()))
            }
            LeaseWhat::Release => {
                let token = own.ok_or_else(|| self.holds_not(&scope))?;
                self.held.remove(&token);
                let lease = self
                    .broker
                    .with(move |broker, now| broker.release(token, &seat, tick, now))??;
                Ok(words::released(&lease))
            }
        }
    }

    fn holds_not(&self, scope: &Scope) -> Trouble {
        Trouble::HoldsNot {
            scope: scope.clone(),
            held: self.held.values().cloned().collect(),
        }
    }

    fn publish_asked(&mut self, ask: &AskPublish) -> Result<words::Good, Trouble> {
        let only = ask
            .paths
            .iter()
            .map(|path| self.path(path))
            .collect::<Result<Vec<_>, _>>()?;
        let outcome = self.publish((!only.is_empty()).then_some(&only[..]))?;
        if !outcome.is_published() {
            return Err(Trouble::Refused(outcome));
        }
        Ok(words::published(&outcome))
    }

    fn files(&mut self, ask: &AskFiles) -> Result<words::Good, Trouble> {
        let path = || match &ask.path {
            Some(path) => self.path(path),
            None => Err(Trouble::NoPath),
        };
        match ask.what {
            FilesWhat::Status => {
                let changed = self.desk.look()?;
                let behind: Vec<Version> = self.desk.behind().cloned().collect();
                Ok(words::status(
                    &self.name,
                    self.terms.publish,
                    &changed,
                    &behind,
                    &self.leases()?,
                ))
            }
            FilesWhat::Leases => Ok(words::leases(&self.name, &self.leases()?)),
            FilesWhat::Log => {
                let path = path()?;
                let versions = self.log(&path)?;
                match versions.is_empty() {
                    true => Err(Trouble::NoVersion { path, known: 0 }),
                    false => Ok(words::log(&path, &versions)),
                }
            }
            FilesWhat::Show => {
                let path = path()?;
                let version = self.version(path, ask.version)?;
                let content = match version.state {
                    State::File { hash, .. } => self
                        .broker
                        .with(move |broker, _| broker.content(&hash))?
                        .map_err(BrokerError::from)?,
                    State::Absent | State::Dir => None,
                };
                Ok(words::show(&version, content))
            }
            FilesWhat::Refresh => Ok(words::refreshed(&self.refresh()?)),
            FilesWhat::Take => {
                let version = self.version(path()?, None)?;
                match self.desk.take(&version, &mut *self.stopper)? {
                    true => Ok(words::taken(&version)),
                    false => Err(Trouble::InTheWay(version.path)),
                }
            }
            FilesWhat::Resolve => {
                // The version that it has looked at: a newer one may stand there by now, which it has not seen.
                let (path, number) = (path()?, ask.version.ok_or(Trouble::NoNumber)?);
                let version = self.version(path, Some(number))?;
                self.desk.resolve(&version);
                Ok(words::resolved(&version))
            }
        }
    }

    fn log(&self, path: &TreePath) -> Result<Vec<Version>, Trouble> {
        let path = path.clone();
        let log = self.broker.with(move |broker, _| broker.log(&path))?;
        Ok(log.map_err(BrokerError::from)?)
    }

    /// A version of a path by its number, or the newest, be it absent.
    fn version(&self, path: TreePath, number: Option<u64>) -> Result<Version, Trouble> {
        let versions = self.log(&path)?;
        let known = versions.last().map_or(0, |version| version.number);
        let number = number.unwrap_or(known);
        let found = versions.into_iter().find(|v| v.number == number);
        found.ok_or(Trouble::NoVersion { path, known })
    }

    /// A path as agents write it: relative to the tree, or to the working folder (`shared/...`).
    fn path(&self, text: &str) -> Result<TreePath, Trouble> {
        let bare = text.trim_start_matches("./");
        let bare = match bare.strip_prefix("shared/") {
            Some(below) if !self.has_shared()? => below,
            _ => bare,
        };
        TreePath::new(bare.trim_end_matches('/')).map_err(|error| Trouble::Path {
            text: text.to_owned(),
            error,
        })
    }

    /// Whether the tree itself has a folder of the desk's name.
    fn has_shared(&self) -> Result<bool, BrokerError> {
        let Ok(path) = TreePath::new(crate::broker::tree::SHARED) else {
            return Ok(false);
        };
        self.broker
            .with(move |broker, _| broker.index().state(&path) != State::Absent)
    }

    /// What a lease is to cover: a folder is taken with all that is in it.
    fn scope(&self, text: &str) -> Result<Scope, Trouble> {
        if matches!(
            text.trim_start_matches("./"),
            "**" | "shared/**" | "shared" | "shared/"
        ) {
            return Ok(Scope::Tree);
        }
        if let Some(folder) = text.strip_suffix("/**") {
            return self.path(folder).map(Scope::Subtree);
        }
        let path = self.path(text)?;
        let asked = path.clone();
        let is_folder = self
            .broker
            .with(move |broker, _| broker.index().state(&asked) == State::Dir)?;
        Ok(match is_folder || text.ends_with('/') {
            true => Scope::Subtree(path),
            false => Scope::Path(path),
        })
    }
}

impl From<DeskError> for Trouble {
    fn from(error: DeskError) -> Self {
        Trouble::Desk(error)
    }
}

impl From<BrokerError> for Trouble {
    fn from(error: BrokerError) -> Self {
        match error {
            BrokerError::Lease(error) => Trouble::Lease(error),
            other => Trouble::Broker(other),
        }
    }
}
