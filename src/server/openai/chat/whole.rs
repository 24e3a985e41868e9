//! A chat completion as one response.

use std::sync::Arc;

use schemars::JsonSchema;
use serde::Serialize;

use crate::answer::AnswerEvent;
use crate::domain::TokenLogprobs;
use crate::server::ids::new_call_id;
use crate::server::openai::answers::Answers;
use crate::server::openai::client::ApiClient;
use crate::server::openai::error::ApiError;
use crate::server::openai::generation::{GenerationEnd, GenerationEvent};
use crate::server::openai::parts::{
    AnswerHead, ChatLogprobs, TotalUsage, UsageBody, finish_reason, to_json,
};

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
    let choices = choices.into_iter().enumerate();
    let completion = ChatCompletion {
        head: AnswerHead::new(&client.shared, "chatcmpl-", "chat.completion"),
        choices: choices.map(|(i, choice)| choice.finish(i, options.n_top)).collect(),
        usage: usage.body(),
        warnings,
    };
    Ok(to_json(&completion))
}

/// A chat completion.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct ChatCompletion {
    #[serde(flatten)]
    head: AnswerHead,
    choices: Vec<ChatChoice>,
    usage: UsageBody,
    /// What could not be read in the answers.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    warnings: Vec<String>,
}

/// One answer to a conversation.
#[derive(Debug, Serialize, JsonSchema)]
struct ChatChoice {
    index: usize,
    message: ChatAnswer,
    logprobs: Option<ChatLogprobs>,
    finish_reason: Option<&'static str>,
}

/// The message of an answer.
#[derive(Debug, Serialize, JsonSchema)]
struct ChatAnswer {
    role: &'static str,
    content: Option<String>,
    refusal: Option<()>,
    #[serde(skip_serializing_if = "String::is_empty")]
    reasoning_content: String,
    #[serde(skip_serializing_if = "Vec::is_empty")]
    tool_calls: Vec<AnsweredTool>,
}

/// A call of a tool in an answer.
#[derive(Debug, Serialize, JsonSchema)]
struct AnsweredTool {
    id: String,
    r#type: &'static str,
    function: AnsweredCall,
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

/// The function that is called.
#[derive(Debug, Clone, Serialize, JsonSchema)]
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
    fn finish(self, index: usize, n_top: Option<usize>) -> ChatChoice {
        let Self { reasoning, text, calls, logprobs, end } = self;
        let has_calls = !calls.is_empty();
        let call = |function| AnsweredTool { id: new_call_id(), r#type: "function", function };
        let message = ChatAnswer {
            role: "assistant",
            content: Some(text).filter(|text| !has_calls || !text.is_empty()),
            refusal: None,
            reasoning_content: reasoning,
            tool_calls: calls.into_iter().map(call).collect(),
        };
        ChatChoice {
            index,
            message,
            logprobs: n_top.map(|n_top| ChatLogprobs::new(&logprobs, n_top)),
            finish_reason: end.map(|end| finish_reason(end.reason, has_calls)),
        }
    }
}

/// About the bytes of a token with its log probability.
const LOGPROB_BYTES: usize = 64;
