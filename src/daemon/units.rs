//! Sizes in the units that people read.

/// `n` bytes.
pub(super) fn bytes(n: f64) -> String {
    scaled(n, 1024.0, [" B", " KiB", " MiB", " GiB"])
}

/// `value` with one decimal in the largest unit that it fills.
pub(super) fn scaled(value: f64, step: f64, units: [&str; 4]) -> String {
    let mut value = value;
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0}{}", units[0]) } else { format!("{value:.1}{}", units[unit]) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn sizes_are_told_in_the_largest_unit_they_fill() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(3_297_728.0), "3.1 MiB");
        assert_eq!(bytes(9e12), "8381.9 GiB");
    }
}
