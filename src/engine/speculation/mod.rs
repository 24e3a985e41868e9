//! Speculative decoding: which texts get draft tokens in a step, from which drafter, and how many.
//!
//! A step that verifies eight draft tokens costs less than nine steps, and it yields nine tokens
//! when all eight are accepted. Every token is sampled from the target model's own logits, drafted
//! or not, so drafting changes when tokens arrive but never which ones.
//!
//! The scheduler calls [`Speculator::propose`] when it plans a step and [`Speculator::settle`] when
//! it commits one. Each file has one part in this:
//!
//! | file | part |
//! |---|---|
//! | `drafter` | the trait [`Drafter`](drafter::Drafter) |
//! | `ngram`, `draft_model` | the drafters |
//! | `acceptance` | how often the drafts of a drafter were accepted |
//! | `costs` | how long steps take |
//! | `policy` | draft lengths from costs and acceptance, as pure functions |
//! | `speculator` | the list of drafters; asks them in order, and measures |
//! | `text` | what the scheduler passes and gets |
//!
//! The more slots decode, the less there is to gain, so drafts become shorter and finally stop. The
//! measurements behind the constants are in ADR-0009 and ADR-0026.

mod acceptance;
mod costs;
mod draft_model;
mod drafter;
mod ngram;
mod policy;
mod speculator;
mod text;

pub use self::policy::max_draft_tokens;
pub(super) use self::speculator::Speculator;
pub(super) use self::text::{DecodingText, Draft, DraftingCost, TextSpeculation, drafters};

#[cfg(test)]
mod tests;
