//! The sources of draft tokens, and which of them a request may use.

use crate::domain::Speculation;

/// A source of draft tokens.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::engine) enum Drafter {
    /// Prompt lookup: the tokens that followed the same n-gram earlier in the text.
    Ngram,
    /// The draft model.
    Model,
}

/// The drafters for a request: those it asks for, or else the server's default.
pub(in crate::engine) fn drafters(
    requested: Option<Speculation>,
    default: Speculation,
) -> &'static [Drafter] {
    match requested.unwrap_or(default) {
        Speculation::Off => &[],
        Speculation::Ngram => &[Drafter::Ngram],
        Speculation::Auto => &[Drafter::Ngram, Drafter::Model],
    }
}
