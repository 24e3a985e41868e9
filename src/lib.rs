//! A WebSocket daemon that serves a local language model and streams its tokens.
//!
//! The rooms, in reading order; each names only rooms above it, and `tests/tidy.rs` keeps it so:
//!
//! | room | |
//! |---|---|
//! | [`domain`] | the vocabulary of the house |
//! | [`engine`] | who is served next, and one thread that computes it |
//! | [`scripted`] | a model of paper, for tests |
//! | `llama` | the real model, and the only room that names llama.cpp |
//! | [`protocol`] | the whole wire on one page |
//! | [`watchdog`] | whether the engine still gets on |
//! | [`shutdown`] | signals |
//! | `monitor` | what the graphics cards say |
//! | [`server`] | sockets and pages |
//! | [`config`] | what was typed, validated |
//! | `app` | builds the rooms, joins them, drains them |

#[cfg(all(feature = "llama", feature = "nvml"))]
pub mod app;
pub mod build_info;
pub mod config;
pub mod domain;
pub mod engine;
#[cfg(feature = "llama")]
pub mod llama;
#[cfg(feature = "nvml")]
pub mod monitor;
pub mod protocol;
pub mod scripted;
pub mod server;
pub mod shutdown;
pub mod watchdog;
