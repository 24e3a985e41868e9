//! What a runner may use, and for what (ADR-0043).

use std::env;
use std::ffi::OsString;
use std::fs;
use std::os::unix::process::parent_id;
use std::path::{Path, PathBuf};

use super::Needs;

/// A path, and how it and everything below it may be used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Grant {
    pub(super) path: PathBuf,
    pub(super) allowed: Use,
}

/// How a path may be used. No program may be executed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Use {
    /// Read.
    Read,
    /// Read, written and controlled, but not created or removed.
    Device,
    /// Read, written, created and removed.
    Cache,
    /// Read and removed: what a test wants.
    TestOrders,
}

/// All that a runner with these `needs` may use.
pub(super) fn grants(needs: &Needs) -> Vec<Grant> {
    let grant = |allowed| move |path: PathBuf| Grant { path, allowed };
    let parent = format!("/proc/{}/stat", parent_id());
    let mut grants: Vec<Grant> = needs.files.iter().cloned().map(grant(Use::Read)).collect();
    grants.extend(READABLE.map(PathBuf::from).map(grant(Use::Read)));
    grants.push(grant(Use::Read)(parent.into()));
    grants.push(grant(Use::Device)("/dev/null".into()));
    grants.extend(needs.test_folders.iter().cloned().map(grant(Use::TestOrders)));
    if needs.has_gpu {
        grants.extend(GPU_READABLE.map(PathBuf::from).map(grant(Use::Read)));
        grants.extend(named_by_variables().into_iter().map(grant(Use::Read)));
        grants.extend(gpu_devices().into_iter().map(grant(Use::Device)));
        grants.extend(driver_caches().into_iter().map(grant(Use::Cache)));
    }
    grants
}

/// Makes the folders of caches that are missing. Without them, a driver would compile its kernels
/// again at every start.
pub(super) fn make_caches(grants: &[Grant]) {
    for Grant { path, .. } in grants.iter().filter(|grant| grant.allowed == Use::Cache) {
        // A driver also works without.
        let _ = fs::create_dir_all(path);
    }
}

/// What a runner reads while it loads and computes, on any machine.
const READABLE: [&str; 13] = [
    // Its own memory map and threads: huge pages, contention.
    "/proc/self",
    // The times of the CPUs: how many threads compute.
    "/proc/stat",
    // Memory that is left, by the machine and by the cgroups.
    "/proc/meminfo",
    "/sys/fs/cgroup",
    // The CPUs and memory nodes, as OpenMP and ggml want to know them.
    "/sys/devices/system/cpu",
    "/sys/devices/system/node",
    // The size and the mode of huge pages.
    "/sys/kernel/mm/transparent_hugepage",
    // The time zone, for chat templates that print the date.
    "/etc/localtime",
    "/etc/timezone",
    "/usr/share/zoneinfo",
    // The name of the CPU, for ggml, and the version of Linux, for procfs.
    "/proc/cpuinfo",
    "/proc/sys/kernel/osrelease",
    // Seeds of samplers.
    "/dev/urandom",
];

/// What the drivers of GPUs read: libraries, their configuration, and what the kernel says about
/// the devices. Command lines and environments of other processes are not among it.
const GPU_READABLE: [&str; 23] = [
    "/usr",
    "/lib",
    "/lib32",
    "/lib64",
    "/opt",
    "/nix/store",
    "/run/opengl-driver",
    "/run/nvidia",
    "/etc/ld.so.cache",
    "/etc/ld.so.conf",
    "/etc/ld.so.conf.d",
    "/etc/vulkan",
    "/etc/nvidia",
    "/etc/drirc",
    "/etc/OpenCL",
    "/sys",
    "/proc/devices",
    "/proc/driver",
    "/proc/filesystems",
    "/proc/modules",
    "/proc/sys/kernel",
    "/proc/sys/vm",
    "/proc/version",
];

/// Folders and files that the user's environment names for libraries and Vulkan drivers.
fn named_by_variables() -> Vec<PathBuf> {
    let named = ["LD_LIBRARY_PATH", "VK_DRIVER_FILES", "VK_ICD_FILENAMES", "VK_ADD_DRIVER_FILES"]
        .into_iter()
        .filter_map(env::var_os);
    let paths = named.flat_map(|paths| env::split_paths(&paths).collect::<Vec<_>>());
    paths.filter(|path| path.is_absolute() && path != Path::new("/")).collect()
}

/// The device files of GPUs, and the shared memory of their drivers.
fn gpu_devices() -> Vec<PathBuf> {
    let of_nvidia = |path: &PathBuf| {
        path.file_name().is_some_and(|name| name.to_string_lossy().starts_with("nvidia"))
    };
    let devices = fs::read_dir("/dev").into_iter().flatten().flatten().map(|entry| entry.path());
    let others = ["/dev/dri", "/dev/kfd", "/dev/dxg", "/dev/shm"].map(PathBuf::from);
    devices.filter(of_nvidia).chain(others).collect()
}

/// The folders in which drivers store compiled kernels.
fn driver_caches() -> Vec<PathBuf> {
    let folder = |name| env::var_os(name).map(PathBuf::from).filter(|path| path.is_absolute());
    let Some(home) = folder("HOME") else { return Vec::new() };
    let cache = folder("XDG_CACHE_HOME").unwrap_or_else(|| home.join(".cache"));
    let cuda = folder("CUDA_CACHE_PATH").unwrap_or_else(|| home.join(".nv/ComputeCache"));
    let names: [OsString; 4] =
        ["mesa_shader_cache", "mesa_shader_cache_db", "nvidia", "radv_builtin_shaders"]
            .map(OsString::from);
    let mut caches: Vec<PathBuf> = names.iter().map(|name| cache.join(name)).collect();
    caches.push(cuda);
    caches
}
