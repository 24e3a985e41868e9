//! Reads NVIDIA's cards through NVML, once an interval.
//!
//! A thread of its own asks the driver, which may take its time or hang, and publishes what it
//! learned as a state: readers never wait and always find the latest reading, with the moment it
//! was taken. A machine without NVML is no error: the room is quiet then and the reading empty. It
//! promises that a value it gives was measured, and that a card that falls off the bus is said to
//! be gone and comes back when it does. What the values mean to anybody is left to others.

mod nvml;
mod selection;
mod thread;

pub use thread::{Monitor, Options};
