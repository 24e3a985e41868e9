//! A compiled constraint, and how far one answer has come in it.

use std::fmt;

use llguidance::Matcher;

use crate::domain::Token;
use crate::engine::{AllowedTokens, AnswerConstraint, TokenSet};

use super::reason::plain_reason;

/// A compiled constraint.
pub(super) struct CompiledConstraint {
    matcher: Matcher,
    next: Next,
    /// The allowed tokens, if there is a choice.
    set: TokenSet,
    /// The tokens that have to come next; those before `n_taken` are part of the answer.
    forced: Vec<Token>,
    n_taken: usize,
}

/// What may come next.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Next {
    /// Not computed yet.
    Unknown,
    /// The next one of the forced tokens.
    Forced,
    /// A token of the set.
    Choice,
    /// Nothing.
    End,
}

impl CompiledConstraint {
    pub(super) fn new(matcher: Matcher) -> Self {
        let set = TokenSet::default();
        Self { matcher, next: Next::Unknown, set, forced: Vec::new(), n_taken: 0 }
    }

    /// Whether what is forced can be accepted. llguidance says only then that it was too much.
    ///
    /// # Errors
    /// Why it cannot.
    pub(super) fn check_forced(&mut self) -> Result<(), String> {
        let Some(&first) = self.forced().first() else { return Ok(()) };
        let consumed = self.matcher.clone().consume_token(first as u32);
        consumed.map_err(|error| plain_reason(&error.to_string()))
    }

    /// Computes what may come next, if it is not known.
    fn look_ahead(&mut self) -> Result<(), String> {
        if self.next != Next::Unknown {
            return Ok(());
        }
        if let Some(error) = self.matcher.get_error() {
            return Err(plain_reason(&error));
        }
        if self.matcher.is_stopped() {
            self.next = Next::End;
            return Ok(());
        }
        self.forced.clear();
        self.n_taken = 0;
        let forced = self.matcher.compute_ff_tokens();
        if !forced.is_empty() {
            self.forced.extend(forced.into_iter().map(|token| token as Token));
            self.next = Next::Forced;
            return Ok(());
        }
        let mask = self.matcher.compute_mask().map_err(|error| plain_reason(&error.to_string()))?;
        self.set.copy_words(mask.as_slice());
        self.next = Next::Choice;
        Ok(())
    }
}

impl AnswerConstraint for CompiledConstraint {
    fn allowed(&mut self) -> Result<AllowedTokens<'_>, String> {
        self.look_ahead()?;
        Ok(match self.next {
            Next::Forced => AllowedTokens::Only(self.forced[self.n_taken]),
            Next::Choice => AllowedTokens::Of(&self.set),
            Next::End | Next::Unknown => AllowedTokens::Nothing,
        })
    }

    fn forced(&mut self) -> &[Token] {
        match self.look_ahead() {
            Ok(()) => &self.forced[self.n_taken..],
            // The next question gets the error.
            Err(_) => &[],
        }
    }

    fn accept(&mut self, token: Token) -> Result<(), String> {
        let not_allowed = || format!("token {token} does not fit the format");
        let id = u32::try_from(token).map_err(|_| not_allowed())?;
        if self.next == Next::Forced && self.forced.get(self.n_taken) != Some(&token) {
            return Err(not_allowed());
        }
        self.matcher.consume_token(id).map_err(|error| plain_reason(&error.to_string()))?;
        self.n_taken += 1;
        if self.next != Next::Forced || self.n_taken >= self.forced.len() {
            self.forced.clear();
            self.n_taken = 0;
            self.next = Next::Unknown;
        }
        Ok(())
    }
}

impl fmt::Debug for CompiledConstraint {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("CompiledConstraint").field("next", &self.next).finish_non_exhaustive()
    }
}
