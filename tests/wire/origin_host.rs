//! Which requests may open a WebSocket: checks of `Host`, `Origin` and the upgrade fields.

use crate::common::{Setup, TestServer, http, http_get, upgrade_request};

async fn status(server: &TestServer, path: &str, fields: &str) -> u16 {
    let (status, text) = http(server.address, &upgrade_request(path, fields)).await;
    if status == 403 {
        let (_, body) = text.split_once("\r\n\r\n").unwrap();
        assert_eq!(body.lines().count(), 1, "{text}");
    }
    status
}

#[tokio::test]
async fn websocket_opens_on_any_path() {
    let server = TestServer::start().await;
    let host = format!("Host: {}\r\n", server.address);
    for path in ["/", "/ws", "/healthz", "/a/b?c=d"] {
        let (status, text) = http(server.address, &upgrade_request(path, &host)).await;
        assert_eq!(status, 101, "{path}");
        // The example of RFC 6455, section 1.3.
        let accept = "sec-websocket-accept: s3pPLMBiTxaQ9kYGzzhZRbK+xOo=";
        assert!(text.to_lowercase().contains(&accept.to_lowercase()), "{text}");
    }
}

#[tokio::test]
async fn host_header_must_name_this_machine() {
    let server = TestServer::start().await;
    let port = server.address.port();
    for host in ["localhost", "chat.localhost:80", "127.0.0.2:9999", "[::1]:3000"] {
        assert_eq!(status(&server, "/", &format!("Host: {host}\r\n")).await, 101, "{host}");
    }
    for host in ["evil.com", "localhost.evil.com", "127.0.0.1.evil.com", "10.0.0.1", ""] {
        let field = format!("Host: {host}:{port}\r\n");
        assert_eq!(status(&server, "/", &field).await, 403, "{host}");
    }
    assert_eq!(status(&server, "/", "").await, 403, "no Host");
}

#[tokio::test]
async fn origin_header_must_be_this_server_or_allowed() {
    let mut setup = Setup::default();
    setup.server.allowed_origins = vec!["https://chat.example".parse().unwrap()];
    let server = setup.start().await;
    let port = server.address.port();
    let host = format!("Host: localhost:{port}\r\n");
    for origin in [
        format!("http://localhost:{port}"),
        format!("http://127.0.0.1:{port}"),
        "https://chat.example".to_owned(),
    ] {
        let fields = format!("{host}Origin: {origin}\r\n");
        assert_eq!(status(&server, "/", &fields).await, 101, "{origin}");
    }
    for origin in [
        "null".to_owned(),
        "http://evil.com".to_owned(),
        format!("http://localhost.evil.com:{port}"),
        format!("http://127.0.0.1.evil.com:{port}"),
        format!("http://evil.com#localhost:{port}"),
        format!("http://localhost:{}", port.wrapping_add(1)),
        "http://chat.example".to_owned(),
    ] {
        let fields = format!("{host}Origin: {origin}\r\n");
        assert_eq!(status(&server, "/", &fields).await, 403, "{origin}");
    }
}

#[tokio::test]
async fn origins_of_apps_are_accepted_if_they_are_allowed() {
    let mut setup = Setup::default();
    let allowed = [
        "app://obsidian.md",
        "null",
        "https://chat.example/",
        "vscode-webview://*",
        "chrome-extension://abcdefghijklmnopabcdefghijklmnop",
        "moz-extension://*",
        "http://localhost:*",
    ];
    setup.server.allowed_origins = allowed.iter().map(|text| text.parse().unwrap()).collect();
    let server = setup.start().await;
    let host = format!("Host: {}\r\n", server.address);
    for (origin, expected) in [
        ("app://obsidian.md", 101),
        ("null", 101),
        ("https://chat.example", 101),
        ("vscode-webview://1q2w3e", 101),
        ("chrome-extension://abcdefghijklmnopabcdefghijklmnop", 101),
        ("chrome-extension://ponmlkjihgfedcbaponmlkjihgfedcba", 403),
        ("moz-extension://2c127fa4-62c7-7e4f-90e5-472b45eecfdc", 101),
        ("http://localhost:5173", 101),
        ("http://localhost", 101),
        ("https://localhost:5173", 403),
        ("http://localhost.evil.com:5173", 403),
        ("app://evil.md", 403),
        ("file://", 403),
        ("https://chat.example/", 403),
        ("https://evil.com", 403),
    ] {
        let fields = format!("{host}Origin: {origin}\r\n");
        assert_eq!(status(&server, "/", &fields).await, expected, "{origin}");
    }
}

#[tokio::test]
async fn refusal_is_plain_text_with_its_reason_and_counted() {
    let server = TestServer::start().await;
    let counts = async |server: &TestServer| {
        let (_, page) = http_get(server.address, "/metrics").await;
        ["host", "origin"].map(|header| {
            let name = format!("inference_core_http_refused_total{{header=\"{header}\"}} ");
            let value = page.lines().find_map(|line| line.strip_prefix(&name)).unwrap();
            value.parse::<f64>().unwrap()
        })
    };
    assert_eq!(counts(&server).await, [0.0, 0.0]);
    let host = format!("Host: {}\r\n", server.address);
    let fields = format!("{host}Origin: https://chat.example\r\n");
    let (status, text) = http(server.address, &upgrade_request("/", &fields)).await;
    assert_eq!(status, 403);
    assert!(text.contains("--allow-origin https://chat.example"), "{text}");
    assert!(text.to_lowercase().contains("content-type: text/plain"), "{text}");
    assert_eq!(counts(&server).await, [0.0, 1.0]);
    let request = "GET /metrics HTTP/1.1\r\nHost: gpu-box:3000\r\nConnection: close\r\n\r\n";
    let (status, text) = http(server.address, request).await;
    assert_eq!(status, 403);
    assert!(text.contains("\"gpu-box:3000\"") && text.contains("localhost"), "{text}");
    assert_eq!(counts(&server).await, [1.0, 1.0]);
}

#[tokio::test]
async fn methods_that_do_more_than_read_check_the_origin() {
    let server = TestServer::start().await;
    let port = server.address.port();
    for (method, origin, expected) in [
        ("GET", "https://evil.com".to_owned(), 200),
        ("HEAD", "https://evil.com".to_owned(), 200),
        ("POST", "https://evil.com".to_owned(), 403),
        ("PUT", "null".to_owned(), 403),
        ("DELETE", "https://evil.com".to_owned(), 403),
        ("OPTIONS", "https://evil.com".to_owned(), 403),
        ("BREW", "https://evil.com".to_owned(), 403),
        ("POST", format!("http://localhost:{port}"), 405),
    ] {
        let request = format!(
            "{method} /healthz HTTP/1.1\r\nHost: localhost:{port}\r\nOrigin: {origin}\r\n\
             Connection: close\r\nContent-Length: 0\r\n\r\n"
        );
        assert_eq!(http(server.address, &request).await.0, expected, "{request}");
    }
}

#[tokio::test]
async fn host_is_checked_in_every_form_of_a_request() {
    let mut setup = Setup::default();
    let allowed = ["gpu-box", "*.example.org"];
    setup.server.allowed_hosts = allowed.iter().map(|host| host.parse().unwrap()).collect();
    let server = setup.start().await;
    for (request_line, hosts, expected) in [
        ("GET /healthz HTTP/1.1", "Host: gpu-box\r\n", 200),
        ("GET /healthz HTTP/1.1", "Host: GPU-BOX:99\r\n", 200),
        ("GET /healthz HTTP/1.1", "Host: gpu-box.\r\n", 200),
        ("GET /healthz HTTP/1.1", "Host: a.example.org.:80\r\n", 200),
        ("GET /healthz HTTP/1.1", "Host: example.org\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: gpu-box.evil.com\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: 127.0.0.1\r\n", 200),
        ("GET /healthz HTTP/1.1", "Host: [::1%25lo]:3000\r\n", 200),
        ("GET /healthz HTTP/1.1", "Host: [fe80::1%25eth0]\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: 192.168.1.5\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: gpu-box\r\nHost: gpu-box\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: gpu-box\r\nHost: evil.com\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: gpu-box, evil.com\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host:\r\n", 403),
        ("GET /healthz HTTP/1.1", "", 403),
        ("GET /healthz HTTP/1.0", "", 403),
        ("GET /healthz HTTP/1.0", "Host: gpu-box\r\n", 200),
        // In a request with an absolute URI, its host counts as well.
        ("GET http://gpu-box/healthz HTTP/1.1", "Host: gpu-box\r\n", 200),
        ("GET http://GPU-box:80/healthz HTTP/1.1", "Host: localhost\r\n", 200),
        ("GET http://evil.com/healthz HTTP/1.1", "Host: gpu-box\r\n", 403),
        ("GET http://localhost@evil.com/healthz HTTP/1.1", "Host: gpu-box\r\n", 403),
        ("GET http://evil.com@localhost/healthz HTTP/1.1", "Host: gpu-box\r\n", 403),
        ("GET http://gpu-box/healthz HTTP/1.1", "Host: evil.com\r\n", 403),
        ("GET http://gpu-box/healthz HTTP/1.1", "", 403),
        // Only a trusted proxy may name another host.
        ("GET /healthz HTTP/1.1", "Host: evil.com\r\nX-Forwarded-Host: gpu-box\r\n", 403),
        ("GET /healthz HTTP/1.1", "Host: gpu-box\r\nX-Forwarded-Host: evil.com\r\n", 200),
    ] {
        let request = format!("{request_line}\r\n{hosts}Connection: close\r\n\r\n");
        let (status, text) = http(server.address, &request).await;
        assert_eq!(status, expected, "{request}{text}");
    }
}

#[tokio::test]
async fn refused_host_is_told_the_option_that_allows_it() {
    let server = TestServer::start().await;
    let request = "GET /metrics HTTP/1.1\r\nHost: GPU-box:3000\r\nConnection: close\r\n\r\n";
    let (status, text) = http(server.address, request).await;
    assert_eq!(status, 403);
    assert!(text.ends_with("--allow-host gpu-box\n"), "{text}");
}

#[tokio::test]
async fn pages_check_the_host_header() {
    let server = TestServer::start().await;
    let request = "GET /healthz HTTP/1.1\r\nHost: evil.com\r\nConnection: close\r\n\r\n";
    assert_eq!(http(server.address, request).await.0, 403);
    assert_eq!(http_get(server.address, "/healthz").await.0, 200);
}

#[tokio::test]
async fn malformed_upgrade_request_is_explained() {
    let server = TestServer::start().await;
    let host = format!("Host: {}\r\n", server.address);
    let valid = upgrade_request("/", &host);
    let replaced = |from: &str, to: &str| {
        assert!(valid.contains(from));
        valid.replace(from, to)
    };
    let cases = [
        (replaced("Sec-WebSocket-Version: 13\r\n", ""), 426),
        (replaced("Version: 13", "Version: 8"), 426),
        (replaced("Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n", ""), 400),
        (replaced("dGhlIHNhbXBsZSBub25jZQ==", "c2hvcnQ="), 400),
        (replaced("dGhlIHNhbXBsZSBub25jZQ==", "!!!!IHNhbXBsZSBub25jZQ=="), 400),
        (replaced("Connection: Upgrade, close", "Connection: close"), 400),
        (replaced("Upgrade: websocket", "Upgrade: h2c"), 200),
        (replaced("GET", "POST"), 405),
    ];
    for (request, expected) in cases {
        let (status, text) = http(server.address, &request).await;
        assert_eq!(status, expected, "{request}{text}");
        if expected == 426 {
            assert!(text.to_lowercase().contains("sec-websocket-version: 13"), "{text}");
        }
    }
}
