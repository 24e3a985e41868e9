//! From a described model to one that computes.

use std::ffi::{CString, c_void};
use std::path::Path;
use std::ptr::{self, NonNull};
use std::sync::{Arc, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::domain::MemoryPart;
use crate::engine::{LoadProgress, Loaded};

use super::attention::Situation;
use super::context::{self, Context, ContextOptions};
use super::devices::cards;
use super::error::LoadError;
use super::logs::{Buffer, take_buffers, take_complaints};
use super::model::LlamaCpp;
use super::offload::{Card, Demand, KvType, Placement, Wanted, Where, arrange};
use super::source::{DEMO, Description, Source};
use super::vocabulary::LlamaVocabulary;

/// How to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How the KV cache stores its numbers.
    pub kv_type: KvType,
    /// How many layers shall lie on graphics cards.
    pub gpu_layers: Wanted,
    /// Bytes of each card that stay free.
    pub vram_reserve: u64,
    /// Tokens of the KV cache, for all slots together.
    pub kv_tokens: u32,
    /// Requests that are computed at once.
    pub parallel: u32,
    /// Most tokens of one step.
    pub ubatch: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Whether flash attention computes; `None` leaves it to the model and the machine.
    pub flash_attention: Option<bool>,
}

/// Whose buffer llama.cpp calls the one for weights in an order that suits the processor.
const REPACKED: &str = "CPU_REPACK";

/// The KV cache is computed in blocks of this many cells.
const KV_BLOCK: u32 = 256;

/// llama.cpp's backend is started once and stays for the life of the process: models come and go.
static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();

/// Of the layers on cards, one in so many is taken back when a load runs out of memory.
const STEP_DOWN: u32 = 8;

/// Loads a model and makes it ready to compute, on the calling thread, which it then belongs to.
/// Where a card has less room than `placement` counted on, it is tried again with fewer layers
/// there, and the log says so.
///
/// # Errors
/// [`LoadError`]; llama.cpp's own words are part of it.
pub fn load(
    description: &Description,
    options: Options,
    placement: Placement,
    progress: &LoadProgress,
) -> Result<Loaded<LlamaCpp>, LoadError> {
    BACKEND.get_or_init(|| LlamaBackend::init().ok());
    let mut placement = placement;
    loop {
        let n = placement.gpu_layers;
        match attempt(description, options, &placement, progress) {
            Err(LoadError::Resources { reason, .. }) if n > 0 => {
                let fewer = n - (n / STEP_DOWN).max(1);
                tracing::warn!("{n} layers do not fit on the cards ({reason}); trying {fewer}");
                let options = Options { gpu_layers: Wanted::Layers(fewer), ..options };
                placement = place(description, &options, &cards());
            }
            other => return other,
        }
    }
}

fn attempt(
    description: &Description,
    options: Options,
    placement: &Placement,
    progress: &LoadProgress,
) -> Result<Loaded<LlamaCpp>, LoadError> {
    let name = description.source.name();
    take_complaints();
    take_buffers();
    let model = match weights(&description.source, placement, progress) {
        Some(model) => Arc::new(model),
        None if !progress.report(0.0) => return Err(LoadError::Interrupted),
        None => return Err(complaint(name, "llama.cpp could not load it")),
    };
    refuse_what_cannot_generate(&model, &name)?;
    let vocabulary = Arc::new(LlamaVocabulary::new(model.clone()));
    let context_options = ContextOptions {
        kv_tokens: options.kv_tokens.next_multiple_of(KV_BLOCK),
        n_ubatch: options.ubatch,
        n_slots: options.parallel,
        n_threads: i32::try_from(options.threads).unwrap_or(i32::MAX),
        flash_attention: flash(description, &options, placement.gpu_layers > 0),
        kv_type: options.kv_type,
        is_offloaded: placement.gpu_layers > 0,
    };
    let context = Context::new(model.clone(), context_options).ok_or_else(|| {
        let reason = format!(
            "llama.cpp could not set up a KV cache of {} tokens{}; use a smaller --ctx-size, \
             --parallel or --kv-size",
            options.kv_tokens,
            said(take_complaints()),
        );
        LoadError::Resources { model: name, reason }
    })?;
    progress.memory(compare(placement, &take_buffers()));
    progress.offloaded(placement.gpu_layers);
    let is_slow = description.sizes.has_odd_heads() && placement.gpu_layers == 0;
    let model = LlamaCpp::new(&model, context, vocabulary.clone(), options, is_slow);
    Ok(Loaded { model, vocabulary })
}

/// Whether the options fit each other and the model.
///
/// # Errors
/// [`LoadError::Options`], naming the one that does not.
pub fn check(description: &Description, options: &Options) -> Result<(), LoadError> {
    if options.kv_type == KvType::F16 {
        return Ok(());
    }
    let name = options.kv_type.name();
    if options.flash_attention == Some(false) {
        return Err(LoadError::Options(format!(
            "--kv-type {name} needs flash attention: leave out --flash-attn off, or use \
             --kv-type f16"
        )));
    }
    if description.sizes.has_odd_heads() {
        return Err(LoadError::Options(format!(
            "--kv-type {name} packs numbers in blocks of 32, which the attention heads of {} are \
             no multiple of: use --kv-type f16",
            description.info.name
        )));
    }
    Ok(())
}

/// What of the model goes where, if it is loaded with `options` on these cards.
pub fn place(description: &Description, options: &Options, cards: &[Card]) -> Placement {
    let is_offloaded = !cards.is_empty() && options.gpu_layers != Wanted::Layers(0);
    let is_flash = flash(description, options, is_offloaded) != Some(false);
    let demand = demand(options, is_flash);
    arrange(&description.sizes, &demand, cards, options.vram_reserve, options.gpu_layers)
}

fn demand(options: &Options, flash_attention: bool) -> Demand {
    Demand {
        kv_tokens: options.kv_tokens.into(),
        slots: options.parallel.into(),
        ubatch: options.ubatch.into(),
        kv_type: options.kv_type,
        flash_attention,
    }
}

fn flash(description: &Description, options: &Options, is_offloaded: bool) -> Option<bool> {
    let situation = Situation {
        asked: options.flash_attention,
        has_odd_heads: description.sizes.has_odd_heads(),
        is_offloaded,
        is_packed: options.kv_type != KvType::F16,
        scores: description.sizes.compute(&demand(options, false), 0).cpu,
    };
    situation.choice()
}

fn weights(source: &Source, placement: &Placement, progress: &LoadProgress) -> Option<LlamaModel> {
    // SAFETY: returns a struct by value, no precondition.
    let mut params = unsafe { sys::llama_model_default_params() };
    params.n_gpu_layers = i32::try_from(placement.gpu_layers).unwrap_or(i32::MAX);
    // As long as llama.cpp reads it, `llama_max_devices` floats.
    let mut split = vec![0.0; max_devices()];
    for (share, card) in split.iter_mut().zip(&placement.cards) {
        *share = card.layers as f32;
    }
    let mut overrides = Vec::new();
    // Experts of a mixture, fused or not, as llama.cpp's own --n-cpu-moe names them.
    let patterns: Vec<CString> = (0..placement.cpu_expert_layers)
        .filter_map(|i| {
            CString::new(format!(r"blk\.{i}\.ffn_(up|down|gate|gate_up)_(ch|)exps")).ok()
        })
        .collect();
    if placement.gpu_layers > 0 {
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
    params.progress_callback_user_data = ptr::from_ref(progress).cast_mut().cast();
    let model = match source {
        Source::File(path) => from_file(path, params),
        Source::Demo => from_memory(DEMO, params),
    };
    let model = NonNull::new(model)?;
    const { assert!(size_of::<LlamaModel>() == size_of::<NonNull<sys::llama_model>>()) };
    // SAFETY: `LlamaModel` is `repr(transparent)` over a non-null pointer to a model, which it
    // owns and frees; nobody else has this one.
    Some(unsafe { std::mem::transmute::<NonNull<sys::llama_model>, LlamaModel>(model) })
}

/// Logs how far the plan was from what llama.cpp then took in each place, and gives both.
fn compare(placement: &Placement, buffers: &[Buffer]) -> Vec<MemoryPart> {
    let is_card = |owner: &str| placement.cards.iter().any(|card| card.device == owner);
    // What belongs to no card is in the processor's memory, whatever llama.cpp calls it: mapped,
    // or pinned for a card to read.
    let is_at = |buffer: &Buffer, place: &Where| {
        if is_card(&place.device) { buffer.owner == place.device } else { !is_card(&buffer.owner) }
    };
    // Copies in another order are made beside the weights, not instead of them.
    let taken = |kind: &str, place: &Where| -> u64 {
        let here = buffers.iter().filter(|buffer| buffer.kind == kind && is_at(buffer, place));
        let mib: f64 = here.filter(|buffer| buffer.owner != REPACKED).map(|b| b.mib).sum();
        (mib * f64::from(1 << 20)) as u64
    };
    let parts_of = |place: &Where| {
        let parts = [
            ("weights", "model", place.weights),
            ("kv", "KV", place.kv),
            ("compute", "compute", place.compute),
        ];
        parts.map(|(name, kind, planned)| MemoryPart {
            name,
            device: place.device.clone(),
            planned,
            taken: taken(kind, place),
        })
    };
    let places = placement.cards.iter().chain([&placement.cpu]);
    let parts: Vec<_> =
        places.flat_map(parts_of).filter(|part| part.planned > 0 || part.taken > 0).collect();
    for MemoryPart { name, device, planned, taken } in &parts {
        let deviation_percent = (*taken as f64 / (*planned).max(1) as f64 - 1.0) * 100.0;
        tracing::info!(device, part = name, planned, taken, deviation_percent, "memory");
    }
    parts
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
fn from_memory(gguf: &'static [u8], mut params: sys::llama_model_params) -> *mut sys::llama_model {
    // There is no file to map.
    params.load_mode = sys::LLAMA_LOAD_MODE_NONE;
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

/// # Safety
/// `data` must point to a [`LoadProgress`].
unsafe extern "C" fn on_progress(fraction: f32, data: *mut c_void) -> bool {
    // SAFETY: set by `weights` to a reference that outlives the load.
    unsafe { &*data.cast::<LoadProgress>() }.report(fraction)
}

fn refuse_what_cannot_generate(model: &LlamaModel, name: &str) -> Result<(), LoadError> {
    let raw = context::raw(model);
    // SAFETY: the model is loaded; the functions only look at it.
    let (has_encoder, has_decoder, is_diffusion) = unsafe {
        (
            sys::llama_model_has_encoder(raw),
            sys::llama_model_has_decoder(raw),
            sys::llama_model_is_diffusion(raw),
        )
    };
    let kind = match (has_encoder, has_decoder, is_diffusion) {
        (true, _, _) => "an encoder model",
        (_, false, _) => "an embedding model",
        (_, _, true) => "a diffusion model",
        _ => return Ok(()),
    };
    Err(LoadError::Unusable {
        model: name.to_owned(),
        reason: format!("it is {kind}; this server generates text token by token"),
    })
}

fn complaint(model: String, what: &str) -> LoadError {
    let complaints = take_complaints();
    if complaints.iter().any(|line| line.contains("unable to allocate") || line.contains("alloc")) {
        let reason = format!("there is not enough memory for its weights{}", said(complaints));
        return LoadError::Resources { model, reason };
    }
    LoadError::Unusable { model, reason: format!("{what}{}", said(complaints)) }
}

/// The first complaint, without the names of C++ functions in front.
fn said(complaints: Vec<String>) -> String {
    let Some(first) = complaints.into_iter().next() else { return String::new() };
    let words = first.rsplit_once("error loading model: ").map_or(first.as_str(), |(_, w)| w);
    let words =
        words.split_once(": ").filter(|(name, _)| !name.contains(' ')).map_or(words, |(_, w)| w);
    format!(": {words}")
}
