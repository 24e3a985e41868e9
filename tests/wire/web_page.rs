//! The web page at `/`, also of a program that was built without it.

use inference_core::domain::Right;

use crate::common::{Client, KeyFile, Setup, TestServer, get_with, http, new_key};

#[tokio::test]
async fn page_is_open_to_clients_without_a_key() {
    let key = new_key("web", &[Right::Infer]);
    let file = KeyFile::new(&[&key]);
    let mut setup = Setup::default();
    setup.server.keys = file.keys.clone();
    let server = setup.start().await;
    let page = get_with(server.address, "GET", "/", "").await;
    assert_eq!(page.status, 200, "{page:?}");
    assert!(page.body.contains("<title>inference-core</title>"), "{page:?}");
    for (name, value) in [
        ("content-type", "text/html; charset=utf-8"),
        ("x-content-type-options", "nosniff"),
        ("referrer-policy", "no-referrer"),
        ("cross-origin-resource-policy", "same-origin"),
    ] {
        assert_eq!(page.header(name), Some(value), "{name}");
    }
    let policy = page.header("content-security-policy").unwrap();
    assert!(policy.starts_with("default-src 'none';"), "{policy}");
    assert!(policy.contains("frame-ancestors 'none'") && !policy.contains("unsafe"), "{policy}");
}

#[tokio::test]
async fn head_of_the_page_is_that_of_the_page() {
    let server = TestServer::start().await;
    let page = get_with(server.address, "GET", "/", "").await;
    let head = get_with(server.address, "HEAD", "/", "").await;
    assert_eq!((head.status, head.body.as_str()), (200, ""));
    for name in ["content-type", "content-length", "content-security-policy", "etag"] {
        assert_eq!(head.header(name), page.header(name), "{name}");
    }
    assert_eq!(page.header("content-length"), Some(&*page.body.len().to_string()));
}

#[tokio::test]
async fn page_that_the_browser_has_is_not_sent_again() {
    let server = TestServer::start().await;
    let page = get_with(server.address, "GET", "/", "").await;
    // A program without the page has nothing to keep.
    let Some(tag) = page.header("etag") else {
        return assert_eq!(page.header("cache-control"), Some("no-store"));
    };
    assert_eq!(page.header("cache-control"), Some("no-cache"));
    let field = format!("If-None-Match: {tag}\r\n");
    let known = get_with(server.address, "GET", "/", &field).await;
    assert_eq!((known.status, known.body.as_str()), (304, ""));
}

#[tokio::test]
async fn page_is_refused_under_a_foreign_name() {
    let server = TestServer::start().await;
    let request = "GET / HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n";
    assert_eq!(http(server.address, request).await.0, 403);
}

#[tokio::test]
async fn server_without_the_page_still_opens_websockets() {
    let mut setup = Setup::default();
    setup.server.has_web = false;
    let server = setup.start().await;
    let page = get_with(server.address, "GET", "/", "").await;
    assert_eq!(page.status, 404);
    assert!(page.body.starts_with("not found: open a WebSocket"), "{page:?}");
    let mut client = Client::connect(&server).await;
    client.expect_metrics(|_| true).await;
}
