//! `/v1/chat/completions`: the answer to a conversation, whole (`whole`) or as server-sent events
//! (`stream`).

mod stream;
mod whole;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;

use crate::domain::{Params, Prompt};
use crate::server::openapi::Operation;
use crate::server::shared::Shared;

use super::answers::{Answers, AnswersRequest};
use super::body::{ParsedBody, read_json};
use super::call::{ApiAnswer, ApiCall, serve};
use super::chunks::Chunks;
use super::constraint::constraint;
use super::conversation::conversation;
use super::error::{ApiError, ErrorBody};
use super::field_names::FieldNames;
use super::fields::CompletionBody;
use super::forms::FlagOrNumber;
use super::sampling::{n_answers, params};

use self::stream::ChatStream;
use self::whole::{ChatCompletion, whole};

/// How a chat completion is asked for.
pub(super) fn operation() -> Operation {
    Operation::post(chat_completions, "Answers a conversation")
        .reads::<CompletionBody>(&["messages"])
        .answers::<ChatCompletion>()
        .answers_text(&["text/event-stream"])
        .of_api::<ErrorBody<'_>>()
}

/// Serves a request for a chat completion.
async fn chat_completions(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, answer).await
}

/// What a request asks for, beside what the model is asked.
#[derive(Debug, Clone, Copy)]
struct ChatOptions {
    is_streamed: bool,
    includes_usage: bool,
    /// Alternatives to each token; `None` without log probabilities.
    n_top: Option<usize>,
}

async fn answer(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, received } = call;
    let ParsedBody { value, mut ignored, n_bytes, charge } =
        read_json::<CompletionBody>(&client, &headers, body).await?;
    if value.content.is_some() {
        ignored.add("content");
    }
    let ReadChat { prompt, params, names, n, options } =
        read(value).inspect_err(|error| client.refused(error))?;
    let (prompts, is_streamed) = (vec![prompt], options.is_streamed);
    let request =
        AnswersRequest { prompts, params, is_streamed, names, n, n_bytes, charge, received };
    let mut answers = Answers::start(&client, request)?;
    let mut answer = if options.is_streamed {
        answers.accepted().await?;
        ApiAnswer::events(&client, Chunks(ChatStream::new(&client.shared, answers, options)))
    } else {
        ApiAnswer::json(whole(&client, answers, options).await?)
    };
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

/// What a body asks for.
struct ReadChat {
    prompt: Prompt,
    params: Params,
    names: FieldNames,
    /// Number of answers.
    n: usize,
    options: ChatOptions,
}

/// Reads a request.
fn read(mut body: CompletionBody) -> Result<ReadChat, ApiError> {
    if body.prompt.is_some() {
        return Err(ApiError::invalid("prompt", "is for /v1/completions: send messages"));
    }
    let of_completions = [
        ("echo", body.echo == Some(true)),
        ("suffix", body.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty())),
        ("best_of", body.best_of.is_some_and(|best_of| best_of.get() != 1)),
    ];
    if let Some((field, _)) = of_completions.into_iter().find(|(_, is_sent)| *is_sent) {
        return Err(ApiError::invalid(field, "is not for conversations: leave it out"));
    }
    let n_top = top_logprobs(&body)?;
    let (constraint, constraint_field) = constraint(&mut body)?.unzip();
    let (params, max_tokens) = params(&body)?;
    let params = Params {
        // The chosen token has its probability in any case.
        logprobs: n_top.map_or(0, |n| n.max(1) as u8),
        constraint,
        constraint_field,
        ..params
    };
    let n = n_answers(&body);
    let options = ChatOptions {
        is_streamed: body.stream.unwrap_or(false),
        includes_usage: includes_usage(&body),
        n_top,
    };
    let conversation = conversation(&mut body)?;
    let prompt = Prompt::Chat(Box::new(conversation));
    let names = FieldNames { max_tokens, ..CHAT_NAMES };
    Ok(ReadChat { prompt, params, names, n, options })
}

/// Whether the last chunk of a streamed answer has the usage.
pub(super) fn includes_usage(body: &CompletionBody) -> bool {
    body.stream_options.as_ref().and_then(|options| options.include_usage).unwrap_or(false)
}

/// Alternatives to each token; `None` without log probabilities.
fn top_logprobs(body: &CompletionBody) -> Result<Option<usize>, ApiError> {
    let n_top = body.top_logprobs.map(|n| n.get() as usize);
    match body.logprobs {
        Some(FlagOrNumber::Flag(true)) => Ok(Some(n_top.unwrap_or(0))),
        Some(FlagOrNumber::Number(_)) => {
            Err(ApiError::invalid("logprobs", "must be true or false: top_logprobs is the number"))
        }
        None | Some(FlagOrNumber::Flag(false)) => match n_top {
            None | Some(0) => Ok(None),
            Some(_) => Err(ApiError::invalid("top_logprobs", "needs logprobs to be true")),
        },
    }
}

/// What clients of chat completions call fields, if a request does not say otherwise.
pub(super) const CHAT_NAMES: FieldNames = FieldNames {
    max_tokens: "max_completion_tokens",
    messages: "messages",
    parameters: "function.parameters",
};
