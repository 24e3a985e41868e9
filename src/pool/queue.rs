//! The queue of a pool: bounded, and fair between accounts, then between their connections.
//!
//! It uses self-clocked fair queueing, as the queue of the engine does. Work gets a finish tag: the
//! later of the virtual time at its arrival and the tag of what was last done for its account, plus
//! its cost. The work with the smallest tag is done next, and its tag becomes the virtual time. So
//! short work comes before long work, long work does not starve, and an account with much work gets
//! no larger share than one with little. Among the work of one account, the connections share in
//! the same way. The short work of a connection is done in the order of its arrival, one after
//! another, and so is its long work.

use std::collections::{HashMap, HashSet};
use std::hash::Hash;

use crate::domain::{AccountId, ConnectionId};

use super::{Full, Options, Task};

/// Work of type `W` that waits.
#[derive(Debug)]
pub(super) struct FairQueue<W> {
    options: Options,
    /// In the order of arrival.
    waiting: Vec<Pending<W>>,
    accounts: Clock<AccountId>,
    /// The clock of each account between its connections.
    connections: HashMap<AccountId, Clock<ConnectionId>>,
    /// Cost of the long work that waits.
    long_cost: usize,
    /// The connections whose short work is being done.
    busy: HashSet<ConnectionId>,
}

#[derive(Debug)]
struct Pending<W> {
    task: Task,
    /// The virtual time of the accounts, and of its account, when it arrived.
    arrived: (u64, u64),
    work: W,
}

/// The virtual time of a queue with flows.
#[derive(Debug)]
struct Clock<K> {
    /// The tag of what was done last.
    now: u64,
    /// The tag of what was done last in each flow. One up to `now` has no effect on later work.
    last: HashMap<K, u64>,
}

impl<W> FairQueue<W> {
    pub(super) fn new(options: Options) -> Self {
        Self {
            options,
            waiting: Vec::new(),
            accounts: Clock::default(),
            connections: HashMap::new(),
            long_cost: 0,
            busy: HashSet::new(),
        }
    }

    /// Adds work.
    ///
    /// # Errors
    /// There is too much already, in total or, if the work is long, for its account.
    pub(super) fn push(&mut self, task: Task, work: W) -> Result<(), Full> {
        let Options { short_cost, max_waiting, max_cost, .. } = self.options;
        let is_long = task.cost > short_cost;
        let of_account = || {
            let same = self.waiting.iter().filter(|waiting| waiting.task.account == task.account);
            let long = same.map(|waiting| waiting.task.cost).filter(|&cost| cost > short_cost);
            long.fold(0, usize::saturating_add)
        };
        // One task alone always fits. An account may have half of what the others leave, so that
        // there is space for one more account however many there are.
        let is_over = |waiting: usize, max| waiting > 0 && waiting.saturating_add(task.cost) > max;
        let is_full_of_long = || {
            let own = of_account();
            let left = max_cost.saturating_sub(self.long_cost - own);
            is_over(self.long_cost, max_cost) || is_over(own, left / 2)
        };
        if self.waiting.len() >= max_waiting || is_long && is_full_of_long() {
            return Err(Full { n_waiting: self.waiting.len() });
        }
        if is_long {
            self.long_cost = self.long_cost.saturating_add(task.cost);
        }
        let clock = self.connections.entry(task.account).or_default();
        let arrived = (self.accounts.now, clock.now);
        self.waiting.push(Pending { task, arrived, work });
        Ok(())
    }

    /// Removes and returns what is to be done next: of the short work only, if `only_short`. To be
    /// followed by [`Self::done`] with the returned task.
    pub(super) fn pop(&mut self, only_short: bool) -> Option<(Task, W)> {
        let i = self.next(only_short)?;
        let (account_tag, connection_tag) = self.tags(&self.waiting[i]);
        let task = self.waiting[i].task;
        self.accounts.advance(task.account, account_tag);
        self.connections.entry(task.account).or_default().advance(task.connection, connection_tag);
        if !self.is_long(&task) {
            self.busy.insert(task.connection);
        }
        let work = self.take(i);
        self.forget_idle();
        Some((task, work))
    }

    /// Records that work is done. Returns whether other work may have waited for that.
    pub(super) fn done(&mut self, task: &Task) -> bool {
        if !self.is_long(task) {
            self.busy.remove(&task.connection);
        }
        !self.waiting.is_empty()
    }

    /// Removes and returns the work with this key.
    pub(super) fn remove(&mut self, key: u64) -> Option<W> {
        let i = self.waiting.iter().position(|waiting| waiting.task.key == key)?;
        Some(self.take(i))
    }

    /// Removes and returns all work.
    pub(super) fn take_all(&mut self) -> Vec<W> {
        self.long_cost = 0;
        self.waiting.drain(..).map(|waiting| waiting.work).collect()
    }

    /// The keys of all work in the order of its tags.
    pub(super) fn keys(&self) -> Vec<u64> {
        let mut tagged: Vec<_> =
            self.waiting.iter().map(|waiting| (self.tags(waiting), waiting.task.key)).collect();
        tagged.sort_by_key(|&(tags, _)| tags);
        tagged.into_iter().map(|(_, key)| key).collect()
    }

    pub(super) fn len(&self) -> usize {
        self.waiting.len()
    }

    /// Index of what is to be done next: the account with the smallest tag of its next work, which
    /// is that with the smallest tag among the work of the account.
    fn next(&self, only_short: bool) -> Option<usize> {
        let mut heads: HashMap<AccountId, (u64, usize)> = HashMap::new();
        let mut has_earlier = HashSet::new();
        for (i, waiting) in self.waiting.iter().enumerate() {
            let (is_long, connection) = (self.is_long(&waiting.task), waiting.task.connection);
            let is_first = has_earlier.insert((connection, is_long));
            let waits_for_other = !is_first || !is_long && self.busy.contains(&connection);
            if waits_for_other || is_long && only_short {
                continue;
            }
            let (_, tag) = self.tags(waiting);
            let head = heads.entry(waiting.task.account).or_insert((tag, i));
            *head = (*head).min((tag, i));
        }
        let heads = heads.into_values().map(|(_, i)| (self.tags(&self.waiting[i]).0, i));
        heads.min().map(|(_, i)| i)
    }

    /// The finish tags of work, among the accounts and among the connections of its account.
    fn tags(&self, waiting: &Pending<W>) -> (u64, u64) {
        let Task { account, connection, cost, .. } = waiting.task;
        let cost = cost as u64;
        let (account_arrived, connection_arrived) = waiting.arrived;
        let clock = self.connections.get(&account);
        let last = clock.map_or(0, |clock| clock.last(&connection));
        (
            self.accounts.last(&account).max(account_arrived).saturating_add(cost),
            last.max(connection_arrived).saturating_add(cost),
        )
    }

    fn is_long(&self, task: &Task) -> bool {
        task.cost > self.options.short_cost
    }

    fn take(&mut self, i: usize) -> W {
        let Pending { task, work, .. } = self.waiting.remove(i);
        if self.is_long(&task) {
            self.long_cost -= task.cost;
        }
        work
    }

    /// Forgets accounts and connections that have nothing to do and are not ahead of the virtual
    /// time, if there are many.
    fn forget_idle(&mut self) {
        if self.accounts.last.len() > MAX_IDLE {
            let waiting: HashSet<_> =
                self.waiting.iter().map(|waiting| waiting.task.account).collect();
            self.accounts.forget(&waiting);
            let known = &self.accounts.last;
            self.connections
                .retain(|account, _| known.contains_key(account) || waiting.contains(account));
        }
        if self.connections.values().any(|clock| clock.last.len() > MAX_IDLE) {
            let waiting = self.waiting.iter().map(|waiting| waiting.task.connection).collect();
            self.connections.values_mut().for_each(|clock| clock.forget(&waiting));
        }
    }
}

impl<K: Hash + Eq> Clock<K> {
    /// The tag of what was done last in a flow.
    fn last(&self, flow: &K) -> u64 {
        self.last.get(flow).copied().unwrap_or(0)
    }

    /// Records that work with this tag is done.
    fn advance(&mut self, flow: K, tag: u64) {
        self.now = self.now.max(tag);
        self.last.insert(flow, tag);
    }

    /// Forgets the flows that are not in `waiting` and not ahead of the virtual time.
    fn forget(&mut self, waiting: &HashSet<K>) {
        self.last.retain(|flow, tag| *tag > self.now || waiting.contains(flow));
    }
}

impl<K> Default for Clock<K> {
    fn default() -> Self {
        Self { now: 0, last: HashMap::new() }
    }
}

/// Number of accounts or connections above which those without work are forgotten.
const MAX_IDLE: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn queue() -> FairQueue<u64> {
        FairQueue::new(Options {
            name: "test",
            n_threads: 1,
            stack_bytes: 0,
            short_cost: 10,
            max_waiting: 100,
            max_cost: 1000,
        })
    }

    fn push(queue: &mut FairQueue<u64>, key: u64, account: u64, connection: u64, cost: usize) {
        let (account, connection) = (AccountId(account), ConnectionId(connection));
        queue.push(Task { key, account, connection, cost }, key).unwrap();
    }

    /// Does the next work.
    fn pop(queue: &mut FairQueue<u64>, only_short: bool) -> Option<u64> {
        let (task, key) = queue.pop(only_short)?;
        queue.done(&task);
        Some(key)
    }

    fn order(queue: &mut FairQueue<u64>) -> Vec<u64> {
        std::iter::from_fn(|| pop(queue, false)).collect()
    }

    #[test]
    fn short_work_is_done_before_long_work_that_came_earlier() {
        let mut queue = queue();
        (1..=3).for_each(|i| push(&mut queue, i, i, i, 100));
        push(&mut queue, 4, 4, 4, 1);
        assert_eq!(queue.keys(), [4, 1, 2, 3]);
        assert_eq!(order(&mut queue), [4, 1, 2, 3]);
    }

    #[test]
    fn long_work_does_not_starve_beside_short_work() {
        let mut queue = queue();
        push(&mut queue, 0, 0, 0, 100);
        let mut n_short = 0;
        loop {
            n_short += 1;
            push(&mut queue, n_short, n_short, n_short, 10);
            if pop(&mut queue, false) == Some(0) {
                break;
            }
            assert!(n_short < 20, "the long work starves");
        }
    }

    #[test]
    fn account_with_much_work_gets_no_larger_share() {
        let mut queue = queue();
        (0..6).for_each(|i| push(&mut queue, i, 1, i, 20));
        (10..12).for_each(|i| push(&mut queue, i, 2, 100, 20));
        let order = order(&mut queue);
        let last = order.iter().position(|&key| key == 11).unwrap();
        assert!(last <= 3, "{order:?}");
    }

    #[test]
    fn connection_with_much_work_gets_no_larger_share_of_its_account() {
        let mut queue = queue();
        (0..6).for_each(|i| push(&mut queue, i, 1, 1, 20));
        (10..12).for_each(|i| push(&mut queue, i, 1, 2, 20));
        let order = order(&mut queue);
        let last = order.iter().position(|&key| key == 11).unwrap();
        assert!(last <= 3, "{order:?}");
    }

    #[test]
    fn shares_are_equal_with_more_accounts_or_connections_than_are_remembered() {
        for of_one_account in [false, true] {
            let mut queue = FairQueue::new(Options { max_waiting: 1000, ..queue().options });
            let account = |i| if of_one_account { 0 } else { i };
            (0..300).for_each(|i| push(&mut queue, i, account(i), i, 5));
            (1000..1010).for_each(|key| push(&mut queue, key, account(0), 0, 5));
            let order = order(&mut queue);
            let second = order.iter().position(|&key| key == 1000).unwrap();
            assert!(second >= 299, "{second} came before");
        }
    }

    #[test]
    fn reserved_thread_gets_short_work_only() {
        let mut queue = queue();
        push(&mut queue, 1, 1, 1, 11);
        assert_eq!(pop(&mut queue, true), None);
        push(&mut queue, 2, 1, 1, 10);
        assert_eq!(pop(&mut queue, true), Some(2));
        assert_eq!(pop(&mut queue, false), Some(1));
    }

    #[test]
    fn short_work_of_a_connection_is_done_in_the_order_of_its_arrival() {
        let mut queue = queue();
        push(&mut queue, 1, 1, 1, 9);
        push(&mut queue, 2, 1, 1, 1);
        push(&mut queue, 3, 2, 2, 10);
        let (first, key) = queue.pop(false).unwrap();
        assert_eq!(key, 1);
        // The first is not done yet.
        assert_eq!(pop(&mut queue, false), Some(3));
        assert!(queue.pop(false).is_none());
        assert!(queue.done(&first));
        assert_eq!(pop(&mut queue, true), Some(2));
        assert_eq!(queue.len(), 0);
    }

    #[test]
    fn work_beyond_the_bounds_is_refused_and_short_work_is_not() {
        let mut queue = queue();
        let task = |account: u64, cost| Task {
            key: 0,
            account: AccountId(account),
            connection: ConnectionId(account),
            cost,
        };
        // One alone always fits.
        assert!(queue.push(task(1, 5000), 0).is_ok());
        assert_eq!(queue.push(task(1, 11), 0), Err(Full { n_waiting: 1 }));
        assert_eq!(queue.push(task(2, 11), 0), Err(Full { n_waiting: 1 }));
        assert!(queue.push(task(1, 10), 0).is_ok());
        assert!(queue.remove(0).is_some());
        assert!(queue.push(task(2, 500), 0).is_ok());
        assert!(queue.push(task(2, 11), 0).is_err());
        assert!(queue.push(task(3, 500), 0).is_ok());
        assert!(queue.push(task(4, 11), 0).is_err());
        assert_eq!(queue.take_all().len(), 3);
        // Each account may have half of what the others leave, so there is always some left.
        for (account, most) in [(1, 500), (2, 250), (3, 125), (4, 62)] {
            while queue.push(task(account, 20), 0).is_ok() {}
            let of_account = queue.waiting.iter().filter(|w| w.task.account == AccountId(account));
            let cost: usize = of_account.map(|waiting| waiting.task.cost).sum();
            assert!((most - 20..=most).contains(&cost), "{account}: {cost}");
        }
        while queue.push(task(5, 1), 0).is_ok() {}
        assert_eq!(queue.len(), 100);
        assert_eq!(queue.take_all().len(), 100);
        assert!(queue.push(task(4, 400), 0).is_ok());
    }

    #[test]
    fn accounts_without_work_are_forgotten() {
        let mut queue = queue();
        for i in 0..2000 {
            push(&mut queue, i, i, i, 5);
            assert_eq!(pop(&mut queue, false), Some(i));
        }
        assert!(queue.connections.len() <= MAX_IDLE + 1, "{}", queue.connections.len());
        assert!(queue.accounts.last.len() <= MAX_IDLE + 1, "{}", queue.accounts.last.len());
    }
}
