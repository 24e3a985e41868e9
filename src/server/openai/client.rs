//! Who sends the requests of an HTTP API, and what ends them early.

use std::future::pending;
use std::sync::Arc;

use tokio::sync::SetOnce;

use crate::domain::{AccountId, Code, ConnectionId};
use crate::server::access::Caller;
use crate::server::budget::BudgetShare;
use crate::server::listing::{RequestSource, Surface};
use crate::server::peer::Peer;
use crate::server::shared::Shared;
use crate::server::websockets::WebSocketPermit;

use super::error::ApiError;

/// The client of one HTTP request or of one WebSocket of an HTTP API.
pub(in crate::server) struct ApiClient {
    pub(in crate::server) shared: Arc<Shared>,
    pub(in crate::server) caller: Caller,
    /// The queue is fair between connections.
    pub(in crate::server) connection: ConnectionId,
    /// For the list of requests.
    pub(in crate::server) source: RequestSource,
    /// What it holds of the message budget.
    pub(in crate::server) share: Arc<BudgetShare>,
    interruption: SetOnce<ApiError>,
}

impl ApiClient {
    /// A client that nothing ends yet. It uses `surface`, from `peer`.
    pub(in crate::server) fn new(
        shared: Arc<Shared>,
        caller: Caller,
        surface: Surface,
        peer: Peer,
    ) -> Self {
        let connection = shared.next_connection();
        let (key, account) = (caller.key_name().map(str::to_owned), caller.account_id());
        let source = RequestSource { surface, peer, key, account };
        let share = shared.budget.share(caller.account_id());
        Self { shared, caller, connection, source, share, interruption: SetOnce::new() }
    }

    /// Whom its requests count for.
    pub(in crate::server) fn account(&self) -> AccountId {
        self.caller.account_id()
    }

    /// Ends all that the client has in progress with this error. Only the first one counts.
    pub(in crate::server) fn interrupt(&self, error: ApiError) {
        // Fails if there was one before.
        let _ = self.interruption.set(error);
    }

    /// The error that ends what the client has in progress, if there is one.
    pub(in crate::server) fn interruption(&self) -> Option<ApiError> {
        self.interruption.get().cloned()
    }

    /// Waits for the error that ends what the client has in progress.
    pub(in crate::server) async fn interrupted(&self) -> ApiError {
        self.interruption.wait().await.clone()
    }

    /// Interrupts the client when its key is revoked, or when it has to give way to others: its
    /// account holds most of the message memory, or too many connections. Never ends.
    pub(in crate::server) async fn watch(&self, permit: &WebSocketPermit) {
        let error = tokio::select! {
            () = self.shared.access.revoked(&self.caller) => {
                ApiError::new(Code::Unauthorized, "the API key of this request was revoked: use another")
            }
            () = self.share.evicted() => ApiError::new(
                Code::Busy,
                "the server has no memory left for messages, and this client uses most of it: \
                 send shorter requests, or try again later",
            ),
            () = permit.replaced() => ApiError::new(
                Code::Busy,
                "the server has its most connections, and this client has more of them than \
                 others: close some, or try again later",
            ),
        };
        self.interrupt(error);
        pending().await
    }
}
