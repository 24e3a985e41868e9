//! The client's side of a request: its deliveries and the means to cancel it.

use std::sync::Arc;

use tokio::sync::oneshot;

use crate::domain::Delivery;
use crate::runner::frames::RequestKey;

use super::mailbox::Mailbox;
use super::requests::{Requests, Submitted};

/// Takes the deliveries of a request, and cancels the request when dropped.
#[derive(Debug)]
pub struct Ticket {
    canceller: Canceller,
    mailbox: Arc<Mailbox>,
    settled: Option<oneshot::Receiver<()>>,
}

impl Ticket {
    pub(super) fn new(submitted: Submitted, requests: Arc<Requests>) -> Self {
        let Submitted { key, mailbox, settled } = submitted;
        Self { canceller: Canceller { key, requests }, mailbox, settled: Some(settled) }
    }

    /// Takes the delivery since the last call; never waits. The `Notify` of the submission tells
    /// when there is one. The last delivery has the outcome.
    pub fn take(&mut self) -> Delivery {
        let delivery = self.mailbox.take();
        let cost = delivery.cost();
        if cost > 0 {
            self.canceller.requests.taken(self.canceller.key, cost);
        }
        delivery
    }

    /// Resolves once the prompt is tokenized: the runner has accepted or refused the request, or
    /// it has ended. If there is no runner, it resolves at once. To be called once.
    pub fn settled(&mut self) -> impl Future<Output = ()> + Send + use<> {
        let settled = self.settled.take();
        async move {
            if let Some(settled) = settled {
                // Fails if the request has ended, which also settles it.
                let _ = settled.await;
            }
        }
    }

    /// A handle that can cancel the request, for the task that reads the socket.
    pub fn canceller(&self) -> Canceller {
        self.canceller.clone()
    }
}

impl Drop for Ticket {
    fn drop(&mut self) {
        self.canceller.cancel();
    }
}

/// Cancels one request.
#[derive(Debug, Clone)]
pub struct Canceller {
    key: RequestKey,
    requests: Arc<Requests>,
}

impl Canceller {
    /// Asks the runner to end the request, which it does within one step. Does nothing if the
    /// request has ended.
    pub fn cancel(&self) {
        self.requests.cancel(self.key);
    }
}
