//! Clients that read slowly or not at all.

use std::time::Duration;

use serde_json::json;
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;

use crate::common::{Client, GUARD, Setup};

/// A server with small send buffers and a slow-client grace of 100 ms.
fn with_small_buffers() -> Setup {
    let mut setup = Setup { send_buffer: Some(4096), ..Setup::default() };
    setup.limits.slot_tokens = 200_000;
    setup.engine.ctx_size = 100_000;
    setup.engine.slow_client_grace = Duration::from_millis(100);
    setup
}

/// [`with_small_buffers`] with a write grace of 200 ms.
fn with_short_write_grace() -> Setup {
    let mut setup = with_small_buffers();
    setup.server.write_grace = Duration::from_millis(200);
    setup
}

#[tokio::test]
async fn client_that_stops_reading_frees_its_slot_after_the_grace() {
    let server = with_small_buffers().start().await;
    let mut stuck = Client::connect_with_small_buffer(&server).await;
    stuck.send_endless("a").await;
    server.until(|now| now.numbers.active == 1).await;
    // Far fewer tokens than the context holds: the grace ended the request.
    server.until(|now| now.numbers.active == 0).await;
    assert!(server.snapshot().await.numbers.tokens_total < 90_000);

    // The client reads again and learns what happened.
    let end = stuck.expect_terminal().await;
    assert_eq!((&end["code"], &end["id"]), (&json!("slow_client"), &json!("a")));
    stuck.expect_quiet().await;
}

#[tokio::test]
async fn client_that_stops_reading_does_not_delay_others() {
    let mut setup = with_small_buffers();
    setup.engine.slow_client_grace = GUARD;
    let server = setup.start().await;
    let mut stuck = Client::connect_with_small_buffer(&server).await;
    stuck.send_endless("a").await;
    // More single-token frames than the buffers hold: the client lags or its slot is paused.
    server.until(|now| now.numbers.tokens_total > 10_000).await;
    let mut other = Client::connect(&server).await;
    other.send(json!({"op": "infer", "prompt": "quick"})).await;
    assert_eq!(other.expect_answer(None).await.text, "quick");
    assert_eq!(server.snapshot().await.numbers.active, 1);
}

#[tokio::test]
async fn client_that_never_reads_again_is_disconnected() {
    let server = with_short_write_grace().start().await;
    let mut watcher = Client::connect(&server).await;
    let mut stuck = Client::connect_with_small_buffer(&server).await;
    stuck.send_endless("a").await;
    watcher.expect_metrics(|inference| inference["connections"] == 2).await;
    watcher.expect_metrics(|inference| inference["connections"] == 1).await;
    server.until(|now| now.numbers.active == 0).await;
}

#[tokio::test]
async fn client_that_pings_but_never_reads_is_disconnected() {
    let server = with_short_write_grace().start().await;
    let mut stuck = Client::connect_with_small_buffer(&server).await;
    stuck.send(json!({"op": "unsubscribe_metrics"})).await;
    stuck.expect("metrics_unsubscribed").await;
    let mut ping = vec![0x89, 0x80 | 125, 0, 0, 0, 0];
    ping.resize(6 + 125, b'x');
    // Many times what both ends' socket buffers hold.
    let pings = ping.repeat((64 << 20) / ping.len());
    let sent = timeout(GUARD, stuck.socket.get_mut().write_all(&pings)).await;
    assert!(
        sent.expect("the client is disconnected").is_err(),
        "the server read all pings although it could not send the pongs"
    );
}

#[tokio::test]
async fn client_that_reads_late_gets_all_text_in_fewer_frames() {
    let mut setup = with_small_buffers();
    setup.engine.slow_client_grace = GUARD;
    let server = setup.start().await;
    let mut late = Client::connect_with_small_buffer(&server).await;
    let prompt = "0123456789".repeat(1500);
    late.send(json!({"op": "infer", "prompt": prompt})).await;
    server.until(|now| now.numbers.tokens_total > 10_000).await;
    let answer = late.expect_answer(None).await;
    assert_eq!(answer.text, prompt);
    assert!(answer.frames.len() < prompt.len() / 2, "{} frames", answer.frames.len());
    assert_eq!(answer.end["stats"]["tokens"], prompt.len());
}

#[tokio::test]
async fn metrics_frames_are_skipped_for_a_client_that_does_not_read() {
    let mut setup = with_small_buffers();
    setup.server.metrics_interval = Duration::from_millis(1);
    let server = setup.start().await;
    let mut late = Client::connect_with_small_buffer(&server).await;
    let mut watcher = Client::connect(&server).await;
    // Many more frames than the buffers hold.
    let mut latest = 0;
    for _ in 0..1000 {
        latest = watcher.expect_metrics(|_| true).await["timestamp"].as_u64().unwrap();
    }
    let mut n_frames = 0;
    late.send(json!({"op": "unsubscribe_metrics"})).await;
    while late.any_frame().await["op"] == "metrics" {
        n_frames += 1;
    }
    assert!(n_frames < 500, "{n_frames} frames were queued up to {latest}");
}
