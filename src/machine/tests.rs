//! Memory and cores on recorded machines (`recorded/`), and in files that are wrong.

#![cfg(target_os = "linux")]

use std::fs;
use std::path::Path;

use tempfile::TempDir;

use super::{AvailableMemory, available_memory, cpus, memory};

const MIB: u64 = 1 << 20;

/// A recorded machine, with its files below a folder.
struct Machine {
    folder: TempDir,
}

impl Machine {
    /// Unpacks a recording: files behind header lines such as `==> /proc/meminfo <==`.
    fn recorded(text: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        for file in text.split("==> ").skip(1) {
            let (path, contents) = file.split_once(" <==\n").unwrap();
            machine.write(path, contents.strip_suffix("\n\n").unwrap_or(contents));
        }
        machine
    }

    /// A machine with 1,000 MiB of available memory, and one mounted hierarchy.
    fn with_mount(membership: &str, mount: &str) -> Self {
        let machine = Self { folder: tempfile::tempdir().unwrap() };
        machine.write("/proc/meminfo", "MemTotal: 2048000 kB\nMemAvailable: 1024000 kB\n");
        machine.write("/proc/self/cgroup", membership);
        machine.write("/proc/self/mountinfo", mount);
        machine
    }

    /// A machine whose process is in the cgroup `/a/b` of version 2.
    fn unified() -> Self {
        Self::with_mount("0::/a/b\n", "32 23 0:28 / /cg rw shared:9 - cgroup2 cgroup2 rw\n")
    }

    fn write(&self, path: &str, contents: &str) {
        let path = self.folder.path().join(path.trim_start_matches('/'));
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(path, contents).unwrap();
    }

    fn root(&self) -> &Path {
        self.folder.path()
    }

    fn memory(&self) -> Option<AvailableMemory> {
        memory::available(self.root())
    }

    /// Available memory in MiB, and whether a cgroup limits it.
    fn mib(&self) -> (u64, bool) {
        let AvailableMemory { bytes, is_limited } = self.memory().unwrap();
        (bytes / MIB, is_limited)
    }

    /// The usable cores, for the CPUs in the recorded `status`.
    fn cores(&self) -> u32 {
        let status = fs::read_to_string(self.root().join("proc/self/status")).unwrap();
        let list = status.lines().find_map(|line| line.strip_prefix("Cpus_allowed_list:")).unwrap();
        let (first, last) = list.trim().split_once('-').unwrap();
        let allowed: Vec<u32> = (first.parse().unwrap()..=last.parse().unwrap()).collect();
        cpus::usable_cores(self.root(), &allowed)
    }
}

/// Checks the available memory in MiB, whether a cgroup limits it, and the cores of recordings.
macro_rules! recordings {
    ($($file:literal: $mib:expr, $is_limited:literal, $cores:literal;)+) => {
        [$(
            (
                $file,
                Machine::recorded(include_str!(concat!("recorded/", $file, ".txt"))),
                ($mib, $is_limited),
                $cores,
            )
        ),+]
    };
}

#[test]
fn recorded_machine_has_the_least_of_its_limits() {
    let recordings = recordings! {
        // Nothing but the memory of the machine, and two hardware threads for each core.
        "plain-v2": 20_000, false, 4;
        "plain-v1": 5957, false, 2;
        "hybrid-vm": 22_760, false, 2;
        // 200 less 30 MiB, of which 20 MiB are file cache and 0.5 MiB kernel caches. 1.5 CPUs.
        "systemd-service-v2": 190, true, 1;
        // Almost all of the usage is file cache. Half a CPU.
        "systemd-service-v1": 172, true, 1;
        // The upper slice: 4,096 less 3,584 MiB, of which 484 MiB are caches. 5 CPUs there.
        "systemd-slice-v2": 996, true, 5;
        // The cgroup is full of file cache.
        "docker-v2": 1019, true, 2;
        // The cgroup is the root of the mounts. Two hardware threads of one core.
        "docker-v1": 472, true, 1;
        // The limits are those of the cgroup above.
        "podman-rootless-v2": 2036, true, 3;
        // The limit of the pod is not visible, but in the statistics of the container.
        "kubernetes-burstable-v1": 3032, true, 3;
        // `memory.high` is lower than `memory.max`.
        "kubernetes-burstable-v2": 1824, true, 1;
        // The limit is above the service, at the root that the container sees.
        "lxc-v2": 3564, true, 4;
    };
    for (name, machine, memory, cores) in recordings {
        assert_eq!((machine.mib(), machine.cores()), (memory, cores), "{name}");
    }
}

#[test]
fn lower_limit_of_a_parent_decides() {
    let machine = Machine::unified();
    machine.write("/cg/a/b/memory.max", "524288000\n");
    machine.write("/cg/a/b/memory.current", "0\n");
    assert_eq!(machine.mib(), (500, true));
    machine.write("/cg/a/memory.max", "314572800\n");
    machine.write("/cg/a/memory.current", "209715200\n");
    assert_eq!(machine.mib(), (100, true));
    machine.write("/cg/a/b/cpu.max", "800000 100000\n");
    machine.write("/cg/a/cpu.max", "299999 100000\n");
    assert_eq!(cpus::usable_cores(machine.root(), &[0, 1, 2, 3]), 2);
}

#[test]
fn usage_above_the_limit_leaves_nothing() {
    let machine = Machine::unified();
    machine.write("/cg/a/memory.max", "104857600\n");
    machine.write("/cg/a/memory.current", "209715200\n");
    assert_eq!(machine.mib(), (0, true));
    machine.write("/cg/a/memory.stat", "inactive_file 115343360\n");
    assert_eq!(machine.mib(), (10, true));
    machine.write("/cg/a/memory.stat", "inactive_file 943718400\n");
    assert_eq!(machine.mib(), (100, true), "not more than the limit");
}

#[test]
fn limit_counts_without_usage_and_statistics() {
    let machine = Machine::unified();
    machine.write("/cg/a/memory.max", "104857600");
    assert_eq!(machine.mib(), (100, true));
}

#[test]
fn malformed_and_unlimited_values_are_no_limits() {
    let machine = Machine::unified();
    for text in ["max\n", "", "\n", "-1\n", "1e9\n", "many\n", "99999999999999999999999\n"] {
        machine.write("/cg/a/memory.max", text);
        machine.write("/cg/a/memory.high", text);
        assert_eq!(machine.mib(), (1000, false), "{text:?}");
    }
    for text in ["max 100000\n", "", "100000\n", "-1 100000\n", "100000 0\n", "1 a\n", " \n"] {
        machine.write("/cg/a/cpu.max", text);
        assert_eq!(cpus::usable_cores(machine.root(), &[0, 1]), 2, "{text:?}");
    }
    for (cgroup, mounts) in [("", ""), ("0:", "1 2\n"), ("\u{0}::\n", "- - - -\n")] {
        machine.write("/proc/self/cgroup", cgroup);
        machine.write("/proc/self/mountinfo", mounts);
        assert_eq!(machine.mib(), (1000, false), "{cgroup:?}");
    }
}

#[test]
fn quota_is_rounded_down_to_whole_cpus_but_not_to_none() {
    let machine = Machine::unified();
    for (quota, cores) in [(50_000, 1), (150_000, 1), (199_999, 1), (200_000, 2), (900_000, 4)] {
        machine.write("/cg/a/b/cpu.max", &format!("{quota} 100000\n"));
        assert_eq!(cpus::usable_cores(machine.root(), &[4, 5, 6, 7]), cores, "{quota}");
    }
}

#[test]
fn process_outside_of_its_namespace_is_not_limited_by_what_it_sees() {
    let mount = "32 23 0:28 / /cg rw shared:9 - cgroup2 cgroup2 rw\n";
    let machine = Machine::with_mount("0::/../other\n", mount);
    machine.write("/cg/memory.max", "1048576\n");
    machine.write("/other/memory.max", "1048576\n");
    assert_eq!(machine.mib(), (1000, false));
}

#[test]
fn own_cgroup_is_found_in_a_mount_from_outside_of_the_namespace() {
    let mount = "32 23 0:28 /../.. /cg rw shared:9 - cgroup2 cgroup2 rw\n";
    let machine = Machine::with_mount("0::/leaf\n", mount);
    machine.write("/cg/sandboxes/other/leaf/cgroup.procs", "1\n");
    machine.write("/cg/sandboxes/other/leaf/memory.max", "1048576\n");
    machine.write("/cg/sandboxes/own/leaf/cgroup.procs", &format!("1\n{}\n", std::process::id()));
    assert_eq!(machine.mib(), (1000, false));
    machine.write("/cg/sandboxes/own/memory.max", "209715200\n");
    assert_eq!(machine.mib(), (200, true));
    machine.write("/cg/sandboxes/memory.max", "104857600\n");
    assert_eq!(machine.mib(), (100, true));
}

#[test]
fn limit_is_found_below_an_odd_mount_point_or_path() {
    let table = [
        // The path is not below the root of the mount.
        (
            "9:memory:/garden/good/1\n",
            "38 32 0:33 /garden/bad/1 /cg rw - cgroup cgroup rw,memory\n",
            "/cg/memory.limit_in_bytes",
        ),
        (
            "0::/a:b\n",
            "32 23 0:28 / /my\\040groups rw - cgroup2 none rw\n",
            "/my groups/a:b/memory.max",
        ),
        // The own cgroup was removed.
        ("0::/a/b (deleted)\n", "32 23 0:28 / /cg rw - cgroup2 none rw\n", "/cg/a/memory.max"),
    ];
    for (membership, mount, limit) in table {
        let machine = Machine::with_mount(membership, mount);
        machine.write(limit, "104857600\n");
        assert_eq!(machine.mib(), (100, true), "{membership}");
    }
}

#[test]
fn memory_is_unknown_if_nothing_says_it() {
    let machine = Machine::unified();
    machine.write("/proc/meminfo", "MemTotal: 2048000 kB\n");
    assert_eq!(machine.memory(), None);
    machine.write("/cg/a/memory.max", "104857600\n");
    assert_eq!(machine.mib(), (100, true));
}

#[test]
fn this_machine_has_memory_and_cores() {
    assert!(available_memory().unwrap().bytes > 0);
    let n_cores = super::usable_cores();
    assert!(n_cores >= 1 && n_cores as usize <= super::allowed_cpus().len(), "{n_cores}");
    let quota = std::thread::available_parallelism().unwrap().get();
    assert!(n_cores as usize <= quota, "{n_cores} cores, but {quota} by the standard library");
}
