//! The GPUs that llama.cpp can compute on.
//!
//! The list depends on the backends that llama.cpp was built with and on the drivers of the
//! machine. A build for the CPU has none.

use std::ffi::CStr;
use std::mem::MaybeUninit;

use llama_cpp_sys_2 as sys;

use crate::llama::error::one_line;

use super::plan::GpuDevice;

/// The GPUs that llama.cpp can use, with their free memory at this moment, in llama.cpp's order.
pub fn gpu_devices() -> Vec<GpuDevice> {
    (0..n_devices()).filter_map(gpu_device).collect()
}

/// PCI bus ids of the discrete GPUs that llama.cpp can use, in llama.cpp's order.
pub fn gpu_bus_ids() -> Vec<String> {
    (0..n_devices()).filter_map(bus_id).collect()
}

/// Number of devices that llama.cpp knows, CPUs included.
fn n_devices() -> usize {
    // SAFETY: the function counts the devices of the linked backends and has no precondition.
    unsafe { sys::ggml_backend_dev_count() }
}

/// The device at `index`, below [`n_devices`]; `None` if it is not a GPU.
fn gpu_device(index: usize) -> Option<GpuDevice> {
    let (mut free, mut total) = (0, 0);
    // SAFETY: the index is below the number of devices, which only grows. The memory function
    // writes the two numbers; name and description are C strings that the backend owns.
    let (kind, name, device) = unsafe {
        let device = sys::ggml_backend_dev_get(index);
        let kind = sys::ggml_backend_dev_type(device);
        sys::ggml_backend_dev_memory(device, &mut free, &mut total);
        let name = CStr::from_ptr(sys::ggml_backend_dev_description(device));
        (kind, name, CStr::from_ptr(sys::ggml_backend_dev_name(device)))
    };
    let device = device.to_string_lossy().into_owned();
    let name = one_line(&name.to_string_lossy());
    let is_gpu =
        matches!(kind, sys::GGML_BACKEND_DEVICE_TYPE_GPU | sys::GGML_BACKEND_DEVICE_TYPE_IGPU);
    is_gpu.then_some(GpuDevice { name, device, free: free as u64 })
}

/// The PCI bus id of the discrete GPU at `index`, below [`n_devices`]; `None` for other devices,
/// and if the backend does not know it.
fn bus_id(index: usize) -> Option<String> {
    let mut props = MaybeUninit::<sys::ggml_backend_dev_props>::zeroed();
    // SAFETY: the index is below the number of devices, which only grows. The function fills the
    // struct, whose fields are numbers and pointers, for which zero is a valid value.
    let props = unsafe {
        let device = sys::ggml_backend_dev_get(index);
        sys::ggml_backend_dev_get_props(device, props.as_mut_ptr());
        props.assume_init()
    };
    let is_gpu = props.type_ == sys::GGML_BACKEND_DEVICE_TYPE_GPU;
    if !is_gpu || props.device_id.is_null() {
        return None;
    }
    // SAFETY: the pointer is not null and points to a C string that the backend keeps for the life
    // of the process.
    let id = unsafe { CStr::from_ptr(props.device_id) };
    Some(id.to_string_lossy().into_owned())
}
