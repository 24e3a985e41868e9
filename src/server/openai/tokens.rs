//! `/tokenize`, `/detokenize` and `/apply-template`, in the forms of llama.cpp's server and of
//! vLLM.

use std::sync::Arc;

use axum::extract::{Request, State};
use axum::response::Response;
use serde::Deserialize;
use serde_json::json;

use crate::domain::{Prompt, TextQuery, TextReply, Token};
use crate::server::json::{AtMost, TokenId, Whole};
use crate::server::shared::Shared;

use super::body::{ParsedBody, read_json};
use super::call::{ApiAnswer, ApiCall, serve};
use super::client::ApiClient;
use super::conversation::conversation;
use super::error::ApiError;
use super::fields::CompletionBody;
use super::token_forms::PromptField;

/// Serves a request for the tokens of a text or of a conversation.
pub(super) async fn tokenize(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, tokens_of).await
}

/// Serves a request for the text of tokens.
pub(super) async fn detokenize(State(shared): State<Arc<Shared>>, request: Request) -> Response {
    serve(shared, request, text_of).await
}

/// Serves a request for the prompt that the chat template makes of a conversation.
pub(super) async fn apply_template(
    State(shared): State<Arc<Shared>>,
    request: Request,
) -> Response {
    serve(shared, request, rendered).await
}

/// The body of a request for the text of tokens.
#[derive(Debug, Deserialize)]
struct DetokenizeBody {
    tokens: AtMost<Whole<TokenId>, MAX_TOKENS>,
}

async fn tokens_of(call: ApiCall) -> Result<ApiAnswer, ApiError> {
    let ApiCall { client, headers, body, .. } = call;
    let ParsedBody { value, ignored, n_bytes, charge: _charge } =
        read_json::<CompletionBody>(&client, &headers, body).await?;
    let prompt = prompt(value).inspect_err(|error| client.refused(error))?;
    let tokens = client.tokens(n_bytes, prompt).await?;
    let limit = client.shared.model.limits().ctx_size;
    let body = json!({ "tokens": tokens, "count": tokens.len(), "max_model_len": limit });
    let mut answer = ApiAnswer::json(body.to_string());
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
    let mut answer = ApiAnswer::json(json!({ "content": text, "prompt": text }).to_string());
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
    let text = client.text(n_bytes, tokens).await?;
    let mut answer = ApiAnswer::json(json!({ "prompt": text }).to_string());
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
    pub(in crate::server) async fn ask(
        &self,
        n_bytes: usize,
        query: TextQuery,
    ) -> Result<TextReply, ApiError> {
        let asked = async {
            let mut request = self.caller.admit(n_bytes)?;
            request.started();
            let model = &self.shared.model;
            Ok(model.query(self.account(), self.connection, query).await?)
        };
        let result = tokio::select! {
            result = asked => result,
            error = self.interrupted() => Err(error),
        };
        result.inspect_err(|error| self.refused(error))
    }
}

/// Most tokens of a request.
const MAX_TOKENS: usize = 1 << 20;
