//! The header of a GGUF file: metadata, tensor table and vocabulary summary.
//!
//! Every count and length is checked against the file size before memory is allocated, so a broken
//! file cannot cause an allocation larger than the file justifies.

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use serde::{Deserialize, Serialize};

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
    /// How many bytes of the file exist, and how many it needs.
    pub(in crate::llama) extent: FileExtent,
}

/// How many bytes of a file exist, and how many it needs. Both count from the start of the file to
/// the end of its last tensor. For a split model they are sums over its files.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct FileExtent {
    /// Bytes that exist, at most [`Self::needed`].
    pub present: u64,
    /// Bytes that the header and the tensors need.
    pub needed: u64,
}

impl FileExtent {
    /// Whether the file is complete.
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
    /// Accept the file and report its extent, as for a download in progress.
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
            HeaderError::Io(error) => format!("the file cannot be read: {error}"),
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

    /// One integer, or the array of integers or booleans (0 and 1), at `key`; empty if missing or
    /// of another type.
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

    /// Reads metadata and tensor table.
    ///
    /// # Errors
    /// [`HeaderError`], if the file ends too early, cannot be read or has an invalid header.
    fn parse(reader: &mut HeaderReader<impl Read + Seek>) -> Result<Self, HeaderError> {
        check_magic(reader)?;
        let n_tensors = reader.count("tensors", MIN_TENSOR_ENTRY_BYTES)?;
        let n_entries = reader.count("metadata entries", MIN_ENTRY_BYTES)?;
        let (mut metadata, mut tokens) = (HashMap::new(), None);
        for _ in 0..n_entries {
            let key = reader.string(MAX_KEY_BYTES, "a metadata key")?;
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
    ///
    /// # Errors
    /// [`HeaderError::Invalid`], if the alignment is not supported or a tensor is out of range.
    fn resolve_offsets(&mut self, header_end: u64) -> Result<u64, HeaderError> {
        let alignment = self.unsigned("general.alignment").unwrap_or(DEFAULT_ALIGNMENT_BYTES);
        if !alignment.is_power_of_two()
            || !(DEFAULT_ALIGNMENT_BYTES..=MAX_ALIGNMENT_BYTES).contains(&alignment)
        {
            return invalid(format!(
                "its header says that general.alignment is {alignment}; it must be a power of two \
                 from {DEFAULT_ALIGNMENT_BYTES} to {MAX_ALIGNMENT_BYTES}; convert the model again"
            ));
        }
        let sizes = self.tensors.iter().filter_map(|tensor| tensor.bytes);
        if sizes.fold(0, u64::saturating_add) > MAX_WEIGHTS_BYTES {
            return invalid("its header is broken: its tensors claim more than 64 TiB");
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

/// Reads the magic bytes and the version.
///
/// # Errors
/// [`HeaderError::Invalid`], unless this is a little-endian GGUF file of version 2 or 3.
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

/// The first tensor name that occurs twice.
fn duplicate_name(tensors: &[Tensor]) -> Option<&str> {
    let mut names = HashSet::new();
    tensors.iter().map(|tensor| tensor.name.as_str()).find(|&name| !names.insert(name))
}

/// Maximum number of bytes that the tensors of one file may take, 64 TiB. The sum over the files of
/// a split model still fits into 64 bits.
const MAX_WEIGHTS_BYTES: u64 = 1 << 46;
/// Longest metadata key in bytes, by the format's own rule.
const MAX_KEY_BYTES: u64 = 65_535;
/// Minimum size of a metadata entry in bytes: key length, type and a one-byte value.
const MIN_ENTRY_BYTES: u64 = 8 + 4 + 1;
/// Minimum size of an entry of the tensor table in bytes: name length, dimension count, type and
/// offset.
const MIN_TENSOR_ENTRY_BYTES: u64 = 8 + 4 + 4 + 8;
/// Alignment of tensors in bytes unless the file says otherwise. It is also the minimum: llama.cpp
/// reads tensors in place from mapped files and asserts this alignment (`TENSOR_ALIGNMENT`).
const DEFAULT_ALIGNMENT_BYTES: u64 = 32;
/// Maximum alignment in bytes, more than a memory page of any machine.
const MAX_ALIGNMENT_BYTES: u64 = 1 << 20;
/// Key of the vocabulary's tokens.
const TOKENS_KEY: &str = "tokenizer.ggml.tokens";
