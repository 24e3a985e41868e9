//! What the fuzz target of the link uses: both ends read any bytes as frames.
//!
//! The frames themselves stay private to this module.

use std::io;

use futures_util::FutureExt;
use serde::Serialize;
use serde::de::DeserializeOwned;

use super::frames::{FrameReader, FrameWriter, FromRunner, ToRunner};

/// Who reads the frames.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum LinkDirection {
    /// A runner, from the daemon.
    ToRunner,
    /// The daemon, from a runner.
    FromRunner,
}

/// Reads `bytes` as frames until their end or the first that is none, and writes these frames
/// again. Returns what was written, and whether all of `bytes` was frames.
pub fn rewrite_frames(direction: LinkDirection, bytes: &[u8]) -> (Vec<u8>, bool) {
    let mut written = Vec::new();
    let read = match direction {
        LinkDirection::ToRunner => rewrite::<ToRunner>(bytes, &mut written).now_or_never(),
        LinkDirection::FromRunner => rewrite::<FromRunner>(bytes, &mut written).now_or_never(),
    };
    let is_whole = read.expect("slices and vectors never wait").is_ok();
    (written, is_whole)
}

async fn rewrite<T: DeserializeOwned + Serialize>(
    bytes: &[u8],
    written: &mut Vec<u8>,
) -> io::Result<()> {
    let (mut reader, mut writer) = (FrameReader::new(bytes), FrameWriter::new(written));
    while let Some(frame) = reader.next::<T>().await? {
        writer.send(&frame).await?;
    }
    Ok(())
}
