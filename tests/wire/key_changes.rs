//! What happens to connections when the key file has changed.

use std::fs;

use inference_core::domain::Right;
use serde_json::{Value, json};

use crate::common::{Client, KeyFile, Setup, TestServer, http, new_key, upgrade_request};

const ALL: &[Right] = &Right::ALL;

/// A server that knows these keys.
async fn start(file: &KeyFile) -> TestServer {
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    setup.start().await
}

/// Asserts that the client may request text.
async fn expect_text(client: &mut Client) {
    client.send(json!({"op": "infer", "prompt": "one two"})).await;
    client.expect_answer(None).await;
}

#[tokio::test]
async fn revoked_key_ends_requests_and_closes_its_connections_only() {
    let [revoked, kept] = [new_key("revoked", ALL), new_key("kept", ALL)];
    let file = KeyFile::new(&[&revoked, &kept]);
    let mut setup = Setup::with_long_context();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let mut client = Client::connect_with_key(&server, &revoked).await;
    client.send_endless("a").await;
    while client.frame().await["op"] != "token" {}
    let mut idle = Client::connect(&server).await;
    idle.send_key(&revoked).await;
    idle.expect("authenticated").await;
    let mut other = Client::connect_with_key(&server, &kept).await;
    other.send_endless("b").await;

    file.replace(&[&kept]);
    let mut seen = Vec::new();
    while seen.len() < 2 {
        let frame = client.expect_terminal().await;
        let code = frame.get("code").or_else(|| frame.get("finish_reason"));
        seen.push(code.and_then(Value::as_str).unwrap().to_owned());
    }
    seen.sort();
    assert_eq!(seen, ["abort", "unauthorized"]);
    client.expect_close(4401).await;
    idle.expect_error("unauthorized").await;
    idle.expect_close(4401).await;
    let fields =
        format!("Host: {}\r\nAuthorization: Bearer {}\r\n", server.address, revoked.key().reveal());
    assert_eq!(http(server.address, &upgrade_request("/", &fields)).await.0, 401);
    while other.frame().await["op"] != "token" {}
    other.send(json!({"op": "abort"})).await;
    assert_eq!(other.expect_terminal().await["finish_reason"], "abort");
}

#[tokio::test]
async fn changed_key_closes_the_connections_of_the_one_before() {
    let [before, after] = [new_key("web", ALL), new_key("web", ALL)];
    let file = KeyFile::new(&[&before]);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &before).await;
    file.replace(&[&after]);
    client.expect_error("unauthorized").await;
    client.expect_close(4401).await;
    expect_text(&mut Client::connect_with_key(&server, &after).await).await;
}

#[tokio::test]
async fn changed_rights_count_at_once() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    let set_rights = |rights: &str| {
        let table = key.table();
        let (before, _) = table.split_once("rights = ").unwrap();
        fs::write(file.path(), format!("{before}rights = [{rights}]\n")).unwrap();
        file.keys.reload().unwrap();
    };
    set_rights("\"infer\"");
    client.send(json!({"op": "subscribe_metrics"})).await;
    client.expect_error("forbidden").await;
    client.send(json!({"op": "ping"})).await;
    assert_eq!(client.any_frame().await["op"], "pong", "no metrics frame");
    set_rights("\"metrics\"");
    client.expect_metrics(|_| true).await;
    client.send(json!({"op": "infer", "prompt": "x"})).await;
    client.expect_error("forbidden").await;
}

#[tokio::test]
async fn broken_key_file_leaves_the_keys_as_they_were() {
    let key = new_key("web", ALL);
    let file = KeyFile::new(&[&key]);
    let server = start(&file).await;
    let mut client = Client::connect_with_key(&server, &key).await;
    fs::write(file.path(), "[keys.web]\nhash = 7\n").unwrap();
    assert!(file.keys.reload().unwrap_err().to_string().contains("line 2"));
    expect_text(&mut client).await;
    expect_text(&mut Client::connect_with_key(&server, &key).await).await;
}
