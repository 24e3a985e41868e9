//! Takes answers apart: thinking, text, and calls of tools.
//!
//! An answer arrives as text, cut anywhere. [`AnswerParser`] turns it into [`AnswerEvent`]s, which
//! each surface writes in its own form. It loses nothing: what it cannot read as a call is text.
//!
//! `parser` reads one character after the other, so that it does not matter where the answer is
//! cut. It looks for the marks that begin a part (`marks`, `thinking`), and hands the characters of
//! calls to a reader for the syntax of the model: `json_calls`, `tagged`, `whole` with the syntaxes
//! in `xml`, `pythonic` and `gemma`, `mistral` and `deepseek`. gpt-oss has its own structure, which
//! `harmony` reads. What a reader finds goes through `calls`, which decides when a call is told
//! (ADR-0047), and whether the request allows it (`allowed`).

mod allowed;
mod calls;
mod counter;
mod event;
mod json;
mod literals;
mod marks;
mod parser;
mod thinking;

mod deepseek;
mod gemma;
mod harmony;
mod json_call;
mod json_calls;
mod mistral;
mod pythonic;
mod syntax;
mod tagged;
mod whole;
mod xml;

pub use allowed::AllowedCalls;
pub use counter::ReasoningCounter;
pub use event::AnswerEvent;
pub use parser::AnswerParser;

#[cfg(test)]
mod tests;
