//! `/metrics`: every counter, gauge and histogram in the text format that Prometheus reads.
//!
//! Nothing is stored for it. Each scrape asks the runner and takes the latest GPU reading.
//! `docs/MONITORING.md` lists the metrics and `packaging/grafana` plots them; tests compare both
//! with this page.

use std::collections::BTreeMap;
use std::fmt;
use std::time::{Duration, Instant};

use axum::http::header::CONTENT_TYPE;
use axum::response::{IntoResponse, Response};
use prometheus_client::collector::Collector;
use prometheus_client::encoding::text::encode;
use prometheus_client::encoding::{
    DescriptorEncoder, EncodeCounterValue, EncodeGaugeValue, EncodeLabelSet, NoLabelSet,
};
use prometheus_client::metrics::MetricType;
use prometheus_client::registry::{Registry, Unit};

use crate::domain::{
    Code, Distribution, Gpu, MemoryPart, MetricKind, MetricUnit, Phase, Snapshot, Throttle,
};
use crate::protocol::{Hello, throttle_name};
use crate::runner::{Health, RequestLimits};
use crate::server::access::AccountCounts;
use crate::server::shared::Shared;

use super::plain_text::plain_text;

/// The response to `GET /metrics`: in the format OpenMetrics if `accept`, the header field, asks
/// for it, else in the older text format.
///
/// # Errors
/// The error of the encoder, which writes to a string and does not fail.
pub(in crate::server) async fn page(shared: &Shared, accept: &str) -> Result<Response, fmt::Error> {
    shared.model.refresh().await;
    let scrape = Scrape {
        health: shared.model.health(),
        snapshot: shared.model.snapshot(),
        uptime: shared.model.uptime(),
        restarts: shared.model.restarts(),
        ends: shared.counts.ends(),
        ttft: shared.counts.ttft(),
        connections: shared.websockets.n_open(),
        closed: shared.closed_connections(),
        message_memory: [shared.budget.used(), shared.budget.limit()],
        lost_lines: (shared.options.lost_lines)(),
        dropped_frames: shared.dropped_frames(),
        refusals: shared.refusals.counts(),
        auth_failures: shared.access.n_failures(),
        keys: shared.access.key_counts(),
        memory: shared.model.memory(),
        gpus: shared.gpus(Instant::now()),
        limits: shared.model.limits(),
        hello: shared.hello(true),
    };
    let mut registry = Registry::with_prefix("inference_core");
    registry.register_collector(Box::new(scrape));
    let mut text = String::new();
    encode(&mut text, &registry)?;
    if accept.contains("application/openmetrics-text") {
        return Ok(([(CONTENT_TYPE, OPENMETRICS)], text).into_response());
    }
    Ok(([(CONTENT_TYPE, PLAIN_TEXT)], plain_text(&text)).into_response())
}

/// All values of one scrape.
#[derive(Debug)]
struct Scrape {
    health: Health,
    snapshot: Snapshot,
    uptime: Duration,
    /// Restarts of the model's process, by cause.
    restarts: BTreeMap<String, u64>,
    /// Requests by the code that they ended or were refused with.
    ends: Vec<(Code, u64)>,
    ttft: Distribution,
    connections: usize,
    /// WebSockets that were closed to protect others, by reason.
    closed: [(&'static str, u64); 5],
    /// Bytes of messages that are charged, and how many may be.
    message_memory: [usize; 2],
    /// Lines lost because nobody read the daemon's output, by stream.
    lost_lines: [(&'static str, u64); 2],
    dropped_frames: u64,
    /// HTTP requests refused because of a header, by its name.
    refusals: [(&'static str, u64); 2],
    /// Attempts with wrong API keys.
    auth_failures: u64,
    /// What was counted for each API key, by its name.
    keys: Vec<(String, AccountCounts)>,
    memory: Vec<MemoryPart>,
    gpus: Vec<Gpu>,
    limits: RequestLimits,
    hello: Hello,
}

impl Collector for Scrape {
    fn encode(&self, encoder: DescriptorEncoder<'_>) -> Result<(), fmt::Error> {
        let mut page = Page(encoder);
        self.server(&mut page)?;
        self.keys(&mut page)?;
        self.engine(&mut page)?;
        self.phases(&mut page)?;
        self.memory(&mut page)?;
        self.gpus(&mut page)
    }
}

impl Scrape {
    /// Version, backend and model; connections and limits.
    fn server(&self, page: &mut Page<'_>) -> fmt::Result {
        let hello = &self.hello;
        let labels = [
            ("version", hello.version()),
            ("backend", hello.backend()),
            ("model", hello.model_name()),
        ];
        page.gauges("build_info", "Version, backend and model; always 1", None, [(labels, 1_i64)])?;
        page.gauge("uptime", "Time since the start", SECONDS, self.uptime.as_secs_f64())?;
        page.gauge("connections", "Open WebSockets", None, n(self.connections))?;
        let closed = "WebSockets that were refused or closed to protect others";
        let counts = self.closed.map(|(reason, n)| ([("reason", reason)], n));
        page.counters("connections_closed", closed, None, counts)?;
        let [used, limit] = self.message_memory.map(n);
        page.gauge("message_memory", "Memory charged for messages of clients", BYTES, used)?;
        let help = "Memory that messages of clients may take";
        page.gauge("message_memory_limit", help, BYTES, limit)?;
        let lost = "Lines of output lost because nobody read the stream in time";
        let counts = self.lost_lines.map(|(stream, n)| ([("stream", stream)], n));
        page.counters("output_lines_lost", lost, None, counts)?;
        let dropped = "Metrics frames replaced by newer ones before a slow connection took them";
        page.counter("dropped_frames", dropped, self.dropped_frames)?;
        let refused = "HTTP requests refused because of a foreign Host or Origin";
        let refusals = self.refusals.map(|(header, n)| ([("header", header)], n));
        page.counters("http_refused", refused, None, refusals)?;
        let limit =
            "Requests that may wait; a quarter more for connections without another request";
        page.gauge("requests_queued_limit", limit, None, n(self.limits.max_queue))?;
        let limit = "Host RAM that copies of cached sequences may take";
        page.gauge("swapped_size_limit", limit, BYTES, n(self.limits.cache_ram_bytes))
    }

    /// Failed attempts, and what the owner of each key has used. Without keys only the former.
    fn keys(&self, page: &mut Page<'_>) -> fmt::Result {
        page.counter("auth_failures", "Attempts with wrong API keys", self.auth_failures)?;
        if self.keys.is_empty() {
            return Ok(());
        }
        let labels = |name: &str| [("key", name.to_owned())];
        let values = self.keys.iter().map(|(name, counts)| (labels(name), counts.requests));
        page.counters("key_requests", "Accepted requests by API key", None, values)?;
        let values = self.keys.iter().map(|(name, counts)| (labels(name), counts.tokens));
        let help = "Computed prompt tokens and generated tokens by API key";
        page.counters("key_tokens", help, None, values)?;
        let seconds =
            self.keys.iter().map(|(name, counts)| (labels(name), counts.computing.as_secs_f64()));
        page.counters("key_compute", "Time of computing by API key", SECONDS, seconds)?;
        let refused = self.keys.iter().flat_map(|(name, counts)| {
            let labels = |limit: &str| [("key", name.clone()), ("limit", limit.to_owned())];
            counts.refused.map(|(limit, n)| (labels(limit), n))
        });
        page.counters("key_refused", "Refusals by API key and the limit reached", None, refused)
    }

    /// The engine's state and everything it counts.
    fn engine(&self, page: &mut Page<'_>) -> fmt::Result {
        let Self { snapshot, health, .. } = self;
        let state = |state: Health| ([("state", state.name())], i64::from(state == *health));
        page.gauges("state", "1 for the current state, else 0", None, Health::ALL.map(state))?;
        let loaded = f64::from(snapshot.load_progress);
        page.gauge("load_ratio", "Loaded part of the model, 0 to 1", None, loaded)?;
        let ends = self.ends.iter().map(|&(code, n)| ([("outcome", code.as_str())], n));
        let help = "Requests by finish reason or error code, unreadable messages included";
        page.counters("requests", help, None, ends)?;
        for (kind, metric) in snapshot.numbers.metrics() {
            let (help, unit) = (metric.help.trim(), unit(metric.unit));
            match kind {
                MetricKind::Counter => page.counter(metric.name, help, metric.value)?,
                MetricKind::Gauge => page.gauge(metric.name, help, unit, metric.value as f64)?,
            }
        }
        for metric in snapshot.histograms.metrics() {
            page.histogram(metric.name, metric.help.trim(), unit(metric.unit), metric.value)?;
        }
        let help = "From receipt to the first text handed to the socket";
        page.histogram("time_to_first_token", help, SECONDS, &self.ttft)?;
        let help = "Ends of the model's process, by cause";
        let restarts = self.restarts.iter().map(|(cause, &n)| ([("cause", cause.as_str())], n));
        page.counters("runner_restarts", help, None, restarts)?;
        Ok(())
    }

    /// The time of the engine's loop, by phase.
    fn phases(&self, page: &mut Page<'_>) -> fmt::Result {
        let phases = Phase::ALL.map(|phase| {
            let took = self.snapshot.phases[phase as usize];
            let name = match phase {
                Phase::Schedule => "schedule",
                Phase::Draft => "draft",
                Phase::Decode => "decode",
                Phase::Commit => "commit",
            };
            ([("phase", name)], took.as_secs_f64())
        });
        page.counters("engine", "Time of the engine's steps by phase", SECONDS, phases)?;
        let age = self.snapshot.step_age.unwrap_or_default().as_secs_f64();
        page.gauge("engine_step_age", "Age of the current step, 0 between steps", SECONDS, age)
    }

    /// The model's layers and buffers, by device.
    fn memory(&self, page: &mut Page<'_>) -> fmt::Result {
        let (on_gpus, on_cpu) = self.hello.layers();
        let layers = [("card", on_gpus), ("cpu", on_cpu)]
            .map(|(place, layers)| ([("place", place)], i64::from(layers)));
        let help = "Layers on GPUs and on the CPU; planned until the model is loaded";
        page.gauges("model_layers", help, None, layers)?;
        let labels =
            |part: &MemoryPart| [("device", part.device.clone()), ("part", part.name.to_string())];
        let planned = self.memory.iter().map(|part| (labels(part), part.planned_bytes as f64));
        page.gauges("model_memory_planned", "Planned memory of the model", BYTES, planned)?;
        let taken = self.memory.iter().map(|part| (labels(part), part.taken_bytes as f64));
        page.gauges("model_memory", "Memory that the model takes", BYTES, taken)
    }

    /// The readings of the GPUs.
    fn gpus(&self, page: &mut Page<'_>) -> fmt::Result {
        let celsius = Some(&Unit::Celsius);
        let float = |bytes: u64| bytes as f64;
        let ratio = |percent: u32| f64::from(percent) / 100.0;
        self.gpu(page, "gpu_up", "Whether the GPU answers", None, |gpu| {
            Some(f64::from(u8::from(gpu.is_present)))
        })?;
        let help = "Whether layers of the model are planned for GPUs";
        self.gpu(page, "gpu_in_use", help, None, |gpu| Some(f64::from(u8::from(gpu.is_in_use))))?;
        self.gpu(page, "gpu_temperature", "Temperature of the GPU", celsius, |gpu| {
            gpu.celsius.map(f64::from)
        })?;
        self.gpu(page, "gpu_memory_total", "VRAM of the GPU", BYTES, |gpu| {
            gpu.vram_total.map(float)
        })?;
        self.gpu(page, "gpu_memory_used", "VRAM that all programs use", BYTES, |gpu| {
            gpu.vram_used.map(float)
        })?;
        self.gpu(page, "gpu_memory_free", "Free VRAM", BYTES, |gpu| gpu.vram_free.map(float))?;
        self.gpu(
            page,
            "gpu_process_memory",
            "VRAM that the daemon and the model's process use",
            BYTES,
            |gpu| gpu.process_vram.map(float),
        )?;
        self.gpu(page, "gpu_power_watts", "Power draw", None, |gpu| {
            gpu.milliwatts.map(|milliwatts| f64::from(milliwatts) / 1000.0)
        })?;
        self.gpu(page, "gpu_fan_ratio", "Target speed of the first fan", None, |gpu| {
            gpu.fan_percent.map(ratio)
        })?;
        let help = "Part of the time in which the GPU computed";
        self.gpu(page, "gpu_utilization_ratio", help, None, |gpu| {
            gpu.utilization_percent.map(ratio)
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
        page.gauges("gpu_throttling", "1 if this reason limits the clocks", None, throttling)
    }

    /// One value of every GPU that reports it.
    fn gpu(
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

/// The labels that identify a GPU.
fn labels(gpu: &Gpu) -> [(&'static str, String); 2] {
    [("gpu", gpu.index.to_string()), ("uuid", gpu.uuid.clone())]
}

/// The unit as the encoder names it; `None` for counts.
fn unit(unit: MetricUnit) -> Option<&'static Unit> {
    match unit {
        MetricUnit::Count => None,
        MetricUnit::Bytes => BYTES,
        MetricUnit::Seconds => SECONDS,
    }
}

/// A number of things in memory, far below the 2⁵³ that a float counts exactly.
fn n(count: usize) -> f64 {
    count as f64
}

/// The page while it is written. Each method appends one metric.
struct Page<'a>(DescriptorEncoder<'a>);

impl Page<'_> {
    fn gauge(&mut self, name: &str, help: &str, unit: Option<&Unit>, value: f64) -> fmt::Result {
        self.0.encode_descriptor(name, help, unit, MetricType::Gauge)?.encode_gauge(&value)
    }

    /// A gauge with labels; left out if there are no values.
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

/// Content type of the older text format.
const PLAIN_TEXT: &str = "text/plain; version=0.0.4; charset=utf-8";

/// Content type of the text that the encoder writes.
const OPENMETRICS: &str = "application/openmetrics-text; version=1.0.0; charset=utf-8";

const SECONDS: Option<&Unit> = Some(&Unit::Seconds);
const BYTES: Option<&Unit> = Some(&Unit::Bytes);
