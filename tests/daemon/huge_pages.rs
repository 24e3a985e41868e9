//! Huge pages for the memory of a loaded model.

use std::fs;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::process::{DEADLINE, child_of, command};

#[tokio::test]
async fn loaded_model_is_moved_into_huge_pages_if_the_system_has_them() {
    let mut command = Command::from(command());
    command.args(["--demo", "0", "--threads", "1", "--log", "inference_core=debug"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut daemon = command.spawn().unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let search = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the daemon is running");
            if line.contains("huge pages") {
                return line;
            }
        }
    };
    let line = tokio::time::timeout(DEADLINE, search).await.expect("the line is logged in time");
    if are_disabled() {
        assert!(line.contains("no huge pages"), "{line}");
        return;
    }
    let numbers: Vec<u64> = line.split_whitespace().filter_map(|word| word.parse().ok()).collect();
    let [n_collapsed, n_left] = numbers[..] else { panic!("{line}") };
    assert!(n_collapsed + n_left > 0, "{line}");
    let rollup = format!("/proc/{}/smaps_rollup", child_of(daemon.id().unwrap()));
    let rollup = fs::read_to_string(rollup).unwrap();
    let huge = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
    let kib: u64 = huge.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(n_collapsed == 0 || kib > 0, "{line}: {kib} KiB");
}

/// Whether the administrator has disabled huge pages, or the kernel has none.
fn are_disabled() -> bool {
    let mode = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    mode.map_or(true, |mode| mode.contains("[never]"))
}
