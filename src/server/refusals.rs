//! Counts and logs HTTP requests that are refused because of their `Host` or `Origin`.
//!
//! Browsers hide the response from the page, so the operator of the server has to learn the reason
//! from the log. Each reason is logged once, and their number is limited, because any web page can
//! cause refusals.

use std::collections::BTreeSet;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, PoisonError};

/// The header for which a request is refused, with the reason: one line that names the value and
/// what to do.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum ForeignHeader {
    /// The request names a host that is not this machine.
    Host(String),
    /// The request comes from a page that is not allowed.
    Origin(String),
}

impl ForeignHeader {
    /// Why the request is refused.
    pub(super) fn reason(&self) -> &str {
        match self {
            Self::Host(reason) | Self::Origin(reason) => reason,
        }
    }
}

/// The refused requests since the start.
#[derive(Debug, Default)]
pub(super) struct Refusals {
    hosts: AtomicU64,
    origins: AtomicU64,
    /// The reasons that have been logged.
    logged: Mutex<BTreeSet<String>>,
}

impl Refusals {
    /// Counts a refused request, and logs the reason if it is new.
    pub(super) fn record(&self, foreign: &ForeignHeader) {
        let count = match foreign {
            ForeignHeader::Host(_) => &self.hosts,
            ForeignHeader::Origin(_) => &self.origins,
        };
        count.fetch_add(1, Relaxed);
        if let Some(line) = self.log_line(foreign.reason()) {
            tracing::warn!("{line}");
        }
    }

    /// Refused requests by the header that was the reason.
    pub(super) fn counts(&self) -> [(&'static str, u64); 2] {
        [("host", self.hosts.load(Relaxed)), ("origin", self.origins.load(Relaxed))]
    }

    /// The line to log for a refusal with this `reason`, if there is one.
    fn log_line(&self, reason: &str) -> Option<String> {
        // The set is valid after every statement, so a panic elsewhere cannot have broken it.
        let mut logged = self.logged.lock().unwrap_or_else(PoisonError::into_inner);
        if logged.len() > MAX_LOGGED || !logged.insert(reason.to_owned()) {
            return None;
        }
        Some(match logged.len() {
            n if n <= MAX_LOGGED => format!("HTTP request refused: {reason}"),
            _ => "more HTTP requests refused: /metrics counts them".to_owned(),
        })
    }
}

/// Most reasons that are logged. A person who sets up a page needs a few.
const MAX_LOGGED: usize = 64;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn each_reason_is_logged_once_and_their_number_is_limited() {
        let refusals = Refusals::default();
        assert_eq!(refusals.log_line("a").unwrap(), "HTTP request refused: a");
        assert_eq!(refusals.log_line("a"), None);
        let lines: Vec<_> = (0..1000).filter_map(|i| refusals.log_line(&i.to_string())).collect();
        assert_eq!(lines.len(), MAX_LOGGED);
        assert_eq!(lines.last().unwrap(), "more HTTP requests refused: /metrics counts them");
        assert_eq!(refusals.log_line("b"), None);
    }

    #[test]
    fn refused_requests_are_counted_by_header() {
        let refusals = Refusals::default();
        for _ in 0..3 {
            refusals.record(&ForeignHeader::Origin("a".to_owned()));
        }
        refusals.record(&ForeignHeader::Host("a".to_owned()));
        assert_eq!(refusals.counts(), [("host", 1), ("origin", 3)]);
    }
}
