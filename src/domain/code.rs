//! The stable codes of how a request ends.
//!
//! One table serves every surface: `finish_reason` of the `end` frame, `code` of the `error` frame,
//! the `outcome` label of `/metrics`, and the log.

macro_rules! codes {
    ($( $(#[$doc:meta])* $name:ident = $text:literal, )*) => {
        /// How a request ended, or why it was refused.
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        pub enum Code {
            $( $(#[$doc])* $name, )*
        }

        impl Code {
            /// Every code. `code as usize` is the position of `code` in this array.
            pub const ALL: &'static [Self] = &[$(Self::$name),*];

            /// The code as clients, logs and metrics spell it.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$name => $text,)*
                }
            }
        }
    };
}

codes! {
    /// The model ended the text, or a stop string was found.
    Stop = "stop",
    /// The answer has `max_tokens` tokens, or the context is full.
    Length = "length",
    /// The client aborted the request or disconnected.
    Abort = "abort",
    /// The client did not read its text in time.
    SlowClient = "slow_client",
    /// The model could not compute the request, or its process ended.
    EngineFailed = "engine_failed",
    /// The engine made no progress for too long.
    EngineStalled = "engine_stalled",
    /// The server is shutting down.
    ShuttingDown = "shutting_down",
    /// The model is still loading.
    Loading = "loading",
    /// The queue is full, or the connection has too many requests.
    Busy = "busy",
    /// The prompt leaves no space for an answer.
    ContextOverflow = "context_overflow",
    /// A parameter, a message or the prompt cannot be used.
    InvalidParams = "invalid_params",
    /// The message is not JSON, or is nested too deeply.
    BadJson = "bad_json",
    /// The message is JSON, but not a valid frame.
    BadFrame = "bad_frame",
    /// The frame's `op` is unknown.
    UnknownOp = "unknown_op",
    /// The connection already has a request without an `id`.
    RequestInFlight = "request_in_flight",
    /// The connection already has a request with this `id`.
    DuplicateId = "duplicate_id",
    /// There is no request to abort. This is the reply to `abort`, and no request ends with it.
    NotFound = "not_found",
    /// The client has sent no API key, or a wrong one, or its key was revoked.
    Unauthorized = "unauthorized",
    /// The client's API key does not have the right.
    Forbidden = "forbidden",
    /// A limit of the client's API key or address is reached.
    RateLimited = "rate_limited",
}

impl Code {
    /// Whether the code appears in `error` frames; the others are finish reasons.
    pub fn is_error(self) -> bool {
        !matches!(self, Self::Stop | Self::Length | Self::Abort)
    }

    /// Whether a request can end with this code.
    pub fn ends_a_request(self) -> bool {
        self != Self::NotFound
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn code_as_number_is_its_position_in_the_list_of_all() {
        for (position, &code) in Code::ALL.iter().enumerate() {
            assert_eq!(code as usize, position, "{code:?}");
        }
    }
}
