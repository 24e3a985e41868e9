//! The queue of jobs that wait for a slot. It is fair between connections.
//!
//! It uses self-clocked fair queueing (S. J. Golestani, "A self-clocked fair queueing scheme for
//! broadband applications", INFOCOM 1994). Each connection is a flow, and a job costs the tokens
//! that it is expected to compute. The finish tag of a job is `max(last tag of its connection,
//! virtual time) + cost`. The job with the smallest tag is served next, and its tag becomes the
//! virtual time.
//!
//! So short jobs are served before long ones. A long job does not starve, because the virtual time
//! grows until it reaches the job's tag. A connection with ten jobs gets no larger share than one
//! with a single job (ADR-0012).

use std::collections::HashMap;

use crate::domain::ConnectionId;

use super::request::Job;

/// The jobs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    /// Jobs with equal tags are in order of arrival.
    waiting: Vec<Waiting>,
    /// Finish tag of the last served job, in tokens. Never decreases.
    virtual_time: u64,
    /// The latest finish tag of each connection. A tag up to the virtual time has no effect.
    last_tags: HashMap<ConnectionId, u64>,
    /// Connections whose jobs [`Self::peek`] and [`Self::pop`] skip.
    excluded: Vec<ConnectionId>,
}

/// A job in the queue.
#[derive(Debug)]
struct Waiting {
    /// Finish tag, in tokens.
    tag: u64,
    job: Job,
    /// The queue position that was last reported to the client.
    reported: Option<usize>,
}

impl WaitQueue {
    /// Adds a job and charges its connection the expected cost.
    pub(super) fn push(&mut self, job: Job) {
        if self.last_tags.len() > MAX_TAGS_UNSWEPT {
            let virtual_time = self.virtual_time;
            self.last_tags.retain(|_, tag| *tag > virtual_time);
        }
        let cost = expected_cost(&job);
        let last = self.last_tags.entry(job.connection).or_default();
        *last = (*last).max(self.virtual_time) + cost;
        self.waiting.push(Waiting { tag: *last, job, reported: None });
    }

    /// Replaces the set of excluded connections, whose jobs [`Self::peek`] and [`Self::pop`] skip.
    pub(super) fn exclude(&mut self, connections: Vec<ConnectionId>) {
        self.excluded = connections;
    }

    /// Whether no job waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The job with the smallest tag. Of jobs with equal tags, the first to arrive.
    pub(super) fn peek(&self) -> Option<&Job> {
        self.next().map(|i| &self.waiting[i].job)
    }

    /// Removes and returns the job with the smallest tag, which becomes the virtual time.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let waiting = self.waiting.remove(self.next()?);
        self.virtual_time = self.virtual_time.max(waiting.tag);
        Some(waiting.job)
    }

    /// Settles the charge for a job that had a slot. It was charged `n_prompt` prompt tokens and
    /// its expected output, and computed `n_computed` tokens. If it computed more, the connection's
    /// next job gets a later tag; if fewer, its waiting and next jobs get earlier tags.
    pub(super) fn settle(&mut self, job: &Job, n_prompt: usize, n_computed: usize) {
        let (charged, computed) = (cost(n_prompt, job), n_computed as u64);
        if computed < charged {
            self.refund(job.connection, self.virtual_time, charged - computed);
        } else {
            // The excess is added to the virtual time if the last tag is earlier or was removed.
            // Otherwise it would be lost: the next push raises such a tag to the virtual time.
            let last = self.last_tags.entry(job.connection).or_default();
            *last = (*last).max(self.virtual_time) + computed - charged;
        }
    }

    /// Removes and returns the cancelled jobs, and refunds their charges.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job> {
        self.take(|job| job.cancel.is_set())
    }

    /// Removes and returns the jobs of a connection, and refunds their charges.
    pub(super) fn take_by_connection(&mut self, connection: ConnectionId) -> Vec<Job> {
        self.take(|job| job.connection == connection)
    }

    /// Removes and returns all jobs, without a refund.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.waiting.drain(..).map(|waiting| waiting.job).collect()
    }

    /// Reports to each client the queue position of its job, if it has changed.
    pub(super) fn report_positions(&mut self) {
        self.waiting.sort_by_key(|waiting| waiting.tag);
        for (i, waiting) in self.waiting.iter_mut().enumerate() {
            let position = i + 1;
            if waiting.reported != Some(position) {
                waiting.reported = Some(position);
                waiting.job.outbox.queued(position);
            }
        }
    }

    /// Index of the next job.
    fn next(&self) -> Option<usize> {
        let may_be_next = |&i: &usize| !self.excluded.contains(&self.waiting[i].job.connection);
        (0..self.waiting.len()).filter(may_be_next).min_by_key(|&i| self.waiting[i].tag)
    }

    /// Removes and returns the jobs for which `is_taken` is true, and refunds their charges.
    fn take(&mut self, is_taken: impl Fn(&Job) -> bool) -> Vec<Job> {
        let taken: Vec<Waiting> =
            self.waiting.extract_if(.., |waiting| is_taken(&waiting.job)).collect();
        // Refund in descending order of tags. Refunding an earlier job first could lower a later
        // job's tag below the tag of another removed job, whose refund would then skip it.
        for waiting in taken.iter().rev() {
            self.refund(waiting.job.connection, waiting.tag, expected_cost(&waiting.job));
        }
        taken.into_iter().map(|waiting| waiting.job).collect()
    }

    /// Refunds `cost` tokens to `connection`: lowers its tags that are later than `tag`, but not
    /// below the virtual time.
    fn refund(&mut self, connection: ConnectionId, tag: u64, cost: u64) {
        let virtual_time = self.virtual_time;
        let lowered = |tag: u64| tag.saturating_sub(cost).max(virtual_time);
        for waiting in &mut self.waiting {
            if waiting.job.connection == connection && waiting.tag > tag {
                waiting.tag = lowered(waiting.tag);
            }
        }
        if let Some(last) = self.last_tags.get_mut(&connection) {
            *last = lowered(*last);
        }
    }
}

/// The tokens that a waiting job is charged: its prompt and its expected output.
fn expected_cost(job: &Job) -> u64 {
    cost(job.tokens.len(), job)
}

/// The tokens that `job` is charged if its prompt has `n_prompt` tokens.
fn cost(n_prompt: usize, job: &Job) -> u64 {
    let max_output = job.params.max_tokens.map_or(EXPECTED_OUTPUT_TOKENS, u64::from);
    n_prompt as u64 + max_output.min(EXPECTED_OUTPUT_TOKENS)
}

/// Most output tokens that a job is charged in advance. Few requests set `max_tokens`, so `settle`
/// corrects the charge when the job ends (ADR-0012).
pub(super) const EXPECTED_OUTPUT_TOKENS: u64 = 128;

/// Number of connections with a tag above which tags up to the virtual time are removed.
const MAX_TAGS_UNSWEPT: usize = 256;

#[cfg(test)]
mod tests;
