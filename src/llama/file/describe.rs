//! Where a model comes from, and what its header says of it.

use std::fs::File;
use std::io::{self, BufReader, Cursor, ErrorKind, Read, Seek};
use std::path::{Path, PathBuf};

use sysinfo::System;

use crate::domain::ModelInfo;

use super::check::{hyperparameters, vocabulary};
use super::gguf::{FileExtent, Header, Part, Tensor};
use super::{layers, split};
use crate::llama::error::{LoadError, one_line};
use crate::llama::fit::Sizes;
use crate::llama::in_place::{InPlace, can_move};

/// The built-in demo model.
pub(in crate::llama) static DEMO: &[u8] = include_bytes!("../../../tools/demo-model/demo.gguf");

/// The architecture of files that hold only the sight of a model. llama.cpp reads none of their
/// numbers and aborts later.
const PROJECTOR: &str = "clip";

/// Where a model comes from.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ModelSource {
    /// A GGUF file, or the first of a split one.
    File(PathBuf),
    /// The model inside this program.
    Demo,
}

impl ModelSource {
    /// What to call it in messages.
    pub fn name(&self) -> String {
        match self {
            Self::File(path) => path.display().to_string(),
            Self::Demo => "the demo model".to_owned(),
        }
    }
}

/// What the header of a model says, for a model that can generate text.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ModelDescription {
    /// Where it comes from.
    pub source: ModelSource,
    /// What the house knows of it.
    pub info: ModelInfo,
    /// How much of its files there is; see [`describe_partial`].
    pub extent: FileExtent,
    /// Tokens of its vocabulary.
    pub(in crate::llama) n_tokens: u64,
    /// How large its parts are.
    pub(in crate::llama) sizes: Sizes,
    /// Its files; none of the built-in model.
    pub(in crate::llama) files: Vec<PathBuf>,
    /// How its weights come into the processor's memory.
    pub(in crate::llama) way: Way,
    /// Whether ggml may keep weights in another order, see `gguf/order.rs`.
    pub(in crate::llama) is_reordered: bool,
}

/// How weights come from a file into the processor's memory.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) enum Way {
    /// They are read. Memory of the process's own can have huge pages, which are faster.
    Read,
    /// They are computed from the file's own pages, which can be given back in need: of a model that takes
    /// more than half of what is spare.
    Mapped,
    /// Most of them are computed from copies in another order, which are made from the file's pages; what
    /// is not is moved into memory of the process's own.
    Copied(Vec<InPlace>),
}

/// Reads the header of `source`.
///
/// # Errors
/// [`LoadError::Unreadable`] and [`LoadError::Unusable`], for files that llama.cpp could not load
/// or that cannot generate text. What only the weights show is left to [`crate::llama::load()`].
pub fn describe(source: &ModelSource) -> Result<ModelDescription, LoadError> {
    read(source, Header::read)
}

/// The same where no tensor need be there, as in the first megabytes of a download:
/// [`ModelDescription::extent`] says what is missing, and [`crate::llama::load()`] cannot load it.
///
/// # Errors
/// Those of [`describe`], but for tensors that are missing.
pub fn describe_partial(source: &ModelSource) -> Result<ModelDescription, LoadError> {
    read(source, Header::read_alone)
}

/// Reads the header of a file of so many bytes.
pub(super) type ReadHeader = fn(Box<dyn Input>, u64) -> Result<Header, String>;

/// What a header is read from.
pub(super) trait Input: Read + Seek {}

impl<T: Read + Seek> Input for T {}

fn read(source: &ModelSource, read_header: ReadHeader) -> Result<ModelDescription, LoadError> {
    let unusable = |reason: String| LoadError::Unusable { model: source.name(), reason };
    let (mut header, files) = match source {
        ModelSource::Demo => {
            let demo = Box::new(Cursor::new(DEMO));
            (read_header(demo, DEMO.len() as u64).map_err(unusable)?, Vec::new())
        }
        ModelSource::File(path) => {
            let mut header = header_of(path, read_header)?;
            let others = split::add_others(path, &mut header, read_header)?;
            (header, [vec![path.clone()], others].concat())
        }
    };
    let info = info(source, &header).map_err(unusable)?;
    leave_out_guessing_layers(&mut header, &info);
    let mut sizes = Sizes::read(&header, &info.arch, info.n_layers);
    let is_reordered = !header.tensors.iter().any(|tensor| tensor.breaks_tiles);
    let copies =
        if is_reordered { Copies::of(&header.tensors, sizes.is_tied) } else { Copies::default() };
    let way = if *source == ModelSource::Demo {
        Way::Read
    } else if is_better_mapped(info.size_bytes, copies.bytes, spare_memory()) {
        Way::Mapped
    } else if can_move() && is_mostly_copied(length(&files), copies.originals) {
        Way::Copied(in_place(&files, &header.tensors))
    } else {
        Way::Read
    };
    sizes.copied = if way == Way::Mapped { copies.bytes } else { copies.bytes - copies.originals };
    Ok(ModelDescription {
        source: source.clone(),
        info,
        extent: header.extent,
        n_tokens: header.tokens.as_ref().map_or(0, |tokens| tokens.n),
        sizes,
        files,
        way,
        is_reordered,
    })
}

/// Leaves out the layers that only guess ahead: they are not loaded.
fn leave_out_guessing_layers(header: &mut Header, info: &ModelInfo) {
    let computed = layers::n_computed(header, &info.arch, info.n_layers as usize);
    header.tensors.retain(|tensor| match tensor.part {
        Part::Layer(i) | Part::Experts(i) => (i as usize) < computed,
        Part::Embedding | Part::Input | Part::Output | Part::Other => true,
    });
}

/// What ggml computes from copies in another order.
#[derive(Default)]
struct Copies {
    /// Bytes of the copies.
    bytes: u64,
    /// Bytes of what they are copies of, where a file that is read is not needed for anything else.
    originals: u64,
}

impl Copies {
    fn of(tensors: &[Tensor], is_tied: bool) -> Self {
        let (mut bytes, mut originals) = (0, 0);
        for tensor in tensors {
            let Some(copy) = tensor.copy else { continue };
            if tensor.is_only_copied() {
                bytes += copy;
                originals += tensor.bytes.unwrap_or(0);
            } else if is_tied {
                bytes += copy;
            }
        }
        Self { bytes, originals }
    }
}

fn in_place(files: &[PathBuf], tensors: &[Tensor]) -> Vec<InPlace> {
    let of = |(i, path): (usize, &PathBuf)| {
        InPlace::of(path, tensors.iter().filter(|tensor| tensor.file == i))
    };
    files.iter().enumerate().map(of).collect()
}

/// Bytes of all of them; of one that is gone, none.
pub(in crate::llama) fn length(files: &[PathBuf]) -> u64 {
    let length = |file: &PathBuf| file.metadata().map_or(0, |metadata| metadata.len());
    files.iter().map(length).fold(0, u64::saturating_add)
}

/// See [`Way::Copied`], for files of `size` bytes of which so many are copied: they are mapped as a whole,
/// whatever else is in them.
fn is_mostly_copied(size: u64, originals: u64) -> bool {
    originals.saturating_mul(2) > size
}

/// See [`Way::Mapped`], for a file of `size` bytes, and so many of copies.
fn is_better_mapped(size: u64, copies: u64, spare: u64) -> bool {
    copies.saturating_mul(2) <= size && size > spare / 2
}

/// Bytes that may be taken without pushing others out: of the machine, or of the container. 0 where
/// that is not known.
pub fn spare_memory() -> u64 {
    memory().map_or(0, |system| spare(&system))
}

/// Bytes that may be taken at all: [`spare_memory`] and the swap space that is free. 0 where that is
/// not known.
pub fn takeable_memory() -> u64 {
    let Some(system) = memory() else { return 0 };
    match spare(&system) {
        0 => 0,
        spare => spare.saturating_add(system.free_swap()),
    }
}

fn memory() -> Option<System> {
    let mut system = System::new().ok()?;
    system.refresh_memory();
    Some(system)
}

fn spare(system: &System) -> u64 {
    let container = system.cgroup_limits().map_or(u64::MAX, |limits| limits.free_memory);
    system.available_memory().min(container)
}

pub(super) fn header_of(path: &Path, read_header: ReadHeader) -> Result<Header, LoadError> {
    let file = open(path)?;
    let size = file.metadata().map_err(|error| unreadable(path, &error))?.len();
    read_header(Box::new(BufReader::new(file)), size)
        .map_err(|reason| LoadError::Unusable { model: path.display().to_string(), reason })
}

fn open(path: &Path) -> Result<File, LoadError> {
    let metadata = path.metadata().map_err(|error| unreadable(path, &error))?;
    if metadata.is_dir() {
        let reason = "it is a directory; name the .gguf file in it".to_owned();
        return Err(LoadError::Unreadable { path: path.to_owned(), reason });
    }
    if !metadata.is_file() {
        let reason = "it is not a regular file".to_owned();
        return Err(LoadError::Unreadable { path: path.to_owned(), reason });
    }
    File::open(path).map_err(|error| unreadable(path, &error))
}

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

fn info(source: &ModelSource, header: &Header) -> Result<ModelInfo, String> {
    let arch = header
        .text("general.architecture")
        .ok_or("its header names no architecture, so it is not a language model")?
        .to_owned();
    if header.text("general.type").is_some_and(|kind| kind != "model") {
        let kind = header.text("general.type").unwrap_or_default();
        return Err(format!("it is a GGUF of type {kind}, not a language model"));
    }
    if header.tensors.is_empty() {
        return Err("it holds a vocabulary and no weights; name the model's own file".to_owned());
    }
    let number = |key: &str| {
        let key = format!("{arch}.{key}");
        let value = header.unsigned(&key).and_then(|n| u32::try_from(n).ok());
        value.filter(|&n| n > 0).ok_or_else(|| format!("its header has no usable {key}"))
    };
    if arch == PROJECTOR {
        return Err("it is the part of a model that sees pictures; name the language model's file"
            .to_owned());
    }
    // llama.cpp divides by some of these before it looks at them.
    number("embedding_length")?;
    // Models that remember by a state instead of attention have no heads.
    let is_recurrent =
        ["ssm.state_size", "wkv.head_size"].iter().any(|key| header.has(&format!("{arch}.{key}")));
    let heads = header.unsigned(&format!("{arch}.attention.head_count"));
    if heads == Some(0) && !is_recurrent {
        return Err(format!("its header says that {arch}.attention.head_count is 0"));
    }
    let n_layers = number("block_count")?;
    hyperparameters::check(header, &arch, n_layers.into())?;
    vocabulary::check(header, &arch)?;
    if let Some(complaint) = header.tensors.iter().find_map(|tensor| tensor.complaint.as_deref()) {
        return Err(one_line(complaint));
    }
    let stem = match source {
        ModelSource::File(path) => path.file_stem().map(|stem| stem.to_string_lossy().into_owned()),
        ModelSource::Demo => None,
    };
    Ok(ModelInfo {
        name: header
            .text("general.name")
            .map(one_line)
            .or_else(|| stem.as_deref().map(one_line))
            .unwrap_or_else(|| "unnamed".to_owned()),
        // Tensors of types that llama.cpp will refuse may claim to be larger than any file.
        params: header.tensors.iter().fold(0, |sum: u64, t| sum.saturating_add(t.elements)),
        size_bytes: header.tensors.iter().filter_map(|tensor| tensor.bytes).sum(),
        n_ctx_train: number("context_length")?,
        n_layers,
        chat: header.has("tokenizer.chat_template"),
        demo: *source == ModelSource::Demo,
        arch: one_line(&arch),
    })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::llama::file::gguf::Value;

    #[test]
    fn layers_that_only_guess_ahead_take_nothing() {
        let guessing = ("qwen35.nextn_predict_layers", Value::Integer(1));
        let mut header = Header::of(&[guessing]);
        let parts = [Part::Layer(0), Part::Layer(1), Part::Experts(1), Part::Output];
        header.tensors = parts.map(|part| Tensor::of(part, 0, 1, None)).to_vec();
        let info = ModelInfo { n_layers: 2, arch: "qwen35".to_owned(), ..demo_info() };
        leave_out_guessing_layers(&mut header, &info);
        let left: Vec<Part> = header.tensors.iter().map(|tensor| tensor.part).collect();
        assert_eq!(left, [Part::Layer(0), Part::Output]);
    }

    fn demo_info() -> ModelInfo {
        describe(&ModelSource::Demo).unwrap().info
    }

    #[test]
    fn a_file_is_mapped_where_it_is_large_for_the_machine_and_computed_in_place() {
        assert!(!is_better_mapped(800, 100, 20_000), "huge pages are worth the memory");
        assert!(is_better_mapped(800, 100, 1_500));
        assert!(is_better_mapped(800, 0, 0), "what is spare is not known");
        assert!(!is_better_mapped(800, 500, 1_500), "the pages would lie beside the copies");
    }
}
