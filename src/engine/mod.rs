//! The engine: queues requests, batches them into steps, and streams the answers.
//!
//! One thread owns the model and computes. Everything else reaches it through [`EngineHandle`].
//! The engine promises that
//!
//! - every accepted request ends with exactly one [`Outcome`](crate::domain::Outcome), unless the
//!   thread panics,
//! - no client can block the thread, however slowly it reads,
//! - everything it stores is bounded.
//!
//! It does not depend on sockets, a wire format or llama.cpp: the model is anything that implements
//! [`Model`] and [`Vocabulary`].
//!
//! # Life of a request
//!
//! 1. [`EngineHandle::submit`] tokenizes the prompt on the thread of the caller and counts the
//!    request as waiting, or refuses it. The caller gets a [`JobTicket`].
//! 2. A job with the tokens goes through the inbox to the engine thread and into the wait queue,
//!    which is fair between accounts and between their connections.
//! 3. The job gets a slot as soon as one is free, or is given up by a request that has had its
//!    turn, which is suspended. Each slot has space for the longest request. The job goes where it
//!    reuses most, in place or by a copy from host RAM or another slot.
//! 4. Prefill: each step computes a chunk of the prompt. While another slot is prefilling a
//!    prefix that both prompts share, the slot waits for that prefix.
//! 5. Decode: each step computes the last token and possibly some draft tokens after it. The
//!    sampled tokens become text, which goes into the outbox of the request.
//! 6. The client's task is notified through its [`Notifier`] and takes a
//!    [`Delivery`](crate::domain::Delivery). If it does
//!    not, and the outbox is full, the slot is paused, and a waiting job may have it; after a grace
//!    period the request fails.
//! 7. When the request ends, the outcome goes into the outbox. The sequence stays in its slot as a
//!    cached one, unless the request asked not to be cached.
//!
//! Dropping the ticket cancels the request in any of these states.
//!
//! # An iteration of the engine loop
//!
//! 1. Take the new jobs from the inbox, after waiting to be woken if no slot can run.
//! 2. Sweep: end requests that were cancelled and slots whose client was too slow.
//! 3. Admit: give free slots to waiting jobs, after copying the cached sequences in these slots to
//!    host RAM, and report queue positions. While nothing runs, cached sequences are mirrored.
//! 4. Plan: choose the tokens of the next step, and ask the drafters. Decoding slots go first, so a
//!    long prompt hardly delays the next token of other slots. Planning advances no slot, so a step
//!    that fails leaves none half advanced.
//! 5. Decode: the model computes the step. This takes nearly all of the time.
//! 6. Commit: sample, append text, end finished requests, notify clients.
//!
//! The files in which these phases are implemented are listed in `scheduler/mod.rs`.

// The interface to a backend, and the options.
mod model;
mod options;

// The interface to other threads, and the engine loop.
mod handle;
mod load;
mod shared;
mod text_query;
mod thread;

// One request between its client and the scheduler.
mod guidance;
mod guide;
mod held_logprobs;
mod request;

// The parts of an iteration. The scheduler uses all others.
mod kv;
mod prefill;
mod queue;
mod scheduler;
mod speculation;
mod text;

// Counters and histograms, which any thread may read.
mod stats;

pub use handle::{Admission, EngineHandle, max_requests};
pub use load::{LoadProgress, Loaded};
pub use model::{
    AllowedTokens, AnswerConstraint, Batch, BatchToken, CancelFlag, ChatTokens, ChunkRules,
    DRAFT_PREFILL_TOKENS, DecodeOutcome, DraftRequest, Interrupt, Limits, MAX_SLOT_GAP, Model,
    Piece, PrefillRecord, PromptLimit, Sampled, SeqId, StopFlag, TokenSet, Visibility, Vocabulary,
};
pub use options::Options;
pub use request::{JobTicket, Notifier};
pub use speculation::max_draft_tokens;
pub use thread::{ENGINE_THREAD_NAME, Engine};
