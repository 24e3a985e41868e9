//! Standard output and standard error of the daemon. A thread of its own writes each of them.
//!
//! Nobody may be reading them: a pipe can be full, and Ctrl-S stops a terminal. Then only the
//! stream's thread waits. All other threads add their lines to a bounded queue and go on. A line
//! that does not fit into the queue is lost. The number of lost lines is written once the stream is
//! read again.

use std::fmt::Display;
use std::io::{self, Write};
use std::mem;
use std::os::fd::{AsRawFd, RawFd};
use std::sync::{Condvar, Mutex, MutexGuard, OnceLock, PoisonError};
use std::thread;
use std::time::Duration;

/// Standard output, for the start screen.
pub(super) static STDOUT: OutputStream =
    OutputStream::new("stdout", "standard output", || Box::new(io::stdout()));

/// Standard error, for the log, the progress bar and the error that ends the daemon.
pub(super) static STDERR: OutputStream =
    OutputStream::new("stderr", "standard error", || Box::new(io::stderr()));

/// Writes the error that ends the daemon to standard error, after the log lines before it.
pub fn print_error(error: &dyn Display) {
    STDERR.write(format!("inference-core: {error}\n").as_bytes());
}

/// Waits until everything is written, for at most a second per stream. The daemon calls it before
/// it exits.
pub fn flush_output() {
    STDERR.flush(FLUSH_DEADLINE);
    STDOUT.flush(FLUSH_DEADLINE);
}

/// Number of lines that were lost since the start, by stream.
pub(super) fn lost_lines() -> [(&'static str, u64); 2] {
    [&STDERR, &STDOUT].map(|stream| (stream.thread_name, stream.queue.lock().n_lost_ever))
}

/// A stream of the process, with its queue and its thread.
#[derive(Debug)]
pub(super) struct OutputStream {
    thread_name: &'static str,
    queue: LineQueue,
    open: fn() -> Box<dyn Write>,
    /// Whether the thread runs; empty before the first line.
    is_started: OnceLock<bool>,
}

impl OutputStream {
    /// The stream `name` of which `open` gives the writer. The first line starts the thread.
    const fn new(
        thread_name: &'static str,
        name: &'static str,
        open: fn() -> Box<dyn Write>,
    ) -> Self {
        Self { thread_name, queue: LineQueue::new(name), open, is_started: OnceLock::new() }
    }

    /// Queues a line, or several, for the thread. Never waits for the stream.
    pub(super) fn write(&'static self, text: &[u8]) {
        self.queue.push(text);
        self.is_started.get_or_init(|| {
            let builder = thread::Builder::new().name(self.thread_name.to_owned());
            builder.spawn(move || self.write_queue()).is_ok()
        });
    }

    /// Whether text still waits to be written.
    pub(super) fn is_behind(&self) -> bool {
        self.queue.lock().is_behind()
    }

    /// Waits until the thread has written everything, for at most `deadline`.
    pub(super) fn flush(&self, deadline: Duration) {
        match self.is_started.get() {
            Some(true) => self.queue.wait_until_written(deadline),
            // The system refused the thread. It then refuses those of the server as well, so that
            // the daemon exits now and only this error is left to write.
            Some(false) if self.is_behind() => self.write_next(&mut *(self.open)()),
            Some(false) | None => {}
        }
    }

    /// The thread: writes what is queued, for ever.
    fn write_queue(&self) {
        let mut stream = (self.open)();
        loop {
            self.write_next(&mut *stream);
        }
    }

    /// Waits for queued text and writes it.
    fn write_next(&self, stream: &mut dyn Write) {
        let text = self.queue.take();
        // An error, such as that of a pipe without a reader, cannot be reported anywhere.
        let _ = stream.write_all(&text).and_then(|()| stream.flush());
        self.queue.finish();
    }
}

/// A writer that queues its text for standard error.
#[derive(Debug, Clone, Copy)]
pub(super) struct StderrWriter;

impl Write for StderrWriter {
    fn write(&mut self, text: &[u8]) -> io::Result<usize> {
        STDERR.write(text);
        Ok(text.len())
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}

/// For the size of the terminal.
impl AsRawFd for StderrWriter {
    fn as_raw_fd(&self) -> RawFd {
        io::stderr().as_raw_fd()
    }
}

/// The lines that wait to be written to one stream.
#[derive(Debug)]
struct LineQueue {
    /// The name of the stream.
    stream: &'static str,
    lines: Mutex<Lines>,
    changed: Condvar,
}

#[derive(Debug)]
struct Lines {
    text: Vec<u8>,
    /// Number of lines that did not fit since text was last taken.
    n_lost: u64,
    /// Number of lines that did not fit since the start.
    n_lost_ever: u64,
    /// Whether the thread is writing text that it has taken.
    is_writing: bool,
}

impl Lines {
    fn is_empty(&self) -> bool {
        self.text.is_empty() && self.n_lost == 0
    }

    fn is_behind(&self) -> bool {
        self.is_writing || !self.is_empty()
    }
}

impl LineQueue {
    const fn new(stream: &'static str) -> Self {
        let lines = Lines { text: Vec::new(), n_lost: 0, n_lost_ever: 0, is_writing: false };
        Self { stream, lines: Mutex::new(lines), changed: Condvar::new() }
    }

    fn lock(&self) -> MutexGuard<'_, Lines> {
        self.lines.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// Adds a line, or loses it if the queue is full.
    fn push(&self, line: &[u8]) {
        let mut lines = self.lock();
        if lines.text.len() + line.len() > MAX_QUEUED_BYTES {
            lines.n_lost += 1;
            lines.n_lost_ever += 1;
        } else {
            lines.text.extend_from_slice(line);
        }
        drop(lines);
        self.changed.notify_all();
    }

    /// Waits for text and takes it. After it comes the number of lines that were lost behind it.
    /// [`finish`](Self::finish) must follow.
    fn take(&self) -> Vec<u8> {
        let lines = self.changed.wait_while(self.lock(), |lines| lines.is_empty());
        let mut lines = lines.unwrap_or_else(PoisonError::into_inner);
        lines.is_writing = true;
        let mut text = mem::take(&mut lines.text);
        let n_lost = mem::take(&mut lines.n_lost);
        drop(lines);
        if n_lost > 0 {
            let notice = format!(
                "inference-core: {n_lost} lines are lost here, because nobody read {} in time\n",
                self.stream
            );
            text.extend_from_slice(notice.as_bytes());
        }
        text
    }

    /// Reports that the text that was taken is written.
    fn finish(&self) {
        self.lock().is_writing = false;
        self.changed.notify_all();
    }

    /// Waits until everything is written, for at most `deadline`.
    fn wait_until_written(&self, deadline: Duration) {
        let _ = self.changed.wait_timeout_while(self.lock(), deadline, |lines| lines.is_behind());
    }
}

/// Longest text that waits for one stream, in bytes. A start with `--log debug,llama_cpp=debug`
/// writes about a tenth of it.
const MAX_QUEUED_BYTES: usize = 1024 * 1024;

/// Longest wait for a stream before the process exits. A terminal or a pipe that is read takes the
/// whole queue in a few milliseconds.
const FLUSH_DEADLINE: Duration = Duration::from_secs(1);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn full_queue_loses_lines_and_says_how_many() {
        let queue = LineQueue::new("standard error");
        queue.push(&[b'x'; MAX_QUEUED_BYTES - 2]);
        for _ in 0..3 {
            queue.push(b"long\n");
        }
        queue.push(b"a\n");
        let text = String::from_utf8(queue.take()).unwrap();
        let (_, end) = text.split_once("xa\n").unwrap();
        assert!(end.contains(" 3 lines ") && end.ends_with('\n'), "{end}");
        queue.finish();
        queue.push(b"b\n");
        assert_eq!(queue.take(), b"b\n");
        assert_eq!(queue.lock().n_lost_ever, 3);
    }

    #[test]
    fn queue_is_written_only_when_taken_text_is_finished() {
        let queue = LineQueue::new("standard error");
        assert!(!queue.lock().is_behind());
        queue.push(b"a\n");
        assert!(queue.lock().is_behind());
        queue.take();
        assert!(queue.lock().is_behind());
        queue.wait_until_written(Duration::ZERO);
        queue.finish();
        assert!(!queue.lock().is_behind());
    }
}
