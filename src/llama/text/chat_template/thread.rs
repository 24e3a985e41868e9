//! Runs work on a thread with a large stack and a deadline.
//!
//! Rust cannot stop a thread. Work that misses the deadline keeps running, and nothing else is
//! started until it ends, so a template occupies one core at most.

use std::panic::{self, AssertUnwindSafe};
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::mpsc;
use std::thread;
use std::time::Duration;

/// Runs the work of one template.
pub(super) struct DeadlineRunner {
    deadline: Duration,
    /// Number of threads that missed the deadline and still run.
    overdue: Arc<AtomicUsize>,
}

impl DeadlineRunner {
    /// Allows `deadline` for each piece of work.
    pub(super) fn new(deadline: Duration) -> Self {
        Self { deadline, overdue: Arc::default() }
    }

    /// Runs `work` on a thread of its own and returns its result.
    ///
    /// # Errors
    /// Why there is no result: an earlier call is still running, the deadline passed, `work`
    /// panicked, or no thread could be started.
    pub(super) fn run<T: Send + 'static>(
        &self,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if self.overdue.load(Ordering::Acquire) > 0 {
            return Err(
                "it is still busy with an earlier conversation; send `prompt` instead".to_owned()
            );
        }
        // Without a buffer a send succeeds only if the receiver takes the value.
        let (sender, receiver) = mpsc::sync_channel(0);
        let overdue = self.overdue.clone();
        let thread =
            thread::Builder::new().name("template".to_owned()).stack_size(RENDER_STACK_BYTES);
        let spawned = thread.spawn(move || {
            let result = panic::catch_unwind(AssertUnwindSafe(work)).ok();
            if sender.send(result).is_err() {
                // The caller gave up and counted this thread as overdue.
                overdue.fetch_sub(1, Ordering::AcqRel);
            }
        });
        spawned.map_err(|error| format!("cannot start a thread for it: {error}"))?;
        if let Ok(result) = receiver.recv_timeout(self.deadline) {
            return result.ok_or_else(|| "the renderer panicked".to_owned());
        }
        // Counted before the receiver is dropped, which is how the thread learns that it is late.
        self.overdue.fetch_add(1, Ordering::AcqRel);
        drop(receiver);
        Err(format!("it takes more than {} s", self.deadline.as_secs_f32()))
    }
}

/// Stack of a thread in bytes. It is address space that takes memory only when used, and large
/// enough for the deepest values outside of namespaces (ADR-0017).
const RENDER_STACK_BYTES: usize = 256 << 20;
