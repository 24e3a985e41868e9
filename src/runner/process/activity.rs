//! What Linux knows about the threads of a process (`man 5 proc`). Other systems say nothing.

#[cfg(target_os = "linux")]
use crate::engine::ENGINE_THREAD_NAME;
use crate::watchdog::Activity;

/// The threads of a runner whose state matters.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ProcessThreads {
    /// Those that compute.
    Engine,
    /// All of them.
    All,
}

/// The activity of the process `pid`.
#[cfg(target_os = "linux")]
pub(super) fn of(pid: u32, threads: ProcessThreads) -> Option<Activity> {
    use std::time::Duration;

    use procfs::process::Process;

    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let is_runnable = process.tasks().ok()?.flatten().any(|task| {
        // A thread may end between the two calls.
        task.stat().is_ok_and(|stat| {
            let matters = threads == ProcessThreads::All || stat.comm == ENGINE_THREAD_NAME;
            matters && stat.state == 'R'
        })
    });
    let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    Some(Activity { cpu: Duration::from_secs_f64(ticks), is_runnable, major_faults: stat.majflt })
}

/// The activity of the process `pid`.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_pid: u32, _threads: ProcessThreads) -> Option<Activity> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    use super::*;

    #[test]
    fn running_process_is_runnable() {
        let this = std::process::id();
        assert!(of(this, ProcessThreads::All).unwrap().is_runnable);
        assert!(!of(this, ProcessThreads::Engine).unwrap().is_runnable, "no engine runs here");
        assert_eq!(of(u32::MAX, ProcessThreads::All), None);
    }
}
