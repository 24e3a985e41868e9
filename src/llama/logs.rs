//! llama.cpp's log lines, sent to tracing and kept for error messages.
//!
//! llama.cpp says why a load failed only in its log, so the first complaints are kept here for
//! [`super::load()`] to put into its error. The lines themselves are quiet by default: their target
//! is `llama_cpp`, which the default filter turns off.

use std::collections::VecDeque;
use std::ffi::{CStr, c_char, c_void};
use std::sync::{Mutex, PoisonError};

use llama_cpp_sys_2 as sys;

/// Complaints that are kept: the first names the cause, the rest are its consequences.
const KEPT: usize = 8;

/// A line longer than this is cut: llama.cpp prints whole vocabularies at some levels.
const LONGEST_LINE: usize = 4096;

/// Buffers that are kept: a few for each card.
const MOST_BUFFERS: usize = 256;

static LOG: Mutex<Log> = Mutex::new(Log {
    line: String::new(),
    level: sys::GGML_LOG_LEVEL_NONE,
    complaints: VecDeque::new(),
    buffers: Vec::new(),
});

struct Log {
    /// The line so far: llama.cpp logs in pieces.
    line: String,
    level: sys::ggml_log_level,
    complaints: VecDeque<String>,
    buffers: Vec<Buffer>,
}

/// A buffer that llama.cpp has made, as its log says; there is no function that does.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Buffer {
    /// What it is for: `model`, `KV`, `compute`, `output`.
    pub(super) kind: String,
    /// Whose memory it is: `CPU`, `CUDA0`, …
    pub(super) owner: String,
    /// Its size in MiB, to two decimals.
    pub(super) mib: f64,
}

impl Buffer {
    /// Reads a line such as `load_tensors: CPU model buffer size = 2.18 MiB`.
    fn parse(line: &str) -> Option<Self> {
        let (before, after) = line.split_once(" buffer size = ")?;
        let mut words = before.rsplit(char::is_whitespace).filter(|word| !word.is_empty());
        let (kind, owner) = (words.next()?.to_owned(), words.next()?.to_owned());
        let mib = after.trim().strip_suffix(" MiB")?.trim().parse().ok()?;
        Some(Self { kind, owner, mib })
    }
}

/// Sends what llama.cpp logs from now on to tracing.
pub fn send_logs_to_tracing() {
    // SAFETY: the callback is a plain function that uses no user data and never unwinds.
    unsafe { sys::llama_log_set(Some(on_log), std::ptr::null_mut()) };
}

/// Takes the complaints since the last call.
pub(super) fn take_complaints() -> Vec<String> {
    LOG.lock().unwrap_or_else(PoisonError::into_inner).complaints.drain(..).collect()
}

/// Takes the buffers that were made since the last call.
pub(super) fn take_buffers() -> Vec<Buffer> {
    std::mem::take(&mut LOG.lock().unwrap_or_else(PoisonError::into_inner).buffers)
}

/// Whether a warning does not hold here. llama.cpp compares the cells of the KV cache, which all
/// slots share, with what the model was trained on; here a request is limited to that context.
fn is_untrue(line: &str) -> bool {
    line.contains("n_ctx_seq (") && line.ends_with("possible training context overflow")
}

/// Whether a complaint is about a step that was given up as it was asked to be (`ggml-backend.h` has 1
/// for `GGML_STATUS_ABORTED`): somebody aborted a request, and nothing is wrong.
fn is_asked_for(line: &str) -> bool {
    line.ends_with("_async failed with error 1")
        || line.ends_with("failed to compute graph, compute status: 1")
        || line.contains("decode: removing memory module entries for seq_id")
}

/// # Safety
/// `text` must be a C string or null.
unsafe extern "C" fn on_log(level: sys::ggml_log_level, text: *const c_char, _: *mut c_void) {
    if text.is_null() {
        return;
    }
    // SAFETY: llama.cpp passes a NUL-terminated string that lives for the call.
    let text = unsafe { CStr::from_ptr(text) }.to_string_lossy();
    LOG.lock().unwrap_or_else(PoisonError::into_inner).add(level, &text);
}

impl Log {
    fn add(&mut self, level: sys::ggml_log_level, text: &str) {
        if level != sys::GGML_LOG_LEVEL_CONT {
            self.flush();
            self.level = level;
        }
        for piece in text.split_inclusive('\n') {
            if self.line.len() < LONGEST_LINE {
                self.line.push_str(piece.trim_end_matches('\n'));
            }
            if piece.ends_with('\n') {
                self.flush();
            }
        }
    }

    fn flush(&mut self) {
        let line = std::mem::take(&mut self.line);
        let line = line.trim();
        if line.is_empty() {
            return;
        }
        match self.level {
            sys::GGML_LOG_LEVEL_ERROR | sys::GGML_LOG_LEVEL_WARN if is_asked_for(line) => {
                tracing::debug!(target: "llama_cpp", "{line}");
            }
            sys::GGML_LOG_LEVEL_ERROR => {
                tracing::error!(target: "llama_cpp", "{line}");
                if self.complaints.len() < KEPT {
                    self.complaints.push_back(line.to_owned());
                }
            }
            sys::GGML_LOG_LEVEL_WARN if is_untrue(line) => {
                tracing::debug!(target: "llama_cpp", "{line}");
            }
            sys::GGML_LOG_LEVEL_WARN => tracing::warn!(target: "llama_cpp", "{line}"),
            sys::GGML_LOG_LEVEL_INFO => {
                tracing::debug!(target: "llama_cpp", "{line}");
                if self.buffers.len() < MOST_BUFFERS {
                    self.buffers.extend(Buffer::parse(line));
                }
            }
            _ => tracing::trace!(target: "llama_cpp", "{line}"),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_warning_about_the_shared_cache_is_none_for_a_request() {
        let cells = "llama_context: n_ctx_seq (4096) > n_ctx_train (1024) -- possible training \
                     context overflow";
        assert!(is_untrue(cells));
        let unused = "llama_context: n_ctx_seq (512) < n_ctx_train (1024) -- the full capacity of \
                      the model will not be utilized";
        assert!(!is_untrue(unused));
    }

    #[test]
    fn a_step_that_was_given_up_is_no_error() {
        let failed = "graph_compute: ggml_backend_sched_graph_compute_async failed with error";
        assert!(is_asked_for(&format!("{failed} 1")));
        assert!(!is_asked_for(&format!("{failed} -1")));
        assert!(!is_asked_for("process_ubatch: failed to compute graph, compute status: -2"));
    }

    #[test]
    fn buffers_are_read_out_of_the_lines_that_name_them() {
        let line = "sched_reserve:        CPU compute buffer size =    40.89 MiB";
        let buffer = Buffer { kind: "compute".into(), owner: "CPU".into(), mib: 40.89 };
        assert_eq!(Buffer::parse(line), Some(buffer));
        assert_eq!(Buffer::parse("llama_context: n_ctx = 512"), None);
        assert_eq!(Buffer::parse("x: CPU KV buffer size = many MiB"), None);
    }
}
