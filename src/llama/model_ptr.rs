//! Converts between [`LlamaModel`] and llama.cpp's model pointer.
//!
//! llama-cpp-2 offers neither conversion, but several functions of llama.cpp that it does not wrap
//! need the pointer. Both conversions rely on the layout of [`LlamaModel`].

use std::mem;
use std::ptr::{self, NonNull};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

/// The pointer to the model, valid as long as `model` lives.
pub(super) fn model_ptr(model: &LlamaModel) -> *mut sys::llama_model {
    // SAFETY: `LlamaModel` is `repr(transparent)` over a `NonNull` pointer to the model, so it may
    // be read as that pointer.
    unsafe { *ptr::from_ref(model).cast::<*mut sys::llama_model>() }
}

/// Takes ownership of a model.
///
/// # Safety
/// `model` must point to a loaded model that nothing else owns: the returned value frees it.
pub(super) unsafe fn model_from_ptr(model: NonNull<sys::llama_model>) -> LlamaModel {
    // SAFETY: `LlamaModel` is `repr(transparent)` over a `NonNull` pointer to a model that it owns,
    // and the caller passes the ownership.
    unsafe { mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) }
}

const _: () = assert!(size_of::<LlamaModel>() == size_of::<NonNull<sys::llama_model>>());
