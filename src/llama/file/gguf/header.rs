//! The header of a GGUF file: metadata, tensor table and vocabulary summary.
//!
//! Reading checks every count and length against the size of the file before it allocates anything
//! for it, so a broken file cannot make the process allocate memory for data that is not there.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use super::metadata::MetadataValue;
use super::reader::{HeaderError, HeaderReader, invalid};
use super::tensor::Tensor;
use super::tensor_info;
use super::tokens::TokenSummary;

/// The header of a GGUF file, or of the files of a split model together.
#[derive(Debug)]
pub(in crate::llama) struct Header {
    metadata: HashMap<String, MetadataValue>,
    /// The tensors, in the order of the tensor table.
    pub(in crate::llama) tensors: Vec<Tensor>,
    /// Summary of the vocabulary's tokens; `None` if the file lists no tokens.
    pub(in crate::llama) tokens: Option<TokenSummary>,
    /// How much of the file is there.
    pub(in crate::llama) extent: FileExtent,
}

/// How much of a file, or of several files together, is there.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileExtent {
    /// Bytes that are there, at most [`Self::needed`].
    pub present: u64,
    /// Bytes that header and tensors need.
    pub needed: u64,
}

impl FileExtent {
    /// Whether nothing is missing.
    pub fn is_whole(self) -> bool {
        self.present >= self.needed
    }
}

impl std::ops::AddAssign for FileExtent {
    fn add_assign(&mut self, other: Self) {
        self.present = self.present.saturating_add(other.present);
        self.needed = self.needed.saturating_add(other.needed);
    }
}

/// What to do with a file that ends after its header and before the end of its tensors.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama::file) enum Truncation {
    /// Reject the file.
    Reject,
    /// Accept the file and note its extent, as for a download in progress.
    Accept,
}

impl Header {
    /// Reads the header of a file of `size` bytes.
    ///
    /// # Errors
    /// One line that says what is wrong with the file.
    pub(in crate::llama::file) fn read(
        file: impl Read + Seek,
        size: u64,
        truncation: Truncation,
    ) -> Result<Self, String> {
        let mut reader = HeaderReader::new(file, size);
        let header = Self::parse(&mut reader).map_err(|error| match error {
            HeaderError::Truncated => format!(
                "the file is truncated: it ends inside its header, after {size} bytes; download \
                 or copy it again"
            ),
            HeaderError::Io(error) => format!("reading it failed: {error}"),
            HeaderError::Invalid(reason) => reason,
        })?;
        if truncation == Truncation::Reject && !header.extent.is_whole() {
            return Err(format!(
                "the file is truncated: it has {size} bytes and its tensors need {}; download or \
                 copy it again",
                header.extent.needed
            ));
        }
        Ok(header)
    }

    /// The string at `key`; `None` if it is missing, of another type or not stored.
    pub(in crate::llama) fn string(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            MetadataValue::String(text) => Some(text),
            _ => None,
        }
    }

    /// The integer at `key`; `None` if it is missing, of another type or negative.
    pub(in crate::llama) fn unsigned(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key)? {
            MetadataValue::Integer(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// The boolean at `key`; `None` if it is missing or of another type.
    pub(in crate::llama) fn boolean(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key)? {
            MetadataValue::Bool(value) => Some(*value),
            _ => None,
        }
    }

    /// All float entries, with their keys.
    pub(in crate::llama) fn floats(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metadata.iter().filter_map(|(key, value)| match value {
            MetadataValue::Float(n) => Some((key.as_str(), *n)),
            _ => None,
        })
    }

    /// The integers at `key`, which holds either one number for all layers or one per layer.
    pub(in crate::llama) fn numbers(&self, key: &str) -> &[i128] {
        match self.metadata.get(key) {
            Some(MetadataValue::Integer(n)) => std::slice::from_ref(n),
            Some(MetadataValue::Integers(n)) => n,
            _ => &[],
        }
    }

    /// The array of integers or booleans at `key`; `None` if `key` holds anything else.
    pub(in crate::llama) fn list(&self, key: &str) -> Option<&[i128]> {
        match self.metadata.get(key) {
            Some(MetadataValue::Integers(n)) => Some(n),
            _ => None,
        }
    }

    /// Whether the metadata has an entry `key`, of any type.
    pub(in crate::llama) fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }

    /// A header that has only these metadata entries.
    #[cfg(test)]
    pub(in crate::llama) fn of(entries: &[(&str, MetadataValue)]) -> Self {
        let metadata = entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let metadata = metadata.collect();
        Self { metadata, tensors: Vec::new(), tokens: None, extent: FileExtent::default() }
    }

    fn parse(reader: &mut HeaderReader<impl Read + Seek>) -> Result<Self, HeaderError> {
        check_magic(reader)?;
        let n_tensors = reader.count("tensors", SMALLEST_TENSOR)?;
        let n_entries = reader.count("metadata entries", SMALLEST_ENTRY)?;
        let (mut metadata, mut tokens) = (HashMap::new(), None);
        for _ in 0..n_entries {
            let key = reader.string(MAX_KEY, "a metadata key")?;
            let type_id = reader.u32()?;
            if key == TOKENS_KEY && tokens.is_none() {
                tokens = Some(TokenSummary::read(reader, type_id)?);
                continue;
            }
            let value = MetadataValue::read(reader, type_id, &key)?;
            // llama.cpp uses the first of several entries with the same key.
            metadata.entry(key).or_insert(value);
        }
        let tensors: Vec<Tensor> =
            (0..n_tensors).map(|_| tensor_info::read(reader)).collect::<Result<_, _>>()?;
        if let Some(name) = duplicate_name(&tensors) {
            return invalid(format!("its header is broken: it names tensor {name} twice"));
        }
        let mut header = Self { metadata, tensors, tokens, extent: FileExtent::default() };
        let needed = header.resolve_offsets(reader.position())?;
        header.extent = FileExtent { present: needed.min(reader.size()), needed };
        Ok(header)
    }

    /// Makes the tensors' offsets count from the start of the file, for a header that ends at
    /// `header_end`. Returns the end of the last tensor.
    fn resolve_offsets(&mut self, header_end: u64) -> Result<u64, HeaderError> {
        let alignment = self.unsigned("general.alignment").unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || !(DEFAULT_ALIGNMENT..=MAX_ALIGNMENT).contains(&alignment)
        {
            return invalid(format!(
                "its header says that general.alignment is {alignment}; it must be a power of two \
                 from {DEFAULT_ALIGNMENT} to {MAX_ALIGNMENT}; convert the model again"
            ));
        }
        let sizes = self.tensors.iter().filter_map(|tensor| tensor.bytes);
        if sizes.fold(0, u64::saturating_add) > MAX_WEIGHTS {
            return invalid("its header is broken: its tensors are larger than any model");
        }
        let data = header_end.next_multiple_of(alignment);
        let mut end = 0;
        for tensor in &mut self.tensors {
            let offset = data.checked_add(tensor.offset);
            let tensor_end = offset.and_then(|at| at.checked_add(tensor.bytes.unwrap_or(0)));
            let (Some(offset), Some(tensor_end)) = (offset, tensor_end) else {
                return invalid("its header is broken: the offset of a tensor is out of range");
            };
            tensor.offset = offset;
            end = end.max(tensor_end);
        }
        Ok(end)
    }
}

/// Reads the magic bytes and the version, and fails unless this is a GGUF file that can be read.
fn check_magic(reader: &mut HeaderReader<impl Read + Seek>) -> Result<(), HeaderError> {
    if reader.size() == 0 {
        return invalid("the file is empty");
    }
    if reader.size() < 4 {
        return invalid("it is not a GGUF file: it has fewer than four bytes");
    }
    let magic: [u8; 4] = reader.array()?;
    if &magic != b"GGUF" {
        return invalid(format!(
            "it is not a GGUF file: it starts with {:?} instead of \"GGUF\"",
            String::from_utf8_lossy(&magic)
        ));
    }
    let version = reader.u32()?;
    if version.swap_bytes() <= 3 && version > 3 {
        return invalid("it is a big-endian GGUF file, which this machine cannot use");
    }
    if !(2..=3).contains(&version) {
        return invalid(format!("its GGUF version is {version}; versions 2 and 3 are supported"));
    }
    Ok(())
}

/// The first name that two of the tensors have in common.
fn duplicate_name(tensors: &[Tensor]) -> Option<&str> {
    let mut names = HashSet::new();
    tensors.iter().map(|tensor| tensor.name.as_str()).find(|&name| !names.insert(name))
}

/// Most bytes that the tensors of one file may take, 64 TiB. The sum over the files of a split
/// model still fits into 64 bits.
const MAX_WEIGHTS: u64 = 1 << 46;
/// Longest metadata key in bytes, by the format's own rule.
const MAX_KEY: u64 = 65_535;
/// Fewest bytes of a metadata entry: key length, type and a one-byte value.
const SMALLEST_ENTRY: u64 = 8 + 4 + 1;
/// Fewest bytes of an entry of the tensor table: name length, dimension count, type and offset.
const SMALLEST_TENSOR: u64 = 8 + 4 + 4 + 8;
/// Alignment of tensors in bytes unless the file says otherwise, and the smallest that llama.cpp
/// accepts: it computes from mapped files and asserts it (`TENSOR_ALIGNMENT`).
const DEFAULT_ALIGNMENT: u64 = 32;
/// Largest alignment in bytes, more than a memory page of any machine.
const MAX_ALIGNMENT: u64 = 1 << 20;
/// Key of the vocabulary's tokens.
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
