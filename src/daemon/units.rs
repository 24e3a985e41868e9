//! Formats sizes and counts for people.

/// `n` bytes, in KiB, MiB or GiB if large enough.
pub(super) fn bytes(n: f64) -> String {
    scaled(n, 1024.0, [" B", " KiB", " MiB", " GiB"])
}

/// `value` in the largest of `units` in which it is at least 1. Each unit is `step` times the one
/// before. One decimal, except in the first unit.
pub(super) fn scaled(value: f64, step: f64, units: [&str; 4]) -> String {
    let mut value = value;
    let mut unit = 0;
    while value >= step && unit + 1 < units.len() {
        value /= step;
        unit += 1;
    }
    if unit == 0 { format!("{value:.0}{}", units[0]) } else { format!("{value:.1}{}", units[unit]) }
}

/// A number of things, such as `1 slot` or `4 slots`. `thing` takes a plural `s`.
pub(super) fn count(n: usize, thing: &str) -> String {
    if n == 1 { format!("1 {thing}") } else { format!("{n} {thing}s") }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn size_is_shown_in_the_largest_unit_below_it() {
        assert_eq!(bytes(999.0), "999 B");
        assert_eq!(bytes(3_297_728.0), "3.1 MiB");
        assert_eq!(bytes(9e12), "8381.9 GiB");
    }
}
