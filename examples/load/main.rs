//! A load generator for the daemon, over its WebSocket or over HTTP, and for llama-server.
//!
//! Each connection sends one request at a time. In a closed loop it sends the next request as soon
//! as it has the answer to the last. With `--rate`, requests arrive as a Poisson process and wait
//! for a free connection. A run ends after a number of requests or a duration, and prints the
//! latencies and throughput that the clients measured.

#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod http;
mod inference_core;
mod llama_server;
mod openai;
mod report;
mod workload;

use std::net::IpAddr;
use std::path::PathBuf;
use std::process::ExitCode;
use std::sync::{Arc, Mutex, PoisonError};
use std::time::Duration;

use anyhow::Context;
use clap::{Parser, ValueEnum};
use hyper::Uri;
use tokio::task::JoinSet;
use tokio::time::{Instant, sleep_until, timeout};

use report::{Answer, Report, RequestError, Sample};
use workload::{Arrivals, Lengths, Settings, Work, Workload};

/// Failures in a row after which a connection is not used any more.
const MAX_FAILURES: usize = 5;

/// Pause after a refused request in a closed loop, which spares a busy server.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);

/// Limit on the requests of a run.
const MAX_REQUESTS: u64 = 100_000;

/// Sends requests to a server and reports latencies and throughput.
///
/// Exit codes: 0 all requests were answered, 1 some were not, 2 wrong arguments, 3 no connection or
/// the report could not be written.
#[derive(Parser)]
#[command(name = "load")]
struct Args {
    /// Protocol of the server
    #[arg(long, value_enum, default_value_t = Protocol::InferenceCore)]
    protocol: Protocol,
    /// Address of the server [default: ws://127.0.0.1:3000, for open-ai http://127.0.0.1:3000, for
    /// llama-server http://127.0.0.1:8080]
    #[arg(long)]
    url: Option<Uri>,
    /// Number of connections, each with one request at a time
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Total number of requests [default: 16, or with --duration up to 100,000]
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..=MAX_REQUESTS))]
    requests: Option<u64>,
    /// Seconds after which no more requests start
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,
    /// Poisson arrivals with this mean rate, in requests per second [default: closed loop]
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// Words per prompt: a number, or a range such as 8..512
    #[arg(long, default_value = "32")]
    prompt_words: Lengths,
    /// Words of the prefix that all prompts share
    #[arg(long, default_value_t = 0)]
    shared_prefix_words: u32,
    /// Send the same prompt in all requests
    #[arg(long)]
    same_prompt: bool,
    /// Tokens to generate per request: a number, or a range such as 16..256
    #[arg(long, default_value = "64")]
    max_tokens: Lengths,
    /// Send each prompt as a chat message
    #[arg(long)]
    chat: bool,
    /// Sampling temperature; 0 is greedy
    #[arg(long, default_value_t = 0.0)]
    temp: f64,
    /// Let the server reuse cached prefixes
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    cache_prompt: bool,
    /// Let the model end an answer before --max-tokens
    #[arg(long)]
    allow_eos: bool,
    /// Seed of prompts, lengths and arrivals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests that are sent before the measured ones
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    warmup: u64,
    /// Timeout of a request in seconds
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    /// Also write the report to this file, as JSON
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Also write every text with the time of its arrival to the JSON report
    #[arg(long, requires = "json")]
    texts: bool,
    /// Allow a server that is not on this machine
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Protocol {
    /// The daemon's WebSocket
    InferenceCore,
    /// llama-server's own API
    LlamaServer,
    /// OpenAI's chat completions, of either server; each prompt is a chat message
    OpenAi,
}

/// What the connections of a run share.
struct Run {
    uri: Uri,
    protocol: Protocol,
    settings: Settings,
    workload: Workload,
    arrivals: Mutex<Arrivals>,
    started: Instant,
    timeout: Duration,
    open_loop: bool,
    has_texts: bool,
}

enum Connection {
    InferenceCore(Box<inference_core::Connection>),
    LlamaServer(llama_server::Connection),
    OpenAi(openai::Connection),
}

impl Connection {
    async fn open(run: &Run) -> anyhow::Result<Self> {
        let open = async {
            match run.protocol {
                Protocol::InferenceCore => {
                    let connection = inference_core::Connection::open(&run.uri).await?;
                    Ok(Self::InferenceCore(Box::new(connection)))
                }
                Protocol::LlamaServer => {
                    Ok(Self::LlamaServer(llama_server::Connection::open(&run.uri).await?))
                }
                Protocol::OpenAi => Ok(Self::OpenAi(openai::Connection::open(&run.uri).await?)),
            }
        };
        timeout(run.timeout, open).await.context("timeout while connecting")?
    }

    /// Waits until `moment`.
    async fn idle(&mut self, moment: Instant) {
        // A timer takes up to a millisecond even if `moment` has passed.
        if moment <= Instant::now() {
            return;
        }
        match self {
            Self::InferenceCore(connection) => connection.idle(moment).await,
            Self::LlamaServer(_) | Self::OpenAi(_) => sleep_until(moment).await,
        }
    }

    /// Sends one request, which was due `delay` ago, and waits for its end. Also returns whether
    /// the connection can be used again.
    async fn request(&mut self, run: &Run, work: Work, delay: Duration) -> (Sample, bool) {
        let mut sample = Sample::begin(delay, run.has_texts);
        let asked = timeout(run.timeout, self.ask(run, work, &mut sample, delay)).await;
        let (outcome, usable) = match asked {
            Ok(Ok(answer)) => (Ok(answer), true),
            Ok(Err(RequestError::Refused(code))) => (Err(code), true),
            Ok(Err(RequestError::Broken(reason))) => (Err(format!("connection: {reason}")), false),
            Err(_) => (Err("timeout".to_owned()), false),
        };
        sample.end(outcome);
        (sample, usable)
    }

    async fn ask(
        &mut self,
        run: &Run,
        work: Work,
        sample: &mut Sample,
        delay: Duration,
    ) -> Result<Answer, RequestError> {
        match self {
            Self::InferenceCore(connection) => connection.ask(&work, run.settings, sample).await,
            Self::LlamaServer(connection) => {
                let work = connection.prepare(work, run.settings).await?;
                *sample = Sample::begin(delay, run.has_texts);
                connection.ask(&work, run.settings, sample).await
            }
            Self::OpenAi(connection) => {
                connection.prepare().await?;
                *sample = Sample::begin(delay, run.has_texts);
                connection.ask(&work, run.settings, sample).await
            }
        }
    }
}

/// Sends requests on one connection until none are left or the connection fails repeatedly.
async fn drive(run: Arc<Run>, mut connection: Connection) -> Vec<Sample> {
    let mut samples = Vec::new();
    let mut failures = 0;
    while failures < MAX_FAILURES {
        let now = run.started.elapsed();
        let next = run.arrivals.lock().unwrap_or_else(PoisonError::into_inner).take(now);
        let Some((index, due)) = next else { break };
        connection.idle(run.started + due).await;
        let delay = run.started.elapsed().saturating_sub(due);
        let (sample, usable) = connection.request(&run, run.workload.request(index), delay).await;
        let refused = usable && sample.failed();
        samples.push(sample);
        if usable {
            failures = 0;
        } else {
            failures += 1;
            match Connection::open(&run).await {
                Ok(fresh) => connection = fresh,
                Err(_) => break,
            }
        }
        if refused && !run.open_loop {
            connection.idle(Instant::now() + AFTER_REFUSAL).await;
        }
    }
    samples
}

async fn measure(args: Args) -> anyhow::Result<Report> {
    let (name, uri) = match args.protocol {
        Protocol::InferenceCore => ("inference-core", "ws://127.0.0.1:3000"),
        Protocol::LlamaServer => ("llama-server", "http://127.0.0.1:8080"),
        Protocol::OpenAi => ("open-ai", "http://127.0.0.1:3000"),
    };
    let uri = args.url.unwrap_or_else(|| Uri::from_static(uri));
    let default = if args.duration.is_some() { MAX_REQUESTS } else { 16 };
    let requests = args.requests.unwrap_or(default);
    let span = args.duration.map_or(Duration::MAX, Duration::from_secs);
    let mut run = Run {
        protocol: args.protocol,
        settings: Settings {
            chat: args.chat,
            temp: args.temp,
            cache_prompt: args.cache_prompt,
            ignore_eos: !args.allow_eos,
        },
        workload: Workload {
            seed: args.seed,
            prompt: args.prompt_words,
            shared_prefix_words: args.shared_prefix_words as usize,
            same_prompt: args.same_prompt,
            output: args.max_tokens,
        },
        arrivals: Mutex::new(Arrivals::new(args.seed, args.rate, requests, span)),
        started: Instant::now(),
        timeout: Duration::from_secs(args.timeout),
        open_loop: args.rate.is_some(),
        has_texts: args.texts,
        uri,
    };
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        connections.push(Connection::open(&run).await?);
    }
    for number in 0..args.warmup {
        // The measured requests have lower numbers, so their prompts are not cached yet.
        let work = run.workload.request(MAX_REQUESTS + number);
        let (_unmeasured, usable) = connections[0].request(&run, work, Duration::ZERO).await;
        if !usable {
            connections[0] = Connection::open(&run).await?;
        }
    }
    run.started = Instant::now();
    let run = Arc::new(run);
    let mut drivers = JoinSet::new();
    for connection in connections {
        drivers.spawn(drive(Arc::clone(&run), connection));
    }
    let clients = drivers.join_all().await;
    let wall = run.started.elapsed();
    Ok(Report::new(name.into(), run.uri.to_string(), wall, clients))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn positive(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or("must be a number from 0.001 to 1000000")
}

// One thread handles thousands of frames per second and leaves the other cores to the server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json.clone();
    let host = args.url.as_ref().map_or("localhost", |url| url.host().unwrap_or_default());
    if !args.allow_remote && !is_loopback(host) {
        eprintln!("load: {host:?} is another machine: add --allow-remote to send requests to it");
        return ExitCode::from(2);
    }
    let report = match measure(args).await {
        Ok(report) => report,
        Err(error) => {
            eprintln!("load: {error}: {}", error.root_cause());
            return ExitCode::from(3);
        }
    };
    print!("{report}");
    if let Some(path) = json {
        let text = serde_json::to_string_pretty(&report).expect("numbers and text only");
        if let Err(error) = std::fs::write(&path, text + "\n") {
            eprintln!("load: cannot write {}: {error}", path.display());
            return ExitCode::from(3);
        }
    }
    if report.is_clean() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}
