//! The engine's one letterbox: new jobs, and a bell for everything else worth a look.
//!
//! The thread waits here, and only here, when no slot can run. The number of jobs is bounded by
//! the admission counter in [`super::EngineHandle`], not by the box.

use std::sync::{Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use super::slot::Job;

#[derive(Debug, Default)]
struct Contents {
    jobs: Vec<Job>,
    rung: bool,
    closed: bool,
}

/// Where jobs and rings arrive.
#[derive(Debug, Default)]
pub(super) struct Inbox {
    contents: Mutex<Contents>,
    bell: Condvar,
}

impl Inbox {
    /// Hands in a job. Behind a closed box it ends at once.
    pub(super) fn push(&self, job: Job) {
        let mut contents = self.lock();
        if contents.closed {
            drop(contents);
            drop(job);
        } else {
            contents.jobs.push(job);
            self.bell.notify_one();
        }
    }

    /// Takes what has arrived and lets nothing more in.
    pub(super) fn close(&self) -> Vec<Job> {
        let mut contents = self.lock();
        contents.closed = true;
        Self::empty(&mut contents)
    }

    /// Asks the engine to look around: something was cancelled, emptied, or shall end.
    pub(super) fn ring(&self) {
        self.lock().rung = true;
        self.bell.notify_one();
    }

    /// Takes what has arrived, without waiting.
    pub(super) fn take(&self) -> Vec<Job> {
        Self::empty(&mut self.lock())
    }

    /// Waits for a job or a ring, at most `limit` if there is one, and takes what has arrived.
    pub(super) fn wait(&self, limit: Option<Duration>) -> Vec<Job> {
        let is_quiet = |contents: &mut Contents| contents.jobs.is_empty() && !contents.rung;
        let contents = self.lock();
        let mut contents = match limit {
            None => {
                self.bell.wait_while(contents, is_quiet).unwrap_or_else(PoisonError::into_inner)
            }
            Some(limit) => {
                self.bell
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
