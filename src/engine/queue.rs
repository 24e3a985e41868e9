//! The queue of jobs that wait for a slot, fair between connections.
//!
//! Self-clocked fair queueing (S. J. Golestani, "A self-clocked fair queueing scheme for broadband
//! applications", INFOCOM 1994): a connection is a flow, and tokens are the cost. A job gets a
//! finish tag: the last tag of its connection, or the virtual time if that is later, plus the cost
//! of the job. The job with the smallest tag is served next, and its tag becomes the virtual time.
//!
//! So short jobs go before long ones, a long job is not starved because the virtual time catches
//! up with its tag, and a connection with ten jobs gets no more than its share (ADR-0012).

use std::collections::HashMap;

use crate::domain::ConnectionId;

use super::request::Job;

/// The jobs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    waiting: Vec<Waiting>,
    virtual_time: u64,
    /// The latest finish tag of each connection. A tag up to the virtual time has no effect.
    last_tags: HashMap<ConnectionId, u64>,
    excluded: Vec<ConnectionId>,
}

#[derive(Debug)]
struct Waiting {
    tag: u64,
    job: Job,
    /// The queue position that was last reported to the client.
    reported: Option<usize>,
}

impl WaitQueue {
    /// Adds a job.
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

    /// Excludes the jobs of these connections, and of no others, from [`Self::peek`] and
    /// [`Self::pop`] from now on.
    pub(super) fn exclude(&mut self, connections: Vec<ConnectionId>) {
        self.excluded = connections;
    }

    /// Whether no job waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The next job. Of jobs with equal tags, the first to arrive.
    pub(super) fn peek(&self) -> Option<&Job> {
        self.next().map(|i| &self.waiting[i].job)
    }

    /// Removes the next job.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let waiting = self.waiting.remove(self.next()?);
        self.virtual_time = self.virtual_time.max(waiting.tag);
        Some(waiting.job)
    }

    /// Corrects the charge for a job that ran, with a prompt of `n_prompt` tokens, to the
    /// `computed` tokens that it really took: its connection pays the excess with its next jobs,
    /// or gets the difference back.
    pub(super) fn settle(&mut self, job: &Job, n_prompt: usize, computed: usize) {
        let (charged, computed) = (cost(n_prompt, job), computed as u64);
        if computed < charged {
            self.refund(job.connection, self.virtual_time, charged - computed);
        } else {
            // The excess counts from the virtual time. On an earlier tag, or on one that was swept,
            // it would be lost: the next push raises such a tag to the virtual time.
            let last = self.last_tags.entry(job.connection).or_default();
            *last = (*last).max(self.virtual_time) + computed - charged;
        }
    }

    /// Removes the cancelled jobs and refunds their charges.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job> {
        self.take(|job| job.cancel.is_set())
    }

    /// Removes the jobs of a connection and refunds their charges.
    pub(super) fn take_by_connection(&mut self, connection: ConnectionId) -> Vec<Job> {
        self.take(|job| job.connection == connection)
    }

    /// Removes all jobs.
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

    fn next(&self) -> Option<usize> {
        let may_be_next = |&i: &usize| !self.excluded.contains(&self.waiting[i].job.connection);
        (0..self.waiting.len()).filter(may_be_next).min_by_key(|&i| self.waiting[i].tag)
    }

    fn take(&mut self, is_taken: impl Fn(&Job) -> bool) -> Vec<Job> {
        let taken: Vec<Waiting> =
            self.waiting.extract_if(.., |waiting| is_taken(&waiting.job)).collect();
        // The latest first: the refund for an earlier job would lower the tags of later jobs, some
        // below the tag of a taken job, and the refund for that job would then miss them.
        for waiting in taken.iter().rev() {
            self.refund(waiting.job.connection, waiting.tag, expected_cost(&waiting.job));
        }
        taken.into_iter().map(|waiting| waiting.job).collect()
    }

    /// Lowers the tags of `connection` that are later than `tag` by `cost`, but not below the
    /// virtual time.
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

/// The tokens that a waiting job is charged.
fn expected_cost(job: &Job) -> u64 {
    cost(job.tokens.len(), job)
}

fn cost(n_prompt: usize, job: &Job) -> u64 {
    let max_output = job.params.max_tokens.map_or(EXPECTED_OUTPUT, u64::from);
    n_prompt as u64 + max_output.min(EXPECTED_OUTPUT)
}

/// Most output tokens that a job is charged in advance. Requests seldom say how long their answers
/// will be, so the charge is corrected when the job ends (ADR-0012).
pub(super) const EXPECTED_OUTPUT: u64 = 128;

/// Number of connections with a tag above which tags that no longer matter are removed.
const MAX_TAGS_UNSWEPT: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::job;

    /// Empties the queue. The connection and prompt length of each job, in the order of service.
    fn order(queue: &mut WaitQueue) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| queue.pop()).map(|j| (j.connection.0, j.tokens.len())).collect()
    }

    #[test]
    fn short_prompt_goes_before_a_long_one() {
        let mut queue = WaitQueue::default();
        queue.push(job(1, 1000));
        queue.push(job(2, 10));
        assert_eq!(order(&mut queue), [(2, 10), (1, 1000)]);
    }

    #[test]
    fn connection_with_one_request_is_not_held_up_by_one_with_ten() {
        let mut queue = WaitQueue::default();
        for _ in 0..10 {
            queue.push(job(1, 50));
        }
        queue.push(job(2, 50));
        let order = order(&mut queue);
        assert_eq!(order.iter().position(|&(connection, _)| connection == 2), Some(1));
    }

    #[test]
    fn long_prompt_is_not_starved_by_a_stream_of_short_ones() {
        let mut queue = WaitQueue::default();
        queue.push(job(0, 2000));
        let mut served_before = 0;
        loop {
            queue.push(job(1 + served_before, 10));
            if queue.pop().unwrap().tokens.len() == 2000 {
                break;
            }
            served_before += 1;
            assert!(served_before < 100, "the long prompt is starved");
        }
    }

    #[test]
    fn output_beyond_the_expected_delays_the_next_request() {
        let mut queue = WaitQueue::default();
        let greedy = job(1, 10);
        queue.push(job(1, 10));
        queue.push(job(2, 10));
        queue.pop();
        queue.pop();
        queue.settle(&greedy, 10, 1010);
        queue.push(job(1, 10));
        queue.push(job(2, 10));
        assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
    }

    #[test]
    fn excess_output_counts_after_the_tag_of_its_connection_was_swept() {
        let mut queue = WaitQueue::default();
        let greedy = job(1, 10);
        queue.push(job(1, 10));
        for other in 2..MAX_TAGS_UNSWEPT as u64 + 4 {
            queue.push(job(other, 1000));
        }
        while queue.pop().is_some() {}
        queue.push(job(3, 10));
        queue.settle(&greedy, 10, 9000);
        queue.push(job(1, 10));
        queue.push(job(2, 1000));
        assert_eq!(queue.pop().unwrap().connection, ConnectionId(3));
        assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
    }

    #[test]
    fn excess_output_counts_after_the_virtual_time_passed_the_tag() {
        let mut queue = WaitQueue::default();
        let greedy = job(1, 10);
        queue.push(job(1, 10));
        queue.push(job(2, 9000));
        while queue.pop().is_some() {}
        queue.settle(&greedy, 10, 4000);
        queue.push(job(1, 10));
        queue.push(job(3, 1000));
        assert_eq!(queue.pop().unwrap().connection, ConnectionId(3));
    }

    #[test]
    fn connection_is_not_charged_for_jobs_cancelled_while_waiting() {
        let mut queue = WaitQueue::default();
        for _ in 0..300 {
            let cancelled = job(1, 50);
            cancelled.cancel.set();
            queue.push(cancelled);
            queue.push(job(2, 50));
            assert_eq!(queue.take_cancelled().len(), 1);
            assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
        }
        queue.push(job(2, 50));
        queue.push(job(2, 50));
        queue.push(job(1, 50));
        let order: Vec<u64> = order(&mut queue).into_iter().map(|(id, _)| id).collect();
        assert_ne!(order, [2, 2, 1], "the connection was charged");
    }

    #[test]
    fn cancelled_job_does_not_delay_later_jobs_of_its_connection() {
        let mut queue = WaitQueue::default();
        let cancelled = job(1, 1000);
        cancelled.cancel.set();
        queue.push(cancelled);
        queue.push(job(1, 10));
        queue.push(job(2, 20));
        queue.take_cancelled();
        assert_eq!(order(&mut queue), [(1, 10), (2, 20)]);
    }

    #[test]
    fn short_answer_is_refunded() {
        let mut queue = WaitQueue::default();
        let brief = job(1, 10);
        queue.push(job(1, 10));
        queue.pop();
        queue.settle(&brief, 10, 11);
        queue.push(job(1, 10));
        queue.push(job(2, 11));
        assert_eq!(queue.pop().unwrap().connection, ConnectionId(1));
    }

    #[test]
    fn queue_position_is_reported_only_when_it_changes() {
        let mut queue = WaitQueue::default();
        let (first, second) = (job(1, 10), job(2, 10));
        let (one, two) = (first.outbox.clone(), second.outbox.clone());
        queue.push(first);
        queue.push(second);
        queue.report_positions();
        assert_eq!((one.take().queued, two.take().queued), (Some(1), Some(2)));
        queue.report_positions();
        assert_eq!((one.take().queued, two.take().queued), (None, None));
        queue.pop();
        queue.report_positions();
        assert_eq!(two.take().queued, Some(1));
    }
}
