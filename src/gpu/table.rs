//! The latest reading of each card, and which cards have stopped answering.
//!
//! Time is handed in, so tests move it by hand.

use std::time::{Duration, Instant};

use crate::domain::Gpu;

/// What is known of all cards, in the order in which they are shown.
pub(super) struct Table {
    patience: Duration,
    rows: Vec<Row>,
}

struct Row {
    gpu: Gpu,
    heard: Instant,
    is_hanging: bool,
    has_answered: bool,
}

impl Table {
    /// Cards that have not been read yet. One that says nothing for longer than `patience` hangs.
    pub(super) fn new(known: Vec<Gpu>, patience: Duration, now: Instant) -> Self {
        let row = |gpu| Row { gpu, heard: now, is_hanging: false, has_answered: false };
        Self { patience, rows: known.into_iter().map(row).collect() }
    }

    /// Takes what the card at `place` says.
    pub(super) fn hear(&mut self, place: usize, gpu: Gpu, now: Instant) {
        let Some(row) = self.rows.get_mut(place) else { return };
        if row.is_hanging {
            let Gpu { index, name, .. } = &gpu;
            tracing::warn!(index, name, "the driver answers for a graphics card again");
        }
        *row = Row { gpu, heard: now, is_hanging: false, has_answered: true };
    }

    /// Forgets the values of cards that hang.
    pub(super) fn sweep(&mut self, now: Instant) {
        for row in self.rows.iter_mut().filter(|row| !row.is_hanging) {
            let silent = now.saturating_duration_since(row.heard);
            if silent > self.patience {
                let Gpu { index, name, .. } = &row.gpu;
                let seconds = silent.as_secs();
                tracing::warn!(index, name, seconds, "the driver hangs over a graphics card");
                row.is_hanging = true;
                row.gpu = row.gpu.stale();
            }
        }
    }

    /// The cards; `None` while one of them still has time for its first answer.
    pub(super) fn gpus(&self) -> Option<Vec<Gpu>> {
        let is_known = |row: &Row| row.has_answered || row.is_hanging;
        self.rows
            .iter()
            .all(is_known)
            .then(|| self.rows.iter().map(|row| row.gpu.clone()).collect())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const PATIENCE: Duration = Duration::from_secs(5);

    fn card(index: u32) -> Gpu {
        Gpu { index, uuid: format!("GPU-{index}"), ..Gpu::default() }
    }

    fn warm(index: u32) -> Gpu {
        Gpu { is_present: true, celsius: Some(50), ..card(index) }
    }

    #[test]
    fn a_card_that_hangs_takes_no_other_with_it_and_comes_back() {
        let start = Instant::now();
        let at = |seconds| start + Duration::from_secs(seconds);
        let mut table = Table::new(vec![card(0), card(1)], PATIENCE, start);
        table.hear(0, warm(0), at(1));
        for second in 1..=6 {
            table.hear(1, warm(1), at(second));
            table.sweep(at(second));
            assert_eq!(table.gpus(), Some(vec![warm(0), warm(1)]), "{second}");
        }
        table.hear(1, warm(1), at(7));
        table.sweep(at(7));
        assert_eq!(table.gpus(), Some(vec![card(0), warm(1)]));
        table.hear(0, warm(0), at(8));
        table.sweep(at(8));
        assert_eq!(table.gpus(), Some(vec![warm(0), warm(1)]));
    }

    #[test]
    fn nothing_is_shown_before_every_card_has_answered_or_hangs() {
        let start = Instant::now();
        let mut table = Table::new(vec![card(0), card(1)], PATIENCE, start);
        table.hear(1, warm(1), start + PATIENCE);
        table.sweep(start + PATIENCE);
        assert_eq!(table.gpus(), None);
        table.sweep(start + PATIENCE + Duration::from_millis(1));
        assert_eq!(table.gpus(), Some(vec![card(0), warm(1)]));
    }
}
