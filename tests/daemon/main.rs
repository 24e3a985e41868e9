//! The daemon on real models: the demo model, and small ones made here.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]
#![allow(clippy::needless_pass_by_value, reason = "a call reads better without borrows")]
#![cfg(all(feature = "llama", feature = "nvml"))]

mod fixture;
mod harness;
mod process;

mod batching;
mod caching;
mod copies;
mod files;
mod gpu;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod hyperparameters;
mod long_words;
#[cfg(target_os = "linux")]
mod pages;
mod params;
mod plan;
mod plan_words;
mod reference;
mod signals;
mod speculation;
mod split;
mod tensor_types;
