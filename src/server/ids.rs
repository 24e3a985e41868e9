//! Ids of answers, of their parts and of calls of tools.

use std::hash::{BuildHasher, RandomState};

use data_encoding::HEXLOWER;

/// A random id with `prefix`.
pub(super) fn new_id(prefix: &str) -> String {
    let mut bytes = [0; 16];
    getrandom::fill(&mut bytes).expect("a system that has no random numbers cannot hash a map");
    prefix.to_owned() + &HEXLOWER.encode(&bytes)
}

/// A new id of a call: nine letters and digits. Templates of Mistral accept no other form.
pub(super) fn new_call_id() -> String {
    // Keyed by the system's random numbers. An id is no secret.
    let mut number = RandomState::new().hash_one(());
    let mut digit = || {
        let digit = DIGITS[(number % DIGITS.len() as u64) as usize];
        number /= DIGITS.len() as u64;
        char::from(digit)
    };
    (0..CALL_ID_CHARS).map(|_| digit()).collect()
}

const DIGITS: &[u8] = b"0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz";
const CALL_ID_CHARS: usize = 9;

#[cfg(test)]
mod tests {
    use super::*;
    use std::collections::BTreeSet;

    #[test]
    fn call_ids_differ_and_have_nine_letters_or_digits() {
        let ids: BTreeSet<_> = (0..1000).map(|_| new_call_id()).collect();
        assert_eq!(ids.len(), 1000);
        let is_valid = |id: &String| id.len() == 9 && id.bytes().all(|b| b.is_ascii_alphanumeric());
        assert!(ids.iter().all(is_valid), "{ids:?}");
    }
}
