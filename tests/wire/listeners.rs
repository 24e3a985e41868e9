//! Sockets that the server listens on beside its first: further addresses and Unix sockets.

use std::net::{IpAddr, Ipv4Addr};

use futures_util::{SinkExt, StreamExt};
use inference_core::server::Listener;
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::{TcpListener, UnixListener, UnixStream};
use tokio::time::timeout;
use tokio_tungstenite::client_async;
use tokio_tungstenite::tungstenite::Message;

use crate::common::{GUARD, Setup, http, upgrade_request};

#[tokio::test]
async fn websocket_and_pages_work_over_a_unix_socket() {
    let folder = tempfile::tempdir().unwrap();
    let path = folder.path().join("socket");
    let listener = Listener::unix(UnixListener::bind(&path).unwrap());
    let setup = Setup { more_listeners: vec![listener], ..Setup::default() };
    let server = setup.start().await;

    let mut stream = UnixStream::connect(&path).await.unwrap();
    let request = "GET /healthz HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n";
    stream.write_all(request.as_bytes()).await.unwrap();
    let mut page = String::new();
    timeout(GUARD, stream.read_to_string(&mut page)).await.expect("a page comes").unwrap();
    assert!(page.starts_with("HTTP/1.1 200") && page.contains("idle"), "{page}");

    let stream = UnixStream::connect(&path).await.unwrap();
    let (mut socket, _) = client_async("ws://localhost/", stream).await.unwrap();
    let request = json!({"op": "infer", "prompt": "hi", "params": {"max_tokens": 2}});
    socket.send(Message::text(request.to_string())).await.unwrap();
    loop {
        let message = timeout(GUARD, socket.next()).await.expect("a frame comes").unwrap().unwrap();
        let Message::Text(text) = message else { continue };
        let frame: Value = serde_json::from_str(&text).unwrap();
        if frame["op"] == "end" {
            break;
        }
        assert_ne!(frame["op"], "error", "{frame}");
    }
    drop(server);
}

#[tokio::test]
async fn addresses_that_the_server_listens_on_are_its_own_hosts() {
    // All addresses of 127.0.0.0/8 belong to the loopback interface, so a host of another network
    // tells whether the server accepts the addresses that it listens on.
    let everywhere = TcpListener::bind((Ipv4Addr::UNSPECIFIED, 0)).await.unwrap();
    let address = everywhere.local_addr().unwrap();
    let setup = Setup { more_listeners: vec![Listener::tcp(everywhere, None)], ..Setup::default() };
    let server = setup.start().await;
    let local = (IpAddr::from(Ipv4Addr::LOCALHOST), address.port()).into();
    for (host, expected) in
        [("192.168.1.5:3000", 101), ("[fd00::5]", 101), ("gpu-box", 403), ("evil.com", 403)]
    {
        let request = upgrade_request("/", &format!("Host: {host}\r\n"));
        assert_eq!(http(local, &request).await.0, expected, "{host}");
        assert_eq!(http(server.address, &request).await.0, expected, "{host}");
    }
}
