//! The daemon on real models: the demo model, and small ones made here.

#![cfg(feature = "llama")]

mod fixture;
mod harness;

mod batching;
mod caching;
mod files;
mod params;
mod reference;
mod signals;
