//! The types that all other modules share: requests and their parameters, outcomes, tokens, and
//! facts about the model and the GPUs.
//!
//! They are plain data and depend on no wire format and no library. The modules that deal with a
//! wire format or a library convert to and from these types.

mod code;
mod gpu;
mod model;
mod origin;
mod outcome;
mod params;
mod request;
mod token;

pub use code::Code;
pub use gpu::{Gpu, GpuReading, Throttle};
pub use model::{MemoryPart, ModelInfo};
pub use origin::{Authority, InvalidOrigin, Origin};
pub use outcome::{Failure, FinishReason, Outcome, Refusal, Usage};
pub use params::{Params, Range, Speculation};
pub use request::{ConnectionId, Message, Prompt, Request, Role};
pub use token::{Logprob, Token, TokenLogprobs};
