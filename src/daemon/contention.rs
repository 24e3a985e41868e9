//! Says so where other programs keep the engine from the processors.
//!
//! llama.cpp's threads wait for one another some hundred times a step, so one that has to share its
//! processor makes all of them slow: two busy loops beside two threads cost a 15M model seven
//! eighths of its rate. Linux counts how long each thread had work and no processor; elsewhere nothing
//! is said.

use std::convert::Infallible;
use std::fs;
use std::time::Duration;

use tokio::time::{MissedTickBehavior, interval};

/// Time between two looks. Whoever wonders why answers are slow looks longer than that.
const INTERVAL: Duration = Duration::from_secs(10);

/// Threads that had work for less than this part of an interval say nothing.
const LEAST_WORK: f64 = 0.25;

/// The part of its time with work that the engine waits for a processor from which on it is told. A
/// client and the sockets beside it on the same two cores make it wait some three percent.
const CROWDED: f64 = 0.25;

/// And below which it is over, so that what lies between is not told again and again.
const FREE: f64 = 0.1;

/// What follows from it where several threads compute.
const SEVERAL: &str = "since other programs use them or there are fewer than --threads; its threads wait \
                       for each other, so this makes answers many times slower: lower --threads to what \
                       is free";

/// And where one does, which loses no more than its share.
const ONE: &str = "since other programs use them: answers take so much longer";

/// What the engine's threads have done so far.
#[derive(Debug, Clone, Copy, Default, PartialEq)]
struct Account {
    /// Time on a processor, of all threads together.
    ran: Duration,
    /// Time in which they had work and no processor.
    waited: Duration,
}

impl Account {
    /// Adds what Linux says of a thread in `schedstat`: nanoseconds on a processor, nanoseconds in the
    /// run queue, time slices (Documentation/scheduler/sched-stats.rst).
    fn add(&mut self, schedstat: &str) {
        let mut fields = schedstat.split_ascii_whitespace().map(str::parse);
        if let (Some(Ok(ran)), Some(Ok(waited))) = (fields.next(), fields.next()) {
            self.ran += Duration::from_nanos(ran);
            self.waited += Duration::from_nanos(waited);
        }
    }

    /// The part of the time since `before` for which threads with work waited; `None` where they had
    /// little. Threads that have ended meanwhile are no longer counted, and nothing is said then.
    fn waited_since(self, before: Self) -> Option<f64> {
        let ran = self.ran.checked_sub(before.ran)?;
        let waited = self.waited.checked_sub(before.waited)?;
        let work = (ran + waited).as_secs_f64();
        (work >= LEAST_WORK * INTERVAL.as_secs_f64()).then(|| waited.as_secs_f64() / work)
    }
}

/// Whether it was told.
#[derive(Debug, Default)]
struct Judge {
    is_crowded: bool,
}

impl Judge {
    /// Whether it is to be told that the engine waited for this part of its time.
    fn is_news(&mut self, waited: f64) -> bool {
        let was_crowded = self.is_crowded;
        self.is_crowded = waited >= if was_crowded { FREE } else { CROWDED };
        self.is_crowded && !was_crowded
    }
}

/// Looks once in [`INTERVAL`] at how long the engine's `threads` wait for a processor, and warns where
/// that is long. Does not end.
pub(super) async fn watch(threads: u32) -> Infallible {
    let mut ticks = interval(INTERVAL);
    // After a pause of the whole machine one look is as good as many.
    ticks.set_missed_tick_behavior(MissedTickBehavior::Delay);
    let (mut before, mut judge) = (Account::default(), Judge::default());
    loop {
        ticks.tick().await;
        let now = of_engine();
        if let Some(waited) = now.waited_since(before)
            && judge.is_news(waited)
        {
            tracing::warn!(
                "the engine waited for a processor {:.0} % of the time, {}",
                100.0 * waited,
                if threads > 1 { SEVERAL } else { ONE }
            );
        }
        before = now;
    }
}

/// What the engine's threads have done so far; nothing where the system does not say. Threads are
/// called after the one that started them.
fn of_engine() -> Account {
    let mut account = Account::default();
    let Ok(threads) = fs::read_dir("/proc/self/task") else { return account };
    for thread in threads.flatten() {
        // Any of them may end in between.
        let read = |name| fs::read_to_string(thread.path().join(name)).unwrap_or_default();
        if read("comm").trim_end() == "engine" {
            account.add(&read("schedstat"));
        }
    }
    account
}

#[cfg(test)]
mod tests {
    use super::*;

    fn account(schedstats: &[&str]) -> Account {
        let mut account = Account::default();
        schedstats.iter().for_each(|line| account.add(line));
        account
    }

    #[test]
    fn what_threads_waited_is_a_part_of_the_time_in_which_they_had_work() {
        let before = account(&["1000000000 0 9\n", "1000000000 500000000 9\n", "", "who knows\n"]);
        let after = account(&["3000000000 2000000000 9\n", "3000000000 2500000000 9\n"]);
        assert_eq!(after.waited_since(before), Some(0.5));
        assert_eq!(before.waited_since(after), None, "a thread has ended");
        let little = account(&["1000000000 500000000 9\n"]);
        assert_eq!(little.waited_since(Account::default()), None, "they had hardly any work");
    }

    #[test]
    fn it_is_told_once_until_it_is_over() {
        let mut judge = Judge::default();
        let news = [0.03, 0.3, 0.5, 0.2, 0.3, 0.05, 0.2, 0.3].map(|waited| judge.is_news(waited));
        assert_eq!(news, [false, true, false, false, false, false, false, true]);
    }
}
