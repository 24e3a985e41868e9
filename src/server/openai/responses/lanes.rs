//! The lanes of a WebSocket: requests with the same `stream_id` run one after another, those with
//! different ones at the same time, up to a limit for the connection.

use std::collections::{BTreeMap, VecDeque};

/// The name of a lane; `None` is the one of requests without a `stream_id`.
pub(super) type LaneName = Option<String>;

/// The requests of a connection that wait, and the number of those that run.
#[derive(Debug)]
pub(super) struct Lanes<T> {
    lanes: BTreeMap<LaneName, Lane<T>>,
    /// The lanes whose first request waits only for the limit of the connection, in their order.
    ready: VecDeque<LaneName>,
    n_running: usize,
    n_waiting: usize,
}

#[derive(Debug)]
struct Lane<T> {
    waiting: VecDeque<T>,
    is_running: bool,
}

/// Why a request is not accepted.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum LaneError {
    /// The connection has [`MAX_LANES`] lanes with other names.
    TooManyLanes,
    /// [`MAX_WAITING`] requests of the connection wait.
    TooManyWaiting,
}

impl<T> Lanes<T> {
    pub(super) fn new() -> Self {
        Self { lanes: BTreeMap::new(), ready: VecDeque::new(), n_running: 0, n_waiting: 0 }
    }

    /// Number of requests that run.
    pub(super) fn n_running(&self) -> usize {
        self.n_running
    }

    /// Adds a request to its lane. It runs once [`Self::start_next`] returns it.
    ///
    /// # Errors
    /// [`LaneError`].
    pub(super) fn add(&mut self, name: LaneName, request: T) -> Result<(), LaneError> {
        if self.n_waiting >= MAX_WAITING {
            return Err(LaneError::TooManyWaiting);
        }
        let n_named = self.lanes.keys().filter(|name| name.is_some()).count();
        if name.is_some() && n_named >= MAX_LANES && !self.lanes.contains_key(&name) {
            return Err(LaneError::TooManyLanes);
        }
        let new = || Lane { waiting: VecDeque::new(), is_running: false };
        let lane = self.lanes.entry(name.clone()).or_insert_with(new);
        lane.waiting.push_back(request);
        self.n_waiting += 1;
        if !lane.is_running && lane.waiting.len() == 1 {
            self.ready.push_back(name);
        }
        Ok(())
    }

    /// Starts the next request that may run; `None` if there is none.
    pub(super) fn start_next(&mut self) -> Option<(LaneName, T)> {
        if self.n_running >= MAX_RUNNING {
            return None;
        }
        let name = self.ready.pop_front()?;
        let lane = self.lanes.get_mut(&name)?;
        let request = lane.waiting.pop_front()?;
        lane.is_running = true;
        self.n_running += 1;
        self.n_waiting -= 1;
        Some((name, request))
    }

    /// Records that the running request of a lane has ended.
    pub(super) fn ended(&mut self, name: &LaneName) {
        let Some(lane) = self.lanes.get_mut(name) else { return };
        if std::mem::replace(&mut lane.is_running, false) {
            self.n_running -= 1;
            if !lane.waiting.is_empty() {
                self.ready.push_back(name.clone());
            }
        }
    }
}

/// The name of a lane that a client gives.
///
/// # Errors
/// `Err` if the name is not one.
pub(super) fn check_name(name: &str) -> Result<(), ()> {
    let is_allowed = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    let has_length = (1..=MAX_NAME_BYTES).contains(&name.len());
    if has_length && name.bytes().all(is_allowed) { Ok(()) } else { Err(()) }
}

/// Most requests of a connection that run at the same time, as with OpenAI.
pub(super) const MAX_RUNNING: usize = 16;

/// Most named lanes of a connection, as with OpenAI.
pub(super) const MAX_LANES: usize = 32;

/// Most requests of a connection that wait.
pub(super) const MAX_WAITING: usize = 64;

/// Longest name of a lane, as with OpenAI.
const MAX_NAME_BYTES: usize = 256;

#[cfg(test)]
mod tests {
    use super::*;

    fn name(text: &str) -> LaneName {
        Some(text.to_owned())
    }

    fn started(lanes: &mut Lanes<u32>) -> Vec<u32> {
        std::iter::from_fn(|| lanes.start_next()).map(|(_, request)| request).collect()
    }

    #[test]
    fn requests_of_a_lane_run_one_after_another() {
        let mut lanes = Lanes::new();
        for request in [1, 2, 3] {
            lanes.add(name("a"), request).unwrap();
        }
        lanes.add(None, 4).unwrap();
        assert_eq!(started(&mut lanes), [1, 4]);
        lanes.ended(&name("a"));
        assert_eq!(started(&mut lanes), [2]);
        lanes.ended(&None);
        assert_eq!(started(&mut lanes), [0; 0]);
        lanes.ended(&name("a"));
        assert_eq!(started(&mut lanes), [3]);
        lanes.ended(&name("a"));
        lanes.ended(&name("a"));
        assert_eq!(lanes.n_running(), 0);
    }

    #[test]
    fn connection_runs_at_most_16_requests() {
        let mut lanes = Lanes::new();
        for request in 0..20 {
            lanes.add(name(&request.to_string()), request).unwrap();
        }
        assert_eq!(started(&mut lanes), (0..16).collect::<Vec<_>>());
        lanes.ended(&name("3"));
        assert_eq!(started(&mut lanes), [16]);
    }

    #[test]
    fn connection_has_at_most_32_named_lanes() {
        let mut lanes = Lanes::new();
        for request in 0..32 {
            let lane = name(&request.to_string());
            lanes.add(lane.clone(), request).unwrap();
            started(&mut lanes);
            lanes.ended(&lane);
        }
        assert_eq!(lanes.add(name("x"), 32), Err(LaneError::TooManyLanes));
        assert_eq!(lanes.add(name("7"), 33), Ok(()));
        assert_eq!(lanes.add(None, 34), Ok(()));
        assert_eq!(started(&mut lanes), [33, 34]);
    }

    #[test]
    fn waiting_requests_are_bounded() {
        let mut lanes = Lanes::new();
        lanes.add(None, 0).unwrap();
        assert_eq!(started(&mut lanes), [0]);
        (1..=64).for_each(|request| lanes.add(None, request).unwrap());
        assert_eq!(lanes.add(None, 65), Err(LaneError::TooManyWaiting));
        lanes.ended(&None);
        assert_eq!(started(&mut lanes), [1]);
        assert_eq!(lanes.add(None, 65), Ok(()));
    }

    #[test]
    fn lane_name_is_short_and_plain() {
        for (name, expected) in
            [("a", Ok(())), ("A_z.0-9", Ok(())), ("", Err(())), ("a b", Err(())), ("ä", Err(()))]
        {
            assert_eq!(check_name(name), expected, "{name}");
        }
        assert_eq!(check_name(&"a".repeat(256)), Ok(()));
        assert_eq!(check_name(&"a".repeat(257)), Err(()));
    }
}
