//! What Linux knows about the threads of a process (`man 5 proc`). Other systems say nothing.

use crate::watchdog::Activity;

/// The activity of the process `pid`.
#[cfg(target_os = "linux")]
pub(super) fn of(pid: u32) -> Option<Activity> {
    use std::time::Duration;

    use procfs::process::Process;

    let process = Process::new(i32::try_from(pid).ok()?).ok()?;
    let stat = process.stat().ok()?;
    let is_runnable = process.tasks().ok()?.flatten().any(|task| {
        // A thread may end between the two calls.
        task.stat().is_ok_and(|stat| stat.state == 'R')
    });
    let ticks = (stat.utime + stat.stime) as f64 / procfs::ticks_per_second() as f64;
    Some(Activity { cpu: Duration::from_secs_f64(ticks), is_runnable, major_faults: stat.majflt })
}

/// The activity of the process `pid`.
#[cfg(not(target_os = "linux"))]
pub(super) fn of(_pid: u32) -> Option<Activity> {
    None
}

#[cfg(all(test, target_os = "linux"))]
mod tests {
    #[test]
    fn running_process_is_runnable() {
        assert!(super::of(std::process::id()).unwrap().is_runnable);
        assert_eq!(super::of(u32::MAX), None);
    }
}
