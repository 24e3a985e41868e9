//! Reads the fields of a GGUF header in file order, within fixed limits.
//!
//! A length that the file merely claims never sizes an allocation: long values are skipped, stored
//! values are charged to a budget, and a header that would cost llama.cpp gigabytes of memory is
//! rejected (ADR-0016).

use std::io::{self, Read, Seek};

/// Why a header could not be read.
pub(super) enum HeaderError {
    /// The file ends inside the header.
    Truncated,
    /// Reading from the file failed.
    Io(io::Error),
    /// The header is invalid, for the reason given in one line.
    Invalid(String),
}

/// Returns [`HeaderError::Invalid`] with this reason.
pub(super) fn invalid<T>(reason: impl Into<String>) -> Result<T, HeaderError> {
    Err(HeaderError::Invalid(reason.into()))
}

/// A file that is read once, from its first byte on.
pub(super) struct HeaderReader<F> {
    file: F,
    /// Size of the file in bytes.
    size: u64,
    /// Offset of the next byte.
    position: u64,
    /// Bytes charged to the budget of [`MAX_STORED_BYTES`].
    stored: u64,
}

impl<F> HeaderReader<F> {
    /// A reader of `file`, which has `size` bytes and is positioned at its start.
    pub(super) fn new(file: F, size: u64) -> Self {
        Self { file, size, position: 0, stored: 0 }
    }

    /// Size of the file in bytes.
    pub(super) fn size(&self) -> u64 {
        self.size
    }

    /// Offset of the next byte.
    pub(super) fn position(&self) -> u64 {
        self.position
    }

    /// Bytes between the position and the end of the file.
    fn remaining(&self) -> u64 {
        self.size - self.position
    }

    /// Charges `n` bytes to the budget for stored keys and values.
    ///
    /// # Errors
    /// [`HeaderError::Invalid`], if the budget is exceeded.
    pub(super) fn charge(&mut self, n: u64) -> Result<(), HeaderError> {
        self.stored += n;
        if self.stored > MAX_STORED_BYTES {
            return invalid(format!(
                "its header is broken: the keys and values take more than {} MiB",
                MAX_STORED_BYTES >> 20
            ));
        }
        Ok(())
    }

    /// Checks that the file has `n` more bytes and that the header stays within
    /// [`MAX_HEADER_BYTES`].
    fn check_available(&self, n: u64) -> Result<(), HeaderError> {
        if n > self.remaining() {
            return Err(HeaderError::Truncated);
        }
        if self.position + n > MAX_HEADER_BYTES {
            return invalid(format!(
                "its header is broken: it takes more than {} MiB",
                MAX_HEADER_BYTES >> 20
            ));
        }
        Ok(())
    }
}

impl<F: Read + Seek> HeaderReader<F> {
    /// Fills `buffer` with the next bytes.
    pub(super) fn bytes(&mut self, buffer: &mut [u8]) -> Result<(), HeaderError> {
        self.check_available(buffer.len() as u64)?;
        self.file.read_exact(buffer).map_err(HeaderError::Io)?;
        self.position += buffer.len() as u64;
        Ok(())
    }

    /// Skips `n` bytes.
    pub(super) fn skip(&mut self, n: u64) -> Result<(), HeaderError> {
        self.check_available(n)?;
        let offset = i64::try_from(n).map_err(|_| HeaderError::Truncated)?;
        self.file.seek_relative(offset).map_err(HeaderError::Io)?;
        self.position += n;
        Ok(())
    }

    /// Reads `N` bytes.
    pub(super) fn array<const N: usize>(&mut self) -> Result<[u8; N], HeaderError> {
        let mut bytes = [0; N];
        self.bytes(&mut bytes)?;
        Ok(bytes)
    }

    /// Reads a little-endian `u32`.
    pub(super) fn u32(&mut self) -> Result<u32, HeaderError> {
        self.array().map(u32::from_le_bytes)
    }

    /// Reads a little-endian `u64`.
    pub(super) fn u64(&mut self) -> Result<u64, HeaderError> {
        self.array().map(u64::from_le_bytes)
    }

    /// Reads a number of items, `what` in messages, that take at least `min_bytes` each.
    ///
    /// # Errors
    /// [`HeaderError`], if the number is above [`MAX_COUNT`] or the file is too short for it.
    pub(super) fn count(&mut self, what: &str, min_bytes: u64) -> Result<u64, HeaderError> {
        let n = self.u64()?;
        if n > MAX_COUNT {
            return invalid(format!("its header is broken: it claims to have {n} {what}"));
        }
        if n > self.remaining() / min_bytes {
            return Err(HeaderError::Truncated);
        }
        Ok(n)
    }

    /// Reads a string of at most `max_bytes`, `what` in messages, and charges it to the budget. The
    /// string ends at its first zero byte, as it does for llama.cpp.
    pub(super) fn string(&mut self, max_bytes: u64, what: &str) -> Result<String, HeaderError> {
        let mut bytes = Vec::new();
        self.raw_string(max_bytes, what, &mut bytes)?;
        self.charge(ENTRY_OVERHEAD_BYTES + bytes.len() as u64)?;
        // Some published files have keys or values in other encodings, which lose a character here.
        Ok(String::from_utf8_lossy(&bytes).into_owned())
    }

    /// Reads a string as [`Self::string`] does, into `bytes` and without a charge to the budget.
    pub(super) fn raw_string(
        &mut self,
        max_bytes: u64,
        what: &str,
        bytes: &mut Vec<u8>,
    ) -> Result<(), HeaderError> {
        let len = self.u64()?;
        if len > self.remaining() {
            return Err(HeaderError::Truncated);
        }
        if len > max_bytes {
            return invalid(format!("its header is broken: {what} has {len} bytes"));
        }
        bytes.clear();
        bytes.resize(len as usize, 0);
        self.bytes(bytes)?;
        bytes.truncate(before_nul(bytes).len());
        Ok(())
    }
}

/// `bytes` up to the first zero byte, which is where llama.cpp sees the end of a string.
pub(super) fn before_nul(bytes: &[u8]) -> &[u8] {
    let end = bytes.iter().position(|&byte| byte == 0).unwrap_or(bytes.len());
    &bytes[..end]
}

/// Maximum size of a header in bytes; llama.cpp holds several copies of a header in memory
/// (ADR-0016).
const MAX_HEADER_BYTES: u64 = 256 << 20;
/// Maximum number of bytes of keys and values that are stored (ADR-0016).
const MAX_STORED_BYTES: u64 = 16 << 20;
/// Bytes that are charged for a stored entry in addition to its string.
const ENTRY_OVERHEAD_BYTES: u64 = 64;
/// Maximum number of tensors, and of metadata entries, of a file (ADR-0016).
const MAX_COUNT: u64 = 1_000_000;
