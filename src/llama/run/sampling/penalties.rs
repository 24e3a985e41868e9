//! Repetition penalties: `repeat_penalty`, `presence_penalty` and `frequency_penalty`.
//!
//! They follow llama.cpp's `penalties` sampler. The window of recent tokens includes the prompt.

use std::collections::{HashMap, VecDeque};

use crate::domain::{Params, Token};

/// The penalties of a request, and the window of recent tokens that they apply to.
pub(super) struct Penalties {
    repeat: f32,
    presence: f32,
    frequency: f32,
    /// Length of the window; `None` if it covers the whole text.
    max_len: Option<usize>,
    window: VecDeque<Token>,
    /// How often each token occurs in the window.
    counts: HashMap<Token, u32>,
}

impl Penalties {
    /// The penalties of a request, with the end of the prompt in the window. `None` if the
    /// parameters penalize nothing.
    pub(super) fn new(params: &Params, prompt: &[Token]) -> Option<Self> {
        let Params { repeat_penalty, presence_penalty, frequency_penalty, repeat_last_n, .. } =
            *params;
        let is_off = repeat_penalty == 1.0 && presence_penalty == 0.0 && frequency_penalty == 0.0;
        if is_off || repeat_last_n == Some(0) {
            return None;
        }
        let max_len = repeat_last_n.map(|n| n as usize);
        let mut penalties = Self {
            repeat: repeat_penalty,
            presence: presence_penalty,
            frequency: frequency_penalty,
            max_len,
            window: VecDeque::new(),
            counts: HashMap::new(),
        };
        let start = prompt.len().saturating_sub(max_len.unwrap_or(usize::MAX));
        for &token in &prompt[start..] {
            penalties.add(token);
        }
        Some(penalties)
    }

    /// Adds a token to the window. If the window is full, its oldest token is removed.
    pub(super) fn add(&mut self, token: Token) {
        self.window.push_back(token);
        *self.counts.entry(token).or_default() += 1;
        if self.max_len.is_some_and(|max_len| self.window.len() > max_len)
            && let Some(oldest) = self.window.pop_front()
            && let Some(count) = self.counts.get_mut(&oldest)
        {
            *count -= 1;
            if *count == 0 {
                self.counts.remove(&oldest);
            }
        }
    }

    /// Lowers the logits of the tokens in the window, with the formula of llama.cpp's `penalties`
    /// sampler.
    pub(super) fn apply(&self, logits: &mut [f32]) {
        for (&token, &count) in &self.counts {
            let Some(logit) = usize::try_from(token).ok().and_then(|id| logits.get_mut(id)) else {
                continue;
            };
            *logit = if *logit <= 0.0 { *logit * self.repeat } else { *logit / self.repeat };
            *logit -= count as f32 * self.frequency + self.presence;
        }
    }
}
