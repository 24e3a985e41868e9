//! The accounts of addresses, for a daemon without keys.

use std::collections::HashMap;
use std::net::IpAddr;
use std::num::NonZeroU32;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Instant;

use crate::domain::{AccountId, AccountLimits};

use super::account::ClientAccount;
use super::network::ClientNetwork;

/// The accounts of the networks that clients come from.
#[derive(Debug)]
pub(super) struct Addresses {
    /// The limits that the options set for all accounts.
    limits: AccountLimits,
    accounts: Mutex<HashMap<ClientNetwork, Arc<ClientAccount>>>,
    next_id: AtomicU64,
}

impl Addresses {
    pub(super) fn new(limits: AccountLimits) -> Self {
        Self { limits, accounts: Mutex::default(), next_id: AtomicU64::new(1) }
    }

    /// The account of the clients at `address`.
    pub(super) fn account(&self, address: IpAddr, now: Instant) -> Arc<ClientAccount> {
        let network = ClientNetwork::of(address);
        // The table is valid after every statement, so a panic cannot have broken it.
        let mut accounts = self.accounts.lock().unwrap_or_else(PoisonError::into_inner);
        if accounts.len() >= MAX_ACCOUNTS && !accounts.contains_key(&network) {
            accounts.retain(|_, account| !account.is_idle(now));
        }
        let account = accounts.entry(network).or_insert_with(|| {
            let defaults = if network.is_loopback() { AccountLimits::default() } else { REMOTE };
            let id = AccountId(self.next_id.fetch_add(1, Relaxed));
            ClientAccount::new(id, self.limits.or(defaults))
        });
        account.clone()
    }
}

/// Limits of an address of another machine, where the options set none. More than the programs of
/// one person need, and few enough that one address leaves space for others (ADR-0039).
const REMOTE: AccountLimits = AccountLimits {
    connections: NonZeroU32::new(64),
    requests: NonZeroU32::new(32),
    waiting: NonZeroU32::new(16),
    tokens_per_minute: None,
    compute_seconds_per_minute: None,
    bytes: None,
};

/// Accounts from which on idle ones are dropped. Each of the others has a connection or a debt.
const MAX_ACCOUNTS: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn clients_of_an_address_share_an_account() {
        let addresses = Addresses::new(AccountLimits::default());
        let account = |text: &str| addresses.account(text.parse().unwrap(), Instant::now());
        assert_eq!(account("192.0.2.1").id(), account("192.0.2.1").id());
        assert_ne!(account("192.0.2.1").id(), account("192.0.2.2").id());
        assert_eq!(account("127.0.0.1").id(), account("::1").id());
    }

    #[test]
    fn other_machines_are_limited_and_this_one_only_by_options() {
        let n_connections = |limits: AccountLimits, address: &str| {
            let addresses = Addresses::new(limits);
            let account = addresses.account(address.parse().unwrap(), Instant::now());
            let open: Vec<_> = (0..100).map_while(|_| account.connect().ok()).collect();
            open.len()
        };
        assert_eq!(n_connections(AccountLimits::default(), "192.0.2.1"), 64);
        // The client of a proxy whose headers disagree.
        assert_eq!(n_connections(AccountLimits::default(), "0.0.0.0"), 64);
        assert_eq!(n_connections(AccountLimits::default(), "127.0.0.1"), 100);
        let two = AccountLimits { connections: NonZeroU32::new(2), ..Default::default() };
        assert_eq!(n_connections(two, "192.0.2.1"), 2);
        assert_eq!(n_connections(two, "127.0.0.1"), 2);
    }

    #[test]
    fn idle_accounts_are_dropped_when_there_are_many() {
        let addresses = Addresses::new(AccountLimits::default());
        let now = Instant::now();
        let address = |n: u32| IpAddr::from((0xC000_0000 + n).to_be_bytes());
        let kept = addresses.account(address(0), now);
        let _connection = kept.connect().unwrap();
        for n in 1..=u32::try_from(MAX_ACCOUNTS).unwrap() {
            addresses.account(address(n), now);
        }
        let n_accounts = addresses.accounts.lock().unwrap().len();
        assert_eq!(n_accounts, 2, "the one with a connection and the last");
        assert_eq!(addresses.account(address(0), now).id(), kept.id());
    }
}
