//! What the user sees on the terminal: some lines at the start, and a progress bar during the load.
//!
//! The lines go to standard output. Programs that start the daemon look for the line
//! `listening on ws://ADDRESS`, with TLS `wss://`. If standard output cannot be written, or nobody
//! reads it, the daemon continues.

use std::io::{self, IsTerminal};
use std::pin::pin;
use std::time::Duration;

use console::Term;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};
use tokio::sync::watch;
use tokio::time::{MissedTickBehavior, interval};

use crate::build_info;
use crate::domain::{GpuReading, ModelInfo, Speculation};
use crate::llama::{self, ModelDescription};
use crate::runner::{Client, RunnerPhase};

use super::columns::wrap;
use super::listen::Listening;
use super::output::{STDERR, STDOUT, StderrWriter};
use super::plan::{PlanPage, ServePlan, flash_attention_note};
use super::units::{bytes, count, scaled};

/// Prints what is served, with which options, and where.
pub(super) fn print(
    description: &ModelDescription,
    draft: Option<&ModelInfo>,
    plan: &ServePlan,
    listening: &Listening,
) {
    print_summary(&description.info, draft, plan, listening);
    for warning in listening.warnings.iter().chain(&plan.warnings).chain(&plan.draft_warning) {
        warn(warning);
    }
    let has_gpu = !plan.offload_plan.gpus.is_empty();
    if has_gpu {
        let page = PlanPage::new(description, plan);
        say(page.devices().trim_end());
    }
    if let Some(warning) = &plan.ignored {
        warn(warning);
    } else if !has_gpu && build_info::BACKEND != build_info::CPU_BACKEND {
        say("  no GPU was found, or its driver is missing: running on the CPU");
    }
    if description.info.is_demo {
        say("  this is the built-in toy model; to serve a real one: inference-core model.gguf");
    }
}

/// Prints model, context, cache, compute and address.
fn print_summary(
    model: &ModelInfo,
    draft: Option<&ModelInfo>,
    plan: &ServePlan,
    listening: &Listening,
) {
    let (engine, llama) = (&plan.engine, &plan.llama);
    let version = build_info::VERSION;
    let (llama_cpp, backend) = (llama::version(), build_info::BACKEND);
    say(&facts("", &format!("inference-core {version} · llama.cpp {llama_cpp} · {backend}")));
    say(&model_lines(model));
    if let Some(draft) = draft {
        say(&facts("  draft    ", &draft_facts(draft, engine.speculative)));
    }
    let context = format!(
        "{} tokens per request · {} · KV cache of {} tokens",
        engine.ctx_size,
        count(llama.parallel as usize, "slot"),
        llama.kv_tokens()
    );
    say(&facts("  context  ", &context));
    let cache = match engine.cache_ram_bytes {
        0 => "finished conversations stay in their slots".to_owned(),
        max => format!("up to {} of host RAM for finished conversations", bytes(max as f64)),
    };
    say(&facts("  cache    ", &cache));
    let flash = flash_attention_note(plan.offload_plan.flash_attention);
    let compute = format!("{} · at most {} tokens per step{flash}", threads(llama), llama.ubatch);
    say(&facts("  compute  ", &compute));
    let flags = format!("built for {}", build_info::CPU_FLAGS);
    say(&wrap("  CPU      ", &flags, " "));
    for url in &listening.urls {
        say(&format!("listening on {url}"));
    }
    if !listening.urls_from_elsewhere.is_empty() {
        say(&facts("  from other machines: ", &listening.urls_from_elsewhere.join(" · ")));
    }
    if let Some(url) = listening.http_url() {
        if plan.server.has_web {
            say(&format!("  web page: {}/", url.trim_end_matches("/v1")));
        }
        say(&format!("  for OpenAI's clients: {url}"));
    }
}

/// A line of facts, on as many lines as a terminal of 80 columns needs.
fn facts(label: &str, facts: &str) -> String {
    wrap(label, facts, " · ")
}

/// The number of compute threads: the most if other programs can make it smaller.
fn threads(llama: &llama::Options) -> String {
    let threads = count(llama.threads as usize, "thread");
    if llama.has_adaptive_threads { format!("up to {threads}") } else { threads }
}

/// Name, architecture and size of the model: the name on a line of its own if all do not fit on
/// one.
fn model_lines(model: &ModelInfo) -> String {
    let ModelInfo { name, arch, params, size_bytes, .. } = model;
    let params = scaled(*params as f64, 1000.0, ["", " K", " M", " B"]);
    let size = format!("{arch} · {params} parameters · {}", bytes(*size_bytes as f64));
    let lines = facts("  model    ", &format!("{name} · {size}"));
    if lines.contains('\n') {
        return format!("{}\n{}", facts("  model    ", name), facts("           ", &size));
    }
    lines
}

/// The draft model. `default` is the speculation of requests that do not say.
fn draft_facts(draft: &ModelInfo, default: Speculation) -> String {
    let note = match default {
        Speculation::Auto => "",
        Speculation::Off | Speculation::Ngram => {
            " · only for requests with \"speculative\":\"auto\""
        }
    };
    format!("{}{note}", draft.name)
}

/// Shows the progress of the load on a terminal until it has ended. Returns whether the model was
/// loaded.
pub(super) async fn show_loading(model: &Client) -> bool {
    let mut phases = model.phases();
    let mut ended = pin!(phases.wait_for(|phase| *phase != RunnerPhase::Loading));
    let is_ready = || *model.phases().borrow() == RunnerPhase::Ready;
    if !io::stderr().is_terminal() {
        return ended.await.is_ok() && is_ready();
    }
    let terminal = Term::read_write_pair(io::stdin(), StderrWriter);
    let target = ProgressDrawTarget::term(terminal, MAX_BAR_HZ);
    let bar = ProgressBar::with_draw_target(Some(BAR_STEPS), target);
    if let Ok(style) = ProgressStyle::with_template("  loading  {bar:40} {percent}%  {elapsed}") {
        bar.set_style(style);
    }
    let mut tick = interval(BAR_INTERVAL);
    tick.set_missed_tick_behavior(MissedTickBehavior::Skip);
    // The first tick comes at once. A small model is loaded before the second and shows no bar.
    tick.tick().await;
    loop {
        tokio::select! {
            ended = &mut ended => {
                bar.finish_and_clear();
                return ended.is_ok() && is_ready();
            }
            // On a terminal that is stopped, each update would only fill the queue.
            _ = tick.tick() => if !STDERR.is_behind() {
                model.refresh().await;
                let fraction = f64::from(model.snapshot().load_progress);
                bar.set_position((fraction * BAR_STEPS as f64) as u64);
            }
        }
    }
}

/// Prints that requests are served from now on, after what was logged about the load and what the
/// load has found out about the model. Standard error may be the same terminal, and must have
/// cleared the progress bar.
pub(super) fn print_ready(model: &Client, elapsed: Duration) {
    STDERR.flush(LOG_DEADLINE);
    for warning in model.warnings() {
        warn(&warning);
    }
    say(&format!("ready after {:.1} s", elapsed.as_secs_f64()));
}

/// In a build for the CPU, prints which NVIDIA GPUs are not used as soon as the driver has found
/// them. Returns at once in a build for GPUs.
pub(super) async fn note_unused_gpus(mut readings: watch::Receiver<GpuReading>) {
    if build_info::BACKEND != build_info::CPU_BACKEND {
        return;
    }
    let Ok(reading) = readings.wait_for(|reading| !reading.gpus.is_empty()).await else { return };
    let names: Vec<String> = reading.gpus.iter().map(|gpu| gpu.name.clone()).collect();
    drop(reading);
    warn(&format!(
        "this build computes on the CPU and does not use the {}: docs/BUILD.md says how to build \
         for it (make run FEATURES=cuda)",
        names.join(" and the ")
    ));
}

/// Prints, after the first signal, how many requests the shutdown waits for and how long at most.
pub(super) fn print_draining(model: &Client, drain_timeout: Duration) {
    let numbers = model.snapshot().numbers;
    let active = numbers.active + numbers.suspended;
    if active > 0 {
        say(&format!(
            "shutting down: up to {seconds} s for {requests}; a second signal stops at once",
            requests = count(active, "running request"),
            seconds = drain_timeout.as_secs(),
        ));
    }
}

/// Prints and logs a warning. It is logged as `info`, because the default level would show it on
/// the terminal a second time.
fn warn(text: &str) {
    tracing::info!("warning: {text}");
    say(&wrap("  warning: ", text, " "));
}

/// Prints a line to standard output, without waiting for it.
fn say(text: &str) {
    STDOUT.write(format!("{text}\n").as_bytes());
}

/// Time between two updates of the progress bar.
const BAR_INTERVAL: Duration = Duration::from_millis(100);

/// Most updates of the progress bar per second; more than [`BAR_INTERVAL`] asks for.
const MAX_BAR_HZ: u8 = 20;

/// Longest wait for the log before the last line of the start screen. Signals wait as well. Only a
/// standard error that nobody reads takes this long.
const LOG_DEADLINE: Duration = Duration::from_millis(500);

/// Resolution of the progress bar.
const BAR_STEPS: u64 = 1000;
