//! The hash of an API key, which is all that the daemon stores of it.

use std::fmt;
use std::str::FromStr;

use data_encoding::{BASE64URL_NOPAD, HEXLOWER, HEXLOWER_PERMISSIVE};
use sha2::{Digest, Sha256};
use subtle::{Choice, ConstantTimeEq};
use thiserror::Error;

use crate::domain::ApiKey;

/// SHA-256 of an API key. A plain hash is enough because keys are random and long: nobody can find
/// one by trying (ADR-0038).
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyHash([u8; 32]);

impl KeyHash {
    pub(super) fn of(key: &ApiKey) -> Self {
        Self(Sha256::digest(key.reveal()).into())
    }

    /// Compares in constant time.
    pub(super) fn matches(&self, other: &Self) -> Choice {
        self.0.ct_eq(&other.0)
    }
}

impl fmt::Display for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{PREFIX}{}", HEXLOWER.encode(&self.0))
    }
}

impl fmt::Debug for KeyHash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("KeyHash(hidden)")
    }
}

impl FromStr for KeyHash {
    type Err = InvalidHash;

    fn from_str(text: &str) -> Result<Self, InvalidHash> {
        let digits = text.strip_prefix(PREFIX).ok_or(InvalidHash)?;
        let bytes = HEXLOWER_PERMISSIVE.decode(digits.as_bytes()).map_err(|_| InvalidHash)?;
        bytes.try_into().map(Self).map_err(|_| InvalidHash)
    }
}

/// A text is not the hash of a key. The message does not quote the text, which may be a key.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Error)]
#[error("hash must be sha256: and 64 hexadecimal digits, as `inference-core key new` writes it")]
pub(super) struct InvalidHash;

/// Shortest key that is accepted, in bytes. 16 random letters and digits cannot be found by trying
/// over a network.
pub(super) const MIN_KEY_BYTES: usize = 16;

/// A new random key of 256 bits, made of characters that every place for a key can carry.
///
/// # Errors
/// The operating system's error, if it gives no random bytes.
pub(super) fn random_key() -> Result<ApiKey, getrandom::Error> {
    let mut bytes = [0; 32];
    getrandom::fill(&mut bytes)?;
    Ok(ApiKey::new(format!("{KEY_START}{}", BASE64URL_NOPAD.encode(&bytes))))
}

/// What random keys begin with.
pub(super) const KEY_START: &str = "ic_";

const PREFIX: &str = "sha256:";

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hash_is_that_of_sha256sum() {
        // printf %s abc | sha256sum
        let text = "sha256:ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad";
        let hash = KeyHash::of(&ApiKey::new("abc"));
        assert_eq!(hash.to_string(), text);
        assert_eq!(text.parse(), Ok(hash));
        assert_eq!(text.to_uppercase().replace("SHA", "sha").parse(), Ok(hash));
        for wrong in [&text[..70], &text[7..], "sha256:", "md5:00", "ic_key", &format!("{text}0")] {
            assert_eq!(wrong.parse::<KeyHash>(), Err(InvalidHash), "{wrong}");
        }
    }

    #[test]
    fn new_keys_differ_and_have_43_characters_after_the_prefix() {
        let (one, other) = (random_key().unwrap(), random_key().unwrap());
        assert_ne!(one, other);
        assert_eq!(one.reveal().len(), "ic_".len() + 43);
        let is_plain = |byte: u8| byte.is_ascii_alphanumeric() || b"-_".contains(&byte);
        assert!(one.reveal().bytes().all(is_plain));
    }
}
