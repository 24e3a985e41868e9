//! Who waits, and who is next.
//!
//! Self-clocked fair queueing (S. J. Golestani, "A self-clocked fair queueing scheme for
//! broadband applications", INFOCOM 1994), with a connection as the flow and tokens as the cost.
//! Each job gets a finish tag: the connection's last tag, or the queue's clock if that is later,
//! plus the job's cost. The smallest tag is served next and becomes the clock. From this one rule
//! follow all three things we want: a short job goes before a long one, a long one is not
//! starved since the clock overtakes it, and a connection with ten jobs gets no more than its
//! share.

use std::collections::HashMap;

use crate::domain::ConnectionId;

use super::request::Job;

/// Output tokens a job is charged for at first; a client that leaves `max_tokens` open does not
/// say how many there will be. The account is settled when it ends.
pub(super) const EXPECTED_OUTPUT: u64 = 128;

/// Tags of more connections than this are swept for those that no longer matter.
const SWEEP_ABOVE: usize = 256;

/// The jobs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    waiting: Vec<Waiting>,
    clock: u64,
    last_tags: HashMap<ConnectionId, u64>,
    excluded: Vec<ConnectionId>,
}

#[derive(Debug)]
struct Waiting {
    tag: u64,
    job: Job,
    /// The place last told to the client.
    told: Option<usize>,
}

impl WaitQueue {
    /// Adds a job.
    pub(super) fn push(&mut self, job: Job) {
        if self.last_tags.len() > SWEEP_ABOVE {
            let clock = self.clock;
            self.last_tags.retain(|_, tag| *tag > clock);
        }
        let cost = expected_cost(&job);
        let last = self.last_tags.entry(job.connection).or_default();
        *last = (*last).max(self.clock) + cost;
        self.waiting.push(Waiting { tag: *last, job, told: None });
    }

    /// Passes over the jobs of these connections, and of no others, from now on.
    pub(super) fn exclude(&mut self, connections: Vec<ConnectionId>) {
        self.excluded = connections;
    }

    /// Whether nobody waits.
    pub(super) fn is_empty(&self) -> bool {
        self.waiting.is_empty()
    }

    /// The job that is next, if any may be. Ties go to the one that came first.
    pub(super) fn peek(&self) -> Option<&Job> {
        self.next().map(|i| &self.waiting[i].job)
    }

    /// Takes the job that is next.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let waiting = self.waiting.remove(self.next()?);
        self.clock = self.clock.max(waiting.tag);
        Some(waiting.job)
    }

    /// Settles the account of a job that has run with a prompt of `n_prompt` tokens: its connection
    /// is charged for the `computed` tokens it really took, and given back what it was charged too
    /// much.
    pub(super) fn settle(&mut self, job: &Job, n_prompt: usize, computed: usize) {
        let (charged, computed) = (cost(n_prompt, job), computed as u64);
        if computed < charged {
            self.give_back(job.connection, self.clock, charged - computed);
        } else {
            // From the clock on: a tag behind it, or one that is forgotten since many others have
            // come, would be moved up to it with the next request, and the excess be lost.
            let last = self.last_tags.entry(job.connection).or_default();
            *last = (*last).max(self.clock) + computed - charged;
        }
    }

    /// Takes out the jobs that nobody waits for any more, and gives back what they were charged.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job> {
        self.take(|job| job.cancel.is_set())
    }

    /// Takes out the jobs of a connection, and gives back what they were charged.
    pub(super) fn take_by_connection(&mut self, connection: ConnectionId) -> Vec<Job> {
        self.take(|job| job.connection == connection)
    }

    fn take(&mut self, is_meant: impl Fn(&Job) -> bool) -> Vec<Job> {
        let taken: Vec<Waiting> =
            self.waiting.extract_if(.., |waiting| is_meant(&waiting.job)).collect();
        // The latest first: a tag is compared with those of jobs that came before it.
        for waiting in taken.iter().rev() {
            self.give_back(waiting.job.connection, waiting.tag, expected_cost(&waiting.job));
        }
        taken.into_iter().map(|waiting| waiting.job).collect()
    }

    /// Moves what `connection` asked for after `tag` up by `cost`, never before the clock.
    fn give_back(&mut self, connection: ConnectionId, tag: u64, cost: u64) {
        let clock = self.clock;
        let moved = |tag: u64| tag.saturating_sub(cost).max(clock);
        for waiting in &mut self.waiting {
            if waiting.job.connection == connection && waiting.tag > tag {
                waiting.tag = moved(waiting.tag);
            }
        }
        if let Some(last) = self.last_tags.get_mut(&connection) {
            *last = moved(*last);
        }
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.waiting.drain(..).map(|waiting| waiting.job).collect()
    }

    /// Tells each waiting client its place, where that has changed.
    pub(super) fn report_positions(&mut self) {
        self.waiting.sort_by_key(|waiting| waiting.tag);
        for (i, waiting) in self.waiting.iter_mut().enumerate() {
            let place = i + 1;
            if waiting.told != Some(place) {
                waiting.told = Some(place);
                waiting.job.outbox.queued(place);
            }
        }
    }

    fn next(&self) -> Option<usize> {
        let may_be = |&i: &usize| !self.excluded.contains(&self.waiting[i].job.connection);
        (0..self.waiting.len()).filter(may_be).min_by_key(|&i| self.waiting[i].tag)
    }
}

/// What a job that waits is charged.
fn expected_cost(job: &Job) -> u64 {
    cost(job.tokens.len(), job)
}

fn cost(n_prompt: usize, job: &Job) -> u64 {
    let most = job.params.max_tokens.map_or(EXPECTED_OUTPUT, u64::from);
    n_prompt as u64 + most.min(EXPECTED_OUTPUT)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::request::job;

    fn order(queue: &mut WaitQueue) -> Vec<(u64, usize)> {
        std::iter::from_fn(|| queue.pop()).map(|j| (j.connection.0, j.tokens.len())).collect()
    }

    #[test]
    fn a_short_prompt_goes_before_a_long_one() {
        let mut queue = WaitQueue::default();
        queue.push(job(1, 1000));
        queue.push(job(2, 10));
        assert_eq!(order(&mut queue), [(2, 10), (1, 1000)]);
    }

    #[test]
    fn a_connection_with_ten_requests_does_not_push_out_one_with_a_single_request() {
        let mut queue = WaitQueue::default();
        for _ in 0..10 {
            queue.push(job(1, 50));
        }
        queue.push(job(2, 50));
        let order = order(&mut queue);
        assert_eq!(order.iter().position(|&(connection, _)| connection == 2), Some(1));
    }

    #[test]
    fn a_stream_of_short_prompts_does_not_starve_a_long_one() {
        let mut queue = WaitQueue::default();
        queue.push(job(0, 2000));
        let mut served_before = 0;
        loop {
            queue.push(job(1 + served_before, 10));
            if queue.pop().unwrap().tokens.len() == 2000 {
                break;
            }
            served_before += 1;
            assert!(served_before < 100, "the long prompt waits for ever");
        }
    }

    #[test]
    fn output_beyond_the_expected_counts_against_the_next_request() {
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
    fn output_counts_too_where_many_others_came_meanwhile() {
        let mut queue = WaitQueue::default();
        let greedy = job(1, 10);
        queue.push(job(1, 10));
        for other in 2..SWEEP_ABOVE as u64 + 4 {
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
    fn output_counts_too_where_the_others_went_on_meanwhile() {
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
    fn a_connection_pays_nothing_for_what_it_aborted_while_it_waited() {
        let mut queue = WaitQueue::default();
        for _ in 0..300 {
            let regretted = job(1, 50);
            regretted.cancel.set();
            queue.push(regretted);
            queue.push(job(2, 50));
            assert_eq!(queue.take_cancelled().len(), 1);
            assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
        }
        queue.push(job(2, 50));
        queue.push(job(2, 50));
        queue.push(job(1, 50));
        let order: Vec<u64> = order(&mut queue).into_iter().map(|(id, _)| id).collect();
        assert_ne!(order, [2, 2, 1], "it waits behind everybody");
    }

    #[test]
    fn what_was_aborted_no_longer_stands_before_what_came_after_it() {
        let mut queue = WaitQueue::default();
        let regretted = job(1, 1000);
        regretted.cancel.set();
        queue.push(regretted);
        queue.push(job(1, 10));
        queue.push(job(2, 20));
        queue.take_cancelled();
        assert_eq!(order(&mut queue), [(1, 10), (2, 20)]);
    }

    #[test]
    fn a_short_answer_is_charged_as_one() {
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
    fn a_client_is_told_its_place_once_until_it_changes() {
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
