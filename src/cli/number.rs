//! Whole numbers, as in `--parallel 4`, `--ctx-size 8192` and `--gpu-layers all`.

use std::num::IntErrorKind;
use std::ops::RangeInclusive;
use std::str::FromStr;

use super::config::GpuLayers;

/// A parser of whole numbers within `range`.
pub(super) fn whole_number(
    range: RangeInclusive<u32>,
) -> impl Fn(&str) -> Result<u32, String> + Clone {
    move |text| {
        let number = text.parse().ok().filter(|number| range.contains(number));
        number.ok_or_else(|| {
            format!("it must be a whole number from {} to {}", range.start(), range.end())
        })
    }
}

/// Parses a number of tokens: 1 or more. `8k` is refused with the number that it stands for.
pub(super) fn tokens(text: &str) -> Result<u32, String> {
    text.parse().ok().filter(|&number| number >= 1).ok_or_else(|| {
        let thousands = text.strip_suffix(['k', 'K']).and_then(|number| number.parse().ok());
        if is_too_large(text) {
            return TOO_LARGE.to_owned();
        }
        let example = thousands.and_then(|number: u32| number.checked_mul(1024)).unwrap_or(8192);
        format!("it must be a whole number of 1 or more, such as {example}")
    })
}

impl FromStr for GpuLayers {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "auto" => Ok(Self::Auto),
            "all" => Ok(Self::All),
            _ if is_too_large(text) => Err(TOO_LARGE.to_owned()),
            _ => text.parse().map(Self::Number).map_err(|_| match text.starts_with('-') {
                true => "it must not be negative (use all for every layer)".to_owned(),
                false => "it must be auto, all or a number of layers".to_owned(),
            }),
        }
    }
}

/// Whether `text` is a whole number that does not fit into 32 bits.
fn is_too_large(text: &str) -> bool {
    text.bytes().all(|byte| byte.is_ascii_digit())
        && text.parse::<u32>().is_err_and(|error| *error.kind() == IntErrorKind::PosOverflow)
}

/// The error for such a number.
const TOO_LARGE: &str = "it is too large: the maximum is 4294967295";
