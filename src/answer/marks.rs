//! Finds marks in text that arrives character by character.

/// How the end of a text relates to some marks.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum MarkMatch {
    /// It is the mark with this index.
    Full(usize),
    /// It is the beginning of a mark.
    Partial,
    /// It is neither.
    None,
}

/// Compares `text` with `marks`, none of which begins with another.
pub(super) fn match_mark<'m>(text: &str, marks: impl Iterator<Item = &'m str>) -> MarkMatch {
    let mut found = MarkMatch::None;
    for (index, mark) in marks.enumerate() {
        if mark == text {
            return MarkMatch::Full(index);
        }
        if mark.starts_with(text) {
            found = MarkMatch::Partial;
        }
    }
    found
}
