//! Which marks begin the calls of a style, and what reads the calls after them.

use crate::domain::ToolCallStyle;

use super::calls::CallReader;
use super::deepseek::DeepSeekCalls;
use super::gemma::{GEMMA_CALL, TOOL_CODE};
use super::json_calls::JsonCalls;
use super::mistral::MistralCalls;
use super::pythonic::PythonicCalls;
use super::tagged::TaggedCalls;
use super::whole::WholeCalls;
use super::xml::QWEN_XML;

/// The marks after which calls follow.
pub(super) fn call_marks(style: ToolCallStyle) -> &'static [&'static str] {
    match style {
        ToolCallStyle::Unknown | ToolCallStyle::Hermes | ToolCallStyle::Glm => &[TOOL_CALL],
        ToolCallStyle::QwenXml => &[TOOL_CALL, FUNCTION],
        ToolCallStyle::LlamaJson => &[PYTHON_TAG],
        ToolCallStyle::Pythonic => &["<|python_start|>", "<|tool_call_start|>", PYTHON_TAG],
        ToolCallStyle::Mistral => &["[TOOL_CALLS]"],
        ToolCallStyle::Gemma => &["<|tool_call>", TOOL_CODE_FENCE],
        ToolCallStyle::DeepSeek => &["<｜tool▁calls▁begin｜>", DEEPSEEK_CALL],
        ToolCallStyle::Granite => &["<|tool_call|>", TOOL_CALL],
        // Answers of several messages have a parser of their own.
        ToolCallStyle::Harmony => &[],
    }
}

/// What reads the calls after `mark`.
pub(super) fn reader_after(style: ToolCallStyle, mark: &str) -> Box<dyn CallReader> {
    match style {
        ToolCallStyle::QwenXml if mark == FUNCTION => {
            Box::new(WholeCalls::after(&QWEN_XML, FUNCTION))
        }
        ToolCallStyle::Unknown
        | ToolCallStyle::Hermes
        | ToolCallStyle::QwenXml
        | ToolCallStyle::Glm
        | ToolCallStyle::Harmony => Box::new(TaggedCalls::new(style == ToolCallStyle::Glm)),
        ToolCallStyle::LlamaJson => Box::new(JsonCalls::of_llama(true)),
        ToolCallStyle::Pythonic => Box::new(PythonicCalls::new(true)),
        ToolCallStyle::Mistral => Box::new(MistralCalls::new()),
        ToolCallStyle::Gemma if mark == TOOL_CODE_FENCE => {
            Box::new(WholeCalls::after(&TOOL_CODE, ""))
        }
        ToolCallStyle::Gemma => Box::new(WholeCalls::after(&GEMMA_CALL, "")),
        ToolCallStyle::DeepSeek => Box::new(DeepSeekCalls::new(mark == DEEPSEEK_CALL)),
        ToolCallStyle::Granite if mark == TOOL_CALL => {
            Box::new(JsonCalls::until(Some("</tool_call>")))
        }
        ToolCallStyle::Granite => Box::new(JsonCalls::until(None)),
    }
}

/// What reads calls that begin with `c`, without a mark.
pub(super) fn reader_of_start(style: ToolCallStyle, c: char) -> Option<Box<dyn CallReader>> {
    match (style, c) {
        (ToolCallStyle::LlamaJson, '{') => Some(Box::new(JsonCalls::of_llama(false))),
        (ToolCallStyle::Pythonic, '[') => Some(Box::new(PythonicCalls::new(false))),
        _ => None,
    }
}

const TOOL_CALL: &str = "<tool_call>";
const FUNCTION: &str = "<function=";
const PYTHON_TAG: &str = "<|python_tag|>";
const TOOL_CODE_FENCE: &str = "```tool_code";
const DEEPSEEK_CALL: &str = "<｜tool▁call▁begin｜>";
