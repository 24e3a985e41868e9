//! Selects the GPUs to monitor from the GPUs that NVML reports.
//!
//! NVML orders GPUs by PCI bus id, whereas CUDA puts the fastest one first, so an index alone does
//! not identify a GPU. GPUs that llama.cpp computes on are therefore matched by PCI bus id. If
//! llama.cpp computes on none, `CUDA_VISIBLE_DEVICES` selects the GPUs as CUDA would with
//! `CUDA_DEVICE_ORDER=PCI_BUS_ID`.

/// What identifies a GPU.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct GpuIdentity {
    /// Index in NVML's order.
    pub(super) index: u32,
    /// The product name.
    pub(super) name: String,
    /// The UUID; empty if NVML does not report it.
    pub(super) uuid: String,
    /// The PCI bus id in NVML's format, `00000000:01:00.0`; empty if the GPU has none.
    pub(super) bus_id: String,
}

/// The GPUs to monitor, in display order. `computing` lists the bus ids of the GPUs that llama.cpp
/// computes on. `visible` is the value of `CUDA_VISIBLE_DEVICES`; it applies if `computing` is
/// empty.
pub(super) fn select(
    gpus: Vec<GpuIdentity>,
    computing: &[String],
    visible: Option<&str>,
) -> Vec<GpuIdentity> {
    if !computing.is_empty() {
        // A GPU without a bus id cannot be told apart, so it may be the one that computes.
        let mut without_bus_id = gpus.iter().filter(|gpu| gpu.bus_id.is_empty());
        let mut at = |bus_id: &String| {
            let found = gpus.iter().find(|gpu| is_same_device(&gpu.bus_id, bus_id));
            found.or_else(|| without_bus_id.next())
        };
        return computing.iter().filter_map(&mut at).cloned().collect();
    }
    let Some(visible) = visible else { return gpus };
    let mut selected: Vec<GpuIdentity> = Vec::new();
    for word in visible.split(',').map(str::trim) {
        let found = match word.parse::<u32>() {
            Ok(index) => gpus.iter().find(|gpu| gpu.index == index),
            Err(_) => find_by_uuid(&gpus, word),
        };
        // CUDA ignores everything from the first invalid entry on, and hides all GPUs if one is
        // listed twice.
        let Some(found) = found else { break };
        if selected.contains(found) {
            return Vec::new();
        }
        selected.push(found.clone());
    }
    selected
}

/// The GPU whose UUID starts with `prefix`; `None` unless exactly one does.
fn find_by_uuid<'a>(gpus: &'a [GpuIdentity], prefix: &str) -> Option<&'a GpuIdentity> {
    let mut matching =
        gpus.iter().filter(|gpu| prefix.starts_with("GPU-") && gpu.uuid.starts_with(prefix));
    matching.next().filter(|_| matching.next().is_none())
}

/// Whether two PCI bus ids name the same device. Programs write the domain with four or eight
/// digits, and hexadecimal digits in either case.
fn is_same_device(a: &str, b: &str) -> bool {
    pci_address(a).is_some_and(|address| Some(address) == pci_address(b))
}

/// Domain, bus and device of a PCI bus id. The function is left out: the graphics and the audio
/// function of a GPU differ only there.
fn pci_address(bus_id: &str) -> Option<(u32, u32, u32)> {
    let (rest, device) = bus_id.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
    let device = device.split_once('.').map_or(device, |(device, _)| device);
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    Some((number(domain)?, number(bus)?, number(device)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn gpus() -> Vec<GpuIdentity> {
        let gpu = |index: u32, uuid: &str| GpuIdentity {
            index,
            name: "gpu".to_owned(),
            uuid: uuid.to_owned(),
            bus_id: format!("00000000:{:02X}:00.0", index + 1),
        };
        vec![gpu(0, "GPU-aa11"), gpu(1, "GPU-ab22"), gpu(2, "GPU-cc33")]
    }

    fn selected(computing: &[&str], visible: Option<&str>) -> Vec<u32> {
        let computing: Vec<String> = computing.iter().map(|&id| id.to_owned()).collect();
        select(gpus(), &computing, visible).iter().map(|gpu| gpu.index).collect()
    }

    #[test]
    fn computing_gpus_are_matched_by_pci_bus_id() {
        assert_eq!(selected(&["0000:03:00.0", "0000:01:00.0"], Some("1")), [2, 0]);
        assert_eq!(selected(&["0000:0a:00.0"], None), [0; 0]);
    }

    #[test]
    fn gpu_without_bus_id_may_compute() {
        let mut gpus = gpus();
        gpus[1].bus_id.clear();
        let computing = ["0000:00:00.0", "0000:01:00.0"].map(str::to_owned);
        let selected: Vec<u32> =
            select(gpus, &computing, None).iter().map(|gpu| gpu.index).collect();
        assert_eq!(selected, [1, 0]);
    }

    #[test]
    fn cuda_visible_devices_selects_as_cuda_does() {
        let table: [(Option<&str>, &[u32]); 11] = [
            (None, &[0, 1, 2]),
            (Some(""), &[]),
            (Some("-1"), &[]),
            (Some("1"), &[1]),
            (Some("2, 0"), &[2, 0]),
            (Some("0,7,1"), &[0]),
            (Some("GPU-ab"), &[1]),
            (Some("GPU-a"), &[]),
            (Some("GPU-cc33,GPU-aa11"), &[2, 0]),
            (Some("1,1"), &[]),
            (Some("MIG-1"), &[]),
        ];
        for (visible, expected) in table {
            assert_eq!(selected(&[], visible), expected, "{visible:?}");
        }
    }

    #[test]
    fn pci_bus_ids_match_in_any_notation() {
        assert!(is_same_device("00000000:0B:00.0", "0000:0b:00.0"));
        assert!(is_same_device("0B:00.0", "0000:0b:00"));
        assert!(!is_same_device("00000001:0B:00.0", "0000:0b:00.0"));
        assert!(!is_same_device("", ""));
    }
}
