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

/// The host of a request to a server on the loopback interface.
fn own(headers: &HeaderMap) -> Result<Authority, ForeignHeader> {
    own_host(headers, &OwnHosts::default())
}

fn is_own_host(host: &str) -> bool {
    own(&headers(&[(HOST, host)])).is_ok()
}

fn is_allowed(host: &str, origin: &str, allowed: &[&str]) -> bool {
    let headers = headers(&[(HOST, host), (ORIGIN, origin)]);
    let allowed: Vec<_> = allowed.iter().map(|origin| origin.parse().unwrap()).collect();
    check_origin(&headers, &own(&headers).unwrap(), false, &allowed).is_ok()
}

#[test]
fn loopback_host_is_accepted_in_every_spelling() {
    for host in [
        "localhost",
        "localhost:3000",
        "localhost:",
        "localhost.",
        "LOCALHOST.:3000",
        "[::1%lo]:3000",
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
        "localhost..",
        "[::1%]",
        "[fe80::1%25eth0]:3000",
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
    assert!(own(&HeaderMap::new()).is_err());
    assert!(own(&headers(&[(HOST, "localhost"), (HOST, "localhost")])).is_err());
    let not_ascii = HeaderValue::from_bytes(b"localhost\xFF").unwrap();
    assert!(own(&HeaderMap::from_iter([(HOST, not_ascii)])).is_err());
}

#[test]
fn refused_host_is_told_the_option_that_allows_it() {
    for (host, option) in [
        ("GPU-Box.:3000", "gpu-box"),
        ("192.168.1.5:3000", "192.168.1.5"),
        ("[FD00::5]:3000", "fd00::5"),
    ] {
        let headers = headers(&[(HOST, host)]);
        let refused = own(&headers).unwrap_err();
        let (_, found) = refused.reason().split_once("--allow-host ").unwrap();
        assert_eq!(found, option);
        let hosts = OwnHosts::new(vec![option.parse().unwrap()], Vec::new());
        assert!(own_host(&headers, &hosts).is_ok(), "{host}");
    }
    let refused = own(&headers(&[(HOST, "evil.com/x")])).unwrap_err();
    assert!(!refused.reason().contains("--allow-host"), "{refused:?}");
}

#[test]
fn page_of_an_encrypted_server_is_encrypted_too() {
    for (origin, is_secure, is_allowed) in [
        ("https://localhost:3000", true, true),
        ("http://localhost:3000", true, false),
        ("https://localhost:3000", false, true),
        ("http://localhost:3000", false, true),
    ] {
        let headers = headers(&[(HOST, "localhost:3000"), (ORIGIN, origin)]);
        let found = check_origin(&headers, &own(&headers).unwrap(), is_secure, &[]);
        assert_eq!(found.is_ok(), is_allowed, "{origin}");
    }
}

#[test]
fn page_of_the_visitors_machine_is_foreign_to_a_server_elsewhere() {
    let hosts = OwnHosts::new(vec!["gpu-box".parse().unwrap()], Vec::new());
    let is_allowed = |origin| {
        let headers = headers(&[(HOST, "gpu-box:3000"), (ORIGIN, origin)]);
        check_origin(&headers, &own_host(&headers, &hosts).unwrap(), false, &[]).is_ok()
    };
    assert!(is_allowed("http://gpu-box:3000"));
    assert!(!is_allowed("http://localhost:3000"));
}

#[test]
fn request_without_an_origin_is_accepted() {
    let headers = headers(&[(HOST, "localhost:3000")]);
    assert_eq!(check_origin(&headers, &own(&headers).unwrap(), false, &[]), Ok(()));
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
    let refused = check_origin(&headers, &own(&headers).unwrap(), false, &[]).unwrap_err();
    let (_, option) = refused.reason().split_once("--allow-origin ").unwrap();
    assert_eq!(option, "https://chat.example");
    assert!(is_allowed("localhost:3000", "HTTPS://Chat.Example:443", &[option]));
}

#[test]
fn reason_of_a_refusal_is_one_short_line() {
    let long = "x".repeat(10_000);
    for origin in ["null", "", "\"a\\", "app://a/b", &long, &format!("https://{long}")] {
        let headers = headers(&[(HOST, "localhost:3000"), (ORIGIN, origin)]);
        let refused = check_origin(&headers, &own(&headers).unwrap(), false, &[]).unwrap_err();
        assert!(refused.reason().len() < 500 && refused.reason().lines().count() == 1);
    }
    let refused = own(&headers(&[(HOST, &long)])).unwrap_err();
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
    let page = "http://localhost:3000";
    let headers = headers(&[(HOST, "localhost:3000"), (ORIGIN, page), (ORIGIN, page)]);
    assert!(check_origin(&headers, &own(&headers).unwrap(), false, &[]).is_err());
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
