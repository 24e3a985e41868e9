//! Replaces the mapping of a file by private memory with the same contents, on Linux.
//!
//! A thread reads the in-place ranges of the file while llama.cpp loads. At the end `mremap` moves
//! this memory to the addresses of the mapping, so that llama.cpp's pointers stay valid.

use std::ffi::c_void;
use std::fs::{self, File};
use std::mem;
use std::ops::Range;
use std::os::fd::AsRawFd;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::ranges::InPlaceRanges;
use super::regions::{FileId, MemoryRegion, memory_regions};

/// Replaces the in-place ranges of mapped files during a load. Dropping it stops its thread and
/// leaves the mappings as they are.
pub(in crate::llama::load) struct MappingReplacer {
    /// The files whose mappings are replaced.
    files: Vec<FileId>,
    /// Number of ranges to replace.
    n_ranges: usize,
    /// Bytes between the ranges, see [`InPlaceRanges::gaps`].
    gap_bytes: u64,
    is_stopped: Arc<AtomicBool>,
    /// Receives the replacements once, when all ranges have been read.
    replacements: Receiver<Vec<Replacement>>,
    reader: Option<JoinHandle<()>>,
    /// The fraction of the load at which pages were last released.
    released_at: f32,
}

impl MappingReplacer {
    /// Starts to read the ranges. Must be called after llama.cpp has mapped the files. `None` if
    /// the mapping of one of them is not found.
    pub(in crate::llama::load) fn start(in_place: &[InPlaceRanges]) -> Option<Self> {
        let mapped = in_place.iter().map(MappedFile::find).collect::<Option<Vec<_>>>()?;
        let files = mapped.iter().map(|file| file.id.clone()).collect();
        let n_ranges = mapped.iter().map(|file| file.ranges.len()).sum();
        let gap_bytes = in_place.iter().map(InPlaceRanges::gaps).sum();
        let is_stopped = Arc::new(AtomicBool::new(false));
        let for_thread = is_stopped.clone();
        let (sender, replacements) = mpsc::sync_channel(1);
        let read = move || {
            let read = mapped.iter().flat_map(|file| file.read(&for_thread)).collect();
            // Fails if the load was stopped, which dropped the receiver.
            let _ = sender.send(read);
        };
        // If the thread cannot be started, the weights stay in the mapping.
        let reader = thread::Builder::new().name("in-place".to_owned()).spawn(read).ok();
        let replacer =
            Self { files, n_ranges, gap_bytes, is_stopped, replacements, reader, released_at: 0.0 };
        // Mapping has populated the whole file, and little of it has been used so far.
        replacer.release_pages();
        Some(replacer)
    }

    /// Releases the pages of the mappings if enough of the model was loaded since the last time.
    /// `fraction` is the loaded part, from 0 to 1.
    pub(in crate::llama::load) fn advance(&mut self, fraction: f32) {
        if fraction >= self.released_at + RELEASE_FRACTION {
            self.released_at = fraction;
            self.release_pages();
        }
    }

    /// Waits for the reader and replaces the mappings of the ranges. Returns the number of bytes
    /// between the ranges, which have been released; `None` if `keep_waiting` returned false.
    /// Nothing else may access the mappings during this call.
    pub(in crate::llama::load) fn finish(
        self,
        mut keep_waiting: impl FnMut() -> bool,
    ) -> Option<u64> {
        let replacements = loop {
            match self.replacements.recv_timeout(STOP_CHECK_INTERVAL) {
                Ok(replacements) => break replacements,
                Err(RecvTimeoutError::Timeout) if keep_waiting() => {}
                Err(RecvTimeoutError::Timeout) => return None,
                // The reader did not start, or it panicked, which the panic hook has reported. All
                // weights stay in the mapping.
                Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            }
        };
        let mappings = self.mappings();
        let n_replaced = replacements.into_iter().filter_map(|new| new.replace(&mappings)).count();
        self.release_pages();
        tracing::debug!(
            "{n_replaced} of {} ranges of the mapped files were replaced by private memory, \
             {:.2} MiB between them were released",
            self.n_ranges,
            self.gap_bytes as f64 / f64::from(1 << 20)
        );
        if n_replaced < self.n_ranges {
            tracing::warn!(
                "some weights are still computed from the model file: do not change the file"
            );
        }
        Some(self.gap_bytes)
    }

    /// Releases the pages of the mappings. They are read from the file again when accessed.
    fn release_pages(&self) {
        for mapping in self.mappings() {
            let Range { start, end } = mapping.addresses;
            // SAFETY: the addresses are a read-only shared mapping of a file, so dropping its pages
            // loses no data: they are read from the file again. It is still mapped, since only
            // llama.cpp unmaps it, on this thread.
            unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
        }
    }

    /// The regions that map the files now.
    fn mappings(&self) -> Vec<MemoryRegion> {
        shared_mappings(|mapping| self.files.contains(&mapping.file))
    }
}

impl Drop for MappingReplacer {
    fn drop(&mut self) {
        self.is_stopped.store(true, Ordering::Relaxed);
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Pages are released each time this fraction of the model has been loaded. Until then this part of
/// the model is in memory twice.
const RELEASE_FRACTION: f32 = 1.0 / 64.0;

/// How often the load checks whether to stop while it waits for the reader.
const STOP_CHECK_INTERVAL: Duration = Duration::from_millis(50);

/// A mapped file and the ranges of it to read.
struct MappedFile {
    file: File,
    id: FileId,
    ranges: Vec<Range<u64>>,
}

impl MappedFile {
    /// Opens the file and finds its mapping; `None` if either fails.
    fn find(in_place: &InPlaceRanges) -> Option<Self> {
        let file = File::open(&in_place.path).ok()?;
        // The path of the open file, as the list of mappings has it, even if the file was renamed
        // or deleted.
        let path = fs::read_link(format!("/proc/self/fd/{}", file.as_raw_fd())).ok()?;
        let mapping = shared_mappings(|mapping| mapping.path == path).pop()?;
        Some(Self { file, id: mapping.file, ranges: in_place.ranges.clone() })
    }

    /// Reads the ranges, extended to whole pages, into private memory. Skips ranges that cannot be
    /// read.
    fn read(&self, is_stopped: &AtomicBool) -> Vec<Replacement> {
        let Some(page) = page_size() else { return Vec::new() };
        let read_range = |range: &Range<u64>| {
            let offset = range.start / page * page;
            let len = range.end.next_multiple_of(page) - offset;
            let mut memory = PrivateMemory::allocate(usize::try_from(len).ok()?)?;
            let mut end = offset;
            for chunk in memory.bytes().chunks_mut(READ_CHUNK_BYTES) {
                if is_stopped.load(Ordering::Relaxed) {
                    return None;
                }
                end += read_available(&self.file, end, chunk)?;
            }
            // The last page may end after the file does. If the range itself is not complete, the
            // file has become shorter, and the mapping is not replaced.
            (end >= range.end).then(|| Replacement { file: self.id.clone(), offset, memory })
        };
        self.ranges.iter().filter_map(read_range).collect()
    }
}

/// Bytes that are read between two checks of the stop flag.
const READ_CHUNK_BYTES: usize = 2 << 20;

/// Fills `chunk` from `offset` of the file, as far as the file goes. Returns the number of bytes
/// read; `None` on an error.
fn read_available(file: &File, offset: u64, chunk: &mut [u8]) -> Option<u64> {
    let mut n = 0;
    while n < chunk.len() {
        match file.read_at(&mut chunk[n..], offset + n as u64).ok()? {
            0 => break,
            more => n += more,
        }
    }
    Some(n as u64)
}

/// The contents of a range of a file in private memory, to replace the mapping of that range.
struct Replacement {
    file: FileId,
    /// The offset of the range in the file, a multiple of the page size.
    offset: u64,
    memory: PrivateMemory,
}

impl Replacement {
    /// Moves the memory to the addresses of its range; `None` if no mapping contains the range.
    fn replace(self, mappings: &[MemoryRegion]) -> Option<()> {
        let target = mappings.iter().find_map(|mapping| {
            let offset = usize::try_from(self.offset.checked_sub(mapping.offset)?).ok()?;
            let start = mapping.addresses.start.checked_add(offset)?;
            let is_inside = start.checked_add(self.memory.len)? <= mapping.addresses.end;
            (mapping.file == self.file && is_inside).then_some(start)
        })?;
        let PrivateMemory { start, len } = self.memory;
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: `start` and `len` are a whole mapping that this value owns. The `len` bytes at
        // `target` are inside the mapping of the file and have the same contents, and nothing
        // accesses them now (see `MappingReplacer::finish`), so later readers see no change. The
        // new memory permits all accesses that the mapping did, and llama.cpp's `munmap` of the
        // file's mapping unmaps it.
        let moved = unsafe { libc::mremap(start, len, len, flags, target as *mut c_void) };
        if moved == libc::MAP_FAILED {
            return None;
        }
        // The memory is now part of llama.cpp's mapping.
        mem::forget(self.memory);
        Some(())
    }
}

/// Private anonymous memory, unmapped on drop.
struct PrivateMemory {
    start: *mut c_void,
    len: usize,
}

// SAFETY: the value is the only owner of the memory, which is not bound to a thread.
unsafe impl Send for PrivateMemory {}

impl PrivateMemory {
    /// Allocates `len` bytes, which are zero.
    fn allocate(len: usize) -> Option<Self> {
        let protection = libc::PROT_READ | libc::PROT_WRITE;
        let flags = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: without `MAP_FIXED` the system chooses unused addresses, so that no existing
        // mapping is affected.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, protection, flags, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start, len })
    }

    /// The memory as bytes.
    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `allocate` has mapped `len` readable and writable bytes at `start`, which are
        // initialized to zero. The slice borrows `self`, the only owner, mutably.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.len) }
    }
}

impl Drop for PrivateMemory {
    fn drop(&mut self) {
        // SAFETY: `allocate` has mapped these bytes, this value is their only owner, and no slice
        // of them is borrowed.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

/// Size of a memory page in bytes; `None` if the system does not report it.
fn page_size() -> Option<u64> {
    // SAFETY: the function has no precondition and returns a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok().filter(|&size| size > 0)
}

/// The regions that are mapped as llama.cpp maps files, read-only and shared, and that satisfy
/// `is_wanted`.
fn shared_mappings(mut is_wanted: impl FnMut(&MemoryRegion) -> bool) -> Vec<MemoryRegion> {
    let regions = memory_regions().into_iter();
    regions.filter(|region| region.permissions == "r--s" && is_wanted(region)).collect()
}
