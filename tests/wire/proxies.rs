//! Headers of reverse proxies, from proxies that are trusted and from clients that pretend.

use crate::common::{Setup, TestServer, http, upgrade_request};

/// A server behind a proxy at `proxy`, which serves `chat.example.org`.
async fn behind(proxy: &str) -> TestServer {
    let mut setup = Setup::default();
    setup.server.trusted_proxies = vec![proxy.parse().unwrap()];
    setup.server.allowed_hosts = vec!["chat.example.org".parse().unwrap()];
    setup.start().await
}

async fn status(server: &TestServer, fields: &str) -> u16 {
    http(server.address, &upgrade_request("/", fields)).await.0
}

#[tokio::test]
async fn page_of_the_proxys_host_may_connect_through_it() {
    let server = behind("127.0.0.1").await;
    let https = "X-Forwarded-Proto: https\r\n";
    let forwarded = "Host: localhost:3000\r\nX-Forwarded-Host: chat.example.org\r\n";
    for (fields, expected) in [
        (format!("Host: chat.example.org\r\n{https}Origin: https://chat.example.org\r\n"), 101),
        (format!("{forwarded}{https}Origin: https://chat.example.org\r\n"), 101),
        (format!("{forwarded}{https}Origin: http://chat.example.org\r\n"), 403),
        (format!("{forwarded}{https}Origin: http://localhost:3000\r\n"), 403),
        (format!("{forwarded}{https}Origin: https://evil.com\r\n"), 403),
        (
            "Host: localhost:3000\r\nForwarded: for=1.2.3.4;host=chat.example.org;proto=https\r\n\
             Origin: https://chat.example.org\r\n"
                .to_owned(),
            101,
        ),
    ] {
        assert_eq!(status(&server, &fields).await, expected, "{fields}");
    }
}

#[tokio::test]
async fn host_that_is_foreign_is_refused_through_a_proxy_as_well() {
    let server = behind("127.0.0.1").await;
    for fields in [
        "Host: evil.com\r\n",
        "Host: evil.com\r\nX-Forwarded-Host: chat.example.org\r\n",
        "Host: chat.example.org\r\nX-Forwarded-Host: evil.com\r\n",
        "Host: chat.example.org\r\nForwarded: host=evil.com\r\n",
    ] {
        assert_eq!(status(&server, fields).await, 403, "{fields}");
    }
}

#[tokio::test]
async fn client_that_is_no_trusted_proxy_is_not_believed() {
    let server = behind("10.0.0.1").await;
    for (fields, expected) in [
        // The scheme that it claims would refuse this page.
        (
            "Host: chat.example.org\r\nX-Forwarded-Proto: https\r\n\
             Origin: http://chat.example.org\r\n",
            101,
        ),
        (
            "Host: chat.example.org\r\nX-Forwarded-Host: localhost:3000\r\n\
             Origin: http://localhost:3000\r\n",
            403,
        ),
        ("Host: chat.example.org\r\nX-Forwarded-Host: evil.com\r\n", 101),
    ] {
        assert_eq!(status(&server, fields).await, expected, "{fields}");
    }
}
