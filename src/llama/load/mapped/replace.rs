//! Memory that takes the place of a mapping, on Linux.

use std::ffi::c_void;
use std::fs::{self, File};
use std::ops::Range;
use std::os::unix::fs::FileExt;
use std::ptr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::mpsc::{self, Receiver, RecvTimeoutError};
use std::thread::{self, JoinHandle};
use std::time::Duration;

use super::InPlace;
use super::regions::{self as maps, FileId, Mapping};

/// Pages are given back when so large a part of the model has been loaded since the last time: as much
/// lies there twice.
const GIVEN_BACK_AT_ONCE: f32 = 1.0 / 64.0;

/// Bytes that are read at once; none more after a load that was given up.
const PIECE: usize = 2 << 20;

/// How often it is asked whether to go on, while the reader is waited for.
const PATIENCE: Duration = Duration::from_millis(50);

/// Moves what is in place out of the mapping of a load that has begun.
pub(in crate::llama) struct Moving {
    mapped: Vec<FileId>,
    n_ranges: usize,
    /// See [`InPlace::gaps`], of all files.
    gaps: u64,
    is_over: Arc<AtomicBool>,
    pieces: Receiver<Vec<Piece>>,
    reader: Option<JoinHandle<()>>,
    given_back_at: f32,
}

/// A file and the parts of it that are to be read.
struct WeightSource {
    file: File,
    id: FileId,
    ranges: Vec<Range<u64>>,
}

/// What takes the place of a part of a mapping.
struct Piece {
    id: FileId,
    /// Where in the file it begins: at a page.
    from: u64,
    memory: Memory,
}

impl Moving {
    /// Begins to read. To be called when llama.cpp has mapped the files; `None` where these mappings
    /// cannot be found.
    pub(in crate::llama) fn start(files: &[InPlace]) -> Option<Self> {
        let sources = files.iter().map(WeightSource::of).collect::<Option<Vec<_>>>()?;
        let mapped = sources.iter().map(|source| source.id.clone()).collect();
        let n_ranges = sources.iter().map(|source| source.ranges.len()).sum();
        let gaps = files.iter().map(InPlace::gaps).sum();
        let is_over = Arc::new(AtomicBool::new(false));
        let for_thread = is_over.clone();
        let (sender, pieces) = mpsc::sync_channel(1);
        let work = move || {
            let read = sources.iter().flat_map(|source| source.read(&for_thread)).collect();
            // Nobody waits for it where the load was given up.
            let _ = sender.send(read);
        };
        // Without a thread the weights stay where they are.
        let reader = thread::Builder::new().name("in-place".to_owned()).spawn(work).ok();
        let moving = Self { mapped, n_ranges, gaps, is_over, pieces, reader, given_back_at: 0.0 };
        // All of the file is there at once, and little of it has been needed so far.
        moving.give_back();
        Some(moving)
    }

    /// Gives back pages that have been copied, where so large a part of the model is loaded.
    pub(in crate::llama) fn advance(&mut self, fraction: f32) {
        if fraction >= self.given_back_at + GIVEN_BACK_AT_ONCE {
            self.given_back_at = fraction;
            self.give_back();
        }
    }

    /// Puts what was read in the place of the mapping; the bytes between these places that were given
    /// back. `None` if it shall not `go_on`. Nobody may compute meanwhile.
    pub(in crate::llama) fn finish(self, mut go_on: impl FnMut() -> bool) -> Option<u64> {
        let pieces = loop {
            match self.pieces.recv_timeout(PATIENCE) {
                Ok(pieces) => break pieces,
                Err(RecvTimeoutError::Timeout) if go_on() => {}
                Err(RecvTimeoutError::Timeout) => return None,
                // A panic there has been reported, and left everything in its place.
                Err(RecvTimeoutError::Disconnected) => break Vec::new(),
            }
        };
        let mappings = self.mappings();
        let moved = pieces.into_iter().filter_map(|piece| piece.replace(&mappings)).count();
        self.give_back();
        tracing::debug!(
            "{moved} of {} parts of the mapped files are in memory of their own, {:.2} MiB between \
             them are given back",
            self.n_ranges,
            self.gaps as f64 / f64::from(1 << 20)
        );
        if moved < self.n_ranges {
            tracing::warn!("some weights are still computed from the model's file: leave it there");
        }
        Some(self.gaps)
    }

    fn give_back(&self) {
        for mapping in self.mappings() {
            let Range { start, end } = mapping.addresses;
            // SAFETY: it is a shared mapping of a file that cannot be written through it, which has the
            // same contents when it is touched again; llama.cpp unmaps it on this thread alone.
            unsafe { libc::madvise(start as *mut c_void, end - start, libc::MADV_DONTNEED) };
        }
    }

    fn mappings(&self) -> Vec<Mapping> {
        mappings(|mapping| self.mapped.contains(&mapping.id))
    }
}

impl Drop for Moving {
    fn drop(&mut self) {
        self.is_over.store(true, Ordering::Relaxed);
        let _ = self.reader.take().map(JoinHandle::join);
    }
}

/// Memory of the process, unmapped with this.
struct Memory {
    start: *mut c_void,
    len: usize,
}

// SAFETY: nobody else knows the address, and memory belongs to no thread.
unsafe impl Send for Memory {}

impl Memory {
    fn new(len: usize) -> Option<Self> {
        let rights = libc::PROT_READ | libc::PROT_WRITE;
        let kind = libc::MAP_PRIVATE | libc::MAP_ANONYMOUS;
        // SAFETY: new memory, wherever the system likes.
        let start = unsafe { libc::mmap(ptr::null_mut(), len, rights, kind, -1, 0) };
        (start != libc::MAP_FAILED).then_some(Self { start, len })
    }

    fn bytes(&mut self) -> &mut [u8] {
        // SAFETY: `len` bytes that can be written, zeros at first, and borrowed like `self`.
        unsafe { std::slice::from_raw_parts_mut(self.start.cast(), self.len) }
    }
}

impl Drop for Memory {
    fn drop(&mut self) {
        // SAFETY: mapped by `new`, and nobody else knows the address.
        unsafe { libc::munmap(self.start, self.len) };
    }
}

impl Piece {
    /// Takes the place of its part of the file's mapping, where there is one.
    fn replace(self, mappings: &[Mapping]) -> Option<()> {
        let to = mappings.iter().find_map(|mapping| {
            let at = usize::try_from(self.from.checked_sub(mapping.offset)?).ok()?;
            let start = mapping.addresses.start.checked_add(at)?;
            let is_inside = start.checked_add(self.memory.len)? <= mapping.addresses.end;
            (mapping.id == self.id && is_inside).then_some(start)
        })?;
        let Memory { start, len } = self.memory;
        let flags = libc::MREMAP_MAYMOVE | libc::MREMAP_FIXED;
        // SAFETY: what lies at `to` is a part of the file's mapping, of `len` bytes, and has the
        // same contents; it may be written where the other may not, and whoever unmaps the
        // mapping unmaps this.
        let moved = unsafe { libc::mremap(start, len, len, flags, to as *mut c_void) };
        if moved == libc::MAP_FAILED {
            return None;
        }
        std::mem::forget(self.memory);
        Some(())
    }
}

impl WeightSource {
    /// Of a file that is mapped.
    fn of(in_place: &InPlace) -> Option<Self> {
        // Opened before it is looked for: as long as the mapping has this name, it is of this file.
        let path = fs::canonicalize(&in_place.path).ok()?;
        let file = File::open(&path).ok()?;
        let mapping = mappings(|mapping| mapping.path == path).pop()?;
        Some(Self { file, id: mapping.id, ranges: in_place.ranges.clone() })
    }

    /// Reads the ranges; those that cannot be read are left out.
    fn read(&self, is_over: &AtomicBool) -> Vec<Piece> {
        let Some(page) = page_size() else { return Vec::new() };
        let piece = |range: &Range<u64>| {
            let from = range.start / page * page;
            let len = range.end.next_multiple_of(page) - from;
            let mut memory = Memory::new(usize::try_from(len).ok()?)?;
            let mut at = from;
            for chunk in memory.bytes().chunks_mut(PIECE) {
                if is_over.load(Ordering::Relaxed) {
                    return None;
                }
                at += fill(chunk, &self.file, at)?;
            }
            // The last page may end behind the file. A file that has become shorter is left as it is.
            (at >= range.end).then(|| Piece { id: self.id.clone(), from, memory })
        };
        self.ranges.iter().filter_map(piece).collect()
    }
}

/// Reads as much as there is; how much that was.
fn fill(chunk: &mut [u8], source: &File, at: u64) -> Option<u64> {
    let mut n = 0;
    while n < chunk.len() {
        match source.read_at(&mut chunk[n..], at + n as u64).ok()? {
            0 => break,
            more => n += more,
        }
    }
    Some(n as u64)
}

fn page_size() -> Option<u64> {
    // SAFETY: it only says a number.
    u64::try_from(unsafe { libc::sysconf(libc::_SC_PAGESIZE) }).ok().filter(|&size| size > 0)
}

/// Where files are mapped as llama.cpp maps them.
fn mappings(mut is_wanted: impl FnMut(&Mapping) -> bool) -> Vec<Mapping> {
    let all = maps::mappings().into_iter();
    all.filter(|mapping| mapping.rights == "r--s" && is_wanted(mapping)).collect()
}
