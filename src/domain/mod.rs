//! The types that all other modules share: requests and their parameters, outcomes, tokens, facts
//! about the model and the GPUs, and what the engine reports about itself.
//!
//! They are plain data and depend on no wire format: serde makes them portable between the daemon
//! and its runner. The modules that deal with a wire format or a library convert to and from these
//! types.

mod access;
mod authority;
mod code;
mod conversation;
mod delivery;
mod gpu;
mod model;
mod origin;
mod outcome;
mod params;
mod request;
mod sandbox;
mod stats;
mod text_query;
mod token;
mod trusted_proxy;

pub use access::{AccountLimits, ApiKey, Right, Rights};
pub use authority::{AllowedHost, Authority, InvalidHost};
pub use code::Code;
pub use conversation::{
    AnswerStart, AnswerStyle, Constraint, Conversation, JsonText, Message, Role, ThinkingStyle,
    Tool, ToolCall, ToolCallStyle, ToolChoice,
};
pub use delivery::Delivery;
pub use gpu::{Gpu, GpuReading, Throttle};
pub use model::{LoadFailure, MemoryPart, ModelInfo};
pub use origin::{AllowedOrigin, InvalidOrigin, Origin};
pub use outcome::{Failure, FinishReason, Outcome, Refusal, Usage};
pub use params::{Params, Range, Speculation};
pub use request::{AccountId, ConnectionId, Prompt, Request};
pub use sandbox::SandboxMode;
pub use stats::{
    BATCH_BOUNDS, DURATION_BOUNDS, Distribution, EngineState, Histograms, Metric, MetricKind,
    MetricUnit, Numbers, Phase, Snapshot,
};
pub(crate) use stats::{engine_histograms, engine_numbers};
pub use text_query::{TextQuery, TextReply};
pub use token::{Logprob, Token, TokenLogprobs};
pub use trusted_proxy::{InvalidProxy, TrustedProxy};
