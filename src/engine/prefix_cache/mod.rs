//! The prefix cache: finished sequences that later requests may share a prefix with.
//!
//! A cached sequence is in the KV cache, in host RAM, or in both. This module only keeps records;
//! the scheduler moves the sequences in the model accordingly. Sequences are compared with a prompt
//! one by one: llama.cpp has 256 sequence ids, and the number of copies in host RAM is bounded too,
//! so a list is cheaper than a radix tree. (ADR-0007)

mod cache;
mod host_copy;
mod sequence;

pub(super) use self::cache::PrefixCache;
pub(super) use self::host_copy::HostCopy;
pub(super) use self::sequence::{CacheKey, CachedSequence, common_prefix};

#[cfg(test)]
mod tests;
