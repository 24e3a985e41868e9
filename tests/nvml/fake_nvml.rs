//! A fake `libnvidia-ml`, whose GPUs are lines of a file.
//!
//! `tests/daemon/gpu.rs` compiles it into a C library that the daemon loads through nvml-wrapper.
//! The environment variable `FAKE_NVML_GPUS` names the file. Every call reads it, so a test can
//! change a GPU at any time. A line is a GPU, and its words are `key=value`. A GPU does not support
//! the values whose keys are missing:
//!
//! - `temp` in °C, `power` in mW, `fan` and `util` in %
//! - `total`, `used` and `own` (the memory of this process) in MiB
//! - `throttle`: the bits of the throttle reasons
//! - `lost=1`: the GPU has fallen off the bus
//! - `hang=FILE`: calls hang while the file is locked
//! - `uuid`, `name` and `bus` (the PCI bus id; `none` for a GPU without one) are texts
//!
//! Signatures and numbers are those of NVIDIA's `nvml.h`. With `--cfg old_driver` some functions
//! are missing. With `--cfg first_versions` each function exists in its first version only, and
//! the throttle reasons under their new name.

#![allow(non_snake_case, unsafe_code)]

use std::ffi::{CStr, c_char, c_uint, c_ulonglong};
use std::fs::{self, File};

const SUCCESS: c_uint = 0;
const INVALID_ARGUMENT: c_uint = 2;
const NOT_SUPPORTED: c_uint = 3;
const NOT_FOUND: c_uint = 6;
const DRIVER_NOT_LOADED: c_uint = 9;
const GPU_IS_LOST: c_uint = 15;
const MIB: u64 = 1 << 20;

/// The number of a GPU's line, counted from 1 because handles must not be null.
type Handle = usize;

fn lines() -> Vec<String> {
    let file = std::env::var("FAKE_NVML_GPUS").unwrap_or_default();
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The text of `key` in a GPU's line, if it has the key. Fails if there is no such GPU.
fn word(gpu: Handle, key: &str) -> Result<Option<String>, c_uint> {
    let lines = lines();
    let line = gpu.checked_sub(1).and_then(|i| lines.get(i)).ok_or(GPU_IS_LOST)?;
    let mut words = line.split_whitespace().filter_map(|word| word.split_once('='));
    Ok(words.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned()))
}

/// The number of `key` in a GPU's line. Fails if the GPU is lost or does not support the value.
fn value(gpu: Handle, key: &str) -> Result<u64, c_uint> {
    if let Some(path) = word(gpu, "hang")? {
        // Waits until the test unlocks the file.
        let _ = File::open(path).and_then(|file| file.lock_shared());
    }
    if word(gpu, "lost")?.as_deref() == Some("1") {
        return Err(GPU_IS_LOST);
    }
    word(gpu, key)?.and_then(|value| value.parse().ok()).ok_or(NOT_SUPPORTED)
}

/// Writes the value to `out` and returns the code of the call.
fn respond<T>(out: *mut T, value: Result<T, c_uint>) -> c_uint {
    match value {
        Ok(value) => {
            unsafe { out.write(value) };
            SUCCESS
        }
        Err(code) => code,
    }
}

/// Writes `text` as a C string into a buffer of `length` bytes.
fn write_text(out: *mut c_char, length: c_uint, text: &str) -> c_uint {
    for (i, byte) in text.bytes().chain([0]).take(length as usize).enumerate() {
        unsafe { out.add(i).write(byte as c_char) };
    }
    SUCCESS
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlInit_v2() -> c_uint {
    if lines().is_empty() { DRIVER_NOT_LOADED } else { SUCCESS }
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlShutdown() -> c_uint {
    SUCCESS
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_uint {
    respond(count, Ok(lines().len() as c_uint))
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, gpu: *mut Handle) -> c_uint {
    let exists = (index as usize) < lines().len();
    respond(gpu, if exists { Ok(index as usize + 1) } else { Err(INVALID_ARGUMENT) })
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus_id: *const c_char,
    gpu: *mut Handle,
) -> c_uint {
    let bus_id = unsafe { CStr::from_ptr(bus_id) }.to_string_lossy();
    let found = (1..=lines().len()).find(|&gpu| bus_id_of(gpu).ends_with(&*bus_id));
    let found = found.ok_or(NOT_FOUND);
    let found = found.and_then(|gpu| match word(gpu, "lost")? {
        Some(_) => Err(GPU_IS_LOST),
        None => Ok(gpu),
    });
    respond(gpu, found)
}

fn bus_id_of(gpu: Handle) -> String {
    let own = word(gpu, "bus").ok().flatten();
    own.unwrap_or_else(|| format!("00000000:{gpu:02X}:00.0"))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(gpu: Handle, out: *mut c_char, length: c_uint) -> c_uint {
    let own = word(gpu, "name").ok().flatten();
    write_text(out, length, own.as_deref().unwrap_or("NVIDIA GeForce GTX 1060 3GB"))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(gpu: Handle, out: *mut c_char, length: c_uint) -> c_uint {
    let own = word(gpu, "uuid").ok().flatten();
    write_text(out, length, &own.unwrap_or_else(|| format!("GPU-{gpu:08}-fake")))
}

#[repr(C)]
pub struct PciInfo {
    bus_id_legacy: [c_char; 16],
    domain: c_uint,
    bus: c_uint,
    device: c_uint,
    pci_device_id: c_uint,
    pci_subsystem_id: c_uint,
    bus_id: [c_char; 32],
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPciInfo_v3(gpu: Handle, out: *mut PciInfo) -> c_uint {
    respond(out, pci_info(gpu))
}

fn pci_info(gpu: Handle) -> Result<PciInfo, c_uint> {
    let bus_id = bus_id_of(gpu);
    if bus_id == "none" {
        return Err(NOT_SUPPORTED);
    }
    let mut info = PciInfo {
        bus_id_legacy: [0; 16],
        domain: 0,
        bus: gpu as c_uint,
        device: 0,
        pci_device_id: 0x1c02_10de,
        pci_subsystem_id: 0,
        bus_id: [0; 32],
    };
    write_text(info.bus_id.as_mut_ptr(), 32, &bus_id);
    // The domain has four digits.
    write_text(info.bus_id_legacy.as_mut_ptr(), 16, &bus_id[4..]);
    Ok(info)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTemperature(
    gpu: Handle,
    _sensor: c_uint,
    out: *mut c_uint,
) -> c_uint {
    respond(out, value(gpu, "temp").map(|n| n as c_uint))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPowerUsage(gpu: Handle, out: *mut c_uint) -> c_uint {
    respond(out, value(gpu, "power").map(|n| n as c_uint))
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetFanSpeed_v2(gpu: Handle, _fan: c_uint, out: *mut c_uint) -> c_uint {
    respond(out, value(gpu, "fan").map(|n| n as c_uint))
}

#[repr(C)]
pub struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[cfg(not(any(old_driver, first_versions)))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(gpu: Handle, out: *mut Memory) -> c_uint {
    let memory = value(gpu, "total").and_then(|total| {
        let used = value(gpu, "used")?.saturating_mul(MIB);
        let total = total.saturating_mul(MIB);
        Ok(Memory { version: 0, total, reserved: 0, free: total.saturating_sub(used), used })
    });
    respond(out, memory)
}

#[repr(C)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUtilizationRates(gpu: Handle, out: *mut Utilization) -> c_uint {
    respond(out, value(gpu, "util").map(|n| Utilization { gpu: n as c_uint, memory: 0 }))
}

#[cfg(not(any(old_driver, first_versions)))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    gpu: Handle,
    out: *mut c_ulonglong,
) -> c_uint {
    respond(out, value(gpu, "throttle"))
}

#[cfg(not(first_versions))]
#[repr(C)]
pub struct Process {
    pid: c_uint,
    memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// Writes this process as the only one on the GPU. Like NVML, writes only the number of processes
/// if the caller's array is too short.
#[cfg(not(first_versions))]
fn own_process(gpu: Handle, count: *mut c_uint, out: *mut Process) -> c_uint {
    const INSUFFICIENT_SIZE: c_uint = 7;
    let memory = match value(gpu, "own") {
        Ok(mib) => mib.saturating_mul(MIB),
        Err(NOT_SUPPORTED) => return respond(count, Ok(0)),
        Err(code) => return code,
    };
    let capacity = unsafe { count.read() };
    unsafe { count.write(1) };
    if capacity == 0 {
        return INSUFFICIENT_SIZE;
    }
    let pid = std::process::id();
    respond(out, Ok(Process { pid, memory, gpu_instance: 0, compute_instance: 0 }))
}

#[cfg(not(any(old_driver, first_versions)))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    gpu: Handle,
    count: *mut c_uint,
    out: *mut Process,
) -> c_uint {
    own_process(gpu, count, out)
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    gpu: Handle,
    count: *mut c_uint,
    out: *mut Process,
) -> c_uint {
    own_process(gpu, count, out)
}

#[cfg(not(first_versions))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    _gpu: Handle,
    count: *mut c_uint,
    _out: *mut Process,
) -> c_uint {
    respond(count, Ok(0))
}

/// The first versions of functions.
#[cfg(first_versions)]
mod first_versions {
    use super::*;

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetCount(count: *mut c_uint) -> c_uint {
        respond(count, Ok(lines().len() as c_uint))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetHandleByIndex(index: c_uint, gpu: *mut Handle) -> c_uint {
        let exists = (index as usize) < lines().len();
        respond(gpu, if exists { Ok(index as usize + 1) } else { Err(INVALID_ARGUMENT) })
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetHandleByPciBusId(
        bus_id: *const c_char,
        gpu: *mut Handle,
    ) -> c_uint {
        let bus_id = unsafe { CStr::from_ptr(bus_id) }.to_string_lossy();
        let found = (1..=lines().len()).find(|&gpu| bus_id_of(gpu).ends_with(&*bus_id));
        respond(gpu, found.ok_or(NOT_FOUND))
    }

    /// Does not write the last field, which its struct does not have.
    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetPciInfo(gpu: Handle, out: *mut PciInfo) -> c_uint {
        respond(out, pci_info(gpu).map(|info| PciInfo { bus_id: [0; 32], ..info }))
    }

    #[repr(C)]
    pub struct FirstMemory {
        total: c_ulonglong,
        free: c_ulonglong,
        used: c_ulonglong,
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetMemoryInfo(gpu: Handle, out: *mut FirstMemory) -> c_uint {
        let memory = value(gpu, "total").and_then(|total| {
            let used = value(gpu, "used")? * MIB;
            Ok(FirstMemory { total: total * MIB, free: total * MIB - used, used })
        });
        respond(out, memory)
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetFanSpeed(gpu: Handle, out: *mut c_uint) -> c_uint {
        respond(out, value(gpu, "fan").map(|n| n as c_uint))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetCurrentClocksEventReasons(
        gpu: Handle,
        out: *mut c_ulonglong,
    ) -> c_uint {
        respond(out, value(gpu, "throttle"))
    }

    #[repr(C)]
    pub struct FirstProcess {
        pid: c_uint,
        memory: c_ulonglong,
    }

    /// Lists another process, and then this one.
    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetComputeRunningProcesses(
        gpu: Handle,
        count: *mut c_uint,
        out: *mut FirstProcess,
    ) -> c_uint {
        let memory = match value(gpu, "own") {
            Ok(mib) => mib * MIB,
            Err(code) => return code,
        };
        assert!(unsafe { count.read() } >= 2);
        unsafe { out.write(FirstProcess { pid: 1, memory: u64::MAX }) };
        unsafe { out.add(1).write(FirstProcess { pid: std::process::id(), memory }) };
        respond(count, Ok(2))
    }

    #[unsafe(no_mangle)]
    pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses(
        _gpu: Handle,
        count: *mut c_uint,
        _out: *mut FirstProcess,
    ) -> c_uint {
        respond(count, Ok(0))
    }
}
