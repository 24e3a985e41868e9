//! What the streams of chat completions and of completions share: one chunk after the other, and
//! their end.

use super::answers::Answers;
use super::generation::GenerationEvent;
use super::parts::{TotalUsage, to_json};
use super::sse::{EventSource, event};

/// A response that consists of chunks.
pub(super) trait ChunkStream: Send + 'static {
    /// The answers that are streamed.
    fn answers(&mut self) -> &mut Answers;

    /// Whether the response is complete.
    fn has_ended(&self) -> bool;

    /// Writes the chunks for an event of answer `i`.
    fn write(&mut self, i: usize, event: GenerationEvent, out: &mut String);

    /// Writes what follows the last answer.
    fn finish(&mut self, out: &mut String);
}

/// The events of a [`ChunkStream`].
pub(super) struct Chunks<S>(pub(super) S);

impl<S: ChunkStream> EventSource for Chunks<S> {
    async fn next(&mut self) -> Option<String> {
        let Self(stream) = self;
        let mut out = String::new();
        while !stream.has_ended() && out.is_empty() {
            let Some((i, event)) = stream.answers().next().await else {
                stream.finish(&mut out);
                break;
            };
            stream.write(i, event, &mut out);
            // One write for all that is there.
            while !stream.has_ended()
                && let Some((i, event)) = stream.answers().take()
            {
                stream.write(i, event, &mut out);
            }
        }
        (!out.is_empty()).then_some(out)
    }
}

/// Writes the usage, if it is asked for, and the end of a response. `head` is what every chunk
/// begins with.
pub(super) fn write_end(head: &str, usage: Option<TotalUsage>, out: &mut String) {
    if let Some(usage) = usage {
        out.push_str(&event(&format!(
            "{head},\"choices\":[],\"usage\":{}}}",
            to_json(&usage.body())
        )));
    }
    out.push_str(&event("[DONE]"));
}
