//! What one account uses, and its limits. An account is the owner of a key, or the clients of an
//! address where there are no keys.
//!
//! Connections and requests are counted while they last, by guards. Tokens and seconds of
//! computing are known when a request ends and are added then, so the request that exceeds a
//! budget is answered in full and the next one waits (ADR-0039).

use std::num::{NonZeroU32, NonZeroU64};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{AccountId, AccountLimits, Delivery, Failure, Outcome, Usage};

use crate::server::listing::RequestRecord;

use super::limit::{Limit, RateLimited};
use super::meter::Meter;

/// The use and the limits of one account.
#[derive(Debug)]
pub(in crate::server) struct ClientAccount {
    id: AccountId,
    state: Mutex<AccountState>,
}

#[derive(Debug)]
struct AccountState {
    limits: AccountLimits,
    connections: u64,
    requests: u64,
    waiting: u64,
    bytes: u64,
    tokens: Meter,
    computing: Meter,
    counts: AccountCounts,
}

/// What was counted for an account since its start.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::server) struct AccountCounts {
    /// Accepted requests.
    pub(in crate::server) requests: u64,
    /// Computed prompt tokens and generated tokens.
    pub(in crate::server) tokens: u64,
    pub(in crate::server) computing: Duration,
    /// Refusals by limit.
    pub(in crate::server) refused: [(&'static str, u64); Limit::ALL.len()],
}

impl ClientAccount {
    pub(super) fn new(id: AccountId, limits: AccountLimits) -> Arc<Self> {
        let now = Instant::now();
        let state = AccountState {
            limits,
            connections: 0,
            requests: 0,
            waiting: 0,
            bytes: 0,
            tokens: Meter::new(now),
            computing: Meter::new(now),
            counts: AccountCounts {
                requests: 0,
                tokens: 0,
                computing: Duration::ZERO,
                refused: Limit::ALL.map(|limit| (limit.name(), 0)),
            },
        };
        Arc::new(Self { id, state: Mutex::new(state) })
    }

    /// Identifies the account for the engine.
    pub(super) fn id(&self) -> AccountId {
        self.id
    }

    /// Replaces the limits. What is used stays.
    pub(super) fn set_limits(&self, limits: AccountLimits) {
        self.lock().limits = limits;
    }

    /// Counts a connection until the guard is dropped.
    ///
    /// # Errors
    /// [`RateLimited`], if the account has its most connections.
    pub(super) fn connect(self: &Arc<Self>) -> Result<AccountConnection, RateLimited> {
        let mut state = self.lock();
        if let Some(max) = reached(state.limits.connections, state.connections) {
            return Err(state.refusal(Limit::Connections, max, SOON));
        }
        state.connections += 1;
        Ok(AccountConnection(self.clone()))
    }

    /// Counts a request that came in a message of `n_bytes`, until the guard is dropped.
    ///
    /// # Errors
    /// [`RateLimited`], if a limit is reached.
    pub(super) fn admit(
        self: &Arc<Self>,
        n_bytes: usize,
        now: Instant,
    ) -> Result<AccountRequest, RateLimited> {
        let n_bytes = n_bytes as u64;
        let mut state = self.lock();
        let limits = state.limits;
        if let Some(max) = reached(limits.requests, state.requests) {
            return Err(state.refusal(Limit::Requests, max, SOON));
        }
        if let Some(max) = reached(limits.waiting, state.waiting) {
            return Err(state.refusal(Limit::Waiting, max, SOON));
        }
        let max_bytes = limits.bytes.map(NonZeroU64::get);
        if let Some(max) = max_bytes.filter(|&max| state.bytes + n_bytes > max) {
            return Err(state.refusal(Limit::Bytes, max, SOON));
        }
        let per_minute = limits.tokens_per_minute.map(f64_of);
        if let Some(wait) = state.tokens.wait(per_minute, now) {
            let max = limits.tokens_per_minute.map_or(0, u64_of);
            return Err(state.refusal(Limit::Tokens, max, wait));
        }
        let per_minute = limits.compute_seconds_per_minute.map(f64_of);
        if let Some(wait) = state.computing.wait(per_minute, now) {
            let max = limits.compute_seconds_per_minute.map_or(0, u64_of);
            return Err(state.refusal(Limit::Computing, max, wait));
        }
        state.requests += 1;
        state.waiting += 1;
        state.bytes += n_bytes;
        let account = self.clone();
        Ok(AccountRequest { account, n_bytes, started: None, n_text_bytes: 0, record: None })
    }

    /// Checks that `n_requests` requests with `n_bytes` each can be under way at once.
    ///
    /// # Errors
    /// What limits them, if they never can.
    pub(super) fn check_size(&self, n_requests: u64, n_bytes: u64) -> Result<(), String> {
        let AccountLimits { requests, waiting, bytes, .. } = self.lock().limits;
        let most = [(Limit::Requests, requests), (Limit::Waiting, waiting)];
        let most = most.map(|(limit, max)| (limit, max.map(u64_of), n_requests));
        let bytes = (Limit::Bytes, bytes.map(NonZeroU64::get), n_requests.saturating_mul(n_bytes));
        for (limit, max, n) in most.into_iter().chain([bytes]) {
            if let Some(max) = max.filter(|&max| n > max) {
                return Err(limit.excess(n, max));
            }
        }
        Ok(())
    }

    /// What was counted since the start.
    pub(super) fn counts(&self) -> AccountCounts {
        self.lock().counts
    }

    /// Whether nothing is open and nothing was used for so long that a new account would do.
    pub(super) fn is_idle(&self, now: Instant) -> bool {
        let mut state = self.lock();
        let AccountLimits { tokens_per_minute, compute_seconds_per_minute, .. } = state.limits;
        state.connections == 0
            && state.requests == 0
            && state.tokens.is_empty(tokens_per_minute.map(f64_of), now)
            && state.computing.is_empty(compute_seconds_per_minute.map(f64_of), now)
    }

    fn lock(&self) -> MutexGuard<'_, AccountState> {
        // The numbers are valid after every statement, so a panic cannot have broken them.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl AccountState {
    /// Counts and describes a refusal.
    fn refusal(&mut self, limit: Limit, max: u64, retry_after: Duration) -> RateLimited {
        self.counts.refused[limit as usize].1 += 1;
        RateLimited::new(limit, max, retry_after)
    }
}

/// A connection of an account, until it is dropped.
#[derive(Debug)]
pub(super) struct AccountConnection(Arc<ClientAccount>);

impl Drop for AccountConnection {
    fn drop(&mut self) {
        self.0.lock().connections -= 1;
    }
}

/// A request of an account, until it is dropped.
#[derive(Debug)]
pub(in crate::server) struct AccountRequest {
    account: Arc<ClientAccount>,
    n_bytes: u64,
    /// When the server learnt that the request has a slot; `None` while it waits.
    started: Option<Instant>,
    /// Bytes of text that the runner has delivered.
    n_text_bytes: usize,
    /// Its entry in the list of requests; `None` before it was submitted.
    record: Option<RequestRecord>,
}

impl AccountRequest {
    /// Counts the request as one that was submitted, and keeps its entry in the list of requests.
    pub(in crate::server) fn submitted(&mut self, record: RequestRecord) {
        self.account.lock().counts.requests += 1;
        self.record = Some(record);
    }

    /// Records that the request does not wait any more.
    pub(in crate::server) fn started(&mut self) {
        if self.started.is_none() {
            self.started = Some(Instant::now());
            self.account.lock().waiting -= 1;
        }
    }

    /// Records what the runner has delivered.
    pub(in crate::server) fn delivered(&mut self, delivery: &Delivery) {
        if delivery.is_started {
            self.started();
        }
        self.n_text_bytes += delivery.text.len();
        if let Some(record) = &self.record {
            record.delivered(delivery);
        }
    }

    /// Adds what the request used. To be called once, at its end. Requests that failed are free,
    /// except those of clients that did not read: what they used is estimated.
    pub(in crate::server) fn ended(&self, outcome: &Outcome) {
        if let Some(record) = &self.record {
            record.ended(outcome);
        }
        let now = Instant::now();
        match outcome {
            Outcome::Finished { usage, .. } => self.used_at(usage, now),
            Outcome::Failed(Failure::SlowClient { .. }) => {
                let usage = Usage {
                    tokens: self.n_text_bytes.div_ceil(BYTES_PER_TOKEN),
                    computing: self.started.map_or(Duration::ZERO, |started| now - started),
                    ..Usage::default()
                };
                self.used_at(&usage, now);
            }
            Outcome::Failed(_) | Outcome::Refused(_) => {}
        }
    }

    fn used_at(&self, usage: &Usage, now: Instant) {
        let tokens = (usage.prefilled_tokens + usage.tokens) as u64;
        let mut state = self.account.lock();
        state.counts.tokens += tokens;
        state.counts.computing += usage.computing;
        let AccountLimits { tokens_per_minute, compute_seconds_per_minute, .. } = state.limits;
        state.tokens.add(tokens as f64, tokens_per_minute.map(f64_of), now);
        let seconds = usage.computing.as_secs_f64();
        state.computing.add(seconds, compute_seconds_per_minute.map(f64_of), now);
    }
}

impl Drop for AccountRequest {
    fn drop(&mut self) {
        self.started();
        let mut state = self.account.lock();
        state.requests -= 1;
        state.bytes -= self.n_bytes;
    }
}

/// The limit that `n` has reached; `None` if it has not.
fn reached(limit: Option<NonZeroU32>, n: u64) -> Option<u64> {
    limit.map(u64_of).filter(|&max| n >= max)
}

fn u64_of(number: NonZeroU32) -> u64 {
    number.get().into()
}

fn f64_of(number: NonZeroU32) -> f64 {
    number.get().into()
}

/// When to try again if that depends on other requests or connections of the account.
const SOON: Duration = Duration::from_secs(1);

/// Bytes of text per token, about as many as English text has.
const BYTES_PER_TOKEN: usize = 4;

/// How long a request may take to end once it was cancelled, so that what it used counts for its
/// account. The runner ends it within one step.
pub(in crate::server) const SETTLE_DEADLINE: Duration = Duration::from_secs(10);

#[cfg(test)]
mod tests {
    use super::*;

    fn account(limits: AccountLimits) -> Arc<ClientAccount> {
        ClientAccount::new(AccountId(1), limits)
    }

    fn refused(result: Result<AccountRequest, RateLimited>) -> (Limit, u64) {
        let refusal = result.expect_err("the request is refused");
        (refusal.limit(), refusal.retry_after_ms())
    }

    #[test]
    fn connections_and_requests_count_while_they_last() {
        let two = NonZeroU32::new(2);
        let limits = AccountLimits { connections: two, requests: two, ..Default::default() };
        let account = account(limits);
        let now = Instant::now();
        let connections = [account.connect().unwrap(), account.connect().unwrap()];
        assert_eq!(account.connect().unwrap_err().limit(), Limit::Connections);
        let requests = [account.admit(1, now).unwrap(), account.admit(1, now).unwrap()];
        assert_eq!(refused(account.admit(1, now)), (Limit::Requests, 1000));
        assert!(!account.is_idle(now));
        drop((connections, requests));
        assert!(account.is_idle(now));
        assert!(account.connect().is_ok() && account.admit(1, now).is_ok());
        assert_eq!(account.counts().refused[..2], [("connections", 1), ("requests", 1)]);
    }

    #[test]
    fn request_waits_until_it_starts_or_ends() {
        let limits = AccountLimits { waiting: NonZeroU32::new(1), ..Default::default() };
        let account = account(limits);
        let now = Instant::now();
        let mut first = account.admit(1, now).unwrap();
        assert_eq!(refused(account.admit(1, now)).0, Limit::Waiting);
        first.started();
        first.started();
        let second = account.admit(1, now).unwrap();
        assert_eq!(refused(account.admit(1, now)).0, Limit::Waiting);
        drop(second);
        assert!(account.admit(1, now).is_ok());
    }

    #[test]
    fn bytes_of_messages_count_until_their_requests_end() {
        let limits = AccountLimits { bytes: NonZeroU64::new(100), ..Default::default() };
        let account = account(limits);
        let now = Instant::now();
        assert_eq!(refused(account.admit(101, now)).0, Limit::Bytes);
        let first = account.admit(60, now).unwrap();
        assert_eq!(refused(account.admit(41, now)).0, Limit::Bytes);
        drop(first);
        assert!(account.admit(100, now).is_ok());
    }

    #[test]
    fn tokens_and_computing_are_budgets_that_one_request_may_exceed() {
        let usage = Usage {
            prompt_tokens: 1000,
            prefilled_tokens: 40,
            tokens: 80,
            computing: Duration::from_secs(90),
            ..Usage::default()
        };
        let sixty = NonZeroU32::new(60);
        for (limits, limit, wait_ms) in [
            (
                AccountLimits { tokens_per_minute: sixty, ..Default::default() },
                Limit::Tokens,
                60_001,
            ),
            (
                AccountLimits { compute_seconds_per_minute: sixty, ..Default::default() },
                Limit::Computing,
                30_001,
            ),
        ] {
            let account = account(limits);
            let now = Instant::now();
            let request = account.admit(1, now).unwrap();
            request.used_at(&usage, now);
            drop(request);
            assert_eq!(refused(account.admit(1, now)), (limit, wait_ms));
            assert!(!account.is_idle(now));
            let later = now + Duration::from_millis(wait_ms);
            assert!(account.admit(1, later).is_ok());
            assert_eq!(account.counts().tokens, 120);
            assert_eq!(account.counts().computing, Duration::from_secs(90));
        }
    }

    #[test]
    fn new_limits_count_at_once() {
        let account = account(AccountLimits::default());
        let now = Instant::now();
        let _requests = [account.admit(1, now).unwrap(), account.admit(1, now).unwrap()];
        account.set_limits(AccountLimits { requests: NonZeroU32::new(2), ..Default::default() });
        assert_eq!(refused(account.admit(1, now)).0, Limit::Requests);
    }
}
