//! A load generator for the daemon and, to compare, for llama-server.
//!
//! A number of connections ask one thing after another: in a closed loop each sends its next
//! request when the last is answered, with `--rate` requests come as a Poisson process and wait
//! for a free connection where none is. The run ends by itself, after a number of requests or a
//! time, and prints what clients saw.
#![allow(clippy::print_stdout, clippy::print_stderr, reason = "a command-line tool")]

mod inference_core;
mod llama_server;
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

use report::{Answer, Report, Sample, Trouble};
use workload::{Arrivals, Lengths, Settings, Work, Workload};

/// A connection that fails so often in a row is given up.
const MAX_FAILURES: usize = 5;
/// In a closed loop: the pause after a refusal, so that a full server is not hammered.
const AFTER_REFUSAL: Duration = Duration::from_millis(100);
/// Requests of a run limited by time only.
const MAX_REQUESTS: u64 = 100_000;

/// Loads a server with requests and reports latencies and rates.
///
/// Exit codes: 0 every request was answered, 1 some were not, 2 wrong arguments, 3 no connection
/// or no place for the report.
#[derive(Parser)]
#[command(name = "load")]
struct Args {
    /// What the server speaks
    #[arg(long, value_enum, default_value_t = Protocol::InferenceCore)]
    protocol: Protocol,
    /// Its address [default: ws://127.0.0.1:3000, or http://127.0.0.1:8080 for llama-server]
    #[arg(long)]
    url: Option<Uri>,
    /// Connections, each with one request at a time
    #[arg(short, long, default_value_t = 1, value_parser = clap::value_parser!(u16).range(1..=4096))]
    connections: u16,
    /// Requests in all [default: 16, or as many as fit into --duration]
    #[arg(short = 'n', long, value_parser = clap::value_parser!(u64).range(1..=MAX_REQUESTS))]
    requests: Option<u64>,
    /// Start no request after this many seconds
    #[arg(long, value_parser = clap::value_parser!(u64).range(1..=86_400))]
    duration: Option<u64>,
    /// Poisson arrivals, this many a second on average [default: closed loop]
    #[arg(long, value_parser = positive)]
    rate: Option<f64>,
    /// Words in a prompt: a number, or a range such as 8..512
    #[arg(long, default_value = "32")]
    prompt_words: Lengths,
    /// Words that all prompts have in common, at their start
    #[arg(long, default_value_t = 0)]
    shared_prefix_words: u32,
    /// Send the same prompt every time
    #[arg(long)]
    same_prompt: bool,
    /// Tokens to generate: a number, or a range such as 16..256
    #[arg(long, default_value = "64")]
    max_tokens: Lengths,
    /// Send each prompt as a chat message
    #[arg(long)]
    chat: bool,
    /// Sampling temperature; 0 is greedy
    #[arg(long, default_value_t = 0.0)]
    temp: f64,
    /// Let the server reuse what it has read before
    #[arg(long, default_value_t = true, action = clap::ArgAction::Set, value_name = "true|false")]
    cache_prompt: bool,
    /// Let the model end its answers itself; else lengths are exact
    #[arg(long)]
    allow_eos: bool,
    /// Decides prompts, lengths and arrivals
    #[arg(long, default_value_t = 1)]
    seed: u64,
    /// Requests that are sent first and not counted
    #[arg(long, default_value_t = 1, value_parser = clap::value_parser!(u64).range(0..=1_000))]
    warmup: u64,
    /// Seconds until a request counts as lost
    #[arg(long, default_value_t = 120, value_parser = clap::value_parser!(u64).range(1..=3_600))]
    timeout: u64,
    /// Also write the report to this file
    #[arg(long, value_name = "FILE")]
    json: Option<PathBuf>,
    /// Allow a server on another machine
    #[arg(long)]
    allow_remote: bool,
}

#[derive(Clone, Copy, PartialEq, ValueEnum)]
enum Protocol {
    InferenceCore,
    LlamaServer,
}

/// All that the connections of a run share.
struct Run {
    uri: Uri,
    protocol: Protocol,
    settings: Settings,
    workload: Workload,
    arrivals: Mutex<Arrivals>,
    started: Instant,
    timeout: Duration,
    open_loop: bool,
}

enum Connection {
    InferenceCore(Box<inference_core::Connection>),
    LlamaServer(llama_server::Connection),
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
            }
        };
        timeout(run.timeout, open).await.context("no answer to the connection attempt")?
    }

    async fn idle(&mut self, moment: Instant) {
        // A timer would cost a millisecond even when nothing is left to wait for.
        if moment <= Instant::now() {
            return;
        }
        match self {
            Self::InferenceCore(connection) => connection.idle(moment).await,
            Self::LlamaServer(_) => sleep_until(moment).await,
        }
    }

    /// One request, from its preparation to its last frame.
    async fn request(&mut self, run: &Run, work: Work, delay: Duration) -> (Sample, bool) {
        let mut sample = Sample::begin(delay);
        let asked = timeout(run.timeout, self.ask(run, work, &mut sample, delay)).await;
        let (outcome, usable) = match asked {
            Ok(Ok(answer)) => (Ok(answer), true),
            Ok(Err(Trouble::Refused(code))) => (Err(code), true),
            Ok(Err(Trouble::Broken(reason))) => (Err(format!("connection: {reason}")), false),
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
    ) -> Result<Answer, Trouble> {
        match self {
            Self::InferenceCore(connection) => connection.ask(&work, run.settings, sample).await,
            Self::LlamaServer(connection) => {
                let work = connection.prepare(work, run.settings).await?;
                *sample = Sample::begin(delay);
                connection.ask(&work, run.settings, sample).await
            }
        }
    }
}

/// One connection's part of the run: takes requests until none are left.
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
        uri,
    };
    let mut connections = Vec::new();
    for _ in 0..args.connections {
        connections.push(Connection::open(&run).await?);
    }
    for number in 0..args.warmup {
        // Numbers that the run itself does not reach, so that its prompts are new to the server.
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
    Ok(Report::new(name.into(), run.uri.to_string(), wall, &clients))
}

fn is_loopback(host: &str) -> bool {
    let address = host.trim_start_matches('[').trim_end_matches(']').parse::<IpAddr>();
    host == "localhost" || address.is_ok_and(|address| address.is_loopback())
}

fn positive(text: &str) -> Result<f64, &'static str> {
    let rate = text.parse().ok().filter(|rate| (0.001..=1e6).contains(rate));
    rate.ok_or("give a number from 0.001 to 1000000")
}

// One thread is enough for thousands of frames a second, and leaves the other cores to the server.
#[tokio::main(flavor = "current_thread")]
async fn main() -> ExitCode {
    let args = Args::parse();
    let json = args.json.clone();
    let host = args.url.as_ref().map_or("localhost", |url| url.host().unwrap_or_default());
    if !args.allow_remote && !is_loopback(host) {
        eprintln!("load: {host:?} is another machine: give --allow-remote if you may load it");
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
