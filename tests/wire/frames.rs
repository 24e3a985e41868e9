//! What the server does with each kind of WebSocket frame (RFC 6455), as tables of bytes and
//! answers.
//!
//! `make autobahn` runs a larger suite against the same code. The groups here are those of its
//! cases: fragments, control frames, reserved bits, opcodes, UTF-8, close codes, long messages.

use futures_util::StreamExt;
use serde_json::{Value, json};
use tokio::io::AsyncWriteExt;
use tokio::time::timeout;
use tokio_tungstenite::tungstenite::{Bytes, Message};

use crate::common::{Client, GUARD, TestServer};

const CONTINUATION: u8 = 0x0;
const TEXT: u8 = 0x1;
const CLOSE: u8 = 0x8;
const PING: u8 = 0x9;
const PONG: u8 = 0xA;
/// The bit of the last frame of a message.
const FIN: u8 = 0x80;

/// A message that the server answers with `unknown_op`, in two halves.
const HALVES: [&[u8]; 2] = [br#"{"op":"#, br#""dance"}"#];

/// A masked frame with a minimal length field.
fn frame(first_byte: u8, payload: &[u8]) -> Vec<u8> {
    const MASK: [u8; 4] = [0x37, 0xfa, 0x21, 0x3d];
    let mut frame = vec![first_byte];
    match (u8::try_from(payload.len()), u16::try_from(payload.len())) {
        (Ok(n @ ..=125), _) => frame.push(0x80 | n),
        (_, Ok(n)) => {
            frame.push(0x80 | 126);
            frame.extend(n.to_be_bytes());
        }
        _ => {
            frame.push(0x80 | 127);
            frame.extend((payload.len() as u64).to_be_bytes());
        }
    }
    frame.extend(MASK);
    frame.extend(payload.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    frame
}

/// A message in fragments, one for each part.
fn fragments(parts: &[&[u8]]) -> Vec<u8> {
    let last = parts.len() - 1;
    let fragment = |(i, part): (usize, &&[u8])| {
        let opcode = if i == 0 { TEXT } else { CONTINUATION };
        frame(if i == last { FIN | opcode } else { opcode }, part)
    };
    parts.iter().enumerate().flat_map(fragment).collect()
}

/// A close frame with a code and a reason.
fn close(code: u16, reason: &[u8]) -> Vec<u8> {
    frame(FIN | CLOSE, &[&code.to_be_bytes(), reason].concat())
}

async fn connect_and_send(server: &TestServer, bytes: &[u8]) -> Client {
    let mut client = Client::connect(server).await;
    client.socket.get_mut().write_all(bytes).await.unwrap();
    client
}

/// Sends `bytes` on a new connection and returns the code of the close frame that comes back: 0 for
/// one without a code.
async fn close_code(server: &TestServer, bytes: &[u8]) -> u16 {
    let mut client = connect_and_send(server, bytes).await;
    loop {
        if let Message::Close(close) = client.message().await {
            let end = timeout(GUARD, client.socket.next()).await.expect("the socket is closed");
            assert!(!matches!(end, Some(Ok(_))), "{end:?} follows a close frame");
            return close.map_or(0, |close| close.code.into());
        }
    }
}

/// Sends `bytes` on a new connection and returns the only frame that comes back, metrics not
/// counted. It must be an `unknown_op` error.
async fn unknown_op(server: &TestServer, bytes: &[u8]) -> Value {
    let mut frames = connect_and_send(server, bytes).await.fence().await;
    assert_eq!(frames.len(), 1, "{frames:?}");
    assert_eq!(frames[0]["code"], "unknown_op", "{frames:?}");
    frames.remove(0)
}

#[tokio::test]
async fn message_in_fragments_is_answered_once_wherever_it_is_cut() {
    let server = TestServer::start().await;
    let whole = HALVES.concat();
    for at in 0..=whole.len() {
        let (first, second) = whole.split_at(at);
        unknown_op(&server, &fragments(&[first, second])).await;
    }
    let single_bytes: Vec<&[u8]> = whole.chunks(1).collect();
    unknown_op(&server, &fragments(&single_bytes)).await;
    unknown_op(&server, &fragments(&[b"", b"", &whole, b"", b""])).await;
}

#[tokio::test]
async fn control_frames_between_fragments_are_handled_at_once() {
    let server = TestServer::start().await;
    let bytes = [
        frame(TEXT, HALVES[0]),
        frame(FIN | PING, b"between"),
        frame(FIN | PONG, b"not asked for"),
        frame(CONTINUATION, b""),
    ];
    let mut client = connect_and_send(&server, &bytes.concat()).await;
    while client.message().await != Message::Pong(Bytes::from_static(b"between")) {}
    let rest = frame(FIN | CONTINUATION, HALVES[1]);
    client.socket.get_mut().write_all(&rest).await.unwrap();
    client.expect_error("unknown_op").await;
}

#[tokio::test]
async fn ping_of_any_allowed_length_is_answered_with_its_payload() {
    let server = TestServer::start().await;
    for payload in [&b""[..], b"\0\xff\xfe\xc3", &[0xfe; 125]] {
        let mut client = connect_and_send(&server, &frame(FIN | PING, payload)).await;
        while client.message().await != Message::Pong(Bytes::copy_from_slice(payload)) {}
    }
    // Byte by byte.
    let mut client = Client::connect(&server).await;
    for byte in frame(FIN | PING, b"slowly") {
        client.socket.get_mut().write_all(&[byte]).await.unwrap();
    }
    while client.message().await != Message::Pong(Bytes::from_static(b"slowly")) {}
}

#[tokio::test]
async fn frame_that_the_protocol_forbids_is_closed_with_1002() {
    let server = TestServer::start().await;
    let mut cases = vec![
        ("ping of 126 bytes", frame(FIN | PING, &[b'x'; 126])),
        ("pong of 126 bytes", frame(FIN | PONG, &[b'x'; 126])),
        ("ping in fragments", frame(PING, b"x")),
        ("close in fragments", frame(CLOSE, b"\x03\xe8")),
        ("continuation of nothing", frame(FIN | CONTINUATION, b"x")),
        ("continuation after a message", [fragments(&HALVES), frame(CONTINUATION, b"")].concat()),
        ("text within a message", [frame(TEXT, b"x"), frame(FIN | TEXT, b"x")].concat()),
        ("unmasked frame", vec![FIN | TEXT, 2, b'{', b'}']),
        ("close with half a code", frame(FIN | CLOSE, b"\x03")),
        ("close of 126 bytes", close(1000, &[b'x'; 124])),
    ];
    for bits in 1..8 {
        cases.push(("reserved bits of a text", frame(FIN | bits << 4 | TEXT, b"{}")));
        cases.push(("reserved bits of a ping", frame(FIN | bits << 4 | PING, b"")));
    }
    for opcode in (0x3..=0x7).chain(0xB..=0xF) {
        cases.push(("reserved opcode", frame(FIN | opcode, b"")));
        cases.push(("reserved opcode with a payload", frame(FIN | opcode, b"{}")));
    }
    for (name, bytes) in cases {
        assert_eq!(close_code(&server, &bytes).await, 1002, "{name}: {:x?}", &bytes[..2]);
    }
}

#[tokio::test]
async fn character_cut_by_fragments_is_whole_again() {
    let server = TestServer::start().await;
    let text = r#"{"op":"κó€🦊\u00e9"}"#.as_bytes();
    for at in 0..=text.len() {
        let (first, second) = text.split_at(at);
        let error = unknown_op(&server, &fragments(&[first, second])).await;
        assert!(error["message"].as_str().unwrap().contains("κó€🦊é"), "cut at {at}: {error}");
    }
}

#[tokio::test]
async fn text_that_is_not_utf8_is_closed_with_1007() {
    let server = TestServer::start().await;
    let invalid: [&[u8]; 10] = [
        b"\x80",
        b"\xff",
        b"\xc0\xaf",
        b"\xc3\x28",
        b"\xe2\x82",
        b"\xe0\x80\xaf",
        b"\xed\xa0\x80",
        b"\xf0\x9f\xa6",
        b"\xf4\x90\x80\x80",
        b"\xf8\x88\x80\x80\x80",
    ];
    for bytes in invalid {
        let text = [b"{\"op\":\"", bytes, b"\"}"].concat();
        assert_eq!(close_code(&server, &frame(FIN | TEXT, &text)).await, 1007, "{bytes:x?}");
        let at = 8;
        let parts = fragments(&[&text[..at], &text[at..]]);
        assert_eq!(close_code(&server, &parts).await, 1007, "{bytes:x?} in fragments");
        assert_eq!(close_code(&server, &close(1000, bytes)).await, 1007, "{bytes:x?} as a reason");
    }
    // What cannot become valid any more is refused before the message is complete.
    assert_eq!(close_code(&server, &frame(TEXT, b"\xf4\x90")).await, 1007);
}

#[tokio::test]
async fn close_frame_is_answered_with_its_code_if_that_may_be_sent() {
    let server = TestServer::start().await;
    assert_eq!(close_code(&server, &frame(FIN | CLOSE, b"")).await, 0);
    let valid = [1000, 1001, 1002, 1003, 1007, 1008, 1009, 1010, 1011, 3000, 3999, 4000, 4999];
    for code in valid {
        assert_eq!(close_code(&server, &close(code, "até logo".as_bytes())).await, code);
    }
    assert_eq!(close_code(&server, &close(1000, &[b'x'; 123])).await, 1000);
    for code in [0, 1, 999, 1004, 1005, 1006, 1015, 1016, 1100, 2000, 2999, 5000, u16::MAX] {
        assert_eq!(close_code(&server, &close(code, b"")).await, 1002, "{code}");
    }
}

#[tokio::test]
async fn nothing_after_a_close_frame_is_handled() {
    let server = TestServer::start().await;
    let after = [close(1000, b""), frame(FIN | TEXT, b"nonsense"), frame(FIN | PING, b"x")];
    let mut client = connect_and_send(&server, &after.concat()).await;
    loop {
        match client.message().await {
            Message::Close(close) => break assert_eq!(u16::from(close.unwrap().code), 1000),
            Message::Text(text) => assert!(text.contains("metrics"), "{text}"),
            other => panic!("{other:?}"),
        }
    }
}

#[tokio::test]
async fn long_message_in_many_fragments_is_answered() {
    let server = TestServer::start().await;
    let padding = "é".repeat(500_000);
    let text = json!({"op": "dance", "padding": padding}).to_string();
    for n_bytes in [997, 65_535, 65_536] {
        let parts: Vec<&[u8]> = text.as_bytes().chunks(n_bytes).collect();
        unknown_op(&server, &fragments(&parts)).await;
    }
}

#[tokio::test]
async fn length_that_no_message_has_is_closed_with_1009() {
    let server = TestServer::start().await;
    for length in [9 << 20, u64::from(u32::MAX), u64::MAX >> 1] {
        let head = [&[FIN | TEXT, 0x80 | 127][..], &length.to_be_bytes(), &[0; 4]].concat();
        assert_eq!(close_code(&server, &head).await, 1009, "{length}");
    }
}

#[tokio::test]
async fn path_of_the_echo_server_is_an_ordinary_one() {
    let server = TestServer::start().await;
    let stream = tokio::net::TcpStream::connect(server.address).await.unwrap();
    let url = format!("ws://{}/echo", server.address);
    let (mut socket, _) = tokio_tungstenite::client_async(url, stream).await.unwrap();
    let first = timeout(GUARD, socket.next()).await.unwrap().unwrap().unwrap();
    assert!(first.to_text().unwrap().contains(r#""op":"hello""#), "{first}");
}
