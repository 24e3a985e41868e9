//! Keeps a runner running until the client asks it to end.

use std::io;
use std::time::{Duration, Instant};

use thiserror::Error;
use tokio::time::{sleep, timeout};

use crate::domain::LoadFailure;
use crate::runner::{
    Controller, EndCause, Launch, Launched, LinkEnd, ProcessEnd, ProcessThreads, RunnerProcess,
};
use crate::watchdog::{ActivityReading, Observation, StallLimit, Watchdog};

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
    /// The first runner made no progress while it loaded the model.
    #[error("loading the model made no progress for {} s", .0.as_secs())]
    StalledWhileLoading(Duration),
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
    /// How long the last runner served the loaded model.
    served_for: Duration,
    /// [`Controller::n_finished`] when the last runner ended.
    n_finished: u64,
}

/// How a runner ended.
enum RunnerExit {
    /// As the client asked.
    Ended,
    /// The operating system did not start it.
    NotStarted(io::Error),
    /// The model was not loaded.
    LoadFailed(LoadFailure),
    /// It made no progress for this time.
    Stalled(Duration),
    /// Too many of its steps failed.
    Failing,
    /// By itself.
    Died(ProcessEnd),
}

impl RunnerExit {
    /// The cause for people, and its label in metrics.
    fn cause(&self) -> (String, String) {
        match self {
            Self::Ended => ("it was asked to".to_owned(), "ended".to_owned()),
            Self::NotStarted(error) => {
                (format!("its process did not start: {error}"), "launch".to_owned())
            }
            Self::LoadFailed(failure) => (failure.message.clone(), "load".to_owned()),
            Self::Stalled(limit) => {
                (format!("no progress for {} s", limit.as_secs()), "stalled".to_owned())
            }
            Self::Failing => {
                ("too many steps in a row failed".to_owned(), "failed_steps".to_owned())
            }
            Self::Died(end) => (end.to_string(), end.cause.to_string()),
        }
    }
}

/// What ended first.
enum FirstEnd {
    Link(LinkEnd),
    /// The runner made no progress for this time.
    Stalled(Duration),
}

impl<L: Launch> Supervisor<L> {
    /// A supervisor that connects runners to the client of `controller`.
    pub fn new(launcher: L, controller: Controller, options: SupervisorOptions) -> Self {
        let policy = RestartPolicy::new(options.first_delay);
        Self {
            launcher,
            controller,
            options,
            policy,
            was_ready: false,
            served_for: Duration::ZERO,
            n_finished: 0,
        }
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
            let exit = self.run_once().await.unwrap_or_else(RunnerExit::NotStarted);
            if self.controller.is_ending() || matches!(exit, RunnerExit::Ended) {
                return Ok(());
            }
            if !self.was_ready {
                return Err(SupervisorError::of_first(exit));
            }
            let delay = self.prepare_restart(&exit)?;
            tokio::select! {
                () = sleep(delay) => {}
                () = self.controller.ending() => return Ok(()),
            }
        }
    }

    /// Reports how a runner ended. Returns the delay until the next one.
    ///
    /// # Errors
    /// [`SupervisorError::GaveUp`], if the options say to end when the model cannot be served.
    fn prepare_restart(&mut self, exit: &RunnerExit) -> Result<Duration, SupervisorError> {
        let (cause, label) = exit.cause();
        let n_finished = self.controller.n_finished();
        let was_useful = n_finished > std::mem::replace(&mut self.n_finished, n_finished)
            || self.served_for >= USEFUL_SERVICE && !matches!(exit, RunnerExit::Stalled(_));
        if let RunnerExit::Died(ProcessEnd { warnings, .. }) = exit {
            for warning in warnings {
                tracing::warn!("before its end llama.cpp logged: {warning}");
            }
        }
        self.controller.restarting(&cause, &label);
        match self.policy.next(was_useful) {
            Restart::After(delay) => {
                let what = match exit {
                    RunnerExit::LoadFailed(_) => "the model was not loaded again",
                    RunnerExit::NotStarted(_) => "the model is not served",
                    _ => "the model's process ended",
                };
                match delay.as_secs() {
                    0 => tracing::error!("{what}: {cause}; starting another one"),
                    seconds => tracing::error!("{what}: {cause}; next attempt in {seconds} s"),
                }
                Ok(delay)
            }
            Restart::GiveUpFor(delay) => {
                self.controller.failed(&cause);
                if self.options.exit_on_failure {
                    return Err(SupervisorError::GaveUp(cause));
                }
                let seconds = delay.as_secs();
                tracing::error!(
                    "the model's process ends again and again: {cause}; next attempt in {seconds} s"
                );
                Ok(delay)
            }
        }
    }

    /// Starts a runner and watches it until it has ended.
    ///
    /// # Errors
    /// The error of the operating system, if the runner cannot be started.
    async fn run_once(&mut self) -> io::Result<RunnerExit> {
        self.served_for = Duration::ZERO;
        let Launched { reader, writer, mut process } = self.launcher.launch().await?;
        let Self { controller, options, was_ready, served_for, .. } = self;
        let link = controller.serve(reader, writer, &options.build, &options.spec);
        let watching = watch(controller, &process, options.stall_limit);
        // The link is closed before the process is waited for.
        let first = tokio::select! {
            end = link => FirstEnd::Link(end),
            limit = watching => FirstEnd::Stalled(limit),
        };
        *was_ready |= controller.is_ready();
        *served_for = controller.served_for();
        Ok(match first {
            FirstEnd::Stalled(limit) => {
                controller.runner_stalled(limit);
                end_process(&mut process, STALL_GRACE).await;
                RunnerExit::Stalled(limit)
            }
            FirstEnd::Link(LinkEnd::StopTimedOut) => {
                end_process(&mut process, Duration::ZERO).await;
                RunnerExit::Ended
            }
            FirstEnd::Link(LinkEnd::Drained) => {
                end_process(&mut process, END_GRACE).await;
                RunnerExit::Ended
            }
            FirstEnd::Link(LinkEnd::LoadFailed(failure)) => {
                end_process(&mut process, END_GRACE).await;
                controller.runner_died(&failure.message);
                RunnerExit::LoadFailed(failure)
            }
            FirstEnd::Link(LinkEnd::Failing) => {
                end_process(&mut process, END_GRACE).await;
                controller.runner_died(&RunnerExit::Failing.cause().0);
                RunnerExit::Failing
            }
            FirstEnd::Link(LinkEnd::Lost(error)) => {
                if let Some(error) = error {
                    tracing::debug!("the link to the model's process broke: {error}");
                }
                let end = end_process(&mut process, END_GRACE).await;
                controller.runner_died(&end.cause.to_string());
                RunnerExit::Died(end)
            }
        })
    }
}

impl SupervisorError {
    /// The error after the first runner has ended like this before the model was loaded.
    fn of_first(exit: RunnerExit) -> Self {
        match exit {
            RunnerExit::NotStarted(error) => Self::Launch(error),
            RunnerExit::LoadFailed(failure) => Self::Load(failure),
            RunnerExit::Stalled(limit) => Self::StalledWhileLoading(limit),
            RunnerExit::Died(end) => Self::EndedWhileLoading(end),
            RunnerExit::Ended | RunnerExit::Failing => Self::GaveUp(exit.cause().0),
        }
    }
}

/// Waits for the end of a process, and kills it after `grace`.
async fn end_process<P: RunnerProcess>(process: &mut P, grace: Duration) -> ProcessEnd {
    if let Ok(end) = timeout(grace, process.wait()).await {
        return end;
    }
    process.kill();
    let killed = timeout(KILL_GRACE, process.wait()).await;
    killed.unwrap_or_else(|_| ProcessEnd::of(EndCause::Unkillable))
}

/// Watches a runner until it is stalled. Returns the limit that it exceeded.
async fn watch<P: RunnerProcess>(
    controller: &Controller,
    process: &P,
    stall_limit: StallLimit,
) -> Duration {
    let mut watchdog = Watchdog::new();
    let (mut polled, mut interval) = (0, INTERVAL);
    loop {
        sleep(interval).await;
        let progress = controller.progress();
        let is_loading = !controller.is_ready();
        let limit = match is_loading {
            true => stall_limit.for_load(),
            false => stall_limit.for_step(progress.longest_step),
        };
        let is_overdue = progress.answered < polled;
        // If the engine has work, it is to make progress. If a poll is not answered, any thread may
        // be to blame.
        let threads = match progress.has_work && !is_overdue {
            true => ProcessThreads::Engine,
            false => ProcessThreads::All,
        };
        let now = Observation {
            at: Instant::now(),
            heartbeat: progress.heartbeat,
            is_expected: is_loading || progress.has_work || is_overdue,
            activity: match watchdog.needs_activity(progress.heartbeat) {
                true => process
                    .activity(threads)
                    .map_or(ActivityReading::Unavailable, ActivityReading::Read),
                false => ActivityReading::Skipped,
            },
        };
        polled = controller.poll();
        if watchdog.observe(now, limit, interval) {
            return limit;
        }
        interval = match is_loading || is_overdue || controller.has_requests() {
            true => INTERVAL,
            false => IDLE_INTERVAL,
        };
    }
}

/// Time between two observations while the runner has work. A stall is found at most four of them
/// after the limit.
const INTERVAL: Duration = Duration::from_millis(200);

/// Time between two observations of an idle runner, so that it hardly wakes. Not longer, because a
/// request may come just after one.
const IDLE_INTERVAL: Duration = Duration::from_millis(600);

/// A runner that served the loaded model for this long was useful even if nobody asked for
/// anything.
const USEFUL_SERVICE: Duration = Duration::from_secs(60);

/// How long a runner may take to end after its link has closed.
const END_GRACE: Duration = Duration::from_secs(2);

/// How long a stalled runner may take to end after its link has closed.
const STALL_GRACE: Duration = Duration::from_millis(100);

/// How long a killed process may take to end. One in an uninterruptible driver call may never.
const KILL_GRACE: Duration = Duration::from_secs(5);
