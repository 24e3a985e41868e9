//! Whether prompts are better read in wide steps while somebody streams.
//!
//! Small steps keep gaps short, as long as there is something to keep short. Behind a long text on a
//! processor that computes attention slowly token by token they are long themselves, and wide ones,
//! which llama.cpp computes in another way ([`SOLO_ROWS`]), read thirty times as many tokens in about
//! twice the time. On two cores of a Xeon, where llama.cpp computed half of the attention of heads of 64
//! number by number (see AVX-512 FP16 in `docs/ARCHITECTURE.md`), a 1B model took about 400 ms for a
//! stream and two tokens behind 3,000 others: beside a stream a prompt of 4,096 tokens was read in 693
//! s, alone in 44. In wide steps it was 68 s, and the longest gap of the stream 1.1 s instead of 0.8.

use std::time::Duration;

use super::{SOLO_ROWS, Tokens};

/// Tokens of a wide step in which `decoding` slots get one each.
pub(super) fn wide_rows(decoding: usize) -> usize {
    (decoding + SOLO_ROWS / 2).next_multiple_of(SOLO_ROWS)
}

/// What a step does for everybody: the product of how fast prompts are read and how fast streams
/// go on, tokens a second by steps a second. Where it is largest, neither side can gain in
/// proportion what the other loses (Nash's solution of the bargaining problem, 1950).
fn worth(prompt: usize, seconds: f64) -> f64 {
    prompt as f64 / (seconds * seconds)
}

/// What a wide step took.
#[derive(Debug, Clone, Copy)]
struct Sample {
    depth: usize,
    /// The lesser of the last two: a machine that was suspended for one says nothing.
    seconds_per_token: f64,
    last: f64,
}

#[derive(Debug, Default)]
pub(super) struct WideSteps {
    /// The last one of those that were deep in a prompt.
    sample: Option<Sample>,
    /// What wide steps have taken the place of; `None` while they have not.
    instead_of: Option<Small>,
}

/// Wide steps until small ones are tried again, which may have been slow for another reason. Two of
/// them cost a reader little beside so many wide ones.
const UNTIL_TRIED_AGAIN: u32 = 16;

/// The small steps that were given up.
#[derive(Debug, Clone, Copy)]
struct Small {
    worth: f64,
    /// Wide steps since then.
    n_wide: u32,
}

impl WideSteps {
    /// Whether wide steps are those to be made while somebody streams.
    pub(super) fn are_taken(&self) -> bool {
        self.instead_of.is_some()
    }

    /// Learns from any step what wide ones take.
    pub(super) fn learn(&mut self, step: Tokens, elapsed: Duration) {
        let Tokens { decoding, prompt, guessed, depth } = step;
        let tokens = decoding + prompt;
        // Attention makes deep ones slower, so that shallow ones say nothing about them.
        let is_deep = self.sample.is_none_or(|known| depth >= known.depth / 2);
        if prompt > 0 && guessed == 0 && tokens >= SOLO_ROWS && is_deep {
            let last = elapsed.as_secs_f64() / tokens as f64;
            let seconds_per_token = self.sample.map_or(last, |known| known.last.min(last));
            self.sample = Some(Sample { depth, seconds_per_token, last });
        }
    }

    /// Lets wide steps follow if they are worth more than such a small one as `step`; where that is
    /// not known, if small ones are hopeless.
    pub(super) fn weigh(&mut self, step: Tokens, elapsed: Duration, is_hopeless: bool) {
        let small = worth(step.prompt, elapsed.as_secs_f64());
        let known = self.sample.filter(|known| step.depth <= 2 * known.depth);
        let is_better = known.map_or(is_hopeless, |known| {
            let deeper = step.depth.max(known.depth).max(1) as f64 / known.depth.max(1) as f64;
            let rows = wide_rows(step.decoding);
            let seconds = rows as f64 * known.seconds_per_token * deeper;
            worth(rows - step.decoding, seconds) > small
        });
        self.instead_of = is_better.then_some(Small { worth: small, n_wide: 0 });
    }

    /// Lets small steps follow again if this wide one was worth less than they were, or after so many.
    pub(super) fn check(&mut self, step: Tokens, elapsed: Duration) {
        let is_whole = step.decoding + step.prompt == wide_rows(step.decoding);
        self.instead_of.take_if(|small| {
            small.n_wide += 1;
            let is_worse = is_whole && worth(step.prompt, elapsed.as_secs_f64()) < small.worth;
            is_worse || small.n_wide >= UNTIL_TRIED_AGAIN
        });
    }

    /// Nobody reads any more, or somebody begins.
    pub(super) fn end(&mut self) {
        self.instead_of = None;
    }
}
