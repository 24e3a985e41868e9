//! Reads the files of a model into the page cache before llama.cpp maps them.
//!
//! llama.cpp has the system read a mapped file as a whole (`MAP_POPULATE`), which takes minutes on
//! a slow disk, without progress and without a way to stop. Prefetching in chunks gives both. If
//! the files are in the page cache already, it takes a few milliseconds (ADR-0015). Files that
//! cannot be read are skipped: llama.cpp reports the error.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::LoadProgress;

/// Reads the files, unless they are larger than `max_bytes` together. Returns the fraction of the
/// load that this took; `None` if `progress` asked to stop.
pub(super) fn prefetch(files: &[PathBuf], max_bytes: u64, progress: &LoadProgress) -> Option<f32> {
    let started = Instant::now();
    let Ok(mut sink) = File::options().write(true).open("/dev/null") else { return Some(0.0) };
    let total = total_size(files);
    if total > max_bytes {
        return Some(0.0);
    }
    let (mut n_read, mut share) = (0_u64, 0.0);
    for mut file in files.iter().filter_map(|file| File::open(file).ok()) {
        // Between two files, `io::copy` uses `sendfile`, which copies nothing to user space.
        while let Ok(n @ 1..) = io::copy(&mut file.by_ref().take(PREFETCH_CHUNK_BYTES), &mut sink) {
            n_read += n;
            if started.elapsed() >= NOTICEABLE {
                share = PREFETCH_SHARE;
            }
            if !progress.report(share * n_read.min(total) as f32 / total.max(1) as f32) {
                return None;
            }
        }
    }
    Some(share)
}

/// Total size of `files` in bytes; a missing file counts as empty.
fn total_size(files: &[PathBuf]) -> u64 {
    let size = |file: &PathBuf| file.metadata().map_or(0, |metadata| metadata.len());
    files.iter().map(size).fold(0, u64::saturating_add)
}

/// Bytes between two progress reports.
const PREFETCH_CHUNK_BYTES: u64 = 16 << 20;

/// Prefetching counts towards the progress only after this time: files in the page cache take less.
const NOTICEABLE: Duration = Duration::from_millis(200);

/// The fraction of a load that prefetching from a disk is assumed to take. The rest of the load is
/// faster.
const PREFETCH_SHARE: f32 = 0.8;

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::engine::{Engine, Loaded, Options};
    use crate::llama::LlamaCpp;

    const MAX_BYTES: u64 = 1 << 16;

    /// The result of prefetching in an engine that is stopped before, or not.
    fn outcome(files: Vec<PathBuf>, is_stopped: bool) -> Option<f32> {
        let (start, started) = mpsc::sync_channel(1);
        let load = move |progress: &LoadProgress| {
            started.recv().unwrap();
            Err::<Loaded<LlamaCpp>, _>(prefetch(&files, MAX_BYTES, progress))
        };
        let engine = Engine::spawn(Options::default(), load).unwrap();
        if is_stopped {
            engine.handle.stop();
        }
        start.send(()).unwrap();
        engine.ended.blocking_recv().unwrap().unwrap_err()
    }

    #[test]
    fn prefetch_can_be_stopped_and_skips_missing_files() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        std::fs::write(&file, [0; 1 << 16]).unwrap();
        let files = vec![folder.path().join("gone.gguf"), file];
        assert!(outcome(files.clone(), false).is_some());
        assert_eq!(outcome(files.clone(), true), None);
        assert_eq!(outcome(Vec::new(), true), Some(0.0), "there was nothing to read");
        assert_eq!(outcome([files.clone(), files].concat(), true), Some(0.0), "too large");
    }
}
