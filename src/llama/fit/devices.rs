//! The graphics cards that llama.cpp was built for and finds.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use llama_cpp_sys_2 as sys;

use crate::llama::error::one_line;

use super::arrange::GpuDevice;

/// PCI bus ids of the cards that can compute, in llama.cpp's order; none in a build for the CPU.
pub fn gpu_bus_ids() -> Vec<String> {
    // SAFETY: counts the devices of the backends that are linked in; no precondition.
    let n = unsafe { sys::ggml_backend_dev_count() };
    (0..n).filter_map(bus_id).collect()
}

/// The cards that can compute, with what is free on each now, in llama.cpp's order.
pub fn gpu_devices() -> Vec<GpuDevice> {
    // SAFETY: counts the devices of the backends that are linked in; no precondition.
    let n = unsafe { sys::ggml_backend_dev_count() };
    (0..n).filter_map(card).collect()
}

fn card(index: usize) -> Option<GpuDevice> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: the index is below the count of devices, which only grows; the memory function
    // fills the two numbers, and name and description are C strings that the backend keeps.
    let (kind, name, device) = unsafe {
        let device = sys::ggml_backend_dev_get(index);
        let kind = sys::ggml_backend_dev_type(device);
        sys::ggml_backend_dev_memory(device, &mut free, &mut total);
        let name = CStr::from_ptr(sys::ggml_backend_dev_description(device));
        (kind, name, CStr::from_ptr(sys::ggml_backend_dev_name(device)))
    };
    let device = device.to_string_lossy().into_owned();
    let name = one_line(&name.to_string_lossy());
    let is_card =
        matches!(kind, sys::GGML_BACKEND_DEVICE_TYPE_GPU | sys::GGML_BACKEND_DEVICE_TYPE_IGPU);
    is_card.then_some(GpuDevice { name, device, free: free as u64 })
}

/// Where the card at `index` sits; `None` for other devices, and where the backend does not know.
fn bus_id(index: usize) -> Option<String> {
    let mut props = MaybeUninit::<sys::ggml_backend_dev_props>::zeroed();
    // SAFETY: the index is below the count of devices, which only grows, and the function fills
    // the struct it is given, whose fields are numbers and pointers that may be zero.
    let props = unsafe {
        let device = sys::ggml_backend_dev_get(index);
        sys::ggml_backend_dev_get_props(device, props.as_mut_ptr());
        props.assume_init()
    };
    let is_card = props.type_ == sys::GGML_BACKEND_DEVICE_TYPE_GPU;
    if !is_card || props.device_id.is_null() {
        return None;
    }
    // SAFETY: not null, a C string that the backend keeps for the life of the process.
    let id = unsafe { CStr::from_ptr(props.device_id) };
    Some(id.to_string_lossy().into_owned())
}
