//! Asks the system for huge pages.
//!
//! A step reads all weights once, and from pages of 4 KiB that took an eighth longer where it was
//! measured (`docs/ARCHITECTURE.md`). Linux gives out pages of 2 MiB where a program asks for them, and
//! glibc asks for all it hands out where the tunable says so. That is read before `main`, so the
//! process replaces itself once, with the variable set. It promises to change nothing else: the
//! process keeps its number, arguments and streams, and where this cannot be done it goes on with
//! small pages.

use std::env;
use std::ffi::OsString;
use std::os::unix::process::CommandExt;
use std::process::Command;

/// Set in the process that has replaced itself: glibc takes its variable from programs with
/// capabilities of their own, which would otherwise do so for ever.
const ASKED: &str = "INFERENCE_CORE_ASKED_FOR_HUGE_PAGES";

const VARIABLE: &str = "GLIBC_TUNABLES";

/// `1` is for transparent huge pages; the manual of glibc, "Memory Allocation Tunables".
const TUNABLE: &str = "glibc.malloc.hugetlb";

/// Replaces the process by itself with huge pages, unless the variable says something of them
/// already; `0` there turns them off.
pub fn ask_for_huge_pages() {
    if !cfg!(all(target_os = "linux", target_env = "gnu")) {
        return;
    }
    if env::var_os(ASKED).is_some() {
        return;
    }
    let Some(tunables) = with_huge_pages(env::var_os(VARIABLE)) else { return };
    let Ok(program) = env::current_exe() else { return };
    // Started by the dynamic loader by name, the program is the loader.
    if program.file_name().is_some_and(|name| name.to_string_lossy().starts_with("ld-")) {
        return;
    }
    let mut arguments = env::args_os();
    let mut command = Command::new(program);
    if let Some(name) = arguments.next() {
        command.arg0(name);
    }
    // It only comes back where it failed, and then small pages have to do.
    let _ = command.args(arguments).env(VARIABLE, tunables).env(ASKED, "1").exec();
}

/// The variable's value with the tunable; `None` where it has it.
fn with_huge_pages(before: Option<OsString>) -> Option<OsString> {
    let wanted = OsString::from(format!("{TUNABLE}=1"));
    let Some(mut tunables) = before.filter(|before| !before.is_empty()) else {
        return Some(wanted);
    };
    if tunables.to_string_lossy().contains(TUNABLE) {
        return None;
    }
    tunables.push(":");
    tunables.push(wanted);
    Some(tunables)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tunables_that_are_set_stay() {
        let with = |before: Option<&str>| with_huge_pages(before.map(OsString::from));
        assert_eq!(with(None).unwrap(), "glibc.malloc.hugetlb=1");
        assert_eq!(with(Some("")).unwrap(), "glibc.malloc.hugetlb=1");
        let both = "glibc.malloc.arena_max=2:glibc.malloc.hugetlb=1";
        assert_eq!(with(Some("glibc.malloc.arena_max=2")).unwrap(), both);
        assert_eq!(with(Some(both)), None);
        assert_eq!(with(Some("glibc.malloc.hugetlb=0")), None);
    }
}
