//! The frames of the link between the daemon and a runner.
//!
//! Each frame is a length and a message in postcard's format. Both ends are the same program, so
//! the format has no compatibility to keep: the daemon's first frame carries its build, and a
//! runner of another build ends the link.

use std::io;
use std::time::Duration;

use futures_util::{SinkExt, StreamExt};
use serde::de::DeserializeOwned;
use serde::{Deserialize, Serialize};
use tokio::io::{AsyncRead, AsyncWrite};
use tokio_util::bytes::{Buf, Bytes, BytesMut};
use tokio_util::codec::{Decoder, FramedRead, FramedWrite, LengthDelimitedCodec};

use crate::domain::{
    AccountId, AnswerStyle, ConnectionId, Delivery, LoadFailure, MemoryPart, Refusal, Request,
    Snapshot, TextQuery, TextReply,
};

/// Identifies a request on the link. The daemon counts them and uses none twice.
pub(super) type RequestKey = u64;

/// What the daemon sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum ToRunner {
    /// The first frame: load the model that `spec` describes, and serve it.
    Start {
        /// The build of the daemon.
        build: String,
        /// What to load, in a format that the link does not know.
        spec: Vec<u8>,
    },
    /// A request. It is answered by [`FromRunner::Accepted`] or [`FromRunner::Refused`].
    Submit(Box<SubmitFrame>),
    /// The client does not want the answer any more.
    Cancel(RequestKey),
    /// The client has taken this many bytes of what was delivered, so as many more may be sent.
    Credit(RequestKey, usize),
    /// Asks for [`FromRunner::Status`] with the same number.
    Poll(u64),
    /// Asks for [`FromRunner::Answered`] with the same key.
    Query(Box<QueryFrame>),
    /// Refuse new and waiting requests, finish the running ones, then end.
    Drain,
    /// End all requests, then end.
    Stop,
}

/// A request for the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct SubmitFrame {
    pub(super) key: RequestKey,
    pub(super) request: Request,
    /// Time since the server received the request.
    pub(super) age: Duration,
    /// Whether the connection has no other request in flight.
    pub(super) is_first: bool,
    /// Whether an earlier runner has accepted the request. The limit on waiting requests does not
    /// apply to it then.
    pub(super) was_accepted: bool,
}

/// A question for the runner.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) struct QueryFrame {
    /// Identifies the question among all questions.
    pub(super) key: RequestKey,
    /// Whom the work counts for.
    pub(super) account: AccountId,
    pub(super) connection: ConnectionId,
    pub(super) query: TextQuery,
}

/// What a runner sends.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub(super) enum FromRunner {
    /// The model is loaded.
    Ready {
        /// The memory that it takes.
        memory: Vec<MemoryPart>,
        /// Number of layers on GPUs, the output matrix counted as one; `None` if not known.
        offloaded: Option<u32>,
        /// Why conversations are refused; `None` if they are not.
        chat_problem: Option<String>,
        /// What makes its answers worse, one sentence each.
        warnings: Vec<String>,
        /// How the model marks the parts of its answers.
        answer_style: AnswerStyle,
    },
    /// The model was not loaded. The runner ends.
    LoadFailed(LoadFailure),
    /// The request is tokenized and waits for a slot.
    Accepted(RequestKey),
    /// The request was not accepted.
    Refused(RequestKey, Refusal),
    /// What has happened to some requests.
    Deliveries(Vec<(RequestKey, Delivery)>),
    /// Answers [`ToRunner::Poll`].
    Status(u64, Box<Snapshot>),
    /// Answers [`ToRunner::Query`].
    Answered(RequestKey, Result<TextReply, Refusal>),
    /// Too many steps in a row have failed. The runner ends without ending its requests.
    Failing,
    /// All requests have ended, as [`ToRunner::Drain`] or [`ToRunner::Stop`] asked for.
    Ended,
}

/// Reads frames of type `T`.
pub(super) struct FrameReader<R>(FramedRead<R, FrameDecoder>);

impl<R: AsyncRead + Unpin> FrameReader<R> {
    pub(super) fn new(reader: R) -> Self {
        Self(FramedRead::with_capacity(reader, FrameDecoder, BUFFER_BYTES))
    }

    /// Reads the next frame; `None` once the other end has closed the link.
    ///
    /// # Errors
    /// The error of the pipe, and [`io::ErrorKind::InvalidData`] for something that is no frame.
    pub(super) async fn next<T: DeserializeOwned>(&mut self) -> io::Result<Option<T>> {
        let Some(bytes) = self.0.next().await.transpose()? else { return Ok(None) };
        postcard::from_bytes(&bytes)
            .map(Some)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))
    }
}

/// Writes frames.
pub(super) struct FrameWriter<W>(FramedWrite<W, LengthDelimitedCodec>);

impl<W: AsyncWrite + Unpin> FrameWriter<W> {
    pub(super) fn new(writer: W) -> Self {
        let codec = LengthDelimitedCodec::builder().max_frame_length(MAX_FRAME_BYTES).new_codec();
        Self(FramedWrite::new(writer, codec))
    }

    /// Queues a frame. Waits while much is queued.
    ///
    /// # Errors
    /// The error of the pipe, and [`io::ErrorKind::InvalidData`] for a frame that is too long.
    pub(super) async fn feed<T: Serialize>(&mut self, frame: &T) -> io::Result<()> {
        let bytes = postcard::to_stdvec(frame)
            .map_err(|error| io::Error::new(io::ErrorKind::InvalidData, error))?;
        self.0.feed(Bytes::from(bytes)).await
    }

    /// Writes everything that is queued.
    ///
    /// # Errors
    /// The error of the pipe.
    pub(super) async fn flush(&mut self) -> io::Result<()> {
        SinkExt::<Bytes>::flush(&mut self.0).await
    }

    /// Writes a frame at once.
    ///
    /// # Errors
    /// Those of [`Self::feed`].
    pub(super) async fn send<T: Serialize>(&mut self, frame: &T) -> io::Result<()> {
        self.feed(frame).await?;
        self.flush().await
    }
}

/// Takes frames off the bytes that have arrived. [`LengthDelimitedCodec`] would allocate what the
/// length of a frame claims before its bytes arrive, and a runner may be under the control of a
/// model file.
struct FrameDecoder;

impl Decoder for FrameDecoder {
    type Item = Bytes;
    type Error = io::Error;

    fn decode(&mut self, buffer: &mut BytesMut) -> io::Result<Option<Bytes>> {
        let Some(&head) = buffer.first_chunk() else { return Ok(None) };
        let n_bytes = u32::from_be_bytes(head) as usize;
        if n_bytes > MAX_FRAME_BYTES {
            let message = format!("a frame of {n_bytes} bytes is too long");
            return Err(io::Error::new(io::ErrorKind::InvalidData, message));
        }
        if buffer.len() - head.len() < n_bytes {
            return Ok(None);
        }
        buffer.advance(head.len());
        Ok(Some(buffer.split_to(n_bytes).freeze()))
    }
}

/// Longest frame. The largest `--max-message` is 1 GiB, and a request adds little to its message.
const MAX_FRAME_BYTES: usize = (1 << 30) + (1 << 20);

/// What a reader allocates at first. Most frames are much shorter.
const BUFFER_BYTES: usize = 4096;

/// Bytes of deliveries that a runner may send for a request before its client has taken them. A
/// client that reads needs none back before its answer is that long.
pub(super) const CREDIT_BYTES: usize = 32 * 1024;

/// Bytes that a client has taken after which credit for them is sent. Half of the credit, so that
/// the runner hears in time and seldom.
pub(super) const CREDIT_STEP_BYTES: usize = CREDIT_BYTES / 2;

#[cfg(test)]
mod tests {
    use super::*;

    #[tokio::test]
    async fn frame_that_was_written_is_read_again() {
        let (daemon, runner) = tokio::io::duplex(64);
        let (mut writer, mut reader) = (FrameWriter::new(daemon), FrameReader::new(runner));
        let start = ToRunner::Start { build: "1".to_owned(), spec: vec![7; 1000] };
        let (written, read) = tokio::join!(writer.send(&start), reader.next::<ToRunner>());
        written.unwrap();
        assert_eq!(read.unwrap(), Some(start));
        drop(writer);
        assert_eq!(reader.next::<ToRunner>().await.unwrap(), None);
    }

    #[test]
    fn length_of_a_frame_allocates_nothing_before_its_bytes() {
        let mut buffer = BytesMut::from(&[0x3f, 0xff, 0xff, 0xff, 1, 2][..]);
        assert_eq!(FrameDecoder.decode(&mut buffer).unwrap(), None);
        assert!(buffer.capacity() < 100, "{} bytes", buffer.capacity());
        let mut buffer = BytesMut::from(&[0xff; 4][..]);
        assert!(FrameDecoder.decode(&mut buffer).unwrap_err().to_string().contains("4294967295"));
    }

    #[tokio::test]
    async fn frame_that_ends_early_is_an_error() {
        for bytes in [&[0, 0][..], &[0, 0, 0, 2, 0]] {
            assert!(FrameReader::new(bytes).next::<ToRunner>().await.is_err(), "{bytes:?}");
        }
    }

    #[tokio::test]
    async fn frame_of_another_format_is_an_error() {
        let mut reader = FrameReader::new(&[0, 0, 0, 1, 0xff][..]);
        let error = reader.next::<FromRunner>().await.unwrap_err();
        assert_eq!(error.kind(), io::ErrorKind::InvalidData);
    }
}
