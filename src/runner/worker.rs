//! The runner's end of the link: submits what the daemon sends to an engine, and sends back what
//! the engine delivers.
//!
//! One task does all of it, except for tokenizing ([`super::tokenizing`]). It never waits for a
//! client: what a client does not take stays in the engine, because the daemon gives the request no
//! more credit, and the engine pauses its slot.
//! Coalesced deliveries are sent at most a hundred times per second, since every frame wakes both
//! processes while the engine computes (ADR-0013).

use std::collections::BTreeMap;
use std::future::pending;
use std::io;
use std::sync::Arc;
use std::time::Duration;

use tokio::io::{AsyncRead, AsyncWrite};
use tokio::sync::mpsc;
use tokio::time::{Instant as TokioInstant, sleep_until};

use crate::domain::{Delivery, FinishReason, LoadFailure, Outcome, Refusal, Usage};
use crate::engine::{
    Engine, EngineHandle, JobTicket, LoadProgress, Loaded, Model, Notifier, Options,
};

use super::frames::{CREDIT_BYTES, FrameReader, FrameWriter, FromRunner, RequestKey, ToRunner};
use super::tokenizing::{Answer, MAX_ANSWERS, QueryAnswer, Tokenizing};

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
            let failure = no_thread("the engine's thread", &error);
            return writer.send(&FromRunner::LoadFailed(failure)).await;
        }
    };
    // Stops the engine however this function ends.
    let _stop = StopEngine(engine.handle.clone());
    let notifier = Arc::<Notifier>::default();
    let (tokenizing, answered) = match Tokenizing::start(engine.handle.clone(), notifier.clone()) {
        Ok(started) => started,
        Err(error) => {
            let failure = no_thread("the threads that tokenize prompts", &error);
            return writer.send(&FromRunner::LoadFailed(failure)).await;
        }
    };
    let (queries, query_answers) = mpsc::channel(MAX_ANSWERS);
    let worker = Worker {
        handle: engine.handle.clone(),
        notifier,
        requests: BTreeMap::new(),
        tokenizing,
        queries,
        writer,
        next_deliveries: TokioInstant::now(),
        next_look: TokioInstant::now(),
    };
    worker.run(reader, engine, (answered, query_answers)).await
}

/// The failure of a runner that cannot start threads.
fn no_thread(which: &str, error: &io::Error) -> LoadFailure {
    let message = format!("cannot start {which}: {error}");
    LoadFailure { message, exit_code: EX_OSERR }
}

struct Worker<W> {
    handle: EngineHandle,
    notifier: Arc<Notifier>,
    /// The requests that have not ended, in the order of their arrival; without those that are
    /// being tokenized.
    requests: BTreeMap<RequestKey, Accepted>,
    tokenizing: Tokenizing,
    /// Where the answers to questions go.
    queries: mpsc::Sender<QueryAnswer>,
    writer: FrameWriter<W>,
    /// The earliest time to send coalesced deliveries again.
    next_deliveries: TokioInstant,
    /// When the requests that are being tokenized are looked at next.
    next_look: TokioInstant,
}

/// A request that the engine has accepted.
struct Accepted {
    ticket: JobTicket,
    /// Bytes that may be delivered before the client has taken more.
    credit: usize,
}

/// Why deliveries are sent.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum DeliveryScope {
    /// All that there are.
    All,
    /// First texts and outcomes.
    Urgent,
    /// All that there is for one request.
    Of(RequestKey),
}

impl<W: AsyncWrite + Unpin> Worker<W> {
    async fn run<R: AsyncRead + Unpin>(
        mut self,
        mut reader: FrameReader<R>,
        mut engine: Engine<LoadFailure>,
        (mut answered, mut replies): (mpsc::Receiver<Answer>, mpsc::Receiver<QueryAnswer>),
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
                Some((key, result)) = replies.recv() => {
                    self.writer.send(&FromRunner::Answered(key, result)).await?;
                }
                () = sleep_until(self.next_look), if !self.tokenizing.is_empty() => {
                    self.look_at_tokenizing().await?;
                }
                () = notifier.urgent() => self.deliver(DeliveryScope::Urgent).await?,
                () = coalesced => {
                    self.next_deliveries = TokioInstant::now() + DELIVERY_INTERVAL;
                    self.deliver(DeliveryScope::All).await?;
                }
                loaded = loaded => {
                    is_loading = false;
                    if loaded.is_ok() {
                        self.send_ready().await?;
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

    /// Tells the daemon that the model is loaded, and what was found out about it.
    async fn send_ready(&mut self) -> io::Result<()> {
        let ready = FromRunner::Ready {
            memory: self.handle.memory().to_vec(),
            offloaded: self.handle.offloaded(),
            chat_problem: self.handle.chat_problem().map(str::to_owned),
            warnings: self.handle.warnings().to_vec(),
            answer_style: self.handle.answer_style(),
        };
        self.writer.send(&ready).await
    }

    /// Carries out what the daemon asks for.
    async fn handle(&mut self, frame: ToRunner) -> io::Result<()> {
        match frame {
            ToRunner::Start { .. } => Err(io::Error::other("the daemon has started twice")),
            ToRunner::Submit(submission) => {
                let key = submission.key;
                match self.tokenizing.submit(*submission) {
                    Ok(()) => Ok(()),
                    Err(refusal) => self.writer.send(&FromRunner::Refused(key, refusal)).await,
                }
            }
            ToRunner::Cancel(key) => {
                if let Some(waited) = self.tokenizing.cancel(key) {
                    return self.abort(key, waited).await;
                }
                if let Some(Accepted { ticket, .. }) = self.requests.get(&key) {
                    ticket.cancel();
                }
                Ok(())
            }
            ToRunner::Credit(key, bytes) => {
                if let Some(Accepted { credit, .. }) = self.requests.get_mut(&key) {
                    *credit += bytes;
                    return self.deliver(DeliveryScope::Of(key)).await;
                }
                Ok(())
            }
            ToRunner::Poll(n) => {
                let mut snapshot = self.handle.snapshot();
                snapshot.numbers.queued += self.tokenizing.n_waiting();
                self.writer.send(&FromRunner::Status(n, Box::new(snapshot))).await
            }
            ToRunner::Query(frame) => {
                let key = frame.key;
                match self.tokenizing.query(*frame, self.queries.clone()) {
                    Ok(()) => Ok(()),
                    Err(refusal) => {
                        self.writer.send(&FromRunner::Answered(key, Err(refusal))).await
                    }
                }
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

    /// Tells clients the positions of requests that wait to be tokenized, and gives up those that
    /// take too long.
    async fn look_at_tokenizing(&mut self) -> io::Result<()> {
        self.next_look = TokioInstant::now() + LOOK_INTERVAL;
        let positions = self.tokenizing.changed_positions(LOOK_INTERVAL);
        if !positions.is_empty() {
            let queued = |queued| Delivery { queued: Some(queued), ..Delivery::default() };
            let deliveries = positions.into_iter().map(|(key, position)| (key, queued(position)));
            self.writer.feed(&FromRunner::Deliveries(deliveries.collect())).await?;
        }
        for (key, refusal) in self.tokenizing.take_overdue() {
            self.writer.feed(&FromRunner::Refused(key, refusal)).await?;
        }
        self.writer.flush().await
    }

    /// Tells the daemon whether the engine has accepted a request.
    async fn answer(
        &mut self,
        key: RequestKey,
        result: Result<JobTicket, Refusal>,
    ) -> io::Result<()> {
        if !self.tokenizing.finish(key) {
            // It was cancelled or took too long. Dropping the ticket tells the engine.
            return Ok(());
        }
        match result {
            Ok(ticket) => {
                self.requests.insert(key, Accepted { ticket, credit: CREDIT_BYTES });
                self.writer.feed(&FromRunner::Accepted(key)).await?;
                // The engine may have delivered before the request was in the table, also that the
                // request has a slot. Nothing would notify of that again during a long step.
                self.deliver(DeliveryScope::All).await
            }
            Err(refusal) => self.writer.send(&FromRunner::Refused(key, refusal)).await,
        }
    }

    /// Ends a request that was cancelled while it was tokenized. What its thread finds is dropped.
    async fn abort(&mut self, key: RequestKey, waited: Duration) -> io::Result<()> {
        let usage = Usage { queued: waited, total: waited, ..Usage::default() };
        let outcome = Some(Outcome::Finished { reason: FinishReason::Abort, stop: None, usage });
        let delivery = Delivery { outcome, ..Delivery::default() };
        self.writer.send(&FromRunner::Deliveries(vec![(key, delivery)])).await
    }

    /// Sends what the engine has delivered for requests that have credit, and the ends of all.
    async fn deliver(&mut self, wanted: DeliveryScope) -> io::Result<()> {
        let mut deliveries = Vec::new();
        self.requests.retain(|&key, Accepted { ticket, credit }| {
            let is_urgent = ticket.is_urgent();
            // An end is sent without credit. What comes with it fits into the engine's outbox.
            let is_wanted = match wanted {
                DeliveryScope::All => is_urgent || *credit > 0,
                DeliveryScope::Urgent => is_urgent,
                DeliveryScope::Of(wanted) => key == wanted && (is_urgent || *credit > 0),
            };
            if !is_wanted {
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

/// Time between two looks at the requests that are being tokenized, and how long a request waits
/// for a thread before its client hears of it.
const LOOK_INTERVAL: Duration = Duration::from_millis(200);

/// Exit code of sysexits.h for something that the operating system refuses.
const EX_OSERR: u8 = 71;

/// Steps in a row that may fail. One may be due to its requests, three are due to the device or the
/// state of llama.cpp.
const MAX_FAILED_STEPS: u32 = 3;
