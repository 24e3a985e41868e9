//! Moves cached sequences from the KV cache to host RAM.
//!
//! A slot that reuses a swapped-out sequence imports its copy (`reuse`). No step runs while a
//! sequence is copied, so each iteration copies only a limited number of bytes ([`CopyLimits`]).
//! Sequences are copied on three occasions:
//!
//! - `mirror`: while the engine is idle, cached sequences are copied ahead of time and stay in the
//!   KV cache.
//! - `excess`: while requests run, cached sequences are swapped out beyond the tokens that the KV
//!   cache can hold without slowing down every step.
//! - `space`: a request waits for space in the KV cache.
//!
//! The copying itself is in `copy`. The sequences of running slots are never touched. The states of
//! a cached sequence are described at
//! [`CachedSequence`](crate::engine::prefix_cache::CachedSequence). (ADR-0003)

mod allowance;
mod copy;
mod excess;
mod mirror;
mod space;

use std::time::Instant;

use self::copy::PartialCopy;

pub(super) use self::allowance::{CopyAllowance, CopyLimits};
#[cfg(test)]
pub(super) use self::mirror::IDLE_BEFORE_MIRRORING;

/// The state of swapping between two iterations.
#[derive(Debug, Default)]
pub(super) struct SwapState {
    /// The copy in progress, if any. Starting another one drops it.
    pub(super) copying: Option<PartialCopy>,
    /// Whether there may be excess sequences to swap out. Set when a slot starts or a sequence is
    /// cached; cleared when no excess is left.
    pub(super) check_excess: bool,
    /// Whether cached sequences may have to be mirrored while the engine is idle. Set when a
    /// sequence is cached; cleared when none is left to mirror.
    pub(super) check_mirrors: bool,
    /// When a slot was last released. If no request is running or waiting, the engine has been idle
    /// since then.
    pub(super) last_release: Option<Instant>,
    /// How many bytes an iteration may copy.
    pub(super) limits: CopyLimits,
}
