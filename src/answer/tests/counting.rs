//! How many tokens of an answer are thinking.

use proptest::prelude::*;

use crate::domain::{AnswerStart, AnswerStyle, ThinkingStyle, ToolCallStyle};

use super::super::ReasoningCounter;
use super::{AnswerEvent, AnswerParser, allowed, conversation, events, style};

/// Counts those of `tokens` that are thinking.
fn count(style: &AnswerStyle, is_thinking: bool, tokens: &[&str]) -> usize {
    let start = AnswerStart { is_thinking };
    let mut counter = ReasoningCounter::new(style, start, &conversation(&["f"])).unwrap();
    tokens.iter().for_each(|token| counter.push(token));
    counter.finish("")
}

#[test]
fn tokens_of_thinking_are_counted_without_the_marks() {
    let style = style(ToolCallStyle::Hermes);
    for (tokens, expected) in [
        (&["<think>", "\n", "So", " it", " is", ".", "</think>", "\n\n", "Yes", "."][..], 4),
        (&["<", "think", ">", "a", "<", "b", "</", "think", ">", "c"], 3),
        (&["<think>", "a</th", "ink>b", "c"], 1),
        (&["<think>", "a", "</think>", "b", "<think>", "c", "d", "</think>"], 3),
        (&["no", " marks"], 0),
        (&["<think>", "a", "</"], 2),
        // A character of two tokens, the first of which has no text yet.
        (&["<think>", "", "é", "</think>", "", "é"], 2),
    ] {
        assert_eq!(count(&style, false, tokens), expected, "{tokens:?}");
    }
    assert_eq!(count(&style, true, &["a", " b", "</think>", "c"]), 2);
    let in_call = ["<tool_call>{\"name\": \"f\", \"arguments\": {\"a\": \"<think>\"}}", "x"];
    assert_eq!(count(&style, false, &in_call), 0);
}

#[test]
fn tokens_of_a_message_of_thinking_are_counted() {
    let style =
        AnswerStyle { thinking: Some(ThinkingStyle::Harmony), tool_calls: ToolCallStyle::Harmony };
    let tokens = [
        "<|channel|>",
        "analysis",
        "<|message|>",
        "A",
        " sum",
        "<|end|>",
        "<|start|>",
        "assistant",
        "<|channel|>",
        "final",
        "<|message|>",
        "Four",
    ];
    assert_eq!(count(&style, false, &tokens), 2);
}

#[test]
fn text_that_came_after_the_last_token_is_counted_with_it() {
    let style = style(ToolCallStyle::Hermes);
    let start = AnswerStart { is_thinking: true };
    let mut counter = ReasoningCounter::new(&style, start, &conversation(&[])).unwrap();
    // A stop string may begin with them.
    counter.push("a");
    counter.push("");
    assert_eq!(counter.finish("b"), 2);
}

proptest! {
    #[test]
    fn tokens_of_one_character_are_counted_as_the_characters_of_thinking(
        answer in "(<think>|</think>|[ab\n<]){0,12}",
        is_thinking: bool,
    ) {
        let style = style(ToolCallStyle::Hermes);
        let chars: Vec<String> = answer.chars().map(String::from).collect();
        let tokens: Vec<&str> = chars.iter().map(String::as_str).collect();
        let parser = AnswerParser::new(&style, AnswerStart { is_thinking }, allowed(true));
        let n_chars: usize = events(parser, &[&answer])
            .iter()
            .map(|event| match event {
                AnswerEvent::Reasoning(text) => text.chars().count(),
                _ => 0,
            })
            .sum();
        prop_assert_eq!(count(&style, is_thinking, &tokens), n_chars);
    }
}
