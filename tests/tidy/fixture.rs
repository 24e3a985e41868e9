//! Small crates in memory, on which the checks are tested.

use super::report::Violation;
use super::tree::Tree;

/// A crate of pairs of a path under `src` and a text.
pub(crate) fn tree(sources: &[(&str, &str)]) -> Tree {
    let owned = sources.iter().map(|&(path, text)| (path.to_owned(), text.to_owned()));
    Tree::new(&owned.collect::<Vec<_>>())
}

/// `path:line` of each violation, sorted, without duplicates.
pub(crate) fn lines(mut violations: Vec<Violation>) -> Vec<String> {
    violations.sort();
    let mut lines: Vec<String> = violations
        .iter()
        .map(|violation| format!("{}:{}", violation.path, violation.line))
        .collect();
    lines.dedup();
    lines
}
