//! Why the server closes a WebSocket, as its close frame says.

use tokio_tungstenite::tungstenite::Utf8Bytes;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;

use crate::server::access::SessionEnd;

/// Why the server closes a connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum CloseReason {
    /// The server shuts down.
    ShuttingDown,
    /// The client broke the framing of WebSockets.
    Framing,
    /// The client sent a binary message.
    BinaryMessage,
    /// The client sent text that is not UTF-8.
    InvalidUtf8,
    /// The client did not complete a message in time.
    Overdue,
    /// The client sent a message that is longer than allowed.
    TooLong,
    /// The message budget is used up, and the connection is the largest of the account that holds
    /// most.
    MessageBudget,
    /// The connection was idle, and the limit on connections is reached.
    Idle,
    /// The limit on connections is reached, all have requests, and the client's account has most.
    MostConnections,
    /// The limit on connections is reached, and no connection is idle.
    TooManyConnections,
    /// The client's account has its most connections.
    TooManyOfAccount,
    /// The client's key was revoked or changed.
    KeyRevoked,
    /// The client sent no key in time.
    NoKey,
    /// The connection is as old as connections of its API may become.
    TooOld,
}

impl CloseReason {
    /// Why a connection is closed whose session has ended.
    pub(super) fn of_session(end: SessionEnd) -> Self {
        match end {
            SessionEnd::Revoked => Self::KeyRevoked,
            SessionEnd::NoKey => Self::NoKey,
        }
    }

    /// The close frame.
    pub(super) fn frame(self) -> CloseFrame {
        let (code, reason) = match self {
            Self::ShuttingDown => (CloseCode::Away, "the server is shutting down"),
            Self::Framing => (CloseCode::Protocol, "broken WebSocket framing"),
            Self::BinaryMessage => (CloseCode::Unsupported, "binary messages are not supported"),
            Self::InvalidUtf8 => (CloseCode::Invalid, "the text is not UTF-8"),
            Self::Overdue => (CloseCode::Policy, "the message was not complete in time"),
            Self::TooLong => (CloseCode::Size, "the message is too long"),
            Self::MessageBudget => {
                (CloseCode::Again, "no memory is left for this connection's messages")
            }
            Self::Idle => (CloseCode::Again, "idle, and other clients want to connect"),
            Self::MostConnections => {
                (CloseCode::Again, "too many connections, and most of them from this client")
            }
            Self::TooManyConnections => (CloseCode::Again, "too many connections, try again later"),
            Self::TooManyOfAccount => (CloseCode::Again, "too many connections of this client"),
            Self::KeyRevoked => (CloseCode::Library(KEY_REVOKED), "the API key was revoked"),
            Self::TooOld => (CloseCode::Again, "60 minutes are over: open a new connection"),
            Self::NoKey => (CloseCode::Policy, "no API key came in time"),
        };
        CloseFrame { code, reason: Utf8Bytes::from_static(reason) }
    }
}

/// The close code for a key that was revoked or changed, in the range for applications.
const KEY_REVOKED: u16 = 4401;
