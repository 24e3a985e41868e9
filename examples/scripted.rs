//! A server with the scripted model, for tests of clients whose answers have to be known.
//!
//! `tests/clients` starts it. It listens on a free port of 127.0.0.1, and its first line says on
//! which. The model answers with the prompt; of a conversation whose last message begins with
//! `say `, with the rest of that message.

#![expect(clippy::print_stdout, reason = "the test reads the address")]

#[path = "../tests/common/mod.rs"]
#[expect(
    dead_code,
    unreachable_pub,
    unused_imports,
    clippy::unwrap_used,
    reason = "tests use more of it"
)]
mod common;

#[tokio::main(flavor = "current_thread")]
async fn main() {
    let mut setup = common::Setup::default();
    (setup.limits.slot_tokens, setup.engine.ctx_size) = (100_000, 100_000);
    let server = setup.start().await;
    println!("listening on {}", server.address);
    std::future::pending::<()>().await;
}
