//! File descriptors: raises the limit, and accepts only as many connections as it allows.
//!
//! Each connection needs a descriptor. Without a free one the server could not even accept the
//! connection of a health check, and a supervisor would restart a daemon that works. So some
//! descriptors are left for everything else that the daemon opens.

use std::fs;

use rustix::process::{Resource, Rlimit, getrlimit, setrlimit};

use crate::server;

/// Raises the limit on open files as far as this user may. The usual soft limit, 1024, only exists
/// for programs that use `select`.
pub(super) fn raise_limit() {
    let limit = getrlimit(Resource::Nofile);
    let raised = Rlimit { current: limit.maximum, maximum: limit.maximum };
    if limit.current != raised.current
        && let Err(error) = setrlimit(Resource::Nofile, raised)
    {
        tracing::debug!("cannot raise the limit on open files: {error}");
    }
}

/// Lowers the number of connections in `options` to what the limit on open files allows, and logs a
/// warning if that is less than `--max-connections`.
pub(super) fn limit_connections(options: &mut server::Options) {
    let Some(limit) = getrlimit(Resource::Nofile).current else { return };
    let limit = usize::try_from(limit).unwrap_or(usize::MAX);
    if let Some(warning) = fit(options, limit, n_open()) {
        tracing::warn!("{warning}");
    }
}

/// Number of descriptors that are open now; 0 if the system does not say.
fn n_open() -> usize {
    // One of them belongs to the iteration.
    fs::read_dir("/dev/fd").map_or(0, |open| open.count().saturating_sub(1))
}

/// Fits `options` into a limit of `limit` open files, of which `n_open` are open. Returns the
/// warning if `--max-connections` does not fit.
fn fit(options: &mut server::Options, limit: usize, n_open: usize) -> Option<String> {
    let taken = n_open + RESERVED_DESCRIPTORS;
    let wanted = options.max_connections;
    let needed = taken + wanted + options.spare_connections;
    if needed <= limit {
        return None;
    }
    let free = limit.saturating_sub(taken);
    // At least a quarter is left for connections that are not WebSockets.
    options.max_connections = wanted.min(free - free / 4).max(1);
    let spare = free.saturating_sub(options.max_connections);
    options.spare_connections = options.spare_connections.min(spare).max(1);
    (options.max_connections < wanted).then(|| {
        format!(
            "--max-connections {wanted} needs {needed} open files, and the limit is {limit}: at \
             most {} connections are accepted. Raise the limit (ulimit -Hn, or LimitNOFILE of \
             systemd), or lower --max-connections",
            options.max_connections
        )
    })
}

/// Descriptors for what is opened after the connections are counted: the model's files while they
/// are loaded (1 to 3), a child process with three pipes (4, and 5 more while it starts), files in
/// `/proc` (3), a connection of each listener that still needs a permit (2), and the driver of a
/// GPU, of which the first descriptors are open already.
const RESERVED_DESCRIPTORS: usize = 24;

#[cfg(test)]
mod tests {
    use super::*;

    fn fitted(max_connections: usize, limit: usize) -> (usize, usize, Option<String>) {
        let mut options = server::Options { max_connections, ..server::Options::default() };
        let warning = fit(&mut options, limit, 8);
        (options.max_connections, options.spare_connections, warning)
    }

    #[test]
    fn connections_that_fit_stay_as_they_are() {
        let (max, spare, warning) = fitted(1024, 24 + 8 + 1024 + 64);
        assert_eq!((max, spare, warning), (1024, 64, None));
    }

    #[test]
    fn spare_connections_shrink_before_the_requested_ones() {
        let (max, spare, warning) = fitted(20, 64);
        assert_eq!((max, spare, warning), (20, 12, None));
    }

    #[test]
    fn too_many_connections_are_lowered_with_a_warning() {
        let (max, spare, warning) = fitted(1024, 64);
        assert_eq!((max, spare), (24, 8));
        let warning = warning.unwrap();
        for number in ["--max-connections 1024", "1120 open files", "64", "24 connections"] {
            assert!(warning.contains(number), "{number}: {warning}");
        }
    }

    #[test]
    fn tiny_limit_leaves_one_connection_of_each_kind() {
        let (max, spare, _) = fitted(1024, 16);
        assert_eq!((max, spare), (1, 1));
    }
}
