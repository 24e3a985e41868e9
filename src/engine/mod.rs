//! The compute core: who is served next, what goes into a step, what comes out of it.
//!
//! One named thread owns the model and runs one loop: take new jobs, plan a step, decode it,
//! commit the result. Everything else reaches it through [`EngineHandle`], and gets its text
//! through a [`Ticket`]. The room promises that every accepted request ends with exactly one
//! outcome, that no client can block the thread, and that nothing it holds is unbounded. It knows
//! no socket, no wire format and no llama.cpp: the model is anything that is a [`Model`].

mod budget;
mod handle;
mod inbox;
mod model;
mod outbox;
mod prefix;
mod queue;
mod scheduler;
mod slot;
mod speculation;
mod stats;
mod tally;
mod text;
mod thread;
mod ticket;

pub use handle::{EngineHandle, Options};
pub use model::{
    Batch, BatchToken, CancelFlag, DRAFT_PREFILL_TOKENS, DecodeOutcome, DraftRequest, Interrupt,
    Limits, Model, Sampled, SeqId, Vocabulary,
};
pub use outbox::Notifier;
pub use speculation::max_draft_tokens;
pub use stats::{Phase, Snapshot, State};
pub use tally::{Distribution, Ending, Report};
pub use thread::{ENGINE_THREAD_NAME, Engine, LoadProgress, Loaded};
pub use ticket::{Canceller, Delivery, Ticket};
