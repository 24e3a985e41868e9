//! The table of the engine's counters, gauges and histograms.
//!
//! A number is declared here once, with its unit, its name in `/metrics` and its description. From
//! this table come the field of [`Numbers`] or [`Histograms`], the entry in `/metrics`, and the
//! atomic that the engine writes.

use serde::{Deserialize, Serialize};

use super::distribution::Distribution;

/// What kind of number a [`Metric`] is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricKind {
    /// A total since the start.
    Counter,
    /// A value that rises and falls.
    Gauge,
}

/// The unit of a metric.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MetricUnit {
    /// A plain number.
    Count,
    /// Bytes.
    Bytes,
    /// Seconds.
    Seconds,
}

/// One number with its description.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Metric<V> {
    /// Name in `/metrics`, without prefix and without the suffix of its kind or unit.
    pub name: &'static str,
    /// What it counts, in one line.
    pub help: &'static str,
    /// The unit of `value`.
    pub unit: MetricUnit,
    /// The value.
    pub value: V,
}

/// Calls the macro `$table` with every counter and gauge of the engine.
macro_rules! engine_numbers {
    ($table:ident) => {
        $table! {
            /// Requests that hold a slot
            active: Gauge Count "requests_active",
            /// Requests that wait for a slot
            queued: Gauge Count "requests_queued",
            /// Requests that have begun and wait for a slot again
            suspended: Gauge Count "requests_suspended",
            /// Requests that can be computed at once
            slots: Gauge Count "slots",
            /// Tokens in the KV cache, those of cached sequences included
            kv_used_tokens: Gauge Count "kv_cache_used_tokens",
            /// Tokens in the KV cache that running requests hold
            kv_running_tokens: Gauge Count "kv_cache_running_tokens",
            /// Tokens that the KV cache can hold
            kv_total_tokens: Gauge Count "kv_cache_size_tokens",
            /// Cached sequences with a copy in host RAM: swapped out or mirrored
            swapped_sequences: Gauge Count "swapped_sequences",
            /// Host RAM that these copies take
            swapped_bytes: Gauge Bytes "swapped_size",
            /// Cached sequences swapped out of the KV cache
            swapped_out_total: Counter Count "sequences_swapped_out",
            /// Cached sequences swapped back into the KV cache
            swapped_in_total: Counter Count "sequences_swapped_in",
            /// Times that a request has given up its slot for another one
            suspensions_total: Counter Count "suspensions",
            /// Tokens generated
            tokens_total: Counter Count "generated_tokens",
            /// Prompt tokens computed
            prompt_tokens_total: Counter Count "prompt_tokens",
            /// Prompt tokens taken from the prefix cache
            cached_tokens_total: Counter Count "cached_prompt_tokens",
            /// Draft tokens verified by the model
            drafted_total: Counter Count "drafted_tokens",
            /// Draft tokens accepted by the model
            accepted_total: Counter Count "accepted_tokens",
            /// Steps computed
            steps_total: Counter Count "steps",
        }
    };
}

/// Calls the macro `$table` with every histogram of the engine, except for the time to first token,
/// which the server measures.
macro_rules! engine_histograms {
    ($table:ident) => {
        $table! {
            /// From receipt to a slot, or to the end of a request that got none
            queue_wait: Durations Seconds "queue_wait",
            /// Between two tokens of one request
            inter_token: Durations Seconds "inter_token",
            /// From receipt to the end, of accepted requests
            total: Durations Seconds "request_duration",
            /// Time of a step
            step: Durations Seconds "step_duration",
            /// Tokens computed in a step
            step_tokens: BatchSizes Count "step_tokens",
        }
    };
}

pub(crate) use {engine_histograms, engine_numbers};

macro_rules! numbers {
    ($( #[doc = $help:literal] $field:ident: $kind:ident $unit:ident $name:literal, )*) => {
        /// Every counter and gauge of the engine as it was read at one moment.
        #[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Serialize, Deserialize)]
        pub struct Numbers {
            $( #[doc = $help] pub $field: numbers!(@value $kind), )*
        }

        impl Numbers {
            /// All of them with kind, name, description and unit.
            pub fn metrics(&self) -> Vec<(MetricKind, Metric<u64>)> {
                vec![$((MetricKind::$kind, Metric {
                    name: $name,
                    help: $help,
                    unit: MetricUnit::$unit,
                    value: self.$field as u64,
                })),*]
            }

            /// These numbers with the counters of `earlier` added, an engine that has ended.
            #[must_use]
            pub fn plus_totals(&self, earlier: &Self) -> Self {
                Self { $( $field: numbers!(@after $kind, self.$field, earlier.$field), )* }
            }

            /// The counters alone; all gauges are zero.
            #[must_use]
            pub fn counters(&self) -> Self {
                Self::default().plus_totals(self)
            }
        }
    };
    (@value Counter) => { u64 };
    (@value Gauge) => { usize };
    (@after Counter, $own:expr, $earlier:expr) => { $own + $earlier };
    (@after Gauge, $own:expr, $earlier:expr) => { $own };
}

macro_rules! histograms {
    ($( #[doc = $help:literal] $field:ident: $kind:ident $unit:ident $name:literal, )*) => {
        /// Every histogram of the engine as it was read at one moment.
        #[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
        pub struct Histograms {
            $( #[doc = $help] pub $field: Distribution, )*
        }

        impl Histograms {
            /// All of them with name, description and unit.
            pub fn metrics(&self) -> Vec<Metric<&Distribution>> {
                vec![$(Metric {
                    name: $name,
                    help: $help,
                    unit: MetricUnit::$unit,
                    value: &self.$field,
                }),*]
            }

            /// These histograms with the values of `earlier` added, an engine that has ended.
            #[must_use]
            pub fn plus_totals(&self, earlier: &Self) -> Self {
                Self { $( $field: self.$field.plus_totals(&earlier.$field), )* }
            }
        }

        impl Default for Histograms {
            fn default() -> Self {
                Self { $( $field: histograms!(@empty $kind), )* }
            }
        }
    };
    (@empty Durations) => { Distribution::of_durations() };
    (@empty BatchSizes) => { Distribution::of_batch_sizes() };
}

engine_numbers!(numbers);
engine_histograms!(histograms);

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn counters_of_an_earlier_engine_are_added_and_its_gauges_are_not() {
        let earlier = Numbers { active: 4, tokens_total: 10, ..Numbers::default() };
        let now = Numbers { active: 1, tokens_total: 5, ..Numbers::default() };
        let expected = Numbers { active: 1, tokens_total: 15, ..Numbers::default() };
        assert_eq!(now.plus_totals(&earlier), expected);
        assert_eq!(earlier.counters(), Numbers { tokens_total: 10, ..Numbers::default() });
    }
}
