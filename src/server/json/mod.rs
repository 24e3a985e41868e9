//! Reads the JSON of HTTP requests, and of messages in their form, into types.
//!
//! [`read_body`] is the only way to do so. A type has a field for everything that the server
//! understands, and fields with bounds: lists (`bounded`), numbers (`numbers`), words (`words`) and
//! values of several forms (`forms`). What stays text is in `raw`. `objects` keeps
//! lists from being read as structs. So parsing takes a bounded
//! multiple of the memory of the text, and no tree of values is built (ADR-0022).
//!
//! All follow the same rules. A field that is `null` is absent. A field that the type does not have
//! is named in [`IgnoredFields`]. An error names the path of the field as the client sent it, the
//! value and what is allowed ([`InvalidField`], `reason`).
//!
//! The same types describe themselves for `/openapi.json`.

mod bounded;
mod forms;
mod ignored;
mod numbers;
mod objects;
mod raw;
mod read;
mod reason;
mod words;

pub(in crate::server) use self::bounded::{AtMost, BoundedText, MembersAtMost};
pub(in crate::server) use self::forms::read_forms;
pub(in crate::server) use self::ignored::IgnoredFields;
pub(in crate::server) use self::numbers::{
    AnswerCount, BestOf, LogitBias, Penalty, Probability, Real, RepeatLastN, RepeatPenalty, Seed,
    Temperature, TokenId, TokenLimit, TopK, TopLogprobs, Whole,
};
pub(in crate::server) use self::raw::{
    Kept, ObjectText, Unsupported, Unused, tagged, tagged_otherwise,
};
pub(in crate::server) use self::read::{InvalidField, JsonError, read_body};
pub(in crate::server) use self::words::words;
