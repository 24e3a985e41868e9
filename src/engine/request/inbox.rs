//! Carries accepted requests to the engine thread.
//!
//! The engine thread waits here, and only here, while no slot can run. The inbox has no limit of
//! its own: [`EngineHandle`](crate::engine::EngineHandle) bounds the number of accepted requests.

use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::Failure;

use super::job::{End, Job};
use super::waker::EngineWaker;

/// The accepted jobs that the engine thread has not taken yet.
#[derive(Debug, Default)]
pub(in crate::engine) struct Inbox {
    contents: Mutex<InboxContents>,
    waker: Arc<EngineWaker>,
}

/// The jobs in the inbox, and whether more are taken.
#[derive(Debug, Default)]
struct InboxContents {
    /// In order of arrival.
    jobs: Vec<Job>,
    /// Set once the engine has stopped: the failure of every job that arrives later.
    closed: Option<Failure>,
}

impl Inbox {
    /// Adds a job and wakes the engine thread. A closed inbox ends the job at once.
    pub(in crate::engine) fn push(&self, job: Job) {
        let mut contents = self.lock();
        if let Some(failure) = contents.closed.clone() {
            drop(contents);
            job.finish_unstarted(Instant::now(), End::Failed(failure));
        } else {
            contents.jobs.push(job);
            drop(contents);
            self.waker.wake();
        }
    }

    /// Takes all jobs without waiting.
    pub(in crate::engine) fn take(&self) -> Vec<Job> {
        // First the flag, then the jobs: a job that arrives in between sets the flag again.
        self.waker.clear();
        std::mem::take(&mut self.lock().jobs)
    }

    /// Waits until the engine thread is woken, but no longer than `limit`, and takes all jobs.
    pub(in crate::engine) fn wait(&self, limit: Option<Duration>) -> Vec<Job> {
        self.waker.wait(limit);
        std::mem::take(&mut self.lock().jobs)
    }

    /// Whether the engine thread has taken all jobs.
    pub(in crate::engine) fn is_empty(&self) -> bool {
        self.lock().jobs.is_empty()
    }

    /// The waker of the thread that waits for this inbox.
    pub(in crate::engine) fn waker(&self) -> &Arc<EngineWaker> {
        &self.waker
    }

    /// Ends the jobs in the inbox, and all that arrive later, with `failure`.
    pub(in crate::engine) fn close(&self, failure: &Failure) {
        let mut contents = self.lock();
        contents.closed = Some(failure.clone());
        let jobs = std::mem::take(&mut contents.jobs);
        drop(contents);
        for job in jobs {
            job.finish_unstarted(Instant::now(), End::Failed(failure.clone()));
        }
    }

    fn lock(&self) -> MutexGuard<'_, InboxContents> {
        // Both fields are valid after every statement, so a panic cannot have broken them.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Outcome;
    use crate::engine::request::job::tests::job;

    #[test]
    fn pushed_job_ends_the_wait() {
        let inbox = Inbox::default();
        inbox.push(job(1, 3));
        assert_eq!(inbox.wait(None).len(), 1);
        assert!(inbox.take().is_empty());
    }

    #[test]
    fn closed_inbox_ends_earlier_and_later_jobs() {
        let inbox = Inbox::default();
        let jobs = [job(1, 3), job(2, 3)];
        let outboxes = jobs.each_ref().map(|job| job.outbox.clone());
        let [earlier, later] = jobs;
        inbox.push(earlier);
        inbox.close(&Failure::ShuttingDown);
        inbox.push(later);
        for outbox in outboxes {
            assert_eq!(outbox.take().outcome, Some(Outcome::Failed(Failure::ShuttingDown)));
        }
        assert!(inbox.take().is_empty());
    }
}
