//! `/metrics`: everything that is counted, in the text format that Prometheus reads.
//!
//! Nothing is kept for it: each scrape reads the engine's atomics and the last reading of the
//! cards. Names follow Prometheus' conventions; `packaging/grafana` shows them, and a test holds
//! the two together.

use std::fmt;
use std::time::Instant;

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{Gpu, MemoryPart, Throttle};
use crate::engine::{Distribution, Ending, Phase, Report, Snapshot};
use crate::protocol::{Hello, throttle_name};
use crate::watchdog::Health;

use crate::server::shared::Shared;

/// What the encoder writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const BYTES: Option<&Unit> = Some(&Unit::Bytes);

/// The page.
pub(in crate::server) fn page(shared: &Shared) -> Result<Response, fmt::Error> {
    let snapshot = shared.engine.snapshot();
    let scrape = Scrape {
        health: shared.watchdog.judge(&snapshot),
        snapshot,
        report: shared.engine.report(),
        connections: shared.n_websockets(),
        dropped_frames: shared.dropped_frames(),
        memory: shared.engine.memory().to_vec(),
        gpus: shared.gpus(Instant::now()),
        max_queue: shared.engine.max_queue(),
        cache_ram_bytes: shared.engine.cache_ram_bytes(),
        hello: shared.hello(),
    };
    let mut registry = Registry::with_prefix("inference_core");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response())
}

/// All there is to say at one moment.
#[derive(Debug)]
struct Scrape {
    health: Health,
    snapshot: Snapshot,
    report: Report,
    connections: usize,
    dropped_frames: u64,
    memory: Vec<MemoryPart>,
    gpus: Vec<Gpu>,
    max_queue: usize,
    cache_ram_bytes: usize,
    hello: Hello,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        self.house(&mut page)?;
        self.engine(&mut page)?;
        self.latencies(&mut page)?;
        self.cards(&mut page)
    }
}

impl Scrape {
    fn house(&self, page: &mut Page<'_>) -> fmt::Result {
        let hello = &self.hello;
        let labels = [
            ("version", hello.version()),
            ("backend", hello.backend()),
            ("model", hello.model_name()),
        ];
        page.gauges("build_info", "What runs here: always 1", None, [(labels, 1_i64)])?;
        let (on_cards, with_cpu) = hello.layers();
        let places = [("card", on_cards), ("cpu", with_cpu)];
        page.gauges(
            "model_layers",
            "Layers of the model by where they lie, as planned until it is loaded",
            None,
            places.map(|(place, layers)| ([("place", place)], i64::from(layers))),
        )
    }

    fn engine(&self, page: &mut Page<'_>) -> fmt::Result {
        let Self { snapshot, report, .. } = self;
        let states = [
            Health::Loading,
            Health::Idle,
            Health::Busy,
            Health::Stalled,
            Health::Draining,
            Health::Ended,
        ];
        page.gauges(
            "state",
            "What the engine does: 1 for the state it is in",
            None,
            states.map(|state| ([("state", state.name())], i64::from(state == self.health))),
        )?;
        let endings = report.endings.map(|(ending, n)| ([("outcome", outcome(ending))], n));
        let requests =
            "Requests by how they ended or the code they were refused with, unreadable ones too";
        page.counters("requests", requests, None, endings)?;
        page.gauge("uptime", "Since the start", SECONDS, snapshot.uptime.as_secs_f64())?;
        page.gauge("load_ratio", "Loaded part of the model", None, snapshot.load_progress.into())?;
        page.gauge("requests_active", "Requests that hold a slot", None, n(snapshot.active))?;
        page.gauge("requests_queued", "Requests that wait", None, n(snapshot.queued))?;
        let bound = "Requests that may wait, beside a quarter more of connections without another";
        page.gauge("requests_queued_limit", bound, None, n(self.max_queue))?;
        page.gauge("slots", "Requests computed at once", None, n(snapshot.slots))?;
        let used = "Tokens in the KV cache, kept prefixes included";
        page.gauge("kv_cache_used_tokens", used, None, n(snapshot.kv_used_tokens))?;
        let running = "Tokens in the KV cache that running requests hold";
        page.gauge("kv_cache_running_tokens", running, None, n(snapshot.kv_running_tokens))?;
        let size = "Tokens the KV cache holds";
        page.gauge("kv_cache_size_tokens", size, None, n(snapshot.kv_total_tokens))?;
        let kept =
            "Finished sequences with a copy in ordinary memory, for which they leave the KV cache";
        page.gauge("swapped_sequences", kept, None, n(snapshot.swapped_sequences))?;
        let memory = "Memory that these copies take";
        page.gauge("swapped_size", memory, BYTES, n(snapshot.swapped_bytes))?;
        let most = "Most memory that these copies may take";
        page.gauge("swapped_size_limit", most, BYTES, n(self.cache_ram_bytes))?;
        let out = "Finished sequences swapped out of the KV cache";
        page.counter("sequences_swapped_out", out, snapshot.swapped_out_total)?;
        let back = "Sequences swapped into the KV cache again";
        page.counter("sequences_swapped_in", back, snapshot.swapped_in_total)?;
        page.counter("generated_tokens", "Tokens generated", snapshot.tokens_total)?;
        page.counter("prompt_tokens", "Prompt tokens computed", snapshot.prompt_tokens_total)?;
        let cached = "Prompt tokens found in the KV cache or swapped in";
        page.counter("cached_prompt_tokens", cached, snapshot.cached_tokens_total)?;
        let drafted = "Tokens drafted ahead and computed";
        page.counter("drafted_tokens", drafted, snapshot.drafted_total)?;
        let accepted = "Drafted tokens that the model would have drawn";
        page.counter("accepted_tokens", accepted, snapshot.accepted_total)?;
        page.counter("steps", "Steps computed", snapshot.steps_total)?;
        let phases = snapshot.phases.map(|(phase, took)| {
            let name = match phase {
                Phase::Schedule => "schedule",
                Phase::Draft => "draft",
                Phase::Decode => "decode",
                Phase::Commit => "commit",
            };
            ([("phase", name)], took.as_secs_f64())
        });
        page.counters("engine", "Time of the engine's steps by phase", SECONDS, phases)?;
        let age = snapshot.step_age.unwrap_or_default().as_secs_f64();
        page.gauge(
            "engine_step_age",
            "How long the current step runs, 0 between steps",
            SECONDS,
            age,
        )?;
        page.gauge("connections", "Open WebSockets", None, n(self.connections))?;
        let dropped = "Metrics frames that a slow connection never got";
        page.counter("dropped_frames", dropped, self.dropped_frames)?;
        let planned = "What the model was planned to take";
        let labels =
            |part: &MemoryPart| [("device", part.device.clone()), ("part", part.name.to_owned())];
        let parts = self.memory.iter().map(|part| (labels(part), part.planned as f64));
        page.gauges("model_memory_planned", planned, BYTES, parts)?;
        let parts = self.memory.iter().map(|part| (labels(part), part.taken as f64));
        page.gauges("model_memory", "What the model takes", BYTES, parts)
    }

    fn latencies(&self, page: &mut Page<'_>) -> fmt::Result {
        let Report { queue_wait, ttft, inter_token, total, step, step_tokens, .. } = &self.report;
        page.histogram(
            "queue_wait",
            "From receipt to a slot, or to the end without one",
            SECONDS,
            queue_wait,
        )?;
        page.histogram("time_to_first_token", "From receipt to the first text", SECONDS, ttft)?;
        page.histogram("inter_token", "Between two tokens of a request", SECONDS, inter_token)?;
        page.histogram("request_duration", "From receipt to the end", SECONDS, total)?;
        page.histogram("step_duration", "What a step took", SECONDS, step)?;
        page.histogram("step_tokens", "Tokens computed in a step", None, step_tokens)
    }

    fn cards(&self, page: &mut Page<'_>) -> fmt::Result {
        let celsius = Some(&Unit::Celsius);
        let float = |bytes: u64| bytes as f64;
        let share = |percent: u32| f64::from(percent) / 100.0;
        self.card(page, "gpu_up", "Whether the card answers", None, |gpu| {
            Some(f64::from(u8::from(gpu.is_present)))
        })?;
        self.card(page, "gpu_temperature", "Temperature of the chip", celsius, |gpu| {
            gpu.celsius.map(f64::from)
        })?;
        self.card(page, "gpu_memory_total", "Memory of the card", BYTES, |gpu| {
            gpu.vram_total.map(float)
        })?;
        self.card(page, "gpu_memory_used", "Memory that programs use", BYTES, |gpu| {
            gpu.vram_used.map(float)
        })?;
        self.card(page, "gpu_memory_free", "Memory that nobody uses", BYTES, |gpu| {
            gpu.vram_free.map(float)
        })?;
        self.card(page, "gpu_process_memory", "Memory this process uses", BYTES, |gpu| {
            gpu.process_vram.map(float)
        })?;
        self.card(page, "gpu_power_watts", "Power the card draws", None, |gpu| {
            gpu.milliwatts.map(|milliwatts| f64::from(milliwatts) / 1000.0)
        })?;
        self.card(page, "gpu_fan_ratio", "Wanted speed of the first fan", None, |gpu| {
            gpu.fan_percent.map(share)
        })?;
        self.card(page, "gpu_utilization_ratio", "Part of the time it computed", None, |gpu| {
            gpu.utilization_percent.map(share)
        })?;
        let throttling = self.gpus.iter().flat_map(|gpu| {
            let known = gpu.throttle.iter();
            known.flat_map(move |reasons| {
                Throttle::ALL.map(|reason| {
                    let [index, uuid] = labels(gpu);
                    let reason_label = ("reason", throttle_name(reason).to_owned());
                    ([index, uuid, reason_label], i64::from(reasons.contains(&reason)))
                })
            })
        });
        page.gauges("gpu_throttling", "Whether this keeps the clocks down", None, throttling)
    }

    /// One value of every card that has it.
    fn card(
        &self,
        page: &mut Page<'_>,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        value: impl Fn(&Gpu) -> Option<f64>,
    ) -> fmt::Result {
        let values = self.gpus.iter().filter_map(|gpu| Some((labels(gpu), value(gpu)?)));
        page.gauges(name, help, unit, values)
    }
}

fn labels(gpu: &Gpu) -> [(&'static str, String); 2] {
    [("gpu", gpu.index.to_string()), ("uuid", gpu.uuid.clone())]
}

/// Counts of what fits into memory are far below the 2⁵³ that a float counts exactly.
fn n(count: usize) -> f64 {
    count as f64
}

/// What is written one metric after the other.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    fn gauges<L: EncodeLabelSet, V: EncodeGaugeValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut values = values.into_iter().peekable();
        if values.peek().is_none() {
            return Ok(());
        }
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_gauge(&value)?;
        }
        Ok(())
    }

    fn counter(&mut self, name: &str, help: &str, value: u64) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, None, MetricType::Counter)?
            .encode_counter::<NoLabelSet, _, f64>(&value, None)
    }

    fn counters<L: EncodeLabelSet, V: EncodeCounterValue>(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: impl IntoIterator<Item = (L, V)>,
    ) -> fmt::Result {
        let mut metric = self.0.encode_descriptor(name, help, unit, MetricType::Counter)?;
        for (labels, value) in values {
            metric.encode_family(&labels)?.encode_counter::<NoLabelSet, _, f64>(&value, None)?;
        }
        Ok(())
    }

    fn histogram(
        &mut self,
        name: &str,
        help: &str,
        unit: Option<&Unit>,
        values: &Distribution,
    ) -> fmt::Result {
        self.0
            .encode_descriptor(name, help, unit, MetricType::Histogram)?
            .encode_histogram::<NoLabelSet>(values.sum, values.count(), &values.buckets, None)
    }
}

fn outcome(ending: Ending) -> &'static str {
    match ending {
        Ending::Stop => "stop",
        Ending::Length => "length",
        Ending::Abort => "abort",
        Ending::SlowClient => "slow_client",
        Ending::EngineFailed => "engine_failed",
        Ending::ShuttingDown => "shutting_down",
        Ending::Loading => "loading",
        Ending::Busy => "busy",
        Ending::ContextOverflow => "context_overflow",
        Ending::InvalidParams => "invalid_params",
        Ending::BadJson => "bad_json",
        Ending::BadFrame => "bad_frame",
        Ending::UnknownOp => "unknown_op",
        Ending::RequestInFlight => "request_in_flight",
        Ending::DuplicateId => "duplicate_id",
    }
}
