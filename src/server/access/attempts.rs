//! Attempts with wrong keys, by address: slowed down, logged once a minute, and counted.
//!
//! The answer to a wrong key is delayed, longer with each further attempt from its address. A right
//! key is never delayed, also not behind an address that others share (ADR-0038).

use std::collections::HashMap;
use std::net::IpAddr;
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use super::meter::MINUTE;
use super::network::ClientNetwork;

/// The failed attempts of the recent past, and their number since the start.
#[derive(Debug, Default)]
pub(super) struct Attempts {
    n_failures: AtomicU64,
    recent: Mutex<Recent>,
}

#[derive(Debug, Default)]
struct Recent {
    by_network: HashMap<ClientNetwork, Failures>,
    /// When a line was logged last.
    logged: Option<Instant>,
    /// Failures since then.
    n_unlogged: u64,
    /// Address of the last one.
    address: Option<IpAddr>,
}

/// The failures of one network.
#[derive(Debug, Clone, Copy)]
struct Failures {
    n: u32,
    last: Instant,
}

impl Attempts {
    /// Counts a failed attempt, and logs it unless there was a line within the last minute. Returns
    /// how long its answer is to be delayed.
    pub(super) fn record(&self, address: IpAddr, now: Instant) -> Duration {
        self.n_failures.fetch_add(1, Relaxed);
        let mut recent = self.lock();
        recent.n_unlogged += 1;
        recent.address = Some(address);
        let n = recent.add(ClientNetwork::of(address), now);
        let line = recent.take_line(now);
        drop(recent);
        if let Some(line) = line {
            tracing::warn!("{line}");
        }
        delay(n)
    }

    /// Logs the failures since the last line, if there were any and it is a minute old.
    pub(super) fn report(&self, now: Instant) {
        let line = self.lock().take_line(now);
        if let Some(line) = line {
            tracing::warn!("{line}");
        }
    }

    /// Failed attempts since the start.
    pub(super) fn n_failures(&self) -> u64 {
        self.n_failures.load(Relaxed)
    }

    fn lock(&self) -> MutexGuard<'_, Recent> {
        // The table is valid after every statement, so a panic cannot have broken it.
        self.recent.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Recent {
    /// Counts a failure of `network`. Returns its failures until none came for a minute.
    fn add(&mut self, network: ClientNetwork, now: Instant) -> u32 {
        let is_recent = |failures: &Failures| now.saturating_duration_since(failures.last) < MINUTE;
        if self.by_network.len() >= MAX_NETWORKS && !self.by_network.contains_key(&network) {
            self.by_network.retain(|_, failures| is_recent(failures));
            // All are recent: the network whose last failure is the oldest is forgotten.
            if self.by_network.len() >= MAX_NETWORKS
                && let Some(oldest) =
                    self.by_network.iter().min_by_key(|(_, failures)| failures.last)
            {
                let oldest = *oldest.0;
                self.by_network.remove(&oldest);
            }
        }
        let failures = self.by_network.entry(network).or_insert(Failures { n: 0, last: now });
        failures.n = if is_recent(failures) { failures.n.saturating_add(1) } else { 1 };
        failures.last = now;
        failures.n
    }

    /// The line to log, at most once a minute.
    fn take_line(&mut self, now: Instant) -> Option<String> {
        let is_due =
            self.logged.is_none_or(|logged| now.saturating_duration_since(logged) >= MINUTE);
        let address = self.address.filter(|_| is_due && self.n_unlogged > 0)?;
        self.logged = Some(now);
        let n = std::mem::take(&mut self.n_unlogged);
        Some(match n {
            1 => format!("a client sent a wrong API key, from {address}"),
            _ => format!("clients sent wrong API keys {n} times, the last from {address}"),
        })
    }
}

/// How long the answer to the `n`th failure is delayed.
fn delay(n: u32) -> Duration {
    let doublings = n.saturating_sub(N_FREE + 1).min(16);
    let delay = if n > N_FREE { FIRST_DELAY * (1 << doublings) } else { Duration::ZERO };
    delay.min(MAX_DELAY)
}

/// Failures that are answered at once: a person who corrects a key.
const N_FREE: u32 = 5;

/// Delay of the first answer after them; it doubles with each further one.
const FIRST_DELAY: Duration = Duration::from_millis(250);

/// Longest delay of an answer.
const MAX_DELAY: Duration = Duration::from_secs(4);

/// Most networks whose failures are remembered.
const MAX_NETWORKS: usize = 1024;

#[cfg(test)]
mod tests {
    use super::*;

    fn address(n: u32) -> IpAddr {
        IpAddr::from(n.to_be_bytes())
    }

    #[test]
    fn delay_grows_after_a_few_failures_and_is_forgotten_after_a_minute() {
        let attempts = Attempts::default();
        let now = Instant::now();
        let delays: Vec<_> =
            (0..12).map(|_| attempts.record(address(1), now).as_millis()).collect();
        assert_eq!(delays, [0, 0, 0, 0, 0, 250, 500, 1000, 2000, 4000, 4000, 4000]);
        assert_eq!(attempts.record(address(2), now), Duration::ZERO, "another address");
        assert_eq!(attempts.record(address(1), now + MINUTE), Duration::ZERO);
        assert_eq!(attempts.n_failures(), 14);
    }

    #[test]
    fn number_of_networks_is_bounded_and_the_oldest_is_forgotten() {
        let attempts = Attempts::default();
        let start = Instant::now();
        for n in 0..3000 {
            attempts.record(address(n), start + Duration::from_millis(n.into()));
        }
        let recent = attempts.lock();
        assert_eq!(recent.by_network.len(), MAX_NETWORKS);
        assert!(recent.by_network.contains_key(&ClientNetwork::of(address(2999))));
        assert!(!recent.by_network.contains_key(&ClientNetwork::of(address(0))));
    }

    #[test]
    fn failures_are_logged_once_a_minute() {
        let mut recent = Recent::default();
        let start = Instant::now();
        assert_eq!(recent.take_line(start), None);
        let mut line = |n: u64, now: Instant| {
            recent.n_unlogged += n;
            recent.address = Some(address(0x7f00_0001));
            recent.take_line(now)
        };
        assert_eq!(line(1, start).unwrap(), "a client sent a wrong API key, from 127.0.0.1");
        assert_eq!(line(6, start + MINUTE / 2), None);
        assert_eq!(
            line(1, start + MINUTE).unwrap(),
            "clients sent wrong API keys 7 times, the last from 127.0.0.1"
        );
        assert_eq!(line(0, start + 2 * MINUTE), None);
    }
}
