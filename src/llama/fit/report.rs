//! How far the plan was from what a loaded model takes, in a line for each place.

use std::fmt::Write;

use crate::domain::MemoryPart;

/// Percent by which weights and KV cache may be off before it is a warning: the plan knows them.
const KNOWN_PERCENT: f64 = 3.0;

/// The same for the buffers of a step, which the plan estimates.
const ESTIMATED_PERCENT: f64 = 10.0;

/// Less than a mebibyte is never worth a warning: llama.cpp itself rounds what it reports.
const NEGLIGIBLE: u64 = 1 << 20;

const MIB: f64 = (1 << 20) as f64;

/// Logs a line for each device: as a warning where a part of it is far off.
pub(in crate::llama) fn tell(parts: &[MemoryPart]) {
    for part in parts.chunk_by(|one, next| one.device == next.device) {
        let line = line(part);
        if part.iter().any(is_far_off) {
            tracing::warn!("{line}; the plan was wrong there");
        } else {
            tracing::info!("{line}");
        }
    }
}

/// `parts` are those of one device.
fn line(parts: &[MemoryPart]) -> String {
    let mut line = parts.first().map(|part| format!("{}:", part.device)).unwrap_or_default();
    for (i, part) in parts.iter().enumerate() {
        let MemoryPart { name, planned, taken, .. } = part;
        let name = match *name {
            "kv" => "KV cache",
            "compute" => "step buffers",
            other => other,
        };
        let comma = if i == 0 { "" } else { "," };
        let percent = percent_off(part);
        let told = match percent {
            _ if *planned == 0 => "not planned".to_owned(),
            // What would be printed as 0.0.
            _ if percent.abs() < 0.05 => "as planned".to_owned(),
            _ => format!("planned {:.1}, {percent:+.1} %", *planned as f64 / MIB),
        };
        // Writing to a string does not fail.
        let _ = write!(line, "{comma} {name} {:.1} MiB ({told})", *taken as f64 / MIB);
    }
    line
}

fn percent_off(part: &MemoryPart) -> f64 {
    (part.taken as f64 / part.planned.max(1) as f64 - 1.0) * 100.0
}

fn is_far_off(part: &MemoryPart) -> bool {
    let allowed = if part.name == "compute" { ESTIMATED_PERCENT } else { KNOWN_PERCENT };
    part.taken.abs_diff(part.planned) >= NEGLIGIBLE && percent_off(part).abs() > allowed
}

#[cfg(test)]
mod tests {
    use super::*;

    fn part(name: &'static str, planned: f64, taken: f64) -> MemoryPart {
        let bytes = |mib: f64| (mib * MIB) as u64;
        MemoryPart { name, device: "cpu".to_owned(), planned: bytes(planned), taken: bytes(taken) }
    }

    #[test]
    fn a_device_is_a_line_in_words() {
        let parts = [
            part("weights", 1589.7, 1589.704),
            part("kv", 512.0, 512.0),
            part("compute", 301.0, 300.1),
        ];
        assert_eq!(
            line(&parts),
            "cpu: weights 1589.7 MiB (as planned), KV cache 512.0 MiB (as planned), \
             step buffers 300.1 MiB (planned 301.0, -0.3 %)"
        );
        assert_eq!(line(&[part("kv", 0.0, 2.0)]), "cpu: KV cache 2.0 MiB (not planned)");
    }

    #[test]
    fn what_is_known_may_be_off_by_3_percent_and_what_is_estimated_by_10() {
        for name in ["weights", "kv"] {
            assert!(!is_far_off(&part(name, 1000.0, 1029.0)), "{name}");
            assert!(is_far_off(&part(name, 1000.0, 1031.0)), "{name}");
            assert!(is_far_off(&part(name, 1000.0, 969.0)), "{name}");
        }
        assert!(!is_far_off(&part("compute", 100.0, 109.0)));
        assert!(is_far_off(&part("compute", 100.0, 111.0)));
        assert!(is_far_off(&part("kv", 0.0, 2.0)), "nobody had planned it");
        assert!(!is_far_off(&part("compute", 1.0, 1.5)), "half a mebibyte is nothing");
    }
}
