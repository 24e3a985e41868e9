//! Measurements: a [`Sample`] per request and the [`Report`] of a run.
//!
//! The client measures all times from the moment it sends a request. Percentiles are nearest-rank:
//! each is a measured value, and with fewer than 100 samples p99 is the maximum.

use std::collections::BTreeMap;
use std::fmt;
use std::time::Duration;

use serde::Serialize;
use tokio::time::Instant;

/// The server's statistics of an answered request.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Answer {
    /// Tokens generated.
    pub(crate) tokens: u64,
    /// Tokens in the prompt, cached ones included.
    pub(crate) prompt_tokens: u64,
    /// Prompt tokens that the server reused from its cache.
    pub(crate) cached_tokens: u64,
}

/// Why a request was not answered.
pub(crate) enum RequestError {
    /// The server refused the request, with this error code. The connection can be used again.
    Refused(String),
    /// The connection failed, for this reason, and cannot be used again.
    Broken(String),
}

impl RequestError {
    /// A [`Broken`](Self::Broken) connection with the text of `error`.
    pub(crate) fn broken(error: impl fmt::Display) -> Self {
        Self::Broken(error.to_string())
    }
}

/// A text of an answer.
#[derive(Debug, PartialEq, Serialize)]
struct Text {
    /// Time of its arrival since the request was sent.
    at_ms: f64,
    content: String,
    /// Tokens of the answer up to this text, `None` if the server does not report the number.
    tokens: Option<u64>,
}

/// Times and outcome of one request.
#[derive(Debug)]
pub(crate) struct Sample {
    sent: Instant,
    /// `None` if texts are not kept.
    texts: Option<Vec<Text>>,
    first_text: Option<Instant>,
    last_text: Option<Instant>,
    gaps_ms: Vec<f32>,
    delay: Duration,
    total: Duration,
    outcome: Result<Answer, String>,
}

impl Sample {
    /// Starts the measurement of a request that is sent now, `delay` after it was due. With
    /// `has_texts`, the sample keeps every text.
    pub(crate) fn begin(delay: Duration, has_texts: bool) -> Self {
        Self {
            sent: Instant::now(),
            texts: has_texts.then(Vec::new),
            first_text: None,
            last_text: None,
            gaps_ms: Vec::new(),
            delay,
            total: Duration::ZERO,
            outcome: Err("unfinished".into()),
        }
    }

    /// Records the arrival of text that is not empty. `tokens` is the number of tokens of the
    /// answer up to this text, if the server reports it.
    pub(crate) fn text(&mut self, content: String, tokens: Option<u64>) {
        let now = Instant::now();
        if let Some(texts) = &mut self.texts {
            texts.push(Text { at_ms: ms(now - self.sent), content, tokens });
        }
        if let Some(last) = self.last_text.replace(now) {
            self.gaps_ms.push(ms(now - last) as f32);
        } else {
            self.first_text = Some(now);
        }
    }

    /// Records the end of the request: an answer, or the reason of a failure.
    pub(crate) fn end(&mut self, outcome: Result<Answer, String>) {
        self.total = self.sent.elapsed();
        self.outcome = outcome;
    }

    /// Whether the request was not answered.
    pub(crate) fn failed(&self) -> bool {
        self.outcome.is_err()
    }

    fn ttft_ms(&self) -> Option<f64> {
        Some(ms(self.first_text? - self.sent))
    }

    /// Throughput after the first text.
    fn tokens_per_s(&self) -> Option<f64> {
        let tokens = self.outcome.as_ref().ok()?.tokens.checked_sub(1)?;
        let span = (self.last_text? - self.first_text?).as_secs_f64();
        (tokens > 0 && span > 0.0).then(|| tokens as f64 / span)
    }
}

/// Distribution of one quantity.
#[derive(Debug, PartialEq, Serialize)]
pub(crate) struct Summary {
    count: usize,
    mean: f64,
    p50: f64,
    p95: f64,
    p99: f64,
    max: f64,
}

impl Summary {
    /// `None` without values.
    fn of(values: impl Iterator<Item = f64>) -> Option<Self> {
        let mut values: Vec<f64> = values.collect();
        values.sort_unstable_by(f64::total_cmp);
        let count = values.len();
        let rank = |percent: usize| values[(count * percent).div_ceil(100).max(1) - 1];
        let max = *values.last()?;
        let mean = values.iter().sum::<f64>() / count as f64;
        Some(Self { count, mean, p50: rank(50), p95: rank(95), p99: rank(99), max })
    }
}

/// Results of a run.
#[derive(Debug, Serialize)]
pub(crate) struct Report {
    protocol: String,
    url: String,
    connections: usize,
    wall_s: f64,
    requests: usize,
    outcomes: BTreeMap<String, usize>,
    ttft_ms: Option<Summary>,
    itl_ms: Option<Summary>,
    total_ms: Option<Summary>,
    stream_tokens_per_s: Option<Summary>,
    start_delay_ms: Option<Summary>,
    output_tokens: u64,
    output_tokens_per_s: f64,
    prompt_tokens: u64,
    prompt_tokens_per_s: f64,
    cached_tokens: u64,
    clients: Vec<Client>,
    /// The answered requests with their texts, empty if texts were not kept.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    answers: Vec<AnswerTexts>,
}

/// The texts of an answered request.
#[derive(Debug, PartialEq, Serialize)]
struct AnswerTexts {
    /// Tokens generated.
    tokens: u64,
    texts: Vec<Text>,
}

impl AnswerTexts {
    /// `None` if the request was not answered or its texts were not kept.
    fn of(sample: Sample) -> Option<Self> {
        Some(Self { tokens: sample.outcome.ok()?.tokens, texts: sample.texts? })
    }
}

/// Results of one connection, which show whether the server treats all of them alike.
#[derive(Debug, Serialize)]
struct Client {
    requests: usize,
    answered: usize,
    mean_ttft_ms: Option<f64>,
    tokens: u64,
}

impl Client {
    fn new(samples: &[Sample]) -> Self {
        let answers = || samples.iter().filter_map(|sample| sample.outcome.as_ref().ok());
        let done = samples.iter().filter(|sample| !sample.failed());
        Self {
            requests: samples.len(),
            answered: answers().count(),
            mean_ttft_ms: Summary::of(done.filter_map(Sample::ttft_ms)).map(|ttft| ttft.mean),
            tokens: answers().map(|answer| answer.prompt_tokens + answer.tokens).sum(),
        }
    }
}

impl Report {
    /// Summarizes a run of duration `wall` from the samples of each connection. Only answered
    /// requests count in latencies and tokens.
    pub(crate) fn new(
        protocol: String,
        url: String,
        wall: Duration,
        clients: Vec<Vec<Sample>>,
    ) -> Self {
        let samples: Vec<&Sample> = clients.iter().flatten().collect();
        let mut outcomes = BTreeMap::from([("done".to_owned(), 0)]);
        for sample in &samples {
            let name = sample.outcome.as_ref().err().map_or("done", String::as_str);
            *outcomes.entry(name.to_owned()).or_default() += 1;
        }
        let done = || samples.iter().filter(|sample| sample.outcome.is_ok());
        let answers = || samples.iter().filter_map(|sample| sample.outcome.as_ref().ok());
        let output_tokens = answers().map(|answer| answer.tokens).sum();
        let prompt_tokens = answers().map(|answer| answer.prompt_tokens).sum();
        let wall_s = wall.as_secs_f64().max(f64::EPSILON);
        Self {
            protocol,
            url,
            connections: clients.len(),
            wall_s,
            requests: samples.len(),
            outcomes,
            ttft_ms: Summary::of(done().filter_map(|sample| sample.ttft_ms())),
            itl_ms: Summary::of(done().flat_map(|s| s.gaps_ms.iter().map(|gap| f64::from(*gap)))),
            total_ms: Summary::of(done().map(|sample| ms(sample.total))),
            stream_tokens_per_s: Summary::of(done().filter_map(|sample| sample.tokens_per_s())),
            start_delay_ms: Summary::of(samples.iter().map(|sample| ms(sample.delay))),
            output_tokens,
            output_tokens_per_s: output_tokens as f64 / wall_s,
            prompt_tokens,
            prompt_tokens_per_s: prompt_tokens as f64 / wall_s,
            cached_tokens: answers().map(|answer| answer.cached_tokens).sum(),
            clients: clients.iter().map(|samples| Client::new(samples)).collect(),
            answers: clients.into_iter().flatten().filter_map(AnswerTexts::of).collect(),
        }
    }

    /// Whether there was a request and all requests were answered.
    pub(crate) fn is_clean(&self) -> bool {
        self.requests > 0 && self.outcomes["done"] == self.requests
    }
}

impl fmt::Display for Report {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { protocol, url, connections, requests, wall_s, .. } = self;
        writeln!(f, "{protocol} at {url}, {connections} connections")?;
        writeln!(f, "{requests} requests in {wall_s:.2} s")?;
        for (outcome, count) in &self.outcomes {
            writeln!(f, "  {count:>9}  {outcome}")?;
        }
        writeln!(f)?;
        write!(f, "{:<22}", "")?;
        for column in ["mean", "p50", "p95", "p99", "max", "n"] {
            write!(f, "{column:>10}")?;
        }
        writeln!(f)?;
        row(f, "time to first text, ms", self.ttft_ms.as_ref())?;
        row(f, "time between texts, ms", self.itl_ms.as_ref())?;
        row(f, "request duration, ms", self.total_ms.as_ref())?;
        row(f, "tokens/s per stream", self.stream_tokens_per_s.as_ref())?;
        row(f, "start delay, ms", self.start_delay_ms.as_ref())?;
        writeln!(f)?;
        writeln!(f, "{}", line("output", self.output_tokens, self.output_tokens_per_s))?;
        write!(f, "{}", line("prompt", self.prompt_tokens, self.prompt_tokens_per_s))?;
        writeln!(f, "  ({} cached)", self.cached_tokens)
    }
}

fn line(name: &str, tokens: u64, throughput: f64) -> String {
    format!("{name:<8}{tokens:>10} tokens{throughput:>12.1} tokens/s")
}

fn row(f: &mut fmt::Formatter<'_>, name: &str, summary: Option<&Summary>) -> fmt::Result {
    let Some(summary) = summary else { return writeln!(f, "{name:<22}{:>10}", "-") };
    let Summary { count, mean, p50, p95, p99, max } = summary;
    write!(f, "{name:<22}")?;
    for value in [mean, p50, p95, p99, max] {
        write!(f, "{value:>10.2}")?;
    }
    writeln!(f, "{count:>10}")
}

fn ms(time: Duration) -> f64 {
    time.as_secs_f64() * 1e3
}

#[cfg(test)]
mod tests {
    use super::*;

    fn summary(values: &[f64]) -> Summary {
        Summary::of(values.iter().copied()).unwrap()
    }

    #[test]
    fn single_value_is_every_percentile() {
        let one = summary(&[3.0]);
        assert_eq!((one.p50, one.p95, one.p99, one.max, one.mean), (3.0, 3.0, 3.0, 3.0, 3.0));
        assert_eq!(Summary::of(std::iter::empty()), None);
    }

    #[test]
    fn percentiles_of_few_values_are_nearest_rank() {
        let two = summary(&[2.0, 1.0]);
        assert_eq!((two.p50, two.p95, two.p99), (1.0, 2.0, 2.0));
        let five = summary(&[5.0, 1.0, 4.0, 2.0, 3.0]);
        assert_eq!((five.p50, five.p95, five.mean), (3.0, 5.0, 3.0));
    }

    #[test]
    fn percentiles_of_a_hundred_values_are_their_ranks() {
        let values: Vec<f64> = (1..=100).map(f64::from).collect();
        let hundred = summary(&values);
        assert_eq!((hundred.p50, hundred.p95, hundred.p99, hundred.max), (50.0, 95.0, 99.0, 100.0));
        assert_eq!(hundred.count, 100);
    }

    #[tokio::test(start_paused = true)]
    async fn sample_measures_first_text_gaps_and_throughput() {
        let mut sample = Sample::begin(Duration::ZERO, false);
        for wait in [50, 10, 30] {
            tokio::time::advance(Duration::from_millis(wait)).await;
            sample.text("a".into(), None);
        }
        sample.end(Ok(Answer { tokens: 5, ..Answer::default() }));
        assert_eq!(sample.ttft_ms(), Some(50.0));
        assert_eq!(sample.gaps_ms, [10.0, 30.0]);
        assert_eq!(sample.total, Duration::from_millis(90));
        assert_eq!(sample.tokens_per_s(), Some(100.0));
    }

    #[tokio::test(start_paused = true)]
    async fn report_has_texts_of_answered_requests_only() {
        let mut samples: Vec<Sample> = Vec::new();
        for outcome in [Ok(Answer { tokens: 3, ..Answer::default() }), Err("busy".to_owned())] {
            let mut sample = Sample::begin(Duration::ZERO, true);
            tokio::time::advance(Duration::from_millis(20)).await;
            sample.text("one two".into(), Some(2));
            sample.end(outcome);
            samples.push(sample);
        }
        let report = Report::new("p".into(), "u".into(), Duration::from_secs(1), vec![samples]);
        let text = Text { at_ms: 20.0, content: "one two".into(), tokens: Some(2) };
        assert_eq!(report.answers, [AnswerTexts { tokens: 3, texts: vec![text] }]);
    }

    #[tokio::test(start_paused = true)]
    async fn failed_requests_are_counted_but_not_measured() {
        let mut samples: Vec<Sample> = Vec::new();
        for outcome in [Ok(Answer { tokens: 10, ..Answer::default() }), Err("busy".to_owned())] {
            let mut sample = Sample::begin(Duration::ZERO, false);
            tokio::time::advance(Duration::from_millis(20)).await;
            sample.text("a".into(), None);
            sample.end(outcome);
            samples.push(sample);
        }
        let clients = vec![samples, Vec::new()];
        let report = Report::new("p".into(), "u".into(), Duration::from_secs(2), clients);
        assert_eq!(report.outcomes, BTreeMap::from([("busy".into(), 1), ("done".into(), 1)]));
        assert_eq!(report.ttft_ms.as_ref().unwrap().count, 1);
        assert_eq!((report.output_tokens, report.output_tokens_per_s), (10, 5.0));
        assert!(!report.is_clean());
        let seen = |client: &Client| (client.requests, client.answered, client.mean_ttft_ms);
        let seen: Vec<_> = report.clients.iter().map(seen).collect();
        assert_eq!(seen, [(2, 1, Some(20.0)), (0, 0, None)]);
        assert!(report.to_string().contains("1  busy"));
    }
}
