//! The compute core: who is served next, what goes into a step, what comes out of it.
//!
//! One named thread owns the model and runs one loop: take new jobs, plan a step, decode it,
//! commit the result. Everything else reaches it through [`EngineHandle`], and gets its text
//! through a [`Ticket`]. The room promises that every accepted request ends with exactly one
//! outcome, that no client can block the thread, and that nothing it holds is unbounded. It knows
//! no socket, no wire format and no llama.cpp: the model is anything that is a [`Model`].

mod handle;
mod model;
mod options;
mod prefill;
mod prefix_cache;
mod queue;
mod request;
mod scheduler;
mod speculation;
mod stats;
mod tally;
mod text;
mod thread;

pub use handle::EngineHandle;
pub use model::{
    Batch, BatchToken, CancelFlag, DRAFT_PREFILL_TOKENS, DecodeOutcome, DraftRequest, Interrupt,
    Limits, Model, Sampled, SeqId, Vocabulary,
};
pub use options::Options;
pub use request::{Canceller, Delivery, Notifier, Ticket};
pub use speculation::max_draft_tokens;
pub use stats::{Phase, Snapshot, State};
pub use tally::{Distribution, Ending, Report};
pub use thread::{Engine, LoadProgress, Loaded};
