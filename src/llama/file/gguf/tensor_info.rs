//! Reads the entries of a header's tensor table (`gguf_tensor_info_t`).
//!
//! An entry is invalid if ggml could not compute the tensor's size from it. What llama.cpp would do
//! with the tensor is judged by `repack` and `types`, whose results are stored in the [`Tensor`].

use std::io::{Read, Seek};

use llama_cpp_sys_2 as sys;

use super::reader::{HeaderError, HeaderReader, invalid};
use super::repack::{self, Matrix};
use super::tensor::{Tensor, TensorRole};
use super::types;

/// Reads one entry. Its [`Tensor::offset`] still counts from the start of the file's data section.
///
/// # Errors
/// [`HeaderError`], if the file ends too early or the entry is invalid.
pub(super) fn read(reader: &mut HeaderReader<impl Read + Seek>) -> Result<Tensor, HeaderError> {
    let mut name = Vec::new();
    reader.raw_string(MAX_NAME_BYTES, "a tensor's name", &mut name)?;
    let name = String::from_utf8_lossy(&name).into_owned();
    let shape = TensorShape::read(reader, &name)?;
    let type_id = reader.u32()?;
    let offset = reader.u64()?;
    let bytes = shape.bytes(type_id, &name)?;
    let role = TensorRole::from_name(&name);
    let matrix = bytes.filter(|_| shape.n_dims > 1).map(|bytes| Matrix {
        type_id,
        role,
        columns: shape.columns,
        rows: shape.rows,
        bytes,
        is_stack: shape.n_dims > 2,
    });
    let has_amx = repack::has_amx();
    Ok(Tensor {
        elements: shape.elements,
        bytes,
        file: 0,
        offset,
        role,
        keys: key_layer(&name).map(|layer| (layer, shape.elements / shape.columns)),
        repacked_bytes: matrix.and_then(|matrix| matrix.repacked_bytes(has_amx)),
        forbids_repacking: matrix.is_some_and(|matrix| matrix.forbids_repacking(has_amx)),
        type_problem: types::problem(&name, shape.n_dims, type_id),
        name,
    })
}

/// The dimensions of a tensor.
struct TensorShape {
    n_dims: u32,
    /// Number of weights, the product of all dimensions.
    elements: u64,
    /// Size of the first dimension.
    columns: u64,
    /// Size of the second dimension.
    rows: u64,
}

impl TensorShape {
    /// Reads the dimensions of the tensor called `name`, all of which must be above zero.
    fn read(reader: &mut HeaderReader<impl Read + Seek>, name: &str) -> Result<Self, HeaderError> {
        let n_dims = reader.u32()?;
        if n_dims > MAX_DIMS {
            return invalid(format!("its header is broken: tensor {name} has {n_dims} dimensions"));
        }
        let mut shape = Self { n_dims, elements: 1, columns: 1, rows: 1 };
        for dim in 0..n_dims {
            let n = reader.u64()?;
            match dim {
                0 => shape.columns = n,
                1 => shape.rows = n,
                _ => {}
            }
            let elements = shape.elements.checked_mul(n).filter(|&n| n > 0);
            shape.elements = elements.ok_or_else(|| {
                HeaderError::Invalid(format!(
                    "its header is broken: tensor {name} has a dimension of {n}"
                ))
            })?;
        }
        Ok(shape)
    }

    /// Size in bytes in the type `type_id`; `None` if ggml does not know the type.
    fn bytes(&self, type_id: u32, name: &str) -> Result<Option<u64>, HeaderError> {
        match block(type_id) {
            None => Ok(None),
            Some((width, size)) if self.columns.is_multiple_of(width) => {
                Ok((self.elements / width).checked_mul(size))
            }
            Some((width, _)) => invalid(format!(
                "its header is broken: the rows of tensor {name} have {} weights, and its type \
                 needs a multiple of {width}",
                self.columns
            )),
        }
    }
}

/// The layer of a key projection, from the tensor's name; `None` for other tensors.
fn key_layer(name: &str) -> Option<usize> {
    name.strip_prefix("blk.")?.strip_suffix(".attn_k.weight")?.parse().ok()
}

/// Weights in a block of a ggml type, and bytes of that block; `None` if ggml does not know the
/// type.
fn block(type_id: u32) -> Option<(u64, u64)> {
    if type_id >= sys::GGML_TYPE_COUNT {
        return None;
    }
    let kind = type_id as sys::ggml_type;
    // SAFETY: the id is below the number of types, which is the length of ggml's table.
    let (width, size) = unsafe { (sys::ggml_blck_size(kind), sys::ggml_type_size(kind)) };
    let width = u64::try_from(width).ok().filter(|&n| n > 0)?;
    (size > 0).then_some((width, size as u64))
}

/// Maximum number of dimensions of a tensor (`GGML_MAX_DIMS`).
const MAX_DIMS: u32 = 4;
/// Longest name of a tensor in bytes (`GGML_MAX_NAME`).
const MAX_NAME_BYTES: u64 = 64;
