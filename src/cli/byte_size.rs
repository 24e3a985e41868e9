//! Sizes with a unit, as in `--cache-ram 500MB` and `--vram 3GB,8GB`.
//!
//! The error of a size that cannot be parsed says what to write instead, since a missing unit, a
//! space before the unit and a decimal comma are common mistakes.

use std::str::FromStr;

/// A size in bytes.
///
/// Units are powers of 1024, as GPU makers use them, in upper or lower case: B, KB, MB, GB, TB or
/// K, M, G, T or KiB, MiB, GiB, TiB. Only 0 needs no unit.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ByteSize(pub(super) u64);

impl FromStr for ByteSize {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let expected = || "it must be a size such as 500MB or 1.5GB".to_owned();
        // clap passes every word with a hyphen on, so that a negative size is a wrong value.
        if text.trim_start_matches('-').starts_with(|c: char| c.is_ascii_alphabetic())
            && text.starts_with('-')
        {
            return Err("it is an option, and a size such as 500MB is missing before it".to_owned());
        }
        let upper = text.trim().to_ascii_uppercase();
        let digits = upper.trim_end_matches(|c: char| c.is_ascii_alphabetic());
        let unit: u64 = match &upper[digits.len()..] {
            "KB" | "KIB" | "K" => 1 << 10,
            "MB" | "MIB" | "M" => 1 << 20,
            "GB" | "GIB" | "G" => 1 << 30,
            "TB" | "TIB" | "T" => 1 << 40,
            "B" => 1,
            "" if digits == "0" => 1,
            "" if digits.parse::<f64>().is_ok_and(|number| number >= 0.0) => {
                return Err(format!("it needs a unit with no space before it, such as {digits}GB"));
            }
            _ => return Err(expected()),
        };
        let number: f64 = digits.trim_end().parse().map_err(|_| expected())?;
        let bytes = number * unit as f64;
        if bytes > MAX_BYTES {
            return Err("it is too large: the maximum is 16TB".to_owned());
        }
        // False for negative numbers and for NaN.
        (bytes >= 0.0).then_some(Self(bytes as u64)).ok_or_else(expected)
    }
}

/// One or several sizes, separated by commas.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct ByteSizes(pub(super) Vec<ByteSize>);

impl FromStr for ByteSizes {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let parts: Vec<&str> = text.split(',').map(str::trim).collect();
        if let [whole, fraction] = parts[..]
            && !whole.is_empty()
            && whole.bytes().all(|byte| byte.is_ascii_digit())
        {
            return Err(format!(
                "a comma separates GPUs, so write {whole}.{fraction} with a point"
            ));
        }
        if parts.len() > 1 && parts.iter().any(|part| part.is_empty()) {
            return Err("a size is missing; write several as 3GB,8GB without spaces".to_owned());
        }
        parts.into_iter().map(str::parse).collect::<Result<_, _>>().map(Self)
    }
}

/// Larger sizes are typing errors: no machine has that much memory.
const MAX_BYTES: f64 = (1u64 << 44) as f64;
