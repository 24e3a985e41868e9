//! Malformed and forbidden messages, and the errors and close codes that answer them.

use futures_util::SinkExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::common::{Client, Setup, TestServer};

#[tokio::test]
async fn bad_frame_gets_its_code_and_the_connection_stays_open() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let stops = json!({"op": "infer", "prompt": "x", "params": {"stop": vec!["x"; 10_000]}});
    let cases = [
        ("{", "bad_json"),
        ("", "bad_json"),
        (&"[".repeat(100_000), "bad_json"),
        (r#"{"op":"infer","prompt":"x","params":{"temp":NaN}}"#, "bad_json"),
        ("[]", "bad_frame"),
        ("{}", "bad_frame"),
        (r#"{"op":5}"#, "bad_frame"),
        (r#"{"op":"infer"}"#, "bad_frame"),
        (r#"{"op":"infer","prompt":5}"#, "bad_frame"),
        (r#"{"op":"infer","prompt":"x","messages":[]}"#, "bad_frame"),
        (r#"{"op":"infer","prompt":"x","id":5}"#, "bad_frame"),
        (r#"{"op":"infer","prompt":"x","params":5}"#, "bad_frame"),
        (r#"{"op":"dance"}"#, "unknown_op"),
        (r#"{"op":"infer","prompt":"x","params":{"temp":-1}}"#, "invalid_params"),
        (r#"{"op":"infer","prompt":"x","params":{"temp":"hot"}}"#, "invalid_params"),
        (r#"{"op":"infer","prompt":"x","params":{"top_k":40.5}}"#, "invalid_params"),
        (r#"{"op":"infer","prompt":"x","params":{"stop":""}}"#, "invalid_params"),
        (&stops.to_string(), "invalid_params"),
        (r#"{"op":"infer","prompt":"x","params":{"logit_bias":{"257":1}}}"#, "invalid_params"),
        (r#"{"op":"infer","messages":[]}"#, "invalid_params"),
        (r#"{"op":"infer","messages":[{"role":"god","content":"x"}]}"#, "invalid_params"),
        (r#"{"op":"infer","prompt":""}"#, "invalid_params"),
    ];
    for (text, code) in cases {
        client.send_text(text.to_owned()).await;
        client.expect_error(code).await;
    }
    client.send(json!({"op": "infer", "prompt": "x", "unknown": {"field": []}})).await;
    assert_eq!(client.expect_answer(None).await.text, "x");
}

#[tokio::test]
async fn error_about_a_request_carries_its_id() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for frame in [
        json!({"op": "infer", "id": "a", "prompt": "x", "params": {"seed": -2}}),
        json!({"op": "infer", "id": "a"}),
        json!({"op": "dance", "id": "a"}),
    ] {
        client.send(frame).await;
        assert_eq!(client.expect("error").await["id"], "a");
    }
    for text in [
        r#"{"op":"infer","prompt":"C:\dir","id":"a"}"#,
        r#"{"op":"infer","id":"a","prompt":"cut o"#,
    ] {
        client.send_text(text.to_owned()).await;
        assert_eq!(client.expect_error("bad_json").await["id"], "a");
    }
    // The refused frames did not occupy the id.
    client.send(json!({"op": "infer", "id": "a", "prompt": "x"})).await;
    client.expect_answer(Some("a")).await;
}

#[tokio::test]
async fn half_an_emoji_is_answered_as_the_replacement_character() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let text = r#"{"op":"infer","id":"q\ud83e","prompt":"fox \ud83e"}"#;
    client.send_text(text.to_owned()).await;
    assert_eq!(client.expect_answer(Some("q\u{fffd}")).await.text, "fox \u{fffd}");
}

#[tokio::test]
async fn longest_message_of_tiny_values_is_answered() {
    let mut setup = Setup::default();
    setup.server.max_message_bytes = 8 << 20;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    let tiny = vec![r#"{"":0}"#; 1_190_000].join(",");
    client.send_text(format!(r#"{{"op":"ping","x":[{tiny}]}}"#)).await;
    client.expect("pong").await;
    client.send_text(format!(r#"{{"op":"infer","id":"a","messages":[{tiny}]}}"#)).await;
    let error = client.expect_error("invalid_params").await;
    assert_eq!(error["id"], "a");
    assert!(error["message"].as_str().unwrap().contains("16384"), "{error}");
}

#[tokio::test]
async fn binary_message_is_explained_and_closed_with_1003() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.socket.send(Message::binary(b"{\"op\":\"ping\"}".to_vec())).await.unwrap();
    client.expect_error("bad_frame").await;
    client.expect_close(1003).await;
}

#[tokio::test]
async fn message_over_the_limit_is_explained_and_closed_with_1009() {
    let mut setup = Setup::default();
    setup.server.max_message_bytes = 100_000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    let fits = "x".repeat(100_000 - json!({"op": "ping", "pad": ""}).to_string().len());
    client.send(json!({"op": "ping", "pad": fits})).await;
    client.expect("pong").await;

    // Far more than socket buffers hold: it can only be sent if the server reads it.
    client.send_text("x".repeat(100_000_000)).await;
    let error = client.expect_error("bad_frame").await;
    assert!(error["message"].as_str().unwrap().contains("100000"), "{error}");
    client.expect_close(1009).await;
}

#[tokio::test]
async fn fragmented_message_is_joined_and_limited_like_any_other() {
    let mut setup = Setup::default();
    setup.server.max_message_bytes = 1000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    let fragment = |head: u8, text: &str| {
        let mut frame = vec![head, 0x80 | u8::try_from(text.len()).unwrap(), 0, 0, 0, 0];
        frame.extend(text.as_bytes());
        frame
    };
    let stream = client.socket.get_mut();
    stream.write_all(&fragment(0x01, r#"{"op":"#)).await.unwrap();
    stream.write_all(&fragment(0x80, r#""ping"}"#)).await.unwrap();
    client.expect("pong").await;

    let stream = client.socket.get_mut();
    stream.write_all(&fragment(0x01, &"x".repeat(100))).await.unwrap();
    for _ in 0..10 {
        stream.write_all(&fragment(0x00, &"x".repeat(100))).await.unwrap();
    }
    client.expect_error("bad_frame").await;
    client.expect_close(1009).await;
}

#[tokio::test]
async fn client_that_violates_the_protocol_does_not_disturb_others() {
    let server = Setup::by_hand().start().await;
    let mut valid = Client::connect(&server).await;
    valid.send(json!({"op": "infer", "prompt": "undisturbed"})).await;
    let mut invalid = Client::connect(&server).await;
    invalid.send_endless("a").await;
    server.step_until(|now| now.numbers.active == 2).await;
    invalid.socket.send(Message::Binary(Bytes::new())).await.unwrap();
    // A token frame of its request may come first.
    assert_eq!(invalid.expect_terminal().await["code"], "bad_frame");
    server.step_until(|now| now.numbers.active < 2).await;
    let end = invalid.expect_terminal().await;
    assert_eq!((&end["finish_reason"], &end["id"]), (&json!("abort"), &json!("a")));
    invalid.expect_close(1003).await;
    server.pace.allow(1000);
    assert_eq!(valid.expect_answer(None).await.text, "undisturbed");
}

#[tokio::test]
async fn flood_of_bad_frames_is_answered_frame_by_frame() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for _ in 0..1000 {
        client.send_text("nonsense".to_owned()).await;
    }
    let answers = client.fence().await;
    assert_eq!(answers.len(), 1000);
    assert!(answers.iter().all(|frame: &Value| frame["code"] == "bad_json"));
}
