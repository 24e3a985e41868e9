//! The open WebSockets, and which of them is closed for a new one (ADR-0040).
//!
//! If the limit is reached, the first connection in the order of [`Standing`] has to close; of
//! equals, the one that has had no request for the longest time. A connection with a request never
//! has to. So connections that only exist never keep a client out.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio_util::sync::CancellationToken;

/// What a connection is used for, in the order in which connections have to close for new ones.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(super) enum Standing {
    /// It has not sent the key that it needs.
    Unknown,
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
    /// Those that are not busy, by standing and by the number that each got when it was opened or
    /// when its last request ended.
    replaceable: BTreeMap<(Standing, u64), CancellationToken>,
}

impl WebSockets {
    /// For at most `max` WebSockets.
    pub(super) fn new(max: usize) -> Self {
        Self { max, open: Mutex::default() }
    }

    /// A permit for one more WebSocket; `None` if the limit is reached and all are busy. If the
    /// limit is reached, another connection has to close.
    pub(super) fn permit(self: &Arc<Self>) -> Option<WebSocketPermit> {
        let mut open = self.lock();
        if open.n >= self.max {
            let Some((_, replaced)) = open.replaceable.pop_first() else {
                open.n_refused += 1;
                return None;
            };
            replaced.cancel();
            open.n -= 1;
            open.n_replaced += 1;
        }
        open.n += 1;
        let number = open.next;
        open.next += 1;
        let replaced = CancellationToken::new();
        let current = ConnectionUse { number, is_known: false, is_busy: false, is_watching: false };
        open.replaceable.insert(current.key(), replaced.clone());
        drop(open);
        Some(WebSocketPermit { websockets: self.clone(), replaced, current: Mutex::new(current) })
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
#[derive(Debug, Clone, Copy)]
struct ConnectionUse {
    number: u64,
    is_known: bool,
    is_busy: bool,
    is_watching: bool,
}

impl ConnectionUse {
    /// Its position in the order of those that have to close.
    fn standing(self) -> Standing {
        match self {
            Self { is_busy: true, .. } => Standing::Busy,
            Self { is_known: false, .. } => Standing::Unknown,
            Self { is_watching: true, .. } => Standing::Watching,
            _ => Standing::Idle,
        }
    }

    fn key(self) -> (Standing, u64) {
        (self.standing(), self.number)
    }
}

impl WebSocketPermit {
    /// Waits until this connection has to close for a new one.
    pub(super) async fn replaced(&self) {
        self.replaced.cancelled().await;
    }

    /// Records that the server knows the client, or needs no key.
    pub(super) fn set_known(&self) {
        self.update(|current| current.is_known = true);
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
        let mut current = self.current.lock().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.websockets.lock();
        let before = *current;
        change(&mut current);
        if current.standing() == before.standing() || self.replaced.is_cancelled() {
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
}

impl Drop for WebSocketPermit {
    fn drop(&mut self) {
        let current = *self.current.get_mut().unwrap_or_else(PoisonError::into_inner);
        let mut open = self.websockets.lock();
        if !self.replaced.is_cancelled() {
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

    fn known(websockets: &Arc<WebSockets>) -> Option<WebSocketPermit> {
        websockets.permit().inspect(WebSocketPermit::set_known)
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
    fn connection_without_its_key_is_replaced_before_idle_ones() {
        let (websockets, permits) = websockets::<2>(3);
        let stranger = websockets.permit().unwrap();
        let _new = [known(&websockets).unwrap(), known(&websockets).unwrap()];
        assert!(stranger.replaced.is_cancelled());
        assert_eq!(are_replaced(&permits), [true, false]);
    }
}
