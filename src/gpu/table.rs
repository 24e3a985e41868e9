//! The latest reading of each GPU, and which of them are stale.
//!
//! The current time is an argument, so that tests control it.

use std::time::{Duration, Instant};

use crate::domain::Gpu;

/// The latest reading of every monitored GPU, in display order.
pub(super) struct Table {
    /// Age above which a reading is stale.
    max_age: Duration,
    rows: Vec<Row>,
}

/// One monitored GPU.
struct Row {
    gpu: Gpu,
    /// When the GPU was last read; initially when the table was made.
    updated: Instant,
    is_stale: bool,
    has_been_read: bool,
}

impl Table {
    /// A table of GPUs that have not been read yet. A GPU that is not read for longer than
    /// `max_age` becomes stale.
    pub(super) fn new(unread: Vec<Gpu>, max_age: Duration, now: Instant) -> Self {
        let row = |gpu| Row { gpu, updated: now, is_stale: false, has_been_read: false };
        Self { max_age, rows: unread.into_iter().map(row).collect() }
    }

    /// Stores a reading of the GPU in row `index`.
    pub(super) fn record(&mut self, index: usize, gpu: Gpu, now: Instant) {
        let Some(row) = self.rows.get_mut(index) else { return };
        if row.is_stale {
            let Gpu { index, name, .. } = &gpu;
            tracing::warn!(index, name, "the driver answers for a GPU again");
        }
        *row = Row { gpu, updated: now, is_stale: false, has_been_read: true };
    }

    /// Marks every GPU whose reading is older than `max_age` as stale and removes its values.
    pub(super) fn mark_stale(&mut self, now: Instant) {
        for row in self.rows.iter_mut().filter(|row| !row.is_stale) {
            let age = now.saturating_duration_since(row.updated);
            if age > self.max_age {
                let Gpu { index, name, .. } = &row.gpu;
                let seconds = age.as_secs();
                tracing::warn!(index, name, seconds, "the driver hangs while reading a GPU");
                row.is_stale = true;
                row.gpu = row.gpu.stale();
            }
        }
    }

    /// The GPUs; `None` until each of them has been read once or is stale.
    pub(super) fn gpus(&self) -> Option<Vec<Gpu>> {
        let is_known = |row: &Row| row.has_been_read || row.is_stale;
        self.rows
            .iter()
            .all(is_known)
            .then(|| self.rows.iter().map(|row| row.gpu.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const MAX_AGE: Duration = Duration::from_secs(5);

    fn unread(index: u32) -> Gpu {
        Gpu { index, uuid: format!("GPU-{index}"), ..Gpu::default() }
    }

    fn read(index: u32) -> Gpu {
        Gpu { is_present: true, celsius: Some(50), ..unread(index) }
    }

    #[test]
    fn stale_gpu_does_not_affect_others_and_recovers() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut table = Table::new(vec![unread(0), unread(1)], MAX_AGE, start);
        table.record(0, read(0), at(1));
        for second in 1..=6 {
            table.record(1, read(1), at(second));
            table.mark_stale(at(second));
            assert_eq!(table.gpus(), Some(vec![read(0), read(1)]), "{second}");
        }
        table.record(1, read(1), at(7));
        table.mark_stale(at(7));
        assert_eq!(table.gpus(), Some(vec![unread(0), read(1)]));
        table.record(0, read(0), at(8));
        table.mark_stale(at(8));
        assert_eq!(table.gpus(), Some(vec![read(0), read(1)]));
    }

    #[test]
    fn table_is_empty_until_every_gpu_is_read_or_stale() {
        let start = Instant::now();
        let mut table = Table::new(vec![unread(0), unread(1)], MAX_AGE, start);
        table.record(1, read(1), start + MAX_AGE);
        table.mark_stale(start + MAX_AGE);
        assert_eq!(table.gpus(), None);
        table.mark_stale(start + MAX_AGE + Duration::from_millis(1));
        assert_eq!(table.gpus(), Some(vec![unread(0), read(1)]));
    }
}
