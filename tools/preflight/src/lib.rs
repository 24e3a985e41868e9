//! An empty library: the build script of this crate does its work.
//!
//! As a build dependency of the daemon, it runs before llama.cpp's own build script, so a missing
//! cmake is reported in one plain line instead of a long panic.
