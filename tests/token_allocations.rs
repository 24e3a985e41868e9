//! What a token costs the server on its way to a client, in allocations, as counted by a global
//! allocator.
//!
//! The client lives on the thread of the test, which is not counted. All others are: those of the
//! server, of the engine and of the scripted model.

#![allow(clippy::unwrap_used, reason = "a test panics when it cannot continue")]
#![allow(unreachable_pub, reason = "a test crate has no outside")]
#![allow(unsafe_code, reason = "a counting allocator implements an unsafe trait")]

#[path = "common/mod.rs"]
#[expect(dead_code, unused_imports, reason = "other tests use more of it")]
mod common;

use std::alloc::{GlobalAlloc, Layout, System};
use std::cell::Cell;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use common::{ApiConnection, Client, Setup, TestServer};
use serde_json::json;

/// Tokens that are counted, one in each frame or event.
const TOKENS: usize = 100;

/// Tokens before them, so that buffers have their size.
const WARM_UP: usize = 20;

/// Most allocations per token over the WebSocket. 25 were counted.
const MAX_SOCKET: usize = 27;

/// Most allocations per token over HTTP. 33 were counted, and 34 on a busy machine, where signs of
/// life are due in between.
const MAX_HTTP: usize = 36;

static ALLOCATIONS: AtomicUsize = AtomicUsize::new(0);

thread_local! {
    /// Whether the allocations of this thread count.
    static IS_COUNTED: Cell<bool> = const { Cell::new(true) };
}

struct Counting;

impl Counting {
    fn count() {
        if IS_COUNTED.get() {
            ALLOCATIONS.fetch_add(1, Ordering::Relaxed);
        }
    }
}

// SAFETY: every call is passed to the system's allocator unchanged. The counters are a plain cell
// and an atomic, which neither allocate nor have a destructor.
unsafe impl GlobalAlloc for Counting {
    unsafe fn alloc(&self, layout: Layout) -> *mut u8 {
        Self::count();
        // SAFETY: `System.alloc` has the same contract, which the caller fulfils.
        unsafe { System.alloc(layout) }
    }

    unsafe fn dealloc(&self, pointer: *mut u8, layout: Layout) {
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.dealloc(pointer, layout) }
    }

    unsafe fn realloc(&self, pointer: *mut u8, layout: Layout, size: usize) -> *mut u8 {
        Self::count();
        // SAFETY: `pointer` came from the system's allocator with this layout.
        unsafe { System.realloc(pointer, layout, size) }
    }
}

#[global_allocator]
static ALLOCATOR: Counting = Counting;

/// A server on threads of its own, whose model waits before each step.
fn server_elsewhere() -> TestServer {
    let (sender, receiver) = std::sync::mpsc::channel();
    let serve = move || {
        let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
        runtime.block_on(async {
            let mut setup = Setup::by_hand();
            setup.server.metrics_interval = Duration::from_secs(3600);
            sender.send(setup.start().await).unwrap();
            std::future::pending::<()>().await;
        });
    };
    std::thread::Builder::new().name("server".to_owned()).spawn(serve).unwrap();
    receiver.recv().unwrap()
}

/// The allocations per token, rounded, while `receive` waits for one token after the other.
async fn per_token(server: &TestServer, mut receive: impl AsyncFnMut()) -> usize {
    // The prompt.
    server.pace.allow(1);
    let mut before = 0;
    for i in 0..WARM_UP + TOKENS {
        if i == WARM_UP {
            before = ALLOCATIONS.load(Ordering::Relaxed);
        }
        receive().await;
        server.pace.allow(1);
    }
    (ALLOCATIONS.load(Ordering::Relaxed) - before).div_ceil(TOKENS)
}

/// The allocations per token of a stream over the WebSocket.
async fn over_socket() -> usize {
    let server = server_elsewhere();
    let mut client = Client::connect_to(&server, "/?metrics=0").await;
    client.send(json!({"op": "infer", "prompt": "loop a "})).await;
    let receive = async || {
        client.expect("token").await;
    };
    per_token(&server, receive).await
}

/// The allocations per token of a stream over HTTP.
async fn over_http() -> usize {
    let server = server_elsewhere();
    let mut connection = ApiConnection::open(server.address).await;
    let body = json!({"prompt": "loop a ", "stream": true});
    connection.post("/v1/completions", &body).await;
    let receive = async || {
        connection.until("\"text\":").await;
    };
    per_token(&server, receive).await
}

#[tokio::test]
async fn token_takes_few_allocations_on_its_way_to_a_client() {
    IS_COUNTED.set(false);
    let (socket, http) = (over_socket().await, over_http().await);
    assert!(socket <= MAX_SOCKET && http <= MAX_HTTP, "{socket} over the socket, {http} over HTTP");
}
