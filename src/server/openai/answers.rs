//! The answers to one request: several, if it asks for `n` of them or has several prompts.

use std::sync::Arc;
use std::time::{Duration, Instant};

use futures_util::future::select_all;
use tokio::time::timeout;

use crate::domain::{Params, Prompt};
use crate::server::budget::Charge;

use super::client::ApiClient;
use super::error::ApiError;
use super::field_names::FieldNames;
use super::generation::{Generation, GenerationEvent, NewGeneration};

/// What to ask the model for.
pub(super) struct AnswersRequest {
    pub(super) prompts: Vec<Prompt>,
    pub(super) params: Params,
    /// Whether the client gets the answers as they come.
    pub(super) is_streamed: bool,
    /// What the client calls the fields of its request.
    pub(super) names: FieldNames,
    /// Answers to each prompt.
    pub(super) n: usize,
    /// Length of the message in bytes.
    pub(super) n_bytes: usize,
    pub(super) charge: Charge,
    pub(super) received: Instant,
}

/// The answers to one request that have not ended.
pub(super) struct Answers {
    /// By the number of the answer; `None` once it has ended.
    generations: Vec<Option<Generation>>,
}

impl Answers {
    /// Asks for all answers.
    ///
    /// # Errors
    /// One of the requests to the model is refused. The others are cancelled.
    pub(super) fn start(
        client: &Arc<ApiClient>,
        request: AnswersRequest,
    ) -> Result<Self, ApiError> {
        let AnswersRequest { prompts, params, is_streamed, names, n, n_bytes, charge, received } =
            request;
        let n_answers = prompts.len() * n;
        // It would be refused again whenever the client tried again.
        client.caller.check_size(n_answers, n_bytes).map_err(|excess| {
            let field = if n > 1 { "n" } else { "prompt" };
            let reason = format_args!("asks for {n_answers} answers: {excess}");
            let error = ApiError::invalid(field, reason);
            client.refused(&error);
            error
        })?;
        let mut charge = Some(charge);
        let mut generations = Vec::with_capacity(prompts.len() * n);
        for prompt in prompts {
            for i in 0..n {
                let new = NewGeneration {
                    prompt: prompt.clone(),
                    // Equal seeds would give equal answers.
                    params: Params {
                        seed: params.seed.map(|seed| seed.saturating_add(i as u32) % u32::MAX),
                        ..params.clone()
                    },
                    is_streamed,
                    names,
                    n_bytes,
                    charge: charge.take().unwrap_or_else(|| client.share.empty()),
                    received,
                    is_first: generations.is_empty(),
                };
                generations.push(Some(Generation::start(client, new)?));
            }
        }
        Ok(Self { generations })
    }

    /// Waits until the runner has accepted all requests, at most for a moment: a client then learns
    /// from the status of the response if its request is refused.
    ///
    /// # Errors
    /// One of the requests was refused.
    pub(super) async fn accepted(&mut self) -> Result<(), ApiError> {
        let accepted = async {
            for generation in self.generations.iter_mut().flatten() {
                generation.accepted().await?;
            }
            Ok(())
        };
        timeout(ACCEPT_DEADLINE, accepted).await.unwrap_or(Ok(()))
    }

    /// Number of answers.
    pub(super) fn len(&self) -> usize {
        self.generations.len()
    }

    /// Waits for the next event of an answer, and its number; `None` once all have ended.
    /// Cancelling the wait loses nothing.
    pub(super) async fn next(&mut self) -> Option<(usize, GenerationEvent)> {
        let open = self.generations.iter_mut().enumerate();
        let mut open = open.filter_map(|(i, open)| open.as_mut().map(|open| (i, open)));
        let (first, second) = (open.next()?, open.next());
        let (i, event) = match second {
            None => (first.0, first.1.next().await),
            Some(second) => {
                let waits = [first, second].into_iter().chain(open);
                let waits = waits.map(|(i, open)| Box::pin(async move { (i, open.next().await) }));
                select_all(waits).await.0
            }
        };
        self.note(i, &event);
        Some((i, event))
    }

    /// The next event of an answer, if there is one.
    pub(super) fn take(&mut self) -> Option<(usize, GenerationEvent)> {
        let open = self.generations.iter_mut().enumerate();
        let mut open = open.filter_map(|(i, open)| open.as_mut().map(|open| (i, open)));
        let (i, event) = open.find_map(|(i, open)| open.take().map(|event| (i, event)))?;
        self.note(i, &event);
        Some((i, event))
    }

    /// Frees an answer that has ended.
    fn note(&mut self, i: usize, event: &GenerationEvent) {
        if matches!(event, GenerationEvent::Ended(_) | GenerationEvent::Failed(_)) {
            self.generations[i] = None;
        }
    }
}

/// How long a response waits for the decision whether its request is accepted.
const ACCEPT_DEADLINE: Duration = Duration::from_secs(1);
