//! The flows of fair queueing, and their tags.
//!
//! Accounts are flows, and the connections of each account are flows in a queueing system of their
//! own. [`FlowParent`] is one such system: its flows and its virtual time.

use std::collections::BTreeMap;

use crate::domain::{AccountId, ConnectionId};

/// Whom a job counts for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Flow {
    pub(in crate::engine) account: AccountId,
    pub(in crate::engine) connection: ConnectionId,
}

/// How one flow stands.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(in crate::engine) struct FlowState {
    /// The tokens that were charged so far, on the scale of the virtual time.
    pub(in crate::engine) tag: u64,
    /// Number of its jobs in a slot.
    pub(in crate::engine) n_running: usize,
    /// Number of its suspended jobs.
    pub(in crate::engine) n_suspended: usize,
    /// Number of its waiting jobs that never had a slot.
    pub(in crate::engine) n_new: usize,
}

/// How the flows of a job stand.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) struct Standing {
    pub(in crate::engine) flow: Flow,
    pub(in crate::engine) account: FlowState,
    pub(in crate::engine) connection: FlowState,
}

impl FlowState {
    /// Whether none of the flow's jobs in flight had a slot.
    pub(in crate::engine) fn is_new(self) -> bool {
        self.n_running + self.n_suspended == 0
    }

    /// Number of its jobs in the queue.
    pub(super) fn n_waiting(self) -> usize {
        self.n_suspended + self.n_new
    }

    /// Counts a job that comes into the queue.
    pub(super) fn count(&mut self, is_suspended: bool) {
        *self.counter(is_suspended) += 1;
    }

    /// No longer counts a job that leaves the queue.
    pub(super) fn uncount(&mut self, is_suspended: bool) {
        *self.counter(is_suspended) -= 1;
    }

    /// Notes that a job has left its slot, and refunds `n` tokens.
    pub(super) fn leave(&mut self, n: u64) {
        self.n_running = self.n_running.saturating_sub(1);
        self.tag = self.tag.saturating_sub(n);
    }

    fn counter(&mut self, is_suspended: bool) -> &mut usize {
        if is_suspended { &mut self.n_suspended } else { &mut self.n_new }
    }

    /// Whether the flow has a job in the queue or in a slot.
    fn is_active(self) -> bool {
        self.n_running + self.n_waiting() > 0
    }
}

impl Standing {
    /// Whether the account or the connection has no request in a slot and none suspended.
    pub(in crate::engine) fn is_new(&self) -> bool {
        self.account.is_new() || self.connection.is_new()
    }

    /// The flows on the level on which this job and `other` compete: their connections if both
    /// belong to one account, otherwise their accounts. `None` for jobs of one connection.
    pub(in crate::engine) fn against(&self, other: &Self) -> Option<(FlowState, FlowState)> {
        if self.flow.account != other.flow.account {
            Some((self.account, other.account))
        } else if self.flow.connection != other.flow.connection {
            Some((self.connection, other.connection))
        } else {
            None
        }
    }
}

/// A flow: its state, and what it consists of.
#[derive(Debug, Default)]
pub(super) struct FlowLevel<C> {
    pub(super) state: FlowState,
    pub(super) content: C,
}

/// Flows that compete with each other.
#[derive(Debug)]
pub(super) struct FlowParent<K, F> {
    flows: BTreeMap<K, F>,
    /// The largest tag of a job that got a slot, or the smallest of all active flows if that is
    /// larger. Never decreases while a flow is active.
    virtual_time: u64,
}

impl<K, F> Default for FlowParent<K, F> {
    fn default() -> Self {
        Self { flows: BTreeMap::new(), virtual_time: 0 }
    }
}

impl<K, F> FlowParent<K, F> {
    pub(super) fn flows(&self) -> impl Iterator<Item = &F> {
        self.flows.values()
    }

    pub(super) fn flows_mut(&mut self) -> impl Iterator<Item = &mut F> {
        self.flows.values_mut()
    }
}

impl<K: Ord + Copy, C: Default> FlowParent<K, FlowLevel<C>> {
    /// The flow `key`, to which a job is about to be added. If the flow has no waiting job, it
    /// continues at the virtual time, or later if it was charged more. If no flow is active, all
    /// charges are forgotten: nobody was delayed by them.
    pub(super) fn activate(&mut self, key: K) -> &mut FlowLevel<C> {
        let active = self.flows.values().filter(|flow| flow.state.is_active());
        match active.map(|flow| flow.state.tag).min() {
            None => {
                self.flows.clear();
                self.virtual_time = 0;
            }
            Some(smallest) => self.virtual_time = self.virtual_time.max(smallest),
        }
        let virtual_time = self.virtual_time;
        if self.flows.len() > MAX_UNSWEPT {
            self.flows.retain(|_, flow| flow.state.is_active() || flow.state.tag > virtual_time);
        }
        let flow = self.flows.entry(key).or_default();
        if flow.state.n_waiting() == 0 {
            flow.state.tag = flow.state.tag.max(virtual_time);
        }
        flow
    }

    pub(super) fn get(&self, key: K) -> Option<&FlowLevel<C>> {
        self.flows.get(&key)
    }

    pub(super) fn get_mut(&mut self, key: K) -> Option<&mut FlowLevel<C>> {
        self.flows.get_mut(&key)
    }

    /// Notes that a job of the flow `key` has got a slot, and charges `cost` tokens.
    pub(super) fn start(&mut self, key: K, cost: u64) {
        if let Some(flow) = self.flows.get_mut(&key) {
            flow.state.tag += cost;
            flow.state.n_running += 1;
            self.virtual_time = self.virtual_time.max(flow.state.tag);
        }
    }
}

/// Number of flows above which idle ones with a tag up to the virtual time are removed: they no
/// longer matter.
const MAX_UNSWEPT: usize = 256;
