//! The atomics behind [`Numbers`] and [`Histograms`].

use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering::Relaxed};

use crate::domain::{Histograms, Numbers, engine_histograms, engine_numbers};

use super::histogram::{BatchSizes, Durations};

macro_rules! numbers {
    ($( #[doc = $help:literal] $field:ident: $kind:ident $unit:ident $name:literal, )*) => {
        /// The atomics behind [`Numbers`].
        #[derive(Debug, Default)]
        pub(in crate::engine) struct AtomicNumbers {
            $( pub(in crate::engine) $field: numbers!(@atomic $kind), )*
        }

        impl AtomicNumbers {
            pub(super) fn read(&self) -> Numbers {
                Numbers { $( $field: self.$field.load(Relaxed), )* }
            }
        }
    };
    (@atomic Counter) => { AtomicU64 };
    (@atomic Gauge) => { AtomicUsize };
}

macro_rules! histograms {
    ($( #[doc = $help:literal] $field:ident: $kind:ident $unit:ident $name:literal, )*) => {
        /// The atomics behind [`Histograms`].
        #[derive(Debug, Default)]
        pub(in crate::engine) struct AtomicHistograms {
            $( pub(in crate::engine) $field: $kind, )*
        }

        impl AtomicHistograms {
            pub(super) fn read(&self) -> Histograms {
                Histograms { $( $field: self.$field.read(), )* }
            }
        }
    };
}

engine_numbers!(numbers);
engine_histograms!(histograms);
