//! Loads from a mapped file without depending on the file afterwards.
//!
//! If ggml repacks most weights, loading from a mapped file is fastest (ADR-0015): when llama.cpp
//! reads a file instead, it allocates a buffer per tensor and first fills it byte by byte
//! (`load_all_data`). But a mapping that stays has three disadvantages: pages that are no longer
//! needed count as memory of the process, weights that are computed from the mapping cannot use
//! huge pages, and truncating the file kills the process.
//!
//! So the mapping is replaced. [`InPlaceRanges`] are the parts of the file whose weights are not
//! repacked, which are computed from in place. While llama.cpp loads, a [`MappingReplacer`]
//! releases the pages of the mapping that were used, and a thread reads the in-place ranges into
//! private memory. At the end this memory takes the place of the mapping, found by
//! [`memory_regions`], at the same addresses. The rest of the mapping stays, but nothing reads it.
//!
//! Only Linux can do this. If the mapping of a file is not found, the file is read instead.

mod ranges;
#[cfg(target_os = "linux")]
mod regions;
#[cfg(target_os = "linux")]
mod replace;

#[cfg(not(target_os = "linux"))]
mod replace {
    //! A replacer that never starts.

    pub(in crate::llama::load) struct MappingReplacer;

    impl MappingReplacer {
        pub(in crate::llama::load) fn start(_: &[super::InPlaceRanges]) -> Option<Self> {
            None
        }

        pub(in crate::llama::load) fn advance(&mut self, _: f32) {}

        pub(in crate::llama::load) fn finish(self, _: impl FnMut() -> bool) -> Option<u64> {
            Some(0)
        }
    }
}

#[cfg(test)]
mod tests;

pub(in crate::llama) use self::ranges::InPlaceRanges;
#[cfg(all(test, target_os = "linux"))]
pub(super) use self::regions::parse_region;
#[cfg(target_os = "linux")]
pub(super) use self::regions::{MemoryRegion, memory_regions};
pub(super) use self::replace::MappingReplacer;

/// Whether mappings can be replaced. They are not replaced if the address space is limited
/// (`ulimit -v`), because the rest of a mapping keeps its addresses.
#[cfg(target_os = "linux")]
pub(in crate::llama) fn can_replace_mappings() -> bool {
    let mut limit = libc::rlimit { rlim_cur: 0, rlim_max: 0 };
    // SAFETY: the pointer is valid for the one struct that the call writes.
    let result = unsafe { libc::getrlimit(libc::RLIMIT_AS, &raw mut limit) };
    result == 0 && limit.rlim_cur == libc::RLIM_INFINITY
}

#[cfg(not(target_os = "linux"))]
pub(in crate::llama) fn can_replace_mappings() -> bool {
    false
}
