//! Publishes the `metrics` frame: written once per interval, sent by all subscribed connections.
//!
//! The frame is a `watch` value, not a queue: a slow connection finds the latest frame, never a
//! backlog.

use std::sync::Arc;
use std::time::{Duration, SystemTime, UNIX_EPOCH};

use tokio::sync::watch;
use tokio::time::{Instant, MissedTickBehavior, interval};

use crate::protocol::{Inference, InferenceState, Metrics, PhaseTimes, ServerFrame};
use crate::runner::Health;
use crate::server::shared::{MetricsFrame, Shared};

/// Publishes a frame per interval until the server closes.
pub(in crate::server) async fn broadcast(
    shared: Arc<Shared>,
    publish: watch::Sender<MetricsFrame>,
) {
    let mut ticks = interval(shared.options.metrics_interval);
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let mut number = 0;
    let mut last = (Instant::now(), 0);
    while shared.closing.run_until_cancelled(ticks.tick()).await.is_some() {
        shared.model.refresh().await;
        let now = Instant::now();
        let (inference, tokens) = inference(&shared, last, now);
        last = (now, tokens);
        let gpus = shared.gpus(now.into_std());
        let metrics = Metrics::new(unix_seconds(), &gpus, inference);
        let text = ServerFrame::Metrics(&metrics).text().into();
        number += 1;
        publish.send_replace(MetricsFrame { number, text });
    }
}

/// The `inference` part of the frame, and the number of generated tokens at `now`. `last` holds
/// the time and the number of generated tokens of the previous frame.
fn inference(shared: &Shared, last: (Instant, u64), now: Instant) -> (Inference, u64) {
    let snapshot = shared.model.snapshot();
    let tokens = snapshot.numbers.tokens_total;
    let elapsed = now.saturating_duration_since(last.0);
    let tps_now = (elapsed > Duration::ZERO)
        .then(|| tokens.saturating_sub(last.1) as f64 / elapsed.as_secs_f64());
    let state = state(shared.model.health());
    let is_loading = matches!(state, InferenceState::Loading | InferenceState::Restarting);
    let progress = f64::from(snapshot.load_progress);
    let inference = Inference {
        state,
        cause: shared.model.cause(),
        last_tps: snapshot.last_tps,
        last_ttft: shared.counts.last_ttft(),
        total_tokens_generated: tokens,
        active: snapshot.numbers.active,
        queued: snapshot.numbers.queued,
        slots: snapshot.numbers.slots,
        kv_used_tokens: snapshot.numbers.kv_used_tokens,
        kv_total_tokens: snapshot.numbers.kv_total_tokens,
        connections: shared.websockets.n_open(),
        prompt_tokens_total: snapshot.numbers.prompt_tokens_total,
        tps_now,
        uptime_s: shared.model.uptime().as_secs(),
        load_progress: is_loading.then_some(progress),
        suspended: snapshot.numbers.suspended,
        kv_running_tokens: snapshot.numbers.kv_running_tokens,
        cached_tokens_total: snapshot.numbers.cached_tokens_total,
        drafted_tokens_total: snapshot.numbers.drafted_total,
        accepted_tokens_total: snapshot.numbers.accepted_total,
        steps_total: snapshot.numbers.steps_total,
        step_phases_ms: PhaseTimes::new(snapshot.phases),
        restarts: shared.model.restarts().values().sum(),
    };
    (inference, tokens)
}

/// The state of the model as the wire names it.
fn state(health: Health) -> InferenceState {
    match health {
        Health::Loading => InferenceState::Loading,
        Health::Idle => InferenceState::Idle,
        Health::Busy => InferenceState::Busy,
        Health::Stalled => InferenceState::Stalled,
        Health::Restarting | Health::Failed => InferenceState::Restarting,
        // The daemon exits soon after its last runner has ended.
        Health::Draining | Health::Stopped => InferenceState::Draining,
    }
}

fn unix_seconds() -> u64 {
    SystemTime::now().duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs())
}
