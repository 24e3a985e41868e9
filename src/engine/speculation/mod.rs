//! Speculative decoding: which slots get draft tokens in a step, from which drafter, and how many.
//!
//! A step that verifies eight draft tokens costs less than nine steps, and it yields nine tokens
//! when all eight are accepted. Every token is sampled from the target model's own logits, drafted
//! or not, so drafting changes when tokens arrive but never which ones.
//!
//! Whether drafting pays depends on measured step costs and on how often recent drafts were
//! accepted. [`Speculator`] records both, and drafts only where it expects more tokens per second.
//! The more slots decode, the less there is to gain, so drafts become shorter and finally stop. The
//! measurements behind the constants are in ADR-0009.

mod acceptance;
mod costs;
mod drafter;
mod forecast;
mod ngram;
mod slot_drafts;
mod speculator;

pub(super) use self::drafter::{Drafter, drafters};
pub use self::forecast::max_draft_tokens;
pub(super) use self::forecast::{DraftCandidate, StepForecast};
pub(super) use self::slot_drafts::SlotDrafts;
pub(super) use self::speculator::{DraftResult, Speculator};

#[cfg(test)]
mod tests;
