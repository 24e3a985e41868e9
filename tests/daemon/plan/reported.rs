//! Compares the plan with the buffer sizes that llama.cpp logs.

use std::collections::HashMap;
use std::path::Path;

use serde_json::Value;

use crate::process::{Daemon, until_logged};

/// The parts of a device's memory: the plan's name, llama.cpp's name, and the largest accepted
/// deviation in percent.
const PARTS: [(&str, &str, f64); 3] =
    [("weights", "model", 3.0), ("kv", "KV", 3.0), ("compute", "compute", 10.0)];

/// MiB of the buffers that llama.cpp reports during a load, by device and kind. Weights of a mapped
/// file that are released again are not included.
pub struct Buffers(HashMap<(String, String), f64>);

impl Buffers {
    /// Loads `model` and reads the log.
    pub fn of(model: &Path, args: &[&str]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        let log = folder.path().join("log");
        let daemon = Daemon::start_model_with_debug_log(model, args, &log);
        let mut buffers = HashMap::new();
        for line in until_logged(&log, "compute buffers").lines() {
            if let Some((before, _)) = line.split_once(" MiB between them were released") {
                let mib: f64 = before.rsplit(' ').next().unwrap().parse().unwrap();
                *buffers.entry(("CPU_Mapped".to_owned(), "model".to_owned())).or_insert(0.0) -= mib;
            }
            let Some((before, after)) = line.split_once(" buffer size = ") else { continue };
            let mut words = before.split_whitespace().rev();
            let kind = words.next().unwrap().to_owned();
            let device = words.next().unwrap().to_owned();
            let mib: f64 = after.trim().trim_end_matches(" MiB").trim().parse().unwrap();
            *buffers.entry((device, kind)).or_insert(0.0) += mib;
        }
        drop(daemon);
        Self(buffers)
    }

    /// Compares a device's row of the plan with the buffers on the devices that match. Returns a
    /// line for each part that is too far off. A deviation of `compute_percent` is accepted for the
    /// compute buffers, or the default if `None`.
    pub fn deviations(
        &self,
        what: &str,
        planned: &Value,
        is_device: impl Fn(&str) -> bool,
        compute_percent: Option<f64>,
    ) -> Vec<String> {
        let compare = |(part, kind, percent): (&str, &str, f64)| {
            let percent = compute_percent.filter(|_| part == "compute").unwrap_or(percent);
            let planned = planned[part].as_f64().unwrap() / f64::from(1 << 20);
            let of_kind = self.0.iter().filter(|((device, of), _)| of == kind && is_device(device));
            let taken: f64 = of_kind.map(|(_, mib)| mib).sum();
            // The log rounds to a hundredth of a MiB.
            let difference = (planned - taken).abs() - 0.01;
            (difference > taken * percent / 100.0).then(|| {
                format!("{what} {part}: planned {planned:.2} MiB, llama.cpp took {taken:.2} MiB")
            })
        };
        PARTS.into_iter().filter_map(compare).collect()
    }
}
