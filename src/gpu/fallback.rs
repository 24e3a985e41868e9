//! NVML calls that fall back, one by one, to the version that an old driver has.
//!
//! nvml-wrapper calls the newest version of each function. A driver from before that version lacks
//! it, and then the first version answers the same question. NVML's library is called directly for
//! that, so this is the one file outside of `llama` with `unsafe` (ADR-0021).

#![allow(unsafe_code)]

use std::ffi::{CStr, CString, c_char, c_uint};

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::{NvmlError, nvml_sym, nvml_try};
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};
use nvml_wrapper_sys::bindings::{
    nvmlDevice_t, nvmlMemory_t, nvmlPciInfo_t, nvmlProcessInfo_v1_t, nvmlReturn_t,
};

/// VRAM in bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Vram {
    pub(super) total: u64,
    pub(super) used: u64,
    pub(super) free: u64,
}

/// A process that uses a GPU.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GpuProcess {
    pub(super) pid: u32,
    /// Bytes of VRAM; `None` if the driver does not report them.
    pub(super) bytes: Option<u64>,
}

/// Number of GPUs.
///
/// # Errors
/// As every function here: NVML's error.
pub(super) fn device_count(nvml: &Nvml) -> Result<u32, NvmlError> {
    or_else(nvml.device_count(), || {
        let call = nvml_sym(nvml.lib().nvmlDeviceGetCount.as_ref())?;
        let mut count = 0;
        // SAFETY: NVML is initialized, and writes the number.
        nvml_try(unsafe { call(&raw mut count) })?;
        Ok(count)
    })
}

/// The GPU with this index in NVML's order.
pub(super) fn device_by_index(nvml: &Nvml, index: u32) -> Result<Device<'_>, NvmlError> {
    or_else(nvml.device_by_index(index), || {
        let call = nvml_sym(nvml.lib().nvmlDeviceGetHandleByIndex.as_ref())?;
        // SAFETY: NVML is initialized, and writes the handle.
        device(nvml, |handle| unsafe { call(index, handle) })
    })
}

/// The GPU with this PCI bus id.
pub(super) fn device_by_bus_id<'a>(nvml: &'a Nvml, id: &str) -> Result<Device<'a>, NvmlError> {
    or_else(nvml.device_by_pci_bus_id(id), || {
        let call = nvml_sym(nvml.lib().nvmlDeviceGetHandleByPciBusId.as_ref())?;
        let id = CString::new(id)?;
        // SAFETY: NVML is initialized, reads the C string, and writes the handle.
        device(nvml, |handle| unsafe { call(id.as_ptr(), handle) })
    })
}

/// The device whose handle `call` writes.
fn device(
    nvml: &Nvml,
    call: impl FnOnce(*mut nvmlDevice_t) -> nvmlReturn_t,
) -> Result<Device<'_>, NvmlError> {
    let mut handle: nvmlDevice_t = std::ptr::null_mut();
    nvml_try(call(&raw mut handle))?;
    // SAFETY: NVML has just returned the handle.
    Ok(unsafe { Device::new(handle, nvml) })
}

/// The PCI bus id in NVML's format.
pub(super) fn bus_id(device: &Device<'_>) -> Result<String, NvmlError> {
    or_else(device.pci_info().map(|info| info.bus_id), || {
        let lib = device.nvml().lib();
        let second = nvml_sym(lib.nvmlDeviceGetPciInfo_v2.as_ref());
        let call = second.or_else(|_| nvml_sym(lib.nvmlDeviceGetPciInfo.as_ref()))?;
        let mut info = nvmlPciInfo_t {
            busIdLegacy: [0; 16],
            domain: 0,
            bus: 0,
            device: 0,
            pciDeviceId: 0,
            pciSubSystemId: 0,
            busId: [0; 32],
        };
        // SAFETY: the handle is of this device. Both versions write the first part of the struct.
        nvml_try(unsafe { call(device.handle(), &raw mut info) })?;
        Ok(text(&info.busIdLegacy))
    })
}

/// The text of a C string in a buffer.
fn text(buffer: &[c_char]) -> String {
    let bytes: Vec<u8> = buffer.iter().map(|&c| c.cast_unsigned()).chain([0]).collect();
    let text = CStr::from_bytes_until_nul(&bytes).unwrap_or_default();
    text.to_string_lossy().into_owned()
}

/// The VRAM of the GPU.
pub(super) fn vram(device: &Device<'_>) -> Result<Vram, NvmlError> {
    let info = device.memory_info();
    or_else(info.map(|info| Vram { total: info.total, used: info.used, free: info.free }), || {
        let call = nvml_sym(device.nvml().lib().nvmlDeviceGetMemoryInfo.as_ref())?;
        let mut info = nvmlMemory_t { total: 0, free: 0, used: 0 };
        // SAFETY: the handle is of this device, and NVML writes the struct.
        nvml_try(unsafe { call(device.handle(), &raw mut info) })?;
        Ok(Vram { total: info.total, used: info.used, free: info.free })
    })
}

/// The target speed of the first fan in percent.
pub(super) fn fan_percent(device: &Device<'_>) -> Result<u32, NvmlError> {
    or_else(device.fan_speed(0), || {
        let call = nvml_sym(device.nvml().lib().nvmlDeviceGetFanSpeed.as_ref())?;
        let mut percent = 0;
        // SAFETY: the handle is of this device, and NVML writes the number.
        nvml_try(unsafe { call(device.handle(), &raw mut percent) })?;
        Ok(percent)
    })
}

/// The reasons why the clocks are throttled. New drivers call them event reasons.
pub(super) fn throttle_reasons(device: &Device<'_>) -> Result<ThrottleReasons, NvmlError> {
    or_else(device.current_throttle_reasons(), || {
        let lib = device.nvml().lib();
        let call = nvml_sym(lib.nvmlDeviceGetCurrentClocksEventReasons.as_ref())?;
        let mut reasons = 0;
        // SAFETY: the handle is of this device, and NVML writes the number.
        nvml_try(unsafe { call(device.handle(), &raw mut reasons) })?;
        Ok(ThrottleReasons::from_bits_truncate(reasons))
    })
}

/// The processes that compute on the GPU.
pub(super) fn compute_processes(device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let newer =
        or_else(device.running_compute_processes(), || device.running_compute_processes_v2());
    or_else(newer.map(processes), || {
        let lib = device.nvml().lib();
        first_processes(device, nvml_sym(lib.nvmlDeviceGetComputeRunningProcesses.as_ref())?)
    })
}

/// The processes that draw on the GPU. NVML reports Vulkan compute as graphics.
pub(super) fn graphics_processes(device: &Device<'_>) -> Result<Vec<GpuProcess>, NvmlError> {
    let newer =
        or_else(device.running_graphics_processes(), || device.running_graphics_processes_v2());
    or_else(newer.map(processes), || {
        let lib = device.nvml().lib();
        first_processes(device, nvml_sym(lib.nvmlDeviceGetGraphicsRunningProcesses.as_ref())?)
    })
}

fn processes(infos: Vec<ProcessInfo>) -> Vec<GpuProcess> {
    let process = |info: ProcessInfo| GpuProcess {
        pid: info.pid,
        bytes: match info.used_gpu_memory {
            UsedGpuMemory::Used(bytes) => Some(bytes),
            UsedGpuMemory::Unavailable => None,
        },
    };
    infos.into_iter().map(process).collect()
}

/// The first version of a function that lists processes.
type ListProcesses =
    unsafe extern "C" fn(nvmlDevice_t, *mut c_uint, *mut nvmlProcessInfo_v1_t) -> nvmlReturn_t;

/// The processes that the first version of a function lists.
fn first_processes(
    device: &Device<'_>,
    list: &ListProcesses,
) -> Result<Vec<GpuProcess>, NvmlError> {
    let mut infos = [nvmlProcessInfo_v1_t { pid: 0, usedGpuMemory: 0 }; MAX_PROCESSES];
    let mut count = MAX_PROCESSES as c_uint;
    // SAFETY: the handle is of this device. NVML writes at most `count` elements, and their number.
    nvml_try(unsafe { list(device.handle(), &raw mut count, infos.as_mut_ptr()) })?;
    let process = |info: &nvmlProcessInfo_v1_t| GpuProcess {
        pid: info.pid,
        bytes: Some(info.usedGpuMemory).filter(|&bytes| bytes != NOT_AVAILABLE),
    };
    Ok(infos.iter().take(count as usize).map(process).collect())
}

/// `result`, or that of `older` if the driver does not have the newer function.
fn or_else<T>(
    result: Result<T, NvmlError>,
    older: impl FnOnce() -> Result<T, NvmlError>,
) -> Result<T, NvmlError> {
    match result {
        Err(NvmlError::FailedToLoadSymbol(_) | NvmlError::FunctionNotFound) => older(),
        other => other,
    }
}

/// Maximum number of processes of a GPU that are listed by the first version.
const MAX_PROCESSES: usize = 128;

/// Stands for an unknown size (`NVML_VALUE_NOT_AVAILABLE`).
const NOT_AVAILABLE: u64 = u64::MAX;
