//! Logs how far the memory plan is from what the loaded model takes.
//!
//! Weights and KV cache have known sizes, so a small deviation is already a fault of the plan. The
//! sizes of compute buffers are estimates and may deviate more.

use std::fmt::Write;

use crate::domain::MemoryPart;

/// Logs a line for each device, as a warning if a part of it is far from the plan. The parts of one
/// device must be next to each other in `parts`.
pub(in crate::llama) fn log_deviation(parts: &[MemoryPart]) {
    for part in parts.chunk_by(|one, next| one.device == next.device) {
        let line = line(part);
        if part.iter().any(is_far_off) {
            tracing::warn!("{line}; the plan is wrong for this device");
        } else {
            tracing::info!("{line}");
        }
    }
}

/// The line about the parts of one device.
fn line(parts: &[MemoryPart]) -> String {
    let mut line = parts.first().map(|part| format!("{}:", part.device)).unwrap_or_default();
    for (i, part) in parts.iter().enumerate() {
        let MemoryPart { name, planned_bytes: planned, taken_bytes: taken, .. } = part;
        let name = match &**name {
            "kv" => "KV cache",
            "compute" => "compute buffers",
            other => other,
        };
        let comma = if i == 0 { "" } else { "," };
        let percent = percent_off(part);
        let comparison = match percent {
            _ if *planned == 0 => "not planned".to_owned(),
            // Would be printed as 0.0.
            _ if percent.abs() < 0.05 => "as planned".to_owned(),
            _ => format!("planned {:.1}, {percent:+.1} %", *planned as f64 / MIB),
        };
        // Writing to a string does not fail.
        let _ = write!(line, "{comma} {name} {:.1} MiB ({comparison})", *taken as f64 / MIB);
    }
    line
}

/// The deviation from the plan in percent, negative if less was taken.
fn percent_off(part: &MemoryPart) -> f64 {
    (part.taken_bytes as f64 / part.planned_bytes.max(1) as f64 - 1.0) * 100.0
}

/// Whether a part deviates so much that the plan is wrong.
fn is_far_off(part: &MemoryPart) -> bool {
    let allowed = if part.name == "compute" { ESTIMATED_PERCENT } else { KNOWN_PERCENT };
    part.taken_bytes.abs_diff(part.planned_bytes) >= NEGLIGIBLE_BYTES
        && percent_off(part).abs() > allowed
}

const MIB: f64 = (1 << 20) as f64;
/// Percent by which weights and KV cache may differ without a warning; the plan knows their sizes.
const KNOWN_PERCENT: f64 = 3.0;
/// Percent by which compute buffers may differ without a warning; the plan estimates their sizes.
const ESTIMATED_PERCENT: f64 = 10.0;
/// Difference in bytes that never causes a warning; llama.cpp rounds what it reports.
const NEGLIGIBLE_BYTES: u64 = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &'static str, planned: f64, taken: f64) -> MemoryPart {
        let bytes = |mib: f64| (mib * MIB) as u64;
        MemoryPart {
            name: name.into(),
            device: "cpu".to_owned(),
            planned_bytes: bytes(planned),
            taken_bytes: bytes(taken),
        }
    }

    #[test]
    fn line_names_every_part_of_a_device() {
        let parts = [
            part("weights", 1589.7, 1589.704),
            part("kv", 512.0, 512.0),
            part("compute", 301.0, 300.1),
        ];
        assert_eq!(
            line(&parts),
            "cpu: weights 1589.7 MiB (as planned), KV cache 512.0 MiB (as planned), \
             compute buffers 300.1 MiB (planned 301.0, -0.3 %)"
        );
        assert_eq!(line(&[part("kv", 0.0, 2.0)]), "cpu: KV cache 2.0 MiB (not planned)");
    }

    #[test]
    fn known_sizes_may_differ_by_3_percent_and_estimates_by_10() {
        for name in ["weights", "kv"] {
            assert!(!is_far_off(&part(name, 1000.0, 1029.0)), "{name}");
            assert!(is_far_off(&part(name, 1000.0, 1031.0)), "{name}");
            assert!(is_far_off(&part(name, 1000.0, 969.0)), "{name}");
        }
        assert!(!is_far_off(&part("compute", 100.0, 109.0)));
        assert!(is_far_off(&part("compute", 100.0, 111.0)));
        assert!(is_far_off(&part("kv", 0.0, 2.0)), "the part was not planned");
        assert!(!is_far_off(&part("compute", 1.0, 1.5)), "half a mebibyte is negligible");
    }
}
