//! llama.cpp's pointer to a model, for functions that llama-cpp-2 does not wrap.

use std::ptr;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

/// llama.cpp's pointer to the model, valid as long as `model` lives.
pub(super) fn model_ptr(model: &LlamaModel) -> *mut sys::llama_model {
    const { assert!(size_of::<LlamaModel>() == size_of::<*mut sys::llama_model>()) };
    // SAFETY: `LlamaModel` is `repr(transparent)` over a `NonNull` pointer to the model, so it may
    // be read as that pointer.
    unsafe { *ptr::from_ref(model).cast::<*mut sys::llama_model>() }
}
