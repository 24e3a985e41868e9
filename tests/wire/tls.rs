//! Connections through TLS: handshakes that succeed and fail, clients' certificates, and
//! certificates that are replaced while the server runs.

use std::sync::Arc;

use futures_util::{SinkExt, StreamExt};
use inference_core::server::Tls;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::client::TlsStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{WebSocketStream, client_async};

use crate::common::{GUARD, Setup, TestServer, http_get};
use crate::tls_client::{Certificates, connect, page};

async fn server(tls: Arc<Tls>) -> TestServer {
    Setup { tls: Some(tls), ..Setup::default() }.start().await
}

type Socket = WebSocketStream<TlsStream<TcpStream>>;

async fn frame(socket: &mut Socket) -> Value {
    loop {
        let message = timeout(GUARD, socket.next()).await.expect("a frame comes in time");
        if let Message::Text(text) = message.unwrap().unwrap() {
            let frame: Value = serde_json::from_str(&text).unwrap();
            if frame["op"] != "metrics" {
                return frame;
            }
        }
    }
}

/// Opens a WebSocket and reads its first frame.
async fn websocket(server: &TestServer, certificates: &Certificates) -> Socket {
    let stream = connect(server.address, certificates.client(&[])).await.unwrap();
    let (mut socket, _) = client_async("wss://localhost/", stream).await.unwrap();
    assert_eq!(frame(&mut socket).await["op"], "hello");
    socket
}

/// The certificate that a new connection is shown.
async fn shown_certificate(server: &TestServer, certificates: &Certificates) -> Vec<u8> {
    let stream = connect(server.address, certificates.client(&[])).await.unwrap();
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn websocket_and_pages_work_through_tls() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(false).unwrap()).await;
    let text = page(server.address, certificates.client(&["http/1.1"]), "/healthz").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200") && text.contains("idle"), "{text}");
    let mut socket = websocket(&server, &certificates).await;
    // Longer than a TLS record, in both directions.
    let prompt = "a long prompt ".repeat(30);
    let request = json!({"op": "infer", "prompt": prompt, "params": {"max_tokens": 4}});
    socket.send(Message::text(request.to_string())).await.unwrap();
    let mut end = frame(&mut socket).await;
    while end["op"] == "token" {
        end = frame(&mut socket).await;
    }
    assert_eq!(end["op"], "end", "{end}");
}

#[tokio::test]
async fn closed_websocket_ends_its_encrypted_stream() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(false).unwrap()).await;
    let mut socket = websocket(&server, &certificates).await;
    socket.close(None).await.unwrap();
    let mut next = async || timeout(GUARD, socket.next()).await.expect("the socket is closed");
    while let Some(message) = next().await {
        // An end without TLS's own end of the stream would be an error.
        drop(message.unwrap());
    }
}

#[tokio::test]
async fn client_negotiates_http_1_or_nothing() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(false).unwrap()).await;
    for (protocols, expected) in [
        (&["h2", "http/1.1"][..], Some("http/1.1")),
        (&["http/1.1"], Some("http/1.1")),
        (&[], None),
    ] {
        let stream = connect(server.address, certificates.client(protocols)).await.unwrap();
        let chosen = stream.get_ref().1.alpn_protocol();
        assert_eq!(chosen, expected.map(str::as_bytes), "{protocols:?}");
    }
    assert!(connect(server.address, certificates.client(&["h2"])).await.is_err());
}

#[tokio::test]
async fn client_that_trusts_another_authority_does_not_connect() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(false).unwrap()).await;
    let stranger = Certificates::new("stranger");
    let error = connect(server.address, stranger.client(&[])).await.unwrap_err();
    assert!(error.to_string().contains("certificate"), "{error}");
    // Failed handshakes leave the server as it was.
    assert!(page(server.address, certificates.client(&[]), "/healthz").await.is_ok());
}

#[tokio::test]
async fn http_without_tls_is_told_to_use_it() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(false).unwrap()).await;
    let (status, text) = http_get(server.address, "/healthz").await;
    assert_eq!(status, 400);
    assert!(text.contains("https://") && text.contains("wss://"), "{text}");
}

#[tokio::test]
async fn connection_that_is_no_tls_is_closed() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(false).unwrap()).await;
    for bytes in [&b"\x00\x01\x02\x03\x04\x05\x06"[..], b"\x16\x03\x01\xff\xff", b"hello"] {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(bytes).await.unwrap();
        stream.shutdown().await.unwrap();
        // A connection reset is accepted too.
        let _ = timeout(GUARD, stream.read_to_end(&mut Vec::new())).await.expect("it is closed");
    }
    assert!(page(server.address, certificates.client(&[]), "/healthz").await.is_ok());
}

#[tokio::test]
async fn handshakes_that_never_end_are_replaced_by_new_connections() {
    let certificates = Certificates::new("server");
    let mut setup = Setup { tls: Some(certificates.load(false).unwrap()), ..Setup::default() };
    setup.server.max_connections = 1;
    setup.server.spare_connections = 2;
    let server = setup.start().await;
    let mut open = Vec::new();
    for _ in 0..10 {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        // The start of a handshake record.
        stream.write_all(b"\x16\x03\x01\x01\x00").await.unwrap();
        open.push(stream);
    }
    assert!(page(server.address, certificates.client(&[]), "/healthz").await.is_ok());
    let _ = timeout(GUARD, open[0].read_to_end(&mut Vec::new())).await.expect("it is closed");
}

#[tokio::test]
async fn client_without_the_demanded_certificate_is_refused() {
    let certificates = Certificates::new("server");
    let server = server(certificates.load(true).unwrap()).await;
    let stranger = Certificates::new("stranger");
    for config in [certificates.client(&[]), certificates.client_with_certificate(&stranger)] {
        // With TLS 1.3 the client learns of the refusal when it reads.
        assert!(page(server.address, config, "/healthz").await.is_err());
    }
    let config = certificates.client_with_certificate(&certificates);
    let text = page(server.address, config, "/healthz").await.unwrap();
    assert!(text.starts_with("HTTP/1.1 200"), "{text}");
}

#[tokio::test]
async fn reloaded_certificate_is_shown_to_new_connections() {
    let certificates = Certificates::new("first");
    let tls = certificates.load(false).unwrap();
    let server = server(tls.clone()).await;
    let first = shown_certificate(&server, &certificates).await;
    let mut socket = websocket(&server, &certificates).await;
    certificates.replace("second");
    assert_eq!(shown_certificate(&server, &certificates).await, first, "not yet reloaded");
    tls.reload().unwrap();
    assert_ne!(shown_certificate(&server, &certificates).await, first);
    socket.send(Message::text(json!({"op": "ping"}).to_string())).await.unwrap();
    assert_eq!(frame(&mut socket).await["op"], "pong", "existing connections go on");
}

#[tokio::test]
async fn broken_files_keep_the_certificate_that_is_loaded() {
    let certificates = Certificates::new("first");
    let tls = certificates.load(false).unwrap();
    let server = server(tls.clone()).await;
    let first = shown_certificate(&server, &certificates).await;
    let stranger = Certificates::new("stranger");
    for (certificate, key) in [
        ("".to_owned(), certificates.text("key.pem")),
        (certificates.text("cert.pem"), stranger.text("key.pem")),
        (stranger.text("cert.pem"), certificates.text("key.pem")),
        (certificates.text("cert.pem"), "".to_owned()),
    ] {
        let (old_certificate, old_key) =
            (certificates.text("cert.pem"), certificates.text("key.pem"));
        certificates.write("cert.pem", &certificate);
        certificates.write("key.pem", &key);
        assert!(tls.reload().is_err());
        assert_eq!(shown_certificate(&server, &certificates).await, first);
        certificates.write("cert.pem", &old_certificate);
        certificates.write("key.pem", &old_key);
    }
}

#[test]
fn files_that_cannot_be_used_are_refused_in_one_line() {
    let certificates = Certificates::new("server");
    let stranger = Certificates::new("stranger");
    let (certificate, key) = (certificates.text("cert.pem"), certificates.text("key.pem"));
    let encrypted = "-----BEGIN ENCRYPTED PRIVATE KEY-----\nAAAA\n\
                     -----END ENCRYPTED PRIVATE KEY-----\n";
    let authority = certificates.text("ca.pem");
    let damaged = "-----BEGIN CERTIFICATE-----\n!\n-----END CERTIFICATE-----\n";
    for (certificate, key, expected) in [
        (key.as_str(), key.as_str(), "--tls-key"),
        (&certificate, &certificate, "--tls-cert"),
        ("", &key, "no certificate"),
        ("nonsense", &key, "no certificate"),
        (damaged, &key, "not PEM"),
        (&certificate, "", "no key"),
        (&certificate, encrypted, "password"),
        (&certificate, &stranger.text("key.pem"), "does not belong"),
        (&format!("{authority}{certificate}"), &key, "must come first"),
    ] {
        certificates.write("cert.pem", certificate);
        certificates.write("key.pem", key);
        let error = certificates.load(false).unwrap_err().to_string();
        assert!(error.contains(expected) && error.lines().count() == 1, "{expected}: {error}");
        assert!(error.contains(".pem"), "it names the file: {error}");
    }
    certificates.replace("server");
    certificates.write("ca.pem", "");
    let error = certificates.load(true).unwrap_err().to_string();
    assert!(error.contains("--tls-client-ca"), "{error}");
    std::fs::remove_file(certificates.path("cert.pem")).unwrap();
    let error = certificates.load(false).unwrap_err().to_string();
    assert!(error.contains("cannot be read") && error.contains("cert.pem"), "{error}");
}
