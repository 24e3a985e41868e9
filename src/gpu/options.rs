//! The options of the GPU monitor.

use std::time::Duration;

/// Which GPUs to monitor, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time between two readings of a GPU.
    pub interval: Duration,
    /// PCI bus ids of the GPUs that llama.cpp computes on, in llama.cpp's order. If empty,
    /// `visible` selects the GPUs.
    pub computing: Vec<String>,
    /// Whether the plan puts layers of the model on GPUs. It is one answer for all of them.
    pub are_in_use: bool,
    /// The value of `CUDA_VISIBLE_DEVICES`, if it is set.
    pub visible: Option<String>,
}
