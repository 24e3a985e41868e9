//! `/metrics`, and GPUs there and in the `metrics` frame.

use std::collections::{BTreeMap, BTreeSet};
use std::time::{Duration, Instant};

use futures_util::SinkExt;
use inference_core::domain::{Gpu, GpuReading, Right, Throttle};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

use crate::common::{Client, KeyFile, Setup, TestServer, http, http_get, new_key};

/// Samples by their name and labels, `# TYPE` lines by their name.
struct Page {
    samples: BTreeMap<String, f64>,
    types: BTreeMap<String, String>,
}

impl Page {
    async fn get(server: &TestServer) -> Self {
        let accept = "application/openmetrics-text;version=1.0.0;q=0.5,text/plain;q=0.2";
        let request = format!(
            "GET /metrics HTTP/1.1\r\nHost: {}\r\nAccept: {accept}\r\nConnection: close\r\n\r\n",
            server.address
        );
        let (status, answer) = http(server.address, &request).await;
        assert_eq!(status, 200, "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.contains("application/openmetrics-text; version=1.0.0"), "{head}");
        assert!(body.ends_with("# EOF\n"), "the page is complete");
        let (mut samples, mut types) = (BTreeMap::new(), BTreeMap::new());
        for line in body.lines() {
            if let Some(declared) = line.strip_prefix("# TYPE ") {
                let (name, kind) = declared.split_once(' ').unwrap();
                assert!(types.insert(name.to_owned(), kind.to_owned()).is_none(), "{name} twice");
            } else if !line.starts_with('#') {
                let (name, value) = line.rsplit_once(' ').unwrap();
                let value = value.parse().unwrap_or_else(|_| panic!("{line}"));
                assert!(samples.insert(name.to_owned(), value).is_none(), "{name} twice");
            }
        }
        Self { samples, types }
    }

    fn has(&self, name: &str) -> bool {
        self.samples.keys().any(|sample| sample.split('{').next() == Some(name))
    }

    fn value(&self, name: &str) -> f64 {
        let name = format!("inference_core_{name}");
        *self.samples.get(&name).unwrap_or_else(|| panic!("{name} in {:?}", self.samples.keys()))
    }
}

fn gpu() -> Gpu {
    Gpu {
        index: 1,
        name: "test GPU".to_owned(),
        uuid: "GPU-1".to_owned(),
        is_present: true,
        is_in_use: true,
        celsius: Some(65),
        vram_total: Some(3 << 30),
        vram_used: Some(1 << 30),
        vram_free: Some(2 << 30),
        process_vram: Some(1 << 29),
        milliwatts: Some(84_600),
        fan_percent: None,
        utilization_percent: Some(50),
        throttle: Some(vec![Throttle::PowerCap]),
    }
}

/// The first `metrics` frame that matches.
async fn metrics(client: &mut Client, matches: impl Fn(&Value) -> bool) -> Value {
    loop {
        let frame = client.any_frame().await;
        if frame["op"] == "metrics" && matches(&frame) {
            return frame;
        }
    }
}

#[tokio::test]
async fn requests_and_tokens_are_counted_exactly() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for prompt in ["one", "three", "eleven"] {
        client.send(json!({"op": "infer", "prompt": prompt})).await;
        client.expect_answer(None).await;
    }
    client.send(json!({"op": "infer", "id": "x", "prompt": "y".repeat(2000)})).await;
    client.expect_error("context_overflow").await;
    client.send(json!({"op": "infer", "prompt": "x", "params": {"temp": -1}})).await;
    client.expect_error("invalid_params").await;

    let page = Page::get(&server).await;
    assert_eq!(page.value(r#"requests_total{outcome="stop"}"#), 3.0);
    assert_eq!(page.value(r#"requests_total{outcome="context_overflow"}"#), 1.0);
    assert_eq!(page.value(r#"requests_total{outcome="invalid_params"}"#), 1.0);
    assert_eq!(page.value(r#"requests_total{outcome="busy"}"#), 0.0);
    assert_eq!(page.value("generated_tokens_total"), 14.0);
    assert_eq!(page.value("prompt_tokens_total"), 14.0);
    for histogram in ["time_to_first_token", "queue_wait", "request_duration"] {
        assert_eq!(page.value(&format!("{histogram}_seconds_count")), 3.0, "{histogram}");
        let all = page.value(&format!(r#"{histogram}_seconds_bucket{{le="+Inf"}}"#));
        assert_eq!(all, 3.0, "{histogram}");
    }
    // Gaps between the tokens of each answer, without the token that ends it.
    assert_eq!(page.value("inter_token_seconds_count"), 11.0);
    assert_eq!(page.value("step_duration_seconds_count"), page.value("steps_total"));
    assert_eq!(page.value("step_tokens_sum"), 28.0);
    assert_eq!(page.value("connections"), 1.0);
    assert_eq!(page.value(r#"state{state="idle"}"#), 1.0);
    assert_eq!(page.value("engine_step_age_seconds"), 0.0);
    assert_eq!(page.value(r#"model_memory_planned_bytes{device="cpu",part="kv"}"#), 1000.0);
    assert_eq!(page.value(r#"model_memory_bytes{device="cpu",part="kv"}"#), 1024.0);
}

#[tokio::test]
async fn refusal_is_counted_under_its_code() {
    let mut setup = Setup::by_hand();
    setup.server.max_message_bytes = 10_000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "x"})).await;
    client.send(json!({"op": "infer", "id": "a", "prompt": "x"})).await;
    let refused = [
        ("{", "bad_json"),
        (r#"{"op":"infer"}"#, "bad_frame"),
        (r#"{"op":"dance"}"#, "unknown_op"),
        (r#"{"op":"infer","prompt":"x"}"#, "request_in_flight"),
        (r#"{"op":"infer","id":"a","prompt":"x"}"#, "duplicate_id"),
        (r#"{"op":"infer","id":"b","prompt":"x","params":{"temp":-1}}"#, "invalid_params"),
        (r#"{"op":"infer","id":"b","messages":[]}"#, "invalid_params"),
    ];
    let mut expected = BTreeMap::from([("busy", 0.0), ("stop", 0.0)]);
    for (frame, code) in refused {
        client.send_text(frame.to_owned()).await;
        client.expect_error(code).await;
        *expected.entry(code).or_default() += 1.0;
    }
    client.send(json!({"op": "abort", "id": "unknown"})).await;
    client.expect_error("not_found").await;
    client.socket.send(Message::binary(b"{}".to_vec())).await.unwrap();
    client.expect_error("bad_frame").await;
    let mut other = Client::connect(&server).await;
    other.send_text("x".repeat(10_001)).await;
    other.expect_error("bad_frame").await;
    *expected.entry("bad_frame").or_default() += 2.0;

    let page = Page::get(&server).await;
    for (code, n) in expected {
        assert_eq!(page.value(&format!(r#"requests_total{{outcome="{code}"}}"#)), n, "{code}");
    }
    let not_found = r#"inference_core_requests_total{outcome="not_found"}"#;
    assert!(!page.samples.contains_key(not_found), "an abort is not a request");
}

/// What `promtool check metrics` reads: the format that a client without an `Accept` field gets.
#[tokio::test]
async fn every_sample_of_the_plain_page_has_help_and_type() {
    let full = Gpu { fan_percent: Some(1), ..gpu() };
    let server = Setup { gpus: vec![full], ..Setup::default() }.start().await;
    let (status, answer) = http_get(server.address, "/metrics").await;
    assert_eq!(status, 200, "{answer}");
    let (head, body) = answer.split_once("\r\n\r\n").unwrap();
    assert!(head.contains("text/plain; version=0.0.4"), "{head}");
    let described = |kind: &str| -> BTreeMap<&str, &str> {
        let lines = body.lines().filter_map(|line| line.strip_prefix(kind));
        lines.filter_map(|line| line.split_once(' ')).collect()
    };
    let (help, types) = (described("# HELP "), described("# TYPE "));
    let samples = body.lines().filter(|line| !line.starts_with('#'));
    let names: BTreeSet<&str> =
        samples.map(|line| line.split(['{', ' ']).next().unwrap()).collect();
    assert!(names.len() > 40, "{names:?}");
    for name in names {
        let parts = ["_bucket", "_sum", "_count"];
        let histogram = parts.iter().find_map(|part| name.strip_suffix(part));
        let family = histogram.filter(|family| types.get(family) == Some(&"histogram"));
        let family = family.unwrap_or(name);
        assert!(help.get(family).is_some_and(|help| help.len() > 5), "{name} has no help text");
        assert_eq!(types.get(family) == Some(&"counter"), name.ends_with("_total"), "{name}");
        assert!(types.contains_key(family), "{name} has no type");
    }
}

#[tokio::test]
async fn gpu_is_reported_in_base_units_without_missing_values() {
    let server = Setup { gpus: vec![gpu()], ..Setup::default() }.start().await;
    let page = Page::get(&server).await;
    let labels = r#"{gpu="1",uuid="GPU-1"}"#;
    for (name, value) in [
        ("gpu_up", 1.0),
        ("gpu_in_use", 1.0),
        ("gpu_temperature_celsius", 65.0),
        ("gpu_memory_total_bytes", f64::from(3 << 20) * 1024.0),
        ("gpu_memory_used_bytes", f64::from(1 << 30)),
        ("gpu_process_memory_bytes", f64::from(1 << 29)),
        ("gpu_power_watts", 84.6),
        ("gpu_utilization_ratio", 0.5),
    ] {
        assert_eq!(page.value(&format!("{name}{labels}")), value, "{name}");
    }
    assert!(!page.types.contains_key("inference_core_gpu_fan_ratio"));
    let throttling = |reason| {
        page.value(&format!(r#"gpu_throttling{{gpu="1",uuid="GPU-1",reason="{reason}"}}"#))
    };
    assert_eq!((throttling("power_cap"), throttling("hardware_thermal")), (1.0, 0.0));
}

#[tokio::test]
async fn stale_gpu_reading_is_not_reported() {
    let server = Setup { gpus: vec![gpu()], ..Setup::default() }.start().await;
    let mut client = Client::connect(&server).await;
    let frame = metrics(&mut client, |_| true).await;
    assert_eq!((&frame["gpu"]["temp"], &frame["gpus"][0]["index"]), (&json!(65), &json!(1)));
    let long_ago = Instant::now().checked_sub(Duration::from_secs(60)).unwrap();
    server.gpus.send_replace(GpuReading { taken: long_ago, gpus: vec![gpu()] });
    let frame = metrics(&mut client, |frame| frame["gpu"]["temp"] != 65).await;
    assert_eq!(frame["gpu"]["temp"], Value::Null);
    assert_eq!(frame["gpus"][0]["present"], false);
    assert_eq!(frame["gpus"][0]["name"], "test GPU");
}

/// A page with every metric.
async fn full_page() -> Page {
    let full = Gpu { fan_percent: Some(1), ..gpu() };
    let mut setup = Setup { gpus: vec![full], ..Setup::default() };
    let file = KeyFile::new(&[&new_key("web", &Right::ALL)]);
    setup.server.keys = file.keys.clone();
    setup.server.has_open_metrics = true;
    let server = setup.start().await;
    Page::get(&server).await
}

/// Query and legend of every curve of the dashboard, with its panel's title.
fn curves() -> Vec<(String, String, String)> {
    let dashboard = include_str!("../../packaging/grafana/inference-core.json");
    let dashboard: Value = serde_json::from_str(dashboard).unwrap();
    let mut curves = Vec::new();
    for panel in dashboard["panels"].as_array().unwrap() {
        for target in panel["targets"].as_array().unwrap() {
            let text = |value: &Value| value.as_str().unwrap().to_owned();
            let (query, legend) = (text(&target["expr"]), text(&target["legendFormat"]));
            curves.push((text(&panel["title"]), query, legend));
        }
    }
    curves
}

/// The metrics that a text names.
fn named(text: &str) -> impl Iterator<Item = &str> {
    let words = text.split(|c: char| !(c.is_alphanumeric() || c == '_'));
    words.filter(|word| word.starts_with("inference_core_"))
}

#[tokio::test]
async fn dashboard_plots_every_metric_and_no_unknown_one() {
    let page = full_page().await;
    let mut shown = BTreeSet::new();
    for (title, query, _) in curves() {
        for word in named(&query) {
            assert!(page.has(word), "{title}: there is no {word}");
            shown.insert(word.to_owned());
        }
    }
    // The dashboard shows these by other metrics.
    let unseen = ["load_ratio", "uptime_seconds", "steps"];
    for name in page.types.keys() {
        let is_shown = shown.iter().any(|word| word.starts_with(name.as_str()));
        let is_known = unseen.iter().any(|unseen| *name == format!("inference_core_{unseen}"));
        assert!(is_shown || is_known, "{name} is on no panel");
    }
}

#[tokio::test]
async fn monitoring_page_documents_every_metric() {
    let page = full_page().await;
    let document = include_str!("../../docs/MONITORING.md");
    // The text between backticks.
    let code = || document.split('`').skip(1).step_by(2);
    let words = || code().flat_map(|code| code.split(|c: char| !(c.is_alphanumeric() || c == '_')));
    let names = page.types.keys().map(|name| name.strip_prefix("inference_core_").unwrap());
    let is_named = |name: &&str| words().any(|word| word.trim_end_matches("_total") == *name);
    let unnamed: Vec<&str> = names.filter(|name| !is_named(name)).collect();
    assert!(unnamed.is_empty(), "{unnamed:?}");
}

#[test]
fn dashboard_curves_name_their_instance() {
    for (title, query, legend) in curves() {
        let metrics = named(&query).count();
        let filters = query.matches(r#"instance=~"$instance""#).count();
        assert_eq!(filters, metrics, "{title}: {query}");
        // A sum over instances is one curve.
        let is_sum = ["sum(", "sum by ("].iter().any(|sum| query.contains(sum))
            && !query.contains("by (instance");
        assert_eq!(legend.contains("{{instance}}"), !is_sum, "{title}: {legend}");
    }
}

#[tokio::test]
async fn page_gives_the_build_and_the_offloaded_layers() {
    let server = Setup { offloaded: Some(0), ..Setup::default() }.start().await;
    let page = Page::get(&server).await;
    let labels = r#"{version="0.1.0",backend="cpu",model="scripted"}"#;
    assert_eq!(page.value(&format!("build_info{labels}")), 1.0);
    assert_eq!(page.value(r#"model_layers{place="card"}"#), 0.0);
    assert_eq!(page.value(r#"model_layers{place="cpu"}"#), 1.0);
    // The load counts the output matrix as a layer; the metric does not.
    let server = Setup { offloaded: Some(2), ..Setup::default() }.start().await;
    let page = Page::get(&server).await;
    assert_eq!(page.value(r#"model_layers{place="card"}"#), 1.0);
    assert_eq!(page.value(r#"model_layers{place="cpu"}"#), 0.0);
}

#[tokio::test]
async fn running_kv_tokens_exclude_cached_sequences() {
    let setup = Setup::by_hand();
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "three"})).await;
    server.step_until(|now| now.numbers.kv_running_tokens > 0).await;
    let page = Page::get(&server).await;
    assert_eq!(page.value("kv_cache_running_tokens"), page.value("kv_cache_used_tokens"));
    server.step_until(|now| now.numbers.kv_running_tokens == 0).await;
    let page = Page::get(&server).await;
    assert_eq!(page.value("kv_cache_running_tokens"), 0.0);
    assert!(page.value("kv_cache_used_tokens") > 0.0, "the prompt is cached");
}

#[tokio::test]
async fn alerts_use_existing_metrics_and_labels() {
    let page = full_page().await;
    let alerts = include_str!("../../packaging/prometheus/alerts.yml");
    assert!(named(alerts).count() > 8, "the file holds alerts");
    for word in named(alerts) {
        assert!(page.has(word), "there is no {word}");
    }
    // `label="value"` and `label=~"one|another"`.
    let selectors = alerts.split(['{', ',']).filter_map(|part| {
        let (label, values) = part.split_once('=')?;
        Some((label, values.trim_start_matches('~').strip_prefix('"')?.split_once('"')?.0))
    });
    for (label, values) in selectors.filter(|(label, _)| *label != "job") {
        for value in values.split('|') {
            let pair = format!(r#"{label}="{value}""#);
            assert!(page.samples.keys().any(|sample| sample.contains(&pair)), "no {pair}");
        }
    }
}

#[test]
fn alerts_keep_the_instance_label() {
    let alerts = include_str!("../../packaging/prometheus/alerts.yml");
    for by in alerts.split(" by (").skip(1) {
        assert!(by.starts_with("instance"), "an aggregation loses the instance: {by}");
    }
    let n_alerts = alerts.matches("- alert:").count();
    assert_eq!(alerts.matches("summary: \"{{ $labels.instance }}").count(), n_alerts);
}
