//! From what was asked and what the model is to the rooms' own options.

use std::time::Duration;

use crate::build_info;
use crate::cli::{Config, GpuLayers, KvType};
use crate::domain::ModelInfo;
use crate::engine;
use crate::gpu;
use crate::llama::{
    self, DevicePlan, GpuDevice, LoadError, ModelDescription, ModelSource, OffloadPlan,
    OffloadTarget,
};
use crate::server;

use super::advice::advice;
use super::units::bytes;

/// Longest context that is taken unasked: a larger one costs memory that small cards do not have.
const DEFAULT_CTX_SIZE: u32 = 4096;

/// Bytes of each card that stay free where nothing else is said: what a desktop takes, and some air.
const DEFAULT_VRAM_RESERVE: u64 = 500 << 20;

/// Finished texts take one part in so many of the memory that is left beside the model, at most.
const CACHE_RAM_PART: u64 = 4;

/// The backend of a build for no card.
pub(super) const CPU: &str = "cpu";

/// A connection outlives the request that was dropped because it did not read, so that a client
/// that comes back in between still learns what happened.
const WRITE_GRACE_BEYOND: Duration = Duration::from_secs(20);

/// The rooms' options, made to fit each other and the model.
#[derive(Debug, Clone)]
pub(super) struct Plan {
    pub(super) llama: llama::Options,
    /// What lies where.
    pub(super) offload_plan: OffloadPlan,
    /// What the draft model takes, with the processor.
    pub(super) draft: Option<DevicePlan>,
    /// What is wrong with the draft; a line.
    pub(super) doubtful_draft: Option<String>,
    /// What was asked of cards that are not there; a line.
    pub(super) ignored: Option<String>,
    /// What to type for a better plan, a line each.
    pub(super) advice: Vec<String>,
    pub(super) engine: engine::Options,
    pub(super) server: server::Options,
    pub(super) gpu: gpu::Options,
}

/// What the model's own options and the room on cards make of what was asked.
#[derive(Debug, Clone)]
pub(super) struct Arranged {
    pub(super) ctx_size: u32,
    pub(super) llama: llama::Options,
    pub(super) offload_plan: OffloadPlan,
}

impl Arranged {
    /// # Errors
    /// [`LoadError::Options`], where what was asked does not fit the model.
    pub(super) fn new(
        config: &Config,
        description: &ModelDescription,
        cards: &[GpuDevice],
    ) -> Result<Self, LoadError> {
        let ModelInfo { n_ctx_train, name, .. } = &description.info;
        let ctx_size = config.ctx_size.unwrap_or_else(|| DEFAULT_CTX_SIZE.min(*n_ctx_train));
        if ctx_size > *n_ctx_train {
            return Err(LoadError::Options(format!(
                "--ctx-size {ctx_size} is beyond the {n_ctx_train} tokens that {name} was trained \
                 on: use at most {n_ctx_train}"
            )));
        }
        let all_slots = u64::from(ctx_size) * u64::from(config.parallel);
        let kv_tokens = config.kv_size.map_or(all_slots, u64::from);
        if kv_tokens < u64::from(ctx_size) {
            return Err(LoadError::Options(format!(
                "--kv-size {kv_tokens} is less than the {ctx_size} tokens a single request may \
                 use: raise it, or lower --ctx-size"
            )));
        }
        let kv_tokens = i32::try_from(kv_tokens).map_err(|_| {
            LoadError::Options(format!(
                "a KV cache of {kv_tokens} tokens is more than llama.cpp can count: lower \
                 --ctx-size or --parallel, or --kv-size"
            ))
        })?;
        let llama = llama::Options {
            kv_type: match config.kv_type {
                KvType::F16 | KvType::Auto => llama::KvType::F16,
                KvType::Q8 => llama::KvType::Q8,
                KvType::Q4 => llama::KvType::Q4,
            },
            gpu_layers: match config.gpu_layers {
                GpuLayers::Auto => OffloadTarget::Auto,
                GpuLayers::All => OffloadTarget::All,
                GpuLayers::Number(n) => OffloadTarget::Layers(n),
            },
            vram_reserve: config.vram_reserve.unwrap_or(DEFAULT_VRAM_RESERVE),
            kv_tokens: kv_tokens.unsigned_abs(),
            parallel: config.parallel,
            ubatch: config.ubatch,
            // A request may ask for it where the server usually does not, so there is room in any
            // case.
            n_draft: engine::max_draft_tokens(config.parallel),
            threads: config.threads,
            flash_attention: config.flash_attention,
        };
        llama::check(description, &llama)?;
        let offload_plan = llama::plan_offload(description, &llama, cards);
        if config.kv_type == KvType::Auto {
            // Half the cache for a little of the text's quality, where that buys layers.
            let packed = llama::Options { kv_type: llama::KvType::Q8, ..llama };
            let candidate = llama::plan_offload(description, &packed, cards);
            let is_possible = llama::check(description, &packed).is_ok();
            if is_possible && candidate.offloads_more_than(&offload_plan) {
                return Ok(Self { ctx_size, llama: packed, offload_plan: candidate });
            }
        }
        Ok(Self { ctx_size, llama, offload_plan })
    }
}

/// A guess reads all weights of the draft: of more than half the model's bytes, two take about as long
/// as a step without any.
fn doubt(draft: u64, model: u64) -> Option<String> {
    (draft > model / 2).then(|| {
        format!(
            "the draft has {} and the model {}, so its guesses will hardly pay: use one that is \
             many times smaller",
            bytes(draft as f64),
            bytes(model as f64)
        )
    })
}

impl Plan {
    /// # Errors
    /// [`LoadError::Options`], where what was asked does not fit the model.
    pub(super) fn new(
        config: &Config,
        description: &ModelDescription,
        draft: Option<&ModelDescription>,
        cards: &[GpuDevice],
    ) -> Result<Self, LoadError> {
        if let Some(draft) = draft {
            llama::check_draft(description, draft)?;
        }
        let arranged = Arranged::new(config, description, cards)?;
        let advice = advice(config, description, cards, &arranged);
        let Arranged { ctx_size, llama, mut offload_plan } = arranged;
        let mut ignored = None;
        if cards.is_empty() {
            no_card_reason(build_info::BACKEND).clone_into(&mut offload_plan.why);
            ignored = asked_of_cards(config).map(|asked| no_card(build_info::BACKEND, &asked));
        }
        let doubtful_draft =
            draft.and_then(|draft| doubt(draft.info.size_bytes, description.info.size_bytes));
        let draft = draft.map(|draft| llama::plan_draft(draft, &llama));
        let cache_ram_bytes = config.cache_ram.unwrap_or_else(|| {
            let taken: u64 = [Some(&offload_plan.cpu), draft.as_ref()]
                .into_iter()
                .flatten()
                .map(|part| part.weights + part.kv + part.compute)
                .sum();
            let kv = offload_plan.gpus.iter().chain([&offload_plan.cpu]).map(|part| part.kv).sum();
            cache_ram(kv, taken, llama::available_memory())
        });
        Ok(Self {
            offload_plan,
            draft,
            doubtful_draft,
            ignored,
            advice,
            llama,
            engine: engine::Options {
                ctx_size: ctx_size as usize,
                max_queue: config.max_queue,
                cache_ram_bytes: usize::try_from(cache_ram_bytes).unwrap_or(usize::MAX),
                slow_client_grace: config.slow_client_grace,
                step_target: config.step_target,
                speculative: config.speculative,
                ..engine::Options::default()
            },
            server: server::Options {
                max_message_bytes: config.max_message_bytes,
                max_connections: config.max_connections,
                allowed_origins: config.allowed_origins.clone(),
                write_grace: config.slow_client_grace + WRITE_GRACE_BEYOND,
                metrics_interval: config.metrics_interval,
            },
            gpu: gpu::Options {
                interval: config.metrics_interval,
                computing: llama::gpu_bus_ids(),
                visible: config.visible_cards.clone(),
            },
        })
    }

    /// Refuses what the system would end this process or others for: llama.cpp clears the KV cache, so
    /// that all of it is taken at once. Weights do not count, which may be read from the file again and
    /// again, nor buffers, of which only what is used is taken. `free` is the memory that may be taken,
    /// 0 where that is not known.
    ///
    /// # Errors
    /// [`LoadError::Resources`].
    pub(super) fn check_memory(&self, source: &ModelSource, free: u64) -> Result<(), LoadError> {
        let draft = self.draft.as_ref().map_or(0, |draft| draft.kv);
        let taken = self.offload_plan.cpu.kv.saturating_add(draft);
        if free == 0 || taken <= free {
            return Ok(());
        }
        Err(LoadError::Resources {
            model: source.name(),
            reason: format!(
                "a KV cache of {} tokens takes {} and {} are free: use a smaller --ctx-size, \
                 --parallel or --kv-size",
                self.llama.kv_tokens,
                bytes(taken as f64),
                bytes(free as f64)
            ),
        })
    }

    /// What the server tells every client.
    pub(super) fn about(&self, model: &ModelInfo) -> server::About {
        server::About {
            model: model.clone(),
            version: build_info::VERSION.to_owned(),
            commit: build_info::COMMIT.to_owned(),
            llama_cpp: llama::version(),
            cpu_flags: build_info::CPU_FLAGS.to_owned(),
            // A build for a card that finds none, or puts nothing there, computes on the CPU.
            backend: if self.offload_plan.gpu_layers == 0 { CPU } else { build_info::BACKEND }
                .to_owned(),
            parallel: self.llama.parallel as usize,
            // Clients count the model's layers, without the output matrix that a plan counts.
            gpu_layers: self.offload_plan.gpu_layers.saturating_sub(1),
        }
    }
}

/// Bytes for finished conversations beside a KV cache of `kv` bytes, where the model takes `taken` of
/// the `spare` ones of the machine; 0 are spare where that is not known.
fn cache_ram(kv: u64, taken: u64, spare: u64) -> u64 {
    // A sequence that fills the cache takes a little more outside of it.
    let whole = kv + kv / 16;
    match spare {
        0 => whole,
        spare => whole.min(spare.saturating_sub(taken) / CACHE_RAM_PART),
    }
}

/// Why there is no card to put layers on, in a build for `backend`.
fn no_card_reason(backend: &str) -> &'static str {
    match backend {
        CPU => "this build computes on the CPU only",
        _ => "no graphics card was found, or no driver for it",
    }
}

/// The options that are for cards alone; `None` where none was given.
fn asked_of_cards(config: &Config) -> Option<String> {
    let layers = match config.gpu_layers {
        GpuLayers::All => Some("--gpu-layers all".to_owned()),
        GpuLayers::Number(n) if n > 0 => Some(format!("--gpu-layers {n}")),
        GpuLayers::Auto | GpuLayers::Number(_) => None,
    };
    let reserve = config.vram_reserve.map(|_| "--vram-reserve".to_owned());
    let asked: Vec<_> = layers.into_iter().chain(reserve).collect();
    (!asked.is_empty()).then(|| asked.join(" and "))
}

/// What becomes of the options `asked` without a card.
fn no_card(backend: &str, asked: &str) -> String {
    let reason = no_card_reason(backend);
    let what_to_do = match backend {
        CPU => "build for a card (BUILD.md, \"For a graphics card\")",
        _ => "the CPU computes",
    };
    let verb = if asked.contains(" and ") { "change" } else { "changes" };
    format!("{asked} {verb} nothing: {reason}; {what_to_do}")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn finished_conversations_have_what_the_kv_cache_has_and_a_quarter_of_what_is_left_at_most() {
        assert_eq!(cache_ram(160, 1_000, 9_000), 170);
        assert_eq!(cache_ram(1_600, 1_000, 3_000), 500);
        assert_eq!(cache_ram(160, 1_000, 900), 0);
        assert_eq!(cache_ram(160, 1_000, 0), 170, "what is spare is not known");
    }

    #[test]
    fn what_is_asked_of_cards_in_vain_is_said_with_the_reason() {
        let line = no_card("cpu", "--gpu-layers all");
        assert!(line.contains("--gpu-layers all") && line.contains("BUILD.md"), "{line}");
        let line = no_card("cuda", "--gpu-layers 3");
        assert!(line.contains("no graphics card was found"), "{line}");
        assert!(!line.contains("BUILD.md"), "{line}");
    }
}
