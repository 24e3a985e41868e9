//! `/v1/completions`: the continuation of raw texts, whole or as server-sent events (`stream`).

mod stream;

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::AnswerEvent;
use crate::domain::{Params, Prompt, TokenLogprobs};
use crate::server::openapi::Operation;
use crate::server::shared::Shared;

use super::answers::{Answers, AnswersRequest};
use super::body::{ParsedBody, read_json};
use super::call::{ApiAnswer, ApiCall, serve};
use super::chat::{CHAT_NAMES, includes_usage};
use super::chunks::Chunks;
use super::client::ApiClient;
use super::constraint::constraint;
use super::error::{ApiError, ErrorBody};
use super::field_names::FieldNames;
use super::fields::CompletionBody;
use super::forms::FlagOrNumber;
use super::generation::{GenerationEnd, GenerationEvent};
use super::parts::{
    AnswerHead, TextLogprobs, TextOffset, TotalUsage, UsageBody, finish_reason, to_json,
};
use super::sampling::{n_answers, params};
use super::token_forms::PromptField;

use self::stream::CompletionStream;

/// How completions are asked for.
pub(super) fn operation() -> Operation {
    Operation::post(completions, "Continues texts")
        .reads::<CompletionBody>(&["prompt"])
        .answers::<TextCompletion>()
        .answers_text(&["text/event-stream"])
        .of_api::<ErrorBody<'_>>()
}

/// Serves a request for completions.
async fn completions(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, answer).await
}

/// What a request asks for, beside what the model is asked.
#[derive(Debug, Clone, Copy)]
struct CompletionOptions {
    is_streamed: bool,
    includes_usage: bool,
    /// Answers to each prompt.
    n: usize,
    /// Alternatives to each token; `None` without log probabilities.
    n_top: Option<usize>,
}

async fn answer(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, received } = call;
    let ParsedBody { value, mut ignored, n_bytes, charge } =
        read_json::<CompletionBody>(&client, &headers, body).await?;
    value.ignore_conversation(&mut ignored);
    if value.content.is_some() {
        ignored.add("content");
    }
    let ReadCompletion { prompts, params, names, options } =
        read(value).inspect_err(|error| client.refused(error))?;
    let CompletionOptions { is_streamed, n, .. } = options;
    let request =
        AnswersRequest { prompts, params, is_streamed, names, n, n_bytes, charge, received };
    let mut answers = Answers::start(&client, request)?;
    let mut answer = if options.is_streamed {
        answers.accepted().await?;
        ApiAnswer::events(&client, Chunks(CompletionStream::new(&client.shared, answers, options)))
    } else {
        ApiAnswer::json(whole(&client, answers, options).await?)
    };
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

/// What a body asks for.
struct ReadCompletion {
    prompts: Vec<Prompt>,
    params: Params,
    names: FieldNames,
    options: CompletionOptions,
}

/// Reads a request.
fn read(mut body: CompletionBody) -> Result<ReadCompletion, ApiError> {
    if body.messages.is_some() {
        return Err(ApiError::invalid("messages", "are for /v1/chat/completions: send a prompt"));
    }
    if body.suffix.as_ref().is_some_and(|suffix| !suffix.is_empty()) {
        let reason = "is not supported: the model continues texts and fills no gaps";
        return Err(ApiError::invalid("suffix", reason));
    }
    if body.echo == Some(true) {
        let reason = "is not supported: an answer does not repeat its prompt";
        return Err(ApiError::invalid("echo", reason));
    }
    let n = n_answers(&body);
    if body.best_of.is_some_and(|best_of| best_of.get() != n as i64) {
        let reason = "is not supported: ask for n answers and choose";
        return Err(ApiError::invalid("best_of", reason));
    }
    let prompts: Vec<Prompt> = match body.prompt.take() {
        None => return Err(ApiError::invalid("prompt", "is missing: send a string")),
        Some(PromptField::Texts(texts)) => texts.into_iter().map(Prompt::Text).collect(),
        Some(PromptField::Tokens(lists)) => lists.into_iter().map(Prompt::Tokens).collect(),
    };
    if prompts.is_empty() {
        return Err(ApiError::invalid("prompt", "must not be empty"));
    }
    if prompts.len() * n > MAX_ANSWERS {
        let reason = format_args!("and n ask for more than {MAX_ANSWERS} answers");
        return Err(ApiError::invalid("prompt", reason));
    }
    let n_top = match body.logprobs {
        None | Some(FlagOrNumber::Flag(false)) => None,
        Some(FlagOrNumber::Flag(true)) => Some(0),
        Some(FlagOrNumber::Number(number)) => Some(number.get() as usize),
    };
    let (constraint, constraint_field) = constraint(&mut body)?.unzip();
    let (params, max_tokens) = params(&body)?;
    let params = Params {
        // The chosen token has its probability in any case.
        logprobs: n_top.map_or(0, |n| n.max(1) as u8),
        constraint,
        constraint_field,
        ..params
    };
    let names = FieldNames { max_tokens, ..CHAT_NAMES };
    let options = CompletionOptions {
        is_streamed: body.stream.unwrap_or(false),
        includes_usage: includes_usage(&body),
        n,
        n_top,
    };
    Ok(ReadCompletion { prompts, params, names, options })
}

/// One answer, as far as it has come.
#[derive(Debug, Default, Clone)]
struct CompletionText {
    text: String,
    logprobs: Vec<TokenLogprobs>,
    end: Option<GenerationEnd>,
}

/// Waits for all answers. Returns the body of the response.
async fn whole(
    client: &Arc<ApiClient>,
    mut answers: Answers,
    options: CompletionOptions,
) -> Result<String, ApiError> {
    let mut texts = vec![CompletionText::default(); answers.len()];
    let mut usage = TotalUsage::default();
    let mut charge = client.share.empty();
    while let Some((i, event)) = answers.next().await {
        match event {
            GenerationEvent::Queued(_) => {}
            GenerationEvent::Answer { events, mut logprobs } => {
                let text = text_of(events);
                let n_bytes = text.len() + logprobs.len() * LOGPROB_BYTES;
                charge.set(charge.bytes() + n_bytes);
                texts[i].text.push_str(&text);
                texts[i].logprobs.append(&mut logprobs);
            }
            GenerationEvent::Ended(end) => {
                usage.add(&end.usage, i.is_multiple_of(options.n));
                texts[i].end = Some(end);
            }
            GenerationEvent::Failed(error) => return Err(error),
        }
    }
    let choices = texts.into_iter().enumerate();
    let choices = choices.map(|(index, CompletionText { text, logprobs, end })| TextChoice {
        index,
        text,
        logprobs: options
            .n_top
            .map(|n_top| TextLogprobs::new(&logprobs, n_top, &mut TextOffset::default())),
        finish_reason: end.map(|end| finish_reason(end.reason, false)),
    });
    let completion = TextCompletion {
        head: AnswerHead::new(&client.shared, "cmpl-", "text_completion"),
        choices: choices.collect(),
        usage: usage.body(),
    };
    Ok(to_json(&completion))
}

/// Continuations of texts.
#[derive(Debug, Serialize, JsonSchema)]
struct TextCompletion {
    #[serde(flatten)]
    head: AnswerHead,
    choices: Vec<TextChoice>,
    usage: UsageBody,
}

/// One continuation.
#[derive(Debug, Serialize, JsonSchema)]
struct TextChoice {
    index: usize,
    text: String,
    logprobs: Option<TextLogprobs>,
    finish_reason: Option<&'static str>,
}

/// The text of events, of which raw answers have no others.
fn text_of(events: Vec<AnswerEvent>) -> String {
    let text = |event| match event {
        AnswerEvent::Text(text) => Some(text),
        _ => None,
    };
    events.into_iter().filter_map(text).collect()
}

/// Most answers to one request: as many as a WebSocket may have in flight.
const MAX_ANSWERS: usize = 64;

/// About the bytes of a token with its log probabilities.
const LOGPROB_BYTES: usize = 256;
