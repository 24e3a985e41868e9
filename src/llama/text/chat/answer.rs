//! The marks that models write into their answers, and how an answer is divided at them.
//!
//! An answer goes back to the template as it came, and most templates divide it themselves. It is
//! divided here if the template would write the marks a second time, or refuses the answer as a
//! whole.

/// How the answers of a model are divided.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum AnswerFormat {
    /// As gpt-oss does (Harmony): an answer is several messages, each with a header that says what
    /// it is: `<|channel|>analysis<|message|>…<|end|><|start|>assistant<|channel|>final…`.
    Headers,
    /// As Solar Open does: an answer is several messages, and a mark says what each of them is:
    /// `<|think|>…<|end|><|begin|>assistant<|content|>…`.
    Messages,
    /// Thinking between two marks, then the response, which may have marks around it too.
    Marks,
}

/// The parts of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct AnswerParts {
    /// What the model thought; `None` if it did not.
    pub(super) reasoning: Option<String>,
    /// What it said.
    pub(super) content: String,
}

/// Marks before and after a part of an answer.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct MarkPair {
    pub(super) start: &'static str,
    pub(super) end: &'static str,
}

impl AnswerFormat {
    /// The format of a model whose vocabulary has the marks for which `has_mark` returns true.
    pub(super) fn of(has_mark: impl Fn(&str) -> bool) -> Self {
        if has_mark(MESSAGE) && (has_mark(CHANNEL) || has_mark("<|start|>")) {
            Self::Headers
        } else if has_mark(THINK) && has_mark(CONTENT) {
            Self::Messages
        } else {
            Self::Marks
        }
    }

    /// The parts of `answer`; `None` if it has no marks.
    pub(super) fn split(self, answer: &str) -> Option<AnswerParts> {
        match self {
            Self::Headers => split_messages(answer, &[MESSAGE], |header, _| {
                header.contains("analysis") || header.contains("to=self")
            }),
            Self::Messages => split_messages(answer, &[THINK, CONTENT], |_, mark| mark == THINK),
            Self::Marks => split_marked(answer),
        }
    }
}

/// Whether a special token with this text structures an answer, and not a conversation: it may be
/// part of a message of the assistant.
pub(in crate::llama::text) fn is_answer_mark(text: &str) -> bool {
    let mut pairs = [THINKING, RESPONSES, TOOL_CALLS].into_iter().flatten();
    pairs.any(|pair| pair.start == text || pair.end == text) || SINGLE_MARKS.contains(&text)
}

/// Divides an answer that is several messages. One of `marks` is between the header and the text of
/// each; `is_thought` tells by header and mark whether the text is what the model thought.
fn split_messages(
    answer: &str,
    marks: &[&str],
    is_thought: impl Fn(&str, &str) -> bool,
) -> Option<AnswerParts> {
    let (mut thoughts, mut texts) = (Vec::new(), Vec::new());
    let mut rest = answer;
    let next_mark = |text: &str| {
        let found = marks.iter().filter_map(|&mark| Some((text.find(mark)?, mark)));
        found.min()
    };
    while let Some((at, mark)) = next_mark(rest) {
        let (header, body) = (&rest[..at], &rest[at + mark.len()..]);
        let ends = MESSAGE_ENDS.iter().filter_map(|mark| body.find(mark));
        let (text, next) = body.split_at(ends.min().unwrap_or(body.len()));
        if !text.is_empty() {
            (if is_thought(header, mark) { &mut thoughts } else { &mut texts }).push(text);
        }
        rest = next;
    }
    if rest.len() == answer.len() {
        return None;
    }
    let reasoning = (!thoughts.is_empty()).then(|| thoughts.join("\n"));
    Some(AnswerParts { reasoning, content: texts.join("\n") })
}

fn split_marked(answer: &str) -> Option<AnswerParts> {
    let thinking = THINKING.iter().find_map(|MarkPair { start, end }| {
        // The template may have written the start of the thinking.
        let (thought, content) = answer.split_once(*end)?;
        Some((thought.trim_start().strip_prefix(*start).unwrap_or(thought), content))
    });
    let (reasoning, content) = match thinking {
        Some((thought, content)) => (Some(thought.trim()), content),
        None => (None, answer),
    };
    let response = RESPONSES.iter().find_map(|MarkPair { start, end }| {
        let response = content.trim_start().strip_prefix(*start)?;
        Some(response.strip_suffix(*end).unwrap_or(response))
    });
    if reasoning.is_none() && response.is_none() {
        return None;
    }
    Some(AnswerParts {
        reasoning: reasoning.filter(|text| !text.is_empty()).map(str::to_owned),
        content: response.unwrap_or_else(|| content.trim_start()).to_owned(),
    })
}

/// Marks around what a model thinks.
pub(super) const THINKING: &[MarkPair] = &[
    pair("<think>", "</think>"),
    pair("<thinking>", "</thinking>"),
    pair("[THINK]", "[/THINK]"),
    pair("<|START_THINKING|>", "<|END_THINKING|>"),
    pair("<|channel>", "<channel|>"),
    pair("<seed:think>", "</seed:think>"),
    pair("<mm:think>", "</mm:think>"),
    pair("◁think▷", "◁/think▷"),
    pair("<|begin_of_thought|>", "<|end_of_thought|>"),
    pair("<|inner_prefix|>", "<|inner_suffix|>"),
    pair("<|open|>think<|sep|>", "<|close|>think<|sep|>"),
    pair("<reasoning>", "</reasoning>"),
];

/// Marks around the response, in models that mark it.
pub(super) const RESPONSES: &[MarkPair] = &[
    pair("<|START_RESPONSE|>", "<|END_RESPONSE|>"),
    pair("<|START_TEXT|>", "<|END_TEXT|>"),
    pair("<|open|>response<|sep|>", "<|close|>response<|sep|>"),
    pair("<|begin_of_solution|>", "<|end_of_solution|>"),
    pair("<response>", "</response>"),
];

/// Marks around calls of tools.
const TOOL_CALLS: &[MarkPair] = &[
    pair("<tool_call>", "</tool_call>"),
    pair("<|tool_call>", "<tool_call|>"),
    pair("<function_call>", "</function_call>"),
    pair("<|START_ACTION|>", "<|END_ACTION|>"),
    pair("<｜tool▁calls▁begin｜>", "<｜tool▁calls▁end｜>"),
    pair("<｜tool▁call▁begin｜>", "<｜tool▁call▁end｜>"),
    pair("<|tool_calls_section_begin|>", "<|tool_calls_section_end|>"),
    pair("<|tool_call_begin|>", "<|tool_call_end|>"),
    pair("<minimax:tool_call>", "</minimax:tool_call>"),
    pair("<seed:tool_call>", "</seed:tool_call>"),
];

/// Marks without a second one.
const SINGLE_MARKS: [&str; 6] = [
    "[TOOL_CALLS]",
    "[ARGS]",
    "[CALL_ID]",
    "<|tool_call|>",
    "<｜tool▁sep｜>",
    "<|tool_call_argument_begin|>",
];

const fn pair(start: &'static str, end: &'static str) -> MarkPair {
    MarkPair { start, end }
}

const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
const THINK: &str = "<|think|>";
const CONTENT: &str = "<|content|>";

/// What ends a message of an answer that is several messages.
const MESSAGE_ENDS: [&str; 8] =
    ["<|end|>", "<|return|>", "<|call|>", "<|eom|>", "<|eot|>", "<|start|>", "<|begin|>", CHANNEL];

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_of_an_answer_with_headers_are_found() {
        let split = |answer| AnswerFormat::Headers.split(answer);
        let parts = |reasoning: Option<&str>, content: &str| {
            let reasoning = reasoning.map(str::to_owned);
            Some(AnswerParts { reasoning, content: content.to_owned() })
        };
        assert_eq!(split("plain"), None);
        assert_eq!(split("<|channel|>final<|message|>Hi<|return|>"), parts(None, "Hi"));
        assert_eq!(split("<|channel|>analysis<|message|>cut"), parts(Some("cut"), ""));
        assert_eq!(
            split(
                "<|channel|>analysis<|message|>a<|end|><|start|>assistant<|channel|>commentary\
                 <|message|>b<|end|><|start|>assistant<|channel|>final<|message|>c"
            ),
            parts(Some("a"), "b\nc")
        );
    }

    #[test]
    fn parts_of_an_answer_of_several_messages_are_found() {
        let answer = "<|think|>hm<|end|><|begin|>assistant<|content|>yes<|end|>";
        let parts = AnswerFormat::Messages.split(answer).unwrap();
        assert_eq!((parts.reasoning.as_deref(), &*parts.content), (Some("hm"), "yes"));
    }
}
