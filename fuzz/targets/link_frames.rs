//! Frames of the link, as either end reads them.
//!
//! The first byte says which end. A frame that was read is read again when it is written, and what
//! a frame claims about its length allocates nothing.

#![no_main]

use std::time::Duration;

use inference_core::runner::{LinkDirection, rewrite_frames};
use inference_core_fuzz::{Budget, bounded};
use libfuzzer_sys::fuzz_target;

/// A delivery or a token's log-probability takes some bytes in a frame, and up to 250 times as many
/// in memory.
const BUDGET: Budget = Budget {
    bytes: 64 * 1024,
    bytes_per_byte: 512,
    time: Duration::from_millis(50),
    time_per_byte: Duration::from_micros(10),
};

fuzz_target!(|bytes: &[u8]| {
    let Some((&first, frames)) = bytes.split_first() else { return };
    let direction =
        if first % 2 == 0 { LinkDirection::ToRunner } else { LinkDirection::FromRunner };
    // As a frame each, and as a stream of frames with their lengths.
    for stream in [framed(frames), frames.to_vec()] {
        let rewrite = || rewrite_frames(direction, &stream);
        let (written, _) = bounded(BUDGET, stream.len(), rewrite);
        let (again, is_whole) = rewrite_frames(direction, &written);
        assert!(is_whole, "a written frame cannot be read");
        assert_eq!(again, written, "a frame changed when it was read and written again");
    }
});

/// The payload behind its length.
fn framed(payload: &[u8]) -> Vec<u8> {
    let length = u32::try_from(payload.len()).expect("inputs are short");
    [&length.to_be_bytes(), payload].concat()
}
