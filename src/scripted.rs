//! A model of paper: deterministic, instant, and strict.
//!
//! It stands in for llama.cpp wherever a test is about the daemon and not about language. Its
//! vocabulary is the 256 bytes and an end token. It answers a prompt by repeating it once; the
//! first word of a prompt can ask for more (see [`Scripted`]). It remembers what each sequence
//! holds and panics when the engine feeds it anything but the next position, draws from an entry
//! without output, or overfills it, so that every test of the engine is also a test of its books.

use std::ops::Range;
use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use crate::domain::{Logprob, Message, Params, Prompt, Refusal, Token, TokenLogprobs};
use crate::engine::{
    Batch, BatchToken, DecodeOutcome, DraftRequest, Interrupt, Limits, Model, Sampled, SeqId,
    Vocabulary,
};

/// The token that ends a generation.
pub const END: Token = 256;

/// The paper model. The first word of a prompt is its script:
///
/// - `loop` repeats the prompt for ever,
/// - `walk` goes on for ever and says no two bytes twice before 251 others,
/// - `fail` makes every step it is part of fail,
/// - `nan` makes sampling fail,
/// - `lost` does not come back once it was swapped out,
/// - anything else is repeated once, then the generation ends.
#[derive(Debug)]
pub struct Scripted {
    limits: Limits,
    cacheable_tokens: usize,
    max_sequences: Option<usize>,
    draft: Option<Draft>,
    pace: Pace,
    sequences: Vec<Vec<Token>>,
    last: Batch,
}

impl Scripted {
    /// A model that computes steps as `pace` allows.
    pub fn new(limits: Limits, pace: Pace) -> Self {
        let sequences = vec![Vec::new(); limits.n_slots + limits.n_cache_seqs];
        let cacheable_tokens = limits.kv_tokens;
        let last = Batch::default();
        Self { limits, cacheable_tokens, max_sequences: None, draft: None, pace, sequences, last }
    }

    /// The same, with room for the windows of `max_sequences`.
    #[must_use]
    pub fn with_windows(self, max_sequences: usize) -> Self {
        Self { max_sequences: Some(max_sequences), ..self }
    }

    /// The same, where finished sequences may have `cacheable_tokens` while others run.
    #[must_use]
    pub fn keeping(self, cacheable_tokens: usize) -> Self {
        Self { cacheable_tokens, ..self }
    }

    /// The same, with a draft model.
    #[must_use]
    pub fn with_draft(self, draft: Draft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Tokens that `seq` holds.
    pub fn n_tokens_of(&self, seq: SeqId) -> usize {
        self.sequences[seq as usize].len()
    }

    /// Tokens of all sequences, those that are kept included.
    fn n_held(&self) -> usize {
        self.sequences.iter().map(Vec::len).sum()
    }
}

/// A draft model: what it guesses of a `walk`.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Draft {
    /// What will be said.
    Right,
    /// Anything else.
    Wrong,
    /// What will be said, of texts that have no other tokens than ASCII's.
    Ascii,
}

/// What one request's answer is drawn from.
#[derive(Debug)]
pub struct Script {
    prompt: Vec<Token>,
    is_endless: bool,
    is_walk: bool,
    has_no_numbers: bool,
    drawn: usize,
    logprobs: u8,
}

impl Script {
    /// The token at position `i` of prompt and answer.
    fn token(&self, i: usize) -> Token {
        let n = self.prompt.len();
        if self.is_walk && i >= n { walked(i) } else { self.prompt[i % n] }
    }
}

impl Model for Scripted {
    type Sampler = Script;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn cacheable_tokens(&self) -> usize {
        self.cacheable_tokens
    }

    fn max_sequences(&self) -> Option<usize> {
        self.max_sequences
    }

    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        assert!(!batch.tokens.is_empty() && batch.tokens.len() <= self.limits.n_batch);
        if !self.pace.wait(interrupt) {
            return DecodeOutcome::Cancelled;
        }
        for &BatchToken { token, pos, seq, .. } in &batch.tokens {
            assert!((seq as usize) < self.limits.n_slots, "sequence {seq} cannot be decoded");
            let tokens = &mut self.sequences[seq as usize];
            assert_eq!(pos, tokens.len(), "sequence {seq} goes on where it ended");
            tokens.push(token);
        }
        assert!(self.n_held() <= self.limits.kv_tokens, "the KV cache is overfull");
        let held = self.sequences.iter().filter(|tokens| !tokens.is_empty()).count();
        assert!(self.max_sequences.is_none_or(|most| held <= most), "{held} windows are held");
        self.last = batch.clone();
        let fails = |entry: &BatchToken| {
            is_script(&self.sequences[entry.seq as usize], b"fail") && entry.output
        };
        if batch.tokens.iter().any(fails) {
            return DecodeOutcome::Failed("it was told to".to_owned());
        }
        DecodeOutcome::Done
    }

    fn draft_tokens(&self) -> Option<usize> {
        self.draft.map(|draft| if draft == Draft::Ascii { 128 } else { 256 })
    }

    fn draft(&mut self, wanted: &[DraftRequest<'_>], _: &Interrupt<'_>) -> Vec<Vec<Token>> {
        let off = Token::from(self.draft == Some(Draft::Wrong));
        let guess = |&DraftRequest { tokens, n, .. }: &DraftRequest<'_>| {
            (tokens.len()..tokens.len() + n).map(|i| walked(i) + off).collect()
        };
        wanted.iter().map(guess).collect()
    }

    fn sampler(&self, params: &Params, prompt: &[Token]) -> Script {
        let is_walk = is_script(prompt, b"walk");
        Script {
            prompt: prompt.to_vec(),
            is_endless: is_walk || is_script(prompt, b"loop") || params.ignore_eos,
            is_walk,
            has_no_numbers: is_script(prompt, b"nan"),
            drawn: 0,
            logprobs: params.logprobs,
        }
    }

    fn sample(&mut self, index: usize, script: &mut Script) -> Result<Sampled, String> {
        let entry = self.last.tokens[index];
        assert!(entry.output, "entry {index} has no output");
        if script.has_no_numbers {
            return Err("all logits are NaN".to_owned());
        }
        let n = script.prompt.len();
        let held = &self.sequences[entry.seq as usize][..=entry.pos];
        assert!(held.iter().copied().eq((0..n + script.drawn).map(|i| script.token(i))));
        let is_over = script.drawn >= n && !script.is_endless;
        let token = if is_over { END } else { script.token(n + script.drawn) };
        script.drawn += 1;
        let logprob = Logprob { token, bytes: Paper.piece(token).to_vec(), logprob: 0.0 };
        let logprobs = (script.logprobs > 0)
            .then(|| TokenLogprobs { chosen: logprob.clone(), top: vec![logprob] });
        Ok(Sampled { token, logprobs })
    }

    fn shareable(&self, seq: SeqId, n: usize) -> usize {
        if self.limits.n_cache_seqs == 0 { 0 } else { n.min(self.sequences[seq as usize].len()) }
    }

    fn share(&mut self, from: SeqId, to: SeqId, n: usize) {
        let shared = self.sequences[from as usize][..n].to_vec();
        let target = &mut self.sequences[to as usize];
        assert!(target.is_empty(), "sequence {to} is not empty");
        *target = shared;
    }

    fn truncate(&mut self, seq: SeqId, n: usize) {
        self.sequences[seq as usize].truncate(n);
    }

    /// A token takes four bytes.
    fn swap_size(&mut self, seq: SeqId) -> usize {
        4 * self.sequences[seq as usize].len()
    }

    fn swap_out(&mut self, seq: SeqId, positions: Range<usize>) -> Option<Vec<u8>> {
        let tokens = self.sequences[seq as usize].get(positions)?;
        Some(tokens.iter().flat_map(|token| token.to_le_bytes()).collect())
    }

    fn swap_in(&mut self, to: SeqId, bytes: &[u8]) -> bool {
        assert!((to as usize) < self.limits.n_slots, "sequence {to} cannot be decoded");
        let tokens = bytes
            .chunks_exact(4)
            .map(|token| Token::from_le_bytes([token[0], token[1], token[2], token[3]]));
        let tokens: Vec<Token> = tokens.collect();
        if is_script(&tokens, b"lost") {
            return false;
        }
        self.sequences[to as usize].extend(tokens);
        assert!(self.n_held() <= self.limits.kv_tokens, "the KV cache is overfull");
        true
    }
}

/// The vocabulary: the 256 bytes and [`END`].
#[derive(Debug, Clone, Copy)]
pub struct Paper;

impl Vocabulary for Paper {
    fn tokenize(&self, text: &str) -> Vec<Token> {
        text.bytes().map(Token::from).collect()
    }

    fn tokenize_chat(&self, messages: &[Message]) -> Result<Vec<Token>, Refusal> {
        let turns = messages.iter().map(|m| format!("{}: {}\n", m.role.name(), m.content));
        Ok(self.tokenize(&turns.collect::<String>()))
    }

    fn piece(&self, token: Token) -> &[u8] {
        const BYTES: [u8; 256] = {
            let mut bytes = [0; 256];
            let mut i = 0;
            while i < 256 {
                bytes[i] = i as u8;
                i += 1;
            }
            bytes
        };
        usize::try_from(token).ok().and_then(|i| BYTES.get(i..=i)).unwrap_or_default()
    }

    fn is_end(&self, token: Token) -> bool {
        token == END
    }

    fn n_tokens(&self) -> usize {
        257
    }

    fn longest_piece(&self) -> usize {
        1
    }
}

/// The token at position `i` of a `walk`: triangular numbers modulo a prime, of which any two
/// neighbours are 251 positions away from the next such two.
fn walked(i: usize) -> Token {
    const PRIME: usize = 251;
    (i * (i + 1) / 2 % PRIME) as Token
}

fn is_script(tokens: &[Token], word: &[u8]) -> bool {
    tokens.len() >= word.len() && tokens.iter().zip(word).all(|(&t, &b)| t == Token::from(b))
}

/// Lets steps pass: all of them, or one by one as a test allows.
#[derive(Debug, Clone, Default)]
pub struct Pace(Option<Arc<Gate>>);

#[derive(Debug, Default)]
struct Gate {
    allowed: Mutex<Allowed>,
    changed: Condvar,
}

#[derive(Debug, Default)]
struct Allowed {
    steps: usize,
    /// A step stands before the gate.
    waiting: bool,
}

impl Pace {
    /// Steps pass freely.
    pub fn free() -> Self {
        Self(None)
    }

    /// No step passes until [`Self::allow`].
    pub fn by_hand() -> Self {
        Self(Some(Arc::default()))
    }

    /// Lets `steps` more steps pass.
    pub fn allow(&self, steps: usize) {
        if let Some(gate) = &self.0 {
            gate.lock().steps += steps;
            gate.changed.notify_all();
        }
    }

    /// Waits until a step stands before the gate; false if none came within `limit`.
    pub fn wait_until_held(&self, limit: Duration) -> bool {
        let Some(gate) = &self.0 else { return false };
        let (allowed, _) = gate
            .changed
            .wait_timeout_while(gate.lock(), limit, |allowed| !allowed.waiting)
            .unwrap_or_else(PoisonError::into_inner);
        allowed.waiting
    }

    /// Waits for leave to compute a step; false when the interrupt is due.
    fn wait(&self, interrupt: &Interrupt<'_>) -> bool {
        let Some(gate) = &self.0 else { return true };
        let mut allowed = gate.lock();
        allowed.waiting = true;
        gate.changed.notify_all();
        // The interrupt has no bell of its own, as llama.cpp's abort callback has none: it is
        // asked again and again.
        while allowed.steps == 0 && !interrupt.is_due() {
            let turn = Duration::from_millis(1);
            allowed =
                gate.changed.wait_timeout(allowed, turn).unwrap_or_else(PoisonError::into_inner).0;
        }
        allowed.waiting = false;
        if interrupt.is_due() {
            return false;
        }
        allowed.steps -= 1;
        true
    }
}

impl Gate {
    fn lock(&self) -> MutexGuard<'_, Allowed> {
        self.allowed.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// The prompt text whose answer never ends.
pub fn endless(text: &str) -> Prompt {
    Prompt::Text(format!("loop {text}"))
}
