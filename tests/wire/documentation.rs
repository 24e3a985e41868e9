//! `docs/PROTOCOL.md` as a test: every conversation in it is held with the daemon.
//!
//! A block that begins with ```` ```wire ```` is a conversation, and what follows on that line says
//! in which situation. What the daemon says must have the fields and types of the example; codes,
//! names and reasons must be the same, numbers and free text need not.

use std::collections::BTreeSet;
use std::sync::mpsc;
use std::time::Duration;

use inference_core::domain::Code;
use serde_json::Value;

use crate::common::{Client, Setup, TestServer};

const DOCUMENT: &str = include_str!("../../docs/PROTOCOL.md");

/// Fields whose example value is the only one.
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
                let (who, text) = line.split_once(' ').unwrap();
                (who.parse().unwrap(), text.to_owned())
            })
            .collect();
        found.push(Conversation { situation: situation.trim().to_owned(), lines });
    }
    found
}

/// A server in a situation, and a client that has just come.
async fn enter(situation: &str) -> (TestServer, Client, Vec<Client>) {
    let mut setup = Setup::default();
    // An endless answer lasts until it is aborted.
    setup.limits.kv_tokens = 20_000_000;
    setup.engine.ctx_size = 10_000_000;
    let mut others = Vec::new();
    let server = match situation {
        "" | "model that fails" => setup.start().await,
        "small context" => {
            setup.engine.ctx_size = 32;
            setup.start().await
        }
        "all slots taken" | "queue full" => {
            setup.engine.max_queue = 1;
            let server = setup.start().await;
            let mut other = Client::connect(&server).await;
            for id in ["a", "b"] {
                other.send_endless(id).await;
            }
            server.until(|now| now.numbers.active == 2).await;
            if situation == "queue full" {
                other.send_endless("waits").await;
                server.until(|now| now.numbers.queued == 1).await;
                let mut newcomer = Client::connect(&server).await;
                newcomer.send_endless("waits in the place for newcomers").await;
                server.until(|now| now.numbers.queued == 2).await;
                others.push(newcomer);
            }
            others.push(other);
            server
        }
        "model still loading" => {
            let (gate, load) = mpsc::channel();
            setup.load = Some(load);
            // The load never ends.
            std::mem::forget(gate);
            setup.start().await
        }
        "shutting down" => {
            let server = Setup { pace: Setup::by_hand().pace, ..setup }.start().await;
            let mut other = Client::connect(&server).await;
            other.send_endless("last").await;
            server.until_held().await;
            server.engine.drain();
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

/// Holds one conversation and gives the operations that occurred.
async fn hold(conversation: &Conversation) -> BTreeSet<String> {
    let (server, mut client, _others) = enter(&conversation.situation).await;
    let does_not_read = conversation.situation == "client that does not read";
    let mut ops = BTreeSet::new();
    for (who, text) in &conversation.lines {
        if *who == '>' {
            client.send_text(text.clone()).await;
            if does_not_read {
                server.until(|now| now.numbers.active == 1).await;
                server.until(|now| now.numbers.active == 0).await;
            }
            continue;
        }
        let example: Value = serde_json::from_str(text).unwrap();
        ops.insert(example["op"].as_str().unwrap().to_owned());
        let said = match example["op"].as_str().unwrap() {
            "hello" => client.hello.clone(),
            "metrics" => client.expect_metrics(|_| true).await,
            op => loop {
                let frame = client.frame().await;
                // An answer has as many token frames as it likes, and one in the example.
                let is_more = frame["op"] == "token" || frame["op"] == "progress";
                if !is_more || frame["op"] == op {
                    break frame;
                }
            },
        };
        assert_alike(&example, &said, "");
    }
    ops
}

/// The same fields and types all the way down.
fn assert_alike(example: &Value, said: &Value, path: &str) {
    let name = path.rsplit('.').next().unwrap_or_default();
    // The `id` of a token is a number, and not the name of a request.
    if EXACT.contains(&name) && !(name == "id" && example.is_number()) {
        assert_eq!(example, said, "{path}");
    }
    match (example, said) {
        (Value::Object(example), Value::Object(said)) => {
            let names = |object: &serde_json::Map<String, Value>| {
                object.keys().cloned().collect::<BTreeSet<_>>()
            };
            assert_eq!(names(example), names(said), "{path}");
            for (name, value) in example {
                assert_alike(value, &said[name], &format!("{path}.{name}"));
            }
        }
        (Value::Array(example), Value::Array(said)) => {
            for (example, said) in example.iter().zip(said) {
                assert_alike(example, said, &format!("{path}[]"));
            }
        }
        // A rate over no time at all is none.
        (Value::Number(_), Value::Null) | (Value::Null, Value::Number(_))
            if name.ends_with("tps") => {}
        _ => assert_eq!(
            std::mem::discriminant(example),
            std::mem::discriminant(said),
            "{path}: {example} or {said}"
        ),
    }
}

#[tokio::test]
async fn every_conversation_in_the_document_can_be_held() {
    let conversations = conversations();
    let mut ops = BTreeSet::new();
    for conversation in &conversations {
        ops.append(&mut hold(conversation).await);
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
        "pong",
    ] {
        assert!(ops.contains(op), "docs/PROTOCOL.md has no example of {op}");
    }
}

#[test]
fn every_error_code_stands_in_the_document_with_an_example() {
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
