//! The part of the configuration that says who can reach the server.

use std::path::PathBuf;

use crate::domain::{AllowedHost, AllowedOrigin, TrustedProxy};

use super::listen_address::ListenAddress;

/// Where the server listens, and whom it accepts.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct NetworkConfig {
    /// The addresses to listen on, at least one.
    pub hosts: Vec<ListenAddress>,
    /// Whether the server may listen for other machines without knowing its clients.
    pub insecure_no_auth: bool,
    /// The server's certificate; there is a key as well then.
    pub tls_cert: Option<PathBuf>,
    /// The key of the certificate; there is a certificate as well then.
    pub tls_key: Option<PathBuf>,
    /// The authorities of clients' certificates; there is a certificate of the server then.
    pub tls_client_ca: Option<PathBuf>,
    /// Hosts by which clients may reach the server, besides `localhost` and the addresses that it
    /// listens on.
    pub allowed_hosts: Vec<AllowedHost>,
    /// Origins of web pages that may use the server, besides its own.
    pub allowed_origins: Vec<AllowedOrigin>,
    /// Proxies whose headers name the client.
    pub trusted_proxies: Vec<TrustedProxy>,
    /// Whether the server has a web page.
    pub has_web: bool,
}
