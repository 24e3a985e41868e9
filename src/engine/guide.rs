//! Guides an answer: says which tokens may come next.
//!
//! Two parts of a request need that: a constraint on what the answer has to be, and a limit on how
//! long the model thinks first. The constraint begins where the thinking ends. What ends the
//! thinking depends on the model ([`ThinkingStyle`]).

use crate::domain::{AnswerStart, AnswerStyle, Refusal, ThinkingStyle, Token};

use super::model::{AllowedTokens, AnswerConstraint, PromptLimit, TokenSet, Vocabulary};

/// Guides the answer of one request.
#[derive(Debug)]
pub(super) struct AnswerGuide {
    /// The part of the answer that the next token belongs to.
    part: GuidedPart,
    /// How the model marks its thinking; `None` if it does not think.
    marks: Option<GuideMarks>,
    /// What the answer has to be after the thinking.
    constraint: Option<Box<dyn AnswerConstraint>>,
    /// Most tokens of thinking.
    budget: Option<usize>,
    /// All tokens that do not end the answer. Used while the model thinks before an answer with a
    /// constraint.
    not_ends: TokenSet,
    /// What the constraint allows for the first token, and the start mark.
    first: TokenSet,
}

/// A part of an answer.
#[derive(Debug, Clone, PartialEq, Eq)]
enum GuidedPart {
    /// The model may begin to think or to answer. `written` may be the beginning of the mark.
    Beginning { written: Vec<u8> },
    /// The model has written `n_tokens` tokens of its thinking, which end with the bytes `tail`.
    Thinking { n_tokens: usize, tail: Vec<u8> },
    /// The model is made to end its thinking, and has written this many tokens of the mark.
    EndMark(usize),
    /// The answer itself.
    Answer,
}

/// How a model marks its thinking.
#[derive(Debug)]
struct GuideMarks {
    /// Before it; empty if answers always begin with it.
    start: Vec<u8>,
    /// The token of `start`, if it is one.
    start_token: Option<Token>,
    end: ThinkingEnd,
    /// What is written to end it.
    end_tokens: Vec<Token>,
}

/// What ends the thinking.
#[derive(Debug)]
enum ThinkingEnd {
    /// These bytes.
    Mark(Vec<u8>),
    /// The header of a message in the channel `final` (gpt-oss).
    FinalChannel,
}

impl AnswerGuide {
    /// A guide for an answer that begins as `start` says, of a model with this `style`; `None` if
    /// it has nothing to do. `budget` is the largest number of tokens of thinking.
    ///
    /// # Errors
    /// Those of [`PromptLimit::check`].
    pub(super) fn new(
        constraint: Option<Box<dyn AnswerConstraint>>,
        budget: Option<u32>,
        (style, start): (&AnswerStyle, AnswerStart),
        vocabulary: &dyn Vocabulary,
        limit: &PromptLimit,
    ) -> Result<Option<Self>, Refusal> {
        if constraint.is_none() && budget.is_none() {
            return Ok(None);
        }
        let marks = style.thinking.as_ref().map(|style| marks_of(style, vocabulary, limit));
        let marks = marks.transpose()?;
        let budget = budget.filter(|_| marks.as_ref().is_some_and(|m| !m.end_tokens.is_empty()));
        if constraint.is_none() && budget.is_none() {
            return Ok(None);
        }
        let part = match &marks {
            None => GuidedPart::Answer,
            Some(marks) if start.is_thinking || marks.start.is_empty() => GuidedPart::thinking(),
            Some(_) => GuidedPart::Beginning { written: Vec::new() },
        };
        let not_ends = match (&constraint, &marks) {
            (Some(_), Some(_)) => not_ends(vocabulary),
            _ => TokenSet::default(),
        };
        let budget = budget.map(|n| n as usize);
        let mut guide =
            Self { part, marks, constraint, budget, not_ends, first: TokenSet::default() };
        guide.end_long_thinking();
        Ok(Some(guide))
    }

    /// The tokens that may come next.
    ///
    /// # Errors
    /// Those of [`AnswerConstraint::allowed`].
    pub(super) fn allowed(&mut self) -> Result<AllowedTokens<'_>, String> {
        let Some(constraint) = &mut self.constraint else {
            return Ok(match (&self.part, &self.marks) {
                (&GuidedPart::EndMark(n), Some(marks)) => AllowedTokens::Only(marks.end_tokens[n]),
                _ => AllowedTokens::Any,
            });
        };
        match (&self.part, &self.marks) {
            (GuidedPart::Thinking { .. }, _) => Ok(AllowedTokens::Of(&self.not_ends)),
            (&GuidedPart::EndMark(n), Some(marks)) => Ok(AllowedTokens::Only(marks.end_tokens[n])),
            (GuidedPart::Beginning { .. }, Some(GuideMarks { start_token: Some(mark), .. })) => {
                match constraint.allowed()? {
                    AllowedTokens::Only(token) => {
                        self.first.copy_words(&[]);
                        self.first.insert(token);
                    }
                    AllowedTokens::Of(set) => self.first.clone_from(set),
                    all @ (AllowedTokens::Any | AllowedTokens::Nothing) => return Ok(all),
                }
                self.first.insert(*mark);
                Ok(AllowedTokens::Of(&self.first))
            }
            _ => constraint.allowed(),
        }
    }

    /// The tokens that have to come next, as far as there is no choice.
    pub(super) fn forced(&mut self) -> &[Token] {
        match (&self.part, &self.marks, &mut self.constraint) {
            (&GuidedPart::EndMark(n), Some(marks), _) => &marks.end_tokens[n..],
            (GuidedPart::Answer, _, Some(constraint)) => constraint.forced(),
            _ => &[],
        }
    }

    /// Learns that the answer goes on with `token`, which is written as `bytes`. Returns whether it
    /// is complete then.
    ///
    /// # Errors
    /// Those of [`AnswerConstraint::accept`].
    pub(super) fn accept(&mut self, token: Token, bytes: &[u8]) -> Result<bool, String> {
        if let GuidedPart::Beginning { .. } = self.part {
            if !self.begins_to_answer(token, bytes)? {
                return Ok(false);
            }
            self.part = GuidedPart::Answer;
        }
        match &mut self.part {
            GuidedPart::Beginning { .. } => {}
            GuidedPart::Thinking { n_tokens, tail } => {
                *n_tokens += 1;
                tail.extend_from_slice(bytes);
                if self.marks.as_ref().is_some_and(|marks| marks.end.is_reached(tail)) {
                    self.part = GuidedPart::Answer;
                } else {
                    tail.drain(..tail.len().saturating_sub(MAX_TAIL_BYTES));
                    self.end_long_thinking();
                }
            }
            GuidedPart::EndMark(n) => {
                *n += 1;
                let n_mark = self.marks.as_ref().map_or(0, |marks| marks.end_tokens.len());
                if *n >= n_mark {
                    self.part = GuidedPart::Answer;
                }
            }
            GuidedPart::Answer => {
                let Some(constraint) = &mut self.constraint else { return Ok(false) };
                constraint.accept(token)?;
                return Ok(constraint.allowed()? == AllowedTokens::Nothing);
            }
        }
        Ok(false)
    }

    /// Whether the answer begins with a token instead of the thinking, which may begin now.
    fn begins_to_answer(&mut self, token: Token, bytes: &[u8]) -> Result<bool, String> {
        let Some(marks) = &self.marks else { return Ok(true) };
        if let Some(constraint) = &mut self.constraint {
            let is_allowed = match constraint.allowed()? {
                AllowedTokens::Any => marks.start_token != Some(token),
                AllowedTokens::Only(only) => only == token,
                AllowedTokens::Of(set) => set.contains(token),
                AllowedTokens::Nothing => false,
            };
            if !is_allowed {
                self.part = GuidedPart::thinking();
                self.end_long_thinking();
            }
            return Ok(is_allowed);
        }
        let GuidedPart::Beginning { written } = &mut self.part else { return Ok(false) };
        written.extend_from_slice(bytes);
        let written = written.trim_ascii_start();
        if written.starts_with(&marks.start) {
            self.part = GuidedPart::thinking();
            self.end_long_thinking();
        } else if !marks.start.starts_with(written) {
            return Ok(true);
        }
        Ok(false)
    }

    /// Makes the model end its thinking if that has as many tokens as it may have.
    fn end_long_thinking(&mut self) {
        if let GuidedPart::Thinking { n_tokens, .. } = self.part
            && self.budget.is_some_and(|budget| n_tokens >= budget)
        {
            self.part = GuidedPart::EndMark(0);
        }
    }
}

impl GuidedPart {
    /// The beginning of the thinking.
    fn thinking() -> Self {
        Self::Thinking { n_tokens: 0, tail: Vec::new() }
    }
}

impl ThinkingEnd {
    /// Whether the thinking ends with a text that ends with `tail`.
    fn is_reached(&self, tail: &[u8]) -> bool {
        match self {
            // The token that ends the mark may go on with white space.
            Self::Mark(mark) => tail.trim_ascii_end().ends_with(mark),
            Self::FinalChannel => {
                let Some(header) = tail.strip_suffix(HARMONY_MESSAGE) else { return false };
                let begins = |window: &[u8]| window == HARMONY_CHANNEL;
                let channel = header.windows(HARMONY_CHANNEL.len()).rposition(begins);
                channel.is_some_and(|at| {
                    header[at + HARMONY_CHANNEL.len()..].trim_ascii_start().starts_with(b"final")
                })
            }
        }
    }
}

/// The marks of a model that thinks in this `style`.
fn marks_of(
    style: &ThinkingStyle,
    vocabulary: &dyn Vocabulary,
    limit: &PromptLimit,
) -> Result<GuideMarks, Refusal> {
    let (start, end, end_text) = match style {
        ThinkingStyle::Marks { start, end } => {
            (start.as_str(), ThinkingEnd::Mark(end.trim().as_bytes().to_vec()), end.as_str())
        }
        ThinkingStyle::Harmony => ("", ThinkingEnd::FinalChannel, HARMONY_END),
    };
    let start_token = match mark_tokens(start.trim(), vocabulary, limit)?[..] {
        [token] => Some(token),
        _ => None,
    };
    let end_tokens = mark_tokens(end_text, vocabulary, limit)?;
    Ok(GuideMarks { start: start.trim().as_bytes().to_vec(), start_token, end, end_tokens })
}

/// The tokens that `mark` is written with; none if it cannot be written.
fn mark_tokens(
    mark: &str,
    vocabulary: &dyn Vocabulary,
    limit: &PromptLimit,
) -> Result<Vec<Token>, Refusal> {
    if mark.is_empty() {
        return Ok(Vec::new());
    }
    let mut tokens = vocabulary.tokenize(mark, limit)?;
    // Some vocabularies begin every text with a token of its own.
    let is_mark = |tokens: &[Token]| {
        let bytes = tokens.iter().flat_map(|&token| vocabulary.piece(token).bytes);
        bytes.eq(mark.as_bytes())
    };
    let start = (0..tokens.len()).find(|&start| is_mark(&tokens[start..]));
    Ok(start.map(|start| tokens.split_off(start)).unwrap_or_default())
}

/// All tokens that do not end an answer.
fn not_ends(vocabulary: &dyn Vocabulary) -> TokenSet {
    let n_tokens = vocabulary.n_tokens();
    let mut set = TokenSet::all(n_tokens);
    for token in (0..).take(n_tokens).filter(|&token| vocabulary.is_end(token)) {
        set.remove(token);
    }
    set
}

/// Bytes of thinking that are kept to find its end. A header of gpt-oss is shorter.
const MAX_TAIL_BYTES: usize = 128;

/// Begins the name of a channel (gpt-oss).
const HARMONY_CHANNEL: &[u8] = b"<|channel|>";

/// Ends the header of a message (gpt-oss).
const HARMONY_MESSAGE: &[u8] = b"<|message|>";

/// Ends a message in the channel `analysis` and begins the answer (gpt-oss).
const HARMONY_END: &str = "<|end|><|start|>assistant<|channel|>final<|message|>";

#[cfg(test)]
mod tests;
