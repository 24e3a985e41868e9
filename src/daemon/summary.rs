//! What the person at the terminal sees: a few lines at the start, a bar while a model loads.
//!
//! The lines go to standard output, one of them is `listening on ws://ADDRESS` for programs that
//! start the daemon. A standard output that nobody reads is no reason to stop.

use std::io::{self, IsTerminal, Write};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::time::{MissedTickBehavior, interval};

use crate::build_info;
use crate::domain::{ModelInfo, Speculation};
use crate::engine::EngineHandle;
use crate::llama::{self, ModelDescription};

use super::address;
use super::plan::Plan;
use super::plan_page::{PlanPage, slots, without_flash_attention};
use super::units::{bytes, scaled};

/// How often the bar is drawn: as often as an eye follows.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Steps of the bar.
const BAR_STEPS: u64 = 1000;

pub(super) fn print(
    description: &ModelDescription,
    draft: Option<&ModelInfo>,
    plan: &Plan,
    listeners: &[TcpListener],
) {
    let model = &description.info;
    let ModelInfo { name, arch, params, size_bytes, .. } = model;
    let (engine, llama) = (&plan.engine, &plan.llama);
    say(&format!(
        "inference-core {version} · llama.cpp {llama_cpp} · {backend}\n\
         \x20 model    {name} · {arch} · {params} weights · {size}\n\
         {draft}\
         \x20 context  {ctx} tokens a request · {slots} · KV cache of {kv} tokens\n\
         \x20 kept     finished conversations, {kept}\n\
         \x20 compute  {threads} · steps of at most {ubatch} tokens{scores}\n\
         \x20 built    with {flags}\n\
         listening on ws://{address}",
        draft = draft.map_or_else(String::new, |draft| match engine.speculative {
            Speculation::Auto => format!("  draft    {}\n", draft.name),
            _ => format!(
                "  draft    {} · for requests with \"speculative\":\"auto\" alone\n",
                draft.name
            ),
        }),
        version = build_info::VERSION,
        llama_cpp = llama::version(),
        backend = build_info::BACKEND,
        flags = build_info::CPU_FLAGS,
        params = scaled(*params as f64, 1000.0, ["", " K", " M", " B"]),
        size = bytes(*size_bytes as f64),
        ctx = engine.ctx_size,
        slots = slots(llama.parallel),
        kv = llama.kv_tokens,
        kept = match engine.cache_ram_bytes {
            0 => "in the KV cache".to_owned(),
            most => format!("up to {} beside the KV cache", bytes(most as f64)),
        },
        threads = match llama.threads {
            1 => "1 thread".to_owned(),
            n => format!("{n} threads"),
        },
        ubatch = llama.ubatch,
        scores = without_flash_attention(plan.offload_plan.flash_attention),
        address = address(listeners),
    ));
    if let Some(doubt) = &plan.doubtful_draft {
        say(&format!("  warning: {doubt}"));
    }
    if !plan.offload_plan.gpus.is_empty() {
        let page = PlanPage::new(description, plan);
        say(page.places().trim_end());
    }
    if let Some(ignored) = &plan.ignored {
        say(&format!("  warning: {ignored}"));
    } else if plan.offload_plan.gpus.is_empty() && build_info::BACKEND != "cpu" {
        say("  no graphics card was found, or no driver for it: the CPU computes");
    }
    if model.demo {
        say("  this is the built-in toy model: name a GGUF file to serve a real one");
    }
}

/// Draws the progress of the load on a terminal until `loaded` resolves; whether it went well.
pub(super) async fn loading(engine: &EngineHandle, loaded: &mut oneshot::Receiver<()>) -> bool {
    if !io::stderr().is_terminal() {
        return loaded.await.is_ok();
    }
    let bar = ProgressBar::with_draw_target(Some(BAR_STEPS), ProgressDrawTarget::stderr());
    if let Ok(style) = ProgressStyle::with_template("  loading  {bar:40} {percent}%  {elapsed}") {
        bar.set_style(style);
    }
    let mut tick = interval(BAR_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first tick is at once; a small model is loaded before the second and shows no bar.
    tick.tick().await;
    loop {
        tokio::select! {
            result = &mut *loaded => {
                bar.finish_and_clear();
                return result.is_ok();
            }
            _ = tick.tick() => {
                let fraction = f64::from(engine.snapshot().load_progress);
                bar.set_position((fraction * BAR_STEPS as f64) as u64);
            }
        }
    }
}

pub(super) fn ready(elapsed: Duration) {
    say(&format!("ready after {:.1} s", elapsed.as_secs_f64()));
}

/// Says what is waited for after the first signal.
pub(super) fn leaving(engine: &EngineHandle, drain_timeout: Duration) {
    let active = engine.snapshot().numbers.active;
    if active > 0 {
        let seconds = drain_timeout.as_secs();
        say(&format!(
            "leaving: {active} running, for at most {seconds} s; a second signal leaves at once"
        ));
    }
}

fn say(text: &str) {
    let mut out = io::stdout();
    let _ = writeln!(out, "{text}").and_then(|()| out.flush());
}
