//! The open WebSockets, and which of them is closed for a new one (ADR-0040).
//!
//! If the limit is reached, the first connection in the order of [`Occupation`] has to close; of
//! equals, the one that has had no request for the longest time. If all have requests, the newest
//! one of the account with most connections has to, if the account of the new client has fewer. So
//! connections that only exist never keep a client out, and those of one account no other one.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use crate::domain::AccountId;

use super::connections::ConnectionPermit;

/// What a connection is used for, in the order in which connections have to close for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Occupation {
    /// It has no request in flight.
    Idle,
    /// It has no request in flight, but asked for `metrics` frames.
    Watching,
    /// It has a request in flight, and has to close only for other accounts.
    Busy,
}

/// Counts the open WebSockets.
#[derive(Debug)]
pub(super) struct WebSockets {
    max: usize,
    open: Mutex<OpenWebSockets>,
}

#[derive(Debug, Default)]
struct OpenWebSockets {
    n: usize,
    n_replaced: u64,
    n_displaced: u64,
    n_refused: u64,
    next: u64,
    /// In the order in which they have to close: by occupation and by the number that each got when
    /// it was opened or when its last request ended.
    order: BTreeMap<(Occupation, u64), OpenWebSocket>,
}

/// A connection that counts.
#[derive(Debug)]
struct OpenWebSocket {
    account: AccountId,
    replaced: CancellationToken,
}

impl OpenWebSockets {
    /// Removes the connection that has to close for a new one of `account`; `None` if none has to.
    fn take_for(&mut self, account: AccountId) -> Option<OpenWebSocket> {
        let (&first, _) = self.order.first_key_value()?;
        if first.0 != Occupation::Busy {
            self.n_replaced += 1;
            return self.order.remove(&first);
        }
        let mut n_of: BTreeMap<AccountId, usize> = BTreeMap::new();
        for open in self.order.values() {
            *n_of.entry(open.account).or_default() += 1;
        }
        let own = n_of.get(&account).copied().unwrap_or(0);
        let (most, _) = n_of.into_iter().filter(|&(_, n)| n > own + 1).max_by_key(|&(_, n)| n)?;
        let newest = self.order.iter().rev().find(|(_, open)| open.account == most);
        let key = *newest?.0;
        self.n_displaced += 1;
        self.order.remove(&key)
    }
}

impl WebSockets {
    /// For at most `max` WebSockets.
    pub(super) fn new(max: usize) -> Self {
        Self { max, open: Mutex::default() }
    }

    /// The permit of a client that still has to send its key. It does not count, and nobody has to
    /// close for it.
    pub(super) fn unknown(self: &Arc<Self>) -> WebSocketPermit {
        let replaced = CancellationToken::new();
        let current = Mutex::new(ConnectionUse::default());
        WebSocketPermit { websockets: self.clone(), replaced, current }
    }

    /// Number of open WebSockets.
    pub(super) fn n_open(&self) -> usize {
        self.lock().n
    }

    /// Number of WebSockets that were closed for new ones: without and with requests; and of those
    /// that were refused.
    pub(super) fn counts(&self) -> [u64; 3] {
        let open = self.lock();
        [open.n_replaced, open.n_displaced, open.n_refused]
    }

    fn lock(&self) -> MutexGuard<'_, OpenWebSockets> {
        // The table is valid after every statement, so a panic elsewhere cannot have broken it.
        self.open.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The permit of one WebSocket, which counts against the limit until this is dropped or the
/// connection has to close.
#[derive(Debug)]
pub(super) struct WebSocketPermit {
    websockets: Arc<WebSockets>,
    replaced: CancellationToken,
    current: Mutex<ConnectionUse>,
}

/// What decides the position of a connection among the replaceable ones.
#[derive(Debug, Clone, Copy, Default)]
struct ConnectionUse {
    number: u64,
    /// Whose it is; `None` until the connection counts.
    account: Option<AccountId>,
    is_busy: bool,
    is_watching: bool,
}

impl ConnectionUse {
    /// Its position in the order of those that have to close.
    fn occupation(self) -> Occupation {
        match self {
            Self { is_busy: true, .. } => Occupation::Busy,
            Self { is_watching: true, .. } => Occupation::Watching,
            _ => Occupation::Idle,
        }
    }

    fn key(self) -> (Occupation, u64) {
        (self.occupation(), self.number)
    }
}

impl WebSocketPermit {
    /// Waits until this connection has to close for a new one.
    pub(super) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Whether the connection has requests in flight.
    pub(super) fn is_busy(&self) -> bool {
        self.lock().is_busy
    }

    /// Counts the WebSocket of `account` on `connection`, which other TCP connections no longer
    /// replace then. Returns false if no other connection has to close for it, or if the connection
    /// is being closed.
    pub(super) fn admit(&self, account: AccountId, connection: &ConnectionPermit) -> bool {
        if self.lock().account.is_some() {
            return true;
        }
        if !connection.keep() {
            return false;
        }
        let is_admitted = self.set_known(account);
        if !is_admitted {
            connection.give_back();
        }
        is_admitted
    }

    /// Counts a connection from now on that did not count: the server knows the client, or needs no
    /// key. If the limit is reached, another connection has to close. Returns whether there is
    /// space.
    fn set_known(&self, account: AccountId) -> bool {
        let mut current = self.lock();
        let mut open = self.websockets.lock();
        if open.n >= self.websockets.max {
            let Some(closing) = open.take_for(account) else {
                open.n_refused += 1;
                return false;
            };
            closing.replaced.cancel();
            open.n -= 1;
        }
        open.n += 1;
        current.account = Some(account);
        current.number = open.next;
        open.next += 1;
        open.order
            .insert(current.key(), OpenWebSocket { account, replaced: self.replaced.clone() });
        true
    }

    /// Records whether the connection has requests in flight.
    pub(super) fn set_busy(&self, is_busy: bool) {
        self.update(|current| current.is_busy = is_busy);
    }

    /// Records whether the client has asked for `metrics` frames.
    pub(super) fn set_watching(&self, is_watching: bool) {
        self.update(|current| current.is_watching = is_watching);
    }

    fn update(&self, change: impl FnOnce(&mut ConnectionUse)) {
        let mut current = self.lock();
        let mut open = self.websockets.lock();
        let before = *current;
        change(&mut current);
        if current.account.is_none() || current.occupation() == before.occupation() {
            return;
        }
        // A connection that is being closed has no entry.
        let Some(entry) = open.order.remove(&before.key()) else { return };
        if before.is_busy {
            current.number = open.next;
            open.next += 1;
        }
        open.order.insert(current.key(), entry);
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionUse> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WebSocketPermit {
    fn drop(&mut self) {
        let current = *self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.websockets.lock();
        if current.account.is_some() && open.order.remove(&current.key()).is_some() {
            open.n -= 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn websockets<const N: usize>(max: usize) -> (Arc<WebSockets>, [WebSocketPermit; N]) {
        let websockets = Arc::new(WebSockets::new(max));
        let permits = std::array::from_fn(|_| known(&websockets).unwrap());
        (websockets, permits)
    }

    /// A permit of a client that the server knows; `None` if there is no space.
    fn known(websockets: &Arc<WebSockets>) -> Option<WebSocketPermit> {
        of_account(websockets, 1)
    }

    fn of_account(websockets: &Arc<WebSockets>, account: u64) -> Option<WebSocketPermit> {
        let permit = websockets.unknown();
        permit.set_known(AccountId(account)).then_some(permit)
    }

    fn are_replaced<const N: usize>(permits: &[WebSocketPermit; N]) -> [bool; N] {
        std::array::from_fn(|i| permits[i].replaced.is_cancelled())
    }

    #[test]
    fn longest_idle_connection_is_replaced_first() {
        let (websockets, permits) = websockets::<3>(3);
        permits[0].set_busy(true);
        permits[0].set_busy(false);
        let _new = [known(&websockets).unwrap(), known(&websockets).unwrap()];
        assert_eq!(are_replaced(&permits), [false, true, true]);
        assert_eq!((websockets.n_open(), websockets.counts()), (3, [2, 0, 0]));
    }

    #[test]
    fn connection_with_metrics_is_replaced_after_idle_ones_and_busy_ones_are_not() {
        let (websockets, permits) = websockets::<3>(3);
        permits[0].set_busy(true);
        permits[1].set_watching(true);
        let first = known(&websockets).unwrap();
        assert_eq!(are_replaced(&permits), [false, false, true]);
        first.set_busy(true);
        let second = known(&websockets).unwrap();
        assert_eq!(are_replaced(&permits), [false, true, true]);
        second.set_busy(true);
        assert!(known(&websockets).is_none(), "all are busy");
        assert_eq!(websockets.counts(), [2, 0, 1]);
        second.set_busy(false);
        assert!(known(&websockets).is_some());
    }

    #[test]
    fn closed_connection_leaves_its_permit_to_the_next_one() {
        let (websockets, permits) = websockets::<2>(2);
        let new = known(&websockets).unwrap();
        permits[0].set_busy(true);
        drop(permits);
        assert_eq!(websockets.n_open(), 1);
        drop(new);
        assert_eq!((websockets.n_open(), websockets.counts()), (0, [1, 0, 0]));
    }

    #[test]
    fn connection_without_its_key_counts_once_it_has_sent_it() {
        let (websockets, permits) = websockets::<1>(1);
        let unknown = websockets.unknown();
        unknown.set_watching(true);
        assert_eq!((are_replaced(&permits), websockets.n_open()), ([false], 1));
        assert!(unknown.set_known(AccountId(1)));
        assert_eq!((are_replaced(&permits), websockets.n_open()), ([true], 1));
        unknown.set_busy(true);
        assert!(known(&websockets).is_none(), "all are busy");
    }

    #[test]
    fn busy_connection_closes_only_for_an_account_with_fewer() {
        let (websockets, permits) = websockets::<3>(4);
        let other = of_account(&websockets, 2).unwrap();
        permits.iter().chain([&other]).for_each(|permit| permit.set_busy(true));
        // The newest of the account with three.
        let second = of_account(&websockets, 2).unwrap();
        second.set_busy(true);
        assert_eq!(are_replaced(&permits), [false, false, true]);
        // Both have two: nobody gains anything.
        assert!(known(&websockets).is_none() && of_account(&websockets, 2).is_none());
        let third = of_account(&websockets, 3).unwrap();
        assert_eq!((websockets.n_open(), websockets.counts()), (4, [0, 2, 2]));
        let closed = [&permits[1], &second].map(|permit| permit.replaced.is_cancelled());
        assert_eq!(closed.into_iter().filter(|&closed| closed).count(), 1);
        // The end of one that is being closed changes nothing.
        permits[2].set_busy(false);
        drop((permits, other, second, third));
        assert_eq!(websockets.n_open(), 0);
    }
}
