//! The fields of requests for chat completions and completions, as clients send them.
//!
//! Names of other servers for the same field are accepted.

use schemars::JsonSchema;
use serde::Deserialize;
use serde_json::value::RawValue;

use crate::server::json::{
    AnswerCount, AtMost, BestOf, IgnoredFields, MembersAtMost, ObjectText, Penalty, Probability,
    Real, RepeatLastN, RepeatPenalty, Seed, Temperature, TokenLimit, TopK, TopLogprobs, Unused,
    Whole, words,
};

use super::forms::{ContentFields, FlagOrNumber, MAX_TOOLS, StopTexts, ToolChoiceFields};
use super::token_forms::{LogitBiases, PromptField};

/// The body of a request. Each endpoint refuses what it has no use for.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CompletionBody {
    /// Changes nothing: the server has one model.
    #[serde(rename = "model")]
    pub(super) _model: Option<Unused>,

    // Of conversations.
    /// The conversation to answer.
    pub(super) messages: Option<AtMost<MessageFields, MAX_MESSAGES>>,
    /// What the model may call.
    pub(super) tools: Option<AtMost<ToolFields, MAX_TOOLS>>,
    pub(super) tool_choice: Option<ToolChoiceFields>,
    /// Whether one answer may have several calls.
    pub(super) parallel_tool_calls: Option<bool>,
    /// For the chat template; `none` switches thinking off.
    pub(super) reasoning_effort: Option<String>,
    /// Whether the model thinks first, if its chat template can say so.
    pub(super) enable_thinking: Option<bool>,
    /// Most tokens of thinking; -1 is no limit.
    #[serde(alias = "thinking_budget_tokens")]
    #[schemars(extend("x-other-names" = ["thinking_budget_tokens"]))]
    pub(super) reasoning_budget: Option<Whole<TokenLimit>>,
    /// Variables for the chat template.
    pub(super) chat_template_kwargs: Option<MembersAtMost<Box<RawValue>, MAX_VARIABLES>>,
    /// Documents for the chat template.
    pub(super) documents: Option<AtMost<Box<RawValue>, MAX_DOCUMENTS>>,
    pub(super) add_generation_prompt: Option<bool>,
    /// Whether the model goes on with the last message, which has to be one of the assistant.
    pub(super) continue_final_message: Option<bool>,
    /// Most tokens of the answer; -1 is no limit. One of four names.
    pub(super) max_completion_tokens: Option<Whole<TokenLimit>>,
    /// Rivals of each token to list. Needs `logprobs`.
    pub(super) top_logprobs: Option<Whole<TopLogprobs>>,

    // Of raw texts.
    /// The text to continue, or its tokens, or a list of one of these.
    pub(super) prompt: Option<PromptField>,
    /// The text to tokenize, as llama.cpp's server calls it.
    pub(super) content: Option<String>,
    /// Not supported, unless it is empty.
    pub(super) suffix: Option<String>,
    /// Not supported, unless it is false.
    pub(super) echo: Option<bool>,
    /// Not supported, unless it is `n`.
    pub(super) best_of: Option<Whole<BestOf>>,

    // Of both.
    /// Most tokens of the answer; -1 is no limit.
    pub(super) max_tokens: Option<Whole<TokenLimit>>,
    /// The same, as Transformers calls it.
    pub(super) max_new_tokens: Option<Whole<TokenLimit>>,
    /// The same, as llama.cpp's server calls it.
    pub(super) n_predict: Option<Whole<TokenLimit>>,
    /// Answers to each prompt.
    pub(super) n: Option<Whole<AnswerCount>>,
    /// Whether the answer is sent as it comes, in server-sent events.
    pub(super) stream: Option<bool>,
    pub(super) stream_options: Option<StreamOptions>,
    /// Chat completions: true or false. Completions: the number of rivals of each token.
    pub(super) logprobs: Option<FlagOrNumber>,
    pub(super) temperature: Option<Real<Temperature>>,
    pub(super) top_p: Option<Real<Probability>>,
    /// -1 and 0 keep all tokens.
    pub(super) top_k: Option<Whole<TopK>>,
    pub(super) min_p: Option<Real<Probability>>,
    pub(super) typical_p: Option<Real<Probability>>,
    #[serde(alias = "repetition_penalty")]
    #[schemars(extend("x-other-names" = ["repetition_penalty"]))]
    pub(super) repeat_penalty: Option<Real<RepeatPenalty>>,
    /// Tokens that `repeat_penalty` looks back; -1 is the whole context.
    pub(super) repeat_last_n: Option<Whole<RepeatLastN>>,
    pub(super) presence_penalty: Option<Real<Penalty>>,
    pub(super) frequency_penalty: Option<Real<Penalty>>,
    /// -1 asks for a random seed. Seeds from 0 to 4294967294 are used as they are, others as their
    /// remainder by 4294967295.
    pub(super) seed: Option<Seed>,
    /// Texts before which the answer ends.
    pub(super) stop: Option<StopTexts>,
    /// Biases of tokens: an object with their ids as names, or a list of pairs, in which `false`
    /// is the lowest bias.
    pub(super) logit_bias: Option<LogitBiases>,
    pub(super) ignore_eos: Option<bool>,
    pub(super) cache_prompt: Option<bool>,
    /// What the answer has to be, in OpenAI's form.
    pub(super) response_format: Option<ResponseFormat>,
    /// A JSON schema that the answer has to follow, as llama.cpp's server calls it.
    pub(super) json_schema: Option<Box<RawValue>>,
    /// A grammar that the answer has to follow: GBNF or Lark.
    pub(super) grammar: Option<String>,
    /// As `json_schema`.
    pub(super) guided_json: Option<Box<RawValue>>,
    /// A regular expression that the answer has to match.
    pub(super) guided_regex: Option<String>,
    /// Texts of which the answer has to be one.
    pub(super) guided_choice: Option<AtMost<String, MAX_CHOICES>>,
    /// As `grammar`.
    pub(super) guided_grammar: Option<String>,
    pub(super) structured_outputs: Option<StructuredOutputs>,
}

impl CompletionBody {
    /// Names in `ignored` the fields that only conversations have.
    pub(super) fn ignore_conversation(&self, ignored: &mut IgnoredFields) {
        let sent = [
            ("tools", self.tools.is_some()),
            ("tool_choice", self.tool_choice.is_some()),
            ("parallel_tool_calls", self.parallel_tool_calls.is_some()),
            ("reasoning_effort", self.reasoning_effort.is_some()),
            ("enable_thinking", self.enable_thinking.is_some()),
            ("reasoning_budget", self.reasoning_budget.is_some()),
            ("chat_template_kwargs", self.chat_template_kwargs.is_some()),
            ("documents", self.documents.is_some()),
            ("add_generation_prompt", self.add_generation_prompt.is_some()),
            ("continue_final_message", self.continue_final_message.is_some()),
            ("top_logprobs", self.top_logprobs.is_some()),
        ];
        sent.into_iter().filter(|(_, is_sent)| *is_sent).for_each(|(name, _)| ignored.add(name));
    }
}

/// Options of a streamed answer.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct StreamOptions {
    /// Whether the last chunk has the usage.
    pub(super) include_usage: Option<bool>,
}

words! {
    /// The kinds of `response_format`.
    pub(super) enum FormatKind {
        Text = "text",
        JsonObject = "json_object",
        JsonSchema = "json_schema",
    }
}

/// What the answer has to be, in OpenAI's form.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ResponseFormat {
    pub(super) r#type: FormatKind,
    pub(super) json_schema: Option<NamedSchema>,
    /// As llama.cpp's server reads it.
    pub(super) schema: Option<Box<RawValue>>,
}

/// A schema in `response_format`. Its name and its description change nothing.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct NamedSchema {
    pub(super) schema: Option<Box<RawValue>>,
}

/// What the answer has to be, in vLLM's form.
#[derive(Debug, Default, Deserialize, JsonSchema)]
pub(super) struct StructuredOutputs {
    pub(super) json: Option<Box<RawValue>>,
    pub(super) json_object: Option<bool>,
    pub(super) regex: Option<String>,
    pub(super) choice: Option<AtMost<String, MAX_CHOICES>>,
    pub(super) grammar: Option<String>,
}

words! {
    /// Who wrote a message.
    pub(super) enum ChatRole {
        System = "system",
        Developer = "developer",
        User = "user",
        Assistant = "assistant",
        Tool = "tool",
    }
}

/// One message of a conversation.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct MessageFields {
    pub(super) role: ChatRole,
    pub(super) content: Option<ContentFields>,
    /// What the model thought.
    pub(super) reasoning_content: Option<String>,
    /// The same at other servers, whose clients send both.
    pub(super) reasoning: Option<String>,
    pub(super) refusal: Option<String>,
    pub(super) tool_calls: Option<AtMost<ToolCallFields, MAX_TOOL_CALLS>>,
    /// The call that a message of a tool answers.
    pub(super) tool_call_id: Option<String>,
    pub(super) name: Option<String>,
}

/// A call of a tool in a message of the assistant.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ToolCallFields {
    pub(super) id: Option<String>,
    pub(super) function: CalledFunction,
}

/// The function that was called.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct CalledFunction {
    pub(super) name: String,
    /// The text of a JSON object, or the object.
    pub(super) arguments: Option<Box<RawValue>>,
}

/// A tool.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct ToolFields {
    /// `function`.
    pub(super) r#type: String,
    pub(super) function: Option<FunctionFields>,
}

/// The function of a tool.
#[derive(Debug, Deserialize, JsonSchema)]
pub(super) struct FunctionFields {
    pub(super) name: String,
    pub(super) description: Option<String>,
    /// The JSON schema of the arguments.
    pub(super) parameters: Option<ObjectText>,
}

/// Most messages of a conversation, as in the protocol.
const MAX_MESSAGES: usize = 16_384;

/// Most calls of tools in a message.
const MAX_TOOL_CALLS: usize = 256;

/// Most variables for the chat template.
const MAX_VARIABLES: usize = 64;

/// Most documents of a request.
const MAX_DOCUMENTS: usize = 1024;

/// Most choices that an answer has to be one of.
const MAX_CHOICES: usize = 1024;
