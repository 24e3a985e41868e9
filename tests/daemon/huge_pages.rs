//! The daemon asks for huge pages, and keeps what its user says of them.

use std::ffi::OsStr;
use std::fs;

use crate::process::Daemon;

/// The environment of a running daemon.
fn environment(daemon: &Daemon) -> String {
    let bytes = fs::read(format!("/proc/{}/environ", daemon.id())).unwrap();
    String::from_utf8_lossy(&bytes).replace('\0', "\n")
}

#[tokio::test]
async fn a_server_asks_glibc_for_huge_pages_and_stays_the_same_process() {
    let daemon = Daemon::start(&[]);
    assert!(environment(&daemon).contains("GLIBC_TUNABLES=glibc.malloc.hugetlb=1"));
    let command = fs::read(format!("/proc/{}/cmdline", daemon.id())).unwrap();
    let command = String::from_utf8(command).unwrap();
    let arguments: Vec<_> = command.split_terminator('\0').skip(1).collect();
    assert_eq!(arguments, ["--demo", "0", "--threads", "1"]);
}

#[tokio::test]
async fn a_server_asks_once_though_the_variable_be_taken_from_it() {
    let daemon = Daemon::start_with(
        &[],
        &[
            ("GLIBC_TUNABLES", OsStr::new("")),
            ("INFERENCE_CORE_ASKED_FOR_HUGE_PAGES", OsStr::new("1")),
        ],
    );
    assert!(!environment(&daemon).contains("glibc.malloc.hugetlb"));
}

#[tokio::test]
async fn what_the_user_says_of_huge_pages_holds() {
    let tunables = OsStr::new("glibc.malloc.hugetlb=0");
    let daemon = Daemon::start_with(&[], &[("GLIBC_TUNABLES", tunables)]);
    assert!(environment(&daemon).contains("GLIBC_TUNABLES=glibc.malloc.hugetlb=0\n"));
}
