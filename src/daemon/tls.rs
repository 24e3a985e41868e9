//! The server's certificate: loaded at the start, and again when its files change.
//!
//! The files are looked at every few seconds, because programs that renew certificates replace
//! them in different ways: by another file, by writing, or by a symbolic link to another folder. A
//! change counts once it has lasted until the next look, so that certificate and key are a pair.

use std::fs;
use std::os::unix::fs::MetadataExt;
use std::path::Path;
use std::sync::Arc;
use std::time::Duration;

use tokio::task::spawn_blocking;
use tokio::time::{MissedTickBehavior, interval};

use crate::cli::NetworkConfig;
use crate::server::{Tls, TlsError, TlsFiles};

use super::reload::{Reloads, log_reload};

/// A certificate that was loaded, and the state of its files before that.
pub(super) struct LoadedTls {
    tls: Arc<Tls>,
    stamps: Stamps,
}

/// Loads the certificate; `None` if the configuration has none. Logs a warning if others can read
/// the key.
///
/// # Errors
/// [`TlsError`].
pub(super) fn load_tls(network: &NetworkConfig) -> Result<Option<LoadedTls>, TlsError> {
    let (Some(certificate), Some(key)) = (&network.tls_cert, &network.tls_key) else {
        return Ok(None);
    };
    let files = TlsFiles {
        certificate: certificate.clone(),
        key: key.clone(),
        client_authorities: network.tls_client_ca.clone(),
    };
    let stamps = stamps(&files);
    let tls = Arc::new(Tls::load(files)?);
    if fs::metadata(key).is_ok_and(|metadata| metadata.mode() & 0o004 != 0) {
        let key = key.display();
        tracing::warn!("--tls-key {key}: every user of this machine can read it: chmod 600 {key}");
    }
    Ok(Some(LoadedTls { tls, stamps }))
}

impl LoadedTls {
    /// Loads the certificate again whenever its files have changed, and on SIGHUP by `reloads`.
    /// Must be called inside a tokio runtime.
    pub(super) fn keep_up_to_date(self, reloads: &mut Reloads) -> Arc<Tls> {
        let tls = self.tls.clone();
        let reloaded = tls.clone();
        reloads.add(CERTIFICATE, move || reloaded.reload().map_err(|error| error.to_string()));
        tokio::spawn(self.watch());
        tls
    }

    /// Loads the certificate again whenever its files have changed. Never ends.
    async fn watch(self) {
        let Self { tls, stamps: mut loaded } = self;
        let mut before = loaded;
        let mut tick = interval(LOOK_INTERVAL);
        tick.set_missed_tick_behavior(MissedTickBehavior::Delay);
        loop {
            tick.tick().await;
            let looked_at = tls.clone();
            // A panic of the blocking thread counts as no change.
            let Ok(now) = spawn_blocking(move || stamps(looked_at.files())).await else { continue };
            let has_settled = now == before;
            before = now;
            if before != loaded && has_settled {
                loaded = before;
                let changed = tls.clone();
                let reloading = spawn_blocking(move || changed.reload());
                if let Ok(result) = reloading.await {
                    log_reload(CERTIFICATE, result.map_err(|error| error.to_string()));
                }
            }
        }
    }
}

/// What tells a version of each file from another one; `None` for a file that is missing.
type Stamps = [Option<Stamp>; 3];

/// Device, inode, size, and the time of the last change in seconds and nanoseconds.
type Stamp = (u64, u64, u64, i64, i64);

fn stamps(files: &TlsFiles) -> Stamps {
    let stamp = |path: &Path| {
        let file = fs::metadata(path).ok()?;
        Some((file.dev(), file.ino(), file.size(), file.mtime(), file.mtime_nsec()))
    };
    [
        stamp(&files.certificate),
        stamp(&files.key),
        files.client_authorities.as_deref().and_then(stamp),
    ]
}

/// What is reloaded, in the log.
const CERTIFICATE: &str = "TLS certificate";

/// Time between two looks at the files. A change is in use after at most two of them.
const LOOK_INTERVAL: Duration = Duration::from_secs(2);
