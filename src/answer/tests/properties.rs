//! What holds for every text.

use proptest::prelude::*;

use crate::domain::{AnswerStart, AnswerStyle, ThinkingStyle, ToolCallStyle};

use super::{AnswerEvent, AnswerParser, allowed, events, style};

const STYLES: [ToolCallStyle; 11] = [
    ToolCallStyle::Unknown,
    ToolCallStyle::Hermes,
    ToolCallStyle::QwenXml,
    ToolCallStyle::LlamaJson,
    ToolCallStyle::Pythonic,
    ToolCallStyle::Mistral,
    ToolCallStyle::Gemma,
    ToolCallStyle::Harmony,
    ToolCallStyle::DeepSeek,
    ToolCallStyle::Glm,
    ToolCallStyle::Granite,
];

/// Pieces of calls and of marks.
const FRAGMENTS: &[&str] = &[
    "<think>",
    "</think>",
    "<tool_call>",
    "</tool_call>",
    "<|tool_call|>",
    "<|tool_call>",
    "<tool_call|>",
    "<|python_tag|>",
    "<|python_start|>",
    "<|python_end|>",
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "```tool_code",
    "```",
    "json",
    "call:",
    "<|\"|>",
    "<function=f>",
    "<function=",
    "</function>",
    "<parameter=a>",
    "</parameter>",
    "<arg_key>",
    "</arg_key>",
    "<arg_value>",
    "</arg_value>",
    "<｜tool▁calls▁begin｜>",
    "<｜tool▁call▁begin｜>",
    "<｜tool▁sep｜>",
    "<｜tool▁call▁end｜>",
    "<｜tool▁calls▁end｜>",
    "<|channel|>",
    "analysis",
    "commentary",
    "final",
    " to=functions.f",
    "<|message|>",
    "<|end|>",
    "<|start|>",
    "<|call|>",
    "assistant",
    "{\"name\": \"f\", \"arguments\": ",
    "{\"name\": \"f\", \"parameters\": {}}",
    "{\"a\": 1}",
    "{\"a\": \"b\"",
    "[f(a=1",
    "f(",
    "a=",
    "'x'",
    ")",
    "]",
    "[",
    "{",
    "}",
    "\"",
    "\\",
    ":",
    ",",
    ";",
    "(",
    "\n",
    " ",
    "é",
    "name",
    "f",
    "1",
    "-",
    "<",
    "|",
    "true",
    "\u{1}",
];

fn answers() -> impl Strategy<Value = String> {
    let fragment = prop_oneof![
        8 => prop::sample::select(FRAGMENTS).prop_map(str::to_owned),
        1 => any::<char>().prop_map(String::from),
    ];
    prop::collection::vec(fragment, 0..24).prop_map(|fragments| fragments.concat())
}

fn styles() -> impl Strategy<Value = AnswerStyle> {
    let thinking = prop_oneof![
        Just(None),
        Just(style(ToolCallStyle::Hermes).thinking),
        Just(Some(ThinkingStyle::Harmony)),
    ];
    (thinking, prop::sample::select(&STYLES[..]))
        .prop_map(|(thinking, tool_calls)| AnswerStyle { thinking, tool_calls })
}

/// The text of all events.
fn content(events: &[AnswerEvent]) -> String {
    let content = events.iter().map(|event| match event {
        AnswerEvent::Reasoning(text)
        | AnswerEvent::Text(text)
        | AnswerEvent::CallArguments(text) => text.as_str(),
        AnswerEvent::CallBegan { name } => name,
        AnswerEvent::CallEnded | AnswerEvent::CallBroken | AnswerEvent::Warning(_) => "",
    });
    content.collect()
}

/// A part of an answer: text without marks, or a call of a tool that the request has or lacks.
#[derive(Debug, Clone)]
enum WrittenPart {
    Text(String),
    Call(&'static str),
}

fn written() -> impl Strategy<Value = Vec<WrittenPart>> {
    let part = prop_oneof![
        "[ \\na-zé.]{0,6}".prop_map(WrittenPart::Text),
        prop::sample::select(&["f", "nobody"][..]).prop_map(WrittenPart::Call),
    ];
    prop::collection::vec(part, 0..8)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn answer_cut_anywhere_has_the_same_events(
        answer in answers(),
        style in styles(),
        is_thinking: bool,
        has_tools: bool,
        cuts in prop::collection::vec(any::<prop::sample::Index>(), 0..8),
    ) {
        let parser = || AnswerParser::new(&style, AnswerStart { is_thinking }, allowed(has_tools));
        let whole = events(parser(), &[&answer]);
        let mut chars = Vec::new();
        answer.chars().for_each(|c| chars.push(c.to_string()));
        let chars: Vec<&str> = chars.iter().map(String::as_str).collect();
        prop_assert_eq!(&events(parser(), &chars), &whole);
        let mut pieces = Vec::new();
        let (mut rest, mut n) = (&answer[..], 0);
        for cut in cuts {
            let cut = cut.index(answer.len() + 1);
            if cut >= n && answer.is_char_boundary(cut) {
                pieces.push(&rest[..cut - n]);
                (rest, n) = (&rest[cut - n..], cut);
            }
        }
        pieces.push(rest);
        prop_assert_eq!(&events(parser(), &pieces), &whole);
    }

    #[test]
    fn answer_without_thinking_and_tools_is_its_text(answer in answers(), i in 0..STYLES.len()) {
        let style = AnswerStyle { thinking: None, tool_calls: STYLES[i] };
        let found = events(AnswerParser::new(&style, AnswerStart::default(), allowed(false)), &[&answer]);
        prop_assert_eq!(content(&found), answer);
    }

    #[test]
    fn answer_in_which_nothing_is_found_is_its_text(answer in answers(), style in styles()) {
        let found = events(AnswerParser::new(&style, AnswerStart::default(), allowed(true)), &[&answer]);
        let is_text = |event: &AnswerEvent| {
            matches!(event, AnswerEvent::Text(_) | AnswerEvent::Warning(_))
        };
        let thinks = answer.contains("<think>") && style.thinking.is_some();
        let is_harmony = style.thinking == Some(ThinkingStyle::Harmony)
            || style.tool_calls == ToolCallStyle::Harmony;
        if found.iter().all(is_text) && !thinks && !is_harmony {
            prop_assert_eq!(content(&found), answer);
        }
    }

    #[test]
    fn text_around_calls_is_complete(parts in written()) {
        let parser = AnswerParser::new(
            &style(ToolCallStyle::Hermes),
            AnswerStart::default(),
            allowed(true),
        );
        let (mut answer, mut expected, mut space) = (String::new(), String::new(), String::new());
        let mut is_after_call = false;
        for part in parts {
            match part {
                WrittenPart::Text(text) => {
                    answer.push_str(&text);
                    space.push_str(&text);
                }
                WrittenPart::Call(name) => {
                    let call = format!("<tool_call>{{\"name\": \"{name}\"}}</tool_call>");
                    answer.push_str(&call);
                    // White space between calls, and only that, is not text.
                    if !(is_after_call && space.trim().is_empty()) {
                        expected.push_str(&space);
                    }
                    space.clear();
                    is_after_call = name == "f";
                    expected.push_str(if is_after_call { "" } else { &call });
                }
            }
        }
        if !(is_after_call && space.trim().is_empty()) {
            expected.push_str(&space);
        }
        let found = events(parser, &[&answer]);
        let texts = found.iter().filter_map(|event| match event {
            AnswerEvent::Text(text) => Some(text.as_str()),
            _ => None,
        });
        prop_assert_eq!(texts.collect::<String>(), expected);
    }

    #[test]
    fn every_character_of_an_answer_is_in_its_events_or_is_syntax(
        answer in answers(),
        style in styles(),
    ) {
        let found = events(AnswerParser::new(&style, AnswerStart::default(), allowed(true)), &[&answer]);
        // A letter that is in no mark, unless it is in the header of a message, in the id of a call
        // or in the kind of a tool.
        let has_headers = ["<|message|>", "[CALL_ID]", "<｜tool▁sep｜>"];
        if !has_headers.iter().any(|mark| answer.contains(mark)) {
            let rare = |text: &str| text.matches('é').count();
            prop_assert_eq!(rare(&content(&found)), rare(&answer));
        }
    }

    #[test]
    fn calls_are_whole_and_their_arguments_are_objects(answer in answers(), style in styles()) {
        let found = events(AnswerParser::new(&style, AnswerStart::default(), allowed(true)), &[&answer]);
        let mut rest = found.iter();
        while let Some(event) = rest.next() {
            if let AnswerEvent::CallBegan { name } = event {
                prop_assert!(!name.is_empty());
                let Some(AnswerEvent::CallArguments(arguments)) = rest.next() else {
                    panic!("{found:?}");
                };
                let value: serde_json::Value = serde_json::from_str(arguments).unwrap();
                prop_assert!(value.is_object());
                prop_assert_eq!(rest.next(), Some(&AnswerEvent::CallEnded));
            } else {
                let is_part = matches!(
                    event,
                    AnswerEvent::CallArguments(_)
                        | AnswerEvent::CallEnded
                        | AnswerEvent::CallBroken
                );
                prop_assert!(!is_part, "{found:?}");
            }
        }
    }
}
