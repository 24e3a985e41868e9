//! What answers of each family become, whole and cut anywhere.

mod broken;
mod counting;
mod limits;
mod properties;
mod tables;

use crate::domain::{AnswerStart, AnswerStyle, Conversation, ThinkingStyle, Tool, ToolCallStyle};

use super::{AllowedCalls, AnswerEvent, AnswerParser};

/// A style with marks around thinking, as Qwen 3 has them.
fn style(tool_calls: ToolCallStyle) -> AnswerStyle {
    let thinking = ThinkingStyle::Marks { start: "<think>".to_owned(), end: "</think>".to_owned() };
    AnswerStyle { thinking: Some(thinking), tool_calls }
}

/// The calls of a request with the tools of these tests, or without tools.
fn allowed(has_tools: bool) -> Option<AllowedCalls> {
    AllowedCalls::of(&conversation(if has_tools { NAMES } else { &[] }))
}

/// A conversation with tools of these names.
fn conversation(names: &[&str]) -> Conversation {
    let tool = |&name: &&str| Tool { name: name.to_owned(), description: None, parameters: None };
    Conversation { tools: names.iter().map(tool).collect(), ..Conversation::of(Vec::new()) }
}

/// The tools of these tests.
const NAMES: &[&str] = &["f", "now", "time.now", "weather", "write"];

/// The events of an answer that arrives in `pieces`, with those joined that belong together.
fn events(mut parser: AnswerParser, pieces: &[&str]) -> Vec<AnswerEvent> {
    let mut events = Vec::new();
    for piece in pieces {
        parser.push(piece, &mut events);
    }
    parser.finish(&mut events);
    joined(events)
}

fn joined(events: Vec<AnswerEvent>) -> Vec<AnswerEvent> {
    use AnswerEvent::{CallArguments, Reasoning, Text};
    let mut joined: Vec<AnswerEvent> = Vec::new();
    for event in events {
        match (joined.last_mut(), event) {
            (Some(Text(last)), Text(more))
            | (Some(Reasoning(last)), Reasoning(more))
            | (Some(CallArguments(last)), CallArguments(more)) => last.push_str(&more),
            (_, event) => joined.push(event),
        }
    }
    joined
}

/// The events of an answer to a request with tools.
fn with_tools(tool_calls: ToolCallStyle, answer: &str) -> Vec<AnswerEvent> {
    let parser = AnswerParser::new(&style(tool_calls), AnswerStart::default(), allowed(true));
    events(parser, &[answer])
}

fn text(text: &str) -> AnswerEvent {
    AnswerEvent::Text(text.to_owned())
}

fn reasoning(text: &str) -> AnswerEvent {
    AnswerEvent::Reasoning(text.to_owned())
}

/// The events of whole calls.
fn calls(calls: &[(&str, &str)]) -> Vec<AnswerEvent> {
    let events = calls.iter().flat_map(|&(name, arguments)| {
        [
            AnswerEvent::CallBegan { name: name.to_owned() },
            AnswerEvent::CallArguments(arguments.to_owned()),
            AnswerEvent::CallEnded,
        ]
    });
    events.collect()
}
