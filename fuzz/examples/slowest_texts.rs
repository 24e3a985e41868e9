//! Prints the slowest texts of 250 kB for the vocabularies of model files (ADR-0019):
//!
//! ```sh
//! cargo run --profile dev -p inference-core-fuzz --features llama --example slowest_texts FILE...
//! ```
//!
//! Each text is chosen to be slow. Short forms of all are tried, and the slowest dozen in full. The
//! times are CPU times of the thread.

use std::cmp::Reverse;
use std::path::Path;
use std::time::Duration;

use inference_core::llama::FuzzedTokenizer;
use rustix::time::{ClockId, clock_gettime};

fn main() -> Result<(), String> {
    for path in std::env::args_os().skip(1) {
        let tokenizer = FuzzedTokenizer::load(Path::new(&path))?;
        let time = |text: &str| {
            let start = computing_time();
            tokenizer.tokens(text);
            computing_time() - start
        };
        let short = tokenizer.hostile_texts(SHORT_BYTES);
        let mut times: Vec<(Duration, usize)> =
            short.iter().enumerate().map(|(i, (_, text))| (time(text), i)).collect();
        times.sort_by_key(|&(time, _)| Reverse(time));
        let long = tokenizer.hostile_texts(LONG_BYTES);
        println!("{}: {} texts", Path::new(&path).display(), long.len());
        for (short, i) in times.into_iter().take(N_PRINTED) {
            let (name, text) = &long[i];
            println!("  {short:>9.1?} {:>9.1?} {name}", time(text));
        }
    }
    Ok(())
}

/// The time that this thread has computed.
fn computing_time() -> Duration {
    let time = clock_gettime(ClockId::ThreadCPUTime);
    Duration::new(time.tv_sec.cast_unsigned(), u32::try_from(time.tv_nsec).unwrap_or(0))
}

/// Length of the short form of a text.
const SHORT_BYTES: usize = 16_000;

/// Length of a text in full.
const LONG_BYTES: usize = 250_000;

/// Number of texts that are tried in full.
const N_PRINTED: usize = 12;
