//! The signals that the daemon receives: some ask it to shut down, SIGHUP to load files again, and
//! the others are ignored.
//!
//! The caller takes the first signal that asks to shut down as a request to drain, and the second
//! one as a request to stop at once. This file only reports them, one after another.
//!
//! A signal without a handler would kill the process and the answers that it is sending. So every
//! signal that people or programs send has a handler, also those that have no meaning here.

use std::fs::{self, File};
use std::future::{pending, poll_fn};
use std::io;
use std::sync::Arc;
use std::task::Poll;
use std::time::Duration;

use rustix::process;
use tokio::signal::unix::{Signal, SignalKind, signal};
use tokio::task::spawn_blocking;
use tokio::time::{Instant, sleep_until};

use super::reload::Reloads;

use self::Reaction::{Drain, DrainOnce, Ignore, Reload};

/// Keeps the signals of [`SIGNALS`] and SIGHUP from ending this process: a runner, which ends with
/// its daemon. A service manager sends them to both. Must be called inside a tokio runtime.
///
/// # Errors
/// The operating system's error, if it cannot install a handler.
pub(super) fn ignore_signals() -> io::Result<()> {
    for &(_, number, _) in SIGNALS {
        drop(handler(number)?);
    }
    drop(handler(process::Signal::HUP)?);
    Ok(())
}

/// Reports each signal that asks to shut down. Once it exists, no signal in [`SIGNALS`] kills the
/// process.
pub(super) struct Signals {
    listeners: Vec<SignalListener>,
    reloads: Arc<Reloads>,
    /// Whether the process had a terminal when it started.
    had_terminal: bool,
    /// When to see whether the terminal is still there, after a SIGHUP.
    terminal_check: Option<Instant>,
}

/// The handler of one signal.
#[derive(Debug)]
struct SignalListener {
    name: &'static str,
    reaction: Reaction,
    signal: Signal,
}

/// What the daemon does when a signal comes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Reaction {
    /// It is asked to shut down.
    Drain,
    /// It is asked to shut down by the system, which can send the signal several times. Only the
    /// first one counts.
    DrainOnce,
    /// It loads files again. If its terminal has been closed, which sends the same signal, it is
    /// asked to shut down.
    Reload,
    /// It logs the reason and goes on.
    Ignore(&'static str),
}

impl Signals {
    /// Installs the signal handlers. SIGHUP runs `reloads`. Must be called inside a tokio runtime.
    ///
    /// # Errors
    /// The operating system's error, if it cannot install a handler.
    pub(super) fn listen(reloads: Reloads) -> io::Result<Self> {
        let mut listeners = Vec::new();
        for &(name, number, reaction) in SIGNALS {
            let signal = handler(number)?;
            listeners.push(SignalListener { name, reaction, signal });
        }
        // A handler would end what `nohup` has asked for.
        if !is_hangup_ignored() {
            let signal = signal(SignalKind::hangup())?;
            listeners.push(SignalListener { name: HANGUP, reaction: Reload, signal });
        }
        // A log line about this signal could raise it again. Its handler stays installed.
        drop(handler(process::Signal::XFSZ)?);
        let had_terminal = has_terminal();
        Ok(Self { listeners, reloads: Arc::new(reloads), had_terminal, terminal_check: None })
    }

    /// Waits for the next signal that asks to shut down and returns its name. Signals of one kind
    /// that arrive between two calls count as one.
    pub(super) async fn next(&mut self) -> &'static str {
        loop {
            let check = self.terminal_check;
            let (name, reaction) = tokio::select! {
                signal = self.any() => signal,
                () = at(check) => {
                    self.terminal_check = None;
                    if has_terminal() {
                        continue;
                    }
                    (HANGUP, DrainOnce)
                }
            };
            match reaction {
                Drain => return name,
                DrainOnce => return self.last(name),
                Reload if self.had_terminal && !has_terminal() => return self.last(name),
                Reload => self.reload(),
                Ignore(reason) => tracing::info!("ignored {name}: {reason}"),
            }
        }
    }

    /// Listens no longer for the signal called `name`, and returns the name.
    fn last(&mut self, name: &'static str) -> &'static str {
        self.listeners.retain(|listener| listener.name != name);
        self.terminal_check = None;
        name
    }

    /// Loads files again, on another thread.
    fn reload(&mut self) {
        if self.reloads.is_empty() {
            tracing::info!("ignored {HANGUP}: there is nothing to reload");
        } else {
            let reloads = self.reloads.clone();
            drop(spawn_blocking(move || reloads.run()));
        }
        // A shell that ends may send the signal just before its terminal is closed.
        self.terminal_check = self.had_terminal.then(|| Instant::now() + TERMINAL_DELAY);
    }

    /// Waits for the next signal.
    async fn any(&mut self) -> (&'static str, Reaction) {
        poll_fn(|context| {
            for listener in &mut self.listeners {
                if listener.signal.poll_recv(context).is_ready() {
                    return Poll::Ready((listener.name, listener.reaction));
                }
            }
            Poll::Pending
        })
        .await
    }
}

/// Waits until `time`; for ever if there is none.
async fn at(time: Option<Instant>) {
    match time {
        Some(time) => sleep_until(time).await,
        None => pending().await,
    }
}

/// Installs the handler of a signal, which stays for the life of the process.
fn handler(number: process::Signal) -> io::Result<Signal> {
    signal(SignalKind::from_raw(number.as_raw()))
}

/// Whether this process was started with SIGHUP ignored, as by `nohup`. A handler would undo that.
/// Only Linux reports it. Elsewhere this is true, so that SIGHUP keeps its default action.
pub fn is_hangup_ignored() -> bool {
    let status = fs::read_to_string("/proc/self/status").unwrap_or_default();
    parse_hangup_ignored(&status).unwrap_or(true)
}

/// Whether SIGHUP, signal 1, is ignored according to the text of `/proc/PID/status`; `None` if the
/// text does not say.
fn parse_hangup_ignored(status: &str) -> Option<bool> {
    let ignored = status.lines().find_map(|line| line.strip_prefix("SigIgn:"))?;
    Some(u64::from_str_radix(ignored.trim(), 16).ok()? & 1 == 1)
}

/// Whether the process belongs to a terminal that is open. When the terminal is closed, the system
/// and the shell send SIGHUP.
fn has_terminal() -> bool {
    File::open("/dev/tty").is_ok()
}

/// What every signal means, except SIGHUP. `kill` sends SIGTERM, Ctrl-C SIGINT and Ctrl-\ SIGQUIT.
/// The system sends SIGXCPU every second from the soft limit on CPU time to the hard one. SIGPWR
/// says that the power fails; it also stops a container of LXC.
const SIGNALS: &[(&str, process::Signal, Reaction)] = &[
    ("SIGINT", process::Signal::INT, Drain),
    ("SIGTERM", process::Signal::TERM, Drain),
    ("SIGQUIT", process::Signal::QUIT, Drain),
    ("SIGXCPU", process::Signal::XCPU, DrainOnce),
    #[cfg(target_os = "linux")]
    ("SIGPWR", process::Signal::POWER, Drain),
    ("SIGUSR1", process::Signal::USR1, Ignore(NO_USE)),
    ("SIGUSR2", process::Signal::USR2, Ignore(NO_USE)),
    ("SIGALRM", process::Signal::ALARM, Ignore(NO_USE)),
    ("SIGVTALRM", process::Signal::VTALARM, Ignore(NO_USE)),
    ("SIGPROF", process::Signal::PROF, Ignore(NO_USE)),
    ("SIGIO", process::Signal::IO, Ignore(NO_USE)),
];

/// Why a signal without a meaning is ignored.
const NO_USE: &str = "the daemon does not use it";

/// The signal that asks to load files again, and says that a terminal was closed.
const HANGUP: &str = "SIGHUP";

/// Time between a SIGHUP and the end of the terminal, if its end was the reason. Shells need a few
/// milliseconds.
const TERMINAL_DELAY: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sighup_is_the_first_bit_of_the_ignored_signals() {
        assert_eq!(parse_hangup_ignored("Name:\tx\nSigIgn:\t0000000000001001\n"), Some(true));
        assert_eq!(parse_hangup_ignored("SigIgn:\t0000000000001000\n"), Some(false));
        assert_eq!(parse_hangup_ignored("Name:\tx\n"), None);
    }
}
