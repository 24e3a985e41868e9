//! The log: its filter, and where its lines go.
//!
//! Log lines and the messages of panics go to standard error; standard output is for the start
//! screen. Whoever logs never waits for standard error.

use std::backtrace::{Backtrace, BacktraceStatus};
use std::fmt;
use std::io::{self, IsTerminal};
use std::panic::{self, PanicHookInfo};
use std::str::FromStr;
use std::thread;

use tracing::{Event, Subscriber};
use tracing_subscriber::EnvFilter;
use tracing_subscriber::filter::{Directive, LevelFilter};
use tracing_subscriber::fmt::format::Writer;
use tracing_subscriber::fmt::{FmtContext, FormatEvent, FormatFields};
use tracing_subscriber::registry::LookupSpan;

use crate::runner::LOG_MARK;

use super::error::DaemonError;
use super::output::{STDERR, StderrWriter};

/// Sends log lines that pass the filter `--log` to standard error, in colour on a terminal, and
/// with them the messages of panics.
///
/// # Errors
/// [`DaemonError::LogFilter`].
pub(super) fn init(filter: &str) -> Result<(), DaemonError> {
    let env_filter = parse_filter(filter)
        .map_err(|reason| DaemonError::LogFilter { filter: filter.to_owned(), reason })?;
    let env_filter = with_runner(filter, env_filter);
    tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_ansi(io::stderr().is_terminal())
        .with_writer(|| StderrWriter)
        // If standard error cannot be written, tracing-subscriber would print to standard error,
        // which panics. A panic must not happen on llama.cpp's threads, which log too.
        .log_internal_errors(false)
        .init();
    // At the level trace, tungstenite logs whole messages, and they contain API keys and prompts.
    log::set_max_level(log::LevelFilter::Debug);
    panic::set_hook(Box::new(|panic| STDERR.write(panic_message(panic).as_bytes())));
    Ok(())
}

/// The filter that also passes what the runner has passed, if `text` does not mention the runner.
fn with_runner(text: &str, filter: EnvFilter) -> EnvFilter {
    let decides =
        |directive: &str| directive.starts_with("runner") || directive.eq_ignore_ascii_case("off");
    if text.split(',').map(str::trim).any(decides) {
        return filter;
    }
    filter.add_directive(Directive::from_str("runner=trace").expect("the directive is valid"))
}

/// Sends the log lines of a runner to its standard error, in the form in which the daemon reads
/// them. The daemon filters them again. Errors of llama.cpp always pass this filter, because the
/// report of a crash needs them.
pub(super) fn init_runner(filter: &str) {
    let is_silent = |directive: &str| directive.trim().eq_ignore_ascii_case("llama_cpp=off");
    let mut directives: Vec<&str> = filter.split(',').filter(|text| !is_silent(text)).collect();
    if !directives.iter().any(|directive| directive.trim().starts_with("llama_cpp=")) {
        directives.push("llama_cpp=error");
    }
    // Cannot fail: the daemon has parsed the filter.
    let Ok(env_filter) = EnvFilter::try_new(directives.join(",")) else { return };
    let _ = tracing_subscriber::fmt()
        .with_env_filter(env_filter)
        .with_writer(io::stderr)
        .log_internal_errors(false)
        .event_format(RunnerFormat)
        .try_init();
}

/// Writes events as [`crate::runner::LOG_MARK`] describes.
struct RunnerFormat;

impl<S, N> FormatEvent<S, N> for RunnerFormat
where
    S: Subscriber + for<'a> LookupSpan<'a>,
    N: for<'a> FormatFields<'a> + 'static,
{
    fn format_event(
        &self,
        context: &FmtContext<'_, S, N>,
        mut writer: Writer<'_>,
        event: &Event<'_>,
    ) -> fmt::Result {
        let metadata = event.metadata();
        let mut text = String::new();
        context.format_fields(Writer::new(&mut text), event)?;
        let text = text.replace('\n', "\\n");
        writeln!(writer, "{LOG_MARK}{} {} {text}", metadata.level(), metadata.target())
    }
}

/// The message of a panic: that of the standard library, whose own hook waits for standard error.
fn panic_message(panic: &PanicHookInfo<'_>) -> String {
    let backtrace = Backtrace::capture();
    let backtrace = match backtrace.status() {
        BacktraceStatus::Captured => format!("{backtrace}"),
        _ => String::new(),
    };
    let thread = thread::current();
    format!("thread '{}' {panic}\n{backtrace}", thread.name().unwrap_or("without a name"))
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

/// The targets of log lines: the daemon, llama.cpp, the runner, and libraries.
const LOG_TARGETS: [&str; 13] = [
    "inference_core",
    "llama_cpp",
    "runner",
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
