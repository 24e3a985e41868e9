//! Reads the metadata values of a GGUF header.
//!
//! Only what the server uses is stored, within fixed limits. Everything else is skipped, since a
//! vocabulary's merges and scores can take many megabytes.

use std::io::{Read, Seek};

use super::reader::{HeaderError, HeaderReader, before_nul, invalid};

/// A metadata value, stored as far as the server uses it.
#[derive(Debug, Clone, PartialEq)]
pub(in crate::llama) enum MetadataValue {
    /// An integer of any width.
    Integer(i128),
    /// A 32-bit or 64-bit float.
    Float(f64),
    /// A boolean.
    Bool(bool),
    /// A string of at most [`MAX_STRING_BYTES`] bytes.
    String(String),
    /// An array of at most [`MAX_ARRAY_LEN`] integers or booleans (as 0 and 1), such as one per
    /// layer.
    Integers(Vec<i128>),
    /// A value of any other kind, which is not stored: a long string, or another array.
    Skipped,
}

impl MetadataValue {
    /// Reads the value of `key`, of the GGUF type `type_id`.
    ///
    /// # Errors
    /// [`HeaderError`], if the type is unknown, the file ends too early or too much would be
    /// stored.
    pub(super) fn read<F: Read + Seek>(
        reader: &mut HeaderReader<F>,
        type_id: u32,
        key: &str,
    ) -> Result<Self, HeaderError> {
        Ok(match type_id {
            FLOAT32 => Self::Float(f32::from_le_bytes(reader.array()?).into()),
            FLOAT64 => Self::Float(f64::from_le_bytes(reader.array()?)),
            BOOL => Self::Bool(reader.array::<1>()? != [0]),
            STRING => read_string(reader)?,
            ARRAY => read_array(reader, key)?,
            _ => match read_integer(reader, type_id)? {
                Some(n) => Self::Integer(n),
                None => {
                    return invalid(format!("its header is broken: {key} has the type {type_id}"));
                }
            },
        })
    }
}

/// Reads a string up to its first zero byte, or skips a long one.
fn read_string<F: Read + Seek>(reader: &mut HeaderReader<F>) -> Result<MetadataValue, HeaderError> {
    let len = reader.u64()?;
    if len > MAX_STRING_BYTES {
        reader.skip(len)?;
        return Ok(MetadataValue::Skipped);
    }
    let mut bytes = vec![0; len as usize];
    reader.bytes(&mut bytes)?;
    reader.charge(len)?;
    Ok(MetadataValue::String(String::from_utf8_lossy(before_nul(&bytes)).into_owned()))
}

/// Reads a value of an integer type; `None` if `type_id` is another type.
fn read_integer<F: Read + Seek>(
    reader: &mut HeaderReader<F>,
    type_id: u32,
) -> Result<Option<i128>, HeaderError> {
    Ok(Some(match type_id {
        UINT8 => u8::from_le_bytes(reader.array()?).into(),
        INT8 => i8::from_le_bytes(reader.array()?).into(),
        UINT16 => u16::from_le_bytes(reader.array()?).into(),
        INT16 => i16::from_le_bytes(reader.array()?).into(),
        UINT32 => reader.u32()?.into(),
        INT32 => i32::from_le_bytes(reader.array()?).into(),
        UINT64 => reader.u64()?.into(),
        INT64 => i64::from_le_bytes(reader.array()?).into(),
        _ => return Ok(None),
    }))
}

/// Reads a short array of integers or booleans, or skips any other array.
fn read_array<F: Read + Seek>(
    reader: &mut HeaderReader<F>,
    key: &str,
) -> Result<MetadataValue, HeaderError> {
    let type_id = reader.u32()?;
    let len = reader.u64()?;
    let width: u64 = match type_id {
        UINT8 | INT8 | BOOL => 1,
        UINT16 | INT16 => 2,
        UINT32 | INT32 | FLOAT32 => 4,
        UINT64 | INT64 | FLOAT64 => 8,
        STRING => {
            for _ in 0..len {
                let n = reader.u64()?;
                reader.skip(n)?;
            }
            return Ok(MetadataValue::Skipped);
        }
        _ => return invalid(format!("its header is broken: {key} is an array of type {type_id}")),
    };
    if len <= MAX_ARRAY_LEN && !matches!(type_id, FLOAT32 | FLOAT64) {
        reader.charge(len * size_of::<i128>() as u64)?;
        let values = (0..len).map(|_| match type_id {
            BOOL => Ok(i128::from(reader.array::<1>()? != [0])),
            _ => Ok(read_integer(reader, type_id)?.unwrap_or_default()),
        });
        return Ok(MetadataValue::Integers(values.collect::<Result<_, _>>()?));
    }
    reader.skip(len.checked_mul(width).ok_or(HeaderError::Truncated)?)?;
    Ok(MetadataValue::Skipped)
}

/// Longest string that is stored, in bytes. The longest string that is used is a model's name. Of a
/// chat template only its existence is used.
const MAX_STRING_BYTES: u64 = 4096;
/// Maximum length of a stored array: one number per layer (`LLAMA_MAX_LAYERS`).
const MAX_ARRAY_LEN: u64 = 512;

// The type ids of GGUF (`gguf_type`).
const UINT8: u32 = 0;
const INT8: u32 = 1;
const UINT16: u32 = 2;
const INT16: u32 = 3;
const UINT32: u32 = 4;
const INT32: u32 = 5;
const FLOAT32: u32 = 6;
const BOOL: u32 = 7;
pub(super) const STRING: u32 = 8;
pub(super) const ARRAY: u32 = 9;
const UINT64: u32 = 10;
const INT64: u32 = 11;
const FLOAT64: u32 = 12;
