//! The threads that look, and the door to what they see.
//!
//! One thread a card is inside the driver, so a card that hangs there holds up itself alone. The
//! thread that they report to never enters the driver once it has found the cards: it notices who
//! is silent, and publishes.

use std::io;
use std::sync::mpsc::{Receiver, RecvTimeoutError, SyncSender, TryRecvError, sync_channel};
use std::thread;
use std::time::{Duration, Instant};

use tokio::sync::watch;

use crate::domain::{Gpu, GpuReading};

use super::nvml::{Card, Found, find};
use super::table::Table;

/// Intervals between two looks for a driver that is not there yet. A look opens a file that is
/// usually missing; where it is not, the driver may start a program to load its module, which is
/// too much for every interval.
const LOOK_EVERY: u32 = 10;

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
            if let Some(cards) = search(&options, &stopped) {
                watch(cards, options.interval, &stopped, &publish);
            }
        })?;
        Ok(Self { readings, _stop: stop })
    }

    /// The latest reading, for ever; empty until the first was taken.
    pub fn readings(&self) -> watch::Receiver<GpuReading> {
        self.readings.clone()
    }
}

/// Looks for cards until there are some; `None` where none is wanted or the time is over.
fn search(options: &Options, stopped: &Receiver<()>) -> Option<Vec<Card>> {
    let mut has_told = false;
    loop {
        match find(options) {
            Found::Cards(cards) => return Some(cards),
            Found::Unwanted => return None,
            Found::Nothing if has_told => {}
            Found::Nothing => tracing::debug!("no graphics card of NVIDIA yet"),
        }
        has_told = true;
        match stopped.recv_timeout(options.interval.saturating_mul(LOOK_EVERY)) {
            Err(RecvTimeoutError::Timeout) => {}
            Ok(()) | Err(RecvTimeoutError::Disconnected) => return None,
        }
    }
}

/// Publishes what the cards say, each from a thread of its own.
fn watch(
    cards: Vec<Card>,
    interval: Duration,
    stopped: &Receiver<()>,
    publish: &watch::Sender<GpuReading>,
) {
    let known = cards.iter().map(Card::known).collect();
    let mut table = Table::new(known, GpuReading::patience(interval), Instant::now());
    let (tell, news) = sync_channel(cards.len());
    // Held until this function ends, which is what ends the threads.
    let _stops: Vec<SyncSender<()>> = cards
        .into_iter()
        .enumerate()
        .filter_map(|(place, card)| read(place, card, interval, tell.clone()))
        .collect();
    while stopped.try_recv() == Err(TryRecvError::Empty) {
        let first = news.recv_timeout(interval).ok();
        let now = Instant::now();
        for (place, gpu) in first.into_iter().chain(news.try_iter()) {
            table.hear(place, gpu, now);
        }
        table.sweep(now);
        if let Some(gpus) = table.gpus() {
            publish.send_replace(GpuReading { taken: now, gpus });
        }
    }
}

/// Reads `card` once an interval until the other end of what is returned is gone.
fn read(
    place: usize,
    mut card: Card,
    interval: Duration,
    tell: SyncSender<(usize, Gpu)>,
) -> Option<SyncSender<()>> {
    let (stop, stopped) = sync_channel(1);
    let look = move || {
        while tell.send((place, card.read())).is_ok()
            && stopped.recv_timeout(interval) == Err(RecvTimeoutError::Timeout)
        {}
    };
    let spawned = thread::Builder::new().name(format!("monitor {place}")).spawn(look);
    spawned
        .inspect_err(|error| tracing::warn!(place, "no thread to read a graphics card: {error}"))
        .ok()
        .map(|_| stop)
}
