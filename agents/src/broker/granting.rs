//! Leases at the broker: each grant, renewal and end becomes a fact that rides along with the next commit.
//!
//! Must not know publishes. Nothing here waits for the disk, but for a new block of tokens now and then.

use super::{
    Batch, Broker, BrokerError, Fact, Lease, LeaseChange, LeaseEnd, LeaseError, LeaseFact, Reason,
    Refusal, Scope,
};

impl Broker {
    fn lease_fact(&mut self, tick: u64, lease: &Lease, change: LeaseChange) {
        let sequence = self.next_sequence();
        let fact = LeaseFact::new(sequence, tick, lease, change);
        self.pending.push(Fact::Lease(fact));
    }

    /// Ends leases whose time is over, and returns them.
    pub fn expire(&mut self, tick: u64, now_ms: u64) -> Vec<Lease> {
        self.waits.expire(now_ms);
        let ended = self.leases.expire(now_ms);
        for lease in &ended {
            let how = LeaseEnd::Expired;
            self.lease_fact(tick, lease, LeaseChange::Ended { how });
        }
        ended
    }

    /// Grants a lease; waits for no disk. Its fact is durable with the next commit, before any publish under it.
    ///
    /// # Errors
    /// Another holds something in the scope; a limit; the journal has failed.
    pub fn grant(
        &mut self,
        scope: Scope,
        seat: &str,
        ttl_ms: u64,
        tick: u64,
        now_ms: u64,
    ) -> Result<Lease, BrokerError> {
        self.grant_or_wait(scope, seat, ttl_ms, 0, tick, now_ms)
    }

    /// The same for a seat that will ask again within `again_ms` while another holds it: until then it is known to wait,
    /// and is not refused anew each time.
    ///
    /// # Errors
    /// See [`Broker::grant`].
    pub fn grant_or_wait(
        &mut self,
        scope: Scope,
        seat: &str,
        ttl_ms: u64,
        again_ms: u64,
        tick: u64,
        now_ms: u64,
    ) -> Result<Lease, BrokerError> {
        self.usable()?;
        self.expire(tick, now_ms);
        if self.leases.next_token() >= self.tokens_below {
            self.commit(Batch::default())?;
        }
        let text = scope.to_string();
        let known = self.leases.next_token();
        match self.leases.grant(scope.clone(), seat, ttl_ms) {
            Ok(lease) => {
                self.waits.granted(seat, &scope);
                let change = match lease.token < known {
                    true => LeaseChange::Renewed { ttl_ms },
                    false => LeaseChange::Granted { ttl_ms },
                };
                self.lease_fact(tick, &lease, change);
                Ok(lease)
            }
            Err(error) => {
                if let LeaseError::Held { held, .. } = &error
                    && !self.waits.refused(seat, &scope, tick, again_ms, now_ms)
                {
                    let sequence = self.next_sequence();
                    self.pending.push(Fact::Refusal(Refusal {
                        sequence,
                        path: text,
                        seat: Some(seat.to_owned()),
                        tick,
                        reason: Reason::Leased,
                        why: error.to_string(),
                        wanted: None,
                        base: None,
                        current: None,
                        holder: Some(held.seat.clone()),
                    }));
                }
                Err(error.into())
            }
        }
    }

    /// Puts the end of a lease off.
    ///
    /// # Errors
    /// It ended or is another's; the journal has failed.
    pub fn renew(
        &mut self,
        token: u64,
        seat: &str,
        ttl_ms: u64,
        tick: u64,
        now_ms: u64,
    ) -> Result<Lease, BrokerError> {
        self.usable()?;
        self.expire(tick, now_ms);
        let lease = self.leases.renew(token, seat, ttl_ms)?;
        self.lease_fact(tick, &lease, LeaseChange::Renewed { ttl_ms });
        Ok(lease)
    }

    /// Ends a lease at its holder's wish.
    ///
    /// # Errors
    /// It ended or is another's; the journal has failed.
    pub fn release(
        &mut self,
        token: u64,
        seat: &str,
        tick: u64,
        now_ms: u64,
    ) -> Result<Lease, BrokerError> {
        self.usable()?;
        self.expire(tick, now_ms);
        let lease = self.leases.release(token, seat)?;
        let how = LeaseEnd::Released;
        self.lease_fact(tick, &lease, LeaseChange::Ended { how });
        Ok(lease)
    }

    /// Ends all leases of a seat whose process is gone.
    pub fn end_seat(&mut self, seat: &str, tick: u64, now_ms: u64) -> Vec<Lease> {
        self.expire(tick, now_ms);
        self.waits.end_seat(seat);
        let ended = self.leases.end_seat(seat);
        for lease in &ended {
            let how = LeaseEnd::HolderGone;
            self.lease_fact(tick, lease, LeaseChange::Ended { how });
        }
        ended
    }
}
