//! The order in which jobs are served, what flows are charged, and who gives way.

use std::cell::Cell;

use super::*;

/// A job of the tests.
#[derive(Debug, Clone, PartialEq, Eq)]
struct TestJob {
    account: u64,
    connection: u64,
    cost: u64,
    is_suspended: bool,
    /// The queue position that was reported last.
    position: Cell<Option<usize>>,
}

impl Queued for TestJob {
    fn flow(&self) -> Flow {
        flow(self.account, self.connection)
    }

    fn cost(&self) -> u64 {
        self.cost
    }

    fn is_suspended(&self) -> bool {
        self.is_suspended
    }

    fn report_position(&self, position: usize) {
        self.position.set(Some(position));
    }
}

fn flow(account: u64, connection: u64) -> Flow {
    Flow { account: AccountId(account), connection: ConnectionId(connection) }
}

/// A job of a connection of account 0.
fn job(connection: u64, cost: u64) -> TestJob {
    job_of(0, connection, cost)
}

fn job_of(account: u64, connection: u64, cost: u64) -> TestJob {
    TestJob { account, connection, cost, is_suspended: false, position: Cell::new(None) }
}

fn suspended(connection: u64, cost: u64) -> TestJob {
    TestJob { is_suspended: true, ..job(connection, cost) }
}

fn queue_of(jobs: impl IntoIterator<Item = TestJob>) -> WaitQueue<TestJob> {
    let mut queue = WaitQueue::default();
    jobs.into_iter().for_each(|job| queue.push(job));
    queue
}

/// The connection of the next job, which gets a slot.
fn pop(queue: &mut WaitQueue<TestJob>) -> Option<u64> {
    queue.pop().map(|(job, _)| job.connection)
}

/// The connection of the next job, which gets a slot and ends at once as expected.
fn serve(queue: &mut WaitQueue<TestJob>) -> Option<u64> {
    let (job, _) = queue.pop()?;
    queue.leave(job.flow(), 0);
    Some(job.connection)
}

/// Empties the queue: the connections in the order of service.
fn order(queue: &mut WaitQueue<TestJob>) -> Vec<u64> {
    std::iter::from_fn(|| serve(queue)).collect()
}

#[test]
fn short_job_is_served_before_a_long_one() {
    assert_eq!(order(&mut queue_of([job(1, 1000), job(2, 10)])), [2, 1]);
}

#[test]
fn connection_with_one_job_does_not_wait_for_one_with_ten() {
    let mut queue = queue_of((0..10).map(|_| job(1, 50)).chain([job(2, 50)]));
    assert_eq!(order(&mut queue).iter().position(|&connection| connection == 2), Some(1));
}

#[test]
fn account_with_one_connection_does_not_wait_for_one_with_ten() {
    let many = (0..10).map(|connection| job_of(1, connection, 50));
    let mut queue = queue_of(many.chain([job_of(2, 10, 50), job_of(2, 10, 50)]));
    let order = order(&mut queue);
    let positions: Vec<usize> = (0..order.len()).filter(|&i| order[i] == 10).collect();
    assert_eq!(positions, [1, 3]);
}

#[test]
fn long_job_is_not_starved_by_short_ones_of_new_connections() {
    let mut queue = queue_of([job(0, 2000)]);
    for n_before in 1..=100 {
        queue.push(job(n_before, 100));
        if serve(&mut queue) == Some(0) {
            return;
        }
    }
    panic!("the long job is starved");
}

#[test]
fn suspended_job_is_not_starved_by_new_connections() {
    let mut queue = queue_of([suspended(0, 100)]);
    for n_before in 1..=10 {
        queue.push(job(n_before, 100));
        if serve(&mut queue) == Some(0) {
            return;
        }
    }
    panic!("the suspended job is starved");
}

#[test]
fn new_connection_overtakes_suspended_jobs_whatever_it_costs() {
    let mut queue = queue_of([suspended(1, 50), suspended(2, 50), job(3, 4000)]);
    assert_eq!(order(&mut queue), [3, 1, 2]);
}

#[test]
fn suspended_job_comes_before_new_ones_of_its_connection() {
    let mut queue = queue_of([job(1, 10), suspended(1, 500)]);
    assert!(queue.pop().unwrap().0.is_suspended);
}

#[test]
fn excess_delays_the_next_job_while_others_are_served() {
    let mut queue = queue_of([job(1, 10), job(2, 10)]);
    assert_eq!((pop(&mut queue), pop(&mut queue)), (Some(1), Some(2)));
    queue.charge(flow(0, 1), 1000);
    queue.leave(flow(0, 1), 0);
    queue.push(job(1, 10));
    queue.push(job(3, 500));
    assert_eq!(pop(&mut queue), Some(3));
}

#[test]
fn excess_is_forgotten_when_nothing_runs_or_waits() {
    let mut queue = queue_of([job(1, 10)]);
    pop(&mut queue);
    queue.charge(flow(0, 1), 100_000);
    queue.leave(flow(0, 1), 0);
    queue.push(job(1, 10));
    queue.push(job(2, 20));
    assert_eq!(pop(&mut queue), Some(1));
}

#[test]
fn running_flows_that_computed_much_together_do_not_wait_for_a_new_one_to_catch_up() {
    let mut queue = queue_of([job(1, 10), job(2, 10)]);
    assert_eq!((pop(&mut queue), pop(&mut queue)), (Some(1), Some(2)));
    [1, 2].iter().for_each(|&connection| queue.charge(flow(0, connection), 50_000));
    queue.push(job(3, 10));
    let tags = [1, 2, 3].map(|connection| queue.standing(flow(0, connection)).connection.tag);
    assert_eq!(tags, [50_010, 50_010, 50_010]);
}

#[test]
fn charge_that_was_not_computed_is_refunded() {
    let mut queue = queue_of([job(1, 10), job(1, 500), job(2, 600)]);
    assert_eq!((pop(&mut queue), pop(&mut queue)), (Some(1), Some(2)));
    queue.leave(flow(0, 2), 100);
    assert_eq!(queue.standing(flow(0, 2)).connection.tag, 500);
    pop(&mut queue);
    queue.charge(flow(0, 1), 500);
    queue.leave(flow(0, 1), 300);
    assert_eq!(queue.standing(flow(0, 1)).connection.tag, 710);
}

#[test]
fn job_that_is_taken_costs_its_flow_nothing() {
    let mut queue = queue_of([job(1, 1000), job(1, 10), job(2, 20)]);
    assert_eq!(queue.take(|job| job.cost == 1000).len(), 1);
    assert_eq!(order(&mut queue), [1, 2]);
}

#[test]
fn excluded_connection_is_not_next() {
    let mut queue = queue_of([job(1, 10), job(2, 20)]);
    queue.exclude([ConnectionId(1)].into());
    assert_eq!((pop(&mut queue), pop(&mut queue)), (Some(2), None));
    assert!(!queue.is_empty());
    queue.exclude(HashSet::new());
    assert_eq!(pop(&mut queue), Some(1));
}

#[test]
fn claimed_slot_goes_to_the_job_that_claimed_it() {
    let mut queue = queue_of([job(1, 500)]);
    assert_eq!(queue.claim(|_, _| true).unwrap().0.flow, flow(0, 1));
    queue.push(job(2, 10));
    assert_eq!((pop(&mut queue), pop(&mut queue)), (Some(1), Some(2)));
    assert!(queue.claim(|_, _| true).is_none());
}

#[test]
fn job_is_overdue_once_too_many_have_overtaken_it() {
    let can_have = |standing: &Standing, is_overdue: bool| standing.is_new() || is_overdue;
    let mut queue = queue_of([suspended(0, 10)]);
    for n in 1..=u64::from(MAX_OVERTAKES) {
        queue.push(job(n, 10));
        let (standing, is_overdue) = queue.claim(can_have).unwrap();
        assert_eq!((standing.flow.connection.0, is_overdue), (n, false));
        serve(&mut queue);
    }
    queue.push(job(9, 10));
    let (standing, _) = queue.claim(|standing, _| standing.connection.is_new()).unwrap();
    assert_eq!(standing.flow, flow(0, 9), "nothing is idle because of an overdue job");
    let (standing, is_overdue) = queue.claim(can_have).unwrap();
    assert_eq!((standing.flow, is_overdue), (flow(0, 0), true));
    assert_eq!((serve(&mut queue), serve(&mut queue)), (Some(0), Some(9)));
}

#[test]
fn last_job_of_the_flow_with_most_gives_way() {
    let several = [job_of(1, 1, 1), job_of(1, 1, 2), job_of(1, 1, 3), job_of(1, 2, 4)];
    let mut queue = queue_of(several.into_iter().chain([job_of(2, 3, 5), suspended(1, 6)]));
    let costs: Vec<u64> = std::iter::from_fn(|| queue.give_way()).map(|job| job.cost).collect();
    assert_eq!(costs, [3, 2, 4, 5, 1]);
    assert_eq!(queue.n_suspended(), 1, "a suspended job never gives way");
}

#[test]
fn queue_position_is_reported_when_it_changes() {
    let mut queue = queue_of([suspended(9, 1), job(2, 20), job(1, 10), job(1, 30)]);
    let reported = |queue: &WaitQueue<TestJob>| {
        let jobs = queue.iter().map(|job| (job.cost, job.position.take()));
        jobs.collect::<Vec<_>>()
    };
    queue.report_positions();
    assert_eq!(reported(&queue), [(10, Some(1)), (30, Some(3)), (20, Some(2)), (1, None)]);
    queue.report_positions();
    assert!(reported(&queue).iter().all(|(_, position)| position.is_none()));
    queue.take(|job| job.cost == 10);
    queue.report_positions();
    assert_eq!(reported(&queue), [(30, Some(2)), (20, Some(1)), (1, None)]);
}

/// What random tests do with a queue.
#[derive(Debug, Clone)]
enum Action {
    Push { account: u64, connection: u64, cost: u64, is_suspended: bool },
    Pop,
    Leave(usize),
    Take(u64),
    GiveWay,
}

mod random {
    use proptest::prelude::*;

    use super::*;

    fn action() -> impl Strategy<Value = Action> {
        prop_oneof![
            4 => (0u64..3, 0u64..3, 1u64..500, any::<bool>()).prop_map(
                |(account, i, cost, is_suspended)| {
                    let connection = 3 * account + i;
                    Action::Push { account, connection, cost, is_suspended }
                }
            ),
            3 => Just(Action::Pop),
            2 => (0usize..10).prop_map(Action::Leave),
            1 => (0u64..9).prop_map(Action::Take),
            1 => Just(Action::GiveWay),
        ]
    }

    proptest! {
        #[test]
        fn no_job_is_lost_and_every_count_is_right(
            actions in prop::collection::vec(action(), 0..80),
        ) {
            let mut queue = WaitQueue::default();
            let (mut n_waiting, mut running) = (0, Vec::new());
            for action in actions {
                match action {
                    Action::Push { account, connection, cost, is_suspended } => {
                        queue.push(TestJob { is_suspended, ..job_of(account, connection, cost) });
                        n_waiting += 1;
                    }
                    Action::Pop => {
                        let popped = queue.pop();
                        prop_assert_eq!(popped.is_some(), n_waiting > 0);
                        n_waiting -= usize::from(popped.is_some());
                        running.extend(popped.map(|(job, _)| job.flow()));
                    }
                    Action::Leave(i) if i < running.len() => queue.leave(running.remove(i), 7),
                    Action::Leave(_) => {}
                    Action::Take(connection) => {
                        n_waiting -= queue.take(|job| job.connection == connection).len();
                    }
                    Action::GiveWay => n_waiting -= usize::from(queue.give_way().is_some()),
                }
                prop_assert_eq!(queue.iter().count(), n_waiting);
                prop_assert_eq!(queue.is_empty(), n_waiting == 0);
                let n_suspended = queue.iter().filter(|job| job.is_suspended).count();
                prop_assert_eq!(queue.n_suspended(), n_suspended);
                for &flow in &running {
                    let n = running.iter().filter(|&&other| other == flow).count();
                    prop_assert_eq!(queue.standing(flow).connection.n_running, n);
                }
            }
        }

        /// Flows that always have a job waiting get equal shares: accounts of all, and connections
        /// of their account. The difference is at most the cost of a job.
        #[test]
        fn busy_flows_get_equal_shares(
            n_connections in prop::collection::vec(1u64..4, 2..4),
            costs in prop::collection::vec(1u64..100, 400),
        ) {
            let mut queue = WaitQueue::default();
            let flows = (0u64..).zip(&n_connections).flat_map(|(account, &n)| {
                (0..n).map(move |connection| (account, 10 * account + connection))
            });
            let flows: Vec<(u64, u64)> = flows.collect();
            let mut had: BTreeMap<(u64, u64), u64> = BTreeMap::new();
            for &(account, connection) in &flows {
                queue.push(job_of(account, connection, costs[0]));
            }
            for cost in costs {
                let (job, paid) = queue.pop().unwrap();
                *had.entry((job.account, job.connection)).or_default() += paid;
                queue.push(job_of(job.account, job.connection, cost));
                queue.leave(job.flow(), 0);
            }
            let account = |i: u64| {
                had.iter().filter(|((account, _), _)| *account == i).map(|(_, had)| had).sum()
            };
            let of_accounts: Vec<u64> = (0..n_connections.len() as u64).map(account).collect();
            let spread = |had: &[u64]| had.iter().max().unwrap() - had.iter().min().unwrap();
            prop_assert!(spread(&of_accounts) <= 200, "{of_accounts:?}");
            for (i, _) in (0u64..).zip(&n_connections) {
                let of_account = had.iter().filter(|((account, _), _)| *account == i);
                let of_account: Vec<u64> = of_account.map(|(_, &had)| had).collect();
                prop_assert!(spread(&of_account) <= 200, "{of_account:?}");
            }
        }
    }
}
