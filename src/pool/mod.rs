//! A few threads for work that clients cause, such as tokenizing their prompts, so that none of it
//! runs on the threads that serve sockets or the link.
//!
//! The threads are started together with the pool: whether there are enough threads shows at the
//! start and not at a request. Work waits in a queue that is bounded and fair between accounts,
//! then between connections (`queue`). One thread is reserved for short work, which therefore
//! never waits for long work (ADR-0042).

mod queue;

use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;

use crate::domain::{AccountId, ConnectionId};

use self::queue::FairQueue;

/// The options of a pool.
#[derive(Debug, Clone, Copy)]
pub struct Options {
    /// The name of its threads, of at most 15 bytes.
    pub name: &'static str,
    /// Threads for work of every length. There is one more for short work.
    pub n_threads: usize,
    /// Stack of each thread in bytes.
    pub stack_bytes: usize,
    /// Greatest cost of short work.
    pub short_cost: usize,
    /// Most work that waits.
    pub max_waiting: usize,
    /// Greatest cost, in total, of the long work that waits. Each account may have half of it.
    pub max_cost: usize,
}

/// What is known about work before it is done.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Task {
    /// Identifies the work while it waits.
    pub key: u64,
    /// Whom the work counts for.
    pub account: AccountId,
    /// The connection that caused it.
    pub connection: ConnectionId,
    /// How much work it is, in any unit that all tasks of the pool share.
    pub cost: usize,
}

/// Threads that do the work of clients. They end after the work that they are doing when the pool
/// is dropped; what waits is dropped.
#[derive(Debug)]
pub struct Pool {
    shared: Arc<PoolState>,
}

/// The queue has no space for the work.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Full {
    /// Number of tasks that wait.
    pub n_waiting: usize,
}

type Work = Box<dyn FnOnce() + Send>;

#[derive(Debug)]
struct PoolState {
    queue: Mutex<QueueState>,
    /// Notified when there is work, or when the pool is dropped.
    changed: Condvar,
}

struct QueueState {
    tasks: FairQueue<Work>,
    is_closed: bool,
}

impl Pool {
    /// Starts the threads.
    ///
    /// # Errors
    /// The system cannot start one of them.
    pub fn start(options: Options) -> io::Result<Self> {
        let queue = QueueState { tasks: FairQueue::new(options), is_closed: false };
        let shared = Arc::new(PoolState { queue: Mutex::new(queue), changed: Condvar::new() });
        // Ends the threads that were started if another one cannot be.
        let pool = Self { shared };
        for i in 0..=options.n_threads {
            let (shared, is_reserved) = (pool.shared.clone(), i == options.n_threads);
            thread::Builder::new()
                .name(options.name.to_owned())
                .stack_size(options.stack_bytes)
                .spawn(move || shared.work(is_reserved))?;
        }
        Ok(pool)
    }

    /// Adds work to the queue.
    ///
    /// # Errors
    /// [`Full`], with which the work is dropped.
    pub fn submit(&self, task: Task, work: impl FnOnce() + Send + 'static) -> Result<(), Full> {
        self.shared.lock().tasks.push(task, Box::new(work))?;
        // The reserved thread does not take long work, so all are woken.
        self.shared.changed.notify_all();
        Ok(())
    }

    /// Drops work that waits. Returns false if it is being done or was done.
    pub fn remove(&self, key: u64) -> bool {
        self.shared.lock().tasks.remove(key).is_some()
    }

    /// The keys of the work that waits, in the order in which it will be done, as far as is known.
    pub fn waiting(&self) -> Vec<u64> {
        self.shared.lock().tasks.keys()
    }

    /// Number of tasks that wait.
    pub fn n_waiting(&self) -> usize {
        self.shared.lock().tasks.len()
    }
}

impl Drop for Pool {
    fn drop(&mut self) {
        let mut queue = self.shared.lock();
        queue.is_closed = true;
        let waiting = queue.tasks.take_all();
        drop(queue);
        self.shared.changed.notify_all();
        drop(waiting);
    }
}

impl PoolState {
    /// Does work until the pool is dropped.
    fn work(&self, is_reserved: bool) {
        while let Some((task, work)) = self.next(is_reserved) {
            // The panic hook has logged it, and the work knows how to tell its client.
            let _ = catch_unwind(AssertUnwindSafe(work));
            if self.lock().tasks.done(&task) {
                self.changed.notify_all();
            }
        }
    }

    /// Waits for work; `None` once the pool is dropped.
    fn next(&self, is_reserved: bool) -> Option<(Task, Work)> {
        let mut queue = self.lock();
        loop {
            if queue.is_closed {
                return None;
            }
            if let Some(next) = queue.tasks.pop(is_reserved) {
                return Some(next);
            }
            queue = self.changed.wait(queue).unwrap_or_else(PoisonError::into_inner);
        }
    }

    fn lock(&self) -> MutexGuard<'_, QueueState> {
        // The queue is valid after every statement, so a panic cannot have broken it.
        self.queue.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl std::fmt::Debug for QueueState {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("QueueState").field("waiting", &self.tasks.len()).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;
    use std::time::Duration;

    use super::*;

    const OPTIONS: Options = Options {
        name: "test",
        n_threads: 1,
        stack_bytes: 256 * 1024,
        short_cost: 10,
        max_waiting: 8,
        max_cost: 1000,
    };

    /// A time limit that only turns a hang into a failure.
    const DEADLINE: Duration = Duration::from_secs(60);

    fn task(key: u64, cost: usize) -> Task {
        Task { key, account: AccountId(1), connection: ConnectionId(key), cost }
    }

    #[test]
    fn short_work_is_done_while_long_work_occupies_all_other_threads() {
        let pool = Pool::start(OPTIONS).unwrap();
        let (release, held) = mpsc::sync_channel::<()>(0);
        let (done, is_done) = mpsc::sync_channel(4);
        let (started, long) = (done.clone(), done.clone());
        pool.submit(task(1, 100), move || {
            started.send("started").unwrap();
            assert!(held.recv().is_err());
        })
        .unwrap();
        assert_eq!(is_done.recv_timeout(DEADLINE), Ok("started"));
        pool.submit(task(2, 100), move || long.send("long").unwrap()).unwrap();
        pool.submit(task(3, 1), move || done.send("short").unwrap()).unwrap();
        assert_eq!(is_done.recv_timeout(DEADLINE), Ok("short"));
        assert_eq!(pool.waiting(), [2]);
        drop(release);
        assert_eq!(is_done.recv_timeout(DEADLINE), Ok("long"));
    }

    #[test]
    fn work_that_panics_or_is_removed_leaves_the_threads_working() {
        let pool = Pool::start(OPTIONS).unwrap();
        let (release, held) = mpsc::sync_channel::<()>(0);
        let (done, is_done) = mpsc::sync_channel(4);
        let removed = done.clone();
        pool.submit(task(1, 100), move || {
            let _ = held.recv();
            panic!("expected by the test");
        })
        .unwrap();
        pool.submit(task(2, 100), move || removed.send(2).unwrap()).unwrap();
        assert!(pool.remove(2));
        assert!(!pool.remove(2));
        pool.submit(task(3, 100), move || done.send(3).unwrap()).unwrap();
        drop(release);
        assert_eq!(is_done.recv_timeout(DEADLINE), Ok(3));
        assert_eq!(pool.n_waiting(), 0);
    }

    #[test]
    fn dropped_pool_drops_what_waits() {
        let pool = Pool::start(OPTIONS).unwrap();
        let (release, held) = mpsc::sync_channel::<()>(0);
        let (done, is_done) = mpsc::sync_channel::<()>(1);
        pool.submit(task(1, 100), move || assert!(held.recv().is_err())).unwrap();
        pool.submit(task(2, 100), move || drop(done)).unwrap();
        drop(pool);
        assert_eq!(is_done.recv_timeout(DEADLINE), Err(mpsc::RecvTimeoutError::Disconnected));
        drop(release);
    }
}
