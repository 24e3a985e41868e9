//! Reads and checks the header of a GGUF file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little
//! endian. Every count and length is checked against the size of the file before anything is
//! allocated for it, so a broken file is refused here with its reason. So is a truncated one, whose
//! tensors do not all lie inside the file, unless its header alone is wanted. What the metadata means is left to [`super::super::describe`].

use std::collections::{HashMap, HashSet};
use std::io::{Read, Seek};

use super::reader::{Input, Problem, broken};
use super::tokens::Tokens;

/// The header of a GGUF file.
#[derive(Debug)]
pub(in crate::llama) struct Header {
    metadata: HashMap<String, Value>,
    pub(in crate::llama) tensors: Vec<Tensor>,
    /// What is known of the vocabulary's tokens, where there are any.
    pub(in crate::llama) tokens: Option<Tokens>,
    /// How much of the file there is.
    pub(in crate::llama) extent: FileExtent,
}

/// How much of a file there is, or of several together.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct FileExtent {
    /// Bytes that are there, no more than are needed.
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

/// A metadata value, as far as it is kept.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::llama) enum Value {
    Integer(i128),
    Float(f64),
    Bool(bool),
    Text(String),
    /// One number for each layer, or 0 and 1 for no and yes.
    Integers(Vec<i128>),
    /// What is too long to be one of the values we use.
    Long,
}

/// What the header says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama) struct Tensor {
    /// What the file calls it; no other tensor of a model is called so.
    pub(in crate::llama) name: String,
    /// Number of weights.
    pub(in crate::llama) elements: u64,
    /// Size in bytes; `None` for a type this build does not know.
    pub(in crate::llama) bytes: Option<u64>,
    /// Which of the model's files it lies in, counted from 0, and at which byte of that.
    pub(in crate::llama) file: usize,
    pub(in crate::llama) at: u64,
    /// What it is for.
    pub(in crate::llama) part: Part,
    /// The layer whose attention keys it makes, where it does, and how long they are together.
    pub(in crate::llama) keys: Option<(usize, u64)>,
    /// Bytes of the copy in another order that ggml computes from on this processor; `None` where
    /// it computes from what the file has. Embeddings have one where they are the output, too.
    pub(in crate::llama) copy: Option<u64>,
    /// Whether the model can only be computed if no tensor is kept in another order.
    pub(in crate::llama) breaks_tiles: bool,
    /// Why nothing can be computed with it, where that is so.
    pub(in crate::llama) complaint: Option<String>,
}

impl Tensor {
    /// One of so many bytes in a model of one file.
    #[cfg(test)]
    pub(in crate::llama) fn of(part: Part, at: u64, bytes: u64, copy: Option<u64>) -> Self {
        Self {
            name: String::new(),
            elements: bytes,
            bytes: Some(bytes),
            file: 0,
            at,
            part,
            keys: None,
            copy,
            breaks_tiles: false,
            complaint: None,
        }
    }

    /// Whether a copy of it in another order is all that is computed from.
    pub(in crate::llama) fn is_only_copied(&self) -> bool {
        self.copy.is_some() && self.part != Part::Embedding
    }
}

/// The part of a model that a tensor belongs to, as its name says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::llama) enum Part {
    /// One layer's, used for every token.
    Layer(u32),
    /// One layer's experts, of which a token uses few.
    Experts(u32),
    /// The token embeddings.
    Embedding,
    /// What else is looked up for a token before the first layer.
    Input,
    /// The output matrix.
    Output,
    /// What stands before or behind the layers: norms, rope factors.
    Other,
}

impl Part {
    pub(super) fn of(name: &str) -> Self {
        match name {
            "token_embd.weight" => return Self::Embedding,
            "output.weight" => return Self::Output,
            "position_embd.weight" | "token_types.weight" | "per_layer_token_embd.weight" => {
                return Self::Input;
            }
            _ => {}
        }
        let layer = name.strip_prefix("blk.").and_then(|rest| rest.split_once('.'));
        let number = layer.and_then(|(number, kind)| Some((number.parse().ok()?, kind)));
        match number {
            Some((layer, kind)) if kind.contains("_exps") || kind.contains("_chexps") => {
                Self::Experts(layer)
            }
            Some((layer, _)) => Self::Layer(layer),
            None => Self::Other,
        }
    }
}

/// Most bytes that all tensors of a file may take, 64 TiB: the sum over the files of a split model, a
/// thousand at most, then fits its type.
const MAX_WEIGHTS: u64 = 1 << 46;

/// Deepest and longest shapes ggml knows (`GGML_MAX_DIMS`, `GGML_MAX_NAME`).
pub(super) const MAX_DIMS: u32 = 4;
pub(super) const MAX_NAME: u64 = 64;
/// No metadata key is longer by the format's own rule.
const MAX_KEY: u64 = 65_535;
/// Smallest encodings of one metadata entry and of one tensor, to check counts against the size.
const SMALLEST_ENTRY: u64 = 8 + 4 + 1;
const SMALLEST_TENSOR: u64 = 8 + 4 + 4 + 8;
/// More tensors or entries than any model has: a thousand layers of a thousand each.
pub(super) const MAX_COUNT: u64 = 1_000_000;
/// Where the tensors begin in files that do not say so. llama.cpp computes on mapped files in
/// place and asserts this alignment (`TENSOR_ALIGNMENT`), so there is no smaller one.
const DEFAULT_ALIGNMENT: u64 = 32;
/// More than a page of any machine: a larger alignment only makes files longer.
const MAX_ALIGNMENT: u64 = 1 << 20;
const TOKENS: &str = "tokenizer.ggml.tokens";

impl Header {
    /// A header of these entries alone.
    #[cfg(test)]
    pub(in crate::llama) fn of(entries: &[(&str, Value)]) -> Self {
        let metadata = entries.iter().map(|(key, value)| ((*key).to_owned(), value.clone()));
        let metadata = metadata.collect();
        Self { metadata, tensors: Vec::new(), tokens: None, extent: FileExtent::default() }
    }

    /// Reads the header of a file of `size` bytes, whose tensors may be missing.
    ///
    /// # Errors
    /// One line on what is wrong with the file.
    pub(in crate::llama) fn read_alone(file: impl Read + Seek, size: u64) -> Result<Self, String> {
        let mut input = Input::new(file, size);
        Self::parse(&mut input).map_err(|problem| match problem {
            Problem::Ends => format!(
                "the file ends inside its header, after {size} bytes: it is truncated, \
                 download or copy it again"
            ),
            Problem::Io(error) => format!("reading it failed: {error}"),
            Problem::Broken(reason) => reason,
        })
    }

    /// Reads the header of a file of `size` bytes, all of whose tensors must be there.
    ///
    /// # Errors
    /// One line on what is wrong with the file.
    pub(in crate::llama) fn read(file: impl Read + Seek, size: u64) -> Result<Self, String> {
        let header = Self::read_alone(file, size)?;
        if header.extent.is_whole() {
            return Ok(header);
        }
        Err(format!(
            "the file has {size} bytes and its tensors need {}: it is truncated, download or copy \
             it again",
            header.extent.needed
        ))
    }

    fn parse(input: &mut Input<impl Read + Seek>) -> Result<Self, Problem> {
        if input.size == 0 {
            return broken("the file is empty");
        }
        let mut magic = [0; 4];
        if input.size < 4 {
            return broken("it is not a GGUF file: it has less than four bytes");
        }
        input.bytes(&mut magic)?;
        if &magic != b"GGUF" {
            return broken(format!(
                "it is not a GGUF file: it begins with {:?} instead of \"GGUF\"",
                String::from_utf8_lossy(&magic)
            ));
        }
        let version = input.u32()?;
        if version.swap_bytes() <= 3 && version > 3 {
            return broken("it is a big-endian GGUF, which this machine cannot use");
        }
        if !(2..=3).contains(&version) {
            return broken(format!(
                "its GGUF version is {version}; versions 2 and 3 are supported"
            ));
        }
        let n_tensors = input.count("tensors", SMALLEST_TENSOR)?;
        let n_entries = input.count("metadata entries", SMALLEST_ENTRY)?;
        let mut metadata = HashMap::new();
        let mut tokens = None;
        for _ in 0..n_entries {
            let key = input.text(MAX_KEY, "a metadata key")?;
            let kind = input.u32()?;
            if key == TOKENS && tokens.is_none() {
                tokens = Some(Tokens::read(input, kind)?);
                continue;
            }
            let value = input.value(kind, &key)?;
            // llama.cpp takes the first of several.
            metadata.entry(key).or_insert(value);
        }
        let mut tensors = Vec::new();
        for _ in 0..n_tensors {
            tensors.push(input.tensor()?);
        }
        if let Some(name) = repeated(&tensors) {
            return broken(format!("its header is broken: it names tensor {name} twice"));
        }
        let mut header = Self { metadata, tensors, tokens, extent: FileExtent::default() };
        let needed = header.plan_offload(input.at)?;
        header.extent = FileExtent { present: needed.min(input.size), needed };
        Ok(header)
    }

    /// Places the tensors behind a header that ends at `header_end`; where the last of them ends.
    fn plan_offload(&mut self, header_end: u64) -> Result<u64, Problem> {
        let alignment = self.unsigned("general.alignment").unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || !(DEFAULT_ALIGNMENT..=MAX_ALIGNMENT).contains(&alignment)
        {
            return broken(format!(
                "its header says that general.alignment is {alignment}; it must be a power of two \
                 from {DEFAULT_ALIGNMENT} to {MAX_ALIGNMENT}, convert the model again"
            ));
        }
        let sizes = self.tensors.iter().filter_map(|tensor| tensor.bytes);
        if sizes.fold(0, u64::saturating_add) > MAX_WEIGHTS {
            return broken("its header is broken: its tensors are larger than any model");
        }
        let data = header_end.next_multiple_of(alignment);
        let mut end = 0;
        for tensor in &mut self.tensors {
            let at = data.checked_add(tensor.at);
            let tensor_end = at.and_then(|at| at.checked_add(tensor.bytes.unwrap_or(0)));
            let (Some(at), Some(tensor_end)) = (at, tensor_end) else {
                return broken("its header is broken: a tensor lies beyond all bounds");
            };
            tensor.at = at;
            end = end.max(tensor_end);
        }
        Ok(end)
    }

    pub(in crate::llama) fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    /// A number that is not negative.
    pub(in crate::llama) fn unsigned(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key)? {
            Value::Integer(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    pub(in crate::llama) fn boolean(&self, key: &str) -> Option<bool> {
        match self.metadata.get(key)? {
            Value::Bool(is) => Some(*is),
            _ => None,
        }
    }

    /// The floats among the entries, with their keys.
    pub(in crate::llama) fn floats(&self) -> impl Iterator<Item = (&str, f64)> {
        self.metadata.iter().filter_map(|(key, value)| match value {
            Value::Float(n) => Some((key.as_str(), *n)),
            _ => None,
        })
    }

    /// The numbers of an entry that is one for all layers, or one for each.
    pub(in crate::llama) fn numbers(&self, key: &str) -> &[i128] {
        match self.metadata.get(key) {
            Some(Value::Integer(n)) => std::slice::from_ref(n),
            Some(Value::Integers(n)) => n,
            _ => &[],
        }
    }

    /// The integers or yes-and-noes of a list, where `key` is one.
    pub(in crate::llama) fn list(&self, key: &str) -> Option<&[i128]> {
        match self.metadata.get(key) {
            Some(Value::Integers(n)) => Some(n),
            _ => None,
        }
    }

    /// Whether there is an entry `key`, of whatever type.
    pub(in crate::llama) fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }
}

/// A name that two of these tensors have.
fn repeated(tensors: &[Tensor]) -> Option<&str> {
    let mut names = HashSet::new();
    tensors.iter().map(|tensor| tensor.name.as_str()).find(|&name| !names.insert(name))
}
