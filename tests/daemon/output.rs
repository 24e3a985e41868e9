//! Output that nobody reads, and the order of what is written last.

use std::io::{PipeReader, PipeWriter, Write};
use std::net::TcpListener;

use serde_json::json;

use crate::client::{is_op, metrics, read_until, send};
use crate::process::Daemon;

/// A pipe that takes no more bytes, and whose reader reads none.
fn full_pipe() -> (PipeReader, PipeWriter) {
    let (reader, mut writer) = std::io::pipe().unwrap();
    rustix::io::ioctl_fionbio(&writer, true).unwrap();
    while writer.write(b"x").is_ok() {}
    rustix::io::ioctl_fionbio(&writer, false).unwrap();
    (reader, writer)
}

/// A port on which nothing listens.
fn free_port() -> u16 {
    TcpListener::bind("127.0.0.1:0").unwrap().local_addr().unwrap().port()
}

#[tokio::test]
async fn output_that_nobody_reads_delays_neither_requests_nor_the_end() {
    let (_reader, full) = full_pipe();
    for second_signal in [false, true] {
        let mut daemon = Daemon::start_unread(free_port(), &full);
        let mut socket = daemon.connect_when_it_listens().await;
        metrics(&mut socket, |frame| frame["inference"]["state"] == "idle").await;
        for _ in 0..3 {
            // Each is logged.
            let params = json!({"max_tokens": 3});
            send(&mut socket, json!({"op": "infer", "prompt": "Once", "params": params})).await;
            read_until(&mut socket, is_op("end")).await.unwrap();
        }
        assert!(daemon.page("/healthz").await.starts_with("HTTP/1.1 200"));
        if second_signal {
            send(
                &mut socket,
                json!({"op": "infer", "prompt": "Once", "params": {"ignore_eos": true}}),
            )
            .await;
            read_until(&mut socket, is_op("token")).await.unwrap();
            daemon.signal("TERM");
            daemon.signal("INT");
            // The request may have ended between the signals.
            assert!(matches!(daemon.wait().await, Some(0 | 130)));
        } else {
            daemon.signal("TERM");
            assert_eq!(daemon.wait().await, Some(0));
        }
    }
}
