//! The command `tls new`: an authority and a server certificate for a home network (ADR-0037).
//!
//! The authority's certificate is installed once on each client. Later certificates of the same
//! folder are signed by the same authority, so clients need nothing new. No file is replaced.

use std::fmt::Write as _;
use std::fs::{self, DirBuilder, OpenOptions};
use std::io::{self, ErrorKind, Write as _};
use std::net::IpAddr;
use std::os::unix::fs::{DirBuilderExt, OpenOptionsExt};
use std::path::{Path, PathBuf};
use std::sync::Arc;

use rcgen::{
    BasicConstraints, Certificate, CertificateParams, DnType, ExtendedKeyUsagePurpose, IsCa,
    Issuer, KeyPair, KeyUsagePurpose,
};
use ring::digest;
use rustix::system::uname;
use rustls::RootCertStore;
use rustls::client::WebPkiServerVerifier;
use rustls::client::danger::ServerCertVerifier;
use rustls::pki_types::pem::PemObject;
use rustls::pki_types::{CertificateDer, ServerName, UnixTime};
use thiserror::Error;
use time::{Duration, OffsetDateTime};

use crate::cli::NewTls;

use super::listen::own_addresses;

/// Why no certificate was made: one line for the user.
#[derive(Debug, Error)]
pub enum NewTlsError {
    /// There is a certificate or a key that would be overwritten.
    #[error(
        "{} exists: move it away, or use another folder (--dir). The authority of this folder, if \
         there is one, also signs the new certificate",
        .0.display()
    )]
    Exists(PathBuf),
    /// The authority of the folder is broken or incomplete.
    #[error("{}: {reason}: use another folder (--dir)", .path.display())]
    Authority {
        /// One of its files.
        path: PathBuf,
        /// What is wrong with it.
        reason: String,
    },
    /// A file cannot be written.
    #[error("{} cannot be written: {error}", .path.display())]
    Unwritable {
        /// The file or the folder.
        path: PathBuf,
        /// Why not.
        error: io::Error,
    },
    /// A name cannot be in a certificate.
    #[error("no certificate can be made for these names: {0}")]
    Names(#[from] rcgen::Error),
}

impl NewTlsError {
    /// The exit code of the process, from sysexits.h.
    pub fn exit_code(&self) -> u8 {
        match self {
            Self::Exists(_) | Self::Names(_) => 64,
            Self::Authority { .. } => 65,
            Self::Unwritable { .. } => 74,
        }
    }
}

/// Makes a certificate and its key, and an authority if the folder has none. Returns what to tell
/// the user.
///
/// # Errors
/// [`NewTlsError`]. Nothing has been overwritten.
pub fn new_tls(options: &NewTls) -> Result<String, NewTlsError> {
    let folder = &options.dir;
    let unwritable = |path: &Path| {
        let path = path.to_owned();
        move |error| NewTlsError::Unwritable { path, error }
    };
    DirBuilder::new().recursive(true).mode(0o700).create(folder).map_err(unwritable(folder))?;
    let files = Files::in_folder(folder);
    if let Some(existing) = [&files.certificate, &files.key].into_iter().find(|path| path.exists())
    {
        return Err(NewTlsError::Exists(existing.clone()));
    }
    let is_new = !files.authority.exists() && !files.authority_key.exists();
    let authority_key = if is_new { KeyPair::generate()? } else { existing_authority(&files)? };
    let names = if options.names.is_empty() { own_names() } else { options.names.clone() };
    let key = KeyPair::generate()?;
    let certificate = server_certificate(&names, &key, &authority_key)?;
    if is_new {
        let authority = authority_params().self_signed(&authority_key)?;
        write_new(&files.authority_key, PRIVATE, &authority_key.serialize_pem())?;
        write_new(&files.authority, PUBLIC, &authority.pem())?;
    } else {
        check_issued(&certificate, &files)?;
    }
    write_new(&files.key, PRIVATE, &key.serialize_pem())?;
    write_new(&files.certificate, PUBLIC, &certificate.pem())?;
    files.instructions(is_new, &names)
}

/// The files of a folder.
struct Files {
    authority: PathBuf,
    authority_key: PathBuf,
    certificate: PathBuf,
    key: PathBuf,
}

impl Files {
    fn in_folder(folder: &Path) -> Self {
        Self {
            authority: folder.join("ca.pem"),
            authority_key: folder.join("ca-key.pem"),
            certificate: folder.join("cert.pem"),
            key: folder.join("key.pem"),
        }
    }

    /// What was made and what to do with it.
    fn instructions(&self, is_new: bool, names: &[String]) -> Result<String, NewTlsError> {
        let [authority, authority_key, certificate_path, key] =
            [&self.authority, &self.authority_key, &self.certificate, &self.key]
                .map(|path| path.display());
        let name = names.first().map_or("localhost", String::as_str);
        let made = if is_new { "a new authority" } else { "the authority of this folder" };
        let mut text = format!(
            "A certificate by {made}, for {} days:\n  {}\n\
             SHA-256 fingerprints:\n  {authority}\n    {}\n  {certificate_path}\n    {}\n\n\
             1. Make an API key, and serve with both; allow the names by which clients\n\
             \x20  connect:\n\
             \x20    inference-core key new NAME --file keys.toml\n\
             \x20    inference-core MODEL --host 0.0.0.0 --api-key-file keys.toml \
             --tls-cert {certificate_path} --tls-key {key}",
            VALIDITY.whole_days(),
            names.join(", "),
            fingerprint(&self.authority)?,
            fingerprint(&self.certificate)?,
        );
        for name in names.iter().filter(|name| name.parse::<IpAddr>().is_err()) {
            // Writing to a `String` cannot fail.
            let _ = write!(text, " --allow-host {name}");
        }
        let _ = write!(
            text,
            "\n2. Copy {authority} to each client, and let it trust this authority:\n\
             \x20    curl --cacert ca.pem https://{name}:3000/healthz\n\
             \x20    Python: ssl.create_default_context(cafile=\"ca.pem\")\n\
             \x20    Node.js: NODE_EXTRA_CA_CERTS=ca.pem\n\
             \x20    phones and browsers: install ca.pem as a certificate authority\n\
             3. Keep {authority_key} to yourself: who has it can pretend to be any\n\
             \x20  site to these clients. To renew the certificate, move cert.pem and key.pem\n\
             \x20  away and repeat the command."
        );
        Ok(text)
    }
}

/// The key of the folder's authority.
fn existing_authority(files: &Files) -> Result<KeyPair, NewTlsError> {
    let broken =
        |reason: String| NewTlsError::Authority { path: files.authority_key.clone(), reason };
    if !files.authority.exists() {
        return Err(broken("the certificate of this authority, ca.pem, is missing".to_owned()));
    }
    fingerprint(&files.authority)?;
    let text = fs::read_to_string(&files.authority_key)
        .map_err(|error| broken(format!("the authority's key cannot be read: {error}")))?;
    KeyPair::from_pem(&text).map_err(|error| broken(format!("this is no key: {error}")))
}

/// Checks that clients accept `certificate` that trust the authority of the folder.
fn check_issued(certificate: &Certificate, files: &Files) -> Result<(), NewTlsError> {
    let broken = |error: rustls::Error| NewTlsError::Authority {
        path: files.authority.clone(),
        reason: format!(
            "no client would accept what this authority signs: `tls new` did not make it, it does \
             not belong to its key, or it has expired ({error})"
        ),
    };
    let mut roots = RootCertStore::empty();
    for authority in CertificateDer::pem_file_iter(&files.authority).into_iter().flatten().flatten()
    {
        roots.add(authority).map_err(broken)?;
    }
    let provider = Arc::new(rustls::crypto::ring::default_provider());
    let verifier = WebPkiServerVerifier::builder_with_provider(Arc::new(roots), provider)
        .build()
        .map_err(|error| broken(rustls::Error::General(error.to_string())))?;
    let name = ServerName::try_from(ALWAYS[0]).expect("localhost is a name");
    let verified = verifier.verify_server_cert(certificate.der(), &[], &name, &[], UnixTime::now());
    verified.map(drop).map_err(broken)
}

/// A certificate for a server with these names.
fn server_certificate(
    names: &[String],
    key: &KeyPair,
    authority_key: &KeyPair,
) -> Result<Certificate, NewTlsError> {
    let mut all = names.to_vec();
    for name in ALWAYS {
        if !names.iter().any(|other| other == name) {
            all.push(name.to_owned());
        }
    }
    let mut params = CertificateParams::new(all)?;
    params.distinguished_name.push(DnType::CommonName, "inference-core");
    (params.not_before, params.not_after) = (yesterday(), yesterday() + VALIDITY);
    params.key_usages = vec![KeyUsagePurpose::DigitalSignature];
    params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth];
    params.use_authority_key_identifier_extension = true;
    Ok(params.signed_by(key, &Issuer::new(authority_params(), authority_key))?)
}

/// What the certificate of every authority says. A later certificate is signed with the key and
/// this name, so the name and the usages never change.
fn authority_params() -> CertificateParams {
    let mut params = CertificateParams::default();
    params.distinguished_name.push(DnType::CommonName, "inference-core home authority");
    params.is_ca = IsCa::Ca(BasicConstraints::Constrained(0));
    params.key_usages = vec![KeyUsagePurpose::KeyCertSign, KeyUsagePurpose::CrlSign];
    (params.not_before, params.not_after) = (yesterday(), yesterday() + AUTHORITY_VALIDITY);
    params
}

/// The names by which this machine is reached in a home network: its own, with and without
/// `.local`, and its addresses.
fn own_names() -> Vec<String> {
    let name = uname().nodename().to_string_lossy().to_ascii_lowercase();
    let is_name = !name.is_empty() && name != ALWAYS[0];
    let mut names = Vec::new();
    if is_name {
        names.push(name.clone());
    }
    if is_name && !name.contains('.') {
        names.push(format!("{name}.local"));
    }
    names.extend(own_addresses().iter().map(IpAddr::to_string));
    names
}

/// A start of validity that clients with a slow clock accept.
fn yesterday() -> OffsetDateTime {
    OffsetDateTime::now_utc() - Duration::DAY
}

/// Writes a file that must not exist yet.
fn write_new(path: &Path, mode: u32, text: &str) -> Result<(), NewTlsError> {
    let mut options = OpenOptions::new();
    options.write(true).create_new(true).mode(mode);
    let written = options.open(path).and_then(|mut file| file.write_all(text.as_bytes()));
    written.map_err(|error| match error.kind() {
        ErrorKind::AlreadyExists => NewTlsError::Exists(path.to_owned()),
        _ => NewTlsError::Unwritable { path: path.to_owned(), error },
    })
}

/// The SHA-256 fingerprint of the certificate in a file, as `openssl x509 -fingerprint` writes it.
fn fingerprint(path: &Path) -> Result<String, NewTlsError> {
    let certificate = CertificateDer::from_pem_file(path).map_err(|error| {
        let reason = format!("this is no certificate: {error}");
        NewTlsError::Authority { path: path.to_owned(), reason }
    })?;
    let digest = digest::digest(&digest::SHA256, &certificate);
    let bytes: Vec<String> = digest.as_ref().iter().map(|byte| format!("{byte:02X}")).collect();
    Ok(bytes.join(":"))
}

/// Names of every certificate.
const ALWAYS: [&str; 3] = ["localhost", "127.0.0.1", "::1"];

/// How long a server's certificate is valid. Apple's systems refuse more than 825 days.
const VALIDITY: Duration = Duration::days(820);

/// How long an authority is valid: ten years.
const AUTHORITY_VALIDITY: Duration = Duration::days(3652);

/// Permissions of a key.
const PRIVATE: u32 = 0o600;

/// Permissions of a certificate.
const PUBLIC: u32 = 0o644;

#[cfg(test)]
mod tests {
    use std::os::unix::fs::PermissionsExt;

    use super::*;

    fn make(folder: &Path, names: &[&str]) -> Result<String, String> {
        let names = names.iter().map(|&name| name.to_owned()).collect();
        let options = NewTls { dir: folder.to_owned(), names };
        new_tls(&options).map_err(|error| error.to_string())
    }

    fn mode(path: &Path) -> u32 {
        fs::metadata(path).unwrap().permissions().mode() & 0o777
    }

    #[test]
    fn certificate_and_keys_are_made_once_and_renewed_by_the_same_authority() {
        let folder = tempfile::tempdir().unwrap();
        let folder = folder.path().join("tls");
        let text = make(&folder, &["gpu-box", "192.168.1.5"]).unwrap();
        for part in ["gpu-box, 192.168.1.5", "--tls-cert", "--allow-host gpu-box", "--cacert"] {
            assert!(text.contains(part), "{part}: {text}");
        }
        assert!(!text.contains("--allow-host 192"), "{text}");
        let files = Files::in_folder(&folder);
        assert_eq!((mode(&files.key), mode(&files.authority_key)), (0o600, 0o600));
        assert_eq!(mode(&folder), 0o700);
        let authority = fs::read_to_string(&files.authority).unwrap();
        let first = fs::read_to_string(&files.certificate).unwrap();

        let error = make(&folder, &["gpu-box"]).unwrap_err();
        assert!(error.contains("cert.pem exists") && error.lines().count() == 1, "{error}");
        assert_eq!(fs::read_to_string(&files.certificate).unwrap(), first);

        fs::remove_file(&files.certificate).unwrap();
        fs::remove_file(&files.key).unwrap();
        let text = make(&folder, &["gpu-box"]).unwrap();
        assert!(text.contains("the authority of this folder"), "{text}");
        assert_ne!(fs::read_to_string(&files.certificate).unwrap(), first);
        assert_eq!(fs::read_to_string(&files.authority).unwrap(), authority);
    }

    #[test]
    fn broken_authority_is_not_replaced() {
        let folder = tempfile::tempdir().unwrap();
        let files = Files::in_folder(folder.path());
        fs::write(&files.authority_key, "nonsense").unwrap();
        let error = make(folder.path(), &["a"]).unwrap_err();
        assert!(error.contains("ca.pem, is missing"), "{error}");
        fs::write(&files.authority, "nonsense").unwrap();
        let error = make(folder.path(), &["a"]).unwrap_err();
        assert!(error.contains("no certificate") && error.lines().count() == 1, "{error}");
        assert!(!files.certificate.exists());
    }

    #[test]
    fn authority_that_clients_would_not_accept_makes_no_certificate() {
        let [folder, other] = [(); 2].map(|()| tempfile::tempdir().unwrap());
        for folder in [&folder, &other] {
            make(folder.path(), &["a"]).unwrap();
        }
        let files = Files::in_folder(folder.path());
        for path in [&files.certificate, &files.key, &files.authority_key] {
            fs::remove_file(path).unwrap();
        }
        fs::copy(Files::in_folder(other.path()).authority_key, &files.authority_key).unwrap();
        let error = make(folder.path(), &["a"]).unwrap_err();
        assert!(error.contains("not belong to its key") && error.lines().count() == 1, "{error}");
        assert!(!files.certificate.exists());
    }

    #[test]
    fn names_of_this_machine_are_the_default() {
        let folder = tempfile::tempdir().unwrap();
        assert!(make(folder.path(), &[]).is_ok());
        for name in own_names() {
            assert!(!ALWAYS.contains(&name.as_str()), "{name}");
        }
    }
}
