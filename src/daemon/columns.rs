//! Fits lines into a terminal of 80 columns.

use console::{measure_text_width, truncate_str};

/// `label`, followed by `text` on as many lines as it needs. Lines end between two parts of the
/// text, which `separator` separates, and begin below the text of the first line. A part that is
/// too long for a line is cut and ends in `…`.
pub(super) fn wrap(label: &str, text: &str, separator: &str) -> String {
    let indent = measure_text_width(label);
    let mut lines: Vec<String> = Vec::new();
    for part in text.split(separator) {
        let part = truncate_str(part, COLUMNS.saturating_sub(indent), "…");
        let joined = lines.last().map(|line| format!("{line}{separator}{part}"));
        match (lines.last_mut(), joined) {
            (Some(line), Some(joined)) if measure_text_width(&joined) <= COLUMNS => *line = joined,
            (None, _) => lines.push(format!("{label}{part}")),
            _ => lines.push(format!("{:indent$}{part}", "")),
        }
    }
    lines.join("\n")
}

/// Columns of a narrow terminal.
const COLUMNS: usize = 80;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn short_text_stays_on_one_line() {
        assert_eq!(wrap("  a  ", "b · c", " · "), "  a  b · c");
        let text = "x".repeat(75);
        assert_eq!(wrap("  a  ", &text, " "), format!("  a  {text}"));
    }

    #[test]
    fn long_text_continues_below_its_first_line() {
        let (first, second) = ("x".repeat(40), "y".repeat(40));
        let text = format!("{first} · {second} · z");
        assert_eq!(wrap("  a  ", &text, " · "), format!("  a  {first}\n     {second} · z"));
    }

    #[test]
    fn part_that_is_too_long_is_cut() {
        let line = wrap("  a  ", &"x".repeat(100), " ");
        assert!(line.ends_with("x…") && measure_text_width(&line) == COLUMNS, "{line}");
    }

    #[test]
    fn wide_characters_count_as_two_columns() {
        let text = format!("{} · y", "模".repeat(37));
        assert_eq!(wrap("  a  ", &text, " · ").lines().count(), 2);
    }
}
