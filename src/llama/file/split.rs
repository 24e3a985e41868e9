//! Models that are split into several files.
//!
//! The first file holds the metadata, and every file holds some of the tensors. The names of the
//! other files follow from the name of the first (`model-00001-of-00003.gguf`), as llama.cpp's
//! `llama_split_path` makes them. Every file says in its own header which part it is. This reveals
//! a file that was renamed or belongs to another model, as do tensors that occur twice or are
//! missing.

use std::collections::HashSet;
use std::fs::File;
use std::io::{self, BufReader, ErrorKind};
use std::path::{Path, PathBuf};

use crate::llama::error::LoadError;

use super::gguf::{Header, Tensor, Truncation};
use super::stamp::FileStamp;

/// The files of a model, in order. They are open, and were opened once.
#[derive(Debug, Default)]
pub(super) struct ModelFiles {
    pub(super) paths: Vec<PathBuf>,
    pub(super) stamps: Vec<FileStamp>,
    pub(super) handles: Vec<File>,
}

impl ModelFiles {
    /// Opens the file at `path`, reads its header, and adds the file.
    fn add(&mut self, path: &Path, truncation: Truncation) -> Result<Header, LoadError> {
        let file = open(path)?;
        let metadata = file.metadata().map_err(|error| unreadable(path, &error))?;
        let header = Header::read(BufReader::new(&file), metadata.len(), truncation)
            .map_err(|reason| unusable(path, reason))?;
        self.paths.push(path.to_owned());
        self.stamps.push(FileStamp::of(&metadata));
        self.handles.push(file);
        Ok(header)
    }
}

/// Reads the header of the model at `path`, with the tensors of all of its files, which stay open.
///
/// # Errors
/// [`LoadError`] about the file that is missing or broken.
pub(super) fn read_files(
    path: &Path,
    truncation: Truncation,
) -> Result<(Header, ModelFiles), LoadError> {
    let mut files = ModelFiles::default();
    let mut header = files.add(path, truncation)?;
    let Some(n) = header.unsigned("split.count").filter(|&n| n > 1) else {
        return Ok((header, files));
    };
    check_first(path, &header, n)?;
    let mut names: HashSet<String> =
        header.tensors.iter().map(|tensor| tensor.name.clone()).collect();
    for i in 1..n {
        let part_path = sibling(path, 0, i, n).ok_or_else(|| {
            let suffix = format!("-00001-of-{n:05}.gguf");
            unusable(
                path,
                format!("it is the first of {n} files, so its name must end in {suffix}"),
            )
        })?;
        let file = files.paths.len();
        let part = files.add(&part_path, truncation)?;
        check_part(&part, i, n).map_err(|reason| unusable(&part_path, reason))?;
        if let Some(duplicate) =
            part.tensors.iter().find(|tensor| !names.insert(tensor.name.clone()))
        {
            let reason = format!(
                "an earlier part has its tensor {} too, so it is a copy or belongs to another \
                 model; download or copy it again",
                duplicate.name
            );
            return Err(unusable(&part_path, reason));
        }
        header.tensors.extend(part.tensors.into_iter().map(|tensor| Tensor { file, ..tensor }));
        header.extent += part.extent;
    }
    check_tensor_count(path, &header, n)?;
    Ok((header, files))
}

/// Checks that the file at `path` is the first of `n`, a number of files that a model can have.
fn check_first(path: &Path, header: &Header, n: u64) -> Result<(), LoadError> {
    if n > MAX_FILES {
        return Err(unusable(path, format!("its header claims that it is one of {n} files")));
    }
    match header.unsigned("split.no").filter(|&index| index != 0) {
        None => Ok(()),
        Some(index) => {
            let first = sibling(path, index, 0, n);
            let first = first.map_or_else(String::new, |first| format!(": {}", first.display()));
            Err(unusable(
                path,
                format!("it is not the first of its {n} files; use that one{first}"),
            ))
        }
    }
}

/// Checks that a file says it is part `i`, counted from 0, of `n`.
fn check_part(part: &Header, i: u64, n: u64) -> Result<(), String> {
    let wanted = format!("part {} of {n}", i + 1);
    match (part.unsigned("split.no"), part.unsigned("split.count")) {
        (Some(index), Some(count)) if (index, count) == (i, n) => Ok(()),
        (Some(index), Some(count)) => Err(format!(
            "its name says {wanted}, but its header says part {} of {count}; download or copy it \
             again",
            index.saturating_add(1)
        )),
        _ => Err(format!(
            "its name says {wanted}, but according to its header it is no part of a split model; \
             download or copy it again"
        )),
    }
}

/// Checks that the `n` files together have as many tensors as the first one says.
fn check_tensor_count(path: &Path, header: &Header, n: u64) -> Result<(), LoadError> {
    let found = header.tensors.len() as u64;
    match header.unsigned("split.tensors.count") {
        Some(wanted) if wanted != found => Err(unusable(
            path,
            format!(
                "its header says that its {n} files hold {wanted} tensors, but they hold {found}, \
                 so they do not belong together; download or copy them again"
            ),
        )),
        _ => Ok(()),
    }
}

/// The path of part `to` of `n`, given the `path` of part `from`, both counted from 0; `None` if
/// `path` is not named like a part.
fn sibling(path: &Path, from: u64, to: u64, n: u64) -> Option<PathBuf> {
    let name = path.file_name()?.to_str()?;
    let stem = name.strip_suffix(&format!("-{:05}-of-{n:05}.gguf", from + 1))?;
    Some(path.with_file_name(format!("{stem}-{:05}-of-{n:05}.gguf", to + 1)))
}

/// Opens a regular file.
fn open(path: &Path) -> Result<File, LoadError> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        let reason = "it is a directory; give the path of the .gguf file in it".to_owned();
        return Err(LoadError::Unreadable { path: path.to_owned(), reason });
    }
    if !metadata.is_file() {
        let reason = "it is not a regular file".to_owned();
        return Err(LoadError::Unreadable { path: path.to_owned(), reason });
    }
    File::open(path).map_err(|error| unreadable(path, &error))
}

/// The error for a file that is no part of a usable model.
fn unusable(path: &Path, reason: String) -> LoadError {
    LoadError::Unusable { model: path.display().to_string(), reason }
}

/// The error for a file that the operating system did not open or describe.
fn unreadable(path: &Path, error: &io::Error) -> LoadError {
    let reason = match error.kind() {
        ErrorKind::NotFound => "there is no such file; check the path".to_owned(),
        ErrorKind::PermissionDenied => {
            "permission denied; make it readable for this user".to_owned()
        }
        _ => error.to_string(),
    };
    LoadError::Unreadable { path: path.to_owned(), reason }
}

/// Maximum number of files of a split model.
const MAX_FILES: u64 = 1000;
