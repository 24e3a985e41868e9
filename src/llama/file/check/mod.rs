//! Refuses headers that llama.cpp cannot work with.

pub(super) mod hyperparameters;
pub(super) mod vocabulary;
