//! What SIGHUP loads again, without a restart: each part of the daemon adds an action of its own.

/// The actions, in the order in which they were added.
#[derive(Default)]
pub(super) struct Reloads {
    actions: Vec<(&'static str, Action)>,
}

/// Loads something again.
///
/// # Errors
/// Why not, in one line. What was loaded before must still be in use then.
type Action = Box<dyn Fn() -> Result<(), String> + Send + Sync>;

impl Reloads {
    /// Adds an action. `what` names what it loads in the log.
    pub(super) fn add(
        &mut self,
        what: &'static str,
        action: impl Fn() -> Result<(), String> + Send + Sync + 'static,
    ) {
        self.actions.push((what, Box::new(action)));
    }

    /// Whether there is nothing to load.
    pub(super) fn is_empty(&self) -> bool {
        self.actions.is_empty()
    }

    /// Runs all actions, also after one that fails, and logs how each ended. They read files, so
    /// this can take a while.
    pub(super) fn run(&self) {
        for (what, action) in &self.actions {
            log_reload(what, action());
        }
    }
}

/// Logs how loading `what` again ended.
pub(super) fn log_reload(what: &str, result: Result<(), String>) {
    match result {
        Ok(()) => tracing::info!("reloaded the {what}"),
        Err(error) => {
            tracing::warn!("cannot reload the {what}, what was loaded before stays in use: {error}")
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::Arc;
    use std::sync::atomic::{AtomicU32, Ordering};

    use super::*;

    #[test]
    fn action_that_fails_does_not_keep_others_from_running() {
        let n_run = Arc::new(AtomicU32::new(0));
        let mut reloads = Reloads::default();
        assert!(reloads.is_empty());
        for result in [Err("broken".to_owned()), Ok(())] {
            let n_run = n_run.clone();
            reloads.add("test", move || {
                n_run.fetch_add(1, Ordering::Relaxed);
                result.clone()
            });
        }
        reloads.run();
        assert_eq!(n_run.load(Ordering::Relaxed), 2);
    }
}
