//! The table of requests: those that run or wait, and those that ended last.
//!
//! A [`RequestRecord`] adds a request when it is created, and moves it to the finished ones at its
//! end. Neither has the text of the prompt or of the answer.

use std::collections::{BTreeMap, VecDeque};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use crate::domain::{AccountId, Delivery, FinishReason, Outcome, Usage};
use crate::runner::Canceller;
use crate::server::peer::Peer;

/// The interface that a request came through.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum Surface {
    /// The protocol of this server, on a WebSocket.
    Native,
    /// Chat completions.
    Chat,
    /// Completions.
    Completions,
    /// The Responses API, on HTTP or a WebSocket.
    Responses,
    /// Anthropic's messages.
    Messages,
}

impl Surface {
    /// The interface of an HTTP API that has this path.
    pub(in crate::server) fn of_path(path: &str) -> Self {
        let has = |segment: &str| path.split('/').any(|part| part == segment);
        if has("chat") {
            Self::Chat
        } else if has("responses") {
            Self::Responses
        } else if has("messages") {
            Self::Messages
        } else {
            Self::Completions
        }
    }

    /// The name on the wire.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Native => "native",
            Self::Chat => "chat",
            Self::Completions => "completions",
            Self::Responses => "responses",
            Self::Messages => "messages",
        }
    }
}

/// Who sent a request, and how.
#[derive(Debug, Clone)]
pub(in crate::server) struct RequestSource {
    pub(in crate::server) surface: Surface,
    pub(in crate::server) peer: Peer,
    /// The name of the key; `None` if no key was needed.
    pub(in crate::server) key: Option<String>,
    /// Whom the request counts for.
    pub(in crate::server) account: AccountId,
}

/// A request that has not ended.
#[derive(Debug, Clone)]
pub(super) struct RunningRequest {
    pub(super) number: u64,
    pub(super) source: RequestSource,
    pub(super) received: Instant,
    /// When it got a slot; `None` while it waits.
    pub(super) started: Option<Instant>,
    /// Tokens of the prompt, and those of them from the prefix cache; `None` while it waits.
    pub(super) prompt: Option<(usize, usize)>,
    /// Generated tokens.
    pub(super) n_tokens: usize,
    /// From receipt to the first token; `None` before that.
    pub(super) ttft: Option<Duration>,
    canceller: Canceller,
}

/// A request that has ended.
#[derive(Debug, Clone)]
pub(super) struct FinishedRequest {
    pub(super) number: u64,
    pub(super) source: RequestSource,
    pub(super) finish_reason: &'static str,
    /// The code of the error that ended it.
    pub(super) error: Option<&'static str>,
    /// Time of day of its end, since 1970.
    pub(super) ended_at: Duration,
    /// From receipt to its end.
    pub(super) duration: Duration,
    pub(super) ttft: Option<Duration>,
    /// What it used, as far as that is known.
    pub(super) usage: Usage,
    /// Tokens of the prompt, and those of them from the prefix cache; `None` if it never got a
    /// slot.
    pub(super) prompt: Option<(usize, usize)>,
}

/// What became of a request to abort.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Abortion {
    /// The request ends within a step.
    Aborted,
    /// The client may not abort it.
    Forbidden,
    /// There is no such request, or it has ended.
    Unknown,
}

/// The table of requests.
#[derive(Debug, Default)]
pub(in crate::server) struct RequestList {
    contents: Mutex<ListContents>,
}

#[derive(Debug, Default)]
struct ListContents {
    last: u64,
    /// By number.
    running: BTreeMap<u64, RunningRequest>,
    /// The one that ended last is the last one.
    finished: VecDeque<FinishedRequest>,
}

impl RequestList {
    /// Adds a request that was submitted at `received`.
    pub(in crate::server) fn begin(
        self: &Arc<Self>,
        source: RequestSource,
        received: Instant,
        canceller: Canceller,
    ) -> RequestRecord {
        let mut contents = self.lock();
        contents.last += 1;
        let number = contents.last;
        let request = RunningRequest {
            number,
            source,
            received,
            started: None,
            prompt: None,
            n_tokens: 0,
            ttft: None,
            canceller,
        };
        contents.running.insert(number, request);
        RequestRecord { list: self.clone(), number }
    }

    /// Those requests that `is_shown` accepts, the newest first: running and finished ones.
    pub(super) fn entries(
        &self,
        is_shown: impl Fn(&RequestSource) -> bool,
    ) -> (Vec<RunningRequest>, Vec<FinishedRequest>) {
        let contents = self.lock();
        let running = contents.running.values().rev();
        let finished = contents.finished.iter().rev();
        (
            running.filter(|request| is_shown(&request.source)).cloned().collect(),
            finished.filter(|request| is_shown(&request.source)).cloned().collect(),
        )
    }

    /// Aborts the request with this number if `may_abort` accepts it.
    pub(super) fn abort(
        &self,
        number: u64,
        may_abort: impl Fn(&RequestSource) -> bool,
    ) -> Abortion {
        let contents = self.lock();
        let Some(request) = contents.running.get(&number) else { return Abortion::Unknown };
        if !may_abort(&request.source) {
            return Abortion::Forbidden;
        }
        let canceller = request.canceller.clone();
        drop(contents);
        canceller.cancel();
        Abortion::Aborted
    }

    fn lock(&self) -> MutexGuard<'_, ListContents> {
        // The table is valid after every statement, so a panic cannot have broken it.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl ListContents {
    /// Moves a request to the finished ones, unless it is there already.
    fn end(&mut self, number: u64, outcome: Option<&Outcome>) {
        let Some(request) = self.running.remove(&number) else { return };
        let (finish_reason, error) = end_of(outcome);
        let (usage, prompt) = match outcome {
            Some(Outcome::Finished { usage, .. }) if usage.prompt_tokens > 0 => {
                (*usage, Some((usage.prompt_tokens, usage.cached_tokens)))
            }
            Some(Outcome::Finished { usage, .. }) => (*usage, request.prompt),
            _ => (request.usage_so_far(), request.prompt),
        };
        if self.finished.len() == MAX_FINISHED {
            self.finished.pop_front();
        }
        self.finished.push_back(FinishedRequest {
            number,
            source: request.source,
            finish_reason,
            error,
            ended_at: SystemTime::now().duration_since(UNIX_EPOCH).unwrap_or_default(),
            duration: request.received.elapsed(),
            ttft: request.ttft,
            usage,
            prompt,
        });
    }
}

impl RunningRequest {
    /// How long it has waited for a slot.
    pub(super) fn queued(&self) -> Duration {
        self.started.unwrap_or_else(Instant::now).saturating_duration_since(self.received)
    }

    /// What it has used, if its end does not tell.
    fn usage_so_far(&self) -> Usage {
        let (prompt_tokens, cached_tokens) = self.prompt.unwrap_or_default();
        let queued = self.queued();
        Usage { prompt_tokens, cached_tokens, tokens: self.n_tokens, queued, ..Usage::default() }
    }
}

/// The finish reason and the error code of an end; `None` is the end of a request whose client or
/// server gave it up.
fn end_of(outcome: Option<&Outcome>) -> (&'static str, Option<&'static str>) {
    match outcome {
        Some(Outcome::Finished { reason, .. }) => (reason_name(*reason), None),
        Some(outcome @ (Outcome::Failed(_) | Outcome::Refused(_))) => {
            ("error", Some(outcome.code().as_str()))
        }
        None => (reason_name(FinishReason::Abort), None),
    }
}

fn reason_name(reason: FinishReason) -> &'static str {
    match reason {
        FinishReason::Stop => "stop",
        FinishReason::MaxTokens => "max_tokens",
        FinishReason::ContextFull => "context",
        FinishReason::Abort => "aborted",
    }
}

/// A request in the table. Dropping it ends the request there.
#[derive(Debug)]
pub(in crate::server) struct RequestRecord {
    list: Arc<RequestList>,
    number: u64,
}

impl RequestRecord {
    /// Records what the runner has delivered.
    pub(in crate::server) fn delivered(&self, delivery: &Delivery) {
        let mut contents = self.list.lock();
        let Some(request) = contents.running.get_mut(&self.number) else { return };
        if delivery.is_started {
            request.started.get_or_insert_with(Instant::now);
        }
        request.prompt = request.prompt.or(delivery.prompt);
        request.n_tokens += delivery.n_tokens;
        if request.n_tokens > 0 && request.ttft.is_none() {
            request.ttft = Some(request.received.elapsed());
        }
    }

    /// Records how the request ended.
    pub(in crate::server) fn ended(&self, outcome: &Outcome) {
        self.list.lock().end(self.number, Some(outcome));
    }
}

impl Drop for RequestRecord {
    fn drop(&mut self) {
        self.list.lock().end(self.number, None);
    }
}

/// Finished requests that the table keeps.
const MAX_FINISHED: usize = 100;
