//! The state of the GPUs, as the driver reports it.
//!
//! Readings that are too old become stale: the GPUs are still listed, but without values. Taking
//! the readings is the task of the module `gpu`.

use std::time::{Duration, Instant};

/// One GPU at one moment. A value is `None` if the GPU or its driver does not report it, or if
/// the user may not read it.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Index in the order of the driver, which is that of the PCI bus.
    pub index: u32,
    /// Product name.
    pub name: String,
    /// Identifier that no other GPU has.
    pub uuid: String,
    /// Whether the GPU responds. If not, only `index`, `name`, `uuid` and `is_in_use` are
    /// known.
    pub is_present: bool,
    /// Whether layers of the model are planned for GPUs: the same for all of them.
    pub is_in_use: bool,
    /// Temperature of the chip in degrees Celsius.
    pub celsius: Option<u32>,
    /// Size of the VRAM in bytes.
    pub vram_total: Option<u64>,
    /// VRAM that all programs use together, in bytes.
    pub vram_used: Option<u64>,
    /// VRAM that no program uses, in bytes.
    pub vram_free: Option<u64>,
    /// VRAM that the daemon and the model's process use, in bytes.
    pub process_vram: Option<u64>,
    /// Power draw in milliwatts.
    pub milliwatts: Option<u32>,
    /// Target speed of the first fan in percent. The driver may set more than 100.
    pub fan_percent: Option<u32>,
    /// Share of the last sampling period of the driver in which the GPU computed, 0 to 100.
    pub utilization_percent: Option<u32>,
    /// The reasons why the clocks are throttled; empty if they are not.
    pub throttle: Option<Vec<Throttle>>,
}

impl Gpu {
    /// A GPU that does not answer, or has not been read yet: only its identity is known.
    pub fn without_values(index: u32, name: String, uuid: String) -> Self {
        Self { index, name, uuid, ..Self::default() }
    }

    /// The GPU without its readings, as it is shown when these are too old.
    pub fn stale(&self) -> Self {
        let identity = Self::without_values(self.index, self.name.clone(), self.uuid.clone());
        Self { is_in_use: self.is_in_use, ..identity }
    }
}

/// Why the clocks of a GPU are throttled. Low clocks of an idle GPU, and a lower limit set by the
/// administrator, do not count.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The driver keeps the power draw below its limit.
    PowerCap,
    /// The driver keeps the temperature below its limit.
    SoftwareThermal,
    /// The hardware is too hot.
    HardwareThermal,
    /// The power supply asked for a lower power draw.
    PowerBrake,
    /// The hardware slows down and does not report which of its reasons applies.
    Hardware,
}

impl Throttle {
    /// Every reason.
    pub const ALL: [Self; 5] = [
        Self::PowerCap,
        Self::SoftwareThermal,
        Self::HardwareThermal,
        Self::PowerBrake,
        Self::Hardware,
    ];
}

/// The latest readings of all GPUs.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReading {
    /// When the readings were last collected. Those of a single GPU are at most
    /// [`Self::max_age`] older.
    pub taken: Instant,
    /// The monitored GPUs. If the engine computes on GPUs, these are its GPUs, in the order in
    /// which it uses them.
    pub gpus: Vec<Gpu>,
}

impl GpuReading {
    /// A reading without GPUs, for when none are monitored.
    pub fn none(now: Instant) -> Self {
        Self { taken: now, gpus: Vec::new() }
    }

    /// How old a reading may be, if one is taken every `interval`, before it is stale: five
    /// intervals, but at least five seconds. So a slow driver is not reported as a lost GPU, and
    /// one that hangs is.
    pub fn max_age(interval: Duration) -> Duration {
        interval.max(Duration::from_secs(1)).saturating_mul(MAX_AGE_INTERVALS)
    }

    /// The GPUs without their readings, none of them present.
    pub fn stale(&self) -> Vec<Gpu> {
        self.gpus.iter().map(Gpu::stale).collect()
    }
}

/// Intervals, of at least one second each, after which a reading is stale (ADR-0021).
const MAX_AGE_INTERVALS: u32 = 5;
