//! Reads files of users, which may be larger than expected.

use std::fs::File;
use std::io::{self, Read};
use std::path::Path;

/// The content of the file at `path`; `None` if it has more than `max_bytes`.
pub(super) fn read_at_most(path: &Path, max_bytes: u64) -> io::Result<Option<Vec<u8>>> {
    let mut bytes = Vec::new();
    File::open(path)?.take(max_bytes + 1).read_to_end(&mut bytes)?;
    Ok((bytes.len() as u64 <= max_bytes).then_some(bytes))
}
