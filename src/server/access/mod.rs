//! Access control: who a client is, what it may do, and how much.
//!
//! **Keys.** [`Keys`] holds the hashes of the API keys, from a file that can be read again
//! (`key_file`) or from an option (`key_hash` has the hash). [`NewKey`] makes a key. Without keys,
//! every client may do everything (ADR-0038).
//!
//! **Clients.** `Access` turns the key of a client into a `Caller`. HTTP requests carry the key in
//! a header (`credentials`), WebSockets there or in their first frame. `attempts` slows down,
//! counts and logs wrong keys. A `Session` is the access of one WebSocket, which ends when the key
//! is revoked.
//!
//! **Limits.** Each key has a `ClientAccount`, and each address if there are no keys (`addresses`,
//! `network`). It limits connections and requests while they last, and tokens and computing by the
//! minute (`meter`, `limit`; ADR-0039).
//!
//! Two places ask: `http/authorize.rs` for HTTP requests, and the reader of a WebSocket for frames.

mod access_control;
mod account;
mod addresses;
mod attempts;
mod credentials;
#[cfg(feature = "fuzzing")]
mod fuzzing;
mod key_file;
mod key_hash;
mod keys;
mod limit;
mod meter;
mod network;
mod new_key;
mod session;

pub(super) use self::access_control::{Access, Caller, WrongKey};
pub(super) use self::account::{AccountCounts, AccountRequest, SETTLE_DEADLINE};
pub(super) use self::credentials::{CredentialError, agreed_subprotocol, sent_key};
#[cfg(feature = "fuzzing")]
pub use self::fuzzing::rewrite_key_file;
pub use self::keys::{Keys, KeysError};
pub(super) use self::limit::RateLimited;
pub use self::new_key::{NewKey, NewKeyError};
pub(super) use self::session::{AuthError, Session, SessionEnd};
