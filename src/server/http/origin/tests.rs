//! Accepted and refused spellings of hosts and origins.

use axum::http::HeaderValue;

use super::*;

fn headers(fields: &[(HeaderName, &str)]) -> HeaderMap {
    let mut headers = HeaderMap::new();
    for (name, value) in fields {
        headers.append(name, HeaderValue::from_str(value).unwrap());
    }
    headers
}

fn is_own_host(host: &str) -> bool {
    own_host(&headers(&[(HOST, host)])).is_ok()
}

fn is_allowed(host: &str, origin: &str, allowed: &[&str]) -> bool {
    let headers = headers(&[(HOST, host), (ORIGIN, origin)]);
    let allowed: Vec<_> = allowed.iter().map(|origin| origin.parse().unwrap()).collect();
    check_origin(&headers, &own_host(&headers).unwrap(), &allowed).is_ok()
}

#[test]
fn loopback_host_is_accepted_in_every_spelling() {
    for host in [
        "localhost",
        "localhost:3000",
        "localhost:",
        "LocalHost:1",
        "chat.localhost",
        "a.b.localhost:3000",
        "127.0.0.1",
        "127.0.0.1:3000",
        "127.9.8.7:80",
        "[::1]",
        "[::1]:3000",
        "[0:0:0:0:0:0:0:1]",
    ] {
        assert!(is_own_host(host), "{host}");
    }
}

#[test]
fn foreign_host_is_refused_in_every_disguise() {
    for host in [
        "",
        "evil.com",
        "evil.com:3000",
        "localhost.evil.com",
        "evillocalhost",
        ".localhost",
        "127.0.0.1.evil.com",
        "127.0.0.1@evil.com",
        "localhost@evil.com:3000",
        "evil.com#localhost",
        "evil.com/localhost",
        "localhost:70000",
        "localhost:+80",
        "localhost:80:80",
        "localhost evil.com",
        "0.0.0.0",
        "192.168.1.2:3000",
        "128.0.0.1",
        "127.1",
        "::1",
        "[::1",
        "[::1]evil.com",
        "[::2]:3000",
        "[evil.com]",
    ] {
        assert!(!is_own_host(host), "{host}");
    }
}

#[test]
fn host_must_be_present_once_and_ascii() {
    assert!(own_host(&HeaderMap::new()).is_err());
    assert!(own_host(&headers(&[(HOST, "localhost"), (HOST, "localhost")])).is_err());
    let not_ascii = HeaderValue::from_bytes(b"localhost\xFF").unwrap();
    assert!(own_host(&HeaderMap::from_iter([(HOST, not_ascii)])).is_err());
}

#[test]
fn request_without_an_origin_is_accepted() {
    let headers = headers(&[(HOST, "localhost:3000")]);
    assert_eq!(check_origin(&headers, &own_host(&headers).unwrap(), &[]), Ok(()));
}

#[test]
fn origins_of_the_servers_own_pages_are_accepted() {
    for (host, origin) in [
        ("localhost:3000", "http://localhost:3000"),
        ("localhost:3000", "HTTP://LOCALHOST:3000"),
        ("localhost:3000", "http://127.0.0.1:3000"),
        ("127.0.0.1:3000", "http://[::1]:3000"),
        ("[::1]:3000", "https://localhost:3000"),
        ("localhost", "http://localhost"),
        ("localhost", "http://localhost:80"),
        ("localhost:80", "http://localhost"),
        ("chat.localhost", "https://chat.localhost"),
    ] {
        assert!(is_allowed(host, origin, &[]), "{host} {origin}");
    }
}

#[test]
fn foreign_origin_is_refused_in_every_disguise() {
    for origin in [
        "null",
        "",
        "http://evil.com",
        "http://evil.com:3000",
        "http://localhost",
        "http://localhost:3001",
        "https://localhost",
        "http://localhost.evil.com",
        "http://localhost.evil.com:3000",
        "http://127.0.0.1.evil.com:3000",
        "http://evil.com#localhost:3000",
        "http://evil.com#localhost",
        "http://evil.com/?http://localhost:3000",
        "http://localhost:3000@evil.com",
        "http://localhost:3000/",
        "http://localhost:3000#",
        "http://user@localhost:3000",
        "http://localhost:3000 http://evil.com",
        "file://localhost:3000",
        "ws://localhost:3000",
        "localhost:3000",
        "//localhost:3000",
        "http://",
    ] {
        assert!(!is_allowed("localhost:3000", origin, &[]), "{origin}");
    }
}

#[test]
fn refused_page_is_told_the_option_that_allows_it() {
    let headers = headers(&[(HOST, "localhost:3000"), (ORIGIN, "HTTPS://Chat.Example:443")]);
    let refused = check_origin(&headers, &own_host(&headers).unwrap(), &[]).unwrap_err();
    let (_, option) = refused.reason().split_once("--allow-origin ").unwrap();
    assert_eq!(option, "https://chat.example");
    assert!(is_allowed("localhost:3000", "HTTPS://Chat.Example:443", &[option]));
}

#[test]
fn reason_of_a_refusal_is_one_short_line() {
    let long = "x".repeat(10_000);
    for origin in ["null", "", "\"a\\", "app://a/b", &long, &format!("https://{long}")] {
        let headers = headers(&[(HOST, "localhost:3000"), (ORIGIN, origin)]);
        let refused = check_origin(&headers, &own_host(&headers).unwrap(), &[]).unwrap_err();
        assert!(refused.reason().len() < 500 && refused.reason().lines().count() == 1);
    }
    let refused = own_host(&headers(&[(HOST, &long)])).unwrap_err();
    assert!(refused.reason().len() < 500, "{refused:?}");
}

#[test]
fn page_of_an_app_is_never_a_page_of_this_server() {
    for origin in ["app://localhost:3000", "file://", "tauri://localhost", "capacitor://localhost"]
    {
        assert!(!is_allowed("localhost:3000", origin, &[]), "{origin}");
        assert!(!is_allowed("localhost", origin, &["app://obsidian.md"]), "{origin}");
        assert!(is_allowed("localhost:3000", origin, &[origin]), "{origin}");
    }
}

#[test]
fn repeated_origin_is_refused() {
    let own = "http://localhost:3000";
    let headers = headers(&[(HOST, "localhost:3000"), (ORIGIN, own), (ORIGIN, own)]);
    assert!(check_origin(&headers, &own_host(&headers).unwrap(), &[]).is_err());
}

#[test]
fn listed_origin_is_accepted_and_similar_ones_are_refused() {
    let allowed = ["https://chat.example", "http://tool.example:8080"];
    for origin in ["https://chat.example", "https://CHAT.example:443", "http://tool.example:8080"] {
        assert!(is_allowed("localhost:3000", origin, &allowed), "{origin}");
    }
    for origin in [
        "http://chat.example",
        "https://chat.example:444",
        "https://chat.example.evil.com",
        "https://evil.chat.example",
        "http://tool.example",
    ] {
        assert!(!is_allowed("localhost:3000", origin, &allowed), "{origin}");
    }
}
