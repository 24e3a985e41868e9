//! Makes a key and adds it to a key file.

use std::fs::{File, OpenOptions};
use std::io::{self, Write};
use std::os::unix::fs::OpenOptionsExt;
use std::path::Path;

use thiserror::Error;

use crate::domain::{AccountLimits, ApiKey, Rights};

use super::key_file::{KeyEntry, KeyFileError, MAX_KEYS, check_name, parse, table};
use super::key_hash::{KeyHash, random_key};
use super::keys::{KeysError, exposure, read_text};

/// A key that was just made. Nothing stores the key itself.
#[derive(Debug)]
pub struct NewKey {
    key: ApiKey,
    entry: KeyEntry,
}

/// Why a key cannot be made or added.
#[derive(Debug, Error)]
pub enum NewKeyError {
    /// The name cannot be used.
    #[error("{name:?} cannot be the name of a key: {reason}")]
    Name {
        /// The name.
        name: String,
        /// What is allowed.
        reason: String,
    },
    /// The system gives no random numbers.
    #[error("the system gives no random numbers for a key: {0}")]
    Random(getrandom::Error),
    /// The file has a key with this name.
    #[error("{path} has a key {name} already: choose another name, or delete its table")]
    Exists {
        /// The file.
        path: String,
        /// The name.
        name: String,
    },
    /// The file cannot be used as it is.
    #[error(transparent)]
    File(#[from] KeysError),
    /// The file cannot be written.
    #[error("the API key file {path} cannot be written: {error}")]
    Unwritable {
        /// The file.
        path: String,
        /// The error of the operating system.
        error: io::Error,
    },
}

impl NewKey {
    /// Makes a random key.
    ///
    /// # Errors
    /// [`NewKeyError`], if the name cannot be used or the system gives no random numbers.
    pub fn new(name: &str, rights: Rights, limits: AccountLimits) -> Result<Self, NewKeyError> {
        check_name(name).map_err(|reason| NewKeyError::Name { name: name.to_owned(), reason })?;
        let key = random_key().map_err(NewKeyError::Random)?;
        let entry = KeyEntry { name: name.to_owned(), hash: KeyHash::of(&key), rights, limits };
        Ok(Self { key, entry })
    }

    /// The key, to be shown once.
    pub fn key(&self) -> &ApiKey {
        &self.key
    }

    /// The table of the key, as text for a key file.
    pub fn table(&self) -> String {
        table(&self.entry)
    }

    /// Adds the key to the file at `path`, or makes a file that only its owner can read. Returns a
    /// warning if other users can read the file.
    ///
    /// # Errors
    /// [`NewKeyError`]. The file stays as it was.
    pub fn add_to(&self, path: &Path) -> Result<Option<String>, NewKeyError> {
        let name = || path.display().to_string();
        let unwritable = |error| NewKeyError::Unwritable { path: name(), error };
        let invalid =
            |error: KeyFileError| KeysError::Invalid { path: name(), reason: error.to_string() };
        let mut file = OpenOptions::new()
            .append(true)
            .create(true)
            .mode(0o600)
            .open(path)
            .map_err(unwritable)?;
        let text = read_text(path)?;
        let keys = parse(&text).map_err(invalid)?;
        if keys.iter().any(|key| key.name == self.entry.name) {
            return Err(NewKeyError::Exists { path: name(), name: self.entry.name.clone() });
        }
        if keys.len() >= MAX_KEYS {
            let reason = format!("it has {MAX_KEYS} keys, which is the most");
            return Err(KeysError::Invalid { path: name(), reason }.into());
        }
        let separator = match text.as_bytes() {
            [] => "",
            [.., b'\n'] => "\n",
            _ => "\n\n",
        };
        let added = format!("{separator}{}", self.table());
        // The file may begin with something that the table would become a part of.
        parse(&format!("{text}{added}")).map_err(invalid)?;
        write_durably(&mut file, &added).map_err(unwritable)?;
        Ok(exposure(path))
    }
}

/// Writes `text` at once, so that no reader finds a part of it.
fn write_durably(file: &mut File, text: &str) -> io::Result<()> {
    file.write_all(text.as_bytes())?;
    file.sync_all()
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::num::NonZeroU32;
    use std::os::unix::fs::PermissionsExt;

    use super::*;
    use crate::domain::Right;
    use crate::server::access::keys::Keys;

    fn new_key(name: &str) -> NewKey {
        let limits = AccountLimits { requests: NonZeroU32::new(4), ..Default::default() };
        NewKey::new(name, [Right::Infer].into_iter().collect(), limits).unwrap()
    }

    #[test]
    fn added_keys_are_found_in_the_file() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let added = ["web", "app"].map(new_key);
        for key in &added {
            assert_eq!(key.add_to(&path).unwrap(), None);
        }
        fs::write(&path, fs::read_to_string(&path).unwrap() + "# last line").unwrap();
        let last = new_key("last");
        last.add_to(&path).unwrap();
        let keys = Keys::load(None, Some(path.clone()), AccountLimits::default()).unwrap();
        for key in added.iter().chain([&last]) {
            let owner = keys.find(key.key()).unwrap();
            assert_eq!(keys.rights(&owner), Some(Rights::from_iter([Right::Infer])));
        }
        let text = fs::read_to_string(&path).unwrap();
        assert!(!text.contains(last.key().reveal()), "{text}");
        assert!(text.contains("limits = { requests = 4 }"), "{text}");
    }

    #[test]
    fn existing_name_and_broken_file_are_refused_and_the_file_stays() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        new_key("web").add_to(&path).unwrap();
        let before = fs::read_to_string(&path).unwrap();
        let error = new_key("web").add_to(&path).unwrap_err().to_string();
        assert!(error.contains("has a key web already"), "{error}");
        assert_eq!(fs::read_to_string(&path).unwrap(), before);
        fs::write(&path, "keys = 1").unwrap();
        assert!(new_key("app").add_to(&path).unwrap_err().to_string().contains("line 1"));
        assert_eq!(fs::read_to_string(&path).unwrap(), "keys = 1");
        for name in ["", "a b", "ñ", "api-key", &"x".repeat(65)] {
            let error = NewKey::new(name, Rights::ALL, AccountLimits::default()).unwrap_err();
            assert!(!error.to_string().contains('\n'), "{error}");
        }
    }

    #[test]
    fn new_file_is_private_and_a_readable_one_gets_a_warning() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        new_key("web").add_to(&path).unwrap();
        assert_eq!(fs::metadata(&path).unwrap().permissions().mode() & 0o777, 0o600);
        fs::set_permissions(&path, fs::Permissions::from_mode(0o644)).unwrap();
        let warning = new_key("app").add_to(&path).unwrap().unwrap();
        assert!(warning.contains("mode 644") && warning.contains("chmod 600"), "{warning}");
    }
}
