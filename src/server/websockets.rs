//! The open WebSockets, and which of them is closed for a new one (ADR-0040).
//!
//! If the limit is reached, the first connection in the order of [`Occupation`] has to close; of
//! equals, the one that has had no request for the longest time. A connection with a request never
//! has to. So connections that only exist never keep a client out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

use super::connections::ConnectionPermit;

/// What a connection is used for, in the order in which connections have to close for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Occupation {
    /// It has no request in flight.
    Idle,
    /// It has no request in flight, but asked for `metrics` frames.
    Watching,
    /// It has a request in flight, and never has to close.
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
    n_refused: u64,
    next: u64,
    /// Those that are not busy, by occupation and by the number that each got when it was opened or
    /// when its last request ended.
    replaceable: BTreeMap<(Occupation, u64), CancellationToken>,
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

    /// Number of WebSockets that were closed for new ones, and of those that were refused.
    pub(super) fn counts(&self) -> (u64, u64) {
        let open = self.lock();
        (open.n_replaced, open.n_refused)
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
    is_known: bool,
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

    /// Counts the WebSocket on `connection`, which other TCP connections no longer replace then.
    /// Returns false if too many WebSockets are open and all are busy, or if the connection is
    /// being closed.
    pub(super) fn admit(&self, connection: &ConnectionPermit) -> bool {
        if self.lock().is_known {
            return true;
        }
        if !connection.keep() {
            return false;
        }
        let is_admitted = self.set_known();
        if !is_admitted {
            connection.give_back();
        }
        is_admitted
    }

    /// Counts a connection from now on that did not count: the server knows the client, or needs no
    /// key. If the limit is reached, another connection has to close. Returns whether there is
    /// space.
    fn set_known(&self) -> bool {
        let mut current = self.lock();
        let mut open = self.websockets.lock();
        if open.n >= self.websockets.max {
            let Some((_, replaced)) = open.replaceable.pop_first() else {
                open.n_refused += 1;
                return false;
            };
            replaced.cancel();
            open.n -= 1;
            open.n_replaced += 1;
        }
        open.n += 1;
        current.is_known = true;
        current.number = open.next;
        open.next += 1;
        open.replaceable.insert(current.key(), self.replaced.clone());
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
        if !current.is_known {
            return;
        }
        if current.occupation() == before.occupation() || self.replaced.is_cancelled() {
            return;
        }
        open.replaceable.remove(&before.key());
        if before.is_busy {
            current.number = open.next;
            open.next += 1;
        }
        if !current.is_busy {
            open.replaceable.insert(current.key(), self.replaced.clone());
        }
    }

    fn lock(&self) -> MutexGuard<'_, ConnectionUse> {
        self.current.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for WebSocketPermit {
    fn drop(&mut self) {
        let current = *self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.websockets.lock();
        if current.is_known && !self.replaced.is_cancelled() {
            open.replaceable.remove(&current.key());
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
        let permit = websockets.unknown();
        permit.set_known().then_some(permit)
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
        assert_eq!((websockets.n_open(), websockets.counts()), (3, (2, 0)));
    }

    #[test]
    fn connection_with_metrics_is_replaced_after_idle_ones_and_busy_ones_never() {
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
        assert_eq!(websockets.counts(), (2, 1));
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
        assert_eq!((websockets.n_open(), websockets.counts()), (0, (1, 0)));
    }

    #[test]
    fn connection_without_its_key_counts_once_it_has_sent_it() {
        let (websockets, permits) = websockets::<1>(1);
        let unknown = websockets.unknown();
        unknown.set_watching(true);
        assert_eq!((are_replaced(&permits), websockets.n_open()), ([false], 1));
        assert!(unknown.set_known());
        assert_eq!((are_replaced(&permits), websockets.n_open()), ([true], 1));
        unknown.set_busy(true);
        assert!(!websockets.unknown().set_known(), "all are busy");
    }
}
