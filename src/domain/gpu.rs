//! What is known of graphics cards.

use std::time::Instant;

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

/// All cards at one moment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct GpuReading {
    /// When it was taken.
    pub taken: Instant,
    /// The cards; the one that computes first.
    pub gpus: Vec<Gpu>,
}

impl GpuReading {
    /// What is known where nobody looks.
    pub fn none(now: Instant) -> Self {
        Self { taken: now, gpus: Vec::new() }
    }

    /// The cards, none of them present: what is left of a reading that has grown old.
    pub fn faded(&self) -> Vec<Gpu> {
        self.gpus
            .iter()
            .map(|Gpu { index, name, uuid, .. }| Gpu {
                index: *index,
                name: name.clone(),
                uuid: uuid.clone(),
                ..Gpu::default()
            })
            .collect()
    }
}
