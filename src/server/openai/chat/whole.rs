//! A chat completion as one response.

use std::sync::Arc;

use serde_json::{Map, Value, json};

use crate::answer::AnswerEvent;
use crate::domain::TokenLogprobs;
use crate::server::ids::new_call_id;
use crate::server::openai::answers::Answers;
use crate::server::openai::client::ApiClient;
use crate::server::openai::error::ApiError;
use crate::server::openai::generation::{GenerationEnd, GenerationEvent};
use crate::server::openai::parts::{TotalUsage, chat_logprobs, finish_reason, head};

use super::ChatOptions;

/// Waits for all answers. Returns the body of the response.
///
/// # Errors
/// One of the answers failed.
pub(super) async fn whole(
    client: &Arc<ApiClient>,
    mut answers: Answers,
    options: ChatOptions,
) -> Result<String, ApiError> {
    let mut choices = vec![WholeChoice::default(); answers.len()];
    let mut usage = TotalUsage::default();
    let mut warnings = Vec::new();
    let mut charge = client.share.empty();
    while let Some((i, event)) = answers.next().await {
        match event {
            GenerationEvent::Queued(_) => {}
            GenerationEvent::Answer { events, logprobs } => {
                let n_bytes = choices[i].add(events, logprobs);
                charge.set(charge.bytes() + n_bytes);
            }
            GenerationEvent::Ended(mut end) => {
                usage.add(&end.usage, i == 0);
                warnings.append(&mut end.warnings);
                choices[i].end = Some(end);
            }
            GenerationEvent::Failed(error) => return Err(error),
        }
    }
    let choices: Vec<Value> =
        choices.into_iter().enumerate().map(|(i, choice)| choice.json(i, options.n_top)).collect();
    let mut rest = json!({ "choices": choices, "usage": usage.json() });
    if !warnings.is_empty() {
        rest["warnings"] = warnings.into();
    }
    let rest = rest.to_string();
    let head = head(&client.shared, "chatcmpl-", "chat.completion");
    // The rest begins with a brace.
    Ok(format!("{head},{}", &rest[1..]))
}

/// One answer, as far as it has come.
#[derive(Debug, Default, Clone)]
struct WholeChoice {
    reasoning: String,
    text: String,
    calls: Vec<AnsweredCall>,
    logprobs: Vec<TokenLogprobs>,
    end: Option<GenerationEnd>,
}

/// A call of a tool.
#[derive(Debug, Clone)]
struct AnsweredCall {
    name: String,
    arguments: String,
}

impl WholeChoice {
    /// Adds a part of the answer. Returns about the bytes that it takes.
    fn add(&mut self, events: Vec<AnswerEvent>, mut logprobs: Vec<TokenLogprobs>) -> usize {
        let mut n_bytes = logprobs.iter().map(|token| (1 + token.top.len()) * LOGPROB_BYTES).sum();
        self.logprobs.append(&mut logprobs);
        for event in events {
            match event {
                AnswerEvent::Reasoning(text) => {
                    n_bytes += text.len();
                    self.reasoning.push_str(&text);
                }
                AnswerEvent::Text(text) => {
                    n_bytes += text.len();
                    self.text.push_str(&text);
                }
                AnswerEvent::CallBegan { name } => {
                    n_bytes += name.len();
                    self.calls.push(AnsweredCall { name, arguments: String::new() });
                }
                AnswerEvent::CallArguments(text) => {
                    n_bytes += text.len();
                    if let Some(call) = self.calls.last_mut() {
                        call.arguments.push_str(&text);
                    }
                }
                // No call is told before it is complete.
                AnswerEvent::CallEnded | AnswerEvent::CallBroken | AnswerEvent::Warning(_) => {}
            }
        }
        n_bytes
    }

    /// The entry of `choices` with this index.
    fn json(self, index: usize, n_top: Option<usize>) -> Value {
        let Self { reasoning, text, calls, logprobs, end } = self;
        let has_calls = !calls.is_empty();
        let mut message = Map::new();
        message.insert("role".to_owned(), "assistant".into());
        let content = if has_calls && text.is_empty() { Value::Null } else { text.into() };
        message.insert("content".to_owned(), content);
        message.insert("refusal".to_owned(), Value::Null);
        if !reasoning.is_empty() {
            message.insert("reasoning_content".to_owned(), reasoning.into());
        }
        if has_calls {
            let call = |AnsweredCall { name, arguments }: AnsweredCall| {
                let function = json!({ "name": name, "arguments": arguments });
                json!({ "id": new_call_id(), "type": "function", "function": function })
            };
            message.insert("tool_calls".to_owned(), calls.into_iter().map(call).collect());
        }
        json!({
            "index": index,
            "message": message,
            "logprobs": n_top.map(|n_top| chat_logprobs(&logprobs, n_top)),
            "finish_reason": end.map(|end| finish_reason(end.reason, has_calls)),
        })
    }
}

/// About the bytes of a token with its log probability.
const LOGPROB_BYTES: usize = 64;
