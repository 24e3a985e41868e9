//! A WebSocket daemon that serves a local language model and streams its tokens.
//!
//! The modules in reading order. Each one may use only modules above it in this list;
//! `docs/ARCHITECTURE.md` has the exact table and `tests/tidy` enforces it.
//!
//! | module | content |
//! |---|---|
//! | [`domain`] | the shared vocabulary: requests, parameters, outcomes, model and GPU facts |
//! | [`engine`] | queue, scheduler and prefix cache; one thread that computes |
//! | [`constraint`] | compiles constraints on answers: JSON schemas, grammars |
//! | [`machine`] | the memory and the CPUs that this process may use |
//! | [`scripted`] | a deterministic fake model for tests |
//! | `llama` | the real model on llama.cpp; almost all `unsafe` code |
//! | [`pool`] | threads for work that clients cause |
//! | [`protocol`] | the WebSocket wire format |
//! | [`answer`] | takes answers apart: thinking, text, calls of tools |
//! | [`watchdog`] | judges whether a runner makes progress |
//! | [`runner`] | the process that holds the model, and the link to it |
//! | [`sandbox`] | confines the process that holds the model |
//! | [`models`] | keeps a runner running |
//! | `gpu` | reads NVIDIA GPUs through NVML |
//! | [`server`] | sockets, HTTP pages, metrics |
//! | [`cli`] | command-line arguments, validated |
//! | `daemon` | builds the parts, connects them, shuts them down in order |

pub mod answer;
pub mod build_info;
pub mod cli;
pub mod constraint;
#[cfg(all(feature = "llama", feature = "nvml"))]
pub mod daemon;
pub mod domain;
pub mod engine;
#[cfg(feature = "nvml")]
pub mod gpu;
#[cfg(feature = "llama")]
pub mod llama;
pub mod machine;
pub mod models;
pub mod pool;
pub mod protocol;
pub mod runner;
pub mod sandbox;
pub mod scripted;
pub mod server;
pub mod watchdog;
