//! The daemon with real models: the demo model, and small random ones that the tests write.
//!
//! Most tests about generated text use the [`harness`], an engine without sockets; the others start
//! the daemon as a [`process`].

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot continue")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]
#![allow(clippy::needless_pass_by_value, reason = "calls without borrows are easier to read")]
#![cfg(all(feature = "llama", feature = "nvml"))]

// Helpers.
mod client;
mod fixture;
mod harness;
mod process;
mod refusals;
mod runner_process;

// Generated text.
mod batching;
#[cfg(target_os = "linux")]
mod cgroups;
mod chat_template;
mod formats;
mod long_texts;
mod mapped_weights;
mod params;
mod prefix_cache;
mod quality;
mod reference;
mod speculation;
mod turns;

// Model files.
mod broken_files;
mod first_step;
mod headers;
#[cfg(target_os = "linux")]
mod held_files;
#[cfg(all(target_os = "linux", target_env = "gnu"))]
mod hyperparameters;
mod mutated_metadata;
mod split_files;
mod tensor_types;
mod tokenizers;

// The process.
mod api_keys;
mod command_line;
mod descriptors;
mod gpu;
#[cfg(target_os = "linux")]
mod huge_pages;
mod network;
mod output;
mod plan;
#[cfg(target_os = "linux")]
mod sandbox;
mod serving;
mod signals;
