//! [`Access`]: decides who a client is, for HTTP requests and for WebSockets.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::Instant;

use tokio::time::sleep;
use tokio_util::sync::CancellationToken;

use crate::domain::{AccountId, AccountLimits, ApiKey, Right, Rights};

use super::account::{AccountCounts, AccountRequest, ClientAccount};
use super::addresses::Addresses;
use super::attempts::Attempts;
use super::keys::{KeyOwner, Keys};
use super::limit::RateLimited;
use super::meter::MINUTE;

/// Who may do what: the keys, the accounts of addresses and the failed attempts.
#[derive(Debug)]
pub(in crate::server) struct Access {
    pub(super) keys: Keys,
    addresses: Addresses,
    attempts: Attempts,
    has_open_metrics: bool,
}

/// Who sends requests.
#[derive(Debug, Clone)]
pub(in crate::server) enum Caller {
    /// A client of a daemon without keys.
    Address(Arc<ClientAccount>),
    /// The owner of a key, which may have been revoked since.
    Key(KeyOwner),
}

/// A client sent a wrong key.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct WrongKey;

impl Access {
    /// With `keys`; `limits` are those of addresses. `has_open_metrics` opens `/metrics` to clients
    /// without a key.
    pub(in crate::server) fn new(
        keys: Keys,
        limits: AccountLimits,
        has_open_metrics: bool,
    ) -> Self {
        let addresses = Addresses::new(limits);
        Self { keys, addresses, attempts: Attempts::default(), has_open_metrics }
    }

    /// Whether clients need a key.
    pub(in crate::server) fn needs_key(&self) -> bool {
        self.keys.are_required()
    }

    /// Whether `/metrics` needs the right to see metrics.
    pub(in crate::server) fn protects_metrics(&self) -> bool {
        self.needs_key() && !self.has_open_metrics
    }

    /// Who a client at `address` is that sent no key; `None` if it needs one.
    pub(in crate::server) fn without_key(&self, address: IpAddr) -> Option<Caller> {
        (!self.needs_key())
            .then(|| Caller::Address(self.addresses.account(address, Instant::now())))
    }

    /// Who a client at `address` is that sent `key`. Where no keys are needed, any will do. The
    /// answer to a wrong key is delayed.
    ///
    /// # Errors
    /// [`WrongKey`].
    pub(in crate::server) async fn with_key(
        &self,
        key: &ApiKey,
        address: IpAddr,
    ) -> Result<Caller, WrongKey> {
        if let Some(caller) = self.without_key(address) {
            return Ok(caller);
        }
        if let Some(owner) = self.keys.find(key) {
            return Ok(Caller::Key(owner));
        }
        sleep(self.attempts.record(address, Instant::now())).await;
        Err(WrongKey)
    }

    /// The rights of a caller now; `None` if its key was revoked.
    pub(in crate::server) fn rights(&self, caller: &Caller) -> Option<Rights> {
        match caller {
            Caller::Address(_) => Some(Rights::ALL),
            Caller::Key(owner) => self.keys.rights(owner),
        }
    }

    /// Whether a caller has a right now.
    pub(in crate::server) fn may(&self, caller: &Caller, right: Right) -> bool {
        self.rights(caller).is_some_and(|rights| rights.has(right))
    }

    /// Waits until the key of `caller` is revoked.
    pub(in crate::server) async fn revoked(&self, caller: &Caller) {
        let mut changes = self.keys.changes();
        while self.rights(caller).is_some() {
            if changes.changed().await.is_err() {
                // The keys are part of this object, so this does not happen.
                pending::<()>().await;
            }
        }
    }

    /// Attempts with wrong keys since the start.
    pub(in crate::server) fn n_failures(&self) -> u64 {
        self.attempts.n_failures()
    }

    /// What was counted for each key, by its name.
    pub(in crate::server) fn key_counts(&self) -> Vec<(String, AccountCounts)> {
        self.keys.counts()
    }

    /// Logs attempts with wrong keys once a minute, until `closing` is cancelled.
    pub(in crate::server) async fn report_attempts(self: Arc<Self>, closing: CancellationToken) {
        while closing.run_until_cancelled(sleep(MINUTE)).await.is_some() {
            self.attempts.report(Instant::now());
        }
    }
}

impl Caller {
    pub(super) fn account(&self) -> &Arc<ClientAccount> {
        match self {
            Self::Address(account) => account,
            Self::Key(owner) => owner.account(),
        }
    }

    /// Counts a request that came in a message of `n_bytes`, until the guard is dropped.
    ///
    /// # Errors
    /// [`RateLimited`], if a limit of the account is reached.
    pub(in crate::server) fn admit(&self, n_bytes: usize) -> Result<AccountRequest, RateLimited> {
        self.account().admit(n_bytes, Instant::now())
    }

    /// Checks that `n_requests` requests in messages of `n_bytes` each can be under way at once.
    ///
    /// # Errors
    /// What limits them, if a limit of the account never allows that.
    pub(in crate::server) fn check_size(
        &self,
        n_requests: usize,
        n_bytes: usize,
    ) -> Result<(), String> {
        self.account().check_size(n_requests as u64, n_bytes as u64)
    }

    /// The name of the key; `None` if no key was needed.
    pub(in crate::server) fn key_name(&self) -> Option<&str> {
        match self {
            Self::Address(_) => None,
            Self::Key(owner) => Some(owner.name()),
        }
    }

    /// The account for the engine.
    pub(in crate::server) fn account_id(&self) -> AccountId {
        self.account().id()
    }
}
