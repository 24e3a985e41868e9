//! The order in which jobs are served, and what connections are charged.

use super::*;
use crate::engine::request::job;

/// Empties the queue. The connection and prompt length of each job, in the order of service.
fn order(queue: &mut WaitQueue) -> Vec<(u64, usize)> {
    std::iter::from_fn(|| queue.pop()).map(|j| (j.connection.0, j.tokens.len())).collect()
}

#[test]
fn short_prompt_is_served_before_a_long_one() {
    let mut queue = WaitQueue::default();
    queue.push(job(1, 1000));
    queue.push(job(2, 10));
    assert_eq!(order(&mut queue), [(2, 10), (1, 1000)]);
}

#[test]
fn connection_with_one_request_does_not_wait_for_one_with_ten() {
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
    let long_answer = job(1, 10);
    queue.push(job(1, 10));
    queue.push(job(2, 10));
    queue.pop();
    queue.pop();
    queue.settle(&long_answer, 10, 1010);
    queue.push(job(1, 10));
    queue.push(job(2, 10));
    assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
}

#[test]
fn excess_output_counts_after_the_tag_of_its_connection_was_removed() {
    let mut queue = WaitQueue::default();
    let long_answer = job(1, 10);
    queue.push(job(1, 10));
    for other in 2..MAX_TAGS_UNSWEPT as u64 + 4 {
        queue.push(job(other, 1000));
    }
    while queue.pop().is_some() {}
    queue.push(job(3, 10));
    queue.settle(&long_answer, 10, 9000);
    queue.push(job(1, 10));
    queue.push(job(2, 1000));
    assert_eq!(queue.pop().unwrap().connection, ConnectionId(3));
    assert_eq!(queue.pop().unwrap().connection, ConnectionId(2));
}

#[test]
fn excess_output_counts_after_the_virtual_time_passed_the_tag() {
    let mut queue = WaitQueue::default();
    let long_answer = job(1, 10);
    queue.push(job(1, 10));
    queue.push(job(2, 9000));
    while queue.pop().is_some() {}
    queue.settle(&long_answer, 10, 4000);
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
    let short_answer = job(1, 10);
    queue.push(job(1, 10));
    queue.pop();
    queue.settle(&short_answer, 10, 11);
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
