//! The requests of a run: prompts, lengths and arrival times, all derived from one seed.
//!
//! With the same seed, request number `i` is always the same, whichever connection sends it, so two
//! servers can be compared on the same work. Sending and time measurement are left to others.

use std::str::FromStr;
use std::time::Duration;

/// Common words, so that most vocabularies spend one or two tokens on each.
const WORDS: [&str; 64] = [
    "the", "dog", "runs", "over", "a", "small", "hill", "and", "finds", "old", "house", "where",
    "people", "sing", "about", "rain", "in", "spring", "while", "children", "draw", "red", "boats",
    "on", "paper", "under", "green", "trees", "near", "river", "that", "flows", "to", "sea",
    "with", "fish", "birds", "stones", "night", "comes", "moon", "looks", "down", "at", "quiet",
    "town", "bread", "is", "warm", "by", "fire", "every", "winter", "story", "begins", "again",
    "her", "brother", "wrote", "long", "letters", "from", "far", "away",
];

/// Options that all requests of a run share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Settings {
    /// Send the prompt as a chat message.
    pub(crate) chat: bool,
    /// Sampling temperature; 0 is greedy.
    pub(crate) temp: f64,
    /// Let the server reuse cached prefixes.
    pub(crate) cache_prompt: bool,
    /// Forbid the end-of-text token, so that every answer has exactly `max_tokens` tokens.
    pub(crate) ignore_eos: bool,
}

/// One request.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Work {
    /// The text to complete, or the user's message.
    pub(crate) prompt: String,
    /// Number of tokens to generate.
    pub(crate) max_tokens: u32,
}

/// Generates the requests of a run.
#[derive(Debug)]
pub(crate) struct Workload {
    /// Seed of all random choices.
    pub(crate) seed: u64,
    /// Words per prompt.
    pub(crate) prompt: Lengths,
    /// Words of the prefix that all prompts share.
    pub(crate) shared_prefix_words: usize,
    /// Send the same prompt in all requests.
    pub(crate) same_prompt: bool,
    /// Tokens to generate per request.
    pub(crate) output: Lengths,
}

impl Workload {
    /// Request number `index`.
    pub(crate) fn request(&self, index: u64) -> Work {
        let mut shared = Rng::new(self.seed, u64::MAX);
        let mut own = Rng::new(self.seed, index);
        let max_tokens = self.output.draw(&mut own);
        let length =
            self.prompt.draw(if self.same_prompt { &mut shared } else { &mut own }) as usize;
        let common = if self.same_prompt { length } else { self.shared_prefix_words };
        let words: Vec<&str> =
            (0..length).map(|i| if i < common { shared.word() } else { own.word() }).collect();
        Work { prompt: words.join(" "), max_tokens }
    }
}

/// A length, or a range from which each request draws its length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Lengths {
    min: u32,
    max: u32,
}

impl Lengths {
    fn draw(self, rng: &mut Rng) -> u32 {
        self.min + rng.below(u64::from(self.max - self.min) + 1) as u32
    }
}

impl FromStr for Lengths {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let (min, max) = text.split_once("..").unwrap_or((text, text));
        let number = |part: &str| part.parse::<u32>().ok().filter(|length| *length > 0);
        match (number(min), number(max)) {
            (Some(min), Some(max)) if min <= max => Ok(Self { min, max }),
            _ => Err("must be a number from 1 or a range such as 16..256".into()),
        }
    }
}

/// Decides when each request starts.
#[derive(Debug)]
pub(crate) struct Arrivals {
    rng: Rng,
    rate: Option<f64>,
    requests: u64,
    span: Duration,
    issued: u64,
    due: Duration,
}

impl Arrivals {
    /// At most `requests` requests, none due after `span`. With a `rate`, in requests per second,
    /// they arrive as a Poisson process. Without one, a free connection takes the next at once.
    pub(crate) fn new(seed: u64, rate: Option<f64>, requests: u64, span: Duration) -> Self {
        let rng = Rng::new(seed, u64::MAX - 1);
        Self { rng, rate, requests, span, issued: 0, due: Duration::ZERO }
    }

    /// Number and due time of the next request. Times count from the start of the run.
    pub(crate) fn take(&mut self, now: Duration) -> Option<(u64, Duration)> {
        self.due = match self.rate {
            None => now,
            Some(rate) => self.due + Duration::from_secs_f64(self.rng.exponential() / rate),
        };
        if self.issued == self.requests || self.due > self.span {
            return None;
        }
        self.issued += 1;
        Some((self.issued - 1, self.due))
    }
}

/// SplitMix64, which gives the same numbers on every machine.
#[derive(Debug)]
struct Rng(u64);

impl Rng {
    fn new(seed: u64, stream: u64) -> Self {
        let mut rng = Self(seed);
        rng.0 = rng.next() ^ stream.wrapping_mul(0xd134_2543_de82_ef95);
        rng
    }

    fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mixed = (self.0 ^ (self.0 >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        let mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        mixed ^ (mixed >> 31)
    }

    /// Uniformly distributed over `0..bound`, with a bias below `bound / 2^64`.
    fn below(&mut self, bound: u64) -> u64 {
        ((u128::from(self.next()) * u128::from(bound)) >> 64) as u64
    }

    fn word(&mut self) -> &'static str {
        WORDS[self.below(WORDS.len() as u64) as usize]
    }

    /// Exponentially distributed with mean 1.
    fn exponential(&mut self) -> f64 {
        let even = (self.next() >> 11) as f64 / (1_u64 << 53) as f64;
        -(1.0 - even).ln()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    const FOREVER: Duration = Duration::from_secs(1_000_000);

    fn workload() -> Workload {
        Workload {
            seed: 7,
            prompt: "40".parse().unwrap(),
            shared_prefix_words: 0,
            same_prompt: false,
            output: "16..256".parse().unwrap(),
        }
    }

    #[test]
    fn request_depends_on_its_number_and_the_seed_only() {
        let workload = workload();
        assert_eq!(workload.request(3), workload.request(3));
        assert_ne!(workload.request(3).prompt, workload.request(4).prompt);
        assert_ne!(workload.request(3), Workload { seed: 8, ..workload }.request(3));
    }

    #[test]
    fn prompts_have_the_requested_number_of_words() {
        assert_eq!(workload().request(0).prompt.split(' ').count(), 40);
        let shared = Workload { shared_prefix_words: 60, ..workload() };
        assert_eq!(shared.request(0).prompt.split(' ').count(), 40);
        let mixed = Workload { prompt: "2..5".parse().unwrap(), ..workload() };
        let words = |index| mixed.request(index).prompt.split(' ').count();
        let (least, most) = ((0..200).map(words).min(), (0..200).map(words).max());
        assert_eq!((least, most), (Some(2), Some(5)));
    }

    #[test]
    fn prompts_share_their_prefix_and_nothing_else() {
        let workload = Workload { shared_prefix_words: 10, ..workload() };
        let (one, two) = (workload.request(1).prompt, workload.request(2).prompt);
        let (one, two): (Vec<_>, Vec<_>) = (one.split(' ').collect(), two.split(' ').collect());
        assert_eq!(one[..10], two[..10]);
        assert_ne!(one[10..], two[10..]);
    }

    #[test]
    fn same_prompt_is_sent_in_all_requests() {
        let workload = Workload { same_prompt: true, ..workload() };
        assert_eq!(workload.request(1).prompt, workload.request(2).prompt);
    }

    #[test]
    fn output_lengths_cover_their_range() {
        let workload = Workload { output: "2..5".parse().unwrap(), ..workload() };
        let mut seen: Vec<u32> = (0..200).map(|index| workload.request(index).max_tokens).collect();
        seen.sort_unstable();
        seen.dedup();
        assert_eq!(seen, [2, 3, 4, 5]);
    }

    #[test]
    fn length_is_a_number_or_a_range() {
        assert_eq!("64".parse(), Ok(Lengths { min: 64, max: 64 }));
        assert_eq!("16..256".parse(), Ok(Lengths { min: 16, max: 256 }));
        for wrong in ["", "0", "-1", "5..2", "a", "1..", "0..4"] {
            assert!(wrong.parse::<Lengths>().is_err(), "{wrong}");
        }
    }

    #[test]
    fn closed_loop_is_due_at_once_and_ends_after_its_requests() {
        let mut arrivals = Arrivals::new(1, None, 2, FOREVER);
        let now = Duration::from_secs(9);
        assert_eq!(arrivals.take(now), Some((0, now)));
        assert_eq!(arrivals.take(now), Some((1, now)));
        assert_eq!(arrivals.take(now), None);
    }

    #[test]
    fn no_request_is_due_after_the_span() {
        let mut closed = Arrivals::new(1, None, 100, Duration::from_secs(5));
        assert!(closed.take(Duration::from_secs(5)).is_some());
        assert!(closed.take(Duration::from_secs(6)).is_none());
        let mut open = Arrivals::new(1, Some(10.0), 1_000, Duration::from_secs(5));
        let due: Vec<_> = std::iter::from_fn(|| open.take(Duration::ZERO)).collect();
        assert!((20..90).contains(&due.len()), "{}", due.len());
        assert!(due.iter().all(|(_, due)| *due <= Duration::from_secs(5)));
    }

    #[test]
    fn poisson_arrivals_have_their_rate_and_exponential_gaps() {
        let mut arrivals = Arrivals::new(1, Some(100.0), 10_000, FOREVER);
        let mut gaps = Vec::new();
        let mut last = Duration::ZERO;
        while let Some((_, due)) = arrivals.take(Duration::ZERO) {
            gaps.push((due - last).as_secs_f64());
            last = due;
        }
        let mean = gaps.iter().sum::<f64>() / gaps.len() as f64;
        let variance = gaps.iter().map(|gap| (gap - mean).powi(2)).sum::<f64>() / gaps.len() as f64;
        assert!((mean - 0.01).abs() < 0.000_5, "{mean}");
        // The standard deviation of an exponential distribution is its mean.
        assert!((variance.sqrt() / mean - 1.0).abs() < 0.05, "{variance}");
    }
}
