//! Brings a model's files into the system's cache before llama.cpp maps them.
//!
//! llama.cpp has the system read a mapped file as a whole (`MAP_POPULATE`), during which nobody learns how
//! far it is and nobody can give up: on a slow disk for minutes. Files that are there already cost a few
//! milliseconds. What cannot be read is left to llama.cpp, which complains of it.

use std::fs::File;
use std::io::{self, Read};
use std::path::PathBuf;
use std::time::{Duration, Instant};

use crate::engine::LoadProgress;

use super::file::total_size;

/// Bytes between two reports.
const PIECE: u64 = 16 << 20;

/// Files that are there before have nothing to report: it would be over before anybody saw it.
const NOTICEABLE: Duration = Duration::from_millis(200);

/// The part of a load that such reading is taken for; copying weights is faster than a disk.
const SHARE: f32 = 0.8;

/// Reads the files to nowhere, unless they are larger than `most`; the fraction of the load that this was.
/// `None` if it shall be given up.
pub(super) fn read_ahead(files: &[PathBuf], most: u64, progress: &LoadProgress) -> Option<f32> {
    let begun = Instant::now();
    let Ok(mut nowhere) = File::options().write(true).open("/dev/null") else { return Some(0.0) };
    let total = total_size(files);
    if total > most {
        return Some(0.0);
    }
    let (mut n_read, mut share) = (0_u64, 0.0);
    for mut file in files.iter().filter_map(|file| File::open(file).ok()) {
        // From file to file the system copies nothing (`sendfile`).
        while let Ok(n @ 1..) = io::copy(&mut file.by_ref().take(PIECE), &mut nowhere) {
            n_read += n;
            if begun.elapsed() >= NOTICEABLE {
                share = SHARE;
            }
            if !progress.report(share * n_read.min(total) as f32 / total.max(1) as f32) {
                return None;
            }
        }
    }
    Some(share)
}

#[cfg(test)]
mod tests {
    use std::sync::mpsc;

    use super::*;
    use crate::domain::Speculation;
    use crate::engine::{Engine, Loaded, Options};
    use crate::llama::LlamaCpp;

    const MOST: u64 = 1 << 16;

    /// What comes of it in an engine that is told to stop before, or not.
    fn outcome(files: Vec<PathBuf>, is_stopped: bool) -> Option<f32> {
        let options = Options {
            ctx_size: 64,
            max_queue: 1,
            cache_ram_bytes: 0,
            slow_client_grace: Duration::ZERO,
            step_target: Duration::ZERO,
            speculative: Speculation::Off,
            speculation_margin_percent: 0,
        };
        let (told, is_told) = mpsc::sync_channel(1);
        let load = move |progress: &LoadProgress| {
            is_told.recv().unwrap();
            Err::<Loaded<LlamaCpp>, _>(read_ahead(&files, MOST, progress))
        };
        let engine = Engine::spawn(options, load).unwrap();
        if is_stopped {
            engine.handle.stop();
        }
        told.send(()).unwrap();
        engine.ended.blocking_recv().unwrap().unwrap_err()
    }

    #[test]
    fn reading_ahead_can_be_given_up_and_minds_no_file_that_is_gone() {
        let folder = tempfile::tempdir().unwrap();
        let file = folder.path().join("model.gguf");
        std::fs::write(&file, [0; 1 << 16]).unwrap();
        let files = vec![folder.path().join("gone.gguf"), file];
        assert!(outcome(files.clone(), false).is_some());
        assert_eq!(outcome(files.clone(), true), None);
        assert_eq!(outcome(Vec::new(), true), Some(0.0), "there was nothing to do");
        assert_eq!(outcome([files.clone(), files].concat(), true), Some(0.0), "too large");
    }
}
