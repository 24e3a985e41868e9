//! A session with NVML, and what its cards say.

use std::ffi::OsStr;
use std::process;
use std::sync::{Arc, PoisonError, RwLock, TryLockError};
use std::time::{Duration, Instant};

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

/// Intervals between two attempts to find a lost card again. NVML does not see a card that has
/// come back before it is started anew, which is too much work for every reading.
const RESTART_EVERY: u32 = 5;

/// What a look for cards has found.
pub(super) enum Found {
    /// Cards to watch.
    Cards(Vec<Card>),
    /// Cards, of which none is to be watched.
    Unwanted,
    /// No driver, or no card.
    Nothing,
}

/// Looks for the cards to watch.
pub(super) fn find(options: &Options) -> Found {
    let Some(nvml) = start() else { return Found::Nothing };
    let seen = identities(&nvml);
    if seen.is_empty() {
        return Found::Nothing;
    }
    let selected = select(seen, &options.computing, options.visible.as_deref());
    if selected.is_empty() {
        return Found::Unwanted;
    }
    let driver = Arc::new(Driver {
        session: RwLock::new(Session { nvml: Some(nvml), started: Instant::now() }),
        restart_after: options.interval.saturating_mul(RESTART_EVERY),
    });
    let card = |identity: &Identity| {
        let Identity { index, name, bus_id, .. } = identity;
        tracing::info!(index, name, bus_id, "watching a graphics card");
        let is_place_shared = selected.iter().filter(|other| other.bus_id == *bus_id).count() > 1;
        let driver = driver.clone();
        Card { driver, identity: identity.clone(), is_place_shared, is_present: true }
    };
    Found::Cards(selected.iter().map(card).collect())
}

/// The one session with NVML that all cards share. NVML counts sessions and is only started anew
/// where none is left, so it takes nobody inside the driver to do that.
struct Driver {
    /// Read by whoever is inside the driver, which may be for ever; written only by
    /// [`Self::restart`], which does not wait for the others.
    session: RwLock<Session>,
    restart_after: Duration,
}

struct Session {
    /// `None` where NVML would not start again.
    nvml: Option<Nvml>,
    started: Instant,
}

impl Driver {
    /// Starts NVML anew, unless it is young or another card is inside it.
    fn restart(&self) {
        let mut session = match self.session.try_write() {
            Ok(session) => session,
            Err(TryLockError::Poisoned(poisoned)) => poisoned.into_inner(),
            Err(TryLockError::WouldBlock) => return,
        };
        if session.started.elapsed() >= self.restart_after {
            session.nvml = None;
            session.nvml = start();
            session.started = Instant::now();
        }
    }
}

/// A card to watch.
pub(super) struct Card {
    driver: Arc<Driver>,
    identity: Identity,
    /// Whether another card has the same bus id, which then says nothing.
    is_place_shared: bool,
    is_present: bool,
}

impl Card {
    /// What is known of it without asking.
    pub(super) fn known(&self) -> Gpu {
        let Identity { index, name, uuid, .. } = self.identity.clone();
        Gpu { index, name, uuid, ..Gpu::default() }
    }

    /// What the card says now. Waits for the driver, however long that takes.
    pub(super) fn read(&mut self) -> Gpu {
        if !self.is_present {
            self.driver.restart();
        }
        let driver = self.driver.clone();
        let session = driver.session.read().unwrap_or_else(PoisonError::into_inner);
        let gpu = session.nvml.as_ref().and_then(|nvml| self.ask(nvml));
        drop(session);
        let Identity { index, name, .. } = &self.identity;
        match (self.is_present, gpu.is_some()) {
            (true, false) => tracing::warn!(index, name, "a graphics card does not answer"),
            (false, true) => tracing::warn!(index, name, "a graphics card is back"),
            _ => {}
        }
        self.is_present = gpu.is_some();
        gpu.unwrap_or_else(|| self.known())
    }

    /// The values of the card at our place; `None` where there is none.
    fn ask(&mut self, nvml: &Nvml) -> Option<Gpu> {
        let device = if self.is_place_shared {
            nvml.device_by_index(self.identity.index)
        } else {
            nvml.device_by_pci_bus_id(self.identity.bus_id.as_str())
        }
        .ok()?;
        if let Some(uuid) = told(device.uuid())?.filter(|uuid| *uuid != self.identity.uuid) {
            // Places in the order may have moved; a place on the bus holds what was put there.
            if self.is_place_shared {
                return None;
            }
            let index = self.identity.index;
            // One that could not be read before is no other card.
            if !self.identity.uuid.is_empty() {
                tracing::warn!(index, uuid, "another graphics card is where one was watched");
            }
            self.identity.uuid = uuid;
            self.identity.name = named(&device);
        }
        values(&device, self.known())
    }
}

fn start() -> Option<Nvml> {
    for library in LIBRARIES {
        match Nvml::builder().lib_path(OsStr::new(library)).init() {
            Ok(nvml) => return Some(nvml),
            Err(error) => tracing::trace!(library, "no NVML: {error}"),
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
                name: named(&device),
                uuid: device.uuid().unwrap_or_default(),
                bus_id: device.pci_info().ok()?.bus_id,
            })
        })
        .collect()
}

fn named(device: &Device<'_>) -> String {
    device.name().unwrap_or_else(|_| "unnamed".to_owned())
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
