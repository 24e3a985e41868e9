//! Reads the parts of a GGUF header one after the other, within fixed bounds.
//!
//! Nothing is allocated for a length that the file only claims: what is long is skipped, what is
//! kept has a budget, and a header that llama.cpp would need very much memory for is refused.

use std::io::{self, Read, Seek};

use llama_cpp_sys_2 as sys;

use super::header::{MAX_COUNT, MAX_DIMS, MAX_NAME, Part, Tensor, Value};
use super::repack::{self, Matrix};
use super::types;

/// Longest header: ten times that of a model with a quarter of a million tokens. llama.cpp reads
/// all of it into memory, several times over.
const MAX_HEADER: u64 = 256 << 20;
/// Longest text that is kept. The longest that we use is a model's name; a chat template is only
/// asked whether it is there.
const MAX_TEXT: u64 = 4096;
/// Most bytes of keys and values that are kept: real headers have a few kilobytes.
const MAX_KEPT: u64 = 16 << 20;
/// What an entry takes besides its text.
const ENTRY_OVERHEAD: u64 = 64;
/// Longest array that is kept: one number for each layer (`LLAMA_MAX_LAYERS`).
const MAX_NUMBERS: u64 = 512;

/// What stops the reading.
pub(super) enum Problem {
    /// The file ends too early.
    Ends,
    Io(io::Error),
    Broken(String),
}

pub(super) fn broken<T>(reason: impl Into<String>) -> Result<T, Problem> {
    Err(Problem::Broken(reason.into()))
}

/// A file that is read from its beginning.
pub(super) struct Input<F> {
    file: F,
    pub(super) size: u64,
    pub(super) at: u64,
    kept: u64,
}

impl<F> Input<F> {
    pub(super) fn new(file: F, size: u64) -> Self {
        Self { file, size, at: 0, kept: 0 }
    }

    fn left(&self) -> u64 {
        self.size - self.at
    }
}

impl<F: Read + Seek> Input<F> {
    pub(super) fn bytes(&mut self, buffer: &mut [u8]) -> Result<(), Problem> {
        self.check(buffer.len() as u64)?;
        self.file.read_exact(buffer).map_err(Problem::Io)?;
        self.at += buffer.len() as u64;
        Ok(())
    }

    /// Whether the next `n` bytes are there and still belong to a header.
    fn check(&self, n: u64) -> Result<(), Problem> {
        if n > self.left() {
            return Err(Problem::Ends);
        }
        if self.at + n > MAX_HEADER {
            return broken(format!(
                "its header is broken: it has more than {} MiB",
                MAX_HEADER >> 20
            ));
        }
        Ok(())
    }

    /// Accounts for `n` bytes that are kept.
    fn keep(&mut self, n: u64) -> Result<(), Problem> {
        self.kept += n;
        if self.kept > MAX_KEPT {
            return broken(format!(
                "its header is broken: its metadata has more than {} MiB of keys and values",
                MAX_KEPT >> 20
            ));
        }
        Ok(())
    }

    fn skip(&mut self, n: u64) -> Result<(), Problem> {
        self.check(n)?;
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

    pub(super) fn u32(&mut self) -> Result<u32, Problem> {
        self.array().map(u32::from_le_bytes)
    }

    pub(super) fn u64(&mut self) -> Result<u64, Problem> {
        self.array().map(u64::from_le_bytes)
    }

    /// A count of things that take at least `smallest` bytes each.
    pub(super) fn count(&mut self, what: &str, smallest: u64) -> Result<u64, Problem> {
        let n = self.u64()?;
        if n > MAX_COUNT {
            return broken(format!("its header is broken: it claims {n} {what}"));
        }
        if n > self.left() / smallest {
            return Err(Problem::Ends);
        }
        Ok(n)
    }

    /// A text of at most `longest` bytes. It ends at a zero byte, as it does for llama.cpp.
    pub(super) fn text(&mut self, longest: u64, what: &str) -> Result<String, Problem> {
        let mut bytes = Vec::new();
        self.raw_text(longest, what, &mut bytes)?;
        self.keep(ENTRY_OVERHEAD + bytes.len() as u64)?;
        // Some published files have keys or values in other encodings; they only cost a character.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Like [`Self::text`], into a buffer that is used again.
    pub(super) fn raw_text(
        &mut self,
        longest: u64,
        what: &str,
        bytes: &mut Vec<u8>,
    ) -> Result<(), Problem> {
        let len = self.u64()?;
        if len > self.left() {
            return Err(Problem::Ends);
        }
        if len > longest {
            return broken(format!("its header is broken: {what} has {len} bytes"));
        }
        bytes.clear();
        bytes.resize(len as usize, 0);
        self.bytes(bytes)?;
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        bytes.truncate(end);
        Ok(())
    }

    pub(super) fn value(&mut self, kind: u32, key: &str) -> Result<Value, Problem> {
        Ok(match kind {
            6 => Value::Float(f32::from_le_bytes(self.array()?).into()),
            7 => Value::Bool(self.array::<1>()? != [0]),
            8 => self.text_value()?,
            9 => self.array_value(key)?,
            12 => Value::Float(f64::from_le_bytes(self.array()?)),
            _ => match self.integer(kind)? {
                Some(n) => Value::Integer(n),
                None => {
                    return broken(format!("its header is broken: {key} has the type {kind}"));
                }
            },
        })
    }

    fn text_value(&mut self) -> Result<Value, Problem> {
        let len = self.u64()?;
        if len > MAX_TEXT {
            self.skip(len)?;
            return Ok(Value::Long);
        }
        let mut bytes = vec![0; len as usize];
        self.bytes(&mut bytes)?;
        let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
        self.keep(len)?;
        Ok(Value::Text(String::from_utf8_lossy(&bytes[..end]).into_owned()))
    }

    /// A number of an integer type; `None` for other types.
    fn integer(&mut self, kind: u32) -> Result<Option<i128>, Problem> {
        Ok(Some(match kind {
            0 => u8::from_le_bytes(self.array()?).into(),
            1 => i8::from_le_bytes(self.array()?).into(),
            2 => u16::from_le_bytes(self.array()?).into(),
            3 => i16::from_le_bytes(self.array()?).into(),
            4 => self.u32()?.into(),
            5 => i32::from_le_bytes(self.array()?).into(),
            10 => self.u64()?.into(),
            11 => i64::from_le_bytes(self.array()?).into(),
            _ => return Ok(None),
        }))
    }

    fn array_value(&mut self, key: &str) -> Result<Value, Problem> {
        let kind = self.u32()?;
        let len = self.u64()?;
        let width: u64 = match kind {
            0 | 1 | 7 => 1,
            2 | 3 => 2,
            4..=6 => 4,
            10..=12 => 8,
            8 => {
                for _ in 0..len {
                    let n = self.u64()?;
                    self.skip(n)?;
                }
                return Ok(Value::Long);
            }
            _ => return broken(format!("its header is broken: {key} is an array of type {kind}")),
        };
        if len <= MAX_NUMBERS && matches!(kind, 0..=5 | 7 | 10 | 11) {
            self.keep(len * size_of::<i128>() as u64)?;
            let numbers = (0..len).map(|_| match kind {
                7 => Ok(i128::from(self.array::<1>()? != [0])),
                _ => Ok(self.integer(kind)?.unwrap_or_default()),
            });
            return Ok(Value::Integers(numbers.collect::<Result<_, _>>()?));
        }
        self.skip(len.checked_mul(width).ok_or(Problem::Ends)?)?;
        Ok(Value::Long)
    }

    /// One tensor, `at` its offset in the data.
    pub(super) fn tensor(&mut self) -> Result<Tensor, Problem> {
        let mut name = Vec::new();
        self.raw_text(MAX_NAME, "a tensor's name", &mut name)?;
        let name = String::from_utf8_lossy(&name).into_owned();
        let n_dims = self.u32()?;
        if n_dims > MAX_DIMS {
            return broken(format!("its header is broken: tensor {name} has {n_dims} dimensions"));
        }
        let mut elements: u64 = 1;
        let (mut row, mut rows) = (1, 1);
        for i in 0..n_dims {
            let n = self.u64()?;
            match i {
                0 => row = n,
                1 => rows = n,
                _ => {}
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
        let layer = name.strip_prefix("blk.").and_then(|name| name.strip_suffix(".attn_k.weight"));
        let keys = layer.and_then(|layer| Some((layer.parse().ok()?, elements / row)));
        let part = Part::of(&name);
        let matrix = bytes.filter(|_| n_dims > 1).map(|bytes| Matrix {
            kind,
            part,
            row,
            rows,
            bytes,
            is_stack: n_dims > 2,
        });
        let has_amx = repack::has_amx();
        let copy = matrix.and_then(|matrix| matrix.copy(has_amx));
        let breaks_tiles = matrix.is_some_and(|matrix| matrix.breaks_tiles(has_amx));
        let complaint = types::complaint(&name, n_dims, kind);
        let tensor = Tensor {
            name,
            elements,
            bytes,
            file: 0,
            at: offset,
            part,
            keys,
            copy,
            breaks_tiles,
            complaint,
        };
        Ok(tensor)
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
