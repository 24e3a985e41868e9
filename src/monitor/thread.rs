//! The thread that looks, and the door to what it sees.

use std::io;
use std::sync::mpsc::{RecvTimeoutError, SyncSender, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::GpuReading;

use super::nvml::Cards;

/// What to look at, and how often.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Options {
    /// Time between two readings.
    pub interval: Duration,
    /// PCI bus ids of the cards that compute, the first one first. Where it is empty, `visible`
    /// decides.
    pub computing: Vec<String>,
    /// The value of `CUDA_VISIBLE_DEVICES`, where it is set.
    pub visible: Option<String>,
}

/// A running monitor. It ends when it is dropped; a driver that hangs is not waited for.
#[derive(Debug)]
pub struct Monitor {
    readings: watch::Receiver<GpuReading>,
    /// Never used: the thread notices that it is gone.
    _stop: SyncSender<()>,
}

impl Monitor {
    /// Starts looking.
    ///
    /// # Errors
    /// The operating system's, where it has no thread to give.
    pub fn spawn(options: Options) -> io::Result<Self> {
        let (publish, readings) = watch::channel(GpuReading::none(Instant::now()));
        let (stop, stopped) = sync_channel(1);
        thread::Builder::new().name("monitor".to_owned()).spawn(move || {
            let Some(mut cards) = Cards::open(&options) else { return };
            loop {
                publish.send_replace(GpuReading { taken: Instant::now(), gpus: cards.read() });
                match stopped.recv_timeout(options.interval) {
                    Err(RecvTimeoutError::Timeout) => {}
                    Ok(()) | Err(RecvTimeoutError::Disconnected) => return,
                }
            }
        })?;
        Ok(Self { readings, _stop: stop })
    }

    /// The latest reading, for ever; empty until the first was taken.
    pub fn readings(&self) -> watch::Receiver<GpuReading> {
        self.readings.clone()
    }
}
