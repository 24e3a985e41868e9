//! The API keys that clients may use now: from a file, which can be read again, and from an option.

use std::collections::BTreeMap;
use std::fs;
use std::io;
use std::os::unix::fs::PermissionsExt;
use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicU64, Ordering::Relaxed};
use std::sync::{Arc, Mutex, PoisonError};

use subtle::{ConditionallySelectable, ConstantTimeEq};
use thiserror::Error;
use tokio::sync::watch;

use crate::domain::{AccountId, AccountLimits, ApiKey, Rights};
use crate::server::bounded_file::read_at_most;

use super::account::{AccountCounts, ClientAccount};
use super::key_file::{KeyEntry, KeyFileError, SIMPLE_KEY, parse};
use super::key_hash::{KeyHash, MIN_KEY_BYTES};

/// The API keys of the daemon. Clones share them. Without a file and a key, none are required.
#[derive(Debug, Clone)]
pub struct Keys(Arc<KeysState>);

#[derive(Debug)]
struct KeysState {
    file: Option<PathBuf>,
    /// The key of the option.
    simple: Option<KeyHash>,
    /// The limits of keys that have none of their own.
    defaults: AccountLimits,
    current: watch::Sender<Arc<KeySet>>,
    /// One reload at a time.
    reloading: Mutex<()>,
    next_id: AtomicU64,
}

/// The keys at one moment, by name.
#[derive(Debug, Default)]
pub(super) struct KeySet(BTreeMap<Arc<str>, LoadedKey>);

/// One key of a set.
#[derive(Debug, Clone)]
struct LoadedKey {
    hash: KeyHash,
    rights: Rights,
    account: Arc<ClientAccount>,
}

/// A key that a client has sent and that was found.
#[derive(Debug, Clone)]
pub(in crate::server) struct KeyOwner {
    name: Arc<str>,
    hash: KeyHash,
    account: Arc<ClientAccount>,
}

/// Why keys cannot be used.
#[derive(Debug, Error)]
pub enum KeysError {
    /// The key file cannot be read.
    #[error("the API key file {path} cannot be read: {error}{}", hint(.error))]
    Unreadable {
        /// The file.
        path: String,
        /// The error of the operating system.
        error: io::Error,
    },
    /// The key file is not a list of keys.
    #[error("the API key file {path} cannot be used: {reason}")]
    Invalid {
        /// The file.
        path: String,
        /// The line, and what is wrong with it.
        reason: String,
    },
    /// The key of the option cannot be used.
    #[error(
        "the key of --api-key cannot be used: it must have {MIN_KEY_BYTES} to {MAX_KEY_BYTES} \
         letters, digits and characters of -._~+/=, such as the output of `openssl rand -hex 32`"
    )]
    Key,
}

impl Default for Keys {
    fn default() -> Self {
        Self::new(None, None, AccountLimits::default())
    }
}

impl Keys {
    /// The keys of `file`, and `key`, which has all rights. `defaults` are the limits of keys that
    /// have none of their own.
    ///
    /// # Errors
    /// [`KeysError`], if the file or the key cannot be used.
    pub fn load(
        key: Option<&ApiKey>,
        file: Option<PathBuf>,
        defaults: AccountLimits,
    ) -> Result<Self, KeysError> {
        let simple = key.map(checked_hash).transpose()?;
        let keys = Self::new(simple, file, defaults);
        keys.reload()?;
        Ok(keys)
    }

    fn new(simple: Option<KeyHash>, file: Option<PathBuf>, defaults: AccountLimits) -> Self {
        Self(Arc::new(KeysState {
            file,
            simple,
            defaults,
            current: watch::Sender::default(),
            reloading: Mutex::default(),
            next_id: AtomicU64::new(1),
        }))
    }

    /// A warning if other users can read or change the file.
    pub fn exposure(&self) -> Option<String> {
        self.0.file.as_deref().and_then(exposure)
    }

    /// Number of keys.
    pub fn n_keys(&self) -> usize {
        self.0.current.borrow().0.len()
    }

    /// Reads the file again. Connections whose key is no longer in it are closed, and changed
    /// rights and limits count at once. Returns the number of keys.
    ///
    /// # Errors
    /// [`KeysError`]. The keys stay as they were.
    pub fn reload(&self) -> Result<usize, KeysError> {
        let KeysState { file, simple, defaults, current, reloading, next_id } = &*self.0;
        let _one_at_a_time = reloading.lock().unwrap_or_else(PoisonError::into_inner);
        let mut entries = match file {
            Some(path) => read(path)?,
            None => Vec::new(),
        };
        entries.extend(simple.map(|hash| KeyEntry {
            name: SIMPLE_KEY.to_owned(),
            hash,
            rights: Rights::ALL,
            limits: AccountLimits::default(),
        }));
        let before = current.borrow().clone();
        let load = |entry: KeyEntry| {
            let KeyEntry { name, hash, rights, limits } = entry;
            let limits = limits.or(*defaults);
            // A key that was changed has the counters and the budget of the one before.
            let account = match before.0.get(&name[..]) {
                Some(known) => known.account.clone(),
                None => ClientAccount::new(AccountId(next_id.fetch_add(1, Relaxed)), limits),
            };
            account.set_limits(limits);
            (name.into(), LoadedKey { hash, rights, account })
        };
        let set = KeySet(entries.into_iter().map(load).collect());
        let n_keys = set.0.len();
        current.send_replace(Arc::new(set));
        Ok(n_keys)
    }

    /// Whether clients need a key.
    pub fn are_required(&self) -> bool {
        self.0.file.is_some() || self.0.simple.is_some()
    }

    /// Whether there is a file to read again.
    pub fn have_file(&self) -> bool {
        self.0.file.is_some()
    }

    /// The owner of a key that a client has sent; `None` if there is no such key. Compares it with
    /// all keys, in constant time.
    pub(super) fn find(&self, key: &ApiKey) -> Option<KeyOwner> {
        let sent = KeyHash::of(key);
        let set = self.0.current.borrow().clone();
        let mut found = u32::MAX;
        for (position, key) in (0..).zip(set.0.values()) {
            found.conditional_assign(&position, key.hash.matches(&sent));
        }
        // Whether a key was found shows in the answer.
        if found.ct_eq(&u32::MAX).into() {
            return None;
        }
        let (name, key) = set.0.iter().nth(found as usize)?;
        Some(KeyOwner { name: name.clone(), hash: key.hash, account: key.account.clone() })
    }

    /// The rights of a key's owner; `None` if the key is no longer valid.
    pub(super) fn rights(&self, owner: &KeyOwner) -> Option<Rights> {
        let set = self.0.current.borrow();
        let key = set.0.get(&owner.name).filter(|key| key.hash == owner.hash)?;
        Some(key.rights)
    }

    /// Tells when the keys were read again.
    pub(super) fn changes(&self) -> watch::Receiver<Arc<KeySet>> {
        self.0.current.subscribe()
    }

    /// What was counted for each key, by its name.
    pub(super) fn counts(&self) -> Vec<(String, AccountCounts)> {
        let set = self.0.current.borrow();
        set.0.iter().map(|(name, key)| (name.to_string(), key.account.counts())).collect()
    }
}

impl KeyOwner {
    pub(super) fn account(&self) -> &Arc<ClientAccount> {
        &self.account
    }

    /// The name of the key.
    pub(super) fn name(&self) -> &str {
        &self.name
    }
}

/// What to do about a file that cannot be read.
fn hint(error: &io::Error) -> &'static str {
    match error.kind() {
        io::ErrorKind::NotFound => "; make it with `inference-core key new NAME --file FILE`",
        _ => "",
    }
}

/// The hash of the key of the option.
///
/// # Errors
/// [`KeysError::Key`], if it is too short, too long, or cannot be sent in a header.
fn checked_hash(key: &ApiKey) -> Result<KeyHash, KeysError> {
    let text = key.reveal().as_bytes();
    let is_plain = |&byte: &u8| byte.is_ascii_alphanumeric() || b"-._~+/=".contains(&byte);
    let is_usable =
        (MIN_KEY_BYTES..=MAX_KEY_BYTES).contains(&text.len()) && text.iter().all(is_plain);
    if is_usable { Ok(KeyHash::of(key)) } else { Err(KeysError::Key) }
}

/// The keys of the file at `path`.
fn read(path: &Path) -> Result<Vec<KeyEntry>, KeysError> {
    parse(&read_text(path)?).map_err(|error: KeyFileError| KeysError::Invalid {
        path: path.display().to_string(),
        reason: error.to_string(),
    })
}

/// The text of the file at `path`.
///
/// # Errors
/// [`KeysError`], if it cannot be read or is no key file.
pub(super) fn read_text(path: &Path) -> Result<String, KeysError> {
    let name = || path.display().to_string();
    let unreadable = |error| KeysError::Unreadable { path: name(), error };
    let invalid = |reason: &str| KeysError::Invalid { path: name(), reason: reason.to_owned() };
    let bytes = read_at_most(path, MAX_FILE_BYTES).map_err(unreadable)?;
    let bytes = bytes.ok_or_else(|| invalid("it is larger than 1 MiB"))?;
    String::from_utf8(bytes).map_err(|_| invalid("it is not UTF-8"))
}

/// A warning if other users can read or change the file at `path`.
pub(super) fn exposure(path: &Path) -> Option<String> {
    let mode = fs::metadata(path).ok()?.permissions().mode() & 0o777;
    (mode & 0o077 != 0).then(|| {
        let path = path.display();
        format!(
            "other users can read or change the API key file {path} (mode {mode:o}): \
             use chmod 600 {path}"
        )
    })
}

/// Longest key of the option.
const MAX_KEY_BYTES: usize = 256;

/// Largest key file. The most keys have about 300 bytes each.
const MAX_FILE_BYTES: u64 = 1024 * 1024;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Right;
    use crate::server::access::key_file::table;

    fn key(n: u32) -> ApiKey {
        ApiKey::new(format!("ic_{n}"))
    }

    /// Writes a file with these keys, which have the rights.
    fn write(path: &Path, names: &[(&str, u32)], rights: &[Right]) {
        let entry = |&(name, n): &(&str, u32)| KeyEntry {
            name: name.to_owned(),
            hash: KeyHash::of(&key(n)),
            rights: rights.iter().copied().collect(),
            limits: AccountLimits::default(),
        };
        let text: String = names.iter().map(entry).map(|entry| table(&entry)).collect();
        fs::write(path, text).unwrap();
    }

    fn load(path: &Path) -> Keys {
        Keys::load(None, Some(path.to_owned()), AccountLimits::default()).unwrap()
    }

    #[test]
    fn each_key_has_its_owner_and_another_one_has_none() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        let names: Vec<String> = (0..20).map(|n| format!("key-{n:02}")).collect();
        let listed: Vec<(&str, u32)> = names.iter().map(String::as_str).zip(0..).collect();
        write(&path, &listed, &[Right::Infer]);
        let keys = load(&path);
        for (name, n) in listed {
            let owner = keys.find(&key(n)).unwrap();
            assert_eq!(&owner.name[..], name);
            assert_eq!(keys.rights(&owner), Some(Rights::from_iter([Right::Infer])));
        }
        assert!(keys.find(&key(20)).is_none());
        assert!(keys.find(&ApiKey::new("")).is_none());
        assert!(Keys::default().find(&key(1)).is_none());
    }

    #[test]
    fn reload_revokes_changes_and_adds_keys() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        write(&path, &[("stays", 1), ("revoked", 2), ("changed", 3)], &[Right::Infer]);
        let keys = load(&path);
        let owners = [1, 2, 3].map(|n| keys.find(&key(n)).unwrap());
        let mut changes = keys.changes();
        write(&path, &[("stays", 1), ("changed", 30), ("added", 4)], &[Right::Metrics]);
        assert_eq!(keys.reload().unwrap(), 3);
        assert!(changes.has_changed().unwrap());
        changes.mark_unchanged();
        let metrics = [Right::Metrics].into_iter().collect();
        assert_eq!(owners.each_ref().map(|owner| keys.rights(owner)), [Some(metrics), None, None]);
        let changed = keys.find(&key(30)).unwrap();
        assert_eq!(changed.account.id(), owners[2].account.id(), "its budget stays");
        assert!(keys.find(&key(4)).is_some() && keys.find(&key(3)).is_none());
    }

    #[test]
    fn broken_file_leaves_the_keys_as_they_were() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("keys.toml");
        write(&path, &[("web", 1)], &[Right::Infer]);
        let keys = load(&path);
        let owner = keys.find(&key(1)).unwrap();
        fs::write(&path, "[keys.web]\nhash = 1\n").unwrap();
        let error = keys.reload().unwrap_err().to_string();
        assert!(error.contains("keys.toml") && error.contains("line 2"), "{error}");
        fs::remove_file(&path).unwrap();
        assert!(keys.reload().is_err());
        assert!(keys.rights(&owner).is_some());
        fs::write(&path, vec![b'#'; 1 << 21]).unwrap();
        assert!(keys.reload().unwrap_err().to_string().contains("1 MiB"));
        fs::write(&path, [0xff]).unwrap();
        assert!(keys.reload().unwrap_err().to_string().contains("UTF-8"));
    }

    #[test]
    fn key_of_the_option_has_all_rights_and_is_long() {
        let load = |key: &str| Keys::load(Some(&ApiKey::new(key)), None, AccountLimits::default());
        let key = "0123456789abcde+";
        let keys = load(key).unwrap();
        let owner = keys.find(&ApiKey::new(key)).unwrap();
        assert_eq!(keys.rights(&owner), Some(Rights::ALL));
        assert!(keys.are_required() && !keys.have_file());
        for wrong in ["", &key[1..], "0123456789abcdef ", "contraseña-larga-1", &"x".repeat(257)] {
            let error = load(wrong).unwrap_err().to_string();
            assert!(wrong.is_empty() || !error.contains(wrong), "{error}");
        }
    }
}
