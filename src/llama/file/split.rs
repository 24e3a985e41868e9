//! Models that come in several files.
//!
//! The first file has the metadata, each has tensors of its own, and the name of the first gives
//! those of the others (`model-00001-of-00003.gguf`), as llama.cpp's `llama_split_path` makes them.
//! Each says in its own header which of how many it is; a part that was renamed, or copied from
//! another model, shows by that or by tensors that are there twice or not at all.

use std::collections::HashSet;
use std::path::{Path, PathBuf};

use crate::llama::error::LoadError;

use super::describe::{ReadHeader, header_of};
use super::gguf::{Header, Tensor};

/// More files than any model has.
const MAX_FILES: u64 = 1000;

/// Adds the tensors of the other files to those of the first, whose header is `header`. The paths of
/// the others, in their order.
///
/// # Errors
/// [`LoadError`], naming the file that is missing or broken.
pub(super) fn add_others(
    path: &Path,
    header: &mut Header,
    read_header: ReadHeader,
) -> Result<Vec<PathBuf>, LoadError> {
    let mut paths = Vec::new();
    let Some(n) = header.unsigned("split.count").filter(|&n| n > 1) else { return Ok(paths) };
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
    let mut names: HashSet<String> =
        header.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    for i in 1..n {
        let other = sibling(path, 0, i, n).ok_or_else(|| {
            let suffix = format!("-00001-of-{n:05}.gguf");
            unusable(path, format!("it is the first of {n} files, whose name must end in {suffix}"))
        })?;
        let part = header_of(&other, read_header)?;
        check_place(&part, i, n).map_err(|reason| unusable(&other, reason))?;
        if let Some(known) = part.tensors.iter().find(|part| !names.insert(part.name.clone())) {
            let reason = format!(
                "a part before it has its tensor {} too: it is a copy, or of another model; \
                 download or copy it again",
                known.name
            );
            return Err(unusable(&other, reason));
        }
        paths.push(other);
        let file = paths.len();
        header.tensors.extend(part.tensors.into_iter().map(|tensor| Tensor { file, ..tensor }));
        header.extent += part.extent;
    }
    let found = header.tensors.len() as u64;
    match header.unsigned("split.tensors.count") {
        Some(wanted) if wanted != found => Err(unusable(
            path,
            format!(
                "its header says that its {n} files hold {wanted} tensors, and they hold {found}: \
                 they are not of one model, download or copy them again"
            ),
        )),
        _ => Ok(paths),
    }
}

/// Whether a file says that it is number `i`, counted from 0, of `n`.
fn check_place(part: &Header, i: u64, n: u64) -> Result<(), String> {
    let wanted = format!("part {} of {n}", i + 1);
    match (part.unsigned("split.no"), part.unsigned("split.count")) {
        (Some(no), Some(count)) if (no, count) == (i, n) => Ok(()),
        (Some(no), Some(count)) => Err(format!(
            "its name says {wanted} and its header part {} of {count}: download or copy it again",
            no.saturating_add(1)
        )),
        _ => Err(format!(
            "its name says {wanted} and its header says of no part: it is another file"
        )),
    }
}

/// The path of file `to` of `n`, given that of file `from`.
fn sibling(path: &Path, from: u64, to: u64, n: u64) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(&format!("-{:05}-of-{n:05}.gguf", from + 1))?;
    Some(path.with_file_name(format!("{stem}-{:05}-of-{n:05}.gguf", to + 1)))
}
