//! Forwards llama.cpp's log to tracing and extracts what is only available there.
//!
//! llama.cpp reports the cause of a failed load and the sizes of its buffers only in its log. The
//! first errors and the buffer sizes are therefore stored until [`super::load()`] takes them. Log
//! lines have the target `llama_cpp`, which the default filter disables.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::mem;
use std::ptr;
use std::sync::{Mutex, MutexGuard, PoisonError};

use llama_cpp_sys_2 as sys;

/// Forwards everything that llama.cpp logs from now on to tracing.
pub fn send_logs_to_tracing() {
    // SAFETY: `on_log` ignores its user data, so that may be null, and is valid for the life of the
    // process. A panic in it would abort, since an `extern "C"` function never unwinds.
    unsafe { sys::llama_log_set(Some(on_log), ptr::null_mut()) };
}

/// Takes the error lines logged since the last call, at most the first [`MAX_ERRORS`].
pub(super) fn take_errors() -> Vec<String> {
    log().errors.drain(..).collect()
}

/// Takes the buffers that llama.cpp has allocated since the last call, as far as it logged them.
pub(super) fn take_buffers() -> Vec<ReportedBuffer> {
    mem::take(&mut log().buffers)
}

/// A buffer that llama.cpp has allocated, as reported in its log. No function returns its size.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct ReportedBuffer {
    /// What the buffer is for: `model`, `KV`, `RS`, `compute` or `output`.
    pub(super) kind: String,
    /// The device or kind of memory that holds it: `CPU`, `CUDA0`, …
    pub(super) owner: String,
    /// Its size in MiB, with two decimals.
    pub(super) mib: f64,
}

impl ReportedBuffer {
    /// Parses a line such as `load_tensors: CPU model buffer size = 2.18 MiB`.
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" buffer size = ")?;
        let mut words = before.rsplit(char::is_whitespace).filter(|word| !word.is_empty());
        let (kind, owner) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mib = after.trim().strip_suffix(" MiB")?.trim().parse().ok()?;
        Some(Self { kind, owner, mib })
    }
}

/// The state of the log callback, which llama.cpp calls on any thread.
static LOG: Mutex<Log> = Mutex::new(Log {
    line: String::new(),
    level: sys::GGML_LOG_LEVEL_NONE,
    errors: VecDeque::new(),
    buffers: Vec::new(),
});

/// Locks [`LOG`].
fn log() -> MutexGuard<'static, Log> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner)
}

/// The log callback.
///
/// # Safety
/// `text` must be a C string or null.
unsafe extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: not null, so by the caller's contract a C string, which llama.cpp does not change or
    // free during the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    log().add(level, &text);
}

/// The line that is being logged, and what was extracted from earlier lines.
struct Log {
    /// The current line as far as it has been logged: llama.cpp may log a line in several calls.
    line: String,
    level: sys::ggml_log_level,
    errors: VecDeque<String>,
    buffers: Vec<ReportedBuffer>,
}

impl Log {
    /// Adds the text of one call of the callback: a line, several lines, or a part of a line.
    fn add(&mut self, level: sys::ggml_log_level, text: &str) {
        if level != sys::GGML_LOG_LEVEL_CONT {
            self.flush();
            self.level = level;
        }
        for part in text.split_inclusive('\n') {
            if self.line.len() < MAX_LINE_BYTES {
                self.line.push_str(part.trim_end_matches('\n'));
            }
            if part.ends_with('\n') {
                self.flush();
            }
        }
    }

    /// Ends the current line: logs it, and stores what is extracted from it.
    fn flush(&mut self) {
        let line = mem::take(&mut self.line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        match self.level {
            sys::GGML_LOG_LEVEL_ERROR | sys::GGML_LOG_LEVEL_WARN if is_about_abort(line) => {
                tracing::debug!(target: "llama_cpp", "{line}");
            }
            sys::GGML_LOG_LEVEL_ERROR => {
                tracing::error!(target: "llama_cpp", "{line}");
                if self.errors.len() < MAX_ERRORS {
                    self.errors.push_back(line.to_owned());
                }
            }
            sys::GGML_LOG_LEVEL_WARN if is_false_alarm(line) => {
                tracing::debug!(target: "llama_cpp", "{line}");
            }
            sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "llama_cpp", "{line}"),
            sys::GGML_LOG_LEVEL_INFO => {
                tracing::debug!(target: "llama_cpp", "{line}");
                if self.buffers.len() < MAX_BUFFERS {
                    self.buffers.extend(ReportedBuffer::parse(line));
                }
            }
            _ => tracing::trace!(target: "llama_cpp", "{line}"),
        }
    }
}

/// Whether a warning does not apply. llama.cpp warns if a slot has more cells of the KV cache
/// than the model's training context has tokens, which `--kv-size` or rounding can cause. Each
/// request is limited to that context.
fn is_false_alarm(line: &str) -> bool {
    line.contains("n_ctx_seq (") && line.ends_with("possible training context overflow")
}

/// Whether a line only reports that a step was aborted on request, which is not an error. The
/// status 1 is `GGML_STATUS_ABORTED` of `ggml-backend.h`.
fn is_about_abort(line: &str) -> bool {
    line.ends_with("_async failed with error 1")
        || line.ends_with("failed to compute graph, compute status: 1")
        || line.contains("decode: removing memory module entries for seq_id")
}

/// Maximum number of stored error lines. The first line names the cause, later lines its
/// consequences.
const MAX_ERRORS: usize = 8;

/// Maximum number of stored buffers. A load allocates a few per device.
const MAX_BUFFERS: usize = 256;

/// Nothing is appended to a line that has reached this length: at some levels llama.cpp logs whole
/// vocabularies.
const MAX_LINE_BYTES: usize = 4096;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn training_context_warning_does_not_apply_to_the_shared_cache() {
        let cells = "llama_context: n_ctx_seq (4096) > n_ctx_train (1024) -- possible training \
                     context overflow";
        assert!(is_false_alarm(cells));
        let unused = "llama_context: n_ctx_seq (512) < n_ctx_train (1024) -- the full capacity of \
                      the model will not be utilized";
        assert!(!is_false_alarm(unused));
    }

    #[test]
    fn aborted_step_is_not_an_error() {
        let failed = "graph_compute: ggml_backend_sched_graph_compute_async failed with error";
        assert!(is_about_abort(&format!("{failed} 1")));
        assert!(!is_about_abort(&format!("{failed} -1")));
        assert!(!is_about_abort("process_ubatch: failed to compute graph, compute status: -2"));
    }

    #[test]
    fn buffer_size_is_parsed_from_its_log_line() {
        let line = "sched_reserve:        CPU compute buffer size =    40.89 MiB";
        let buffer = ReportedBuffer { kind: "compute".into(), owner: "CPU".into(), mib: 40.89 };
        assert_eq!(ReportedBuffer::parse(line), Some(buffer));
        assert_eq!(ReportedBuffer::parse("llama_context: n_ctx = 512"), None);
        assert_eq!(ReportedBuffer::parse("x: CPU KV buffer size = many MiB"), None);
    }
}
