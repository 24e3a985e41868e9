//! Requests and their answers: text, finish reasons, ids, queue positions, progress, logprobs.

use std::collections::HashMap;
use std::sync::mpsc;

use inference_core::domain::EngineState;

use serde_json::{Value, json};

use crate::common::{Client, Setup, TestServer};

#[tokio::test]
async fn hello_is_the_first_frame_and_describes_the_server() {
    let server = TestServer::start().await;
    let client = Client::connect(&server).await;
    let expected = json!({
        "op": "hello", "protocol": 1, "server": "inference-core 0.1.0",
        "build": {"version": "0.1.0", "commit": "0000000", "llama_cpp": "none", "cpu_flags": "none"},
        "model": {"name": "scripted", "arch": "scripted", "params": 0, "size_bytes": 0,
                  "n_ctx_train": 1000, "chat": true, "demo": true},
        "ctx_size": 1000, "parallel": 2, "backend": "cpu", "gpu_layers": 0, "n_layers": 1,
        "auth": "ok",
    });
    assert_eq!(client.hello, expected);
}

#[tokio::test]
async fn hello_has_the_planned_gpu_layers_until_the_load_and_the_actual_after() {
    let (loaded, load) = mpsc::channel();
    let server = Setup { load: Some(load), offloaded: Some(2), ..Setup::default() }.start().await;
    let client = Client::connect(&server).await;
    assert_eq!(client.hello["gpu_layers"], 0);
    loaded.send(()).unwrap();
    server.until(|snapshot| snapshot.state == EngineState::Ready).await;
    let client = Client::connect(&server).await;
    assert_eq!(client.hello["gpu_layers"], 1, "without the output matrix");
}

#[tokio::test]
async fn prompt_is_answered_with_its_text_and_one_end() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let prompt = "Hola, ¿cómo estás? 🦀";
    client.send(json!({"op": "infer", "prompt": prompt})).await;
    let answer = client.expect_answer(None).await;
    assert_eq!(answer.text, prompt);
    assert_eq!(answer.end["finish_reason"], "stop");
    let stats = &answer.end["stats"];
    assert_eq!(stats["tokens"], prompt.len());
    assert_eq!(stats["prompt_tokens"], prompt.len());
    assert_eq!(stats["cached_tokens"], 0);
    for field in ["ttft_ms", "total_ms", "queue_ms", "prompt_ms"] {
        assert!(stats[field].is_u64(), "{field} in {stats}");
    }
    assert!(stats["ttft_ms"].as_u64() <= stats["total_ms"].as_u64());
    assert!(stats["tps"].is_f64() && stats["prompt_tps"].is_f64(), "{stats}");
    client.expect_quiet().await;
}

#[tokio::test]
async fn messages_are_rendered_with_the_chat_template() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let messages = json!([{"role": "system", "content": "a"}, {"role": "user", "content": "b"}]);
    client.send(json!({"op": "infer", "id": "chat", "messages": messages})).await;
    assert_eq!(client.expect_answer(Some("chat")).await.text, "system: a\nuser: b\n");
}

#[tokio::test]
async fn max_tokens_and_stop_strings_end_an_answer() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "abcdef", "params": {"max_tokens": 3}})).await;
    let answer = client.expect_answer(None).await;
    assert_eq!((answer.text.as_str(), &answer.end["finish_reason"]), ("abc", &json!("length")));

    client.send(json!({"op": "infer", "prompt": "abcdef", "params": {"stop": "de"}})).await;
    let answer = client.expect_answer(None).await;
    assert_eq!((answer.text.as_str(), &answer.end["finish_reason"]), ("abc", &json!("stop")));

    client.send(json!({"op": "infer", "prompt": "abcdef", "params": {"max_tokens": 0}})).await;
    let answer = client.expect_answer(None).await;
    assert_eq!((answer.text.as_str(), &answer.end["finish_reason"]), ("", &json!("length")));
    assert_eq!(answer.end["stats"]["ttft_ms"], Value::Null);
    assert_eq!(answer.end["stats"]["tps"], Value::Null);
}

#[tokio::test]
async fn cut_character_is_one_replacement_character_and_its_own_bytes_in_logprobs() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let params = json!({"max_tokens": 4, "logprobs": 1});
    client.send(json!({"op": "infer", "prompt": "a🐶", "params": params})).await;
    let answer = client.expect_answer(None).await;
    assert_eq!(
        (answer.text.as_str(), &answer.end["finish_reason"]),
        ("a\u{fffd}", &json!("length"))
    );
    let tokens = answer.frames.iter().filter_map(|frame| frame["logprobs"].as_array());
    let bytes: Vec<&Value> = tokens.flatten().map(|token| &token["bytes"]).collect();
    assert_eq!(bytes, [&json!([0x61]), &json!([0xf0]), &json!([0x9f]), &json!([0x90])]);
}

#[tokio::test]
async fn ignored_fields_are_named_in_the_end_frame_only() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let params = json!({"max_tokens": 1, "top_kk": 4});
    client.send(json!({"op": "infer", "prompt": "a", "max_tokens": 3, "params": params})).await;
    let answer = client.expect_answer(None).await;
    assert_eq!(
        answer.end["warnings"],
        json!([
            "max_tokens is ignored: send it in params",
            "params.top_kk is ignored: there is no such field; did you mean params.top_k?",
        ])
    );
    assert!(answer.frames.iter().all(|frame| frame.get("warnings").is_none()));

    let long = "x".repeat(20_000);
    let mut request =
        json!({"op": "infer", "id": "long", "prompt": "a", "params": {"max_tokens": 1}});
    request["n_predict"] = json!(long);
    client.send(request).await;
    let end = client.expect_terminal().await;
    assert_eq!(end["warnings"], json!(["n_predict is ignored: send params.max_tokens instead"]));

    client.send(json!({"op": "ping", "max_tokens": 3})).await;
    assert_eq!(client.expect("pong").await, json!({"op": "pong"}));
    client.send(json!({"op": "infer", "prompt": "a"})).await;
    assert_eq!(client.expect_answer(None).await.end.get("warnings"), None);
}

#[tokio::test]
async fn requests_sharing_a_connection_get_frames_with_their_id() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let prompts: HashMap<_, _> = ["a", "b", "c", "d", "e", "f"]
        .map(|id| (id.to_owned(), format!("I am {id}, ¡olé!")))
        .into();
    for (id, prompt) in &prompts {
        client.send(json!({"op": "infer", "id": id, "prompt": prompt})).await;
    }
    let mut texts: HashMap<String, String> = HashMap::new();
    let mut ended = 0;
    while ended < prompts.len() {
        let frame = client.frame().await;
        let text = texts.entry(frame["id"].as_str().unwrap().to_owned()).or_default();
        match frame["op"].as_str() {
            Some("token") => *text += frame["content"].as_str().unwrap(),
            Some("end") => ended += 1,
            op => assert_eq!(op, Some("queued"), "{frame}"),
        }
    }
    assert_eq!(texts, prompts);
}

#[tokio::test]
async fn request_without_id_runs_beside_requests_with_ids() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("named").await;
    client.send(json!({"op": "infer", "prompt": "loop without id"})).await;
    server.step_until(|now| now.numbers.active == 2).await;
    assert!(client.fence().await.iter().all(|frame| frame["op"] != "error"));
}

#[tokio::test]
async fn id_is_free_again_once_its_end_frame_was_received() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    for _ in 0..100 {
        client.send(json!({"op": "infer", "id": "again", "prompt": "x"})).await;
        assert_eq!(client.expect_answer(Some("again")).await.text, "x");
        client.send(json!({"op": "infer", "prompt": "y"})).await;
        assert_eq!(client.expect_answer(None).await.text, "y");
    }
}

#[tokio::test]
async fn waiting_request_is_told_its_queue_position() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    for id in ["a", "b"] {
        client.send_endless(id).await;
    }
    server.step_until(|now| now.numbers.active == 2).await;
    client.send(json!({"op": "infer", "id": "third", "prompt": "x"})).await;
    let queued = loop {
        server.pace.allow(1);
        let frame = client.frame().await;
        if frame["op"] == "queued" && frame["id"] == "third" {
            break frame;
        }
    };
    assert_eq!(queued, json!({"op": "queued", "id": "third", "position": 1}));
}

#[tokio::test]
async fn progress_frames_are_sent_on_request_only() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    let prompt = "x".repeat(800);
    let params = json!({"progress": true, "max_tokens": 1});
    client.send(json!({"op": "infer", "prompt": prompt, "params": params})).await;
    let answer = client.expect_answer(None).await;
    let progress: Vec<_> = answer.frames.iter().filter(|frame| frame["op"] == "progress").collect();
    assert!(!progress.is_empty(), "{answer:?}");
    for frame in progress {
        assert_eq!(frame["total"], 800);
        assert!(frame["processed"].as_u64() <= Some(800));
    }
    client.send(json!({"op": "infer", "prompt": prompt, "params": {"max_tokens": 1}})).await;
    let answer = client.expect_answer(None).await;
    assert!(answer.frames.iter().all(|frame| frame["op"] != "progress"), "{answer:?}");
}

#[tokio::test]
async fn logprobs_are_sent_on_request_only() {
    let server = TestServer::start().await;
    let mut client = Client::connect(&server).await;
    client.send(json!({"op": "infer", "prompt": "é", "params": {"logprobs": 1}})).await;
    let answer = client.expect_answer(None).await;
    let tokens: Vec<_> = answer
        .frames
        .iter()
        .flat_map(|frame| frame["logprobs"].as_array().cloned().unwrap_or_default())
        .collect();
    let one = |byte: u8| {
        json!({"token": "\u{FFFD}", "id": byte, "logprob": 0.0, "bytes": [byte],
               "top": [{"token": "\u{FFFD}", "id": byte, "logprob": 0.0, "bytes": [byte]}]})
    };
    assert_eq!(tokens[..2], "é".bytes().map(one).collect::<Vec<_>>());
    assert_eq!(answer.text, "é");

    client.send(json!({"op": "infer", "prompt": "é"})).await;
    let answer = client.expect_answer(None).await;
    assert!(answer.frames.iter().all(|frame| frame.get("logprobs").is_none()));
}

#[tokio::test]
async fn long_prompt_tokenized_on_another_thread_is_answered() {
    let mut setup = Setup::default();
    setup.limits.slot_tokens = 200_000;
    setup.engine.ctx_size = 100_000;
    let server = setup.start().await;
    let mut client = Client::connect(&server).await;
    let prompt = "x".repeat(50_000);
    for id in ["a", "b"] {
        let params = json!({"max_tokens": 2});
        client.send(json!({"op": "infer", "id": id, "prompt": prompt, "params": params})).await;
    }
    // The id is in use from the moment the frame was read.
    client.send(json!({"op": "infer", "id": "b", "prompt": "x"})).await;
    let mut ends = 0;
    let mut refusals = 0;
    while ends < 2 || refusals < 1 {
        let frame = client.frame().await;
        match frame["op"].as_str() {
            Some("end") => {
                assert_eq!(frame["stats"]["prompt_tokens"], 50_000);
                ends += 1;
            }
            Some("error") => {
                assert_eq!(frame["code"], "duplicate_id", "{frame}");
                refusals += 1;
            }
            _ => {}
        }
    }
    client.expect_quiet().await;
}
