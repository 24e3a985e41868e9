//! The standard error of a runner: log lines of the daemon, and the line that says why it ended.
//!
//! The runner writes each of its own log lines with a mark, its level and its target. Everything
//! else comes from llama.cpp, a driver or the C++ library, and is a warning.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::{Duration, Instant};

use rustix::process::Signal;
use tokio::io::{AsyncBufReadExt, AsyncRead, AsyncReadExt, BufReader};
use tokio::task::JoinHandle;
use tracing::Level;

use super::end::EndCause;

/// Begins a log line of the runner itself: `MARK LEVEL TARGET TEXT`. A text that contains the mark
/// is only shown at another level.
pub const LOG_MARK: char = '\u{1f}';

/// Reads the standard error of a process until its end.
#[derive(Debug)]
pub(super) struct LogReader {
    lines: Arc<Mutex<VecDeque<Line>>>,
    task: JoinHandle<()>,
}

/// One line of the standard error.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Line {
    level: Level,
    /// Whether llama.cpp logged it.
    is_llama: bool,
    /// Whether the runner logged it; otherwise it was written directly.
    is_logged: bool,
    text: String,
    at: Instant,
}

impl LogReader {
    /// Starts the task that reads.
    pub(super) fn spawn(stderr: impl AsyncRead + Send + Unpin + 'static) -> Self {
        let lines = Arc::<Mutex<VecDeque<Line>>>::default();
        let task = tokio::spawn(read(stderr, lines.clone()));
        Self { lines, task }
    }

    /// Waits until everything is read.
    pub(super) async fn ended(&mut self) {
        if !self.task.is_finished() {
            // A panic while logging is none of the caller's business.
            let _ = (&mut self.task).await;
        }
    }

    /// The last warnings and errors of llama.cpp, among the last [`MAX_LINES`] lines.
    pub(super) fn llama_warnings(&self) -> Vec<String> {
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_warning = |line: &&Line| line.is_llama && line.level <= Level::WARN;
        lines.iter().filter(is_warning).map(|line| line.text.clone()).collect()
    }

    /// The line that most likely says why the process ended just now, with this `cause`: the last
    /// one that was written directly and reports a failure, or else the last error. `None` if
    /// another process ended it with a signal, since its own lines tell nothing then, and for
    /// errors that it survived.
    pub(super) fn final_line(&self, cause: EndCause) -> Option<String> {
        if OUTSIDE_SIGNALS.into_iter().any(|signal| cause.is_signal(signal)) {
            return None;
        }
        let lines = self.lines.lock().unwrap_or_else(PoisonError::into_inner);
        let is_recent = |line: &Line| line.at.elapsed() < SURVIVAL;
        let is_cause =
            |line: &&Line| !line.is_logged && CAUSES.iter().any(|words| line.text.contains(words));
        let last = |is_wanted: &dyn Fn(&&Line) -> bool| {
            lines.iter().rev().find(|line| is_wanted(line)).map(|line| line.text.clone())
        };
        last(&is_cause)
            .or_else(|| last(&|line| line.level == Level::ERROR && is_recent(line)))
            .or_else(|| last(&|line| !line.is_logged))
    }
}

/// Logs every line and keeps the last ones.
async fn read(stderr: impl AsyncRead + Unpin, lines: Arc<Mutex<VecDeque<Line>>>) {
    let mut reader = BufReader::new(stderr);
    let mut bytes = Vec::new();
    loop {
        bytes.clear();
        let limited = &mut (&mut reader).take(MAX_LINE_BYTES);
        match limited.read_until(b'\n', &mut bytes).await {
            Ok(1..) => {}
            Ok(0) | Err(_) => return,
        }
        let Some(line) = parse(&String::from_utf8_lossy(&bytes)) else { continue };
        log(&line);
        let mut lines = lines.lock().unwrap_or_else(PoisonError::into_inner);
        if lines.len() == MAX_LINES {
            lines.pop_front();
        }
        lines.push_back(line);
    }
}

/// Parses a line; `None` for an empty one.
fn parse(line: &str) -> Option<Line> {
    let line = line.trim_end();
    if let Some(logged) = line.strip_prefix(LOG_MARK)
        && let Some((level, rest)) = logged.split_once(' ')
        && let Ok(level) = level.parse()
        && let Some((target, text)) = rest.split_once(' ')
    {
        let is_llama = target == "llama_cpp";
        let (text, at) = (printable(text), Instant::now());
        return Some(Line { level, is_llama, is_logged: true, text, at });
    }
    let text = printable(line.trim());
    (!text.is_empty()).then_some(Line {
        level: Level::WARN,
        is_llama: false,
        is_logged: false,
        text,
        at: Instant::now(),
    })
}

/// `text` without control characters, which could change how a terminal shows other lines.
fn printable(text: &str) -> String {
    text.chars().filter(|c| !c.is_control()).collect()
}

/// Logs a line at its level, with a target of its own.
fn log(Line { level, is_llama, text, .. }: &Line) {
    macro_rules! at {
        ($($level:ident)*) => {
            match (*level, is_llama) {
                $(
                    (Level::$level, true) => tracing::event!(target: "llama_cpp", Level::$level, "{text}"),
                    (Level::$level, false) => tracing::event!(target: "runner", Level::$level, "{text}"),
                )*
            }
        };
    }
    at!(ERROR WARN INFO DEBUG TRACE);
}

/// What the lines contain in which C++ and Rust programs say why they end.
const CAUSES: [&str; 7] = [
    "GGML_ASSERT",
    "GGML_ABORT",
    "what():",
    "terminate called",
    "panicked at",
    "CUDA error",
    "memory allocation of",
];

/// The signals with which other processes and the system end one.
const OUTSIDE_SIGNALS: [Signal; 4] = [Signal::KILL, Signal::TERM, Signal::INT, Signal::HUP];

/// A process that lived for so long after it logged an error did not end because of that.
const SURVIVAL: Duration = Duration::from_secs(2);

/// Lines that are kept for the report of a crash.
const MAX_LINES: usize = 50;

/// Longest line. A longer one becomes several.
const MAX_LINE_BYTES: u64 = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    async fn log_of(text: &str) -> LogReader {
        let mut log = LogReader::spawn(std::io::Cursor::new(text.as_bytes().to_vec()));
        log.ended().await;
        log
    }

    async fn final_line(text: &str) -> Option<String> {
        log_of(text).await.final_line(EndCause::Exited(1))
    }

    #[tokio::test]
    async fn error_that_the_process_survived_is_no_cause() {
        let text = "\u{1f}ERROR inference_core::engine no token could be sampled\n";
        let log = log_of(text).await;
        assert!(log.final_line(EndCause::Signal(11)).is_some());
        assert_eq!(log.final_line(EndCause::Signal(9)), None, "another process killed it");
        let Some(long_ago) = Instant::now().checked_sub(SURVIVAL) else { return };
        log.lines.lock().unwrap()[0].at = long_ago;
        assert_eq!(log.final_line(EndCause::Signal(11)), None);
    }

    #[tokio::test]
    async fn final_line_are_the_cause_and_not_the_backtrace_after_it() {
        let text = "\u{1f}ERROR inference_core::engine a step failed\n\
                    ggml.c:1: GGML_ASSERT(n > 0) failed\n[New LWP 1]\n#0 wait4\n";
        assert_eq!(final_line(text).await.unwrap(), "ggml.c:1: GGML_ASSERT(n > 0) failed");
        let text = "\u{1f}ERROR llama_cpp bad tensor\n\u{1f}INFO runner loading\n";
        assert_eq!(final_line(text).await.unwrap(), "bad tensor");
        assert_eq!(final_line("Killed\n\n").await.unwrap(), "Killed");
        assert_eq!(final_line("\n").await, None);
    }

    #[test]
    fn logged_line_has_its_level_and_target() {
        let line = parse("\u{1f}DEBUG llama_cpp loading: 3 tensors\n").unwrap();
        assert_eq!(
            (line.level, line.is_llama, &line.text[..]),
            (Level::DEBUG, true, "loading: 3 tensors")
        );
        let line = parse("\u{1b}[31mterminate called\u{1b}[0m\n").unwrap();
        assert_eq!((line.level, line.is_logged), (Level::WARN, false));
        assert!(!line.text.contains('\u{1b}'));
    }
}
