//! Reads NVIDIA's cards through NVML, once an interval.
//!
//! Each card has a thread that asks the driver, which may take its time or hang. What they learn is
//! published as a state: readers never wait and always find the latest reading, with the moment it
//! was taken. A machine without NVML is no error: the room is quiet then, the reading empty, and a
//! driver that comes later is found. It promises that a value it gives was measured, that a card
//! which hangs takes no other with it, and that one which falls off the bus is said to be gone and
//! comes back when it does. For that NVML is started anew, during which no card is read: a driver
//! that hangs in just that is the exception. What the values mean to anybody is left to others.

mod monitor;
mod nvml;
mod selection;
mod table;

pub use monitor::{Monitor, Options};
