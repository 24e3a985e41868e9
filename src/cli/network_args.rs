//! The options that say who can reach the server: addresses, TLS, host names, origins and proxies.
//!
//! The documentation of a field is the help text of its option.

use std::path::PathBuf;

use clap::Args;
use clap::builder::BoolishValueParser;

use crate::domain::{AllowedHost, AllowedOrigin, TrustedProxy};

use super::listen_address::ListenAddress;
use super::network::NetworkConfig;

// clap prints the documentation of the fields as it is.
#[allow(rustdoc::bare_urls, reason = "an address on a terminal has no brackets")]
#[derive(Debug, Args)]
pub(super) struct NetworkArgs {
    /// Address to listen on: an IP address of this machine, 0.0.0.0 or :: for all of them,
    /// localhost, or unix:/path for a Unix socket; may be repeated [default: localhost]. Addresses
    /// that other machines reach need keys
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "INFERENCE_CORE_HOST",
        value_delimiter = ',',
        allow_hyphen_values = true
    )]
    host: Vec<ListenAddress>,

    /// Let everybody who reaches the server use it, also from other machines. It has no
    /// effect if there are API keys
    #[arg(
        long,
        env = "INFERENCE_CORE_INSECURE_NO_AUTH",
        value_parser = BoolishValueParser::new()
    )]
    insecure_no_auth: bool,

    /// Encrypt connections: the server's certificate, followed by those between it and its
    /// authority, in PEM form. It is loaded again on SIGHUP and when the file changes.
    /// `inference-core tls new` makes one
    #[arg(long, value_name = "FILE", env = "INFERENCE_CORE_TLS_CERT", requires = "tls_key")]
    tls_cert: Option<PathBuf>,

    /// The private key of the certificate, in PEM form
    #[arg(long, value_name = "FILE", env = "INFERENCE_CORE_TLS_KEY", requires = "tls_cert")]
    tls_key: Option<PathBuf>,

    /// Only accept clients with a certificate of these authorities, in PEM form
    #[arg(long, value_name = "FILE", env = "INFERENCE_CORE_TLS_CLIENT_CA", requires = "tls_cert")]
    tls_client_ca: Option<PathBuf>,

    /// Host name or address by which clients reach the server (chat.example.org, *.example.org,
    /// 192.168.1.5); may be repeated. localhost and the addresses of --host are always allowed
    #[arg(long, value_name = "NAME", env = "INFERENCE_CORE_ALLOW_HOST", value_delimiter = ',')]
    allow_host: Vec<AllowedHost>,

    /// Origin of a web page or an app that may use the server (https://example.org,
    /// http://localhost:*, app://obsidian.md, vscode-webview://*); may be repeated. Pages from
    /// the server's own host and port are always allowed. null allows files and sandboxed frames,
    /// which every web page can contain
    #[arg(long, value_name = "ORIGIN", env = "INFERENCE_CORE_ALLOW_ORIGIN", value_delimiter = ',')]
    allow_origin: Vec<AllowedOrigin>,

    /// Reverse proxy whose headers name the client (X-Forwarded-For, Forwarded): an address, a
    /// network such as 10.0.0.0/8, or unix for clients of a Unix socket; may be repeated
    #[arg(
        long,
        value_name = "ADDRESS",
        env = "INFERENCE_CORE_TRUSTED_PROXY",
        value_delimiter = ','
    )]
    trusted_proxy: Vec<TrustedProxy>,

    /// Serve no web page at /
    #[arg(long, env = "INFERENCE_CORE_NO_WEB", value_parser = BoolishValueParser::new())]
    no_web: bool,
}

impl NetworkArgs {
    /// The part of the configuration that these options make.
    pub(super) fn into_config(self) -> NetworkConfig {
        NetworkConfig {
            hosts: if self.host.is_empty() { vec![ListenAddress::Localhost] } else { self.host },
            insecure_no_auth: self.insecure_no_auth,
            tls_cert: self.tls_cert,
            tls_key: self.tls_key,
            tls_client_ca: self.tls_client_ca,
            allowed_hosts: self.allow_host,
            allowed_origins: self.allow_origin,
            trusted_proxies: self.trusted_proxy,
            has_web: !self.no_web,
        }
    }
}
