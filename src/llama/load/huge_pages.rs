//! Prepares the memory pages of a model: populated ahead of the load, huge after it.
//!
//! Linux allocates a page when it is first written, which slows a load down. A thread therefore
//! populates the pages ahead of the load. Each step reads all weights once, which is faster from
//! huge pages of 2 MiB than from pages of 4 KiB. Allocating huge pages during the load can make it
//! slower, so a model is loaded into small pages, and a thread has Linux collapse them into huge
//! pages once the model is ready. This thread pauses between pages, so that it does not delay
//! requests. See ADR-0015 for measurements.
//!
//! Populating and collapsing never change the contents of memory, and may have no effect. Pages of
//! mapped files are left to the system.

use std::fs;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};
use std::time::Instant;

#[cfg(target_os = "linux")]
use super::mapped::{MemoryRegion, memory_regions};

/// A thread that works on the memory pages of the process. Dropping it stops the thread and waits
/// for it.
pub(in crate::llama) struct PageWorker {
    is_stopped: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PageWorker {
    /// Starts to populate the memory that was allocated for `weights` bytes of weights and has not
    /// been written yet.
    pub(super) fn populate(weights: u64) -> Self {
        // A region may also hold other memory, but one that is far larger holds no weights.
        let max = usize::try_from(weights.saturating_mul(2)).unwrap_or(usize::MAX);
        let sizes = MIN_WEIGHTS_REGION_BYTES..max;
        Self::start("touch", move |is_stopped| populate_regions(sizes, is_stopped))
    }

    /// Starts to collapse all memory that the process uses now into huge pages.
    pub(in crate::llama) fn collapse() -> Self {
        Self::start("huge-pages", collapse_regions)
    }

    /// Runs `work` on a thread of this name until it ends or the worker is dropped.
    fn start(name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let is_stopped = Arc::new(AtomicBool::new(false));
        let for_thread = is_stopped.clone();
        // If the thread cannot be started, the work is skipped: it is only an optimization.
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&for_thread));
        Self { is_stopped, thread: thread.ok() }
    }
}

impl Drop for PageWorker {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let Some(thread) = self.thread.take() else { return };
        thread.thread().unpark();
        // The thread checks the flag after each chunk. The panic hook has reported any panic.
        let _ = thread.join();
    }
}

/// Minimum size of a region that can hold weights. Thread stacks are smaller, and smaller regions
/// are populated quickly anyway.
const MIN_WEIGHTS_REGION_BYTES: usize = 32 << 20;

/// Bytes that are populated between two checks of the stop flag.
const POPULATE_CHUNK_BYTES: usize = 2 << 20;

/// Populates the regions whose size is in `sizes`.
fn populate_regions(sizes: Range<usize>, is_stopped: &AtomicBool) {
    let regions = private_memory().into_iter().filter(|region| sizes.contains(&region.len()));
    for chunk in regions.flat_map(|region| aligned_chunks(region, POPULATE_CHUNK_BYTES)) {
        if is_stopped.load(Ordering::Relaxed) {
            return;
        }
        advise(chunk, Advice::Populate);
    }
}

/// Collapses all private memory that is at least half populated.
fn collapse_regions(is_stopped: &AtomicBool) {
    let Some(size) = huge_page_size() else {
        return tracing::debug!("the system provides no huge pages");
    };
    let (mut n_collapsed, mut n_left) = (0_u64, 0_u64);
    for chunk in private_memory().into_iter().flat_map(|region| aligned_chunks(region, size)) {
        if is_stopped.load(Ordering::Relaxed) {
            return;
        }
        // A huge page would allocate memory that has been reserved and never used.
        if !is_mostly_populated(chunk.clone()) {
            continue;
        }
        let began = Instant::now();
        if advise(chunk.clone(), Advice::Collapse) {
            n_collapsed += 1;
        } else {
            // Linux before 6.1 cannot collapse on request, only in the background.
            advise(chunk, Advice::MayCollapse);
            n_left += 1;
        }
        // A collapse takes a CPU from the compute threads, which wait for each other, and their
        // page faults wait for it.
        thread::park_timeout(began.elapsed() * COLLAPSE_PAUSE);
    }
    tracing::debug!("memory collapsed into {n_collapsed} huge pages, {n_left} left to the system");
}

/// Pause after each collapsed huge page, as a multiple of the time that the collapse took
/// (ADR-0015).
const COLLAPSE_PAUSE: u32 = 4;

/// The file with the mode of transparent huge pages, with the current one in brackets; `[never]`
/// disables them (Linux, `admin-guide/mm/transhuge`).
const HUGE_PAGE_MODE_PATH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// The file with the size of a huge page in bytes.
const HUGE_PAGE_SIZE_PATH: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/// The size of a huge page in bytes; `None` if the system has none or they are disabled.
fn huge_page_size() -> Option<usize> {
    let mode = fs::read_to_string(HUGE_PAGE_MODE_PATH).ok()?;
    let size = fs::read_to_string(HUGE_PAGE_SIZE_PATH).ok()?.trim().parse().ok()?;
    Some(size).filter(|&size| size > 0 && !mode.contains("[never]"))
}

/// The addresses of the process's private memory.
#[cfg(target_os = "linux")]
fn private_memory() -> Vec<Range<usize>> {
    memory_regions().into_iter().filter(is_private).map(|region| region.addresses).collect()
}

#[cfg(not(target_os = "linux"))]
fn private_memory() -> Vec<Range<usize>> {
    Vec::new()
}

/// Whether a region is writable, belongs to no file, is not shared with other processes, and is
/// not a stack.
#[cfg(target_os = "linux")]
fn is_private(region: &MemoryRegion) -> bool {
    let is_plain = region.path == Path::new("") || region.path == Path::new("[heap]");
    region.permissions == "rw-p" && !region.file.is_file() && is_plain
}

/// The chunks of `size` bytes, aligned to `size`, that are completely inside `region`.
fn aligned_chunks(region: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let first = region.start.next_multiple_of(size);
    let n = region.end.saturating_sub(first) / size;
    (0..n).map(move |i| first + i * size..first + (i + 1) * size)
}

/// What Linux is asked to do with a range of memory.
#[derive(Debug, Clone, Copy)]
enum Advice {
    /// Allocate the pages as if each had been written (since Linux 5.14).
    Populate,
    /// Move the contents into a huge page now (since Linux 6.1).
    Collapse,
    /// Move the contents into a huge page in the background.
    MayCollapse,
}

/// Gives Linux advice about the memory at `addresses`. Returns whether it succeeded.
#[cfg(target_os = "linux")]
fn advise(addresses: Range<usize>, advice: Advice) -> bool {
    let advice = match advice {
        Advice::Populate => libc::MADV_POPULATE_WRITE,
        Advice::Collapse => libc::MADV_COLLAPSE,
        Advice::MayCollapse => libc::MADV_HUGEPAGE,
    };
    // SAFETY: none of these three advices changes the contents or permissions of memory, even if
    // other threads use it, or have unmapped it and mapped something else there in the meantime.
    // For unmapped addresses the call fails.
    unsafe { libc::madvise(addresses.start as *mut _, addresses.len(), advice) == 0 }
}

/// Whether at least half of the pages at `addresses` are allocated.
#[cfg(target_os = "linux")]
fn is_mostly_populated(addresses: Range<usize>) -> bool {
    // SAFETY: the function has no precondition and returns a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page @ 1..) = usize::try_from(page) else { return false };
    let mut present = vec![0_u8; addresses.len().div_ceil(page)];
    // SAFETY: the call only inspects the addresses, and fails if they are unmapped. It writes one
    // byte per page to `present`, which has that length.
    let result =
        unsafe { libc::mincore(addresses.start as *mut _, addresses.len(), present.as_mut_ptr()) };
    let n_present = present.iter().filter(|&&page| page & 1 == 1).count();
    result == 0 && 2 * n_present >= present.len()
}

#[cfg(not(target_os = "linux"))]
fn advise(_: Range<usize>, _: Advice) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_mostly_populated(_: Range<usize>) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::super::mapped::parse_region;
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_writable_private_memory_is_selected() {
        let is_private = |line: &str| is_private(&parse_region(line.as_bytes()).unwrap());
        assert!(is_private("7f10-7f30 rw-p 00000000 00:00 0 "));
        assert!(is_private("10-20 rw-p 00000000 00:00 0 [heap]"));
        assert!(!is_private("10-20 rw-p 00000000 00:00 0 [stack]"));
        assert!(!is_private("10-20 ---p 00000000 00:00 0 "), "reserved");
        assert!(!is_private("10-20 rw-s 00000000 00:01 7 /dev/zero (deleted)"), "shared");
        assert!(!is_private("10-20 rw-p 00000000 08:01 77 /models/a.gguf"), "a file");
    }

    #[test]
    fn chunks_are_aligned_and_inside_the_region() {
        let all = |region| aligned_chunks(region, 100).collect::<Vec<_>>();
        assert_eq!(all(250..520), [300..400, 400..500]);
        assert_eq!(all(300..500), [300..400, 400..500]);
        assert_eq!(all(310..390), [] as [Range<usize>; 0]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn populating_and_collapsing_preserve_the_contents() {
        const MIB: usize = 1 << 20;
        let numbers: Vec<u64> = (0..(MIN_WEIGHTS_REGION_BYTES / 8) as u64).collect();
        let reserved: Vec<u64> = Vec::with_capacity(2 * MIN_WEIGHTS_REGION_BYTES / 8);
        let start = reserved.as_ptr() as usize;
        let unused =
            aligned_chunks(start..start + 2 * MIN_WEIGHTS_REGION_BYTES, MIB).nth(7).unwrap();
        assert!(!is_mostly_populated(unused.clone()));
        collapse_regions(&AtomicBool::new(true));
        collapse_regions(&AtomicBool::new(false));
        assert!(!is_mostly_populated(unused.clone()), "unused memory is not collapsed");
        populate_regions(MIN_WEIGHTS_REGION_BYTES..usize::MAX, &AtomicBool::new(true));
        assert!(!is_mostly_populated(unused.clone()), "the worker was stopped");
        populate_regions(MIN_WEIGHTS_REGION_BYTES..usize::MAX, &AtomicBool::new(false));
        assert!(is_mostly_populated(unused));
        assert!(numbers.iter().zip(0..).all(|(&number, i)| number == i));
    }
}
