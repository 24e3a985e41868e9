//! A scripted model: a deterministic, instant and strict fake of a language model.
//!
//! It stands in for llama.cpp in every test that is about the engine or the server and not about
//! language. Its vocabulary is the 256 bytes and an end token. Its answer repeats the prompt once,
//! and the first word of a prompt can ask for something else (see [`ScriptedModel`]).
//!
//! It records the tokens of every sequence, and panics if the engine breaks the contract of
//! [`Model`], such as by a position out of order. So every test of the engine also tests its
//! bookkeeping.

mod vocabulary;

use std::sync::{Arc, Condvar, Mutex, MutexGuard, PoisonError};
use std::thread;
use std::time::Duration;

use crate::domain::{Logprob, Params, Token, TokenLogprobs};
use crate::engine::{
    AllowedTokens, Batch, BatchToken, ChunkRules, DecodeOutcome, DraftRequest, Interrupt, Limits,
    Model, Sampled, SeqId, Vocabulary,
};

pub use self::vocabulary::{END_TOKEN, ScriptedVocabulary};

/// The scripted model. The first word of a prompt is its script:
///
/// - `loop` repeats the prompt without end,
/// - `walk` generates without end and repeats no pair of bytes within 251 tokens,
/// - `fail` makes every step fail that computes an output for it,
/// - `nan` makes sampling fail,
/// - `crash` and `hang` make every step panic or hang that computes an output for it,
/// - `lost` cannot be imported once it was exported,
/// - any other prompt is repeated once, then the answer ends. Of a conversation whose last message
///   begins with `say `, the rest of that message is the prompt; if it is the result of a tool,
///   that message is.
///
/// Where the token of the script is not allowed, the model takes the end, or else the first allowed
/// token of those that end a part of a JSON text, or else the first allowed one.
#[derive(Debug)]
pub struct ScriptedModel {
    limits: Limits,
    /// Which sequences can be cut.
    cuts: ScriptedCuts,
    /// [`Model::chunk_rules`].
    chunk_rules: ChunkRules,
    /// The draft model, if there is one.
    draft: Option<ScriptedDraft>,
    /// Decides when steps run.
    steps: StepControl,
    /// The tokens of each sequence, by sequence id.
    sequences: Vec<Vec<Token>>,
    /// The batch of the last step, of which outputs can be sampled.
    last_batch: Batch,
}

impl ScriptedModel {
    /// A model whose steps run when `steps` allows it.
    pub fn new(limits: Limits, steps: StepControl) -> Self {
        Self {
            limits,
            cuts: ScriptedCuts::Anywhere,
            chunk_rules: ChunkRules::default(),
            draft: None,
            steps,
            sequences: vec![Vec::new(); limits.n_slots],
            last_batch: Batch::default(),
        }
    }

    /// Limits where sequences can be cut, as sliding windows and recurrent states do.
    #[must_use]
    pub fn with_cuts(self, cuts: ScriptedCuts) -> Self {
        Self { cuts, ..self }
    }

    /// Sets [`Model::chunk_rules`].
    #[must_use]
    pub fn with_chunk_rules(self, chunk_rules: ChunkRules) -> Self {
        Self { chunk_rules, ..self }
    }

    /// Adds a draft model.
    #[must_use]
    pub fn with_draft(self, draft: ScriptedDraft) -> Self {
        Self { draft: Some(draft), ..self }
    }

    /// Number of tokens in the KV cache that belong to `seq`.
    pub fn n_tokens_of(&self, seq: SeqId) -> usize {
        self.sequences[seq as usize].len()
    }
}

impl Model for ScriptedModel {
    type Sampler = ScriptedSampler;

    fn limits(&self) -> Limits {
        self.limits
    }

    fn chunk_rules(&self) -> ChunkRules {
        self.chunk_rules
    }

    fn decode(&mut self, batch: &Batch, interrupt: &Interrupt<'_>) -> DecodeOutcome {
        assert!(!batch.tokens.is_empty() && batch.tokens.len() <= self.limits.n_ubatch);
        if !self.steps.wait(interrupt) {
            return DecodeOutcome::Cancelled;
        }
        for &BatchToken { token, pos, seq, .. } in &batch.tokens {
            let tokens = &mut self.sequences[seq as usize];
            assert_eq!(pos, tokens.len(), "sequence {seq} must continue at its next position");
            tokens.push(token);
            assert!(tokens.len() <= self.limits.slot_tokens, "slot {seq} overflows");
        }
        assert!(batch.tokens.is_sorted_by_key(|token| token.seq), "slots are not in order");
        self.last_batch = batch.clone();
        let has_output = |script: &[u8]| {
            let mut outputs = batch.tokens.iter().filter(|token| token.has_output);
            outputs.any(|token| is_script(&self.sequences[token.seq as usize], script))
        };
        assert!(!has_output(b"crash"), "the script asked for a crash");
        while has_output(b"hang") {
            thread::park();
        }
        if has_output(b"fail") {
            return DecodeOutcome::Failed("the script asked for a failure".to_owned());
        }
        DecodeOutcome::Done
    }

    fn draft_tokens(&self) -> Option<usize> {
        self.draft.map(|draft| if draft == ScriptedDraft::AsciiOnly { 128 } else { 256 })
    }

    fn draft(&mut self, wanted: &[DraftRequest<'_>], _: &Interrupt<'_>) -> Vec<Vec<Token>> {
        let error = Token::from(self.draft == Some(ScriptedDraft::Wrong));
        let draft = |&DraftRequest { tokens, n, .. }: &DraftRequest<'_>| {
            (tokens.len()..tokens.len() + n).map(|i| walk_token(i) + error).collect()
        };
        wanted.iter().map(draft).collect()
    }

    fn sampler(&self, params: &Params, prompt: &[Token]) -> ScriptedSampler {
        let is_walk = is_script(prompt, b"walk");
        ScriptedSampler {
            prompt: prompt.to_vec(),
            is_endless: is_walk || is_script(prompt, b"loop") || params.ignore_eos,
            is_walk,
            is_nan: is_script(prompt, b"nan"),
            answer: Vec::new(),
            logprobs: params.logprobs,
        }
    }

    fn sample(
        &mut self,
        index: usize,
        sampler: &mut ScriptedSampler,
        allowed: AllowedTokens<'_>,
    ) -> Result<Sampled, String> {
        let BatchToken { pos, seq, has_output, .. } = self.last_batch.tokens[index];
        assert!(has_output, "no output was requested for batch token {index}");
        if sampler.is_nan {
            return Err("all logits are NaN".to_owned());
        }
        let n = sampler.prompt.len();
        let computed = &self.sequences[seq as usize][..=pos];
        assert!(computed.iter().eq(sampler.prompt.iter().chain(&sampler.answer)));
        let n_sampled = sampler.answer.len();
        let has_ended = n_sampled >= n && !sampler.is_endless;
        let wanted = if has_ended { END_TOKEN } else { sampler.token(n + n_sampled) };
        let token = nearest_allowed(wanted, allowed).ok_or("no token is allowed")?;
        sampler.answer.push(token);
        let bytes = ScriptedVocabulary.piece(token).bytes.to_vec();
        let logprob = Logprob { token, bytes, logprob: 0.0 };
        let logprobs = (sampler.logprobs > 0)
            .then(|| TokenLogprobs { chosen: logprob.clone(), top: vec![logprob] });
        Ok(Sampled { token, logprobs })
    }

    fn resumable(&self, seq: SeqId, n: usize) -> usize {
        self.resumable_copy(self.sequences[seq as usize].len(), n)
    }

    fn resumable_copy(&self, len: usize, n: usize) -> usize {
        if self.cuts.allow(len, n) { n } else { 0 }
    }

    fn truncate(&mut self, seq: SeqId, n: usize) -> bool {
        let tokens = &mut self.sequences[seq as usize];
        let is_allowed = n == 0 || n >= tokens.len() || self.cuts.allow(tokens.len(), n);
        if is_allowed {
            tokens.truncate(n);
        }
        is_allowed
    }

    /// Four bytes per token.
    fn export_size(&mut self, seq: SeqId) -> usize {
        4 * self.sequences[seq as usize].len()
    }

    fn export(&mut self, seq: SeqId, to: &mut [u8]) -> bool {
        let tokens = self.sequences[seq as usize].iter();
        let bytes: Vec<u8> = tokens.flat_map(|token| token.to_le_bytes()).collect();
        to.copy_from_slice(&bytes);
        true
    }

    fn import(&mut self, to: SeqId, state: &[u8]) -> bool {
        let tokens = state
            .chunks_exact(4)
            .map(|token| Token::from_le_bytes([token[0], token[1], token[2], token[3]]));
        let tokens: Vec<Token> = tokens.collect();
        assert!(tokens.len() <= self.limits.slot_tokens, "slot {to} overflows");
        assert!(self.sequences[to as usize].is_empty(), "slot {to} is not empty");
        if is_script(&tokens, b"lost") {
            return false;
        }
        self.sequences[to as usize] = tokens;
        true
    }
}

/// Where sequences of a [`ScriptedModel`] can be cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptedCuts {
    /// At every position.
    Anywhere,
    /// Within this many tokens of the end, as with a sliding window.
    NearEnd(usize),
    /// Nowhere, as with a recurrent state.
    Nowhere,
}

impl ScriptedCuts {
    /// Whether a sequence of `len` tokens can be cut to the first `n`.
    fn allow(self, len: usize, n: usize) -> bool {
        match self {
            Self::Anywhere => n <= len,
            Self::NearEnd(most) => n <= len && len - n <= most,
            Self::Nowhere => n == len,
        }
    }
}

/// The state from which the answer of one request is generated.
#[derive(Debug)]
pub struct ScriptedSampler {
    prompt: Vec<Token>,
    /// Whether the answer continues after the prompt was repeated once.
    is_endless: bool,
    /// Whether the script is `walk`.
    is_walk: bool,
    /// Whether the script is `nan`.
    is_nan: bool,
    /// The tokens sampled so far.
    answer: Vec<Token>,
    /// [`Params::logprobs`].
    logprobs: u8,
}

impl ScriptedSampler {
    /// The token at position `i` of the prompt and its answer.
    fn token(&self, i: usize) -> Token {
        let n = self.prompt.len();
        if self.is_walk && i >= n { walk_token(i) } else { self.prompt[i % n] }
    }
}

/// A draft model for `walk` scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ScriptedDraft {
    /// Drafts exactly the tokens of the answer.
    Correct,
    /// Drafts only tokens that the model rejects.
    Wrong,
    /// Drafts correctly and knows no token beyond ASCII.
    AsciiOnly,
}

/// Controls when a [`ScriptedModel`] computes its steps: at once, or one by one as a test allows.
/// Clones control the same model.
#[derive(Debug, Clone, Default)]
pub struct StepControl(Option<Arc<ManualSteps>>);

impl StepControl {
    /// Every step runs at once.
    pub fn free_running() -> Self {
        Self(None)
    }

    /// No step runs until [`Self::allow`] permits it.
    pub fn manual() -> Self {
        Self(Some(Arc::default()))
    }

    /// Permits `n` more steps.
    pub fn allow(&self, n: usize) {
        if let Some(manual) = &self.0 {
            manual.lock().n_allowed += n;
            manual.changed.notify_all();
        }
    }

    /// Blocks until a step waits for permission; false if none does within `limit`.
    pub fn wait_until_blocked(&self, limit: Duration) -> bool {
        let Some(manual) = &self.0 else { return false };
        let (permits, _) = manual
            .changed
            .wait_timeout_while(manual.lock(), limit, |permits| !permits.is_step_waiting)
            .unwrap_or_else(PoisonError::into_inner);
        permits.is_step_waiting
    }

    /// Blocks until a step is permitted; false if `interrupt` is due first.
    fn wait(&self, interrupt: &Interrupt<'_>) -> bool {
        let Some(manual) = &self.0 else { return true };
        let mut permits = manual.lock();
        permits.is_step_waiting = true;
        manual.changed.notify_all();
        // Nothing notifies this thread when the interrupt becomes due, so it has to be polled, as
        // llama.cpp polls its abort callback.
        while permits.n_allowed == 0 && !interrupt.is_due() {
            permits = manual
                .changed
                .wait_timeout(permits, Duration::from_millis(1))
                .unwrap_or_else(PoisonError::into_inner)
                .0;
        }
        permits.is_step_waiting = false;
        if interrupt.is_due() {
            return false;
        }
        permits.n_allowed -= 1;
        true
    }
}

/// Steps that run only with permission.
#[derive(Debug, Default)]
struct ManualSteps {
    permits: Mutex<StepPermits>,
    changed: Condvar,
}

impl ManualSteps {
    fn lock(&self) -> MutexGuard<'_, StepPermits> {
        self.permits.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

/// Which steps may run, and whether one waits.
#[derive(Debug, Default)]
struct StepPermits {
    /// Number of steps that may still run.
    n_allowed: usize,
    /// Whether a step waits for permission.
    is_step_waiting: bool,
}

/// The `wanted` token, or what the model takes if that is not allowed.
fn nearest_allowed(wanted: Token, allowed: AllowedTokens<'_>) -> Option<Token> {
    let set = match allowed {
        AllowedTokens::Any => return Some(wanted),
        AllowedTokens::Only(token) => return Some(token),
        AllowedTokens::Of(set) => set,
        AllowedTokens::Nothing => return None,
    };
    let preferred = [wanted, END_TOKEN].into_iter().chain(b"\"}]".map(Token::from));
    preferred.chain(0..END_TOKEN).find(|&token| set.contains(token))
}

/// The token at position `i` of a `walk`: triangular numbers modulo a prime.
fn walk_token(i: usize) -> Token {
    const PRIME: usize = 251;
    (i * (i + 1) / 2 % PRIME) as Token
}

/// Whether `tokens` start with the script `word`.
fn is_script(tokens: &[Token], word: &[u8]) -> bool {
    tokens.len() >= word.len() && tokens.iter().zip(word).all(|(&t, &b)| t == Token::from(b))
}
