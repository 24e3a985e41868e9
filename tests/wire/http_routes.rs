//! HTTP pages: `/healthz`, `/readyz`, and what is not found.

use std::io::{Read, Write};
use std::sync::mpsc;

use tokio::runtime::Builder;

use crate::common::{Client, GUARD, Setup, TestServer, http, http_get};

#[tokio::test]
async fn idle_server_is_healthy_and_ready() {
    let server = TestServer::start().await;
    let (status, text) = http_get(server.address, "/healthz").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("{\"state\":\"idle\"}\n"), "{text}");
    assert!(text.to_lowercase().contains("content-type: application/json"), "{text}");
    let (status, text) = http_get(server.address, "/readyz").await;
    assert_eq!(status, 200);
    assert!(text.ends_with("{\"ready\":true}\n"), "{text}");
}

#[tokio::test]
async fn loading_server_is_neither_healthy_nor_ready() {
    let (loaded, load) = mpsc::channel();
    let server = Setup { load: Some(load), ..Setup::default() }.start().await;
    for path in ["/healthz", "/health"] {
        let (status, text) = http_get(server.address, path).await;
        assert_eq!(status, 503);
        assert!(text.ends_with("{\"state\":\"loading\"}\n"), "{text}");
    }
    let (status, text) = http_get(server.address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(text.ends_with("{\"ready\":false,\"reason\":\"loading\"}\n"), "{text}");
    drop(loaded);
}

#[tokio::test]
async fn draining_server_is_healthy_and_not_ready() {
    let server = Setup::by_hand().start().await;
    let mut client = Client::connect(&server).await;
    client.send_endless("a").await;
    server.until_held().await;
    server.model.drain();
    server.pace.allow(1);
    client.expect_metrics(|inference| inference["state"] == "draining").await;
    assert_eq!(http_get(server.address, "/healthz").await.0, 200);
    let (status, text) = http_get(server.address, "/readyz").await;
    assert_eq!(status, 503);
    assert!(text.ends_with("{\"ready\":false,\"reason\":\"draining\"}\n"), "{text}");
}

#[tokio::test]
async fn every_page_says_what_browsers_may_do_with_it() {
    let server = TestServer::start().await;
    let own = format!("Host: {}\r\n", server.address);
    for (head, host, expected) in [
        ("GET /healthz", own.as_str(), 200),
        ("GET /readyz", &own, 200),
        ("GET /metrics", &own, 200),
        ("HEAD /healthz", &own, 200),
        ("GET /nothing", &own, 404),
        ("GET /healthz", "Host: evil.com\r\n", 403),
        ("POST /healthz", &own, 405),
        ("GET /", &format!("{own}Upgrade: websocket\r\n"), 400),
    ] {
        let request = format!("{head} HTTP/1.1\r\n{host}Connection: close\r\n\r\n");
        let (status, text) = http(server.address, &request).await;
        assert_eq!(status, expected, "{request}");
        for header in [
            "x-content-type-options: nosniff\r\n",
            "cross-origin-resource-policy: same-origin\r\n",
            "content-security-policy: default-src 'none'; frame-ancestors 'none'\r\n",
            "referrer-policy: no-referrer\r\n",
            "cache-control: no-store\r\n",
        ] {
            assert!(text.contains(header), "{request} {header} {text}");
        }
    }
}

#[tokio::test]
async fn unknown_paths_and_methods_are_refused() {
    let server = TestServer::start().await;
    for path in ["/index.html", "/metrics/more", "/healthz/", "/%00", "/..", "/favicon.ico"] {
        assert_eq!(http_get(server.address, path).await.0, 404, "{path}");
    }
    let fields = format!("Host: {}\r\nConnection: close\r\n", server.address);
    let post = format!("POST /healthz HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\nhi");
    assert_eq!(http(server.address, &post).await.0, 405);
    let post = format!("POST / HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\nhi");
    assert_eq!(http(server.address, &post).await.0, 405);
    let post = format!("POST /nothing HTTP/1.1\r\n{fields}Content-Length: 2\r\n\r\nhi");
    assert_eq!(http(server.address, &post).await.0, 404);
    let (status, _) = http(server.address, "nonsense\r\n\r\n").await;
    assert_eq!(status, 400);
    let long = format!("GET / HTTP/1.1\r\n{fields}X-Long: {}\r\n\r\n", "x".repeat(100_000));
    assert_eq!(http(server.address, &long).await.0, 431);
}

#[tokio::test]
async fn page_is_served_while_the_thread_of_websockets_is_blocked() {
    let pages = Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap();
    let server = Setup { pages: Some(pages.handle().clone()), ..Setup::default() }.start().await;
    let mut client = Client::connect(&server).await;
    client.expect_quiet().await;
    // Blocks the thread of this test, which also serves WebSockets.
    let mut stream = std::net::TcpStream::connect(server.address).unwrap();
    stream.set_read_timeout(Some(GUARD)).unwrap();
    let request = b"GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request).unwrap();
    let mut answer = String::new();
    stream.read_to_string(&mut answer).unwrap();
    assert!(answer.starts_with("HTTP/1.1 200"), "{answer}");
    client.expect_quiet().await;
    pages.shutdown_background();
}
