//! A file with API keys for a test server.

use std::fs;
use std::num::NonZeroU32;
use std::path::PathBuf;

use inference_core::domain::{AccountLimits, Right};
use inference_core::server::{Keys, NewKey};
use tempfile::TempDir;

/// A key file, and the keys that a server has read from it.
pub struct KeyFile {
    folder: TempDir,
    pub keys: Keys,
}

impl KeyFile {
    /// A file with these keys.
    pub fn new(keys: &[&NewKey]) -> Self {
        let folder = tempfile::tempdir().unwrap();
        fs::write(folder.path().join(NAME), text_of(keys)).unwrap();
        let path = folder.path().join(NAME);
        let keys = Keys::load(None, Some(path), AccountLimits::default()).unwrap();
        Self { folder, keys }
    }

    pub fn path(&self) -> PathBuf {
        self.folder.path().join(NAME)
    }

    /// Replaces the keys, and has the server read them.
    pub fn replace(&self, keys: &[&NewKey]) {
        fs::write(self.path(), text_of(keys)).unwrap();
        self.keys.reload().unwrap();
    }
}

/// The text of a file with these keys.
fn text_of(keys: &[&NewKey]) -> String {
    keys.iter().map(|key| key.table()).collect()
}

/// A key with these rights and no limits.
pub fn new_key(name: &str, rights: &[Right]) -> NewKey {
    limited_key(name, rights, AccountLimits::default())
}

/// A key with these rights and limits.
pub fn limited_key(name: &str, rights: &[Right], limits: AccountLimits) -> NewKey {
    NewKey::new(name, rights.iter().copied().collect(), limits).unwrap()
}

/// The limit `n`.
pub fn at_most(n: u32) -> Option<NonZeroU32> {
    NonZeroU32::new(n)
}

const NAME: &str = "keys.toml";
