//! Moves cached sequences out of the KV cache, into host RAM.
//!
//! A slot that reuses a swapped-out sequence imports its copy (`reuse`). Sequences are copied on
//! three occasions, and no step runs meanwhile, so each iteration copies only a limited number of
//! bytes ([`CopyLimits`]):
//!
//! - `mirror`: while the engine is idle, cached sequences are copied ahead of time and stay in the
//!   KV cache.
//! - `excess`: while requests run, cached sequences are swapped out beyond the tokens that the KV
//!   cache can hold without slowing down every step.
//! - `space`: a request waits for space in the KV cache.
//!
//! The copying itself is in `copy`. Tokens reserved for running slots are never touched. What a
//! cached sequence goes through is described at
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

/// What is remembered about swapping between iterations.
#[derive(Debug, Default)]
pub(super) struct SwapState {
    /// The copy in progress, if any. Starting another one drops it.
    pub(super) copying: Option<PartialCopy>,
    /// Whether cached sequences may have to leave the KV cache while requests run. Set when a slot
    /// starts or a sequence is cached; cleared when none was left to swap out.
    pub(super) check_excess: bool,
    /// Whether cached sequences may have to be mirrored while the engine is idle. Set when a
    /// sequence is cached; cleared when none was left to mirror.
    pub(super) check_mirrors: bool,
    /// When a slot was last released. If no request is running or waiting, the engine has been idle
    /// since then.
    pub(super) last_release: Option<Instant>,
    pub(super) limits: CopyLimits,
}
