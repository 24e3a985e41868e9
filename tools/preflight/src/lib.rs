//! An empty crate, whose build script checks for the tools that the build of llama.cpp needs.
//!
//! As a build dependency of the daemon it runs while llama.cpp's own build script is still being
//! compiled, so a machine without cmake shows one plain line instead of a long panic.
