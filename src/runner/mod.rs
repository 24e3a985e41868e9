//! The process that holds a model, and the link between it and the daemon.
//!
//! llama.cpp aborts on inputs that it does not like, drivers hang, files change under a mapping,
//! and the kernel kills for memory. So the model lives in a child process, the *runner*. The daemon
//! survives its end: connections stay open, and the requests that can be computed by another runner
//! wait for it.
//!
//! | file | side | content |
//! |---|---|---|
//! | `frames` | both | the frames of the link |
//! | `client` | daemon | the interface for the server, and the table of requests |
//! | `process` | daemon | starts, watches and kills the child process |
//! | `worker` | runner | serves the link with an engine |
//! | `tokenizing` | runner | the threads on which prompts are tokenized |
//!
//! # Who may end, and what happens then
//!
//! - **The runner ends.** The daemon reads what is left in the pipe. Requests with text end with
//!   `engine_failed`; the others are run again by the next runner, once, one after another.
//! - **The daemon ends.** The runner finds its standard input closed and ends. On Linux the kernel
//!   also kills it.
//! - **A client is slow.** Its request gets no more credit, so the runner delivers no more for it,
//!   and the engine pauses its slot. All others go on.
//!
//! The link is a byte stream, so tests run both sides in one process over a pipe in memory.

mod client;
mod frames;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod process;
mod tokenizing;
mod worker;

pub use client::{
    Canceller, Client, Controller, Health, LinkEnd, Progress, RequestLimits, RunnerPhase, Ticket,
};
#[cfg(feature = "fuzzing")]
#[doc(hidden)]
pub use fuzzing::{LinkDirection, rewrite_frames};
pub use process::{
    ChildLauncher, EndCause, LOG_MARK, Launch, Launched, ProcessEnd, ProcessThreads, RunnerPid,
    RunnerProcess,
};
pub use worker::{Load, serve};
