//! From a described model to one that computes.

use std::sync::{Arc, OnceLock};

use llama_cpp_2::llama_backend::LlamaBackend;
use llama_cpp_2::model::LlamaModel;
use llama_cpp_sys_2 as sys;

use crate::domain::MemoryPart;
use crate::engine::{LoadProgress, Loaded};

use super::context::{self, Context, ContextOptions};
use super::draft::{DraftModel, may_be_same, shared_tokens};
use super::error::LoadError;
use super::file::ModelDescription;
use super::fit::report;
use super::fit::{
    AttentionFacts, CpuShare, Demand, DevicePlan, GpuDevice, KvType, OffloadPlan, OffloadTarget,
    arrange, gpu_devices,
};
use super::logs::{Buffer, take_buffers, take_complaints};
use super::model::{LlamaCpp, Retention};
use super::text::LlamaVocabulary;
use super::weights::{Weights, weights};

/// How to run a model.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Options {
    /// How the KV cache stores its numbers.
    pub kv_type: KvType,
    /// How many layers shall lie on graphics cards.
    pub gpu_layers: OffloadTarget,
    /// Bytes of each card that stay free.
    pub vram_reserve: u64,
    /// Tokens of the KV cache, for all slots together.
    pub kv_tokens: u32,
    /// Requests that are computed at once.
    pub parallel: u32,
    /// Most tokens of one step.
    pub ubatch: u32,
    /// Most tokens that are guessed ahead in a step, at most [`crate::engine::max_draft_tokens`].
    pub guesses: u32,
    /// Threads that compute.
    pub threads: u32,
    /// Whether flash attention computes; `None` leaves it to the model and the machine.
    pub flash_attention: Option<bool>,
}

/// The KV cache is computed in blocks of this many cells.
const KV_BLOCK: u32 = 256;

/// llama.cpp's backend is started once and stays for the life of the process: models come and go.
static BACKEND: OnceLock<Option<LlamaBackend>> = OnceLock::new();

/// Of the layers on cards, and of what lies on each, one part in so many is taken back when a load runs
/// out of memory.
const STEP_DOWN: u32 = 8;

/// What llama.cpp and its backends say where memory runs out: `llama-model.cpp`, `ggml-backend.cpp`, the
/// CUDA driver, Vulkan, and the C++ library.
const OUT_OF_MEMORY: [&str; 5] =
    ["unable to allocate", "failed to allocate", "out of memory", "OutOfDeviceMemory", "bad_alloc"];

/// Loads a model, and the draft model that is to guess for it, and makes them ready to compute, on
/// the calling thread, which they then belong to.
/// Where a card has less room than `offload_plan` counted on, it is tried again with fewer layers
/// there, and the log says so.
///
/// # Errors
/// [`LoadError`]; llama.cpp's own words are part of it.
pub fn load(
    description: &ModelDescription,
    draft: Option<&ModelDescription>,
    options: Options,
    offload_plan: OffloadPlan,
    progress: &LoadProgress,
) -> Result<Loaded<LlamaCpp>, LoadError> {
    BACKEND.get_or_init(|| LlamaBackend::init().ok());
    let bytes = |description: &ModelDescription| description.extent.needed as f32;
    let (own, drafts) = (bytes(description), draft.map_or(0.0, bytes));
    let (progress, draft_progress) = progress.split_at(own / (own + drafts));
    let (mut offload_plan, mut known_cards) = (offload_plan, None);
    let (context, vocabulary, retention) = loop {
        match attempt(description, options, &offload_plan, &progress) {
            Err(LoadError::Resources { reason, .. }) if offload_plan.gpu_layers > 0 => {
                let cards = known_cards.get_or_insert_with(gpu_devices);
                let next = step_down(description, options, &offload_plan, cards);
                let (from, to) = (on_cards(&offload_plan), on_cards(&next));
                tracing::warn!("{from} do not fit ({reason}); trying {to}");
                offload_plan = next;
            }
            other => break other?,
        }
    };
    let draft =
        draft.map(|draft| load_draft(draft, &vocabulary, options, &draft_progress)).transpose()?;
    let model = LlamaCpp::new(context, draft, vocabulary.clone(), options, retention);
    Ok(Loaded { model, vocabulary })
}

/// Where to try next what did not fit at `offload_plan`, after which less is counted on of `cards`.
fn step_down(
    description: &ModelDescription,
    options: Options,
    offload_plan: &OffloadPlan,
    cards: &mut [GpuDevice],
) -> OffloadPlan {
    offload_plan.lower_free_memory(cards, options.vram_reserve, STEP_DOWN.into());
    let n = offload_plan.gpu_layers;
    let wanted = match options.gpu_layers {
        // Experts may be what has to leave a card first.
        OffloadTarget::Auto => OffloadTarget::Auto,
        OffloadTarget::All | OffloadTarget::Layers(_) => {
            OffloadTarget::Layers(n - (n / STEP_DOWN).max(1))
        }
    };
    plan_offload(description, &Options { gpu_layers: wanted, ..options }, cards)
}

/// What of a model lies on cards, in words.
fn on_cards(offload_plan: &OffloadPlan) -> String {
    let experts = match offload_plan.cpu_expert_layers {
        0 => String::new(),
        n => format!(" without the experts of {n}"),
    };
    format!("{} layers{experts} on the cards", offload_plan.gpu_layers)
}

/// Loads the model alone, as `offload_plan` has it.
fn attempt(
    description: &ModelDescription,
    options: Options,
    offload_plan: &OffloadPlan,
    progress: &LoadProgress,
) -> Result<(Context, Arc<LlamaVocabulary>, Retention), LoadError> {
    let name = description.source.name();
    take_complaints();
    take_buffers();
    let Weights { model, given_back } =
        loaded(weights(description, offload_plan, progress), &name, progress)?;
    let model = Arc::new(model);
    refuse_what_cannot_generate(&model, &name)?;
    let vocabulary = Arc::new(LlamaVocabulary::new(model.clone()));
    let is_offloaded = offload_plan.gpu_layers > 0;
    let flash_attention = flash(description, &options, is_offloaded);
    let has_few_cells =
        description.sizes.has_windowed_cache(&demand(&options, flash_attention != Some(false)));
    let retention = Retention::of(&model, has_few_cells, is_offloaded);
    let context_options = ContextOptions {
        can_swap: retention.can_swap(),
        ..context_options(&options, is_offloaded, flash_attention)
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
    progress.memory(compare(offload_plan, &take_buffers(), given_back));
    progress.offloaded(offload_plan.gpu_layers);
    Ok((context, vocabulary, retention))
}

/// The draft model lies with the processor: the memory of a card serves the model better.
fn load_draft(
    description: &ModelDescription,
    vocabulary: &LlamaVocabulary,
    options: Options,
    progress: &LoadProgress,
) -> Result<DraftModel, LoadError> {
    let options = draft_options(options);
    let name = description.source.name();
    let offload_plan = plan_offload(description, &options, &[]);
    // What was said of the model explains nothing here.
    take_complaints();
    let model = loaded(weights(description, &offload_plan, progress), &name, progress)?.model;
    let model = Arc::new(model);
    refuse_what_cannot_generate(&model, &name)?;
    if model.is_recurrent() || model.is_hybrid() {
        return Err(LoadError::Options(format!(
            "--draft {name} is a recurrent model, which cannot take back a guess: use one without \
             recurrent layers, or none"
        )));
    }
    let n_shared = shared_tokens(vocabulary, &LlamaVocabulary::new(model.clone()))
        .ok_or_else(|| other_vocabulary(&name))?;
    let flash_attention = flash(description, &options, false);
    let context_options = context_options(&options, false, flash_attention);
    DraftModel::new(model, n_shared, context_options).ok_or_else(|| LoadError::Resources {
        model: name,
        reason: format!("llama.cpp could not set up its KV cache{}", said(take_complaints())),
    })
}

fn draft_options(options: Options) -> Options {
    Options {
        gpu_layers: OffloadTarget::Layers(0),
        kv_type: KvType::F16,
        flash_attention: None,
        guesses: 0,
        ..options
    }
}

fn other_vocabulary(draft: &str) -> LoadError {
    LoadError::Options(format!(
        "--draft {draft} has another vocabulary than the model, so its tokens mean nothing there: \
         use a smaller model of the same family, or none"
    ))
}

/// Whether `draft` can guess for the model, as far as their headers show; [`load()`] compares the
/// tokens.
///
/// # Errors
/// [`LoadError::Options`], where their vocabularies differ in size by more than padding.
pub fn check_draft(
    description: &ModelDescription,
    draft: &ModelDescription,
) -> Result<(), LoadError> {
    if may_be_same(description.n_tokens, draft.n_tokens) {
        return Ok(());
    }
    Err(other_vocabulary(&draft.source.name()))
}

/// What the draft model takes of the processor's memory beside a model that runs with `options`.
pub fn plan_draft(draft: &ModelDescription, options: &Options) -> DevicePlan {
    plan_offload(draft, &draft_options(*options), &[]).cpu
}

fn context_options(
    options: &Options,
    is_offloaded: bool,
    flash_attention: Option<bool>,
) -> ContextOptions {
    ContextOptions {
        kv_tokens: options.kv_tokens.next_multiple_of(KV_BLOCK),
        n_ubatch: options.ubatch,
        n_slots: options.parallel,
        can_swap: false,
        n_outputs: options.parallel + options.guesses,
        n_threads: i32::try_from(options.threads).unwrap_or(i32::MAX),
        flash_attention,
        kv_type: options.kv_type,
        is_offloaded,
    }
}

/// Whether the options fit each other and the model.
///
/// # Errors
/// [`LoadError::Options`], naming the one that does not.
pub fn check(description: &ModelDescription, options: &Options) -> Result<(), LoadError> {
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
    if !description.sizes.can_quantize_kv {
        return Err(LoadError::Options(format!(
            "--kv-type {name} packs numbers in blocks of 32, which the attention heads of {} are \
             no multiple of: use --kv-type f16",
            description.info.name
        )));
    }
    Ok(())
}

/// What of the model goes where, if it is loaded with `options` on these cards.
pub fn plan_offload(
    description: &ModelDescription,
    options: &Options,
    cards: &[GpuDevice],
) -> OffloadPlan {
    let arranged = |is_offloaded| {
        let is_flash = flash(description, options, is_offloaded) != Some(false);
        let demand = demand(options, is_flash);
        arrange(&description.sizes, &demand, cards, options.vram_reserve, options.gpu_layers)
    };
    let is_wanted = !cards.is_empty() && options.gpu_layers != OffloadTarget::Layers(0);
    let offload_plan = arranged(is_wanted);
    // Where nothing finds room on a card it is computed as if there was none.
    if is_wanted && offload_plan.gpu_layers == 0 { arranged(false) } else { offload_plan }
}

fn demand(options: &Options, flash_attention: bool) -> Demand {
    Demand {
        kv_tokens: options.kv_tokens.into(),
        slots: options.parallel.into(),
        outputs: u64::from(options.parallel) + u64::from(options.guesses),
        ubatch: options.ubatch.into(),
        kv_type: options.kv_type,
        flash_attention,
    }
}

fn flash(description: &ModelDescription, options: &Options, is_offloaded: bool) -> Option<bool> {
    let facts = AttentionFacts {
        requested: options.flash_attention,
        has_unaligned_heads: description.sizes.has_unaligned_heads(),
        is_offloaded,
        is_kv_quantized: options.kv_type != KvType::F16,
        score_bytes: description
            .sizes
            .compute_buffers(&demand(options, false), CpuShare::Everything)
            .cpu,
    };
    facts.flash_attention()
}

/// Logs how far the plan was from what llama.cpp then took in each place, and gives both. Of the
/// processor's weights so many bytes are `given_back`.
fn compare(offload_plan: &OffloadPlan, buffers: &[Buffer], given_back: u64) -> Vec<MemoryPart> {
    let is_card = |owner: &str| offload_plan.gpus.iter().any(|card| card.device == owner);
    // What belongs to no card is in the processor's memory, whatever llama.cpp calls it: mapped,
    // or pinned for a card to read.
    let is_at = |buffer: &Buffer, place: &DevicePlan| {
        if is_card(&place.device) { buffer.owner == place.device } else { !is_card(&buffer.owner) }
    };
    let taken = |kinds: &[&str], place: &DevicePlan| -> u64 {
        let here = buffers.iter().filter(|buffer| is_at(buffer, place));
        let here = here.filter(|buffer| kinds.contains(&buffer.kind.as_str()));
        let mib: f64 = here.map(|buffer| buffer.mib).sum();
        let bytes = (mib * f64::from(1 << 20)) as u64;
        let is_file = !is_card(&place.device) && kinds.contains(&"model");
        bytes.saturating_sub(if is_file { given_back } else { 0 })
    };
    let parts_of = |place: &DevicePlan| {
        let parts = [
            ("weights", &["model"][..], place.weights),
            ("kv", &["KV", "RS"], place.kv),
            ("compute", &["compute"], place.compute),
        ];
        parts.map(|(name, kinds, planned)| MemoryPart {
            name,
            device: place.device.clone(),
            planned,
            taken: taken(kinds, place),
        })
    };
    let places = offload_plan.gpus.iter().chain([&offload_plan.cpu]);
    let parts: Vec<_> =
        places.flat_map(parts_of).filter(|part| part.planned > 0 || part.taken > 0).collect();
    report::log_deviation(&parts);
    parts
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

/// The weights, or why there are none.
fn loaded(
    weights: Option<Weights>,
    name: &str,
    progress: &LoadProgress,
) -> Result<Weights, LoadError> {
    weights.ok_or_else(|| match progress.report(0.0) {
        true => complaint(name.to_owned()),
        false => LoadError::Interrupted,
    })
}

fn complaint(model: String) -> LoadError {
    let complaints = take_complaints();
    let is_out_of_memory = |line: &String| OUT_OF_MEMORY.iter().any(|words| line.contains(words));
    if complaints.iter().any(is_out_of_memory) {
        let reason = format!("there is not enough memory for its weights{}", said(complaints));
        return LoadError::Resources { model, reason };
    }
    LoadError::Unusable {
        model,
        reason: format!("llama.cpp could not load it{}", said(complaints)),
    }
}

/// The first complaint, without the names of C++ functions in front.
fn said(complaints: Vec<String>) -> String {
    let Some(first) = complaints.into_iter().next() else { return String::new() };
    let words = first.rsplit_once("error loading model: ").map_or(first.as_str(), |(_, w)| w);
    let words =
        words.split_once(": ").filter(|(name, _)| !name.contains(' ')).map_or(words, |(_, w)| w);
    format!(": {words}")
}
