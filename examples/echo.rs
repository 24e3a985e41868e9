//! A server whose WebSocket on `/echo` sends every message back, for conformance tests.
//!
//! `make autobahn` runs the Autobahn test suite against it. Its connections are served by the same
//! code as those of the daemon, from the upgrade to the close frame; only the content of messages
//! is not looked at. It loads no model. The first argument is the port.

use std::net::Ipv4Addr;
use std::time::{Duration, Instant};

use inference_core::domain::{GpuReading, ModelInfo};
use inference_core::runner::{Client, RequestLimits};
use inference_core::server::{About, Listener, Options, Server};
use tokio::net::TcpListener;
use tokio::runtime::Handle;
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let port = std::env::args().nth(1).ok_or("the first argument must be a port")?.parse()?;
    let listener = TcpListener::bind((Ipv4Addr::LOCALHOST, port)).await?;
    let limits =
        RequestLimits { ctx_size: 0, slots: 0, max_queue: 0, max_tokens: None, cache_ram_bytes: 0 };
    // No runner is connected to the controller.
    let (client, _controller) = Client::new(limits);
    let reading = GpuReading { taken: Instant::now(), gpus: Vec::new() };
    let (_gpus, readings) = watch::channel(reading);
    let options = Options {
        // The longest message of the suite.
        max_message_bytes: 16 << 20,
        write_grace: Duration::from_secs(60),
        ..Options::default()
    };
    let server = Server::new(options, client, about(), readings)?;
    server
        .serve(vec![Listener::tcp(listener, None)], Handle::current(), CancellationToken::new())
        .await;
    Ok(())
}

/// What `hello` frames would say on other paths.
fn about() -> About {
    About {
        model: ModelInfo {
            name: "none".to_owned(),
            arch: "none".to_owned(),
            params: 0,
            size_bytes: 0,
            n_ctx_train: 0,
            n_layers: 0,
            chat_problem: None,
            is_demo: false,
        },
        backend: "none".to_owned(),
        gpu_layers: 0,
        parallel: 0,
        version: env!("CARGO_PKG_VERSION").to_owned(),
        commit: "none".to_owned(),
        llama_cpp: "none".to_owned(),
        cpu_flags: "none".to_owned(),
    }
}
