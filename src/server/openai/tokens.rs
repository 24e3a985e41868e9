//! `/tokenize`, `/detokenize` and `/apply-template`, in the forms of llama.cpp's server and of
//! vLLM.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use crate::domain::{Conversation, Prompt, Refusal, TextQuery, TextReply, Token};
use crate::server::json::{AtMost, TokenId, Whole};
use crate::server::openapi::Operation;
use crate::server::shared::Shared;

use super::body::{ParsedBody, read_json};
use super::call::{ApiAnswer, ApiCall, serve};
use super::client::ApiClient;
use super::conversation::conversation;
use super::error::{ApiError, ErrorBody};
use super::fields::CompletionBody;
use super::parts::to_json;
use super::token_forms::PromptField;

/// How the tokens of a text or of a conversation are asked for.
pub(super) fn tokenizing() -> Operation {
    Operation::post(tokenize, "The tokens of a text or of a conversation")
        .reads::<CompletionBody>(&["content", "prompt", "messages"])
        .answers::<TokensBody>()
        .of_api::<ErrorBody<'_>>()
}

/// How the text of tokens is asked for.
pub(super) fn detokenizing() -> Operation {
    Operation::post(detokenize, "The text of tokens")
        .reads::<DetokenizeBody>(&[])
        .answers::<TokensText>()
        .of_api::<ErrorBody<'_>>()
}

/// How the prompt that the chat template makes of a conversation is asked for.
pub(super) fn rendering() -> Operation {
    Operation::post(apply_template, "The prompt of a conversation")
        .reads::<CompletionBody>(&["messages"])
        .answers::<RenderedPrompt>()
        .of_api::<ErrorBody<'_>>()
}

/// The tokens of a text or of a conversation.
#[derive(Debug, Serialize, JsonSchema)]
struct TokensBody {
    tokens: Vec<Token>,
    count: usize,
    /// Most tokens of a prompt and its answer.
    max_model_len: usize,
}

/// The text of tokens, under the names of llama.cpp's server and of vLLM.
#[derive(Debug, Serialize, JsonSchema)]
struct TokensText {
    content: String,
    prompt: String,
}

/// A conversation as the model reads it.
#[derive(Debug, Serialize, JsonSchema)]
struct RenderedPrompt {
    prompt: String,
}

/// Serves a request for the tokens of a text or of a conversation.
async fn tokenize(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, tokens_of).await
}

/// Serves a request for the text of tokens.
async fn detokenize(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, text_of).await
}

/// Serves a request for the prompt that the chat template makes of a conversation.
async fn apply_template(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, rendered).await
}

/// The body of a request for the text of tokens.
#[derive(Debug, Deserialize, JsonSchema)]
struct DetokenizeBody {
    tokens: AtMost<Whole<TokenId>, MAX_TOKENS>,
}

async fn tokens_of(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, .. } = call;
    let ParsedBody { value, ignored, n_bytes, charge: _charge } =
        read_json::<CompletionBody>(&client, &headers, body).await?;
    let prompt = prompt(value).inspect_err(|error| client.refused(error))?;
    let tokens = client.tokens(n_bytes, prompt).await?;
    let max_model_len = client.shared.model.limits().ctx_size;
    let body = TokensBody { count: tokens.len(), tokens, max_model_len };
    let mut answer = ApiAnswer::json(to_json(&body));
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

async fn text_of(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, .. } = call;
    let ParsedBody { value, ignored, n_bytes, charge: _charge } =
        read_json::<DetokenizeBody>(&client, &headers, body).await?;
    let id = |id: Whole<TokenId>| Token::try_from(id.get()).unwrap_or(Token::MAX);
    let tokens = value.tokens.0.into_iter().map(id).collect();
    let text = client.text(n_bytes, tokens).await?;
    let mut answer = ApiAnswer::json(to_json(&TokensText { content: text.clone(), prompt: text }));
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

/// The prompt of a conversation, as the model reads it: the text of its tokens.
async fn rendered(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, .. } = call;
    let ParsedBody { mut value, ignored, n_bytes, charge: _charge } =
        read_json::<CompletionBody>(&client, &headers, body).await?;
    let conversation = conversation(&mut value).inspect_err(|error| client.refused(error))?;
    let tokens = client.tokens(n_bytes, Prompt::Chat(Box::new(conversation))).await?;
    let prompt = client.text(n_bytes, tokens).await?;
    let mut answer = ApiAnswer::json(to_json(&RenderedPrompt { prompt }));
    ignored.add_to(answer.response_mut());
    Ok(answer)
}

/// What is to be tokenized.
fn prompt(mut body: CompletionBody) -> Result<Prompt, ApiError> {
    if body.messages.is_some() {
        return Ok(Prompt::Chat(Box::new(conversation(&mut body)?)));
    }
    let text = match body.prompt {
        _ if body.content.is_some() => body.content,
        Some(PromptField::Texts(texts)) if texts.len() == 1 => texts.into_iter().next(),
        Some(_) => return Err(ApiError::invalid("prompt", "must be a string")),
        None => None,
    };
    match text {
        Some(text) => Ok(Prompt::Text(text)),
        None => Err(ApiError::invalid("content", "is missing: send a string, or messages")),
    }
}

impl ApiClient {
    /// The number of tokens of a conversation, also of one that the context cannot hold.
    ///
    /// # Errors
    /// A limit of the client is reached, or the question has no answer. The error was counted.
    pub(in crate::server) async fn count_tokens(
        &self,
        n_bytes: usize,
        conversation: Conversation,
    ) -> Result<usize, ApiError> {
        let query = TextQuery::Tokenize(Prompt::Chat(Box::new(conversation)));
        match self.try_ask(n_bytes, query).await {
            Ok(Ok(TextReply::Tokens(tokens))) => Ok(tokens.len()),
            Ok(Ok(TextReply::Text(_))) => Ok(0),
            Ok(Err(Refusal::ContextOverflow { prompt_tokens, is_lower_bound: false, .. })) => {
                Ok(prompt_tokens)
            }
            Ok(Err(refusal)) => Err(refusal.into()),
            Err(error) => Err(error),
        }
        .inspect_err(|error| self.refused(error))
    }

    async fn tokens(&self, n_bytes: usize, prompt: Prompt) -> Result<Vec<Token>, ApiError> {
        Ok(match self.ask(n_bytes, TextQuery::Tokenize(prompt)).await? {
            TextReply::Tokens(tokens) => tokens,
            TextReply::Text(_) => Vec::new(),
        })
    }

    async fn text(&self, n_bytes: usize, tokens: Vec<Token>) -> Result<String, ApiError> {
        Ok(match self.ask(n_bytes, TextQuery::Detokenize(tokens)).await? {
            TextReply::Text(text) => text,
            TextReply::Tokens(_) => String::new(),
        })
    }

    /// Asks the model about its vocabulary, for a message of `n_bytes`.
    ///
    /// # Errors
    /// A limit of the client is reached, or the question has no answer. The error was counted.
    async fn ask(&self, n_bytes: usize, query: TextQuery) -> Result<TextReply, ApiError> {
        let asked = self.try_ask(n_bytes, query).await;
        let result = asked.and_then(|reply| reply.map_err(ApiError::from));
        result.inspect_err(|error| self.refused(error))
    }

    /// As [`Self::ask`], with the refusal of the model as it is, and without counting errors.
    async fn try_ask(
        &self,
        n_bytes: usize,
        query: TextQuery,
    ) -> Result<Result<TextReply, Refusal>, ApiError> {
        let asked = async {
            let mut request = self.caller.admit(n_bytes)?;
            request.started();
            let model = &self.shared.model;
            Ok(model.query(self.account(), self.connection, query).await)
        };
        tokio::select! {
            result = asked => result,
            error = self.interrupted() => Err(error),
        }
    }
}

/// Most tokens of a request.
const MAX_TOKENS: usize = 1 << 20;
