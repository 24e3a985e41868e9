//! What a WebSocket connection is for: the protocol or, in builds for conformance tests, an echo.
//!
//! The feature `echo` adds the path `/echo`. Its connections are opened, read, written and closed
//! as all others are, but every message is sent back, and the server says nothing by itself. The
//! daemon does not build with the feature.

use crate::protocol::Quoted;

/// Whether the server sends `metrics` frames before the client asks for them: not if `query`, of
/// the address, has `metrics=0`.
///
/// # Errors
/// What is wrong with the query, if `metrics` has another value than 0 or 1.
pub(in crate::server) fn wants_metrics(query: Option<&str>) -> Result<bool, String> {
    let mut pairs = query.unwrap_or_default().split('&');
    match pairs.find_map(|pair| pair.strip_prefix("metrics=")) {
        None | Some("1") => Ok(true),
        Some("0") => Ok(false),
        Some(other) => Err(format!("metrics in the address must be 0 or 1, not {}", Quoted(other))),
    }
}

/// What a connection is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum ConnectionKind {
    /// Frames of the protocol.
    Protocol,
    /// Every message is sent back.
    #[cfg(feature = "echo")]
    Echo,
}

impl ConnectionKind {
    /// The kind of the connections on `path`.
    pub(in crate::server) fn on_path(path: &str) -> Self {
        match path {
            #[cfg(feature = "echo")]
            "/echo" => Self::Echo,
            _ => Self::Protocol,
        }
    }

    /// The first frame: `hello`, or an empty text, which the writer takes as a sign to send neither
    /// it nor `metrics` frames.
    pub(super) fn greeting(self, hello: String) -> String {
        match self {
            Self::Protocol => hello,
            #[cfg(feature = "echo")]
            Self::Echo => String::new(),
        }
    }

    /// Whether messages are sent back.
    #[cfg(feature = "echo")]
    pub(super) fn is_echo(self) -> bool {
        self == Self::Echo
    }
}
