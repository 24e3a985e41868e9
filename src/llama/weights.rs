//! Has llama.cpp load a model's weights: from a file, mapped or read, or from memory.

use std::ffi::{CString, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};

use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::engine::LoadProgress;

use super::file::{DEMO, LoadMethod, ModelDescription, ModelSource};
use super::fit::{OffloadPlan, available_memory};
use super::in_place::{InPlace, Moving};
use super::logs::{take_buffers, take_complaints};
use super::pages::PageWork;
use super::read_ahead::read_ahead;

/// A loaded model, and of what llama.cpp says that its weights take with the processor the bytes of
/// mapped files that are given back.
pub(super) struct Weights {
    pub(super) model: LlamaModel,
    pub(super) given_back: u64,
}

/// How files are loaded with a offload_plan.
#[derive(Debug, Clone, Copy)]
enum Mode<'a> {
    Read,
    /// Mapped, so that weights are read where they are needed and pages are shared with the system's cache.
    Map,
    /// Mapped for as long as it takes, and this is moved out.
    Move(&'a [InPlace]),
}

impl<'a> Mode<'a> {
    fn of(description: &'a ModelDescription, offload_plan: &OffloadPlan) -> Self {
        let is_on_card = offload_plan.gpu_layers > 0;
        match &description.load_method {
            // Beside cards llama.cpp makes no copies in another order.
            LoadMethod::Repacked(in_place) if !is_on_card => Self::Move(in_place),
            LoadMethod::Read if !is_on_card || description.source == ModelSource::Demo => {
                Self::Read
            }
            LoadMethod::Repacked(_) | LoadMethod::Mapped | LoadMethod::Read => Self::Map,
        }
    }
}

/// Loads the weights onto the cards and into the memory that `offload_plan` names; `None` where
/// llama.cpp cannot, having logged why, or was told to give up.
pub(super) fn weights(
    description: &ModelDescription,
    offload_plan: &OffloadPlan,
    progress: &LoadProgress,
) -> Option<Weights> {
    let mode = Mode::of(description, offload_plan);
    let loaded = load(description, offload_plan, progress, mode);
    if loaded.is_some() || !matches!(mode, Mode::Move(_)) || !progress.report(0.0) {
        return loaded;
    }
    // Its mapping could not be found, or there is no room for one and copies together.
    tracing::debug!("the model could not be loaded from a mapping; it is read");
    take_complaints();
    take_buffers();
    load(description, offload_plan, progress, Mode::Read)
}

fn load(
    description: &ModelDescription,
    offload_plan: &OffloadPlan,
    progress: &LoadProgress,
    mode: Mode<'_>,
) -> Option<Weights> {
    // SAFETY: returns a struct by value, no precondition.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.n_gpu_layers = i32::try_from(offload_plan.gpu_layers).unwrap_or(i32::MAX);
    // As long as llama.cpp reads it, `llama_max_devices` floats.
    let mut split = vec![0.0; max_devices()];
    for (share, card) in split.iter_mut().zip(&offload_plan.gpus) {
        *share = card.layers as f32;
    }
    let mut overrides = Vec::new();
    // Experts of a mixture, fused or not, as llama.cpp's own --n-cpu-moe names them.
    let patterns: Vec<CString> = (0..offload_plan.cpu_expert_layers)
        .filter_map(|i| {
            CString::new(format!(r"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps")).ok()
        })
        .collect();
    if offload_plan.gpu_layers > 0 {
        params.tensor_split = split.as_ptr();
        // SAFETY: returns the processor's own kind of memory, which is static.
        let buft = unsafe { sys::ggml_backend_cpu_buffer_type() };
        overrides.extend(patterns.iter().map(|pattern| sys::llama_model_tensor_buft_override {
            pattern: pattern.as_ptr(),
            buft,
        }));
        // The list ends with an empty entry.
        overrides.push(sys::llama_model_tensor_buft_override {
            pattern: ptr::null(),
            buft: ptr::null_mut(),
        });
        params.tensor_buft_overrides = overrides.as_ptr();
    }
    params.progress_callback = Some(on_progress);
    let reading_share = match mode {
        Mode::Read => 0.0,
        // What memory has no room for would be read twice.
        Mode::Map | Mode::Move(_) => read_ahead(&description.files, available_memory(), progress)?,
    };
    let in_place = if let Mode::Move(in_place) = mode { Some(in_place) } else { None };
    let mut watch = Watch {
        progress,
        reading_share,
        weights: offload_plan.cpu.weights,
        touching: None,
        in_place,
        moving: None,
    };
    params.progress_callback_user_data = ptr::from_mut(&mut watch).cast();
    // For all weights: an override to the processor's memory, as for experts above, has llama.cpp choose
    // among its other orders again.
    params.use_extra_bufts = description.allows_repacking;
    if matches!(mode, Mode::Read) {
        params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
    }
    let model = match &description.source {
        ModelSource::File(path) => from_file(path, params),
        ModelSource::Demo => from_memory(DEMO, params),
    };
    let model = NonNull::new(model)?;
    const { assert!(size_of::<LlamaModel>() == size_of::<NonNull<sys::llama_model>>()) };
    // SAFETY: `LlamaModel` is `repr(transparent)` over a non-null pointer to a model, which it
    // owns and frees; nobody else has this one.
    let model = unsafe { std::mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) };
    let given_back = match watch.moving {
        Some(moving) => moving.finish(|| progress.report(1.0))?,
        None => 0,
    };
    Some(Weights { model, given_back })
}

fn max_devices() -> usize {
    // SAFETY: returns a constant.
    unsafe { sys::llama_max_devices() }
}

fn from_file(path: &Path, params: sys::llama_model_params) -> *mut sys::llama_model {
    let Ok(path) = CString::new(path.as_os_str().as_encoded_bytes()) else {
        return ptr::null_mut();
    };
    // SAFETY: the path is a C string, and the callback's data outlives the call.
    unsafe { sys::llama_model_load_from_file(path.as_ptr(), params) }
}

/// Loads a GGUF that lies in memory, through a stream that reads from there.
fn from_memory(gguf: &'static [u8], params: sys::llama_model_params) -> *mut sys::llama_model {
    // SAFETY: the bytes are static and opened for reading only.
    let stream =
        unsafe { libc::fmemopen(gguf.as_ptr().cast_mut().cast(), gguf.len(), c"rb".as_ptr()) };
    if stream.is_null() {
        return ptr::null_mut();
    }
    // SAFETY: the stream is open, bindgen's FILE is libc's, and the callback's data outlives the
    // call. llama.cpp does not close the stream, so it is closed here, once.
    unsafe {
        let model = sys::llama_model_load_from_file_ptr(stream.cast(), params);
        libc::fclose(stream);
        model
    }
}

/// What the progress callback needs.
struct Watch<'a> {
    progress: &'a LoadProgress,
    /// The fraction of the load that is over before llama.cpp's part.
    reading_share: f32,
    /// Bytes of weights in the processor's memory.
    weights: u64,
    /// Goes ahead of the load. llama.cpp reports the first progress when it has mapped the files and asked
    /// for all memory of the weights, and has written none of it.
    touching: Option<PageWork>,
    /// What is to be moved out of mapped files, if they are.
    in_place: Option<&'a [InPlace]>,
    moving: Option<Moving>,
}

/// # Safety
/// `data` must point to a [`Watch`] that nobody else uses meanwhile.
unsafe extern "C" fn on_progress(fraction: f32, data: *mut c_void) -> bool {
    // SAFETY: set by `load`, whose own outlives the load and is not used during it; llama.cpp calls back
    // on the thread that loads, and not from within itself.
    let watch = unsafe { &mut *data.cast::<Watch<'_>>() };
    watch.touching.get_or_insert_with(|| PageWork::touch(watch.weights));
    if let Some(in_place) = watch.in_place {
        watch.moving = watch.moving.take().or_else(|| Moving::start(in_place));
        let Some(moving) = &mut watch.moving else { return false };
        moving.advance(fraction);
    }
    watch.progress.report(watch.reading_share + (1.0 - watch.reading_share) * fraction)
}
