//! Has llama.cpp load the weights of a model: from a file, read or mapped, or from memory.
//!
//! See ADR-0015 for the choice between reading and mapping.

use std::ffi::{CString, c_void};
use std::mem;
use std::path::PathBuf;
use std::ptr::{self, NonNull};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::LoadProgress;
use crate::llama::file::{DEMO, LoadMethod, ModelDescription, ModelSource};
use crate::llama::fit::{DevicePlan, OffloadPlan};
use crate::llama::logs::{take_buffers, take_errors};
use crate::machine::available_memory;

use super::huge_pages::PageWorker;
use super::mapped::{InPlaceRanges, MappingReplacer};
use super::prefetch::prefetch;

/// The loaded weights.
pub(super) struct LoadedWeights {
    pub(super) model: LlamaModel,
    /// Bytes of mapped files that llama.cpp reports as weights in host RAM, but that have been
    /// released.
    pub(super) released_bytes: u64,
}

/// Loads the weights to the devices that `offload_plan` names. `None` if llama.cpp failed, which
/// logged why, or if `progress` asked to stop.
pub(super) fn load_weights(
    description: &ModelDescription,
    offload_plan: &OffloadPlan,
    progress: &LoadProgress,
) -> Option<LoadedWeights> {
    let mode = LoadMode::of(description, offload_plan.gpu_layers > 0);
    let loaded = load_in_mode(description, offload_plan, progress, mode);
    if loaded.is_some() || !matches!(mode, LoadMode::MapAndReplace(_)) || !progress.report(0.0) {
        return loaded;
    }
    // The mapping was not found, or it did not fit into memory together with the repacked weights.
    tracing::debug!("the model could not be loaded from a mapped file; reading the file instead");
    take_errors();
    take_buffers();
    load_in_mode(description, offload_plan, progress, LoadMode::Read)
}

/// Bytes of host RAM that the weights take for good. Of mapped files only the repacked weights
/// count, because the system can drop the other pages and read them again. `cpu` is what the plan
/// puts on the CPU.
pub fn private_weights(
    description: &ModelDescription,
    cpu: &DevicePlan,
    is_offloaded: bool,
) -> u64 {
    match LoadMode::of(description, is_offloaded) {
        LoadMode::Read | LoadMode::MapAndReplace(_) => cpu.weights,
        LoadMode::Map => cpu.copies,
    }
}

/// How llama.cpp accesses the files of a model.
#[derive(Debug, Clone, Copy)]
enum LoadMode<'a> {
    /// Reads them into private memory.
    Read,
    /// Maps them and computes from the mapping, whose pages the system can drop and read again.
    Map,
    /// Maps them only during the load. Private memory then replaces these ranges.
    MapAndReplace(&'a [InPlaceRanges]),
}

impl<'a> LoadMode<'a> {
    /// The mode for this model: with offloaded layers the files are always mapped.
    fn of(description: &'a ModelDescription, is_offloaded: bool) -> Self {
        match &description.load_method {
            // llama.cpp repacks no weights if layers are offloaded.
            LoadMethod::Repacked(ranges) if !is_offloaded => Self::MapAndReplace(ranges),
            LoadMethod::Read if !is_offloaded || description.source == ModelSource::Demo => {
                Self::Read
            }
            LoadMethod::Repacked(_) | LoadMethod::Mapped | LoadMethod::Read => Self::Map,
        }
    }
}

/// Loads the weights in this mode. `None` if that failed or `progress` asked to stop.
fn load_in_mode(
    description: &ModelDescription,
    offload_plan: &OffloadPlan,
    progress: &LoadProgress,
    mode: LoadMode<'_>,
) -> Option<LoadedWeights> {
    // SAFETY: the function has no precondition and returns a struct by value.
    let mut params = unsafe { sys::llama_model_default_params() };
    let placement = TensorPlacement::of(offload_plan);
    placement.set_params(&mut params);
    let prefetch_share = match mode {
        LoadMode::Read => 0.0,
        // Files larger than the free memory would be read twice.
        LoadMode::Map | LoadMode::MapAndReplace(_) => {
            let available = available_memory().map_or(0, |memory| memory.bytes);
            prefetch(&description.files, available, progress)?
        }
    };
    let mut observer = LoadObserver {
        progress,
        prefetch_share,
        host_weights: offload_plan.cpu.weights,
        populating: None,
        in_place: match mode {
            LoadMode::MapAndReplace(ranges) => Some(ranges),
            LoadMode::Read | LoadMode::Map => None,
        },
        replacer: None,
    };
    params.progress_callback = Some(on_progress);
    params.progress_callback_user_data = ptr::from_mut(&mut observer).cast();
    // Repacking is on or off for all weights. It cannot be turned off for some of them with an
    // override to CPU memory: for that memory llama.cpp chooses among its repacked layouts again.
    params.use_extra_bufts = description.allows_repacking;
    if matches!(mode, LoadMode::Read) {
        params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
    }
    let model = match &description.source {
        ModelSource::File(_) => load_files(&description.files, params),
        ModelSource::Demo => load_bytes(DEMO, params),
    };
    let model = NonNull::new(model)?;
    // SAFETY: `LlamaModel` is `repr(transparent)` over a `NonNull` pointer to a model that it owns.
    // llama.cpp has just returned this pointer to a loaded model, and nothing else owns the model.
    let model = unsafe { mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) };
    let released_bytes = match observer.replacer {
        Some(replacer) => replacer.finish(|| progress.report(1.0))?,
        None => 0,
    };
    Some(LoadedWeights { model, released_bytes })
}

/// Where an offload plan places the tensors, as arrays that llama.cpp's parameters point to.
struct TensorPlacement {
    n_gpu_layers: i32,
    /// Layers for each GPU: `llama_max_devices` numbers, which is what llama.cpp reads.
    tensor_split: Vec<f32>,
    /// Patterns of the names of the experts that stay on the CPU. `overrides` points to them.
    _expert_patterns: Vec<CString>,
    /// One override per pattern, and a null entry that ends the list.
    overrides: Vec<sys::llama_model_tensor_buft_override>,
}

impl TensorPlacement {
    /// Converts an offload plan.
    fn of(offload_plan: &OffloadPlan) -> Self {
        // SAFETY: the function has no precondition and returns a constant.
        let max_devices = unsafe { sys::llama_max_devices() };
        let mut tensor_split = vec![0.0; max_devices];
        for (share, gpu) in tensor_split.iter_mut().zip(&offload_plan.gpus) {
            *share = gpu.layers as f32;
        }
        // The experts of a layer, fused or not, as llama.cpp's own --n-cpu-moe names them.
        let expert_patterns: Vec<CString> = (0..offload_plan.cpu_expert_layers)
            .filter_map(|i| {
                CString::new(format!(r"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps")).ok()
            })
            .collect();
        // SAFETY: the function has no precondition and returns a pointer to a static.
        let cpu = unsafe { sys::ggml_backend_cpu_buffer_type() };
        let end =
            sys::llama_model_tensor_buft_override { pattern: ptr::null(), buft: ptr::null_mut() };
        let overrides = expert_patterns
            .iter()
            .map(|pattern| sys::llama_model_tensor_buft_override {
                pattern: pattern.as_ptr(),
                buft: cpu,
            })
            .chain([end])
            .collect();
        let n_gpu_layers = i32::try_from(offload_plan.gpu_layers).unwrap_or(i32::MAX);
        Self { n_gpu_layers, tensor_split, _expert_patterns: expert_patterns, overrides }
    }

    /// Sets the parameters that depend on the plan. They point into `self`, which must outlive
    /// their use by llama.cpp.
    fn set_params(&self, params: &mut sys::llama_model_params) {
        params.n_gpu_layers = self.n_gpu_layers;
        if self.n_gpu_layers > 0 {
            params.tensor_split = self.tensor_split.as_ptr();
            params.tensor_buft_overrides = self.overrides.as_ptr();
        }
    }
}

/// Loads the model in these files, of which it has one or more. Null on failure.
fn load_files(paths: &[PathBuf], params: sys::llama_model_params) -> *mut sys::llama_model {
    let names = paths.iter().map(|path| CString::new(path.as_os_str().as_encoded_bytes()));
    let Ok(names) = names.collect::<Result<Vec<_>, _>>() else { return ptr::null_mut() };
    let mut pointers: Vec<_> = names.iter().map(|name| name.as_ptr()).collect();
    // SAFETY: the pointers are to C strings, as many as are said, and llama.cpp copies them. What
    // `params` points to, the arrays of the `TensorPlacement` and the `LoadObserver`, is owned by
    // the caller and outlives the call.
    unsafe { sys::llama_model_load_from_splits(pointers.as_mut_ptr(), pointers.len(), params) }
}

/// Loads a GGUF that is in memory, through a stream that reads from it. Null on failure.
fn load_bytes(gguf: &'static [u8], params: sys::llama_model_params) -> *mut sys::llama_model {
    // SAFETY: the bytes are static, so they outlive the stream, and the mode "rb" never writes to
    // them.
    let stream =
        unsafe { libc::fmemopen(gguf.as_ptr().cast_mut().cast(), gguf.len(), c"rb".as_ptr()) };
    if stream.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the stream is open, and bindgen's FILE is the same type as libc's. What `params`
    // points to is owned by the caller and outlives the call. llama.cpp does not close the stream,
    // so this closes it exactly once.
    unsafe {
        let model = sys::llama_model_load_from_file_ptr(stream.cast(), params);
        libc::fclose(stream);
        model
    }
}

/// The state of the progress callback.
struct LoadObserver<'a> {
    progress: &'a LoadProgress,
    /// The fraction of the load that prefetching took.
    prefetch_share: f32,
    /// Bytes of weights in host RAM.
    host_weights: u64,
    /// Populates the memory for the weights ahead of the load. It starts with the first progress
    /// report, which llama.cpp sends when it has mapped the files and allocated all memory for
    /// weights, before it writes any of it.
    populating: Option<PageWorker>,
    /// The ranges of mapped files to replace, if any.
    in_place: Option<&'a [InPlaceRanges]>,
    replacer: Option<MappingReplacer>,
}

/// Reports progress. Returns false to stop the load.
///
/// # Safety
/// `data` must point to a [`LoadObserver`] that nothing else accesses during the call.
unsafe extern "C" fn on_progress(fraction: f32, data: *mut c_void) -> bool {
    // SAFETY: `load_in_mode` passes a pointer to its `LoadObserver`, which outlives the load and
    // which it does not access during the load. llama.cpp calls this on the loading thread and
    // never recursively, so the reference is unique.
    let observer = unsafe { &mut *data.cast::<LoadObserver<'_>>() };
    observer.populating.get_or_insert_with(|| PageWorker::populate(observer.host_weights));
    if let Some(ranges) = observer.in_place {
        observer.replacer = observer.replacer.take().or_else(|| MappingReplacer::start(ranges));
        let Some(replacer) = &mut observer.replacer else { return false };
        replacer.advance(fraction);
    }
    let share = observer.prefetch_share;
    observer.progress.report(share + (1.0 - share) * fraction)
}
