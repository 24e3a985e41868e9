//! What tungstenite reads through [`Incoming`], what is charged, and when the stream ends.

use futures_util::{FutureExt, StreamExt};
use tokio::io::{AsyncWriteExt, DuplexStream, duplex};
use tokio::time::{pause, sleep};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::protocol::{Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message};

use crate::domain::AccountId;
use crate::server::budget::MessageBudget;

use super::*;

const MAX_BYTES: usize = 1 << 20;
const DEADLINE: Duration = Duration::from_secs(30);
const MASK: [u8; 4] = [0x12, 0x34, 0x56, 0x78];

const TEXT: u8 = 1;
const PING: u8 = 9;
const FINAL: u8 = 0x80;

/// The server's end of a connection and the client's, which is raw.
struct Rig {
    socket: WebSocketStream<Incoming<DuplexStream>>,
    client: DuplexStream,
    budget: Arc<MessageBudget>,
    last: LastMessage,
}

async fn rig(early: &[u8], limit: usize) -> Rig {
    let (server, client) = duplex(MAX_BYTES * 4);
    let budget = MessageBudget::new(limit);
    let limits = MessageLimits::new(MAX_BYTES, DEADLINE, true);
    let incoming = Incoming::new(server, early, limits, budget.share(AccountId(1)));
    let last = incoming.last_message();
    let config = WebSocketConfig::default().read_buffer_size(READ_BUFFER_BYTES);
    let socket = WebSocketStream::from_raw_socket(incoming, Role::Server, Some(config)).await;
    Rig { socket, client, budget, last }
}

/// A masked frame that announces `announced` bytes and has `content`.
fn frame(first: u8, content: &[u8], announced: u64) -> Vec<u8> {
    let mut bytes = vec![first];
    match (u8::try_from(announced), u16::try_from(announced)) {
        (Ok(length), _) if length < 126 => bytes.push(0x80 | length),
        (_, Ok(length)) => {
            bytes.push(0x80 | 126);
            bytes.extend(length.to_be_bytes());
        }
        _ => {
            bytes.push(0x80 | 127);
            bytes.extend(announced.to_be_bytes());
        }
    }
    bytes.extend(MASK);
    bytes.extend(content.iter().zip(MASK.iter().cycle()).map(|(byte, mask)| byte ^ mask));
    bytes
}

fn whole(first: u8, content: &[u8]) -> Vec<u8> {
    frame(first, content, content.len() as u64)
}

impl Rig {
    async fn text(&mut self) -> String {
        match self.socket.next().await {
            Some(Ok(Message::Text(text))) => text.as_str().to_owned(),
            other => panic!("a text was expected, not {other:?}"),
        }
    }

    /// Has everything read that was sent, which is no whole message.
    fn read_part(&mut self) {
        for _ in 0..MAX_BYTES / TURN_BYTES {
            assert!(self.socket.next().now_or_never().is_none());
        }
    }

    async fn error(&mut self) -> Option<IncomingError> {
        loop {
            match self.socket.next().await {
                Some(Ok(_)) => {}
                Some(Err(Error::Io(error))) => return IncomingError::of(&error),
                other => panic!("an error was expected, not {other:?}"),
            }
        }
    }
}

#[tokio::test]
async fn messages_of_all_lengths_arrive_unchanged() {
    let lengths =
        [0, 1, 125, 126, 1000, 16_383, 16_384, 16_385, 32_768, 65_535, 65_536, 100_003, MAX_BYTES];
    let text: String = (0..MAX_BYTES).map(|i| char::from(b' ' + (i % 90) as u8)).collect();
    // The first bytes were received with the request for the upgrade.
    let early = whole(FINAL | TEXT, b"early");
    let mut rig = rig(&early[..7], 10 * MAX_BYTES).await;
    rig.client.write_all(&early[7..]).await.unwrap();
    assert_eq!(rig.text().await, "early");
    for length in lengths {
        let content = &text[..length];
        rig.client.write_all(&whole(FINAL | TEXT, content.as_bytes())).await.unwrap();
        assert!(rig.text().await == content, "{length} bytes");
    }
}

#[tokio::test]
async fn fragments_and_pings_between_them_arrive_in_order() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    let long = "x".repeat(50_000);
    for bytes in [
        whole(TEXT, b""),
        whole(0, b"\xc3"),
        whole(FINAL | PING, b"p"),
        whole(0, b"\xa4"),
        whole(0, long.as_bytes()),
        whole(FINAL | PING, b""),
        whole(FINAL, b"end"),
        whole(FINAL | TEXT, b"next"),
    ] {
        rig.client.write_all(&bytes).await.unwrap();
    }
    for ping in [&b"p"[..], b""] {
        assert_eq!(rig.socket.next().await.unwrap().unwrap(), Message::Ping(ping.to_vec().into()));
    }
    assert_eq!(rig.text().await, format!("ä{long}end"));
    assert_eq!(rig.last.take_charge().unwrap().bytes(), 2 * PIECE_BYTES * 3);
    assert_eq!(rig.text().await, "next");
    assert_eq!(rig.last.take_charge().unwrap().bytes(), 0);
}

#[tokio::test]
async fn only_bytes_that_were_sent_are_charged() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    let content = vec![b'x'; MAX_BYTES];
    let bytes = frame(FINAL | TEXT, &content, MAX_BYTES as u64);
    rig.client.write_all(&bytes[..100]).await.unwrap();
    rig.read_part();
    assert_eq!(rig.budget.used(), 0, "the announced length costs nothing");
    rig.client.write_all(&bytes[100..100_000]).await.unwrap();
    rig.read_part();
    assert_eq!(rig.budget.used(), 2 * PIECE_BYTES * 6);
    rig.client.write_all(&bytes[100_000..]).await.unwrap();
    assert_eq!(rig.text().await.len(), MAX_BYTES);
    assert_eq!(rig.budget.used(), 2 * (MAX_BYTES - PIECE_BYTES));
    drop(rig.last.take_charge());
    assert_eq!(rig.budget.used(), 0);
}

#[tokio::test]
async fn message_beyond_the_limit_ends_the_stream_at_its_announcement() {
    for frames in [
        [whole(TEXT, b""), frame(FINAL, b"", MAX_BYTES as u64 + 1)],
        [whole(TEXT, b"x"), frame(0, b"", MAX_BYTES as u64)],
        [whole(TEXT, b"x"), frame(0, b"", u64::MAX)],
    ] {
        let mut rig = rig(&[], 10 * MAX_BYTES).await;
        for bytes in frames {
            rig.client.write_all(&bytes).await.unwrap();
        }
        assert_eq!(rig.error().await, Some(IncomingError::TooLong));
    }
}

#[tokio::test]
async fn long_control_frame_ends_the_stream_at_its_announcement() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    rig.client.write_all(&frame(FINAL | PING, b"", 126)).await.unwrap();
    assert_eq!(rig.error().await, Some(IncomingError::LongControlFrame));
}

#[tokio::test]
async fn pings_do_not_extend_the_deadline_of_a_message() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    pause();
    let began = Instant::now();
    rig.client.write_all(&whole(TEXT, b"x")).await.unwrap();
    let mut client = rig.client;
    let pings = tokio::spawn(async move {
        while client.write_all(&whole(FINAL | PING, b"")).await.is_ok() {
            sleep(Duration::from_secs(1)).await;
        }
    });
    (rig.client, _) = duplex(1);
    assert_eq!(rig.error().await, Some(IncomingError::Overdue));
    assert!(began.elapsed() >= DEADLINE && began.elapsed() < 2 * DEADLINE);
    pings.abort();
}

#[tokio::test]
async fn deadline_of_a_message_counts_only_waits_within_it() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    pause();
    for content in [&b"a"[..], b"b"] {
        rig.client.write_all(&whole(TEXT, content)).await.unwrap();
        assert!(rig.socket.next().now_or_never().is_none());
        sleep(DEADLINE - Duration::from_secs(1)).await;
        rig.client.write_all(&whole(FINAL, b"")).await.unwrap();
        assert_eq!(rig.text().await.as_bytes(), content);
        // Between messages the client may wait, and the server may be busy within one.
        assert!(rig.socket.next().now_or_never().is_none());
        sleep(10 * DEADLINE).await;
    }
    rig.client.write_all(&whole(TEXT, b"c")).await.unwrap();
    sleep(10 * DEADLINE).await;
    rig.client.write_all(&whole(FINAL, b"")).await.unwrap();
    assert_eq!(rig.text().await, "c");
}

#[tokio::test]
async fn bytes_that_arrive_extend_the_deadline() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    pause();
    let began = Instant::now();
    rig.client.write_all(&frame(FINAL | TEXT, &vec![b'x'; 640_000], 640_001)).await.unwrap();
    assert_eq!(rig.error().await, Some(IncomingError::Overdue));
    assert_eq!(began.elapsed().as_secs(), DEADLINE.as_secs() + 9);
}

#[tokio::test]
async fn message_beyond_the_budget_is_not_received() {
    let mut rig = rig(&[], 2 * PIECE_BYTES).await;
    rig.client.write_all(&whole(FINAL | TEXT, &[b'x'; 2 * PIECE_BYTES])).await.unwrap();
    assert_eq!(rig.text().await.len(), 2 * PIECE_BYTES);
    rig.client.write_all(&whole(FINAL | TEXT, &[b'x'; 3 * PIECE_BYTES])).await.unwrap();
    rig.read_part();
    assert_eq!(rig.budget.n_evicted(), 1);
}

#[tokio::test]
async fn connection_that_sends_without_pause_lets_other_tasks_run() {
    let mut rig = rig(&[], 10 * MAX_BYTES).await;
    for (content, least) in [(&b"x"[..], 10), (&[b'x'; 4096], 5)] {
        rig.client.write_all(&whole(TEXT, b"")).await.unwrap();
        rig.client
            .write_all(&whole(0, content).repeat(200_000 / (100 + content.len())))
            .await
            .unwrap();
        rig.client.write_all(&whole(FINAL, b"")).await.unwrap();
        let mut n_turns = 0;
        while rig.socket.next().now_or_never().is_none() {
            n_turns += 1;
        }
        assert!(n_turns >= least && n_turns < 1000, "{n_turns} turns");
    }
}
