//! Reads and checks the header of a GGUF file.
//!
//! Format: <https://github.com/ggml-org/ggml/blob/master/docs/gguf.md>, versions 2 and 3, little
//! endian. Every count and length is checked against the size of the file before anything is
//! allocated for it, and every tensor must lie inside the file, so a truncated or broken file is
//! refused here with its reason. What the metadata means is left to [`super::source`].

use std::collections::HashMap;
use std::io::{self, Read, Seek};

use llama_cpp_sys_2 as sys;

/// The header of a GGUF file.
#[derive(Debug)]
pub(super) struct Header {
    metadata: HashMap<String, Value>,
    pub(super) tensors: Vec<Tensor>,
}

/// A metadata value. Arrays are only counted: none that we use is one.
#[derive(Debug, Clone, PartialEq)]
pub(super) enum Value {
    Unsigned(u64),
    Signed(i64),
    Float(f64),
    Bool(bool),
    Text(String),
    Array { len: u64 },
}

/// What the header says of one tensor.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Tensor {
    /// Number of weights.
    pub(super) elements: u64,
    /// Size in bytes; `None` for a type this build does not know.
    pub(super) bytes: Option<u64>,
}

/// Deepest and longest shapes ggml knows (`GGML_MAX_DIMS`, `GGML_MAX_NAME`).
const MAX_DIMS: u32 = 4;
const MAX_NAME: u64 = 64;
/// No metadata key is longer by the format's own rule.
const MAX_KEY: u64 = 65_535;
/// Smallest encodings of one metadata entry and of one tensor, to check counts against the size.
const SMALLEST_ENTRY: u64 = 8 + 4 + 1;
const SMALLEST_TENSOR: u64 = 8 + 4 + 4 + 8;
/// More tensors or entries than any model has: a thousand layers of a thousand each.
const MAX_COUNT: u64 = 1_000_000;
const DEFAULT_ALIGNMENT: u64 = 32;

impl Header {
    /// Reads the header of a file of `size` bytes.
    ///
    /// # Errors
    /// One line on what is wrong with the file.
    pub(super) fn read(file: impl Read + Seek, size: u64) -> Result<Self, String> {
        let mut input = Input { file, size, at: 0 };
        Self::parse(&mut input).map_err(|problem| match problem {
            Problem::Ends => format!(
                "the file ends inside its header, after {size} bytes: it is truncated, \
                 download or copy it again"
            ),
            Problem::Io(error) => format!("reading it failed: {error}"),
            Problem::Broken(reason) => reason,
        })
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
        for _ in 0..n_entries {
            let key = input.text(MAX_KEY, "a metadata key")?;
            let kind = input.u32()?;
            let value = input.value(kind, &key)?;
            metadata.insert(key, value);
        }
        let mut layout = Vec::new();
        for _ in 0..n_tensors {
            layout.push(input.tensor()?);
        }
        let header = Self { metadata, tensors: layout.iter().map(|(t, _)| t.clone()).collect() };
        header.check_extent(&layout, input)?;
        Ok(header)
    }

    /// Every tensor must end inside the file.
    fn check_extent<F>(&self, layout: &[(Tensor, u64)], input: &Input<F>) -> Result<(), Problem> {
        let alignment = self.unsigned("general.alignment").unwrap_or(DEFAULT_ALIGNMENT);
        if !alignment.is_power_of_two() || alignment > 1 << 20 {
            return broken(format!("its header is broken: the alignment is {alignment}"));
        }
        let data = input.at.next_multiple_of(alignment);
        let end = layout
            .iter()
            .map(|(tensor, offset)| {
                data.checked_add(*offset)?.checked_add(tensor.bytes.unwrap_or(0))
            })
            .try_fold(0, |end, tensor_end| Some(end.max(tensor_end?)));
        match end {
            None => broken("its header is broken: a tensor lies beyond all bounds"),
            Some(end) if end > input.size => broken(format!(
                "the file has {} bytes and its tensors need {end}: it is truncated, \
                 download or copy it again",
                input.size
            )),
            Some(_) => Ok(()),
        }
    }

    pub(super) fn text(&self, key: &str) -> Option<&str> {
        match self.metadata.get(key)? {
            Value::Text(text) => Some(text),
            _ => None,
        }
    }

    pub(super) fn unsigned(&self, key: &str) -> Option<u64> {
        match self.metadata.get(key)? {
            Value::Unsigned(n) => Some(*n),
            Value::Signed(n) => u64::try_from(*n).ok(),
            _ => None,
        }
    }

    /// Whether there is an entry `key`, of whatever type.
    pub(super) fn has(&self, key: &str) -> bool {
        self.metadata.contains_key(key)
    }
}

/// What stops the reading.
enum Problem {
    /// The file ends too early.
    Ends,
    Io(io::Error),
    Broken(String),
}

fn broken<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Broken(reason.into()))
}

struct Input<F> {
    file: F,
    size: u64,
    at: u64,
}

impl<F> Input<F> {
    fn left(&self) -> u64 {
        self.size - self.at
    }
}

impl<F: Read + Seek> Input<F> {
    fn bytes(&mut self, buffer: &mut [u8]) -> Result<(), Problem> {
        if buffer.len() as u64 > self.left() {
            return Err(Problem::Ends);
        }
        self.file.read_exact(buffer).map_err(Problem::Io)?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    fn skip(&mut self, n: u64) -> Result<(), Problem> {
        if n > self.left() {
            return Err(Problem::Ends);
        }
        let offset = i64::try_from(n).map_err(|_| Problem::Ends)?;
        self.file.seek_relative(offset).map_err(Problem::Io)?;
        self.at += n;
        Ok(())
    }

    fn array<const N: usize>(&mut self) -> Result<[u8; N], Problem> {
        let mut bytes = [0; N];
        self.bytes(&mut bytes)?;
        Ok(bytes)
    }

    fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    fn u64(&mut self) -> Result<u64, Problem> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `smallest` bytes each.
    fn count(&mut self, what: &str, smallest: u64) -> Result<u64, Problem> {
        let n = self.u64()?;
        if n > MAX_COUNT {
            return broken(format!("its header is broken: it claims {n} {what}"));
        }
        if n > self.left() / smallest {
            return Err(Problem::Ends);
        }
        Ok(n)
    }

    fn text(&mut self, longest: u64, what: &str) -> Result<String, Problem> {
        let len = self.u64()?;
        if len > self.left() {
            return Err(Problem::Ends);
        }
        if len > longest {
            return broken(format!("its header is broken: {what} has {len} bytes"));
        }
        let mut bytes = vec![0; len as usize];
        self.bytes(&mut bytes)?;
        // Some published files have keys or values in other encodings; they only cost a character.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    fn value(&mut self, kind: u32, key: &str) -> Result<Value, Problem> {
        Ok(match kind {
            0 => Value::Unsigned(u8::from_le_bytes(self.array()?).into()),
            1 => Value::Signed(i8::from_le_bytes(self.array()?).into()),
            2 => Value::Unsigned(u16::from_le_bytes(self.array()?).into()),
            3 => Value::Signed(i16::from_le_bytes(self.array()?).into()),
            4 => Value::Unsigned(self.u32()?.into()),
            5 => Value::Signed(i32::from_le_bytes(self.array()?).into()),
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => Value::Text(self.text(self.size, "a metadata value")?),
            9 => self.skip_array(key)?,
            10 => Value::Unsigned(self.u64()?),
            11 => Value::Signed(i64::from_le_bytes(self.array()?)),
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => return broken(format!("its header is broken: {key} has the type {kind}")),
        })
    }

    fn skip_array(&mut self, key: &str) -> Result<Value, Problem> {
        let kind = self.u32()?;
        let len = self.u64()?;
        let width = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..len {
                    let n = self.u64()?;
                    self.skip(n)?;
                }
                0
            }
            _ => return broken(format!("its header is broken: {key} is an array of type {kind}")),
        };
        self.skip(len.checked_mul(width).ok_or(Problem::Ends)?)?;
        Ok(Value::Array { len })
    }

    /// One tensor and its offset in the data.
    fn tensor(&mut self) -> Result<(Tensor, u64), Problem> {
        let name = self.text(MAX_NAME, "a tensor's name")?;
        let n_dims = self.u32()?;
        if n_dims > MAX_DIMS {
            return broken(format!("its header is broken: tensor {name} has {n_dims} dimensions"));
        }
        let mut elements: u64 = 1;
        let mut row = 1;
        for i in 0..n_dims {
            let n = self.u64()?;
            if i == 0 {
                row = n;
            }
            elements = elements.checked_mul(n).filter(|&n| n > 0).ok_or_else(|| {
                Problem::Broken(format!("its header is broken: tensor {name} has a side of {n}"))
            })?;
        }
        let kind = self.u32()?;
        let offset = self.u64()?;
        let bytes = match block(kind) {
            None => None,
            Some((width, size)) if row % width == 0 => (elements / width).checked_mul(size),
            Some((width, _)) => {
                return broken(format!(
                    "its header is broken: the rows of tensor {name} have {row} weights and its \
                     type packs {width}"
                ));
            }
        };
        Ok((Tensor { elements, bytes }, offset))
    }
}

/// Weights in a block of a ggml type, and its bytes; `None` for types this ggml does not know.
fn block(kind: u32) -> Option<(u64, u64)> {
    if kind >= sys::GGML_TYPE_COUNT {
        return None;
    }
    // SAFETY: the id is below the number of types, which is what ggml's table is indexed by.
    let (width, size) = unsafe {
        (sys::ggml_blck_size(kind as sys::ggml_type), sys::ggml_type_size(kind as sys::ggml_type))
    };
    let width = u64::try_from(width).ok().filter(|&n| n > 0)?;
    (size > 0).then_some((width, size as u64))
}
