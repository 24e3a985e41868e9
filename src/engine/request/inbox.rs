//! The engine's one letterbox: new jobs, and a bell for everything else worth a look.
//!
//! The thread waits here, and only here, when no slot can run. The number of jobs is bounded by
//! the admission counter in [`EngineHandle`](crate::engine::EngineHandle), not by the box.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::Failure;

use super::{End, Job};

#[derive(Debug, Default)]
struct Contents {
    jobs: Vec<Job>,
    rung: bool,
    /// What becomes of jobs that come too late.
    closed: Option<Failure>,
}

/// Where jobs and rings arrive.
#[derive(Debug, Default)]
pub(in crate::engine) struct Inbox {
    contents: Mutex<Contents>,
    notifier: Condvar,
}

impl Inbox {
    /// Hands in a job. Behind a closed box it ends at once.
    pub(in crate::engine) fn push(&self, job: Job) {
        let mut contents = self.lock();
        if let Some(failure) = contents.closed.clone() {
            drop(contents);
            job.finish_unstarted(Instant::now(), End::Failed(failure));
        } else {
            contents.jobs.push(job);
            self.notifier.notify_one();
        }
    }

    /// Lets nothing more in, and ends what has arrived or comes too late with `failure`.
    pub(in crate::engine) fn close(&self, failure: &Failure) {
        let mut contents = self.lock();
        contents.closed = Some(failure.clone());
        let jobs = Self::empty(&mut contents);
        drop(contents);
        for job in jobs {
            job.finish_unstarted(Instant::now(), End::Failed(failure.clone()));
        }
    }

    /// Asks the engine to look around: something was cancelled, emptied, or shall end.
    pub(in crate::engine) fn ring(&self) {
        self.lock().rung = true;
        self.notifier.notify_one();
    }

    /// Takes what has arrived, without waiting.
    pub(in crate::engine) fn take(&self) -> Vec<Job> {
        Self::empty(&mut self.lock())
    }

    /// Waits for a job or a ring, at most `limit` if there is one, and takes what has arrived.
    pub(in crate::engine) fn wait(&self, limit: Option<Duration>) -> Vec<Job> {
        let is_quiet = |contents: &mut Contents| contents.jobs.is_empty() && !contents.rung;
        let contents = self.lock();
        let mut contents = match limit {
            None => {
                self.notifier.wait_while(contents, is_quiet).unwrap_or_else(PoisonError::into_inner)
            }
            Some(limit) => {
                self.notifier
                    .wait_timeout_while(contents, limit, is_quiet)
                    .unwrap_or_else(PoisonError::into_inner)
                    .0
            }
        };
        Self::empty(&mut contents)
    }

    fn empty(contents: &mut Contents) -> Vec<Job> {
        contents.rung = false;
        std::mem::take(&mut contents.jobs)
    }

    fn lock(&self) -> MutexGuard<'_, Contents> {
        // Both fields are valid after every statement; a panic elsewhere cannot have broken them.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
