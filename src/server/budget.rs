//! The memory that messages of clients may take in the whole daemon (ADR-0040).
//!
//! Each connection has a [`BudgetShare`] and takes a [`Charge`] for the bytes that it makes the
//! daemon hold: messages that are incomplete or wait to be handled, and frames that it does not
//! read. If the budget is used up, the account that holds most has to free some: its largest
//! connection closes, and the others wait until it has. An account that holds less than the average
//! of all accounts loses no connection.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::task::{Context, Poll, Waker};

use tokio_util::sync::CancellationToken;

use crate::domain::AccountId;

/// The bytes of all connections together.
#[derive(Debug)]
pub(super) struct MessageBudget {
    limit: usize,
    state: Mutex<BudgetState>,
}

#[derive(Debug, Default)]
struct BudgetState {
    /// Bytes that are charged.
    used: usize,
    /// Those of them that connections hold which have been told to close.
    closing: usize,
    shares: BTreeMap<u64, ShareState>,
    next: u64,
    n_evicted: u64,
}

/// What the budget knows about one connection.
#[derive(Debug)]
struct ShareState {
    account: AccountId,
    bytes: usize,
    /// Cancelled when the connection is told to close.
    evicted: CancellationToken,
    /// Wakes the connection, which waits for space.
    waker: Option<Waker>,
}

impl MessageBudget {
    /// A budget of `limit` bytes.
    pub(super) fn new(limit: usize) -> Arc<Self> {
        Arc::new(Self { limit, state: Mutex::default() })
    }

    /// The share of a new connection that counts for `account`.
    pub(super) fn share(self: &Arc<Self>, account: AccountId) -> Arc<BudgetShare> {
        let evicted = CancellationToken::new();
        let mut state = self.lock();
        let id = state.next;
        state.next += 1;
        let entry = ShareState { account, bytes: 0, evicted: evicted.clone(), waker: None };
        state.shares.insert(id, entry);
        drop(state);
        Arc::new(BudgetShare { budget: self.clone(), id, evicted })
    }

    /// Bytes that the budget allows.
    pub(super) fn limit(&self) -> usize {
        self.limit
    }

    /// Bytes that are charged now.
    pub(super) fn used(&self) -> usize {
        self.lock().used
    }

    /// Number of connections that had to close because the budget was used up.
    pub(super) fn n_evicted(&self) -> u64 {
        self.lock().n_evicted
    }

    fn lock(&self) -> MutexGuard<'_, BudgetState> {
        // The state is valid after every statement, so a panic elsewhere cannot have broken it.
        self.state.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl BudgetState {
    /// Tells connections to close until there will be space for `bytes` more of the share `id`.
    fn make_space(&mut self, limit: usize, id: u64, bytes: usize) {
        while self.used - self.closing + bytes > limit {
            let Some(victim) = self.largest(id, bytes) else { return };
            let Some(share) = self.shares.get_mut(&victim) else { return };
            share.evicted.cancel();
            self.closing += share.bytes;
            self.n_evicted += 1;
            if victim == id {
                return;
            }
        }
    }

    /// The largest share of the account that holds most, if the share `id` gets `bytes` more;
    /// `None` if no connection holds anything.
    fn largest(&self, id: u64, bytes: usize) -> Option<u64> {
        let open = || {
            let open = self.shares.iter().filter(|(_, share)| !share.evicted.is_cancelled());
            open.map(|(&of, share)| {
                (of, share.account, share.bytes + if of == id { bytes } else { 0 })
            })
        };
        let mut accounts = BTreeMap::<u64, usize>::new();
        for (_, account, held) in open() {
            *accounts.entry(account.0).or_default() += held;
        }
        let (&account, _) = accounts.iter().max_by_key(|(_, held)| **held)?;
        let of_account = open().filter(|(_, of, held)| of.0 == account && *held > 0);
        of_account.max_by_key(|(_, _, held)| *held).map(|(id, _, _)| id)
    }
}

/// The part of the budget that one connection uses.
#[derive(Debug)]
pub(super) struct BudgetShare {
    budget: Arc<MessageBudget>,
    id: u64,
    evicted: CancellationToken,
}

impl BudgetShare {
    /// An empty charge, to be grown.
    pub(super) fn empty(self: &Arc<Self>) -> Charge {
        Charge { share: self.clone(), bytes: 0 }
    }

    /// From now on, the connection counts for `account`.
    pub(super) fn set_account(&self, account: AccountId) {
        if let Some(share) = self.budget.lock().shares.get_mut(&self.id) {
            share.account = account;
        }
    }

    /// Waits until this connection has to close because its account holds most.
    pub(super) async fn evicted(&self) {
        self.evicted.cancelled().await;
    }
}

impl Drop for BudgetShare {
    fn drop(&mut self) {
        self.budget.lock().shares.remove(&self.id);
    }
}

/// Bytes of one connection that are charged until this is dropped.
#[derive(Debug)]
pub(super) struct Charge {
    share: Arc<BudgetShare>,
    bytes: usize,
}

impl Charge {
    /// Bytes that are charged.
    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }

    /// Charges `bytes` more once there is space for them. Never ready if this connection has to
    /// close.
    pub(super) fn poll_grow(&mut self, cx: &mut Context<'_>, bytes: usize) -> Poll<()> {
        let BudgetShare { budget, id, .. } = &*self.share;
        let mut state = budget.lock();
        if state.used + bytes > budget.limit {
            state.make_space(budget.limit, *id, bytes);
        }
        let has_space = state.used + bytes <= budget.limit;
        let Some(share) = state.shares.get_mut(id) else { return Poll::Pending };
        if share.evicted.is_cancelled() {
            return Poll::Pending;
        }
        if !has_space {
            share.waker = Some(cx.waker().clone());
            return Poll::Pending;
        }
        share.bytes += bytes;
        state.used += bytes;
        self.bytes += bytes;
        Poll::Ready(())
    }

    /// Changes the charge to `bytes` at once. It may exceed the budget until a connection has
    /// closed.
    pub(super) fn set(&mut self, bytes: usize) {
        let BudgetShare { budget, id, .. } = &*self.share;
        if bytes == self.bytes {
            return;
        }
        let mut state = budget.lock();
        let state = &mut *state;
        if let Some(share) = state.shares.get_mut(id) {
            share.bytes = share.bytes - self.bytes + bytes;
            if share.evicted.is_cancelled() {
                state.closing = state.closing - self.bytes + bytes;
            }
        }
        state.used = state.used - self.bytes + bytes;
        let has_shrunk = bytes < self.bytes;
        self.bytes = bytes;
        if has_shrunk {
            state.shares.values_mut().filter_map(|share| share.waker.take()).for_each(Waker::wake);
        } else {
            state.make_space(budget.limit, *id, 0);
        }
    }
}

impl Drop for Charge {
    fn drop(&mut self) {
        self.set(0);
    }
}

#[cfg(test)]
mod tests {
    use std::future::poll_fn;

    use futures_util::FutureExt;

    use super::*;

    /// A charge of `bytes`, which may exceed the budget.
    fn take(share: &Arc<BudgetShare>, bytes: usize) -> Charge {
        let mut charge = share.empty();
        charge.set(bytes);
        charge
    }

    impl Charge {
        /// Waits until `bytes` more are charged.
        async fn grow(&mut self, bytes: usize) {
            poll_fn(|cx| self.poll_grow(cx, bytes)).await;
        }
    }

    fn shares(limit: usize, accounts: &[u64]) -> (Arc<MessageBudget>, Vec<Arc<BudgetShare>>) {
        let budget = MessageBudget::new(limit);
        let shares = accounts.iter().map(|&account| budget.share(AccountId(account))).collect();
        (budget, shares)
    }

    fn is_evicted(share: &BudgetShare) -> bool {
        share.evicted.is_cancelled()
    }

    #[test]
    fn connection_that_holds_most_closes_and_others_wait_for_it() {
        let (budget, shares) = shares(100, &[1, 2, 3]);
        let (large, small) = (take(&shares[0], 60), take(&shares[1], 30));
        let mut charge = shares[2].empty();
        assert!(charge.grow(20).now_or_never().is_none(), "there is no space yet");
        assert!(charge.grow(20).now_or_never().is_none(), "nobody else is to close");
        assert_eq!([0, 1, 2].map(|i| is_evicted(&shares[i])), [true, false, false]);
        assert_eq!(budget.n_evicted(), 1);
        drop(large);
        assert!(charge.grow(20).now_or_never().is_some());
        assert_eq!(budget.used(), 50);
        drop((small, charge));
        assert_eq!(budget.used(), 0);
    }

    #[tokio::test]
    async fn waiting_connection_is_woken_when_another_one_frees_its_memory() {
        let (_budget, shares) = shares(100, &[1, 2]);
        let large = take(&shares[0], 90);
        let waiting = shares[1].clone();
        let waiting = tokio::spawn(async move { waiting.empty().grow(20).await });
        shares[0].evicted().await;
        drop(large);
        waiting.await.unwrap();
    }

    #[test]
    fn connection_that_would_hold_most_closes_itself() {
        let (_budget, shares) = shares(100, &[1, 2]);
        let (_first, mut second) = (take(&shares[0], 50), take(&shares[1], 40));
        assert!(second.grow(20).now_or_never().is_none());
        assert_eq!([is_evicted(&shares[0]), is_evicted(&shares[1])], [false, true]);
        second.set(0);
        assert!(second.grow(1).now_or_never().is_none(), "it gets nothing more");
    }

    #[test]
    fn connections_of_one_account_count_together() {
        let (_budget, shares) = shares(100, &[1, 1, 1, 2]);
        let _held: Vec<_> = [25, 20, 20].iter().zip(&shares).map(|(n, s)| take(s, *n)).collect();
        let mut other = take(&shares[3], 30);
        assert!(other.grow(10).now_or_never().is_none());
        assert_eq!([0, 1, 2, 3].map(|i| is_evicted(&shares[i])), [true, false, false, false]);
    }

    #[test]
    fn charge_that_is_taken_at_once_makes_the_largest_close() {
        let (_budget, shares) = shares(100, &[1, 2]);
        let _large = take(&shares[0], 90);
        let _small = take(&shares[1], 20);
        assert_eq!([is_evicted(&shares[0]), is_evicted(&shares[1])], [true, false]);
    }

    #[test]
    fn random_charges_never_exceed_the_limit_and_end_at_zero() {
        let (budget, shares) = shares(1000, &[1, 2, 3, 4, 5]);
        let mut charges: Vec<_> = shares.iter().map(BudgetShare::empty).collect();
        let mut random = 12_345_u64;
        for _ in 0..10_000 {
            random = random.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1);
            let [which, size] = [(random >> 40) as usize % 5, (random >> 48) as usize % 400];
            if size % 3 == 0 || is_evicted(&shares[which]) {
                charges[which].set(0);
            } else {
                charges[which].grow(size).now_or_never();
            }
            assert!(budget.used() <= 1000, "{}", budget.used());
        }
        drop(charges);
        assert_eq!(budget.used(), 0);
    }
}
