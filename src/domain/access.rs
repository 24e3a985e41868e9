//! Who may use the daemon, what for, and how much of it: keys, rights and limits.

use std::fmt;
use std::num::{NonZeroU32, NonZeroU64};
use std::str::FromStr;

use serde::{Deserialize, Serialize};

/// An API key as a client or the user gives it. Its `Debug` form does not show it. Equality is for
/// tests: the server compares hashes in constant time.
#[derive(Clone, PartialEq, Eq)]
pub struct ApiKey(String);

impl ApiKey {
    /// The key with this text.
    pub fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    /// The text, which must not get into logs, errors or metrics.
    pub fn reveal(&self) -> &str {
        &self.0
    }
}

impl fmt::Debug for ApiKey {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("ApiKey(hidden)")
    }
}

/// What the owner of a key may do.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Right {
    /// Request text.
    Infer,
    /// See the metrics of the whole daemon.
    Metrics,
    /// Administer the daemon: see and abort the requests of all keys.
    Admin,
}

impl Right {
    /// Every right. `right as usize` is its position in this array.
    pub const ALL: [Self; 3] = [Self::Infer, Self::Metrics, Self::Admin];

    /// The name in key files and on the wire.
    pub fn name(self) -> &'static str {
        match self {
            Self::Infer => "infer",
            Self::Metrics => "metrics",
            Self::Admin => "admin",
        }
    }
}

impl FromStr for Right {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let right = Self::ALL.into_iter().find(|right| right.name() == text);
        right.ok_or_else(|| "a right is infer, metrics or admin".to_owned())
    }
}

/// A set of rights.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Rights([bool; Right::ALL.len()]);

impl Rights {
    /// Every right.
    pub const ALL: Self = Self([true; Right::ALL.len()]);

    /// Whether the set has this right.
    pub fn has(self, right: Right) -> bool {
        self.0[right as usize]
    }

    /// The rights of the set, in the order of [`Right::ALL`].
    pub fn iter(self) -> impl Iterator<Item = Right> {
        Right::ALL.into_iter().filter(move |&right| self.has(right))
    }
}

impl FromIterator<Right> for Rights {
    fn from_iter<I: IntoIterator<Item = Right>>(rights: I) -> Self {
        let mut set = Self::default();
        for right in rights {
            set.0[right as usize] = true;
        }
        set
    }
}

/// How much the owner of a key, or the clients of an address, may use. `None` is no limit.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct AccountLimits {
    /// Most open WebSockets.
    pub connections: Option<NonZeroU32>,
    /// Most requests at once, running and waiting.
    pub requests: Option<NonZeroU32>,
    /// Most requests that have not got a slot.
    pub waiting: Option<NonZeroU32>,
    /// Tokens per minute: computed prompt tokens and generated tokens.
    pub tokens_per_minute: Option<NonZeroU32>,
    /// Seconds of computing per minute.
    pub compute_seconds_per_minute: Option<NonZeroU32>,
    /// Most bytes of messages under way.
    pub bytes: Option<NonZeroU64>,
}

impl AccountLimits {
    /// These limits, and those of `defaults` where there is none.
    #[must_use]
    pub fn or(self, defaults: Self) -> Self {
        Self {
            connections: self.connections.or(defaults.connections),
            requests: self.requests.or(defaults.requests),
            waiting: self.waiting.or(defaults.waiting),
            tokens_per_minute: self.tokens_per_minute.or(defaults.tokens_per_minute),
            compute_seconds_per_minute: self
                .compute_seconds_per_minute
                .or(defaults.compute_seconds_per_minute),
            bytes: self.bytes.or(defaults.bytes),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn debug_form_of_a_key_does_not_show_it() {
        let key = ApiKey::new("ic_secret");
        assert_eq!(format!("{key:?}"), "ApiKey(hidden)");
    }

    #[test]
    fn rights_have_their_names_and_positions() {
        for (position, right) in Right::ALL.into_iter().enumerate() {
            assert_eq!(right as usize, position);
            assert_eq!(right.name().parse(), Ok(right));
            assert_eq!(Rights::from_iter([right]).iter().collect::<Vec<_>>(), [right]);
        }
        assert!("Infer".parse::<Right>().is_err());
    }
}
