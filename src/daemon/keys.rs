//! The API keys: reads them at the start and on SIGHUP, and makes new ones.

use crate::cli::{Config, NewKeyOptions};
use crate::server::{Keys, NewKey};

use super::error::DaemonError;
use super::reload::Reloads;
use super::signals::is_hangup_ignored;

/// A key that was made, for the user.
#[derive(Debug)]
pub struct NewKeyText {
    /// The key and, unless it was added to a file, its table.
    pub output: String,
    /// What else the user should know, for standard error.
    pub notes: Vec<String>,
}

/// Makes an API key, and adds it to a file if the options name one.
///
/// # Errors
/// [`DaemonError::NewKey`].
pub fn new_key(options: &NewKeyOptions) -> Result<NewKeyText, DaemonError> {
    let NewKeyOptions { name, file, rights, limits } = options;
    let new = NewKey::new(name, *rights, *limits)?;
    let key = new.key().reveal();
    let Some(path) = file else {
        let table = new.table();
        let output = format!("{key}\n\n# For the file of --api-key-file:\n{table}");
        return Ok(NewKeyText { output, notes: Vec::new() });
    };
    let warning = new.add_to(path)?;
    let note = format!(
        "key {name} was added to {}; it is shown only this once. A running server knows it after \
         SIGHUP",
        path.display()
    );
    let notes = [note].into_iter().chain(warning.map(|text| format!("warning: {text}"))).collect();
    Ok(NewKeyText { output: key.to_owned(), notes })
}

/// The keys of the configuration.
///
/// # Errors
/// [`DaemonError::Keys`].
pub(super) fn load(config: &Config) -> Result<Keys, DaemonError> {
    let access = &config.access;
    let keys = Keys::load(access.api_key.as_ref(), access.api_key_file.clone(), access.limits)?;
    if access.is_api_key_visible {
        tracing::warn!(
            "other users see the key of --api-key in the process list: use \
             INFERENCE_CORE_API_KEY or --api-key-file"
        );
    }
    warn_of_exposure(&keys);
    if config.has_keys() && config.network.insecure_no_auth {
        tracing::warn!(
            "--insecure-no-auth has no effect: there are API keys, and clients need one"
        );
    }
    if config.has_keys() && keys.n_keys() == 0 {
        tracing::warn!(
            "there are no API keys, so nobody can use the server: add one and send \
            SIGHUP"
        );
    }
    Ok(keys)
}

/// Has the key file, if there is one, read again together with everything in `reloads`.
pub(super) fn keep_up_to_date(keys: &Keys, reloads: &mut Reloads) {
    if !keys.have_file() {
        return;
    }
    if is_hangup_ignored() {
        tracing::warn!(
            "SIGHUP is ignored, as nohup asks for: the file of API keys is not read again, and a \
             revoked key works until a restart"
        );
    }
    let keys = keys.clone();
    reloads.add("API keys", move || {
        keys.reload().map_err(|error| error.to_string())?;
        warn_of_exposure(&keys);
        Ok(())
    });
}

fn warn_of_exposure(keys: &Keys) {
    if let Some(warning) = keys.exposure() {
        tracing::warn!("{warning}");
    }
}
