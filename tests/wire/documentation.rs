//! `docs/PROTOCOL.md` as a test: every conversation in it runs against the server.
//!
//! A block that begins with ```` ```wire ```` is a conversation; the rest of that line names the
//! situation. The server's frames must have the fields and types of the example. Codes, ids and
//! reasons must be equal; numbers and free text may differ.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use inference_core::domain::{AccountLimits, Code};
use inference_core::server::Keys;
use serde_json::Value;

use crate::common::{Client, Setup, TestServer, at_most};

const DOCUMENT: &str = include_str!("../../docs/PROTOCOL.md");

/// Fields whose value must be that of the example.
const EXACT: [&str; 6] = ["op", "id", "code", "finish_reason", "protocol", "auth"];

struct Conversation {
    situation: String,
    lines: Vec<(char, String)>,
}

fn conversations() -> Vec<Conversation> {
    let mut found = Vec::new();
    let mut lines = DOCUMENT.lines();
    while let Some(line) = lines.next() {
        let Some(situation) = line.strip_prefix("```wire") else { continue };
        let lines = lines
            .by_ref()
            .take_while(|line| *line != "```")
            .map(|line| {
                let (direction, text) = line.split_once(' ').unwrap();
                (direction.parse().unwrap(), text.to_owned())
            })
            .collect();
        found.push(Conversation { situation: situation.trim().to_owned(), lines });
    }
    found
}

/// The keys of a server in the situation "key required": the one in the document, with the right to
/// request text.
const KEYS: &str = "[keys.web]\nrights = [\"infer\"]\nhash = \
    \"sha256:befe24f3df175364cdd1a207f8a6d8487bb1180a084e0c41518b72d93895ecc7\"\n";

/// Starts a server in the named situation and connects a client to it. Returns both, and the other
/// clients, whose requests must stay for the situation to last.
async fn start_in(situation: &str) -> (TestServer, Client, Vec<Client>) {
    let mut setup = Setup::default();
    // An endless answer lasts until it is aborted.
    setup.limits.slot_tokens = 20_000_000;
    setup.engine.ctx_size = 10_000_000;
    let mut others = Vec::new();
    let server = match situation {
        "" | "model that fails" => setup.start().await,
        "model that hangs" => {
            setup.stall_limit = Duration::from_millis(100);
            setup.start().await
        }
        "key required" => {
            let folder = tempfile::tempdir().unwrap();
            let path = folder.path().join("keys.toml");
            std::fs::write(&path, KEYS).unwrap();
            setup.server.keys = Keys::load(None, Some(path), AccountLimits::default()).unwrap();
            setup.start().await
        }
        "limit of one request" => {
            setup.server.address_limits.requests = at_most(1);
            setup.start().await
        }
        "small context" => {
            setup.engine.ctx_size = 32;
            setup.start().await
        }
        "all slots taken" | "queue full" => {
            setup.engine.max_queue = 1;
            // Slots that compute would be given up for other connections.
            let server = Setup { pace: Setup::by_hand().pace, ..setup }.start().await;
            let mut other = Client::connect(&server).await;
            for id in ["a", "b"] {
                other.send_endless(id).await;
            }
            server.step_until(|now| now.numbers.active == 2).await;
            if situation == "queue full" {
                other.send_endless("waits").await;
                server.until(|now| now.numbers.queued == 1).await;
                let mut other = Client::connect(&server).await;
                other.send_endless("waits in the reserve").await;
                server.until(|now| now.numbers.queued == 2).await;
                others.push(other);
            }
            others.push(other);
            server
        }
        "model still loading" => {
            let (loaded, load) = mpsc::channel();
            setup.load = Some(load);
            // The load never ends.
            std::mem::forget(loaded);
            setup.start().await
        }
        "shutting down" => {
            let server = Setup { pace: Setup::by_hand().pace, ..setup }.start().await;
            let mut other = Client::connect(&server).await;
            other.send_endless("last").await;
            server.until_held().await;
            server.model.drain();
            others.push(other);
            server
        }
        "client that does not read" => {
            setup.send_buffer = Some(4096);
            setup.engine.slow_client_grace = Duration::from_millis(20);
            let server = setup.start().await;
            let client = Client::connect_with_small_buffer(&server).await;
            return (server, client, others);
        }
        other => panic!("docs/PROTOCOL.md describes an unknown situation: {other}"),
    };
    let client = Client::connect(&server).await;
    (server, client, others)
}

/// Runs one conversation and returns the `op` of every frame that the server sent in it.
async fn run(conversation: &Conversation) -> BTreeSet<String> {
    let (server, mut client, others) = start_in(&conversation.situation).await;
    let does_not_read = conversation.situation == "client that does not read";
    let is_full = ["all slots taken", "queue full"].contains(&conversation.situation.as_str());
    let mut ops = BTreeSet::new();
    for (direction, text) in &conversation.lines {
        if *direction == '>' {
            client.send_text(text.clone()).await;
            if does_not_read {
                server.until(|now| now.numbers.active == 1).await;
                server.until(|now| now.numbers.active == 0).await;
            }
            if is_full {
                // The other clients wait in all places, if there is more than one.
                let n_queued = 2 * others.len() - 1;
                server.until(|now| now.numbers.queued == n_queued).await;
                server.pace.allow(1);
            }
            continue;
        }
        let example: Value = serde_json::from_str(text).unwrap();
        ops.insert(example["op"].as_str().unwrap().to_owned());
        let sent = match example["op"].as_str().unwrap() {
            "hello" => client.hello.clone(),
            "metrics" => client.expect_metrics(|_| true).await,
            op => loop {
                let frame = client.frame().await;
                // An answer may have more token frames than the example.
                let more = ["token", "reasoning", "progress"];
                let is_more = more.iter().any(|op| frame["op"] == *op);
                if !is_more || frame["op"] == op {
                    break frame;
                }
            },
        };
        assert_alike(&example, &sent, "");
    }
    ops
}

/// Asserts that both values have the same fields and types, recursively.
fn assert_alike(example: &Value, sent: &Value, path: &str) {
    let name = path.rsplit('.').next().unwrap_or_default();
    // The `id` of a token is a number; only ids of requests must be equal.
    if EXACT.contains(&name) && !(name == "id" && example.is_number()) {
        assert_eq!(example, sent, "{path}");
    }
    match (example, sent) {
        (Value::Object(example), Value::Object(sent)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<BTreeSet<_>>()
            };
            assert_eq!(names(example), names(sent), "{path}");
            for (name, value) in example {
                assert_alike(value, &sent[name], &format!("{path}.{name}"));
            }
        }
        (Value::Array(example), Value::Array(sent)) => {
            for (example, sent) in example.iter().zip(sent) {
                assert_alike(example, sent, &format!("{path}[]"));
            }
        }
        // A throughput is null if no time has passed.
        (Value::Number(_), Value::Null) | (Value::Null, Value::Number(_))
            if name.ends_with("tps") => {}
        _ => assert_eq!(
            std::mem::discriminant(example),
            std::mem::discriminant(sent),
            "{path}: the document has {example}, the server sent {sent}"
        ),
    }
}

#[tokio::test]
async fn every_conversation_in_the_document_works() {
    let conversations = conversations();
    let mut ops = BTreeSet::new();
    for conversation in &conversations {
        ops.append(&mut run(conversation).await);
    }
    for op in [
        "hello",
        "token",
        "end",
        "error",
        "queued",
        "progress",
        "metrics",
        "metrics_subscribed",
        "metrics_unsubscribed",
        "authenticated",
        "pong",
        "reasoning",
        "tool_call",
    ] {
        assert!(ops.contains(op), "docs/PROTOCOL.md has no example of {op}");
    }
}

#[test]
fn every_error_code_is_documented_with_an_example() {
    let examples: BTreeSet<String> = conversations()
        .iter()
        .flat_map(|conversation| &conversation.lines)
        .filter_map(|(_, text)| serde_json::from_str::<Value>(text).ok())
        .filter_map(|frame| frame["code"].as_str().map(str::to_owned))
        .collect();
    for code in Code::ALL.iter().filter(|code| code.is_error()).map(|code| code.as_str()) {
        assert!(DOCUMENT.contains(&format!("| `{code}` |")), "{code} is not in the table");
        assert!(examples.contains(code), "{code} has no example");
    }
}
