//! Runs work on a thread with a deadline, when a model is loaded.
//!
//! Rust cannot stop a thread. Work that misses the deadline keeps running.

use std::sync::mpsc;
use std::thread;
use std::time::Duration;

use crate::llama::text::stack::on_large_stack;

/// Runs `work` on a thread of its own and returns its result.
///
/// # Errors
/// Why there is no result: `deadline` passed, `work` panicked, or no thread could be started.
pub(super) fn run_until<T: Send + 'static>(
    deadline: Duration,
    work: impl FnOnce() -> T + Send + 'static,
) -> Result<T, String> {
    let (sender, receiver) = mpsc::sync_channel(1);
    let spawned = thread::Builder::new().name("template".to_owned()).spawn(move || {
        // Fails if the deadline has passed.
        let _ = sender.send(on_large_stack(super::RENDER_STACK_BYTES, work));
    });
    spawned.map_err(|error| format!("cannot start a thread for it: {error}"))?;
    match receiver.recv_timeout(deadline) {
        Ok(result) => result.map_err(|error| error.to_string()),
        Err(_) => Err(format!("it takes more than {} s", deadline.as_secs_f32())),
    }
}
