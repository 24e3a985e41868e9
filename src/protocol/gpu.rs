//! The GPU values of a `metrics` frame.
//!
//! They are [`Gpu`] readings in the units of the wire: degrees Celsius, MiB, watts and percent. A
//! value that the driver does not report is `null`.

use serde::Serialize;

use crate::domain::{Gpu, Throttle};

/// The values in the `gpu` field, for clients that know only the core of the protocol.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct GpuValues {
    temp: Option<u32>,
    vram_total_mb: Option<u64>,
    vram_used_mb: Option<u64>,
    vram_free_mb: Option<u64>,
    power_watts: Option<u32>,
    fan_percent: Option<u32>,
    throttling: Option<bool>,
}

/// One element of the `gpus` field: everything known about one GPU.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct GpuDetails {
    index: u32,
    name: String,
    uuid: String,
    present: bool,
    in_use: bool,
    #[serde(flatten)]
    values: GpuValues,
    utilization_percent: Option<u32>,
    throttle_reasons: Option<Vec<&'static str>>,
    process_vram_mb: Option<u64>,
}

impl GpuValues {
    pub(super) fn new(gpu: &Gpu) -> Self {
        let mb = |bytes: Option<u64>| bytes.map(|bytes| bytes / MB);
        Self {
            temp: gpu.celsius,
            vram_total_mb: mb(gpu.vram_total),
            vram_used_mb: mb(gpu.vram_used),
            vram_free_mb: mb(gpu.vram_free),
            power_watts: gpu.milliwatts.map(|milliwatts| milliwatts.saturating_add(500) / 1000),
            fan_percent: gpu.fan_percent,
            throttling: gpu.throttle.as_ref().map(|reasons| !reasons.is_empty()),
        }
    }
}

impl GpuDetails {
    pub(super) fn new(gpu: &Gpu) -> Self {
        Self {
            index: gpu.index,
            name: gpu.name.clone(),
            uuid: gpu.uuid.clone(),
            present: gpu.is_present,
            in_use: gpu.is_in_use,
            values: GpuValues::new(gpu),
            utilization_percent: gpu.utilization_percent,
            throttle_reasons: gpu
                .throttle
                .as_ref()
                .map(|reasons| reasons.iter().copied().map(throttle_name).collect()),
            process_vram_mb: gpu.process_vram.map(|bytes| bytes / MB),
        }
    }
}

/// The name of a throttle reason in `metrics` frames and on the `/metrics` page.
pub fn throttle_name(reason: Throttle) -> &'static str {
    match reason {
        Throttle::PowerCap => "power_cap",
        Throttle::SoftwareThermal => "software_thermal",
        Throttle::HardwareThermal => "hardware_thermal",
        Throttle::PowerBrake => "power_brake",
        Throttle::Hardware => "hardware",
    }
}

/// Bytes of one megabyte in a `metrics` frame. NVIDIA's own tools count the same way.
const MB: u64 = 1024 * 1024;
