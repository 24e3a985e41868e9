//! TLS of the server's TCP connections (ADR-0037).
//!
//! [`Tls`] holds the certificate and the key, as `files` has read and checked them. They can be
//! loaded again while the server runs: new connections then get the new certificate, and those that
//! exist go on with theirs. `handshake` has the deadline of a handshake, and takes care that the
//! cryptography of many handshakes does not delay the pages, which the same thread serves.

mod files;
mod handshake;

use std::fmt;
use std::sync::{Arc, PoisonError, RwLock};

use rustls::ServerConfig;
use tokio::net::TcpStream;

use super::peer::Peer;
use super::socket::AnySocket;

pub use self::files::{TlsError, TlsFiles};
use self::handshake::Handshakes;

/// The TLS side of a server: its certificate and key, which can be replaced.
pub struct Tls {
    files: TlsFiles,
    config: RwLock<Arc<ServerConfig>>,
    handshakes: Handshakes,
}

impl Tls {
    /// Loads the certificate and the key from `files`.
    ///
    /// # Errors
    /// [`TlsError`], if a file cannot be read or used.
    pub fn load(files: TlsFiles) -> Result<Self, TlsError> {
        let config = RwLock::new(Arc::new(files.config()?));
        Ok(Self { files, config, handshakes: Handshakes::default() })
    }

    /// Loads the files again, for new connections.
    ///
    /// # Errors
    /// [`TlsError`], if a file cannot be read or used. The certificate and the key stay as they
    /// were.
    pub fn reload(&self) -> Result<(), TlsError> {
        let config = Arc::new(self.files.config()?);
        // The value is valid at any time, so a panic elsewhere cannot have broken it.
        *self.config.write().unwrap_or_else(PoisonError::into_inner) = config;
        Ok(())
    }

    /// The files that the certificate and the key are from.
    pub fn files(&self) -> &TlsFiles {
        &self.files
    }

    /// Encrypts a connection that was accepted; `None` if the client cannot be served.
    pub(super) async fn handshake(&self, stream: TcpStream, peer: Peer) -> Option<AnySocket> {
        let config = self.config.read().unwrap_or_else(PoisonError::into_inner).clone();
        self.handshakes.complete(stream, config, peer).await
    }
}

impl fmt::Debug for Tls {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Tls").field("files", &self.files).finish_non_exhaustive()
    }
}
