//! Models that come in several files.
//!
//! The first file has the metadata, each has tensors of its own, and the name of the first gives
//! those of the others (`model-00001-of-00003.gguf`), as llama.cpp's `llama_split_path` makes them.

use std::path::{Path, PathBuf};

use super::super::error::LoadError;
use super::super::gguf::Header;
use super::{ReadHeader, header_of};

/// More files than any model has.
const MAX_FILES: u64 = 1000;

/// Adds the tensors of the other files to those of the first, whose header is `header`.
///
/// # Errors
/// [`LoadError`], naming the file that is missing or broken.
pub(super) fn add_others(
    path: &Path,
    header: &mut Header,
    read_header: ReadHeader,
) -> Result<(), LoadError> {
    let Some(n) = header.unsigned("split.count").filter(|&n| n > 1) else { return Ok(()) };
    let unusable = |path: &Path, reason: String| LoadError::Unusable {
        model: path.display().to_string(),
        reason,
    };
    if n > MAX_FILES {
        return Err(unusable(path, format!("its header claims that it is one of {n} files")));
    }
    if header.unsigned("split.no").is_some_and(|no| no != 0) {
        let first = sibling(path, header.unsigned("split.no").unwrap_or(0), 0, n);
        let first = first.map_or_else(String::new, |first| format!(": {}", first.display()));
        return Err(unusable(
            path,
            format!("it is not the first of its {n} files; name that{first}"),
        ));
    }
    for i in 1..n {
        let other = sibling(path, 0, i, n).ok_or_else(|| {
            let suffix = format!("-00001-of-{n:05}.gguf");
            unusable(path, format!("it is the first of {n} files, whose name must end in {suffix}"))
        })?;
        let Header { tensors, extent, .. } = header_of(&other, read_header)?;
        header.tensors.extend(tensors);
        header.extent += extent;
    }
    Ok(())
}

/// The path of file `to` of `n`, given that of file `from`.
fn sibling(path: &Path, from: u64, to: u64, n: u64) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(&format!("-{:05}-of-{n:05}.gguf", from + 1))?;
    Some(path.with_file_name(format!("{stem}-{:05}-of-{n:05}.gguf", to + 1)))
}
