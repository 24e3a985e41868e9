//! The model's vocabulary: text to tokens, split at special tokens, and tokens to bytes with a
//! table.
//!
//! The table is built once, so that converting a token to text costs no call into C.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use llama_cpp_2::model::LlamaModel;
use llama_cpp_2::token::LlamaToken;
use llama_cpp_2::token_type::LlamaTokenAttr;
use llama_cpp_2::vocab::LlamaVocab;

use crate::domain::{AnswerStyle, Constraint, Conversation, Refusal, Token};
use crate::engine::{AnswerConstraint, ChatTokens, Piece, PromptLimit, Visibility, Vocabulary};

use self::constraints::VocabularyConstraints;
use super::chat::{Chat, RenderedChat, is_answer_mark};
use super::plain::PlainTokenizer;
use super::special::{ControlTokenGuard, Segment, SpecialToken, SpecialTokens};

/// The vocabulary of a loaded model.
pub(in crate::llama) struct LlamaVocabulary {
    pieces: PieceTable,
    /// Tokens that the model must never generate, according to its file
    /// (`tokenizer.ggml.suppress_tokens`); sorted and unique.
    suppressed: Vec<Token>,
    /// The special tokens that texts are split at.
    specials: SpecialTokens,
    /// Tokenizes the text between special tokens.
    plain: Arc<PlainTokenizer>,
    constraints: VocabularyConstraints,
    /// Tokens that the model wants before every text (begin-of-text).
    prefix: Vec<Token>,
    /// Tokens that the model wants after every text.
    suffix: Vec<Token>,
    /// The chat format, or why the model has no usable one.
    chat: Result<Chat, String>,
}

/// What every token is written as, and which tokens end a generation.
struct PieceTable {
    /// The bytes of all tokens, one after the other.
    bytes: Vec<u8>,
    /// Where the bytes of each token end in `bytes`.
    ends: Vec<u32>,
    /// For each token, which answers contain its bytes.
    visibility: Vec<Visibility>,
    /// For each token, whether it ends a generation.
    is_end_of_generation: Vec<bool>,
    /// Length in bytes of the longest token text, written in a prompt or generated.
    longest: usize,
}

impl LlamaVocabulary {
    /// Reads the vocabulary of `model`, and compiles and probes `chat_template`: the source of a
    /// template, or why there is none.
    pub(in crate::llama) fn new(
        model: &Arc<LlamaModel>,
        chat_template: Result<String, String>,
    ) -> Self {
        let vocab = model.vocab();
        let n_tokens = usize::try_from(vocab.n_tokens()).unwrap_or(0);
        let pieces = PieceTable::read(&vocab, n_tokens);
        let added: Vec<Token> =
            vocab.tokenize(b"", true, false).iter().map(|token| token.0).collect();
        let n_before = added.len().min(usize::from(vocab.should_add_bos()));
        let (prefix, suffix) = (added[..n_before].to_vec(), added[n_before..].to_vec());
        let mut specials = special_tokens(&vocab, n_tokens);
        let text = |token| text_of(&vocab, token, n_tokens);
        let chat = chat_template.and_then(|source| {
            Chat::new(&source, text(vocab.bos()), text(vocab.eos()), &mut specials)
        });
        let plain = Arc::new(PlainTokenizer::new(model, |token| specials.is_control(token)));
        let suppressed = suppressed_tokens(&vocab);
        let constraints = VocabularyConstraints::default();
        Self { pieces, suppressed, specials, plain, constraints, prefix, suffix, chat }
    }

    /// Tokens that must not be generated: the suppressed tokens, and with `ignore_eos` all tokens
    /// that end a generation.
    pub(in crate::llama) fn forbidden(&self, ignore_eos: bool) -> impl Iterator<Item = Token> + '_ {
        let ends = (0..).zip(&self.pieces.is_end_of_generation);
        let ends = ends.filter(move |&(_, &is_end)| is_end && ignore_eos).map(|(id, _)| id);
        self.suppressed.iter().copied().chain(ends)
    }

    /// The tokens of `text`, in which special tokens may be written out. Those that `guard` hides
    /// are plain text.
    fn tokens(
        &self,
        text: &str,
        guard: Option<ControlTokenGuard>,
        limit: &PromptLimit,
    ) -> Result<Vec<Token>, Refusal> {
        let mut tokens = Vec::new();
        // The tokens of short segments, as a range of `tokens`: a text can have thousands of equal
        // ones, and some pre-tokenizers of llama.cpp take a millisecond for each.
        let mut known: HashMap<&str, Range<usize>> = HashMap::new();
        for segment in self.specials.split(text) {
            limit.check()?;
            let segment = match segment {
                Segment::Token(token) => {
                    tokens.push(token);
                    continue;
                }
                Segment::Text(segment) => segment,
            };
            if let Some(range) = known.get(segment) {
                tokens.extend_from_within(range.clone());
                continue;
            }
            let start = tokens.len();
            match guard {
                Some(guard) if segment.contains(guard.marker()) => {
                    tokens.append(&mut self.guarded_tokens(segment, guard, limit)?);
                }
                _ => self.plain.tokenize(segment, limit, &mut tokens)?,
            }
            if segment.len() <= MAX_KNOWN_BYTES {
                known.insert(segment, start..tokens.len());
            }
        }
        Ok(tokens)
    }

    /// The tokens of plain text in which `guard` hides special tokens.
    fn guarded_tokens(
        &self,
        text: &str,
        guard: ControlTokenGuard,
        limit: &PromptLimit,
    ) -> Result<Vec<Token>, Refusal> {
        let plain = guard.remove_markers(text);
        let mut tokens = Vec::new();
        if self.plain.finds_user_defined() && self.specials.are_found_in_plain(&plain) {
            return self.marked_tokens(text, guard, limit);
        }
        // Without the markers there may be user-defined tokens that no template writes.
        for segment in self.specials.split_unguarded(&plain) {
            match segment {
                Segment::Token(token) => tokens.push(token),
                Segment::Text(text) => self.plain.tokenize(text, limit, &mut tokens)?,
            }
        }
        Ok(tokens)
    }

    /// The tokens of plain text in which llama.cpp would find user-defined tokens that `guard`
    /// hides. Its markers are tokenized too, and then left out.
    fn marked_tokens(
        &self,
        text: &str,
        guard: ControlTokenGuard,
        limit: &PromptLimit,
    ) -> Result<Vec<Token>, Refusal> {
        let mut marked = Vec::new();
        self.plain.tokenize(text, limit, &mut marked)?;
        let mut buffer = [0; 4];
        let marker = guard.marker().encode_utf8(&mut buffer).as_bytes();
        let is_marker = |tokens: &[Token]| {
            tokens.iter().flat_map(|&token| self.pieces.get(token).bytes).eq(marker)
        };
        let (mut tokens, mut n_markers, mut at) = (Vec::with_capacity(marked.len()), 0, 0);
        while at < marked.len() {
            let lengths = 1..=marker.len().min(marked.len() - at);
            match lengths.into_iter().find(|n| is_marker(&marked[at..at + n])) {
                Some(n) => (n_markers, at) = (n_markers + 1, at + n),
                None => {
                    tokens.push(marked[at]);
                    at += 1;
                }
            }
        }
        if n_markers == text.matches(guard.marker()).count() {
            return Ok(tokens);
        }
        // A token has a part of a marker and other text.
        tokens.clear();
        for text in text.split(guard.marker()) {
            limit.check()?;
            self.plain.tokenize(text, limit, &mut tokens)?;
        }
        Ok(tokens)
    }
}

impl Vocabulary for LlamaVocabulary {
    fn tokenize(&self, text: &str, limit: &PromptLimit) -> Result<Vec<Token>, Refusal> {
        let tokens = self.tokens(text, None, limit)?;
        Ok([self.prefix.as_slice(), &tokens, &self.suffix].concat())
    }

    fn tokenize_chat(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<ChatTokens, Refusal> {
        let invalid = |reason: &str| Refusal::InvalidParams {
            field: "messages".to_owned(),
            reason: reason.to_owned(),
        };
        let chat = self.chat.as_ref().map_err(|reason| invalid(reason))?;
        let RenderedChat { text, guard, start } =
            match chat.render(conversation, &self.specials, limit) {
                Ok(rendered) => rendered,
                // The limit may be what ended it.
                Err(reason) => return Err(limit.check().err().unwrap_or_else(|| invalid(&reason))),
            };
        let tokens = self.tokens(&text, Some(guard), limit)?;
        // Most templates write the begin-of-text token; a second one would degrade the answer. The
        // suffix is left out, since the assistant's answer follows.
        let has_prefix = !self.prefix.is_empty() && tokens.starts_with(&self.prefix);
        let tokens = if has_prefix { tokens } else { [self.prefix.as_slice(), &tokens].concat() };
        Ok(ChatTokens { tokens, start })
    }

    fn chat_problem(&self) -> Option<&str> {
        self.chat.as_ref().err().map(String::as_str)
    }

    fn answer_style(&self) -> AnswerStyle {
        self.chat.as_ref().map(|chat| chat.answer_style().clone()).unwrap_or_default()
    }

    fn constrain(
        &self,
        constraint: &Constraint,
        limit: &PromptLimit,
    ) -> Result<Box<dyn AnswerConstraint>, Refusal> {
        self.constraints.compiler(self, &self.plain)?.compile(constraint, limit)
    }

    fn constrain_calls(
        &self,
        conversation: &Conversation,
        limit: &PromptLimit,
    ) -> Result<Option<Box<dyn AnswerConstraint>>, Refusal> {
        let compiler = self.constraints.compiler(self, &self.plain)?;
        compiler.compile_calls(conversation, self.answer_style().tool_calls, limit)
    }

    fn piece(&self, token: Token) -> Piece<'_> {
        self.pieces.get(token)
    }

    fn is_end(&self, token: Token) -> bool {
        usize::try_from(token)
            .is_ok_and(|id| self.pieces.is_end_of_generation.get(id) == Some(&true))
    }

    fn n_tokens(&self) -> usize {
        self.pieces.ends.len()
    }

    fn longest_piece(&self) -> usize {
        self.pieces.longest
    }
}

impl PieceTable {
    /// Reads the bytes of the first `n_tokens` tokens.
    fn read(vocab: &LlamaVocab<'_>, n_tokens: usize) -> Self {
        let mut table = Self {
            bytes: Vec::new(),
            ends: Vec::with_capacity(n_tokens),
            visibility: Vec::with_capacity(n_tokens),
            is_end_of_generation: Vec::with_capacity(n_tokens),
            longest: 1,
        };
        for id in (0..).map(LlamaToken).take(n_tokens) {
            let piece = vocab.token_to_piece(id, true, None);
            // llama.cpp writes some tokens as nothing, but finds their texts in prompts.
            let written = vocab.text(id).map_or(0, |text| text.to_bytes().len());
            table.longest = table.longest.max(piece.len()).max(written);
            table.bytes.extend_from_slice(&piece);
            // Saturation does not occur: a vocabulary with 4 GiB of text does not load.
            table.ends.push(u32::try_from(table.bytes.len()).unwrap_or(u32::MAX));
            table.visibility.push(visibility(vocab, id));
            table.is_end_of_generation.push(vocab.is_eog(id));
        }
        table
    }

    /// What `token` is written as; nothing for an id out of range.
    fn get(&self, token: Token) -> Piece<'_> {
        let id = usize::try_from(token).ok().filter(|&id| id < self.ends.len());
        let Some(id) = id else {
            return Piece { bytes: &[], visibility: Visibility::Never };
        };
        let start = if id == 0 { 0 } else { self.ends[id - 1] };
        let bytes = &self.bytes[start as usize..self.ends[id] as usize];
        Piece { bytes, visibility: self.visibility[id] }
    }
}

/// The text of `token`; empty if the vocabulary has no such token.
fn text_of(vocab: &LlamaVocab<'_>, token: LlamaToken, n_tokens: usize) -> String {
    let is_known = usize::try_from(token.0).is_ok_and(|id| id < n_tokens);
    let text = is_known.then(|| vocab.text(token)).flatten();
    text.map(|text| text.to_string_lossy().into_owned()).unwrap_or_default()
}

/// Which answers contain the bytes of `token`.
fn visibility(vocab: &LlamaVocab<'_>, token: LlamaToken) -> Visibility {
    let attributes = vocab.attr(token);
    if attributes.contains(LlamaTokenAttr::Unknown) {
        return Visibility::Never;
    }
    let is_harmony_mark = || {
        let text = vocab.text(token).and_then(|text| text.to_str().ok());
        text.is_some_and(|text| HARMONY_MARKS.contains(&text))
    };
    if !attributes.contains(LlamaTokenAttr::Control) {
        let is_mark = attributes.contains(LlamaTokenAttr::UserDefined) && is_harmony_mark();
        return if is_mark { Visibility::Mark } else { Visibility::Always };
    }
    let structure = [vocab.bos(), vocab.eos(), vocab.pad(), vocab.sep(), vocab.mask()];
    if vocab.is_eog(token) || structure.contains(&token) {
        Visibility::Never
    } else {
        Visibility::Mark
    }
}

/// The tokens that the model must never generate. llama.cpp's server excludes them, but its library
/// does not.
fn suppressed_tokens(vocab: &LlamaVocab<'_>) -> Vec<Token> {
    let mut tokens: Vec<Token> = vocab.suppress_tokens().iter().map(|token| token.0).collect();
    // A file may repeat a token, and sampling looks at each of them for every generated token.
    tokens.sort_unstable();
    tokens.dedup();
    tokens
}

/// The tokens that llama.cpp searches for in a text, with their attributes.
fn special_tokens(vocab: &LlamaVocab<'_>, n_tokens: usize) -> SpecialTokens {
    use LlamaTokenAttr::{Control, LStrip, RStrip, Unknown, UserDefined};
    let special = |token: LlamaToken| {
        let attributes = vocab.attr(token);
        if !attributes.intersects(Control | Unknown | UserDefined) {
            return None;
        }
        // A text that is not UTF-8 cannot occur in a prompt.
        let text = vocab.text(token)?.to_str().ok()?.to_owned();
        Some(SpecialToken {
            token: token.0,
            is_control: attributes.intersects(Control | Unknown)
                || HARMONY_MARKS.contains(&text.as_str()),
            is_user_defined: attributes.contains(UserDefined),
            is_answer_mark: is_answer_mark(&text),
            strips_left: attributes.contains(LStrip),
            strips_right: attributes.contains(RStrip),
            text,
        })
    };
    SpecialTokens::new((0..).map(LlamaToken).take(n_tokens).filter_map(special).collect())
}

/// Longest segment in bytes whose tokens are kept for equal ones in the same text.
const MAX_KNOWN_BYTES: usize = 64;

/// Marks that llama.cpp makes user-defined tokens after it has read the file, so that answers of
/// gpt-oss show them (`llama-vocab.cpp`). Its files type them as control tokens.
const HARMONY_MARKS: [&str; 5] =
    ["<|start|>", "<|message|>", "<|channel|>", "<|constrain|>", "<|end|>"];

mod constraints;
#[cfg(any(test, feature = "fuzzing"))]
pub(super) mod hostile;
#[cfg(test)]
mod kinds;
#[cfg(test)]
mod tests;
