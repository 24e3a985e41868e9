//! `/plan`: who may ask for plans, and what the answers look like.

use inference_core::domain::Right;
use inference_core::server::Planner;
use serde_json::json;

use crate::common::{KeyFile, Setup, TestServer, get_with, new_key};

/// A setup whose planner repeats what it was asked, and refuses `ctx_size` of 0.
fn with_planner() -> Setup {
    let mut setup = Setup::default();
    setup.server.planner = Some(Planner::new(|changes| {
        match changes.iter().any(|(name, value)| name == "ctx_size" && value == "0") {
            true => Err("--ctx-size 0 is too small".to_owned()),
            false => Ok(json!({ "asked": changes }).to_string()),
        }
    }));
    setup
}

#[tokio::test]
async fn plan_is_computed_for_the_options_in_the_address() {
    let server = with_planner().start().await;
    let response = get_with(server.address, "GET", "/plan", "").await;
    assert_eq!((response.status, response.json()), (200, json!({"asked": []})));
    assert_eq!(response.header("content-type"), Some("application/json"));
    let path = "/plan?ctx_size=8192&vram=3GB%2C8GB";
    let response = get_with(server.address, "GET", path, "").await;
    let expected = json!({"asked": [["ctx_size", "8192"], ["vram", "3GB,8GB"]]});
    assert_eq!((response.status, response.json()), (200, expected));
}

#[tokio::test]
async fn options_that_cannot_be_planned_are_refused_with_the_reason() {
    let server = with_planner().start().await;
    for (path, message) in [
        ("/plan?ctx_size=0", "--ctx-size 0 is too small"),
        ("/plan?ctx_size=%ff", "the parameters must be UTF-8"),
    ] {
        let response = get_with(server.address, "GET", path, "").await;
        let error = json!({
            "message": message,
            "type": "invalid_request_error",
            "param": null,
            "code": "invalid_params",
        });
        assert_eq!((response.status, response.json()), (400, json!({"error": error})), "{path}");
    }
    assert_eq!(get_with(server.address, "POST", "/plan", "").await.status, 405);
}

#[tokio::test]
async fn server_without_a_planner_says_so() {
    let server = TestServer::start().await;
    assert_eq!(get_with(server.address, "GET", "/plan", "").await.status, 404);
}

#[tokio::test]
async fn plan_needs_the_right_to_see_metrics() {
    let metrics = new_key("metrics", &[Right::Metrics]);
    let infer = new_key("infer", &[Right::Infer]);
    let file = KeyFile::new(&[&metrics, &infer]);
    let mut setup = with_planner();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let response = get_with(server.address, "GET", "/plan", "").await;
    assert_eq!(response.status, 401);
    assert_eq!(response.json()["error"]["code"], "invalid_api_key", "{response:?}");
    for (key, status) in [(&metrics, 200), (&infer, 403)] {
        let field = format!("Authorization: Bearer {}\r\n", key.key().reveal());
        let response = get_with(server.address, "GET", "/plan", &field).await;
        assert_eq!(response.status, status, "{response:?}");
    }
}

#[tokio::test]
async fn foreign_page_gets_no_plan_and_no_list() {
    let server = with_planner().start().await;
    let own = format!("Origin: http://{}\r\n", server.address);
    for path in ["/plan", "/plan?ctx_size=8192", "/requests", "/requests/r-1"] {
        let response =
            get_with(server.address, "GET", path, "Origin: http://evil.example\r\n").await;
        assert_eq!(response.status, 403, "{path}");
        assert_eq!(response.json()["error"]["type"], "permission_error", "{response:?}");
        assert_ne!(get_with(server.address, "GET", path, &own).await.status, 403, "{path}");
    }
}
