//! Discovers GPUs through NVML and reads their values.
//!
//! Driver calls may block without limit; `monitor` runs them on threads of their own.

use std::ffi::OsStr;
use std::process;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::{Device, Nvml};

use crate::domain::{Gpu, Throttle};

use super::fallback::{self, GpuProcess, Vram};
use super::options::Options;
use super::selection::{GpuIdentity, select};

/// The result of a discovery.
pub(super) enum Discovery {
    /// The GPUs to monitor.
    Selected(Vec<MonitoredGpu>),
    /// The machine has GPUs, but the options select none of them.
    NoneSelected,
    /// The machine has no NVIDIA driver or no GPU.
    NoGpu,
}

/// Starts NVML and discovers the GPUs that `options` select.
pub(super) fn discover(options: &Options) -> Discovery {
    let Some(nvml) = start_nvml() else { return Discovery::NoGpu };
    let present = identities(&nvml);
    if present.is_empty() {
        return Discovery::NoGpu;
    }
    let selected = select(present, &options.computing, options.visible.as_deref());
    if selected.is_empty() {
        return Discovery::NoneSelected;
    }
    let nvml = Arc::new(SharedNvml {
        instance: RwLock::new(NvmlInstance { nvml: Some(nvml), started: Instant::now() }),
        min_restart_interval: options.interval.saturating_mul(RESTART_INTERVALS),
    });
    let monitored = |identity: &GpuIdentity| {
        let GpuIdentity { index, name, bus_id, .. } = identity;
        tracing::info!(index, name, bus_id, "monitoring GPU");
        let n_with_bus_id = selected.iter().filter(|other| other.bus_id == *bus_id).count();
        let has_own_bus_id = !bus_id.is_empty() && n_with_bus_id == 1;
        let nvml = nvml.clone();
        MonitoredGpu {
            nvml,
            identity: identity.clone(),
            has_own_bus_id,
            is_in_use: options.are_in_use,
            is_present: true,
        }
    };
    Discovery::Selected(selected.iter().map(monitored).collect())
}

/// A GPU to monitor.
pub(super) struct MonitoredGpu {
    nvml: Arc<SharedNvml>,
    identity: GpuIdentity,
    /// Whether the GPU has a bus id that no other monitored GPU has. Otherwise its index identifies
    /// it.
    has_own_bus_id: bool,
    /// [`Options::are_in_use`].
    is_in_use: bool,
    /// Whether the driver returned values at the last reading.
    is_present: bool,
}

impl MonitoredGpu {
    /// The GPU's identity without any value, which needs no call to the driver.
    pub(super) fn without_values(&self) -> Gpu {
        let GpuIdentity { index, name, uuid, .. } = self.identity.clone();
        Gpu { is_in_use: self.is_in_use, ..Gpu::without_values(index, name, uuid) }
    }

    /// Reads the GPU; without values if it is lost. Blocks until the driver returns, without limit.
    pub(super) fn read(&mut self, runner: Option<u32>) -> Gpu {
        if !self.is_present {
            self.nvml.restart();
        }
        let shared = self.nvml.clone();
        let instance = shared.instance.read().unwrap_or_else(PoisonError::into_inner);
        let gpu = instance.nvml.as_ref().and_then(|nvml| self.query(nvml, runner));
        drop(instance);
        let GpuIdentity { index, name, .. } = &self.identity;
        match (self.is_present, gpu.is_some()) {
            (true, false) => tracing::warn!(index, name, "GPU lost: it does not answer"),
            (false, true) => tracing::warn!(index, name, "GPU is back"),
            _ => {}
        }
        self.is_present = gpu.is_some();
        gpu.unwrap_or_else(|| self.without_values())
    }

    /// Reads the GPU with the monitored bus id, or with the monitored index if it has no bus id of
    /// its own; `None` if there is no such GPU or it is lost. If a different GPU is in the PCI
    /// slot, it is monitored from now on.
    fn query(&mut self, nvml: &Nvml, runner: Option<u32>) -> Option<Gpu> {
        let device = if self.has_own_bus_id {
            fallback::device_by_bus_id(nvml, &self.identity.bus_id)
        } else {
            fallback::device_by_index(nvml, self.identity.index)
        }
        .ok()?;
        if let Some(uuid) =
            unless_lost(device.uuid()).ok()?.filter(|uuid| *uuid != self.identity.uuid)
        {
            // Indices may have shifted, so a different GPU at this index is not a replacement.
            if !self.has_own_bus_id {
                return None;
            }
            let index = self.identity.index;
            // An empty UUID could not be read earlier, so it does not indicate a different GPU.
            if !self.identity.uuid.is_empty() {
                tracing::warn!(index, uuid, "a different GPU is in the slot of a monitored one");
            }
            self.identity.uuid = uuid;
            self.identity.name = name_of(&device);
        }
        read_values(&device, self.without_values(), runner).ok()
    }
}

/// The one NVML instance of the process, shared by all monitored GPUs. NVML is reference-counted:
/// it reinitializes only after every user has shut it down. So no thread may be in a call during a
/// restart.
struct SharedNvml {
    /// Threads hold the read lock during driver calls. A call may hang, so [`Self::restart`] only
    /// tries the write lock.
    instance: RwLock<NvmlInstance>,
    min_restart_interval: Duration,
}

struct NvmlInstance {
    /// `None` if NVML failed to restart.
    nvml: Option<Nvml>,
    started: Instant,
}

/// Number of intervals between two restarts of NVML. Only a restart makes NVML find a GPU that was
/// lost and works again. It is too expensive for every reading (ADR-0021).
const RESTART_INTERVALS: u32 = 5;

impl SharedNvml {
    /// Restarts NVML, unless it was started recently or another GPU's thread is calling it.
    fn restart(&self) {
        let mut instance = match self.instance.try_write() {
            Ok(instance) => instance,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if instance.started.elapsed() >= self.min_restart_interval {
            // Dropping the only instance shuts NVML down, which must happen before the start.
            instance.nvml = None;
            instance.nvml = start_nvml();
            instance.started = Instant::now();
        }
    }
}

/// Names of the NVML library, from the driver and from development packages, in this order.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// Loads and starts NVML; `None` without a driver.
fn start_nvml() -> Option<Nvml> {
    for library in LIBRARIES {
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => return Some(nvml),
            Err(error) => tracing::trace!(library, "NVML did not start: {error}"),
        }
    }
    None
}

/// The GPUs of the machine.
fn identities(nvml: &Nvml) -> Vec<GpuIdentity> {
    let count = fallback::device_count(nvml).unwrap_or(0);
    (0..count)
        .filter_map(|index| {
            let device = fallback::device_by_index(nvml, index).ok()?;
            Some(GpuIdentity {
                index,
                name: name_of(&device),
                uuid: device.uuid().unwrap_or_default(),
                // The GPU of a Jetson is not on a PCI bus.
                bus_id: fallback::bus_id(&device).unwrap_or_default(),
            })
        })
        .collect()
}

/// The product name of `device`.
fn name_of(device: &Device<'_>) -> String {
    device.name().unwrap_or_else(|_| "unnamed".to_owned())
}

/// `gpu` with the current values of `device`.
///
/// # Errors
/// [`GpuLost`].
fn read_values(device: &Device<'_>, gpu: Gpu, runner: Option<u32>) -> Result<Gpu, GpuLost> {
    let memory: Option<Vram> = unless_lost(fallback::vram(device))?;
    Ok(Gpu {
        is_present: true,
        celsius: unless_lost(device.temperature(TemperatureSensor::Gpu))?,
        vram_total: memory.as_ref().map(|memory| memory.total),
        vram_used: memory.as_ref().map(|memory| memory.used),
        vram_free: memory.as_ref().map(|memory| memory.free),
        process_vram: unless_lost(process_memory(device, runner))?.flatten(),
        milliwatts: unless_lost(device.power_usage())?,
        fan_percent: unless_lost(fallback::fan_percent(device))?,
        utilization_percent: unless_lost(device.utilization_rates())?.map(|rates| rates.gpu),
        throttle: unless_lost(fallback::throttle_reasons(device))?.map(throttle_reasons),
        ..gpu
    })
}

/// The GPU fell off the bus, must be reset, or NVML is not running.
struct GpuLost;

/// A value that was read; `None` if the GPU or its driver does not report it.
///
/// # Errors
/// [`GpuLost`], if the GPU reports no values at all.
fn unless_lost<T>(value: Result<T, NvmlError>) -> Result<Option<T>, GpuLost> {
    match value {
        Ok(value) => Ok(Some(value)),
        Err(NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized) => {
            Err(GpuLost)
        }
        Err(_) => Ok(None),
    }
}

/// Bytes of VRAM that this process and the process `runner` use for compute or for graphics. `None`
/// if the driver does not report it.
fn process_memory(device: &Device<'_>, runner: Option<u32>) -> Result<Option<u64>, NvmlError> {
    let compute = fallback::compute_processes(device)?;
    let graphics = fallback::graphics_processes(device).unwrap_or_default();
    let is_own = |process: &GpuProcess| process.pid == process::id() || Some(process.pid) == runner;
    let own = |processes: Vec<GpuProcess>| -> Option<u64> {
        processes.into_iter().filter(is_own).map(|process| process.bytes).sum()
    };
    // A process that does both appears in both lists, each time with its total memory.
    Ok(own(compute).max(own(graphics)))
}

/// The reasons to throttle that are set in NVML's bit mask.
fn throttle_reasons(reasons: ThrottleReasons) -> Vec<Throttle> {
    let flag = |throttle| match throttle {
        Throttle::PowerCap => ThrottleReasons::SW_POWER_CAP,
        Throttle::SoftwareThermal => ThrottleReasons::SW_THERMAL_SLOWDOWN,
        Throttle::HardwareThermal => ThrottleReasons::HW_THERMAL_SLOWDOWN,
        Throttle::PowerBrake => ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
        Throttle::Hardware => ThrottleReasons::HW_SLOWDOWN,
    };
    Throttle::ALL.into_iter().filter(|&throttle| reasons.contains(flag(throttle))).collect()
}
