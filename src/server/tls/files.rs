//! The files of the certificate and the key, read and checked.

use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rustls::crypto::{CryptoProvider, ring};
use rustls::pki_types::pem::{self, PemObject};
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::server::WebPkiClientVerifier;
use rustls::server::danger::ClientCertVerifier;
use rustls::sign::{CertifiedKey, SingleCertAndKey};
use rustls::{RootCertStore, ServerConfig};
use thiserror::Error;

use crate::server::bounded_file::read_at_most;

/// Where the certificate and the key of a server are.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TlsFiles {
    /// The server's certificate and those between it and its authority, in PEM form.
    pub certificate: PathBuf,
    /// The private key of the server's certificate, in PEM form.
    pub key: PathBuf,
    /// The authorities of the clients' certificates, in PEM form. If there are any, clients without
    /// a certificate of theirs are refused.
    pub client_authorities: Option<PathBuf>,
}

/// Why TLS cannot be used with the given files: one line that names the option and the file.
#[derive(Debug, Error)]
pub enum TlsError {
    /// A file cannot be read.
    #[error("{option} {}: the file cannot be read: {error}", .path.display())]
    Unreadable {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A file has something else than what is needed.
    #[error("{option} {}: {reason}", .path.display())]
    Unusable {
        /// The option that names the file.
        option: &'static str,
        /// The file.
        path: PathBuf,
        /// What is wrong, and what to do.
        reason: String,
    },
}

impl TlsFiles {
    /// Reads and checks the files.
    pub(super) fn config(&self) -> Result<ServerConfig, TlsError> {
        let provider = Arc::new(ring::default_provider());
        let key = self.certified_key(&provider)?;
        let builder = ServerConfig::builder_with_provider(provider.clone())
            .with_safe_default_protocol_versions()
            .expect("ring has cipher suites for both versions of TLS");
        let builder = match &self.client_authorities {
            Some(path) => builder.with_client_cert_verifier(client_verifier(path, provider)?),
            None => builder.with_no_client_auth(),
        };
        let mut config = builder.with_cert_resolver(Arc::new(SingleCertAndKey::from(key)));
        config.alpn_protocols = vec![b"http/1.1".to_vec()];
        Ok(config)
    }

    /// The certificates with the key that belongs to the first of them.
    fn certified_key(&self, provider: &CryptoProvider) -> Result<CertifiedKey, TlsError> {
        let chain = certificates(CERTIFICATE, &self.certificate)?;
        let unusable = |reason: String| unusable(KEY, &self.key, reason);
        let text = read(KEY, &self.key)?;
        let key = PrivateKeyDer::from_pem_slice(&text)
            .map_err(|error| unusable(problem_of_key(&text, &error)))?;
        let key = provider
            .key_provider
            .load_private_key(key)
            .map_err(|error| unusable(format!("the key cannot be used: {error}")))?;
        let fits = |certificate: &CertificateDer<'static>| {
            CertifiedKey::new(vec![certificate.clone()], key.clone()).keys_match().is_ok()
        };
        match chain.iter().position(fits) {
            Some(0) => Ok(CertifiedKey::new(chain, key)),
            Some(n) => Err(self::unusable(
                CERTIFICATE,
                &self.certificate,
                format!(
                    "the server's certificate must come first in the file, and it is number {}",
                    n + 1
                ),
            )),
            None => Err(unusable(format!(
                "the key does not belong to the certificate in {}",
                self.certificate.display()
            ))),
        }
    }
}

/// Checks the certificates of clients against the authorities in the file at `path`.
fn client_verifier(
    path: &Path,
    provider: Arc<CryptoProvider>,
) -> Result<Arc<dyn ClientCertVerifier>, TlsError> {
    let mut authorities = RootCertStore::empty();
    for certificate in certificates(CLIENT_AUTHORITIES, path)? {
        authorities.add(certificate).map_err(|error| {
            let reason = format!("a certificate in the file cannot be an authority: {error}");
            unusable(CLIENT_AUTHORITIES, path, reason)
        })?;
    }
    WebPkiClientVerifier::builder_with_provider(Arc::new(authorities), provider)
        .build()
        .map_err(|error| unusable(CLIENT_AUTHORITIES, path, error.to_string()))
}

/// All certificates in a file, at least one.
fn certificates(
    option: &'static str,
    path: &Path,
) -> Result<Vec<CertificateDer<'static>>, TlsError> {
    let text = read(option, path)?;
    let certificates: Result<Vec<_>, _> = CertificateDer::pem_slice_iter(&text).collect();
    let certificates = certificates
        .map_err(|error| unusable(option, path, format!("the file is not PEM: {error}")))?;
    if certificates.is_empty() {
        let reason = match PrivateKeyDer::from_pem_slice(&text) {
            Ok(_) => "the file has a key instead of a certificate: give the key with --tls-key",
            Err(_) => "the file has no certificate in PEM form (-----BEGIN CERTIFICATE-----)",
        };
        return Err(unusable(option, path, reason.to_owned()));
    }
    Ok(certificates)
}

/// What is wrong with a file of which no key could be read.
fn problem_of_key(text: &[u8], error: &pem::Error) -> String {
    let text = String::from_utf8_lossy(text);
    if text.contains("ENCRYPTED") {
        "the key is encrypted with a password: write it without one, with \
         `openssl pkey -in KEY -out NEW-KEY`"
            .to_owned()
    } else if text.contains("-----BEGIN CERTIFICATE-----") {
        "the file has a certificate instead of a key: give it with --tls-cert".to_owned()
    } else if matches!(error, pem::Error::NoItemsFound) {
        "the file has no key in PEM form (-----BEGIN PRIVATE KEY-----)".to_owned()
    } else {
        format!("the file is not PEM: {error}")
    }
}

/// The content of a file of at most [`MAX_FILE_BYTES`].
fn read(option: &'static str, path: &Path) -> Result<Vec<u8>, TlsError> {
    read_at_most(path, MAX_FILE_BYTES)
        .map_err(|error| TlsError::Unreadable { option, path: path.to_owned(), error })?
        .ok_or_else(|| unusable(option, path, "the file is larger than 1 MiB".to_owned()))
}

fn unusable(option: &'static str, path: &Path, reason: String) -> TlsError {
    TlsError::Unusable { option, path: path.to_owned(), reason }
}

/// The option of the server's certificate.
const CERTIFICATE: &str = "--tls-cert";

/// The option of the server's key.
const KEY: &str = "--tls-key";

/// The option of the clients' authorities.
const CLIENT_AUTHORITIES: &str = "--tls-client-ca";

/// Longest file with certificates or a key, in bytes. All authorities that browsers know take a
/// quarter of it.
const MAX_FILE_BYTES: u64 = 1024 * 1024;
