//! How a model marks what it thinks, and whether a prompt ends within it.

use crate::domain::{Role, ThinkingStyle};

use super::super::chat_template::{TemplateConversation, TemplateMessage};
use super::answer::{AnswerFormat, MarkPair, THINKING};
use super::probe::{PROBE, Prober, RoleSupport};

/// Finds out how the model marks what it thinks, by what the template writes around it, by what
/// occurs in its source, and by the tokens of the vocabulary.
pub(super) fn probe_thinking(
    prober: &mut Prober<'_>,
    questions: &[TemplateMessage],
    format: AnswerFormat,
) -> Option<ThinkingStyle> {
    match format {
        AnswerFormat::Headers => {
            let has_channels = prober.has_mark(CHANNEL) || prober.can_write(CHANNEL);
            return has_channels.then_some(ThinkingStyle::Harmony);
        }
        AnswerFormat::Messages => return Some(style(&SOLAR)),
        AnswerFormat::Marks => {}
    }
    let answer = TemplateMessage {
        reasoning: Some(THOUGHT.to_owned()),
        ..TemplateMessage::new(Role::Assistant, RoleSupport::Text.content(PROBE))
    };
    let answered = TemplateConversation {
        adds_generation_prompt: false,
        ..TemplateConversation::from([questions, &[answer]].concat())
    };
    let prompt = prober.render(questions.to_vec()).unwrap_or_default();
    let answered = prober.render(answered).unwrap_or_default();
    let thought = answered.split_once(THOUGHT).map(|(before, _)| before).unwrap_or_default();
    let is_written = |pair: &&MarkPair| {
        ends_in(&prompt, pair.start) || ends_in(thought, pair.start) || prompt.contains(pair.end)
    };
    let is_known = |pair: &&MarkPair| prober.can_write(pair.end);
    let is_token = |pair: &&MarkPair| prober.has_mark(pair.start) && prober.has_mark(pair.end);
    let found = THINKING.iter().find(is_written);
    let found = found.or_else(|| THINKING.iter().find(is_known));
    found.or_else(|| THINKING.iter().find(is_token)).map(style)
}

fn style(pair: &MarkPair) -> ThinkingStyle {
    ThinkingStyle::Marks { start: pair.start.to_owned(), end: pair.end.to_owned() }
}

/// Whether a prompt that ends with `text` ends within thinking.
pub(super) fn is_within(style: Option<&ThinkingStyle>, text: &str) -> bool {
    match style {
        None => false,
        Some(ThinkingStyle::Marks { start, .. }) => ends_in(text, start),
        Some(ThinkingStyle::Harmony) => text.rsplit_once(MESSAGE).is_some_and(|(before, after)| {
            let header = before.rsplit_once("<|start|>").map_or(before, |(_, header)| header);
            !after.contains("<|") && header.contains("analysis")
        }),
    }
}

/// Whether an answer that is continued from `content`, the end of `text`, is within thinking.
pub(super) fn is_continued_within(
    style: Option<&ThinkingStyle>,
    text: &str,
    content: &str,
) -> bool {
    let Some(ThinkingStyle::Marks { start, end }) = style else {
        return is_within(style, text);
    };
    match (content.rfind(&**start), content.rfind(&**end)) {
        (Some(start), Some(end)) => start > end,
        (Some(_), None) => true,
        (None, Some(_)) => false,
        (None, None) => {
            let before = text.trim_end().strip_suffix(content.trim());
            before.is_some_and(|before| ends_in(before, start))
        }
    }
}

/// Whether `text` ends with the mark that starts thinking, perhaps with a name after it, as in
/// Gemma 4.
fn ends_in(text: &str, start: &str) -> bool {
    let text = text.trim_end();
    text.strip_suffix("thought").unwrap_or(text).ends_with(start)
}

/// How Solar Open separates what it thinks from what it says.
const SOLAR: MarkPair =
    MarkPair { start: "<|think|>", end: "<|end|><|begin|>assistant<|content|>" };
const CHANNEL: &str = "<|channel|>";
const MESSAGE: &str = "<|message|>";
/// A word that no template contains.
const THOUGHT: &str = "Qthoughtzx";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompt_is_within_thinking_if_it_ends_with_the_first_mark() {
        let marks = style(&MarkPair { start: "<think>", end: "</think>" });
        for (text, expected) in [
            ("<|im_start|>assistant\n<think>\n", true),
            ("<|im_start|>assistant\n<think>\n\n</think>\n\n", false),
            ("a <think> b", false),
            ("", false),
        ] {
            assert_eq!(is_within(Some(&marks), text), expected, "{text}");
            assert!(!is_within(None, text), "{text}");
        }
        let gemma = style(&MarkPair { start: "<|channel>", end: "<channel|>" });
        assert!(is_within(Some(&gemma), "<|turn>model\n<|channel>thought\n"));
        assert!(!is_within(Some(&gemma), "<|turn>model\n<|channel>thought\n<channel|>"));
        let harmony = Some(&ThinkingStyle::Harmony);
        assert!(is_within(harmony, "<|start|>assistant<|channel|>analysis<|message|>Hm"));
        assert!(!is_within(harmony, "<|start|>assistant<|channel|>final<|message|>Hm"));
        assert!(!is_within(harmony, "<|channel|>analysis<|message|>Hm<|end|><|start|>assistant"));
    }

    #[test]
    fn continued_answer_is_within_thinking_until_the_last_mark() {
        let marks = style(&MarkPair { start: "<think>", end: "</think>" });
        for (text, content, expected) in [
            ("<a>x", "x", false),
            ("<a><think>\nx", "x", true),
            ("<a><think>\n\n</think>\n\nx", "x", false),
            ("<a><think>x", "<think>x", true),
            ("<a><think>x</think>y", "<think>x</think>y", false),
            ("<u><think><a>x ", "x ", false),
        ] {
            assert_eq!(is_continued_within(Some(&marks), text, content), expected, "{text}");
        }
    }
}
