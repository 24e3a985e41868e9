//! The `metrics` frame and its subscription.

use serde_json::{Value, json};

use crate::common::{Client, Setup, TestServer};

#[tokio::test]
async fn metrics_frames_come_unasked_with_the_documented_fields() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let metrics = client.expect_metrics(|_| true).await;
    assert!(metrics["timestamp"].as_u64() > Some(1_700_000_000));
    assert_eq!((&metrics["gpu"], &metrics["gpus"]), (&Value::Null, &json!([])));
    let mut fields: Vec<_> = metrics["inference"].as_object().unwrap().keys().cloned().collect();
    fields.sort();
    let mut expected = [
        "state",
        "last_tps",
        "last_ttft_ms",
        "total_tokens_generated",
        "active",
        "queued",
        "slots",
        "kv_used_tokens",
        "kv_total_tokens",
        "connections",
        "prompt_tokens_total",
        "tps_now",
        "uptime_s",
        "suspended",
        "kv_running_tokens",
        "cached_tokens_total",
        "drafted_tokens_total",
        "accepted_tokens_total",
        "steps_total",
        "step_phases_ms",
        "restarts",
    ];
    expected.sort();
    assert_eq!(fields, expected);
    for (field, value) in metrics["inference"].as_object().unwrap() {
        assert!(
            value.is_number() || ["state", "step_phases_ms"].contains(&&**field),
            "{field}: {value}"
        );
    }
    assert_eq!(metrics["inference"]["slots"], 2);
    assert_eq!(metrics["inference"]["kv_total_tokens"], 2000);
}

#[tokio::test]
async fn metrics_follow_the_state_of_the_engine() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.expect_metrics(|now| now["state"] == "idle" && now["active"] == 0).await;
    for id in ["a", "b", "c"] {
        client.send_endless(id).await;
    }
    server.step_until(|now| now.numbers.active == 2 && now.numbers.queued == 1).await;
    client
        .expect_metrics(|now| now["state"] == "busy" && now["active"] == 2 && now["queued"] == 1)
        .await;
    server.step_until(|now| now.numbers.tokens_total >= 10).await;
    let count = |now: &Value| now["total_tokens_generated"].as_u64().unwrap();
    client.expect_metrics(|now| count(now) >= 10).await;
    client.send(json!({"op": "abort"})).await;
    server.step_until(|now| now.numbers.active == 0).await;
    let idle = client.expect_metrics(|now| now["state"] == "idle").await;
    assert!(idle["inference"]["prompt_tokens_total"].as_u64() > Some(0));
}

#[tokio::test]
async fn tps_now_is_the_throughput_of_the_last_interval() {
    let mut setup = Setup::default();
    setup.limits.slot_tokens = 20_000;
    setup.engine.ctx_size = 10_000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "id": "a", "prompt": "0123456789".repeat(300)})).await;
    client.expect_metrics(|now| now["tps_now"].as_f64() > Some(0.0)).await;
    let quiet = client.expect_metrics(|now| now["tps_now"] == 0.0 && now["state"] == "idle").await;
    assert!(quiet["inference"]["last_tps"].as_f64() > Some(0.0));
    assert_eq!(quiet["inference"]["total_tokens_generated"], 3000);
}

#[tokio::test]
async fn open_connections_are_counted() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.expect_metrics(|now| now["connections"] == 1).await;
    let other = Client::connect(&server).await;
    client.expect_metrics(|now| now["connections"] == 2).await;
    drop(other);
    client.expect_metrics(|now| now["connections"] == 1).await;
}

#[tokio::test]
async fn client_can_unsubscribe_from_metrics_and_subscribe_again() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let mut watcher = Client::connect(&server).await;
    client.send(json!({"op": "unsubscribe_metrics"})).await;
    client.expect("metrics_unsubscribed").await;
    for _ in 0..5 {
        watcher.expect_metrics(|_| true).await;
    }
    client.send(json!({"op": "ping"})).await;
    assert_eq!(client.any_frame().await, json!({"op": "pong"}), "no metrics came in between");
    client.send(json!({"op": "subscribe_metrics"})).await;
    client.expect("metrics_subscribed").await;
    client.expect_metrics(|_| true).await;
}

#[tokio::test]
async fn metrics_tell_the_progress_of_a_load_until_the_model_is_loaded() {
    let (loaded, load) = std::sync::mpsc::channel();
    let server = Setup { load: Some(load), ..Setup::default() }.start().await;
    let mut client = Client::connect(&server).await;
    let loading = client.expect_metrics(|now| now["state"] == "loading").await;
    assert_eq!(loading["inference"]["load_progress"], 0.0);
    loaded.send(()).unwrap();
    let idle = client.expect_metrics(|now| now["state"] == "idle").await;
    assert_eq!(idle["inference"].get("load_progress"), None);
}

#[tokio::test]
async fn metrics_count_what_the_prefix_cache_saves_and_the_time_of_steps() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for _ in 0..2 {
        client.send(json!({"op": "infer", "prompt": "one two three four"})).await;
        client.expect_answer(None).await;
    }
    let metrics = client.expect_metrics(|now| now["cached_tokens_total"] != 0).await;
    let now = &metrics["inference"];
    assert!(now["steps_total"].as_u64() > Some(0), "{now}");
    let phases = now["step_phases_ms"].as_object().unwrap();
    assert_eq!(phases.keys().collect::<Vec<_>>(), ["schedule", "draft", "decode", "commit"]);
    assert_eq!(now["restarts"], 0);
}
