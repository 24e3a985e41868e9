//! The marks around what a model thinks.

use crate::domain::ThinkingStyle;

/// The marks of a model that thinks between two marks.
#[derive(Debug)]
pub(super) struct ThinkingMarks {
    pub(super) start: String,
    pub(super) end: String,
}

impl ThinkingMarks {
    /// The marks of `style`; `None` if it has none, or unusable ones.
    pub(super) fn of(style: Option<&ThinkingStyle>) -> Option<Self> {
        match style? {
            ThinkingStyle::Marks { start, end } => {
                let (start, end) = (start.trim(), end.trim());
                let is_usable = !start.is_empty() && !end.is_empty() && start != end;
                is_usable.then(|| Self { start: start.to_owned(), end: end.to_owned() })
            }
            ThinkingStyle::Harmony => None,
        }
    }
}
