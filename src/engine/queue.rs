//! The queue of jobs that wait for a slot. It is fair between accounts, and in each account between
//! connections.
//!
//! It uses self-clocked fair queueing (S. J. Golestani, "A self-clocked fair queueing scheme for
//! broadband applications", INFOCOM 1994) on two levels: accounts are flows, and so are the
//! connections of an account. A job costs the tokens that it is expected to compute. Its finish tag
//! is the tag of its flow plus its cost, and the job with the smallest finish tag is next: first
//! among the connections of each account, then among the accounts. A job is charged to its flows
//! when it gets a slot, and the difference to what it computed is settled later.
//!
//! So short jobs are served before long ones, and a connection with ten jobs gets no larger share
//! than one with a single job. Flows without a request in a slot or suspended may overtake the
//! others, a few in a row (ADR-0012, ADR-0041).

mod flow;
mod position;

use std::collections::{BTreeMap, HashSet, VecDeque};

use crate::domain::{AccountId, ConnectionId};

pub(super) use self::flow::{Flow, FlowState, Standing};
use self::flow::{FlowLevel, FlowParent};

/// What the queue needs to know about a job.
pub(super) trait Queued {
    /// Whom the job counts for.
    fn flow(&self) -> Flow;
    /// Number of tokens that the job is expected to compute.
    fn cost(&self) -> u64;
    /// Whether the job had a slot before: it is suspended.
    fn is_suspended(&self) -> bool;
    /// Tells the client the queue position of a job that is not suspended, counted from 1.
    fn report_position(&self, position: usize);
}

/// The jobs that wait for a slot.
#[derive(Debug)]
pub(super) struct WaitQueue<T> {
    accounts: FlowParent<AccountId, Account<T>>,
    /// Connections whose jobs are never next.
    excluded: HashSet<ConnectionId>,
    /// Number of jobs pushed so far.
    n_pushed: u64,
    /// The number of the job for which a slot was freed.
    claimed: Option<u64>,
    /// Number of jobs in a row that have overtaken others.
    n_overtakes: u32,
    /// Whether jobs came or went since queue positions were reported.
    is_changed: bool,
}

type Account<T> = FlowLevel<FlowParent<ConnectionId, Connection<T>>>;

/// Suspended jobs come first, then the others, each in the order of arrival.
type Connection<T> = FlowLevel<VecDeque<QueueEntry<T>>>;

/// A job in the queue.
#[derive(Debug)]
struct QueueEntry<T> {
    /// Number of jobs pushed before. Identifies the job.
    number: u64,
    job: T,
    /// The queue position that was last reported to the client.
    reported: Option<usize>,
}

/// The first job of a connection, as the order compares it.
struct Head<'a, T> {
    waiting: &'a QueueEntry<T>,
    flow: Flow,
    standing: Standing,
}

impl<T> Default for WaitQueue<T> {
    fn default() -> Self {
        Self {
            accounts: FlowParent::default(),
            excluded: HashSet::new(),
            n_pushed: 0,
            claimed: None,
            n_overtakes: 0,
            is_changed: false,
        }
    }
}

impl<T: Queued> WaitQueue<T> {
    /// Adds a job.
    pub(super) fn push(&mut self, job: T) {
        let Flow { account, connection } = job.flow();
        let is_suspended = job.is_suspended();
        let account = self.accounts.activate(account);
        let (state, jobs) = {
            let connection = account.content.activate(connection);
            (&mut connection.state, &mut connection.content)
        };
        let waiting = QueueEntry { number: self.n_pushed, job, reported: None };
        let at = if is_suspended { state.n_suspended } else { jobs.len() };
        jobs.insert(at, waiting);
        state.count(is_suspended);
        account.state.count(is_suspended);
        self.n_pushed += 1;
        self.is_changed = true;
    }

    /// Replaces the set of excluded connections, whose jobs are never next.
    pub(super) fn exclude(&mut self, connections: HashSet<ConnectionId>) {
        self.excluded = connections;
    }

    /// Whether no job waits.
    pub(super) fn is_empty(&self) -> bool {
        self.accounts.flows().all(|account| account.state.n_waiting() == 0)
    }

    /// Whether any job may be next.
    pub(super) fn has_next(&self) -> bool {
        self.heads().next().is_some()
    }

    /// Whether a job waits that may have a slot on the conditions of a new flow.
    pub(super) fn has_new_flow(&self) -> bool {
        !self.may_overtake() || self.heads().any(|head| head.standing.is_new())
    }

    /// Number of jobs that never had a slot.
    pub(super) fn n_new(&self) -> usize {
        self.accounts.flows().map(|account| account.state.n_new).sum()
    }

    /// Number of suspended jobs.
    pub(super) fn n_suspended(&self) -> usize {
        self.accounts.flows().map(|account| account.state.n_suspended).sum()
    }

    /// The next job: the claimed one, or else the first in order.
    pub(super) fn peek(&self) -> Option<&T> {
        self.next().map(|head| &head.waiting.job)
    }

    /// Claims a slot that is about to be freed for the next job for which `can_have` is true, and
    /// returns that job's standing and whether it is overdue. The first job in fair order is
    /// overdue once as many jobs in a row as allowed have overtaken it.
    pub(super) fn claim(
        &mut self,
        can_have: impl Fn(&Standing, bool) -> bool,
    ) -> Option<(Standing, bool)> {
        let overdue = match self.may_overtake() {
            true => None,
            false => self.first(false, |_| true).filter(|head| can_have(&head.standing, true)),
        };
        let is_overdue = overdue.is_some();
        let head = overdue.or_else(|| self.first(true, |standing| can_have(standing, false)))?;
        let (number, standing) = (head.waiting.number, head.standing);
        self.claimed = Some(number);
        Some((standing, is_overdue))
    }

    /// Removes and returns the next job, and charges it to its flows. Returns the charge as well.
    pub(super) fn pop(&mut self) -> Option<(T, u64)> {
        let head = self.next()?;
        let (number, flow, is_new) = (head.waiting.number, head.flow, head.standing.is_new());
        let first = self.first(false, |_| true).map(|head| head.waiting.number);
        let has_overtaken = is_new && first != Some(number);
        self.n_overtakes = if has_overtaken { self.n_overtakes + 1 } else { 0 };
        self.claimed = None;
        let waiting = self.remove(flow, number)?;
        let cost = waiting.job.cost();
        self.accounts.start(flow.account, cost);
        if let Some(account) = self.accounts.get_mut(flow.account) {
            account.content.start(flow.connection, cost);
        }
        Some((waiting.job, cost))
    }

    /// Charges `n` more tokens to `flow`: a running job has computed more than was charged.
    pub(super) fn charge(&mut self, flow: Flow, n: u64) {
        self.each_state(flow, |state| state.tag += n);
    }

    /// Notes that a job of `flow` has left its slot, and refunds the `n` tokens that it was charged
    /// and did not compute.
    pub(super) fn leave(&mut self, flow: Flow, n: u64) {
        self.each_state(flow, |state| state.leave(n));
    }

    /// How the flows of a running job stand.
    pub(super) fn standing(&self, flow: Flow) -> Standing {
        let account = self.accounts.get(flow.account);
        let connection = account.and_then(|account| account.content.get(flow.connection));
        Standing {
            flow,
            account: account.map(|account| account.state).unwrap_or_default(),
            connection: connection.map(|connection| connection.state).unwrap_or_default(),
        }
    }

    /// All jobs.
    pub(super) fn iter(&self) -> impl Iterator<Item = &T> {
        let connections = self.accounts.flows().flat_map(|account| account.content.flows());
        connections.flat_map(|connection| &connection.content).map(|waiting| &waiting.job)
    }

    /// All jobs. Their flows, costs and states must not be changed.
    pub(super) fn iter_mut(&mut self) -> impl Iterator<Item = &mut T> {
        let accounts = self.accounts.flows_mut();
        let connections = accounts.flat_map(|account| account.content.flows_mut());
        connections.flat_map(|connection| &mut connection.content).map(|waiting| &mut waiting.job)
    }

    /// Removes and returns the jobs for which `is_taken` is true.
    pub(super) fn take(&mut self, is_taken: impl Fn(&T) -> bool) -> Vec<T> {
        let mut taken = Vec::new();
        for account in self.accounts.flows_mut() {
            for connection in account.content.flows_mut() {
                let mut i = 0;
                while i < connection.content.len() {
                    if !is_taken(&connection.content[i].job) {
                        i += 1;
                    } else if let Some(waiting) = connection.content.remove(i) {
                        let is_suspended = waiting.job.is_suspended();
                        connection.state.uncount(is_suspended);
                        account.state.uncount(is_suspended);
                        taken.push(waiting.job);
                    }
                }
            }
        }
        self.is_changed |= !taken.is_empty();
        taken
    }

    /// Removes and returns the job that gives way if there are too many: of those that are not
    /// suspended, the last one of the account with most of them, and there of the connection with
    /// most of them.
    pub(super) fn give_way(&mut self) -> Option<T> {
        let last = |connection: &Connection<T>| {
            let last = connection.content.back().filter(|_| connection.state.n_new > 0)?;
            Some((connection.state.n_new, last.number, last.job.flow()))
        };
        let of_account = |account: &Account<T>| {
            let of_connections = account.content.flows().filter_map(last);
            let (_, number, flow) = of_connections.max_by_key(|&(n, number, _)| (n, number))?;
            Some((account.state.n_new, number, flow))
        };
        let of_accounts = self.accounts.flows().filter_map(of_account);
        let (_, number, flow) = of_accounts.max_by_key(|&(n, number, _)| (n, number))?;
        self.remove(flow, number).map(|waiting| waiting.job)
    }

    /// The head of [`Self::peek`].
    fn next(&self) -> Option<Head<'_, T>> {
        let is_claimed = |head: &Head<'_, T>| Some(head.waiting.number) == self.claimed;
        let claimed = self.claimed.and_then(|_| self.heads().find(is_claimed));
        claimed.or_else(|| self.first(self.may_overtake(), |_| true))
    }

    /// The first job in order, of those that `can_have` a slot. Jobs of new flows come first if
    /// they may `overtake`.
    fn first(&self, overtake: bool, can_have: impl Fn(&Standing) -> bool) -> Option<Head<'_, T>> {
        let mut of_accounts: BTreeMap<AccountId, Head<'_, T>> = BTreeMap::new();
        for head in self.heads().filter(|head| can_have(&head.standing)) {
            let key = |head: &Head<'_, T>| head.key(head.standing.connection, overtake);
            let best = of_accounts.get(&head.flow.account);
            if best.is_none_or(|best| key(&head) < key(best)) {
                of_accounts.insert(head.flow.account, head);
            }
        }
        let key = |head: &Head<'_, T>| head.key(head.standing.account, overtake);
        of_accounts.into_values().min_by_key(key)
    }

    /// The first job of every connection that is not excluded.
    fn heads(&self) -> impl Iterator<Item = Head<'_, T>> {
        self.accounts.flows().flat_map(move |account| {
            account.content.flows().filter_map(move |connection| {
                let waiting = connection.content.front()?;
                let flow = waiting.job.flow();
                let standing =
                    Standing { flow, account: account.state, connection: connection.state };
                let is_excluded = self.excluded.contains(&flow.connection);
                (!is_excluded).then_some(Head { waiting, flow, standing })
            })
        })
    }

    /// Whether new flows may overtake others.
    fn may_overtake(&self) -> bool {
        self.n_overtakes < MAX_OVERTAKES
    }

    /// Removes the job `number` of `flow`, without a charge.
    fn remove(&mut self, flow: Flow, number: u64) -> Option<QueueEntry<T>> {
        let account = self.accounts.get_mut(flow.account)?;
        let connection = account.content.get_mut(flow.connection)?;
        let i = connection.content.iter().position(|waiting| waiting.number == number)?;
        let waiting = connection.content.remove(i)?;
        let is_suspended = waiting.job.is_suspended();
        connection.state.uncount(is_suspended);
        account.state.uncount(is_suspended);
        self.is_changed = true;
        Some(waiting)
    }

    /// Calls `change` with the states of an account and a connection.
    fn each_state(&mut self, flow: Flow, change: impl Fn(&mut FlowState)) {
        let Some(account) = self.accounts.get_mut(flow.account) else { return };
        change(&mut account.state);
        if let Some(connection) = account.content.get_mut(flow.connection) {
            change(&mut connection.state);
        }
    }
}

impl<T: Queued> Head<'_, T> {
    /// What the order compares: in a level of flows where the flow of the job has `state`.
    fn key(&self, state: FlowState, overtake: bool) -> (bool, u64, u64) {
        let is_behind = overtake && !state.is_new();
        (is_behind, state.tag + self.waiting.job.cost(), self.waiting.number)
    }
}

/// Most jobs in a row that overtake others because their flow is new (ADR-0041).
const MAX_OVERTAKES: u32 = 4;

#[cfg(test)]
mod tests;
