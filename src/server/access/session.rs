//! The access of one WebSocket: who uses it, what for, and until when.

use std::future::pending;
use std::net::IpAddr;
use std::sync::Arc;
use std::time::{Duration, Instant};

use tokio::sync::SetOnce;
use tokio::time::timeout;
use tracing::Span;

use crate::domain::{AccountId, ApiKey, Right, Rights};
use crate::protocol::{Code, ErrorFrame};

use super::access_control::{Access, Caller, WrongKey};
use super::account::{AccountConnection, AccountRequest};
use super::limit::RateLimited;

/// The access of a WebSocket. Its reader authenticates it, and both of its tasks ask it.
#[derive(Debug)]
pub(in crate::server) struct Session {
    access: Arc<Access>,
    address: IpAddr,
    /// Set once: a connection belongs to one caller.
    authenticated: SetOnce<Authenticated>,
}

#[derive(Debug)]
struct Authenticated {
    caller: Caller,
    _connection: AccountConnection,
}

/// Why an `auth` frame fails.
#[derive(Debug)]
pub(in crate::server) enum AuthError {
    /// The client may try again.
    Refused(ErrorFrame),
    /// The account has too many connections, so this one is to be closed.
    TooMany(ErrorFrame),
}

/// Why a connection is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) enum SessionEnd {
    /// Its key was revoked or changed.
    Revoked,
    /// No key came in time.
    NoKey,
}

impl Session {
    /// The session of a client at `address` that nobody uses yet.
    pub(in crate::server) fn new(access: Arc<Access>, address: IpAddr) -> Self {
        Self { access, address, authenticated: SetOnce::new() }
    }

    /// Gives the connection to its caller.
    ///
    /// # Errors
    /// The `error` frame to close the connection with, if the caller has its most connections.
    pub(in crate::server) fn begin(&self, caller: Caller) -> Result<(), ErrorFrame> {
        let connection = caller.account().connect().map_err(|limit| rate_limited(&limit))?;
        if let Caller::Key(owner) = &caller {
            // The log lines of the connection then name the key.
            Span::current().record("key", owner.name());
        }
        // Another caller stays: nobody calls this twice.
        let _ = self.authenticated.set(Authenticated { caller, _connection: connection });
        Ok(())
    }

    /// Handles the key of an `auth` frame. Returns the rights of its owner.
    ///
    /// # Errors
    /// [`AuthError`].
    pub(in crate::server) async fn authenticate(&self, key: &ApiKey) -> Result<Rights, AuthError> {
        let refused = |code, message: &str| AuthError::Refused(ErrorFrame::new(code, message));
        let caller = self.access.with_key(key, self.address).await;
        let caller = caller.map_err(|WrongKey| {
            refused(Code::Unauthorized, "there is no such API key: check it, or ask for a new one")
        })?;
        match self.caller() {
            None => self.begin(caller.clone()).map_err(AuthError::TooMany)?,
            Some(known) if known.account_id() == caller.account_id() => {}
            Some(_) => {
                let message = "this connection belongs to another API key: open a new one";
                return Err(refused(Code::Forbidden, message));
            }
        }
        Ok(self.access.rights(&caller).unwrap_or_default())
    }

    /// Whether the connection has a caller.
    pub(in crate::server) fn is_authenticated(&self) -> bool {
        self.caller().is_some()
    }

    /// Whom the connection counts for, if it has a caller.
    pub(in crate::server) fn account(&self) -> Option<AccountId> {
        self.caller().map(Caller::account_id)
    }

    /// The name of the caller's key, if it has one.
    pub(in crate::server) fn key_name(&self) -> Option<&str> {
        self.caller().and_then(Caller::key_name)
    }

    /// Whether the caller has a right now.
    pub(in crate::server) fn may(&self, right: Right) -> bool {
        self.caller().is_some_and(|caller| self.access.may(caller, right))
    }

    /// Checks that there is a caller and, if one is given, that it has a right.
    ///
    /// # Errors
    /// The `error` frame to reply with.
    pub(in crate::server) fn check(&self, right: Option<Right>) -> Result<(), ErrorFrame> {
        self.caller_with(right).map(drop)
    }

    /// The caller, which has the right if one is given.
    ///
    /// # Errors
    /// The `error` frame to reply with.
    fn caller_with(&self, right: Option<Right>) -> Result<&Caller, ErrorFrame> {
        let Some(caller) = self.caller() else {
            let message = "this server needs an API key: send \
                           {\"op\":\"auth\",\"token\":\"KEY\"} first, or the header \
                           Authorization: Bearer KEY";
            return Err(ErrorFrame::new(Code::Unauthorized, message));
        };
        match right.filter(|&right| !self.access.may(caller, right)) {
            None => Ok(caller),
            Some(right) => {
                let name = right.name();
                let message =
                    format!("this API key does not have the right {name}: use one that has");
                Err(ErrorFrame::new(Code::Forbidden, message))
            }
        }
    }

    /// Counts a request that came in a message of `n_bytes`, until the guard is dropped. Returns
    /// the account that it counts for, too.
    ///
    /// # Errors
    /// The `error` frame to reply with, if a limit is reached or nobody uses the connection.
    pub(in crate::server) fn admit(
        &self,
        n_bytes: usize,
    ) -> Result<(AccountId, AccountRequest), ErrorFrame> {
        let caller = self.caller_with(Some(Right::Infer))?;
        let request = caller.account().admit(n_bytes, Instant::now());
        let request = request.map_err(|limit| rate_limited(&limit))?;
        Ok((caller.account_id(), request))
    }

    /// Waits until the connection is to be closed. Calls `on_change` whenever the rights of the
    /// caller may have changed.
    pub(in crate::server) async fn ended(&self, on_change: impl Fn()) -> SessionEnd {
        let revoked = async {
            let mut changes = self.access.keys.changes();
            loop {
                // Also sees a change before the first call.
                if self.caller().is_some_and(|caller| self.access.rights(caller).is_none()) {
                    return;
                }
                if changes.changed().await.is_err() {
                    // The keys are part of `access`, so this does not happen.
                    pending::<()>().await;
                }
                on_change();
            }
        };
        let without_key = async {
            if timeout(AUTH_DEADLINE, self.authenticated.wait()).await.is_ok() {
                pending::<()>().await;
            }
        };
        tokio::select! {
            () = revoked => SessionEnd::Revoked,
            () = without_key => SessionEnd::NoKey,
        }
    }

    fn caller(&self) -> Option<&Caller> {
        self.authenticated.get().map(|authenticated| &authenticated.caller)
    }
}

impl SessionEnd {
    /// The `error` frame that comes before the close frame.
    pub(in crate::server) fn error(self) -> ErrorFrame {
        let message = match self {
            Self::Revoked => {
                "the API key of this connection was revoked: connect with another".to_owned()
            }
            Self::NoKey => format!(
                "no API key came within {} s: send an auth frame first, or a header with the key",
                AUTH_DEADLINE.as_secs()
            ),
        };
        ErrorFrame::new(Code::Unauthorized, message)
    }
}

/// The `error` frame for a limit that is reached.
fn rate_limited(limit: &RateLimited) -> ErrorFrame {
    ErrorFrame::rate_limited(limit.to_string(), limit.retry_after_ms())
}

/// How long a connection may take to send a key.
const AUTH_DEADLINE: Duration = Duration::from_secs(10);
