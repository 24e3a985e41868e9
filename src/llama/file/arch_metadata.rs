//! The metadata entries that belong to a model's architecture.
//!
//! Their keys start with the name of the architecture, which [`ArchMetadata`] adds. Values of the
//! wrong type count as missing.

use super::gguf::Header;

/// The entries of a header whose keys start with the name of the architecture. The methods take the
/// rest of a key: `block_count` for `llama.block_count`.
#[derive(Clone, Copy)]
pub(in crate::llama) struct ArchMetadata<'a> {
    header: &'a Header,
    arch: &'a str,
}

impl<'a> ArchMetadata<'a> {
    /// The entries of `header` for the architecture `arch`.
    pub(in crate::llama) fn new(header: &'a Header, arch: &'a str) -> Self {
        Self { header, arch }
    }

    /// The whole header.
    pub(super) fn header(&self) -> &'a Header {
        self.header
    }

    /// Name of the architecture.
    pub(super) fn arch(&self) -> &'a str {
        self.arch
    }

    /// The integer at `key`; `None` if it is missing, of another type or negative.
    pub(in crate::llama) fn unsigned(&self, key: &str) -> Option<u64> {
        self.header.unsigned(&self.full_key(key))
    }

    /// The integer at `key`, which must exist and be from 1 to [`u32::MAX`].
    ///
    /// # Errors
    /// One line that names the key.
    pub(super) fn required(&self, key: &str) -> Result<u32, String> {
        let value = self.unsigned(key).and_then(|n| u32::try_from(n).ok()).filter(|&n| n > 0);
        value.ok_or_else(|| format!("its header has no usable {}", self.full_key(key)))
    }

    /// The integers at `key`: one for all layers, one per layer, or none if the entry is missing.
    pub(in crate::llama) fn numbers(&self, key: &str) -> &'a [i128] {
        self.header.numbers(&self.full_key(key))
    }

    /// The integer at `key` for `layer`; `None` if it is missing or negative. If the list is too
    /// short, its last number is used for the layers beyond it.
    pub(super) fn of_layer(&self, key: &str, layer: usize) -> Option<u64> {
        let numbers = self.numbers(key);
        let number = numbers.get(layer).or_else(|| numbers.last());
        number.and_then(|&n| u64::try_from(n).ok())
    }

    /// The largest integer at `key`, over all layers; `None` if all are negative or the entry is
    /// missing.
    pub(in crate::llama) fn max(&self, key: &str) -> Option<u64> {
        self.numbers(key).iter().filter_map(|&n| u64::try_from(n).ok()).max()
    }

    /// The array at `key`; `None` if the entry is missing or not an array of integers or booleans.
    pub(super) fn list(&self, key: &str) -> Option<&'a [i128]> {
        self.header.list(&self.full_key(key))
    }

    /// The string at `key`; `None` if it is missing or of another type.
    pub(super) fn string(&self, key: &str) -> Option<&'a str> {
        self.header.string(&self.full_key(key))
    }

    /// The boolean at `key`; `None` if it is missing or of another type.
    pub(super) fn boolean(&self, key: &str) -> Option<bool> {
        self.header.boolean(&self.full_key(key))
    }

    /// Whether the header has an entry `key`, of any type.
    pub(super) fn has(&self, key: &str) -> bool {
        self.header.has(&self.full_key(key))
    }

    /// All float entries of the architecture, with their keys without the architecture.
    pub(super) fn floats(&self) -> impl Iterator<Item = (&'a str, f64)> {
        let prefix = format!("{}.", self.arch);
        self.header.floats().filter_map(move |(key, n)| Some((key.strip_prefix(&prefix)?, n)))
    }

    fn full_key(&self, key: &str) -> String {
        format!("{}.{key}", self.arch)
    }
}
