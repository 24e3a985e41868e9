//! Counts the tokens of thinking.

use std::collections::VecDeque;

use crate::domain::{AnswerStart, AnswerStyle, Conversation};

use super::allowed::AllowedCalls;
use super::event::{AnswerEvent, EventList};
use super::parser::AnswerParser;

/// Counts the tokens of an answer whose text is thinking, without the marks around it.
#[derive(Debug)]
pub struct ReasoningCounter {
    parser: AnswerParser,
    /// Without their texts, and empty between characters.
    events: Vec<AnswerEvent>,
    /// The last tokens: the parser does not know yet what their text is, or the next token goes on
    /// with the last of them.
    undecided: VecDeque<UndecidedTokens>,
    n_tokens: usize,
}

/// A token, with those before it whose text came with its own.
#[derive(Debug)]
struct UndecidedTokens {
    n_tokens: usize,
    /// Whether there is any text.
    has_text: bool,
    /// Characters of which it is not known what they are.
    n_chars: usize,
    /// Whether one of the others is thinking.
    is_reasoning: bool,
}

impl ReasoningCounter {
    /// For an answer to `conversation` of a model with this `style` that begins as `start` says;
    /// `None` if the model does not think.
    pub fn new(
        style: &AnswerStyle,
        start: AnswerStart,
        conversation: &Conversation,
    ) -> Option<Self> {
        style.thinking.as_ref()?;
        let parser = AnswerParser::new(style, start, AllowedCalls::of(conversation));
        Some(Self { parser, events: Vec::new(), undecided: VecDeque::new(), n_tokens: 0 })
    }

    /// Adds a token, after which this `text` is known. Text that is held back comes with a later
    /// token.
    pub fn push(&mut self, text: &str) {
        match self.undecided.back_mut() {
            Some(last) if !last.has_text => last.n_tokens += 1,
            _ => {
                self.settle(0);
                self.undecided.push_back(UndecidedTokens {
                    n_tokens: 1,
                    has_text: false,
                    n_chars: 0,
                    is_reasoning: false,
                });
            }
        }
        self.read(text);
    }

    /// Number of tokens of thinking, of an answer that ends after this `rest` of its text. The
    /// beginning of a mark is thinking as well then.
    pub fn finish(&mut self, rest: &str) -> usize {
        self.read(rest);
        self.decide(self.parser.n_undecided(), self.parser.is_thinking());
        self.settle(0);
        self.n_tokens
    }

    fn read(&mut self, text: &str) {
        for c in text.chars() {
            if let Some(last) = self.undecided.back_mut() {
                last.has_text = true;
                last.n_chars += 1;
            }
            let before = self.parser.n_undecided();
            let mut events = EventList::without_texts(&mut self.events);
            self.parser.push_to(c.encode_utf8(&mut [0; 4]), &mut events);
            let is_reasoning = |event: &AnswerEvent| matches!(event, AnswerEvent::Reasoning(_));
            let is_reasoning = self.events.iter().any(is_reasoning);
            self.events.clear();
            // One character decides about those before it in the same way.
            self.decide((before + 1).saturating_sub(self.parser.n_undecided()), is_reasoning);
            self.settle(1);
        }
    }

    /// Notes what the next `n` characters are.
    fn decide(&mut self, mut n: usize, is_reasoning: bool) {
        for tokens in &mut self.undecided {
            let n_here = n.min(tokens.n_chars);
            tokens.n_chars -= n_here;
            tokens.is_reasoning |= is_reasoning && n_here > 0;
            n -= n_here;
        }
    }

    /// Counts the first tokens of which all is known, but for the last `n_open`.
    fn settle(&mut self, n_open: usize) {
        while self.undecided.len() > n_open
            && let Some(first) = self.undecided.pop_front_if(|tokens| tokens.n_chars == 0)
        {
            self.n_tokens += if first.is_reasoning { first.n_tokens } else { 0 };
        }
    }
}
