//! Server-sent events: a response that goes on while the model generates.
//!
//! Whenever the response is silent for a second, from its beginning on, it gets a comment, so that
//! clients and proxies do not take a long wait for a lost connection.

use std::pin::pin;
use std::time::Duration;

use axum::body::Bytes;
use tokio::sync::mpsc;
use tokio::time::timeout;

/// Where the events of a response come from.
pub(in crate::server) trait EventSource: Send + 'static {
    /// Waits for the next events, as [`event`] writes them; `None` once the
    /// response is complete.
    fn next(&mut self) -> impl Future<Output = Option<String>> + Send;
}

/// An event with `data` of one line, as OpenAI's APIs send it.
pub(in crate::server) fn event(data: &str) -> String {
    format!("data: {data}\n\n")
}

/// An event that has a name as well.
pub(in crate::server) fn named_event(name: &str, data: &str) -> String {
    format!("event: {name}\ndata: {data}\n\n")
}

/// Sends the events of `source`, and comments while there are none. Ends with the source, or once
/// nobody reads: the client has disconnected, or leaves what was sent unread for `grace`.
pub(super) async fn send_events(
    mut source: impl EventSource,
    sender: &mpsc::Sender<Bytes>,
    grace: Duration,
) {
    let send = async |text: String| {
        matches!(timeout(grace, sender.send(Bytes::from(text))).await, Ok(Ok(())))
    };
    loop {
        let events = {
            let mut next = pin!(source.next());
            loop {
                match timeout(SILENCE, next.as_mut()).await {
                    Ok(events) => break events,
                    Err(_) if send(COMMENT.to_owned()).await => {}
                    Err(_) => return,
                }
            }
        };
        let Some(events) = events else { return };
        if !send(events).await {
            return;
        }
    }
}

/// Longest time without anything to read for the client.
const SILENCE: Duration = Duration::from_secs(1);

/// A comment, which clients skip.
const COMMENT: &str = ": \n\n";

#[cfg(test)]
mod tests {
    use std::future::pending;

    use super::*;

    /// Gives each text after the pause before it, then ends.
    struct Script(Vec<(Duration, &'static str)>);

    impl EventSource for Script {
        async fn next(&mut self) -> Option<String> {
            if self.0.is_empty() {
                return None;
            }
            let (pause, text) = self.0.remove(0);
            tokio::time::sleep(pause).await;
            Some(event(text))
        }
    }

    #[tokio::test(start_paused = true)]
    async fn comment_is_sent_in_each_second_of_silence() {
        let (sender, mut sent) = mpsc::channel(100);
        let script = vec![(Duration::from_millis(2500), "a"), (Duration::from_millis(500), "b")];
        send_events(Script(script), &sender, Duration::from_secs(9)).await;
        drop(sender);
        let mut texts = Vec::new();
        while let Some(text) = sent.recv().await {
            texts.push(String::from_utf8(text.to_vec()).unwrap());
        }
        assert_eq!(texts, [COMMENT, COMMENT, "data: a\n\n", "data: b\n\n"]);
    }

    #[tokio::test(start_paused = true)]
    async fn client_that_does_not_read_ends_the_response() {
        struct Endless;
        impl EventSource for Endless {
            async fn next(&mut self) -> Option<String> {
                Some(event("a"))
            }
        }
        let (sender, sent) = mpsc::channel(1);
        send_events(Endless, &sender, Duration::from_secs(9)).await;
        drop(sent);
    }

    #[tokio::test(start_paused = true)]
    async fn disconnected_client_ends_a_silent_response() {
        struct Silent;
        impl EventSource for Silent {
            async fn next(&mut self) -> Option<String> {
                pending().await
            }
        }
        let (sender, sent) = mpsc::channel(1);
        drop(sent);
        send_events(Silent, &sender, Duration::from_secs(9)).await;
    }
}
