//! A library that plays `libnvidia-ml` for the daemon: cards made of lines in a file.
//!
//! Compiled by `tests/daemon/gpu.rs` into a C library that the daemon loads through nvml-wrapper.
//! The environment variable `NVML_STAND_IN` names the file, which is read at every call, so that a
//! test can move the scene. A line is a card; its words are `key=number`, and a key that is not
//! there is a value that the card does not support:
//!
//! `temp` °C · `total`, `used`, `own` MiB · `power` mW · `fan`, `util` % · `throttle` bits ·
//! `lost=1` off the bus · `hang=FILE` no answer while that is locked · `uuid`, `name`, `bus` text
//!
//! Signatures and numbers are those of NVIDIA's `nvml.h`. With `--cfg old_driver` some functions
//! are missing.

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

/// A card's place in the file, counted from 1: handles are not null.
type Handle = usize;

fn lines() -> Vec<String> {
    let file = std::env::var("NVML_STAND_IN").unwrap_or_default();
    fs::read_to_string(file).unwrap_or_default().lines().map(str::to_owned).collect()
}

/// The text behind `key` in a card's line; an error where there is no such card.
fn word(card: Handle, key: &str) -> Result<Option<String>, c_uint> {
    let lines = lines();
    let line = card.checked_sub(1).and_then(|i| lines.get(i)).ok_or(GPU_IS_LOST)?;
    let mut words = line.split_whitespace().filter_map(|word| word.split_once('='));
    Ok(words.find(|(name, _)| *name == key).map(|(_, value)| value.to_owned()))
}

fn value(card: Handle, key: &str) -> Result<u64, c_uint> {
    if let Some(gate) = word(card, "hang")? {
        // Locked by the test for as long as the card shall hang.
        let _ = File::open(gate).and_then(|gate| gate.lock_shared());
    }
    if word(card, "lost")?.as_deref() == Some("1") {
        return Err(GPU_IS_LOST);
    }
    word(card, key)?.and_then(|value| value.parse().ok()).ok_or(NOT_SUPPORTED)
}

fn answer<T>(out: *mut T, value: Result<T, c_uint>) -> c_uint {
    match value {
        Ok(value) => {
            unsafe { out.write(value) };
            SUCCESS
        }
        Err(code) => code,
    }
}

fn text(out: *mut c_char, length: c_uint, text: &str) -> c_uint {
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

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCount_v2(count: *mut c_uint) -> c_uint {
    answer(count, Ok(lines().len() as c_uint))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByIndex_v2(index: c_uint, card: *mut Handle) -> c_uint {
    let exists = (index as usize) < lines().len();
    answer(card, if exists { Ok(index as usize + 1) } else { Err(INVALID_ARGUMENT) })
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetHandleByPciBusId_v2(
    bus_id: *const c_char,
    card: *mut Handle,
) -> c_uint {
    let bus_id = unsafe { CStr::from_ptr(bus_id) }.to_string_lossy();
    let found = (1..=lines().len()).find(|&card| bus_id == bus_id_of(card)).ok_or(NOT_FOUND);
    let found = found.and_then(|card| match word(card, "lost")? {
        Some(_) => Err(GPU_IS_LOST),
        None => Ok(card),
    });
    answer(card, found)
}

fn bus_id_of(card: Handle) -> String {
    let own = word(card, "bus").ok().flatten();
    own.unwrap_or_else(|| format!("00000000:{card:02X}:00.0"))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetName(card: Handle, out: *mut c_char, length: c_uint) -> c_uint {
    let own = word(card, "name").ok().flatten();
    text(out, length, own.as_deref().unwrap_or("NVIDIA GeForce GTX 1060 3GB"))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUUID(card: Handle, out: *mut c_char, length: c_uint) -> c_uint {
    let own = word(card, "uuid").ok().flatten();
    text(out, length, &own.unwrap_or_else(|| format!("GPU-{card:08}-stand-in")))
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

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPciInfo_v3(card: Handle, out: *mut PciInfo) -> c_uint {
    let mut info = PciInfo {
        bus_id_legacy: [0; 16],
        domain: 0,
        bus: card as c_uint,
        device: 0,
        pci_device_id: 0x1c02_10de,
        pci_subsystem_id: 0,
        bus_id: [0; 32],
    };
    text(info.bus_id.as_mut_ptr(), 32, &bus_id_of(card));
    answer(out, Ok(info))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetTemperature(
    card: Handle,
    _sensor: c_uint,
    out: *mut c_uint,
) -> c_uint {
    answer(out, value(card, "temp").map(|n| n as c_uint))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetPowerUsage(card: Handle, out: *mut c_uint) -> c_uint {
    answer(out, value(card, "power").map(|n| n as c_uint))
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetFanSpeed_v2(card: Handle, _fan: c_uint, out: *mut c_uint) -> c_uint {
    answer(out, value(card, "fan").map(|n| n as c_uint))
}

#[repr(C)]
pub struct Memory {
    version: c_uint,
    total: c_ulonglong,
    reserved: c_ulonglong,
    free: c_ulonglong,
    used: c_ulonglong,
}

#[cfg(not(old_driver))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetMemoryInfo_v2(card: Handle, out: *mut Memory) -> c_uint {
    let memory = value(card, "total").and_then(|total| {
        let used = value(card, "used")?.saturating_mul(MIB);
        let total = total.saturating_mul(MIB);
        Ok(Memory { version: 0, total, reserved: 0, free: total.saturating_sub(used), used })
    });
    answer(out, memory)
}

#[repr(C)]
pub struct Utilization {
    gpu: c_uint,
    memory: c_uint,
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetUtilizationRates(card: Handle, out: *mut Utilization) -> c_uint {
    answer(out, value(card, "util").map(|n| Utilization { gpu: n as c_uint, memory: 0 }))
}

#[cfg(not(old_driver))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetCurrentClocksThrottleReasons(
    card: Handle,
    out: *mut c_ulonglong,
) -> c_uint {
    answer(out, value(card, "throttle"))
}

#[repr(C)]
pub struct Process {
    pid: c_uint,
    memory: c_ulonglong,
    gpu_instance: c_uint,
    compute_instance: c_uint,
}

/// As NVML does: says how many there are where there is no room for them.
fn own_process(card: Handle, count: *mut c_uint, out: *mut Process) -> c_uint {
    const INSUFFICIENT_SIZE: c_uint = 7;
    let memory = match value(card, "own") {
        Ok(mib) => mib.saturating_mul(MIB),
        Err(NOT_SUPPORTED) => return answer(count, Ok(0)),
        Err(code) => return code,
    };
    let room = unsafe { count.read() };
    unsafe { count.write(1) };
    if room == 0 {
        return INSUFFICIENT_SIZE;
    }
    let pid = std::process::id();
    answer(out, Ok(Process { pid, memory, gpu_instance: 0, compute_instance: 0 }))
}

#[cfg(not(old_driver))]
#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v3(
    card: Handle,
    count: *mut c_uint,
    out: *mut Process,
) -> c_uint {
    own_process(card, count, out)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetComputeRunningProcesses_v2(
    card: Handle,
    count: *mut c_uint,
    out: *mut Process,
) -> c_uint {
    own_process(card, count, out)
}

#[unsafe(no_mangle)]
pub extern "C" fn nvmlDeviceGetGraphicsRunningProcesses_v3(
    _card: Handle,
    count: *mut c_uint,
    _out: *mut Process,
) -> c_uint {
    answer(count, Ok(0))
}
