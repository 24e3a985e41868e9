//! Options that take one of a few words, as in `--kv-type q8_0`.

use clap::ValueEnum;
use clap::builder::PossibleValue;

use crate::domain::{SandboxMode, Speculation};

use super::config::KvTypeChoice;

impl ValueEnum for KvTypeChoice {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Auto, Self::F16, Self::Q8, Self::Q4]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        let (name, help) = match self {
            Self::Auto => ("auto", "q8_0 if more can then be offloaded, otherwise f16"),
            Self::F16 => ("f16", "16-bit floats"),
            Self::Q8 => ("q8_0", "8-bit blocks, about half the size of f16"),
            Self::Q4 => ("q4_0", "4-bit blocks, about a quarter of the size of f16"),
        };
        Some(PossibleValue::new(name).help(help))
    }
}

impl ValueEnum for Speculation {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Off, Self::Ngram, Self::Auto]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Off => "off",
            Self::Ngram => "ngram",
            Self::Auto => "auto",
        }))
    }
}

impl ValueEnum for SandboxMode {
    fn value_variants<'a>() -> &'a [Self] {
        &[Self::Off, Self::Auto, Self::Strict]
    }

    fn to_possible_value(&self) -> Option<PossibleValue> {
        Some(PossibleValue::new(match self {
            Self::Off => "off",
            Self::Auto => "auto",
            Self::Strict => "strict",
        }))
    }
}

/// Whether to use a feature; `Auto` leaves the decision to the program.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(super) enum Switch {
    Auto,
    On,
    Off,
}

impl Switch {
    /// The user's decision; `None` for [`Self::Auto`].
    pub(super) fn decision(self) -> Option<bool> {
        match self {
            Self::Auto => None,
            Self::On => Some(true),
            Self::Off => Some(false),
        }
    }
}
