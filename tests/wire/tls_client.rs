//! Certificates for tests, and a client that connects through TLS.

use std::fs;
use std::net::SocketAddr;
use std::path::PathBuf;
use std::sync::Arc;

use inference_core::server::{Tls, TlsError, TlsFiles};
use rcgen::{
    BasicConstraints, CertificateParams, CertifiedIssuer, DnType, ExtendedKeyUsagePurpose, IsCa,
    KeyPair,
};
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, PrivateKeyDer};
use rustls::{ClientConfig, RootCertStore};
use tempfile::TempDir;
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::timeout;
use tokio_rustls::TlsConnector;
use tokio_rustls::client::TlsStream;

use crate::common::GUARD;

/// An authority, and the certificate and the key of a server in files.
pub struct Certificates {
    authority: CertifiedIssuer<'static, KeyPair>,
    folder: TempDir,
}

impl Certificates {
    /// A certificate of a new authority for `localhost`, called `name`.
    pub fn new(name: &str) -> Self {
        let mut params = CertificateParams::default();
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        params.distinguished_name.push(DnType::CommonName, "test authority");
        let authority = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let certificates = Self { authority, folder: tempfile::tempdir().unwrap() };
        certificates.replace(name);
        certificates
    }

    /// Writes another certificate of the same authority, called `name`, and its key.
    pub fn replace(&self, name: &str) {
        let (certificate, key) = self.issue(name, ExtendedKeyUsagePurpose::ServerAuth);
        self.write("cert.pem", &certificate);
        self.write("key.pem", &key);
        self.write("ca.pem", &self.authority.pem());
    }

    pub fn write(&self, name: &str, text: &str) {
        fs::write(self.path(name), text).unwrap();
    }

    pub fn path(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The content of a file.
    pub fn text(&self, name: &str) -> String {
        fs::read_to_string(self.path(name)).unwrap()
    }

    /// A certificate and its key in PEM form.
    pub fn issue(&self, name: &str, usage: ExtendedKeyUsagePurpose) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".to_owned()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        params.extended_key_usages = vec![usage];
        let certificate = params.signed_by(&key, &self.authority).unwrap();
        (certificate.pem(), key.serialize_pem())
    }

    /// The server's side, with certificates of clients if this authority must have issued them.
    pub fn load(&self, has_client_authority: bool) -> Result<Arc<Tls>, TlsError> {
        let files = TlsFiles {
            certificate: self.path("cert.pem"),
            key: self.path("key.pem"),
            client_authorities: has_client_authority.then(|| self.path("ca.pem")),
        };
        Tls::load(files).map(Arc::new)
    }

    /// A client that trusts this authority and offers to speak `protocols`.
    pub fn client(&self, protocols: &[&str]) -> ClientConfig {
        let builder = builder().with_root_certificates(self.roots());
        let mut config = builder.with_no_client_auth();
        config.alpn_protocols = protocols.iter().map(|name| name.as_bytes().to_vec()).collect();
        config
    }

    /// A client that has a certificate of `issuer`.
    pub fn client_with_certificate(&self, issuer: &Self) -> ClientConfig {
        let (certificate, key) = issuer.issue("a client", ExtendedKeyUsagePurpose::ClientAuth);
        let certificate = CertificateDer::from_pem_slice(certificate.as_bytes()).unwrap();
        let key = PrivateKeyDer::from_pem_slice(key.as_bytes()).unwrap();
        let builder = builder().with_root_certificates(self.roots());
        builder.with_client_auth_cert(vec![certificate], key).unwrap()
    }

    fn roots(&self) -> RootCertStore {
        let mut roots = RootCertStore::empty();
        roots.add(self.authority.der().clone()).unwrap();
        roots
    }
}

fn builder() -> rustls::ConfigBuilder<ClientConfig, rustls::WantsVerifier> {
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    ClientConfig::builder_with_provider(provider).with_safe_default_protocol_versions().unwrap()
}

/// Connects and completes the handshake.
pub async fn connect(
    address: SocketAddr,
    config: ClientConfig,
) -> std::io::Result<TlsStream<TcpStream>> {
    let stream = TcpStream::connect(address).await?;
    let connecting =
        TlsConnector::from(Arc::new(config)).connect("localhost".try_into().unwrap(), stream);
    timeout(GUARD, connecting).await.expect("the handshake ends in time")
}

/// Requests `path`, and returns the whole response.
pub async fn page(
    address: SocketAddr,
    config: ClientConfig,
    path: &str,
) -> std::io::Result<String> {
    let mut stream = connect(address, config).await?;
    let request = format!("GET {path} HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n");
    let mut response = String::new();
    let exchange = async {
        stream.write_all(request.as_bytes()).await?;
        stream.read_to_string(&mut response).await
    };
    timeout(GUARD, exchange).await.expect("the response comes in time")?;
    Ok(response)
}
