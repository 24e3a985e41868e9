//! The runner's end of the link: submits what the daemon sends to an engine, and sends back what
//! the engine delivers.
//!
//! One task does all of it. It never waits for a client: what a client does not take stays in the
//! engine, because the daemon gives the request no more credit, and the engine pauses its slot.
//! Coalesced deliveries are sent at most a hundred times per second, since every frame wakes both
//! processes while the engine computes (ADR-0013).

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::panic::{AssertUnwindSafe, catch_unwind};
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, sleep_until};

use crate::domain::{Delivery, FinishReason, LoadFailure, Outcome, Prompt, Refusal, Usage};
use crate::engine::{
    Admission, Engine, EngineHandle, JobTicket, LoadProgress, Loaded, Model, Notifier, Options,
};

use super::frames::{
    CREDIT_BYTES, FrameReader, FrameWriter, FromRunner, RequestKey, SubmitFrame, ToRunner,
};

/// Loads a model on the engine thread.
pub type Load<M> = Box<dyn FnOnce(&LoadProgress) -> Result<Loaded<M>, LoadFailure> + Send>;

/// Serves the link until the daemon closes it, or until the engine has ended as the daemon asked.
/// `setup` turns the daemon's description of the work into the options of the engine and the load.
///
/// # Errors
/// Fails if the link breaks, or if the engine cannot be started.
pub async fn serve<R, W, M>(
    reader: R,
    writer: W,
    build: &str,
    setup: impl FnOnce(&[u8]) -> Result<(Options, Load<M>), LoadFailure>,
) -> io::Result<()>
where
    R: AsyncRead + Unpin,
    W: AsyncWrite + Unpin,
    M: Model + 'static,
{
    let mut reader = FrameReader::new(reader);
    let mut writer = FrameWriter::new(writer);
    let Some(ToRunner::Start { build: daemon, spec }) = reader.next().await? else {
        return Ok(());
    };
    if daemon != build {
        return Err(io::Error::other(format!("this is build {build}, the daemon is {daemon}")));
    }
    let (options, load) = match setup(&spec) {
        Ok(set_up) => set_up,
        Err(failure) => return writer.send(&FromRunner::LoadFailed(failure)).await,
    };
    let engine = match Engine::spawn(options, load) {
        Ok(engine) => engine,
        Err(error) => {
            let message = format!("the engine's thread cannot be started: {error}");
            let failure = LoadFailure { message, exit_code: EX_OSERR };
            return writer.send(&FromRunner::LoadFailed(failure)).await;
        }
    };
    let (answers, answered) = mpsc::channel(MAX_ANSWERS);
    let worker = Worker {
        handle: engine.handle.clone(),
        notifier: Arc::default(),
        requests: BTreeMap::new(),
        answers,
        writer,
        next_deliveries: TokioInstant::now(),
    };
    // Stops the engine however this function ends.
    let _stop = StopEngine(engine.handle.clone());
    worker.run(reader, engine, answered).await
}

/// What a blocking thread has found out about a submission.
type Answer = (RequestKey, Result<JobTicket, Refusal>);

struct Worker<W> {
    handle: EngineHandle,
    notifier: Arc<Notifier>,
    /// The requests that have not ended, in the order of their arrival.
    requests: BTreeMap<RequestKey, Active>,
    /// For the threads that tokenize long prompts.
    answers: mpsc::Sender<Answer>,
    writer: FrameWriter<W>,
    /// The earliest time to send coalesced deliveries again.
    next_deliveries: TokioInstant,
}

/// A request of the daemon.
enum Active {
    /// It is being tokenized.
    Submitting { received: Instant },
    /// The engine has accepted it.
    Accepted { ticket: JobTicket, credit: usize },
}

/// Why deliveries are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryScope {
    /// All that there are.
    All,
    /// First texts and outcomes.
    Urgent,
}

impl<W: AsyncWrite + Unpin> Worker<W> {
    async fn run<R: AsyncRead + Unpin>(
        mut self,
        mut reader: FrameReader<R>,
        mut engine: Engine<LoadFailure>,
        mut answered: mpsc::Receiver<Answer>,
    ) -> io::Result<()> {
        let notifier = self.notifier.clone();
        let mut is_loading = true;
        loop {
            let next_deliveries = self.next_deliveries;
            let coalesced = async {
                if next_deliveries > TokioInstant::now() {
                    sleep_until(next_deliveries).await;
                }
                notifier.coalesced().await;
            };
            let loaded =
                async { if is_loading { (&mut engine.loaded).await } else { pending().await } };
            tokio::select! {
                frame = reader.next() => match frame? {
                    Some(frame) => self.handle(frame).await?,
                    None => return Ok(()),
                },
                Some((key, result)) = answered.recv() => self.answer(key, result).await?,
                () = notifier.urgent() => self.deliver(DeliveryScope::Urgent).await?,
                () = coalesced => {
                    self.next_deliveries = TokioInstant::now() + DELIVERY_INTERVAL;
                    self.deliver(DeliveryScope::All).await?;
                }
                loaded = loaded => {
                    is_loading = false;
                    if loaded.is_ok() {
                        let memory = self.handle.memory().to_vec();
                        let offloaded = self.handle.offloaded();
                        let chat_problem = self.handle.chat_problem().map(str::to_owned);
                        let warnings = self.handle.warnings().to_vec();
                        let ready = FromRunner::Ready { memory, offloaded, chat_problem, warnings };
                        self.writer.send(&ready).await?;
                    }
                }
                ended = &mut engine.ended => {
                    if ended.is_ok() {
                        self.deliver(DeliveryScope::All).await?;
                    }
                    return match ended {
                        Ok(Ok(())) => self.writer.send(&FromRunner::Ended).await,
                        Ok(Err(failure)) => {
                            self.writer.send(&FromRunner::LoadFailed(failure)).await
                        }
                        Err(_) => Err(io::Error::other("the engine thread panicked")),
                    };
                }
            }
            if self.handle.failed_steps() >= MAX_FAILED_STEPS {
                return self.writer.send(&FromRunner::Failing).await;
            }
        }
    }

    /// Carries out what the daemon asks for.
    async fn handle(&mut self, frame: ToRunner) -> io::Result<()> {
        match frame {
            ToRunner::Start { .. } => Err(io::Error::other("the daemon has started twice")),
            ToRunner::Submit(submission) => self.submit(*submission).await,
            ToRunner::Cancel(key) => {
                match self.requests.get(&key) {
                    Some(Active::Submitting { received }) => {
                        let waited = received.elapsed();
                        self.requests.remove(&key);
                        return self.abort(key, waited).await;
                    }
                    Some(Active::Accepted { ticket, .. }) => ticket.cancel(),
                    None => {}
                }
                Ok(())
            }
            ToRunner::Credit(key, bytes) => {
                if let Some(Active::Accepted { credit, .. }) = self.requests.get_mut(&key) {
                    *credit += bytes;
                    return self.deliver(DeliveryScope::All).await;
                }
                Ok(())
            }
            ToRunner::Poll(n) => {
                self.writer.send(&FromRunner::Status(n, Box::new(self.handle.snapshot()))).await
            }
            ToRunner::Drain => {
                self.handle.drain();
                Ok(())
            }
            ToRunner::Stop => {
                self.handle.stop();
                Ok(())
            }
        }
    }

    /// Submits a request: a short prompt at once, a long prompt or a chat on a blocking thread. The
    /// daemon limits how many of those it sends.
    async fn submit(&mut self, submission: SubmitFrame) -> io::Result<()> {
        let SubmitFrame { key, request, age, is_first, was_accepted } = submission;
        let now = Instant::now();
        let received = now.checked_sub(age).unwrap_or(now);
        let (handle, notifier) = (self.handle.clone(), self.notifier.clone());
        let is_short = match &request.prompt {
            Prompt::Text(text) => text.len() <= SHORT_PROMPT_BYTES,
            Prompt::Messages(_) => false,
        };
        self.requests.insert(key, Active::Submitting { received });
        let admission = match (was_accepted, is_first) {
            (true, _) => Admission::Accepted,
            (false, true) => Admission::First,
            (false, false) => Admission::Further,
        };
        let submit = move || handle.submit(request, received, notifier, admission);
        if is_short {
            return self.answer(key, submit()).await;
        }
        let answers = self.answers.clone();
        tokio::spawn(async move {
            let failed = |reason: &str| Err(Refusal::NotTokenized { reason: reason.to_owned() });
            // Panics if the system cannot start a thread.
            let started = catch_unwind(AssertUnwindSafe(|| tokio::task::spawn_blocking(submit)));
            let result = match started {
                Ok(thread) => thread.await.unwrap_or_else(|_| failed("its thread panicked")),
                Err(_) => failed("the system has no more threads"),
            };
            // Fails if the link has ended. The ticket is then dropped, which cancels the request.
            let _ = answers.send((key, result)).await;
        });
        Ok(())
    }

    /// Tells the daemon whether the engine has accepted a request.
    async fn answer(
        &mut self,
        key: RequestKey,
        result: Result<JobTicket, Refusal>,
    ) -> io::Result<()> {
        match result {
            Ok(ticket) => {
                if !self.requests.contains_key(&key) {
                    // It was cancelled. Dropping the ticket tells the engine.
                    return Ok(());
                }
                self.requests.insert(key, Active::Accepted { ticket, credit: CREDIT_BYTES });
                self.writer.feed(&FromRunner::Accepted(key)).await?;
                // The engine may have delivered before the request was in the table.
                self.deliver(DeliveryScope::Urgent).await
            }
            Err(refusal) => {
                match self.requests.remove(&key) {
                    Some(_) => self.writer.send(&FromRunner::Refused(key, refusal)).await,
                    // It was cancelled.
                    None => Ok(()),
                }
            }
        }
    }

    /// Ends a request that was cancelled while it was tokenized. Its thread may take long, and what
    /// it finds is dropped.
    async fn abort(&mut self, key: RequestKey, waited: Duration) -> io::Result<()> {
        let usage = Usage { queued: waited, total: waited, ..Usage::default() };
        let outcome = Some(Outcome::Finished { reason: FinishReason::Abort, usage });
        let delivery = Delivery { outcome, ..Delivery::default() };
        self.writer.send(&FromRunner::Deliveries(vec![(key, delivery)])).await
    }

    /// Sends what the engine has delivered for requests that have credit, and the ends of all.
    async fn deliver(&mut self, wanted: DeliveryScope) -> io::Result<()> {
        let mut deliveries = Vec::new();
        self.requests.retain(|&key, active| {
            let Active::Accepted { ticket, credit } = active else { return true };
            let is_urgent = ticket.is_urgent();
            // An end is sent without credit. What comes with it fits into the engine's outbox.
            if !is_urgent && (wanted == DeliveryScope::Urgent || *credit == 0) {
                return true;
            }
            let delivery = ticket.take();
            if delivery.is_empty() {
                return true;
            }
            *credit = credit.saturating_sub(delivery.cost());
            let is_last = delivery.outcome.is_some();
            deliveries.push((key, delivery));
            !is_last
        });
        if !deliveries.is_empty() {
            self.writer.feed(&FromRunner::Deliveries(deliveries)).await?;
        }
        self.writer.flush().await
    }
}

/// Stops an engine when it is dropped.
struct StopEngine(EngineHandle);

impl Drop for StopEngine {
    fn drop(&mut self) {
        self.0.stop();
    }
}

/// Minimum time between two sends of coalesced deliveries. It limits a request to 100 `token`
/// frames per second; a model that generates fewer tokens is not delayed, nor are urgent deliveries
/// (ADR-0013).
const DELIVERY_INTERVAL: Duration = Duration::from_millis(10);

/// Longest prompt that is tokenized on the link's task, in bytes. It takes about 5 ms (ADR-0013).
const SHORT_PROMPT_BYTES: usize = 16 * 1024;

/// Results of blocking threads that wait for the link's task; more make their threads wait.
const MAX_ANSWERS: usize = 16;

/// Exit code of sysexits.h for something that the operating system refuses.
const EX_OSERR: u8 = 71;

/// Steps in a row that may fail. One may be due to its requests, three are due to the device or the
/// state of llama.cpp.
const MAX_FAILED_STEPS: u32 = 3;
