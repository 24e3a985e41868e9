//! Connects a client to one runner after another.
//!
//! [`Controller::serve`] runs the link to a runner until it ends. It never waits for a client: what
//! the runner delivers goes into mailboxes, which the credit of each request bounds.

use std::convert::Infallible;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::time::sleep;

use crate::domain::{Delivery, Failure, LoadFailure, Outcome, Snapshot};
use crate::runner::frames::{FrameReader, FrameWriter, FromRunner, ToRunner};

use super::phase::RunnerPhase;
use super::requests::RunnerEnd;
use super::shared::{ClientState, Ending, Status};

/// The supervisor's half of a client.
pub struct Controller {
    shared: Arc<ClientState>,
}

/// How the link to a runner ended.
#[derive(Debug)]
pub enum LinkEnd {
    /// The runner has ended all requests, as it was asked to.
    Drained,
    /// The model was not loaded.
    LoadFailed(LoadFailure),
    /// Too many steps in a row have failed.
    Failing,
    /// The runner did not end in time when it was asked to.
    StopTimedOut,
    /// The runner closed the link, or wrote something that is no frame.
    Lost(Option<io::Error>),
}

/// What the watchdog is told about a runner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Progress {
    /// [`Snapshot::heartbeat`].
    pub heartbeat: u64,
    /// [`Snapshot::longest_step`].
    pub longest_step: Duration,
    /// Whether the engine has work, as far as is known.
    pub has_work: bool,
    /// Number of the last poll that was answered.
    pub answered: u64,
}

impl Controller {
    pub(super) fn new(shared: Arc<ClientState>) -> Self {
        Self { shared }
    }

    /// Runs the link to a runner that has just started: tells it what to load, gives it the
    /// requests, and takes its deliveries.
    pub async fn serve<R, W>(&self, reader: R, writer: W, build: &str, spec: &[u8]) -> LinkEnd
    where
        R: AsyncRead + Unpin,
        W: AsyncWrite + Unpin,
    {
        let start = ToRunner::Start { build: build.to_owned(), spec: spec.to_vec() };
        let mut writer = FrameWriter::new(writer);
        let writing = async {
            let written = async {
                writer.send(&start).await?;
                self.write(&mut writer).await
            };
            let Err(error) = written.await;
            tracing::debug!("cannot write to the runner: {error}");
            // What the runner has sent before is still to be read, up to its end.
            pending().await
        };
        let stopping = async {
            self.until(Ending::Stop).await;
            // The deadline of the select below, which ends it when the runner does.
            sleep(STOP_GRACE).await;
        };
        tokio::select! {
            end = self.read(FrameReader::new(reader)) => end,
            end = writing => end,
            () = stopping => LinkEnd::StopTimedOut,
        }
    }

    /// Records that the runner has ended, and holds the requests that another one can compute.
    pub fn runner_died(&self, cause: &str) {
        self.runner_ended(&RunnerEnd::Died(cause.to_owned()));
    }

    /// Records that the runner made no progress for `limit` and is being ended.
    pub fn runner_stalled(&self, limit: Duration) {
        self.shared.set_phase(RunnerPhase::Stalled);
        self.runner_ended(&RunnerEnd::Stalled(limit));
    }

    /// Says that the next runner starts because the last one ended for `cause`. `label` is the
    /// cause as metrics count it.
    pub fn restarting(&self, cause: &str, label: &str) {
        *self.shared.facts().restarts.entry(label.to_owned()).or_default() += 1;
        self.shared.set_phase(RunnerPhase::Restarting { cause: cause.to_owned() });
    }

    /// Says that runners end again and again, and ends all requests.
    pub fn failed(&self, reason: &str) {
        self.shared.set_phase(RunnerPhase::Failed { reason: reason.to_owned() });
        self.shared.requests.end_all(&Failure::Unavailable { reason: reason.to_owned() });
    }

    /// Says that no runner will start again, and ends all requests.
    pub fn stopped(&self) {
        self.shared.set_phase(RunnerPhase::Stopped);
        self.shared.requests.end_all(&Failure::ShuttingDown);
    }

    /// How long the runner has served the loaded model.
    pub fn served_for(&self) -> Duration {
        self.shared.facts().ready_at.map_or(Duration::ZERO, |ready_at| ready_at.elapsed())
    }

    /// Whether the client has asked the runner to end.
    pub fn is_ending(&self) -> bool {
        self.shared.ending() != Ending::No
    }

    /// Waits until the client asks the runner to end.
    pub async fn ending(&self) {
        self.until(Ending::Drain).await;
    }

    /// Number of requests that have finished since the start.
    pub fn n_finished(&self) -> u64 {
        self.shared.requests.n_finished()
    }

    /// Whether requests are in flight.
    pub fn has_requests(&self) -> bool {
        self.shared.requests.len() > 0
    }

    /// Asks the runner for its state. Returns the number of the poll.
    pub fn poll(&self) -> u64 {
        self.shared.poll()
    }

    /// What the runner has answered last.
    pub fn progress(&self) -> Progress {
        let Status { answered, snapshot, .. } = &*self.shared.status.borrow();
        Progress {
            heartbeat: snapshot.heartbeat,
            longest_step: snapshot.longest_step,
            has_work: snapshot.step_age.is_some() || snapshot.has_unseen_requests,
            answered: *answered,
        }
    }

    /// Whether the model is loaded.
    pub fn is_ready(&self) -> bool {
        matches!(*self.shared.phase.borrow(), RunnerPhase::Ready | RunnerPhase::Draining)
    }

    fn runner_ended(&self, end: &RunnerEnd) {
        self.shared.requests.close(end);
        self.shared.queries.clear();
        self.shared.facts().ready_at = None;
        self.shared.status.send_modify(|status| {
            let last = std::mem::replace(&mut status.snapshot, Snapshot::loading());
            status.ended = last.plus_totals(&status.ended).totals();
            status.answered = 0;
        });
    }

    /// Waits until the runner is to end at least as urgently as this.
    async fn until(&self, ending: Ending) {
        loop {
            let changed = self.shared.ending_changed.notified();
            tokio::pin!(changed);
            changed.as_mut().enable();
            if self.shared.ending() >= ending {
                return;
            }
            changed.await;
        }
    }

    /// Takes what the runner sends.
    async fn read<R: AsyncRead + Unpin>(&self, mut reader: FrameReader<R>) -> LinkEnd {
        let requests = &self.shared.requests;
        loop {
            let frame = match reader.next().await {
                Ok(Some(frame)) => frame,
                Ok(None) => return LinkEnd::Lost(None),
                Err(error) => return LinkEnd::Lost(Some(error)),
            };
            match frame {
                FromRunner::Ready { memory, offloaded, chat_problem, warnings, answer_style } => {
                    let mut facts = self.shared.facts();
                    (facts.memory, facts.offloaded) = (memory, offloaded);
                    (facts.chat_problem, facts.warnings) = (chat_problem, warnings);
                    facts.answer_style = answer_style;
                    facts.ready_at = Some(Instant::now());
                    drop(facts);
                    if *self.shared.phase.borrow() != RunnerPhase::Loading {
                        tracing::warn!("the model is served again");
                    }
                    self.shared.set_phase(RunnerPhase::Ready);
                    requests.open();
                }
                FromRunner::LoadFailed(failure) => return LinkEnd::LoadFailed(failure),
                FromRunner::Accepted(key) => requests.accepted(key),
                FromRunner::Refused(key, refusal) => {
                    let outcome = Some(Outcome::Refused(refusal));
                    requests.deliver(key, Delivery { outcome, ..Delivery::default() });
                }
                FromRunner::Deliveries(deliveries) => {
                    for (key, delivery) in deliveries {
                        requests.deliver(key, delivery);
                    }
                }
                FromRunner::Status(n, snapshot) => {
                    self.shared.status.send_modify(|status| {
                        (status.answered, status.snapshot) = (n, *snapshot);
                    });
                }
                FromRunner::Answered(key, result) => self.shared.queries.answered(key, result),
                FromRunner::Failing => return LinkEnd::Failing,
                FromRunner::Ended => return LinkEnd::Drained,
            }
        }
    }

    /// Sends what there is to send, for ever.
    async fn write<W: AsyncWrite + Unpin>(
        &self,
        writer: &mut FrameWriter<W>,
    ) -> io::Result<Infallible> {
        let ClientState { requests, queries, polls, .. } = &*self.shared;
        let (mut polled, mut ending) = (0, Ending::No);
        loop {
            while let Some(frame) = requests.take_frame(Instant::now()) {
                writer.feed(&frame).await?;
            }
            while let Some(query) = queries.take_unsent() {
                writer.feed(&ToRunner::Query(Box::new(query))).await?;
            }
            let now = self.shared.ending();
            if now > ending {
                ending = now;
                let frame = if now == Ending::Stop { ToRunner::Stop } else { ToRunner::Drain };
                writer.feed(&frame).await?;
            }
            let n = polls.load(Ordering::Relaxed);
            if n > polled {
                polled = n;
                writer.feed(&ToRunner::Poll(n)).await?;
            }
            writer.flush().await?;
            requests.changed().await;
        }
    }
}

/// How long a runner may take to stop. On a CPU the engine checks its stop flag after every
/// operation, so only a hanging one takes this long.
const STOP_GRACE: Duration = Duration::from_secs(1);
