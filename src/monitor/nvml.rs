//! A session with NVML, and what its cards say.

use std::ffi::OsStr;
use std::process;

use nvml_wrapper::bitmasks::device::ThrottleReasons;
use nvml_wrapper::enum_wrappers::device::TemperatureSensor;
use nvml_wrapper::enums::device::UsedGpuMemory;
use nvml_wrapper::error::NvmlError;
use nvml_wrapper::struct_wrappers::device::ProcessInfo;
use nvml_wrapper::{Device, Nvml};

use crate::domain::{Gpu, Throttle};

use super::Options;
use super::selection::{Identity, select};

/// Names of the library: the driver brings the first, development packages the second.
const LIBRARIES: [&str; 2] = ["libnvidia-ml.so.1", "libnvidia-ml.so"];

/// Readings between two attempts to find a lost card again. NVML does not see a card that has
/// come back before it is started anew, which is too much work for every reading.
const REOPEN_EVERY: u32 = 5;

/// The cards to watch.
pub(super) struct Cards {
    /// `None` where NVML would not start again.
    nvml: Option<Nvml>,
    cards: Vec<Card>,
    /// Readings since the last start.
    age: u32,
}

struct Card {
    identity: Identity,
    is_present: bool,
}

impl Cards {
    /// Starts NVML; `None` where there is none or nothing to watch.
    pub(super) fn open(options: &Options) -> Option<Self> {
        let nvml = start()?;
        let seen = identities(&nvml);
        let selected = select(seen, &options.computing, options.visible.as_deref());
        for Identity { index, name, bus_id, .. } in &selected {
            tracing::info!(index, name, bus_id, "watching a graphics card");
        }
        let cards: Vec<Card> =
            selected.into_iter().map(|identity| Card { identity, is_present: true }).collect();
        (!cards.is_empty()).then_some(Self { nvml: Some(nvml), cards, age: 0 })
    }

    /// What the cards say now.
    pub(super) fn read(&mut self) -> Vec<Gpu> {
        self.age += 1;
        let is_one_lost = self.cards.iter().any(|card| !card.is_present);
        if is_one_lost && self.age >= REOPEN_EVERY {
            // Two sessions share one state: the old one has to end first.
            self.nvml = None;
            self.nvml = start();
            self.age = 0;
        }
        let nvml = self.nvml.as_ref();
        self.cards.iter_mut().map(|card| card.read(nvml)).collect()
    }
}

impl Card {
    fn read(&mut self, nvml: Option<&Nvml>) -> Gpu {
        let Identity { index, name, uuid, bus_id } = &self.identity;
        let known = Gpu { index: *index, name: name.clone(), uuid: uuid.clone(), ..Gpu::default() };
        let gpu = match nvml.map(|nvml| nvml.device_by_pci_bus_id(bus_id.as_str())) {
            Some(Ok(device)) => values(&device, known.clone()),
            Some(Err(_)) | None => None,
        };
        match (self.is_present, gpu.is_some()) {
            (true, false) => tracing::warn!(index, name, "a graphics card does not answer"),
            (false, true) => tracing::warn!(index, name, "a graphics card is back"),
            _ => {}
        }
        self.is_present = gpu.is_some();
        gpu.unwrap_or(known)
    }
}

fn start() -> Option<Nvml> {
    for library in LIBRARIES {
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => return Some(nvml),
            Err(error) => tracing::debug!(library, "no NVML: {error}"),
        }
    }
    None
}

fn identities(nvml: &Nvml) -> Vec<Identity> {
    let count = nvml.device_count().unwrap_or(0);
    (0..count)
        .filter_map(|index| {
            let device = nvml.device_by_index(index).ok()?;
            Some(Identity {
                index,
                name: device.name().unwrap_or_else(|_| "unnamed".to_owned()),
                uuid: device.uuid().unwrap_or_default(),
                bus_id: device.pci_info().ok()?.bus_id,
            })
        })
        .collect()
}

/// The values of a card; `None` where it has fallen off the bus.
fn values(device: &Device<'_>, known: Gpu) -> Option<Gpu> {
    let memory = told(device.memory_info())?;
    Some(Gpu {
        is_present: true,
        celsius: told(device.temperature(TemperatureSensor::Gpu))?,
        vram_total: memory.as_ref().map(|memory| memory.total),
        vram_used: memory.as_ref().map(|memory| memory.used),
        vram_free: memory.as_ref().map(|memory| memory.free),
        process_vram: told(own_memory(device))?.flatten(),
        milliwatts: told(device.power_usage())?,
        fan_percent: told(device.fan_speed(0))?,
        utilization_percent: told(device.utilization_rates())?.map(|rates| rates.gpu),
        throttle: told(device.current_throttle_reasons())?.map(throttle),
        ..known
    })
}

/// A value, or `Some(None)` where it cannot be had, or `None` where the card is lost.
fn told<T>(value: Result<T, NvmlError>) -> Option<Option<T>> {
    match value {
        Ok(value) => Some(Some(value)),
        Err(NvmlError::GpuLost | NvmlError::ResetRequired | NvmlError::Uninitialized) => None,
        Err(_) => Some(None),
    }
}

/// Bytes that this process uses on the card, to compute or to draw (which is what NVML takes
/// Vulkan for).
fn own_memory(device: &Device<'_>) -> Result<Option<u64>, NvmlError> {
    let lacks = |error: &NvmlError| matches!(error, NvmlError::FailedToLoadSymbol(_));
    let compute = match device.running_compute_processes() {
        Err(error) if lacks(&error) => device.running_compute_processes_v2(),
        other => other,
    }?;
    let graphics = match device.running_graphics_processes() {
        Err(error) if lacks(&error) => device.running_graphics_processes_v2(),
        other => other,
    }
    .unwrap_or_default();
    let own = |processes: Vec<ProcessInfo>| {
        let found = processes.into_iter().find(|info| info.pid == process::id());
        match found.map(|info| info.used_gpu_memory) {
            Some(UsedGpuMemory::Used(bytes)) => Some(bytes),
            Some(UsedGpuMemory::Unavailable) => None,
            None => Some(0),
        }
    };
    // A process that does both is in both lists, with all its memory in each.
    Ok(own(compute).max(own(graphics)))
}

fn throttle(reasons: ThrottleReasons) -> Vec<Throttle> {
    let flag = |throttle| match throttle {
        Throttle::PowerCap => ThrottleReasons::SW_POWER_CAP,
        Throttle::SoftwareThermal => ThrottleReasons::SW_THERMAL_SLOWDOWN,
        Throttle::HardwareThermal => ThrottleReasons::HW_THERMAL_SLOWDOWN,
        Throttle::PowerBrake => ThrottleReasons::HW_POWER_BRAKE_SLOWDOWN,
        Throttle::Hardware => ThrottleReasons::HW_SLOWDOWN,
    };
    Throttle::ALL.into_iter().filter(|&throttle| reasons.contains(flag(throttle))).collect()
}
