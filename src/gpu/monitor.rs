//! The threads of the GPU monitor.
//!
//! One thread per GPU calls the driver and sends what it reads to the monitor thread. The monitor
//! thread calls the driver only to discover the GPUs. After that it collects readings, marks GPUs
//! that have not answered for too long as stale, and publishes the result.

use std::io;
use std::sync::Arc;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::Instant;

use tokio::sync::watch;

use crate::domain::{Gpu, GpuReading};

use super::nvml::{Discovery, MonitoredGpu, discover};
use super::options::Options;
use super::table::Table;

/// Tells the number of the process that computes; `None` if there is none.
pub type RunnerProcessId = Arc<dyn Fn() -> Option<u32> + Send + Sync>;

/// A running GPU monitor. Dropping it stops its threads without waiting for them, since a driver
/// call may hang.
#[derive(Debug)]
pub struct Monitor {
    readings: watch::Receiver<GpuReading>,
    /// Nothing is ever sent: the monitor thread stops when this sender is dropped.
    _stop: SyncSender<()>,
}

impl Monitor {
    /// Starts the monitor thread. `runner` tells the number of the process that computes, whose
    /// memory on the GPUs counts as this program's.
    ///
    /// # Errors
    /// The operating system's error if it cannot start a thread.
    pub fn spawn(options: Options, runner: RunnerProcessId) -> io::Result<Self> {
        let (publish, readings) = watch::channel(GpuReading::none(Instant::now()));
        let (stop, stopped) = sync_channel(1);
        thread::Builder::new().name("monitor".to_owned()).spawn(move || {
            if let Some(gpus) = wait_for_gpus(&options, &stopped) {
                collect_readings(gpus, &options, &runner, &stopped, &publish);
            }
        })?;
        Ok(Self { readings, _stop: stop })
    }

    /// A receiver of the latest reading. The reading is empty until every GPU has been read once
    /// or is stale.
    pub fn readings(&self) -> watch::Receiver<GpuReading> {
        self.readings.clone()
    }
}

/// Number of intervals between two attempts to discover GPUs. An attempt may make the driver start
/// a program that loads its kernel module, which is too expensive for every interval (ADR-0021).
const DISCOVERY_INTERVALS: u32 = 10;

/// Repeats the discovery until it finds GPUs. `None` if the options select none of the machine's
/// GPUs, or if the monitor is stopped first.
fn wait_for_gpus(options: &Options, stopped: &Receiver<()>) -> Option<Vec<MonitoredGpu>> {
    let mut is_logged = false;
    loop {
        match discover(options) {
            Discovery::Selected(gpus) => return Some(gpus),
            Discovery::NoneSelected => return None,
            Discovery::NoGpu if is_logged => {}
            Discovery::NoGpu => tracing::debug!("no NVIDIA GPU found yet"),
        }
        is_logged = true;
        match stopped.recv_timeout(options.interval.saturating_mul(DISCOVERY_INTERVALS)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Starts a thread for each GPU and publishes their readings until the monitor is stopped.
fn collect_readings(
    gpus: Vec<MonitoredGpu>,
    options: &Options,
    runner: &RunnerProcessId,
    stopped: &Receiver<()>,
    publish: &watch::Sender<GpuReading>,
) {
    let interval = options.interval;
    let unread = gpus.iter().map(MonitoredGpu::without_values).collect();
    let mut table = Table::new(unread, GpuReading::max_age(interval), Instant::now());
    let (sender, received) = sync_channel(gpus.len());
    // Dropped when this function returns, which stops the threads.
    let _stops: Vec<SyncSender<()>> = gpus
        .into_iter()
        .enumerate()
        .filter_map(|(row, gpu)| spawn_reader(row, gpu, options, runner.clone(), sender.clone()))
        .collect();
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        let first = received.recv_timeout(interval).ok();
        let now = Instant::now();
        for (row, gpu) in first.into_iter().chain(received.try_iter()) {
            table.record(row, gpu, now);
        }
        table.mark_stale(now);
        if let Some(gpus) = table.gpus() {
            publish.send_replace(GpuReading { taken: now, gpus });
        }
    }
}

/// Starts a thread that reads `gpu` once per interval and sends each reading together with `row`,
/// the GPU's index in the table. The thread stops when the returned sender is dropped. `None` if
/// the thread could not be started.
fn spawn_reader(
    row: usize,
    mut gpu: MonitoredGpu,
    options: &Options,
    runner: RunnerProcessId,
    sender: SyncSender<(usize, Gpu)>,
) -> Option<SyncSender<()>> {
    let interval = options.interval;
    let (stop, stopped) = sync_channel(1);
    let read_until_stopped = move || {
        while sender.send((row, gpu.read(runner()))).is_ok()
            && stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
        {}
    };
    let spawned = thread::Builder::new().name(format!("monitor {row}")).spawn(read_until_stopped);
    spawned
        .inspect_err(|error| tracing::warn!(row, "no thread to read a GPU: {error}"))
        .ok()
        .map(|_| stop)
}
