//! Queue positions: where a waiting job comes if no other arrives.

use super::{QueueEntry, Queued, WaitQueue};

impl<T: Queued> WaitQueue<T> {
    /// Reports to each client the queue position of its job among those that never had a slot, if
    /// it has changed. The order is that of fair queueing, without the jobs that overtake others.
    pub(in crate::engine) fn report_positions(&mut self) {
        if !std::mem::take(&mut self.is_changed) {
            return;
        }
        let mut all = Vec::new();
        for account in self.accounts.flows_mut() {
            let mut of_account: Vec<(u64, u64, &mut QueueEntry<T>)> = Vec::new();
            for connection in account.content.flows_mut() {
                let mut tag = connection.state.tag;
                let new = connection.content.iter_mut().skip(connection.state.n_suspended);
                of_account.extend(new.map(|waiting| {
                    tag += waiting.job.cost();
                    (tag, waiting.number, waiting)
                }));
            }
            of_account.sort_unstable_by_key(|&(tag, number, _)| (tag, number));
            let mut tag = account.state.tag;
            all.extend(of_account.into_iter().map(|(_, number, waiting)| {
                tag += waiting.job.cost();
                (tag, number, waiting)
            }));
        }
        all.sort_unstable_by_key(|&(tag, number, _)| (tag, number));
        for (i, (_, _, waiting)) in all.into_iter().enumerate() {
            let position = i + 1;
            if waiting.reported != Some(position) {
                waiting.reported = Some(position);
                waiting.job.report_position(position);
            }
        }
    }
}
