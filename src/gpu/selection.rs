//! Which of the machine's cards are ours.
//!
//! The order of NVML is that of the PCI bus, CUDA's own puts the fastest first, so an index says
//! little. Cards that compute are therefore found by their place on the bus; only where nothing
//! computes on a card is `CUDA_VISIBLE_DEVICES` read as CUDA would with
//! `CUDA_DEVICE_ORDER=PCI_BUS_ID`.

/// How one card can be told from others.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    pub(super) index: u32,
    pub(super) name: String,
    pub(super) uuid: String,
    /// As NVML writes it, `00000000:01:00.0`.
    pub(super) bus_id: String,
}

/// The cards to watch, the first one first.
pub(super) fn select(
    cards: Vec<Identity>,
    computing: &[String],
    visible: Option<&str>,
) -> Vec<Identity> {
    if !computing.is_empty() {
        let on = |bus_id: &String| cards.iter().find(|card| same_place(&card.bus_id, bus_id));
        return computing.iter().filter_map(on).cloned().collect();
    }
    let Some(visible) = visible else { return cards };
    let mut selected: Vec<Identity> = Vec::new();
    for word in visible.split(',').map(str::trim) {
        let found = match word.parse::<u32>() {
            Ok(index) => cards.iter().find(|card| card.index == index),
            Err(_) => by_uuid(&cards, word),
        };
        // CUDA hides what follows the first word it cannot use, and sees nothing where a card is
        // named twice.
        let Some(found) = found else { break };
        if selected.contains(found) {
            return Vec::new();
        }
        selected.push(found.clone());
    }
    selected
}

/// The card whose UUID begins with `word`, if there is exactly one.
fn by_uuid<'a>(cards: &'a [Identity], word: &str) -> Option<&'a Identity> {
    let mut fitting =
        cards.iter().filter(|card| word.starts_with("GPU-") && card.uuid.starts_with(word));
    fitting.next().filter(|_| fitting.next().is_none())
}

/// Whether two PCI bus ids name one place: programs write the domain with four digits or eight,
/// in capitals or not.
fn same_place(a: &str, b: &str) -> bool {
    place(a).is_some_and(|place_of_a| Some(place_of_a) == place(b))
}

/// Domain, bus and device; the function is that of the display or of the sound of one card.
fn place(bus_id: &str) -> Option<(u32, u32, u32)> {
    let (rest, device) = bus_id.rsplit_once(':')?;
    let (domain, bus) = rest.rsplit_once(':').unwrap_or(("0", rest));
    let device = device.split_once('.').map_or(device, |(device, _)| device);
    let number = |digits: &str| u32::from_str_radix(digits, 16).ok();
    Some((number(domain)?, number(bus)?, number(device)?))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn cards() -> Vec<Identity> {
        let card = |index: u32, uuid: &str| Identity {
            index,
            name: "card".to_owned(),
            uuid: uuid.to_owned(),
            bus_id: format!("00000000:{:02X}:00.0", index + 1),
        };
        vec![card(0, "GPU-aa11"), card(1, "GPU-ab22"), card(2, "GPU-cc33")]
    }

    fn selected(computing: &[&str], visible: Option<&str>) -> Vec<u32> {
        let computing: Vec<String> = computing.iter().map(|&id| id.to_owned()).collect();
        select(cards(), &computing, visible).iter().map(|card| card.index).collect()
    }

    #[test]
    fn the_cards_that_compute_are_found_by_their_place_on_the_bus() {
        assert_eq!(selected(&["0000:03:00.0", "0000:01:00.0"], Some("1")), [2, 0]);
        assert_eq!(selected(&["0000:0a:00.0"], None), [0; 0]);
    }

    #[test]
    fn visible_devices_are_read_as_cuda_reads_them() {
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
    fn bus_ids_are_places_however_they_are_written() {
        assert!(same_place("00000000:0B:00.0", "0000:0b:00.0"));
        assert!(same_place("0B:00.0", "0000:0b:00"));
        assert!(!same_place("00000001:0B:00.0", "0000:0b:00.0"));
        assert!(!same_place("", ""));
    }
}
