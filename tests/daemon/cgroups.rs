//! The daemon in real cgroups with limits on memory and CPU time.
//!
//! Needs the right to make cgroups, which root has on many machines. Elsewhere these tests print
//! why they are skipped.

#![allow(clippy::print_stderr, reason = "a skipped test says why")]

use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use tempfile::TempDir;

use crate::process::{DEADLINE, command, start_screen};

/// A new cgroup for one test. Everything in it is killed, and it is removed, when it is dropped.
struct Cgroup {
    folder: PathBuf,
}

impl Cgroup {
    /// Makes a cgroup below one of this process in which `settings` can be written: names of files
    /// of version 1 and of version 2, and their text. `None` if the machine does not allow it.
    fn new(controller: &str, settings: &[(&str, &str, &str)]) -> Option<Self> {
        let made = parents(controller).into_iter().find_map(|parent| {
            static NEXT: std::sync::atomic::AtomicU32 = std::sync::atomic::AtomicU32::new(0);
            let n = NEXT.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
            let folder = parent.join(format!("inference-core-test-{}-{n}", std::process::id()));
            fs::create_dir(&folder).ok()?;
            let made = Self { folder };
            let write = |&(v1, v2, text): &(&str, &str, &str)| {
                let exists = |name: &&str| made.folder.join(name).exists();
                let name = [v1, v2].into_iter().find(exists)?;
                fs::write(made.folder.join(name), text).ok()
            };
            settings.iter().all(|setting| write(setting).is_some()).then_some(made)
        });
        if made.is_none() {
            eprintln!("skipped: this machine does not let tests limit {controller} in a cgroup");
        }
        made
    }

    /// The first of these files of the cgroup that is a number.
    fn number(&self, names: [&str; 2]) -> u64 {
        let read = |name| fs::read_to_string(self.folder.join(name)).ok()?.trim().parse().ok();
        names.into_iter().find_map(read).unwrap()
    }

    /// A command that enters the cgroup, runs `first` and then the daemon with `args`.
    fn daemon(&self, first: &str, args: &[&str]) -> Command {
        let mut shell = Command::new("sh");
        let script = format!("echo $$ > \"$0/cgroup.procs\" && {first} && exec \"$@\"");
        shell.args(["-c", &script]).arg(&self.folder).arg(command().get_program());
        shell.args(["--demo", "0"]).args(args);
        shell
    }
}

impl Drop for Cgroup {
    fn drop(&mut self) {
        let started = std::time::Instant::now();
        // A cgroup can be removed once the kernel has removed its last process.
        while fs::remove_dir(&self.folder).is_err() && started.elapsed() < DEADLINE {
            let processes = fs::read_to_string(self.folder.join("cgroup.procs"));
            for pid in processes.unwrap_or_default().lines() {
                let _ = Command::new("kill").args(["-s", "KILL", pid]).status();
            }
        }
    }
}

/// Folders of cgroups of this process that may be limited by `controller`, the own one first.
fn parents(controller: &str) -> Vec<PathBuf> {
    let read = |path: &str| fs::read_to_string(path).unwrap_or_default();
    let memberships = read("/proc/self/cgroup");
    let path_of = |controllers: &str| {
        memberships.lines().find_map(|line| {
            let (_, line) = line.split_once(':')?;
            let (names, path) = line.split_once(':')?;
            let is_it = names == controllers || names.split(',').any(|name| name == controllers);
            is_it.then(|| path.trim_start_matches('/').to_owned())
        })
    };
    let mut folders = Vec::new();
    for mount in read("/proc/self/mountinfo").lines() {
        let Some((mount, kind)) = mount.split_once(" - ") else { continue };
        let point = mount.split(' ').nth(4).unwrap();
        let options = kind.split(' ').nth(2).unwrap_or_default();
        let path = match kind.split(' ').next() {
            Some("cgroup2") => path_of(""),
            Some("cgroup") if options.split(',').any(|name| name == controller) => {
                path_of(controller)
            }
            _ => None,
        };
        let folder = path.map(|path| Path::new(point).join(path));
        let visible = |folder: &&Path| folder.starts_with(point);
        folders.extend(
            folder.iter().flat_map(|path| path.ancestors().take_while(visible)).map(PathBuf::from),
        );
    }
    folders
}

/// A cgroup with this limit of its memory in MiB.
fn with_memory(mib: u64) -> Option<Cgroup> {
    let bytes = (mib << 20).to_string();
    Cgroup::new("memory", &[("memory.limit_in_bytes", "memory.max", &bytes)])
}

#[test]
fn plan_above_the_memory_limit_is_refused_before_the_load() {
    let Some(group) = with_memory(200) else { return };
    // A KV cache of some 600 MiB.
    let args = ["--parallel", "64", "--kv-size", "262144"];
    let output = group.daemon("true", &args).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{error}");
    assert_eq!(error.lines().count(), 1, "{error}");
    for words in ["within the memory limit of its cgroup", "262144 tokens", "--parallel"] {
        assert!(error.contains(words), "{words}: {error}");
    }
}

/// As in a sandbox that keeps the mounts of its host.
#[test]
fn memory_limit_is_seen_in_a_cgroup_namespace() {
    let is_allowed = Command::new("unshare").args(["--cgroup", "true"]).status();
    if !is_allowed.is_ok_and(|status| status.success()) {
        eprintln!("skipped: this machine does not let tests make a cgroup namespace");
        return;
    }
    let Some(group) = with_memory(200) else { return };
    let args = ["--parallel", "64", "--kv-size", "262144"];
    let output = group.daemon("exec unshare --cgroup \"$@\"", &args).output().unwrap();
    let error = String::from_utf8(output.stderr).unwrap();
    assert_eq!(output.status.code(), Some(71), "{error}");
    assert!(error.contains("within the memory limit of its cgroup"), "{error}");
}

#[test]
fn model_within_the_memory_limit_is_served() {
    let Some(group) = with_memory(200) else { return };
    let (_daemon, screen) = start_screen(group.daemon("true", &["--parallel", "1"]));
    assert!(screen.contains("\nready after"), "{screen}");
}

#[test]
fn file_cache_within_the_memory_limit_counts_as_free() {
    let Some(group) = with_memory(200) else { return };
    let folder = TempDir::new().unwrap();
    let file = folder.path().join("large");
    fs::File::create(&file).unwrap().set_len(400 << 20).unwrap();
    let fill = format!("cat '{}' > /dev/null", file.display());
    let (_daemon, screen) = start_screen(group.daemon(&fill, &["--parallel", "1"]));
    assert!(screen.contains("\nready after"), "{screen}");
    let usage = group.number(["memory.usage_in_bytes", "memory.current"]);
    assert!(usage > 150 << 20, "the cgroup is not full: {usage} bytes");
}

#[test]
fn cpu_quota_limits_the_threads() {
    let quota = [("cpu.cfs_quota_us", "cpu.max", "150000")];
    let Some(group) = Cgroup::new("cpu", &quota) else { return };
    let (_daemon, screen) = start_screen(group.daemon("true", &[]));
    assert!(screen.contains("  compute  1 thread ·"), "{screen}");
}

#[test]
fn cpu_affinity_limits_the_threads() {
    if Command::new("taskset").arg("-V").output().is_err() {
        eprintln!("skipped: this machine has no taskset");
        return;
    }
    let mut daemon = Command::new("taskset");
    daemon.args(["-c", "0"]).arg(command().get_program()).args(["--demo", "0"]);
    let (_daemon, screen) = start_screen(daemon);
    assert!(screen.contains("  compute  1 thread ·"), "{screen}");
}
