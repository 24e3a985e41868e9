//! Keeps a runner running until the client asks it to end.

use std::io;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::{sleep, timeout};

use crate::domain::LoadFailure;
use crate::runner::{Controller, Launch, Launched, LinkEnd, ProcessEnd, RunnerProcess};
use crate::watchdog::{Known, Observation, StallLimit, Watchdog};

use super::restart::{Restart, RestartPolicy};

/// How to keep a runner running.
#[derive(Debug, Clone)]
pub struct SupervisorOptions {
    /// Identifies this program to the runner, which must be the same program.
    pub build: String,
    /// Tells the runner what to load.
    pub spec: Vec<u8>,
    /// How long a runner may make no progress.
    pub stall_limit: StallLimit,
    /// Delay before the second restart in a row. It doubles with each further one.
    pub first_delay: Duration,
    /// Whether to end when the model cannot be served, instead of trying again later.
    pub exit_on_failure: bool,
}

/// Why no runner runs any more, other than because the client asked for it.
#[derive(Debug, Error)]
pub enum SupervisorError {
    /// The first runner could not be started.
    #[error("the model's process cannot be started: {0}")]
    Launch(#[from] io::Error),
    /// The first runner did not load the model.
    #[error("{}", .0.message)]
    Load(LoadFailure),
    /// The first runner ended while it loaded the model.
    #[error("the model's process ended while it loaded the model: {0}")]
    EndedWhileLoading(ProcessEnd),
    /// Runners end again and again, and the options say to end then.
    #[error("the model cannot be served: {0}")]
    GaveUp(String),
}

/// Starts runners with `L` and connects them.
pub struct Supervisor<L> {
    launcher: L,
    controller: Controller,
    options: SupervisorOptions,
    policy: RestartPolicy,
    /// Whether any runner has loaded the model.
    was_ready: bool,
    /// [`Controller::n_finished`] when the last runner ended.
    n_finished: u64,
}

/// How a runner's life ended.
enum Life {
    /// As the client asked.
    Ended,
    /// The model was not loaded.
    LoadFailed(LoadFailure),
    /// By itself, or because it made no progress.
    Died {
        /// How, for people.
        cause: String,
        /// How, for metrics.
        label: String,
        end: ProcessEnd,
    },
}

impl<L: Launch> Supervisor<L> {
    /// A supervisor that connects runners to the client of `controller`.
    pub fn new(launcher: L, controller: Controller, options: SupervisorOptions) -> Self {
        let policy = RestartPolicy::new(options.first_delay);
        Self { launcher, controller, options, policy, was_ready: false, n_finished: 0 }
    }

    /// Keeps a runner running until the client asks it to end. All requests have ended then.
    ///
    /// # Errors
    /// [`SupervisorError`], if the first runner cannot load the model, or if the options say to end
    /// when the model cannot be served.
    pub async fn run(mut self) -> Result<(), SupervisorError> {
        let result = self.keep_running().await;
        self.controller.stopped();
        result
    }

    async fn keep_running(&mut self) -> Result<(), SupervisorError> {
        loop {
            let started = Instant::now();
            let (reason, label) = match self.live().await {
                _ if self.controller.is_ending() => return Ok(()),
                Ok(Life::Ended) => return Ok(()),
                Ok(Life::LoadFailed(failure)) if !self.was_ready => {
                    return Err(SupervisorError::Load(failure));
                }
                Ok(Life::Died { end, .. }) if !self.was_ready => {
                    return Err(SupervisorError::EndedWhileLoading(end));
                }
                Err(error) if !self.was_ready => return Err(SupervisorError::Launch(error)),
                Ok(Life::LoadFailed(failure)) => (failure.message, "load".to_owned()),
                Ok(Life::Died { cause, label, .. }) => (cause, label),
                Err(error) => (error.to_string(), "launch".to_owned()),
            };
            let n_finished = self.controller.n_finished();
            let was_useful = n_finished > std::mem::replace(&mut self.n_finished, n_finished)
                || started.elapsed() >= LONG_LIFE;
            let delay = match self.policy.next(was_useful) {
                Restart::After(delay) => {
                    tracing::error!("the model's process ended: {reason}; it starts again");
                    self.controller.restarting(&reason, &label);
                    delay
                }
                Restart::GiveUpFor(delay) => {
                    tracing::error!(
                        "the model's process ends again and again: {reason}; next attempt in {} s",
                        delay.as_secs()
                    );
                    self.controller.restarting(&reason, &label);
                    self.controller.failed(&reason);
                    if self.options.exit_on_failure {
                        return Err(SupervisorError::GaveUp(reason));
                    }
                    delay
                }
            };
            tokio::select! {
                () = sleep(delay) => {}
                () = self.controller.ending() => return Ok(()),
            }
        }
    }

    /// Starts a runner and watches it until it has ended.
    ///
    /// # Errors
    /// The error of the operating system, if the runner cannot be started.
    async fn live(&mut self) -> io::Result<Life> {
        let Launched { reader, writer, mut process } = self.launcher.launch().await?;
        let Self { controller, options, was_ready, .. } = self;
        let link = controller.serve(reader, writer, &options.build, &options.spec);
        let watching = watch(controller, &mut process, options.stall_limit);
        // What ended first decides. The link is closed before the process is waited for.
        let first = tokio::select! {
            end = link => Ok(end),
            limit = watching => Err(limit),
        };
        *was_ready |= controller.is_ready();
        let mut stalled = None;
        let grace = match &first {
            Err(limit) => {
                tracing::error!("the engine made no progress for {} s", limit.as_secs_f32());
                stalled = Some(*limit);
                controller.runner_stalled(*limit);
                STALL_GRACE
            }
            Ok(LinkEnd::StopTimedOut) => Duration::ZERO,
            Ok(_) => END_GRACE,
        };
        let end = end_process(&mut process, grace).await;
        Ok(match first {
            Ok(LinkEnd::Drained | LinkEnd::StopTimedOut) => Life::Ended,
            Ok(LinkEnd::LoadFailed(failure)) => Life::LoadFailed(failure),
            Ok(LinkEnd::Failing) => {
                let cause = "too many steps in a row failed".to_owned();
                controller.runner_died(&cause);
                Life::Died { cause, label: "failed_steps".to_owned(), end }
            }
            Ok(LinkEnd::Lost(error)) => {
                if let Some(error) = error {
                    tracing::debug!("the link to the model's process broke: {error}");
                }
                controller.runner_died(&end.how);
                Life::Died { cause: end.to_string(), label: end.how.clone(), end }
            }
            Err(_) => {
                let seconds = stalled.unwrap_or_default().as_secs();
                let cause = format!("no progress for {seconds} s");
                Life::Died { cause, label: "stalled".to_owned(), end }
            }
        })
    }
}

/// Waits for the end of a process, and kills it after `grace`.
async fn end_process<P: RunnerProcess>(process: &mut P, grace: Duration) -> ProcessEnd {
    if let Ok(end) = timeout(grace, process.wait()).await {
        return end;
    }
    process.kill();
    let killed = timeout(KILL_GRACE, process.wait()).await;
    killed.unwrap_or_else(|_| ProcessEnd { how: "unkillable".to_owned(), final_line: None })
}

/// Watches a runner until it is stalled. Returns the limit that it exceeded.
async fn watch<P: RunnerProcess>(
    controller: &Controller,
    process: &mut P,
    stall_limit: StallLimit,
) -> Duration {
    let mut watchdog = Watchdog::new();
    let (mut polled, mut n_idle) = (0, 0);
    loop {
        sleep(INTERVAL).await;
        let is_busy = controller.has_requests() || !controller.is_ready();
        n_idle = if is_busy { 0 } else { n_idle + 1 };
        if n_idle % IDLE_INTERVALS != 0 {
            continue;
        }
        let progress = controller.progress();
        let is_loading = !controller.is_ready();
        let limit =
            if is_loading { LOAD_LIMIT } else { stall_limit.for_step(progress.longest_step) };
        let now = Observation {
            at: Instant::now(),
            heartbeat: progress.heartbeat,
            is_expected: is_loading || progress.has_work || progress.answered < polled,
            activity: match watchdog.is_curious(progress.heartbeat) {
                true => process.activity().map_or(Known::No, Known::Yes),
                false => Known::NotAsked,
            },
        };
        polled = controller.poll();
        if watchdog.observe(now, limit, INTERVAL) {
            return limit;
        }
    }
}

/// Time between two observations while the runner has work. A stall is found at most four of them
/// after the limit.
const INTERVAL: Duration = Duration::from_millis(200);

/// An idle runner is observed once in this many intervals, so that it hardly wakes.
const IDLE_INTERVALS: u32 = 5;

/// How long a load may make no progress. A slow disk makes little, and so does a driver that
/// compiles kernels.
const LOAD_LIMIT: Duration = Duration::from_secs(300);

/// A runner that served for this long was useful even if nobody asked for anything.
const LONG_LIFE: Duration = Duration::from_secs(60);

/// How long a runner may take to end after its link has closed. A core dump takes a while.
const END_GRACE: Duration = Duration::from_secs(2);

/// How long a stalled runner may take to end after its link has closed.
const STALL_GRACE: Duration = Duration::from_millis(100);

/// How long a killed process may take to end. One in an uninterruptible driver call may never.
const KILL_GRACE: Duration = Duration::from_secs(5);
