//! The pages of memory that a model lies in: had in time, and large in the end.
//!
//! Linux gives out memory when it is first written, which a load has to wait for: so one thread goes
//! ahead of it and touches its pages. And a step reads all weights once, which from pages of 4 KiB
//! took an eighth longer where it was measured (`docs/ARCHITECTURE.md` has these figures). Linux can
//! give out pages of 2 MiB from the start, but a load into them took from half to three times as long
//! on a virtual machine: so a model is loaded into small pages, and when it can answer a thread has
//! Linux move them into large ones. Nothing is promised: neither changes any contents, and what Linux
//! does not do stays as it is. Pages of mapped files are left to the system.

use std::fs;
use std::ops::Range;
#[cfg(target_os = "linux")]
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::thread::{self, JoinHandle};

#[cfg(target_os = "linux")]
use super::mapped::regions::{Mapping, mappings};

/// An administrator turns huge pages off by `never`, which is then in brackets; Linux,
/// `admin-guide/mm/transhuge`.
const SWITCH: &str = "/sys/kernel/mm/transparent_hugepage/enabled";

/// Bytes of a huge page.
const SIZE: &str = "/sys/kernel/mm/transparent_hugepage/hpage_pmd_size";

/// Least memory in one piece that can be weights: stacks of threads are smaller, and what is smaller
/// is touched in a moment.
const LEAST_WEIGHTS: usize = 32 << 20;

/// Memory is touched in pieces of so many bytes, and none of them after the load.
const PIECE: usize = 2 << 20;

/// A thread that works on the memory of the process, and ends with this.
pub(in crate::llama) struct PageWork {
    is_over: Arc<AtomicBool>,
    thread: Option<JoinHandle<()>>,
}

impl PageWork {
    /// Begins to touch memory for `weights` bytes of weights that has been asked for and not written.
    pub(in crate::llama) fn touch(weights: u64) -> Self {
        // They may lie in one piece with other memory, but what is far larger is none of theirs.
        let most = usize::try_from(weights.saturating_mul(2)).unwrap_or(usize::MAX);
        Self::start("touch", move |is_over| touch_all(LEAST_WEIGHTS..most, is_over))
    }

    /// Begins to move all memory that the process uses now into huge pages.
    pub(in crate::llama) fn enlarge() -> Self {
        Self::start("huge-pages", enlarge_all)
    }

    fn start(name: &str, work: impl FnOnce(&AtomicBool) + Send + 'static) -> Self {
        let is_over = Arc::new(AtomicBool::new(false));
        let for_thread = is_over.clone();
        // Without a thread it is not done.
        let thread = thread::Builder::new().name(name.to_owned()).spawn(move || work(&for_thread));
        Self { is_over, thread: thread.ok() }
    }
}

impl Drop for PageWork {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        // It looks after each piece, and a panic there has been reported.
        let _ = self.thread.take().map(JoinHandle::join);
    }
}

fn touch_all(sizes: Range<usize>, is_over: &AtomicBool) {
    let memory = memory().into_iter().filter(|memory| sizes.contains(&memory.len()));
    for piece in memory.flat_map(|memory| pieces(memory, PIECE)) {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        advise(piece, Advice::Touch);
    }
}

fn enlarge_all(is_over: &AtomicBool) {
    let Some(size) = huge_page() else {
        return tracing::debug!("the system gives out no huge pages");
    };
    let (mut n_moved, mut n_left) = (0_u64, 0_u64);
    for piece in memory().into_iter().flat_map(|memory| pieces(memory, size)) {
        if is_over.load(Ordering::Relaxed) {
            return;
        }
        // What was reserved and never used shall take no memory.
        if !is_in_use(piece.clone()) {
            continue;
        }
        if advise(piece.clone(), Advice::Enlarge) {
            n_moved += 1;
        } else {
            // Linux before 6.1 cannot do it now, but at leisure.
            advise(piece, Advice::MayEnlarge);
            n_left += 1;
        }
    }
    tracing::debug!("memory moved into {n_moved} huge pages, {n_left} are left to the system");
}

/// Bytes of a huge page; `None` where the system has none or shall give out none.
fn huge_page() -> Option<usize> {
    let switch = fs::read_to_string(SWITCH).ok()?;
    let size = fs::read_to_string(SIZE).ok()?.trim().parse().ok()?;
    Some(size).filter(|&size| size > 0 && !switch.contains("[never]"))
}

/// Where the process has memory of its own.
#[cfg(target_os = "linux")]
fn memory() -> Vec<Range<usize>> {
    mappings().into_iter().filter(is_own).map(|mapping| mapping.addresses).collect()
}

#[cfg(not(target_os = "linux"))]
fn memory() -> Vec<Range<usize>> {
    Vec::new()
}

/// Whether it belongs to no file or other process, can be written, and is no stack.
#[cfg(target_os = "linux")]
fn is_own(mapping: &Mapping) -> bool {
    let is_plain = mapping.path == Path::new("") || mapping.path == Path::new("[heap]");
    mapping.rights == "rw-p" && !mapping.id.is_file() && is_plain
}

/// The aligned pieces of `size` bytes that lie wholly in `memory`.
fn pieces(memory: Range<usize>, size: usize) -> impl Iterator<Item = Range<usize>> {
    let first = memory.start.next_multiple_of(size);
    let n = memory.end.saturating_sub(first) / size;
    (0..n).map(move |i| first + i * size..first + (i + 1) * size)
}

/// What Linux is to do with memory.
#[derive(Debug, Clone, Copy)]
enum Advice {
    /// Give out its pages, as if each had been written (Linux 5.14).
    Touch,
    /// Move it into a huge page, now (Linux 6.1).
    Enlarge,
    /// Move it into a huge page at leisure.
    MayEnlarge,
}

/// Whether Linux could follow.
#[cfg(target_os = "linux")]
fn advise(memory: Range<usize>, advice: Advice) -> bool {
    let advice = match advice {
        Advice::Touch => libc::MADV_POPULATE_WRITE,
        Advice::Enlarge => libc::MADV_COLLAPSE,
        Advice::MayEnlarge => libc::MADV_HUGEPAGE,
    };
    // SAFETY: none of these changes contents or rights of memory, whoever uses it meanwhile: also
    // where it has been unmapped and mapped anew since, which the caller cannot know. What is not
    // mapped is refused.
    unsafe { libc::madvise(memory.start as *mut _, memory.len(), advice) == 0 }
}

/// Whether at least half of the memory's pages have something in them.
#[cfg(target_os = "linux")]
fn is_in_use(memory: Range<usize>) -> bool {
    // SAFETY: it only says a number.
    let page = unsafe { libc::sysconf(libc::_SC_PAGESIZE) };
    let Ok(page @ 1..) = usize::try_from(page) else { return false };
    let mut present = vec![0_u8; memory.len().div_ceil(page)];
    // SAFETY: it changes nothing, and refuses what is not mapped; it writes a byte for each page, for
    // which the vector has room.
    let result =
        unsafe { libc::mincore(memory.start as *mut _, memory.len(), present.as_mut_ptr()) };
    let n_present = present.iter().filter(|&&page| page & 1 == 1).count();
    result == 0 && 2 * n_present >= present.len()
}

#[cfg(not(target_os = "linux"))]
fn advise(_: Range<usize>, _: Advice) -> bool {
    false
}

#[cfg(not(target_os = "linux"))]
fn is_in_use(_: Range<usize>) -> bool {
    false
}

#[cfg(test)]
mod tests {
    #[cfg(target_os = "linux")]
    use super::super::mapped::regions as maps;
    use super::*;

    #[test]
    #[cfg(target_os = "linux")]
    fn only_memory_of_the_process_itself_that_can_be_written_is_looked_at() {
        let is_own = |line: &str| is_own(&maps::parse(line.as_bytes()).unwrap());
        assert!(is_own("7f10-7f30 rw-p 00000000 00:00 0 "));
        assert!(is_own("10-20 rw-p 00000000 00:00 0 [heap]"));
        assert!(!is_own("10-20 rw-p 00000000 00:00 0 [stack]"));
        assert!(!is_own("10-20 ---p 00000000 00:00 0 "), "reserved");
        assert!(!is_own("10-20 rw-s 00000000 00:01 7 /dev/zero (deleted)"), "shared");
        assert!(!is_own("10-20 rw-p 00000000 08:01 77 /models/a.gguf"), "a file");
    }

    #[test]
    fn a_piece_is_aligned_and_lies_wholly_in_the_memory() {
        let all = |memory| pieces(memory, 100).collect::<Vec<_>>();
        assert_eq!(all(250..520), [300..400, 400..500]);
        assert_eq!(all(300..500), [300..400, 400..500]);
        assert_eq!(all(310..390), [] as [Range<usize>; 0]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn memory_keeps_its_contents_when_its_pages_are_touched_and_enlarged() {
        const MIB: usize = 1 << 20;
        let numbers: Vec<u64> = (0..(LEAST_WEIGHTS / 8) as u64).collect();
        let reserved: Vec<u64> = Vec::with_capacity(2 * LEAST_WEIGHTS / 8);
        let start = reserved.as_ptr() as usize;
        let untouched = pieces(start..start + 2 * LEAST_WEIGHTS, MIB).nth(7).unwrap();
        assert!(!is_in_use(untouched.clone()));
        enlarge_all(&AtomicBool::new(true));
        enlarge_all(&AtomicBool::new(false));
        assert!(!is_in_use(untouched.clone()), "nobody has used it");
        touch_all(LEAST_WEIGHTS..usize::MAX, &AtomicBool::new(true));
        assert!(!is_in_use(untouched.clone()), "the load is over");
        touch_all(LEAST_WEIGHTS..usize::MAX, &AtomicBool::new(false));
        assert!(is_in_use(untouched));
        assert!(numbers.iter().zip(0..).all(|(&number, i)| number == i));
    }
}
