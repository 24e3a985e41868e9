//! The TCP connections of the server, and which of them is closed for a new one.
//!
//! The number of connections is limited. A connection is replaceable until it has a permit for a
//! WebSocket. If all permits are in use, a new connection gets the permit of the replaceable one
//! that has been without a request for the longest time. So connections that send nothing, or a
//! part of a request, or are over the limit on WebSockets, never keep a health check out.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};

use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio_util::sync::CancellationToken;

use super::peer::Peer;

/// Hands the permits for TCP connections to those that are accepted.
#[derive(Debug)]
pub(super) struct Connections {
    permits: Arc<Semaphore>,
    replaceable: Mutex<Replaceable>,
}

/// The replaceable connections by the number that each got at its start or at its last request.
/// Those that are being closed have smaller numbers.
#[derive(Debug)]
struct Replaceable {
    next: u64,
    next_closing: u64,
    by_activity: BTreeMap<u64, CancellationToken>,
}

impl Default for Replaceable {
    fn default() -> Self {
        Self { next: 1 << 63, next_closing: 0, by_activity: BTreeMap::new() }
    }
}

impl Replaceable {
    /// Adds a connection that is being closed, and returns its number.
    fn add_closing(&mut self, replaced: CancellationToken) -> u64 {
        let number = self.next_closing;
        self.next_closing += 1;
        self.by_activity.insert(number, replaced);
        number
    }

    /// Adds a connection as the one that was active last, and returns its number.
    fn add(&mut self, replaced: CancellationToken) -> u64 {
        let number = self.next;
        self.next += 1;
        self.by_activity.insert(number, replaced);
        number
    }
}

impl Connections {
    /// For at most `max` connections.
    pub(super) fn new(max: usize) -> Self {
        Self { permits: Arc::new(Semaphore::new(max)), replaceable: Mutex::default() }
    }

    /// A permit for the connection from `peer`. If none is free, closes the least recently active
    /// connection that is replaceable, and waits until it is closed.
    pub(super) async fn permit(self: &Arc<Self>, peer: Peer) -> Option<ConnectionPermit> {
        let permit = match self.permits.clone().try_acquire_owned() {
            Ok(permit) => permit,
            Err(_) => {
                self.replace_oldest();
                // Fails only if the semaphore is closed, which nobody does.
                self.permits.clone().acquire_owned().await.ok()?
            }
        };
        let replaced = CancellationToken::new();
        let number = self.lock().add(replaced.clone());
        let connections = self.clone();
        let held = HeldPermit { number: number.into(), replaced, connections, _permit: permit };
        Some(ConnectionPermit { peer, is_tls: false, held: Arc::new(held) })
    }

    /// Closes the replaceable connection that has been without a request for the longest time.
    /// Returns whether there is one.
    pub(super) fn replace_oldest(&self) -> bool {
        let oldest = self.lock().by_activity.pop_first();
        oldest.inspect(|(_, replaced)| replaced.cancel()).is_some()
    }

    fn lock(&self) -> MutexGuard<'_, Replaceable> {
        self.replaceable.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// A permit for one connection, and who is at its other end. The connection counts against the
/// limit until all clones are dropped.
#[derive(Debug, Clone)]
pub(super) struct ConnectionPermit {
    /// The other end of the connection: the client, or its proxy.
    pub(super) peer: Peer,
    /// Whether the connection is encrypted.
    pub(super) is_tls: bool,
    held: Arc<HeldPermit>,
}

impl ConnectionPermit {
    /// Cancelled when the connection is to be closed for a new one. Whoever serves the connection
    /// must then close it at once.
    pub(super) fn replaced(&self) -> CancellationToken {
        self.held.replaced.clone()
    }

    /// Records a complete request: from now on, connections that were active before are replaced
    /// earlier.
    pub(super) fn touch(&self) {
        let mut replaceable = self.held.connections.lock();
        if let Some(replaced) = replaceable.by_activity.remove(&self.held.number()) {
            let number = replaceable.add(replaced);
            self.held.number.store(number, Ordering::Relaxed);
        }
    }

    /// Makes the connection irreplaceable. Returns whether it was still replaceable.
    pub(super) fn keep(&self) -> bool {
        self.held.connections.lock().by_activity.remove(&self.held.number()).is_some()
    }

    /// Whether [`Self::keep`] made the connection irreplaceable, or it is being replaced.
    pub(super) fn is_kept(&self) -> bool {
        !self.held.connections.lock().by_activity.contains_key(&self.held.number())
    }

    /// Makes the connection replaceable again after [`Self::keep`], as the one that was active
    /// last.
    pub(super) fn release(&self) {
        let number = self.held.connections.lock().add(self.held.replaced.clone());
        self.held.number.store(number, Ordering::Relaxed);
    }

    /// Makes a connection replaceable again that is about to be closed, before all that are not. A
    /// client that delays that loses the connection once a new one needs its permit.
    pub(super) fn give_back(&self) {
        let number = self.held.connections.lock().add_closing(self.held.replaced.clone());
        self.held.number.store(number, Ordering::Relaxed);
    }
}

/// What the clones of a permit share.
#[derive(Debug)]
struct HeldPermit {
    /// The number among the replaceable connections; changes only under their lock.
    number: AtomicU64,
    replaced: CancellationToken,
    connections: Arc<Connections>,
    _permit: OwnedSemaphorePermit,
}

impl HeldPermit {
    fn number(&self) -> u64 {
        self.number.load(Ordering::Relaxed)
    }
}

impl Drop for HeldPermit {
    fn drop(&mut self) {
        self.connections.lock().by_activity.remove(&self.number());
    }
}

#[cfg(test)]
mod tests {
    use std::net::Ipv4Addr;

    use futures_util::FutureExt;

    use super::*;

    async fn permit(connections: &Arc<Connections>) -> ConnectionPermit {
        connections.permit(Peer::Tcp((Ipv4Addr::LOCALHOST, 0).into())).await.unwrap()
    }

    #[tokio::test]
    async fn connection_without_a_request_for_the_longest_time_is_replaced() {
        let connections = Arc::new(Connections::new(3));
        let [first, second, third] =
            [permit(&connections).await, permit(&connections).await, permit(&connections).await];
        first.touch();
        assert!(third.keep());
        let is_replaced =
            || [&first, &second, &third].map(|permit| permit.replaced().is_cancelled());
        assert!(permit(&connections).now_or_never().is_none(), "no permit is free yet");
        assert_eq!(is_replaced(), [false, true, false]);
        assert!(connections.replace_oldest());
        assert_eq!(is_replaced(), [true, true, false]);
        assert!(!connections.replace_oldest());
        second.touch();
        assert!(!second.keep() && !connections.replace_oldest(), "it is being closed");
    }

    #[tokio::test]
    async fn connection_that_is_being_closed_is_replaced_before_all_others() {
        let connections = Arc::new(Connections::new(3));
        let [oldest, closing] = [permit(&connections).await, permit(&connections).await];
        assert!(closing.keep());
        closing.give_back();
        assert!(connections.replace_oldest());
        assert!(closing.replaced().is_cancelled() && !oldest.replaced().is_cancelled());
    }

    #[tokio::test]
    async fn released_connection_is_the_last_to_be_replaced() {
        let connections = Arc::new(Connections::new(3));
        let [kept, other] = [permit(&connections).await, permit(&connections).await];
        assert!(!kept.is_kept());
        assert!(kept.keep() && kept.is_kept());
        kept.release();
        assert!(!kept.is_kept());
        assert!(connections.replace_oldest());
        assert!(other.replaced().is_cancelled() && !kept.replaced().is_cancelled());
        assert!(connections.replace_oldest() && kept.replaced().is_cancelled());
    }

    #[tokio::test]
    async fn new_connection_gets_the_permit_of_the_replaced_one() {
        let connections = Arc::new(Connections::new(1));
        let first = permit(&connections).await;
        let closes = async {
            first.replaced().cancelled().await;
            drop(first);
        };
        let (second, ()) = tokio::join!(permit(&connections), closes);
        drop(second);
        assert!(!connections.replace_oldest(), "a closed connection is not replaceable");
    }
}
