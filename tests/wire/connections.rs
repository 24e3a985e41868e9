//! More connections than the server accepts: which of them are closed, and that pages are served.

use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;

use crate::common::{Client, GUARD, Setup, TestServer, http_get, upgrade_request};

/// More connections than [`small_server`] accepts.
const N_CONNECTIONS: usize = 20;

/// A server that accepts two WebSockets and two other connections, with two WebSockets.
async fn small_server() -> (TestServer, [Client; 2]) {
    let mut setup = Setup { send_buffer: Some(4096), ..Setup::default() };
    setup.server.max_connections = 2;
    setup.server.spare_connections = 2;
    let server = setup.start().await;
    let clients = [Client::connect(&server).await, Client::connect(&server).await];
    (server, clients)
}

/// Asserts that pages are served and that the clients are still connected.
async fn expect_service(server: &TestServer, clients: &mut [Client; 2]) {
    for page in ["/healthz", "/readyz", "/metrics"] {
        assert_eq!(http_get(server.address, page).await.0, 200, "{page}");
    }
    for client in clients {
        client.expect_quiet().await;
    }
}

#[tokio::test]
async fn connections_without_a_complete_request_are_closed_for_new_ones() {
    let (server, mut clients) = small_server().await;
    let request = upgrade_request("/", "Host: localhost\r\n");
    for head in ["", "G", &request[..request.len() - 2]] {
        let mut open = Vec::new();
        for _ in 0..N_CONNECTIONS {
            let mut stream = TcpStream::connect(server.address).await.unwrap();
            stream.write_all(head.as_bytes()).await.unwrap();
            open.push(stream);
        }
        expect_service(&server, &mut clients).await;
        // A connection reset is accepted too.
        let end = timeout(GUARD, open[0].read_to_end(&mut Vec::new())).await;
        assert!(end.is_ok(), "the oldest is closed");
    }
}

#[tokio::test]
async fn connections_that_read_no_response_are_closed_for_new_ones() {
    let (server, mut clients) = small_server().await;
    let request = format!("GET /metrics HTTP/1.1\r\nHost: {}\r\n\r\n", server.address);
    let mut open = Vec::new();
    for _ in 0..N_CONNECTIONS {
        let mut stream = TcpStream::connect(server.address).await.unwrap();
        stream.write_all(request.repeat(100).as_bytes()).await.unwrap();
        open.push(stream);
    }
    expect_service(&server, &mut clients).await;
}

#[tokio::test]
async fn refused_websockets_that_stay_open_are_closed_for_new_connections() {
    let (server, mut clients) = small_server().await;
    let mut refused = Vec::new();
    for _ in 0..N_CONNECTIONS {
        refused.push(Client::handshake(&server).await);
    }
    expect_service(&server, &mut clients).await;
    for socket in refused {
        let mut client = Client { socket, hello: serde_json::Value::Null };
        client.expect_close(1013).await;
    }
}
