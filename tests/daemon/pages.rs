//! The pages of memory that a loaded model lies in.

use std::fs;
use std::process::Stdio;

use tokio::io::{AsyncBufReadExt, BufReader};
use tokio::process::Command;

use crate::process::DEADLINE;

/// Whether an administrator has turned huge pages off, or the system has none.
fn is_off() -> bool {
    let switch = fs::read_to_string("/sys/kernel/mm/transparent_hugepage/enabled");
    switch.map_or(true, |switch| switch.contains("[never]"))
}

#[tokio::test]
async fn a_loaded_model_is_moved_into_huge_pages_where_the_system_has_them() {
    let mut command = Command::new(env!("CARGO_BIN_EXE_inference-core"));
    command.args(["--demo", "0", "--threads", "1", "--log", "inference_core=debug"]);
    command.stdout(Stdio::null()).stderr(Stdio::piped()).kill_on_drop(true);
    let mut daemon = command.spawn().unwrap();
    let mut lines = BufReader::new(daemon.stderr.take().unwrap()).lines();
    let say = async {
        loop {
            let line = lines.next_line().await.unwrap().expect("the daemon goes on");
            if line.contains("huge pages") {
                return line;
            }
        }
    };
    let said = tokio::time::timeout(DEADLINE, say).await.expect("the daemon says it");
    if is_off() {
        assert!(said.contains("no huge pages"), "{said}");
        return;
    }
    let words: Vec<_> = said.split_whitespace().collect();
    let counts: Vec<u64> = words.iter().filter_map(|word| word.parse().ok()).collect();
    let [moved, left] = counts[..] else { panic!("{said}") };
    assert!(moved + left > 0, "{said}");
    let rollup = format!("/proc/{}/smaps_rollup", daemon.id().unwrap());
    let rollup = fs::read_to_string(rollup).unwrap();
    let huge = rollup.lines().find_map(|line| line.strip_prefix("AnonHugePages:")).unwrap();
    let kib: u64 = huge.trim().trim_end_matches("kB").trim().parse().unwrap();
    assert!(moved == 0 || kib > 0, "{said}: {kib} KiB");
}
