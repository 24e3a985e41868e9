//! The plans that a server computes at `/plan`.

use serde_json::Value;

use crate::process::Daemon;

use super::plan_json;

/// The JSON that the server answers with.
async fn served(daemon: &Daemon, path: &str) -> Value {
    let page = daemon.page(path).await;
    serde_json::from_str(page.split("\r\n\r\n").last().unwrap()).unwrap()
}

#[tokio::test]
async fn served_plan_is_that_of_the_command_with_the_same_options() {
    let daemon = Daemon::start(&["--ctx-size", "256", "--parallel", "2"]);
    for (path, args) in [
        ("/plan?vram=8GB", ["--ctx-size", "256", "--parallel", "2", "--vram", "8GB"]),
        ("/plan?vram=1GB&ctx_size=512", ["--ctx-size", "512", "--parallel", "2", "--vram", "1GB"]),
    ] {
        assert_eq!(served(&daemon, path).await, plan_json(&args), "{path}");
    }
    let plan = served(&daemon, "/plan").await;
    assert_eq!((&plan["ctx_size"], &plan["parallel"]), (&256.into(), &2.into()));
}

#[tokio::test]
async fn options_that_do_not_fit_the_model_are_refused_with_the_reason() {
    let daemon = Daemon::start(&[]);
    for (path, words) in [
        ("/plan?ctx_size=4000000000", "ctx_size 4000000000"),
        ("/plan?kv_type=q9", "q9"),
        ("/plan?draft=/etc/passwd", "there is no parameter draft"),
    ] {
        let answer = served(&daemon, path).await;
        let message = answer["error"]["message"].as_str().unwrap();
        assert!(message.contains(words) && !message.contains('\n'), "{message}");
    }
}
