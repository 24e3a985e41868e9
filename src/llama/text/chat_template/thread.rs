//! Runs what a template makes of us on a thread of its own, with much stack and a deadline.
//!
//! Rust cannot end a thread. One that is over its deadline is left alone, and as long as it runs
//! nothing else is started, so that a template takes one core at most.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Address space and not memory: what is never used is never there. It has to do for the
/// deepest values that are not kept in a namespace, some ten thousand lists in lists.
const STACK: usize = 256 << 20;

/// Where templates are compiled and rendered.
pub(super) struct Apart {
    deadline: Duration,
    /// Threads that are over their deadline.
    overdue: Arc<AtomicUsize>,
}

impl Apart {
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, overdue: Arc::default() }
    }

    /// What `work` returns.
    ///
    /// # Errors
    /// Why there is nothing: it takes too long, or it panicked.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if self.overdue.load(Ordering::Acquire) > 0 {
            return Err("it is still busy with an earlier one; send `prompt` instead".to_owned());
        }
        // Without a buffer, so that what is sent has been received.
        let (sender, receiver) = mpsc::sync_channel(0);
        let overdue = self.overdue.clone();
        let thread = thread::Builder::new().name("template".to_owned()).stack_size(STACK);
        let spawned = thread.spawn(move || {
            let done = panic::catch_unwind(AssertUnwindSafe(work)).ok();
            if sender.send(done).is_err() {
                // Nobody waited that long.
                overdue.fetch_sub(1, Ordering::AcqRel);
            }
        });
        spawned.map_err(|error| format!("there is no thread to render it: {error}"))?;
        if let Ok(done) = receiver.recv_timeout(self.deadline) {
            return done.ok_or_else(|| "the renderer failed at it".to_owned());
        }
        // Counted before the receiver goes, which is when the thread can learn that it is late.
        self.overdue.fetch_add(1, Ordering::AcqRel);
        drop(receiver);
        Err(format!("it takes more than {} s", self.deadline.as_secs_f32()))
    }
}
