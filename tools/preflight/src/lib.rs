//! Nothing to call: what this crate does, its build script does.
//!
//! As a build dependency of the daemon it runs while llama.cpp's own build script is still being
//! compiled, so a machine without cmake reads one plain line and not a long panic.
