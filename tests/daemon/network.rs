//! Where the daemon listens and for whom: addresses, Unix sockets, certificates, proxies.

use std::fs;
use std::net::TcpListener;
use std::path::Path;
use std::sync::Arc;

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;
use rustls::{ClientConfig, RootCertStore};
use serde_json::json;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpStream, UnixStream};
use tokio_rustls::TlsConnector;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::client::IntoClientRequest;

use crate::client::{is_op, read_until, send};
use crate::process::{DEADLINE, Daemon, command, start_screen, until_logged, unwrapped};
use crate::refusals::assert_refused;

#[test]
fn addresses_that_cannot_be_listened_on_are_refused() {
    let host = |host: &str, code: i32, words: &[&str]| {
        assert_refused(&["--demo", "0", "--host", host], code, words);
    };
    host("0.0.0.0", 64, &["--host 0.0.0.0", "key new", "--api-key-file", "--insecure-no-auth"]);
    host("127.0.0.1,::", 64, &["--host ::", "--insecure-no-auth"]);
    host("gpu-box", 64, &["gpu-box", "an IP address of this machine"]);
    host("unix:/nowhere/socket", 64, &["unix:/nowhere/socket", "folder does not exist"]);
    let foreign = ["--demo", "0", "--host", "192.0.2.1", "--insecure-no-auth"];
    assert_refused(&foreign, 64, &["192.0.2.1", "0.0.0.0"]);
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let port = listener.local_addr().unwrap().port().to_string();
    let taken = ["--demo", &port, "--host", "0.0.0.0", "--insecure-no-auth"];
    assert_refused(&taken, 69, &[&port, "in use"]);
}

#[test]
fn start_screen_says_what_to_type_on_other_machines() {
    let mut daemon = command();
    daemon.args(["--demo", "0", "--threads", "1", "--host", "0.0.0.0", "--insecure-no-auth"]);
    let (_daemon, screen) = start_screen(daemon);
    let port = screen.split_once("listening on ws://0.0.0.0:").unwrap().1;
    let port = port.lines().next().unwrap();
    assert!(unwrapped(&screen).contains("everybody who reaches 0.0.0.0"), "{screen}");
    assert!(unwrapped(&screen).contains("not encrypted"), "{screen}");
    let (_, http) = screen.split_once("for OpenAI's clients: http://").unwrap();
    assert!(http.lines().next().unwrap().ends_with(&format!(":{port}/v1")), "{screen}");
    if let Some((_, urls)) = screen.split_once("from other machines: ") {
        let url = urls.lines().next().unwrap();
        assert!(url.starts_with("ws://") && url.ends_with(port), "{screen}");
    }
}

/// The page at `path` over a Unix socket.
async fn page_over(socket: &Path, path: &str) -> String {
    let mut stream = UnixStream::connect(socket).await.unwrap();
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    page
}

#[tokio::test]
async fn unix_socket_serves_and_is_removed_at_the_end() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let host = format!("localhost,unix:{}", path.display());
    let mut daemon = Daemon::start(&["--host", &host]);
    assert!(page_over(&path, "/readyz").await.starts_with("HTTP/1.1 200"));
    assert!(daemon.page("/readyz").await.starts_with("HTTP/1.1 200"));
    assert_refused(&["--demo", "0", "--host", path.to_str().unwrap()], 69, &["in use"]);
    daemon.signal("TERM");
    assert_eq!(daemon.wait().await, Some(0));
    assert!(!path.exists());
}

/// Makes certificates for `gpu-box` in `folder`.
fn new_certificate(folder: &Path) -> String {
    let output = command().args(["tls", "new", "gpu-box", "--dir"]).arg(folder).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    String::from_utf8(output.stdout).unwrap()
}

/// The certificate that the daemon shows to a client which trusts the authority in `folder`.
async fn shown_certificate(daemon: &Daemon, folder: &Path, name: &'static str) -> Vec<u8> {
    let mut roots = RootCertStore::empty();
    roots.add(CertificateDer::from_pem_file(folder.join("ca.pem")).unwrap()).unwrap();
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let config = ClientConfig::builder_with_provider(provider)
        .with_safe_default_protocol_versions()
        .unwrap()
        .with_root_certificates(roots)
        .with_no_client_auth();
    let stream = TcpStream::connect(daemon.address()).await.unwrap();
    let connector = TlsConnector::from(Arc::new(config));
    let mut stream = connector.connect(name.try_into().unwrap(), stream).await.unwrap();
    let request = "GET /readyz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    stream.read_to_string(&mut page).await.unwrap();
    assert!(page.starts_with("HTTP/1.1 200"), "{page}");
    stream.get_ref().1.peer_certificates().unwrap()[0].to_vec()
}

#[tokio::test]
async fn certificate_of_tls_new_is_served_and_replaced_without_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let tls = folder.path().join("tls");
    assert!(new_certificate(&tls).contains("SHA-256 fingerprints"));
    let (certificate, key) = (tls.join("cert.pem"), tls.join("key.pem"));
    let options = [
        "--tls-cert",
        certificate.to_str().unwrap(),
        "--tls-key",
        key.to_str().unwrap(),
        "--log",
        "info",
    ];
    let log = folder.path().join("log");
    let daemon = Daemon::start_with_log(&options, &[], &log);
    let first = shown_certificate(&daemon, &tls, "gpu-box").await;

    let old = folder.path().join("old.pem");
    fs::rename(&certificate, &old).unwrap();
    fs::remove_file(&key).unwrap();
    new_certificate(&tls);
    daemon.signal("HUP");
    until_logged(&log, "reloaded the TLS certificate");
    let second = shown_certificate(&daemon, &tls, "localhost").await;
    assert_ne!(first, second);

    // Without a signal: a certificate that does not belong to the key.
    let new = folder.path().join("new.pem");
    fs::rename(&certificate, &new).unwrap();
    fs::copy(&old, &certificate).unwrap();
    until_logged(
        &log,
        "cannot reload the TLS certificate, what was loaded before stays in use: --tls-key",
    );
    assert_eq!(shown_certificate(&daemon, &tls, "gpu-box").await, second);
    fs::rename(&new, &certificate).unwrap();
    assert_eq!(shown_certificate(&daemon, &tls, "gpu-box").await, second);
}

#[test]
fn unusable_certificates_are_refused_at_the_start() {
    let folder = tempfile::tempdir().unwrap();
    new_certificate(folder.path());
    let file = |name: &str| folder.path().join(name).to_str().unwrap().to_owned();
    let refused = |certificate: &str, key: &str, code, words: &[&str]| {
        let (certificate, key) = (file(certificate), file(key));
        let args = ["--demo", "0", "--tls-cert", &certificate, "--tls-key", &key];
        assert_refused(&args, code, words);
    };
    refused("missing.pem", "key.pem", 66, &["--tls-cert", "missing.pem", "cannot be read"]);
    refused("cert.pem", "ca-key.pem", 65, &["--tls-key", "does not belong", "cert.pem"]);
    refused("key.pem", "cert.pem", 65, &["--tls-cert", "key instead of a certificate"]);
    assert_refused(&["--demo", "0", "--tls-cert", &file("cert.pem")], 64, &["--tls-key"]);
    let again = ["tls", "new", "--dir", folder.path().to_str().unwrap()];
    assert_refused(&again, 64, &["cert.pem exists"]);
}

/// The log of a daemon with `options` after a request whose client has sent `X-Forwarded-For`.
async fn log_of_forwarded_request(options: &[&str]) -> String {
    let folder = tempfile::tempdir().unwrap();
    let log = folder.path().join("log");
    let daemon = Daemon::start_with_log(&[options, &["--log", "info"]].concat(), &[], &log);
    let mut request = format!("ws://{}", daemon.address()).into_client_request().unwrap();
    request.headers_mut().insert("X-Forwarded-For", "6.6.6.6, 203.0.113.7".parse().unwrap());
    let connecting = tokio::time::timeout(DEADLINE, connect_async(request));
    let mut socket = connecting.await.expect("the server answers in time").unwrap().0;
    send(&mut socket, json!({"op": "infer", "prompt": "Once", "params": {"max_tokens": 1}})).await;
    read_until(&mut socket, is_op("end")).await.unwrap();
    until_logged(&log, "ended: ")
}

#[tokio::test]
async fn log_names_the_client_of_a_trusted_proxy_only() {
    let log = log_of_forwarded_request(&["--trusted-proxy", "127.0.0.0/8"]).await;
    assert!(log.contains("peer=203.0.113.7}"), "{log}");
    let log = log_of_forwarded_request(&["--trusted-proxy", "10.0.0.1"]).await;
    assert!(log.contains("peer=127.0.0.1:") && !log.contains("203.0.113.7"), "{log}");
}
