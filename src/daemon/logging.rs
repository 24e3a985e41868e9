//! The log: its filter, and where its lines go.
//!
//! Log lines go to standard error; standard output is for the start screen.

use std::io::{self, IsTerminal};

use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::LevelFilter;

use super::error::DaemonError;

/// Sends log lines that pass the filter `--log` to standard error, in colour on a terminal.
///
/// # Errors
/// [`DaemonError::LogFilter`].
pub(super) fn init(filter: &str) -> Result<(), DaemonError> {
    let env_filter = parse_filter(filter)
        .map_err(|reason| DaemonError::LogFilter { filter: filter.to_owned(), reason })?;
    tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(io::stderr)
        // If standard error cannot be written, tracing-subscriber would print to standard error,
        // which panics. A panic must not happen on llama.cpp's threads, which log too.
        .log_internal_errors(false)
        .init();
    Ok(())
}

/// Parses a filter of tracing-subscriber. A misspelt level or target is an error here;
/// tracing-subscriber would take both for a target that never logs.
fn parse_filter(text: &str) -> Result<EnvFilter, String> {
    for directive in text.split(',').map(str::trim) {
        let is_word = directive.bytes().all(|byte| byte.is_ascii_alphanumeric());
        if directive.is_empty() || is_word && directive.parse::<LevelFilter>().is_err() {
            return Err(format!(
                "{directive:?} is not a level, use error, warn, info, debug or trace"
            ));
        }
        let target = directive.split(['=', '[', ':']).next().unwrap_or_default();
        if !is_word && !target.is_empty() && !LOG_TARGETS.contains(&target) {
            let [ours, llama, ..] = LOG_TARGETS;
            return Err(format!("{target:?} is not a log target, use {ours} or {llama}"));
        }
    }
    EnvFilter::try_new(text)
        .map_err(|error| format!("{error}, use a level or a filter such as info,llama_cpp=debug"))
}

/// The crates that log: the daemon, llama.cpp, and libraries.
const LOG_TARGETS: [&str; 12] = [
    "inference_core",
    "llama_cpp",
    "llama_cpp_2",
    "axum",
    "hyper",
    "hyper_util",
    "mio",
    "nvml_wrapper",
    "tokio",
    "tokio_tungstenite",
    "tokio_util",
    "tungstenite",
];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn log_filter_is_a_level_or_known_targets_with_levels() {
        for filter in ["info", "warn,llama_cpp=off", "OFF", "inference_core::server=debug"] {
            assert!(parse_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["lama_cpp=off", "info,lama_cpp=off", "inference-core=debug"] {
            let reason = parse_filter(filter).unwrap_err();
            assert!(reason.contains("use inference_core or llama_cpp"), "{reason}");
        }
        for filter in ["debug", "llama_cpp", "inference_core[step]=debug", "[step]=debug"] {
            assert!(parse_filter(filter).is_ok(), "{filter}");
        }
        for filter in ["", "verbose", "info,loud", "info,", "llama_cpp=loud"] {
            assert!(parse_filter(filter).is_err(), "{filter}");
        }
    }
}
