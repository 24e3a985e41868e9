//! What is known of graphics cards.

use std::time::{Duration, Instant};

/// One card at one moment. A value that the card, its driver or the user's rights do not give is
/// `None`.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Gpu {
    /// Its place in the driver's own order, which is that of the PCI bus.
    pub index: u32,
    /// The maker's name for it.
    pub name: String,
    /// Its name that no other card has.
    pub uuid: String,
    /// Whether it answers. All that can change is `None` where it does not.
    pub is_present: bool,
    /// Temperature of the chip in degrees Celsius.
    pub celsius: Option<u32>,
    /// Bytes of its memory.
    pub vram_total: Option<u64>,
    /// Bytes that all programs use together.
    pub vram_used: Option<u64>,
    /// Bytes that nobody uses.
    pub vram_free: Option<u64>,
    /// Bytes that this process uses.
    pub process_vram: Option<u64>,
    /// Power it draws, in milliwatts.
    pub milliwatts: Option<u32>,
    /// Wanted speed of its first fan, 0 to 100; the driver may ask for more than 100.
    pub fan_percent: Option<u32>,
    /// Share of the last moments in which it computed, 0 to 100.
    pub utilization_percent: Option<u32>,
    /// What keeps its clocks down.
    pub throttle: Option<Vec<Throttle>>,
}

/// Why a card is slower than it could be. Being idle, or set to a lower clock by its owner, is
/// none of these.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Throttle {
    /// The driver keeps the power under its limit.
    PowerCap,
    /// The driver keeps the temperature under its limit.
    SoftwareThermal,
    /// The hardware is too hot.
    HardwareThermal,
    /// The power supply asks for less.
    PowerBrake,
    /// The hardware slows down, and does not say for which of its reasons.
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

impl Gpu {
    /// The same card, and nothing known of it but which it is.
    pub fn faded(&self) -> Self {
        let Self { index, name, uuid, .. } = self;
        Self { index: *index, name: name.clone(), uuid: uuid.clone(), ..Self::default() }
    }
}

/// Intervals, and at least as many seconds, for which a reading is believed: a driver that answers
/// late is not a card that is lost, one that hangs is.
const STALE_AFTER: u32 = 5;

/// The latest of all cards.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReading {
    /// When they were last looked after. Each card's values are at most [`Self::patience`] older.
    pub taken: Instant,
    /// The cards; the one that computes first.
    pub gpus: Vec<Gpu>,
}

impl GpuReading {
    /// What is known where nobody looks.
    pub fn none(now: Instant) -> Self {
        Self { taken: now, gpus: Vec::new() }
    }

    /// How old a reading may be before it says nothing of now, where one is taken each `interval`.
    pub fn patience(interval: Duration) -> Duration {
        interval.max(Duration::from_secs(1)).saturating_mul(STALE_AFTER)
    }

    /// The cards, none of them present: what is left of a reading that has grown old.
    pub fn faded(&self) -> Vec<Gpu> {
        self.gpus.iter().map(Gpu::faded).collect()
    }
}
