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

use super::slot::Job;

/// Output tokens a job is charged for at first; a client that leaves `max_tokens` open does not
/// say how many there will be. What it takes beyond is charged when it ends.
const EXPECTED_OUTPUT: u64 = 128;

/// Tags of more connections than this are swept for those that no longer matter.
const SWEEP_ABOVE: usize = 256;

/// The jobs that wait for a slot.
#[derive(Debug, Default)]
pub(super) struct WaitQueue {
    waiting: Vec<Waiting>,
    clock: u64,
    last_tags: HashMap<ConnectionId, u64>,
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
        let cost = job.tokens.len() as u64 + expected_output(&job);
        let last = self.last_tags.entry(job.connection).or_default();
        *last = (*last).max(self.clock) + cost;
        self.waiting.push(Waiting { tag: *last, job, told: None });
    }

    /// The job that is next, if any waits. Ties go to the one that came first.
    pub(super) fn peek(&self) -> Option<&Job> {
        self.next().map(|i| &self.waiting[i].job)
    }

    /// Takes the job that is next.
    pub(super) fn pop(&mut self) -> Option<Job> {
        let waiting = self.waiting.remove(self.next()?);
        self.clock = self.clock.max(waiting.tag);
        Some(waiting.job)
    }

    /// Charges a connection for output beyond what its job was charged at first.
    pub(super) fn charge(&mut self, job: &Job, generated: usize) {
        let extra = (generated as u64).saturating_sub(expected_output(job));
        if let Some(last) = self.last_tags.get_mut(&job.connection) {
            *last += extra;
        }
    }

    /// Takes out the jobs that nobody waits for any more.
    pub(super) fn take_cancelled(&mut self) -> Vec<Job> {
        self.waiting
            .extract_if(.., |waiting| waiting.job.cancel.is_set())
            .map(|waiting| waiting.job)
            .collect()
    }

    /// Takes out everything.
    pub(super) fn take_all(&mut self) -> Vec<Job> {
        self.waiting.drain(..).map(|waiting| waiting.job).collect()
    }

    /// Tells each waiting client its place, where that has changed.
    pub(super) fn tell_places(&mut self) {
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
        (0..self.waiting.len()).min_by_key(|&i| self.waiting[i].tag)
    }
}

fn expected_output(job: &Job) -> u64 {
    job.params.max_tokens.map_or(EXPECTED_OUTPUT, |n| u64::from(n).min(EXPECTED_OUTPUT))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::engine::slot::tests::job;

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
        queue.charge(&greedy, 1000);
        queue.push(job(1, 10));
        queue.push(job(2, 10));
        assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
    }

    #[test]
    fn a_client_is_told_its_place_once_until_it_changes() {
        let mut queue = WaitQueue::default();
        let (first, second) = (job(1, 10), job(2, 10));
        let (one, two) = (first.outbox.clone(), second.outbox.clone());
        queue.push(first);
        queue.push(second);
        queue.tell_places();
        assert_eq!((one.take().queued, two.take().queued), (Some(1), Some(2)));
        queue.tell_places();
        assert_eq!((one.take().queued, two.take().queued), (None, None));
        queue.pop();
        queue.tell_places();
        assert_eq!(two.take().queued, Some(1));
    }
}
