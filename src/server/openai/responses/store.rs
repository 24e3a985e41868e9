//! Responses that can be retrieved and continued.
//!
//! A response belongs to an account and, if its client does not want it stored, to one connection;
//! nobody else sees it. All stores together are bounded by number, bytes and age (ADR-0049): an
//! account that holds too much loses its oldest responses, and if all accounts hold too much, the
//! one with most loses its oldest.

use std::collections::{BTreeMap, HashMap};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use crate::domain::{AccountId, ConnectionId};

use super::items::ResponseItem;

/// All stored responses of the daemon.
#[derive(Debug)]
pub(in crate::server) struct ResponseStore {
    limits: StoreLimits,
    contents: Mutex<StoreContents>,
}

/// The bounds of a [`ResponseStore`].
#[derive(Debug, Clone, Copy)]
pub(super) struct StoreLimits {
    /// Most responses of an account.
    n_per_account: usize,
    /// Most bytes of an account.
    bytes_per_account: usize,
    /// Most bytes of all accounts.
    bytes: usize,
    /// How long a response is kept.
    age: Duration,
}

impl Default for StoreLimits {
    fn default() -> Self {
        Self {
            n_per_account: MAX_RESPONSES,
            bytes_per_account: MAX_ACCOUNT_BYTES,
            bytes: MAX_BYTES,
            age: MAX_AGE,
        }
    }
}

/// Who may use a response.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct ResponseOwner {
    pub(super) account: AccountId,
    /// The connection that it is kept for; `None` if it is kept for the whole account.
    pub(super) connection: Option<ConnectionId>,
}

/// One turn of a conversation: what the client added, and what the model answered. Responses that
/// continue each other share their turns.
#[derive(Debug, Default)]
pub(super) struct StoredTurn {
    pub(super) input: Arc<Vec<ResponseItem>>,
    /// With the ids of the items, which clients can refer to.
    pub(super) output: Vec<(String, ResponseItem)>,
}

impl StoredTurn {
    /// Its items in their order.
    pub(super) fn items(&self) -> impl Iterator<Item = &ResponseItem> {
        self.input.iter().chain(self.output.iter().map(|(_, item)| item))
    }

    fn n_bytes(&self) -> usize {
        let items: usize = self.items().map(|item| item.n_bytes() + ITEM_BYTES).sum();
        items + self.output.iter().map(|(id, _)| id.len()).sum::<usize>()
    }
}

/// A response that ended.
#[derive(Debug, Clone)]
pub(super) struct StoredResponse {
    /// The response in JSON.
    pub(super) json: Arc<str>,
    /// All turns of its conversation, the last one its own.
    pub(super) turns: Vec<Arc<StoredTurn>>,
}

impl StoredResponse {
    /// Its bytes, as if it shared no turn: what it holds if all others are gone.
    fn n_bytes(&self) -> usize {
        let turns: usize = self.turns.iter().map(|turn| turn.n_bytes() + ITEM_BYTES).sum();
        self.json.len() + turns
    }
}

#[derive(Debug, Default)]
struct StoreContents {
    /// By their ids.
    responses: HashMap<String, StoreEntry>,
    /// The ids by the order of storing.
    by_age: BTreeMap<u64, String>,
    next: u64,
    accounts: HashMap<AccountId, AccountUse>,
    n_bytes: usize,
}

#[derive(Debug)]
struct StoreEntry {
    owner: ResponseOwner,
    response: StoredResponse,
    n_bytes: usize,
    number: u64,
    stored: Instant,
}

/// What an account holds.
#[derive(Debug, Default)]
struct AccountUse {
    /// The numbers of its responses.
    numbers: std::collections::BTreeSet<u64>,
    n_bytes: usize,
}

impl Default for ResponseStore {
    fn default() -> Self {
        Self::new(StoreLimits::default())
    }
}

impl ResponseStore {
    fn new(limits: StoreLimits) -> Self {
        Self { limits, contents: Mutex::default() }
    }

    /// Stores a response, unless it alone is larger than what an account may hold.
    pub(super) fn insert(
        &self,
        id: &str,
        owner: ResponseOwner,
        response: StoredResponse,
        now: Instant,
    ) {
        let n_bytes = id.len() + response.n_bytes();
        let mut contents = self.lock();
        contents.drop_old(self.limits.age, now);
        if n_bytes > self.limits.bytes_per_account {
            return;
        }
        contents.remove(id);
        let number = contents.next;
        contents.next += 1;
        let entry = StoreEntry { owner, response, n_bytes, number, stored: now };
        contents.add(id, entry);
        contents.shrink(owner.account, self.limits);
    }

    /// The response `id`, if `caller` may use it.
    pub(super) fn get(
        &self,
        id: &str,
        caller: ResponseOwner,
        now: Instant,
    ) -> Option<StoredResponse> {
        let mut contents = self.lock();
        contents.drop_old(self.limits.age, now);
        let entry = contents.responses.get(id)?;
        entry.may_use(caller).then(|| entry.response.clone())
    }

    /// The output item `item_id` of a response that `caller` may use.
    pub(super) fn item(&self, item_id: &str, caller: ResponseOwner) -> Option<ResponseItem> {
        let contents = self.lock();
        let numbers = &contents.accounts.get(&caller.account)?.numbers;
        numbers.iter().rev().find_map(|number| {
            let entry = contents.responses.get(contents.by_age.get(number)?)?;
            let turn = entry.response.turns.last().filter(|_| entry.may_use(caller))?;
            turn.output.iter().find(|(id, _)| id == item_id).map(|(_, item)| item.clone())
        })
    }

    /// Removes the response `id`, if `caller` may use it. Returns whether it was there.
    pub(super) fn remove(&self, id: &str, caller: ResponseOwner) -> bool {
        let mut contents = self.lock();
        let is_there = contents.responses.get(id).is_some_and(|entry| entry.may_use(caller));
        is_there && contents.remove(id)
    }

    /// Removes the response `id` if it is kept for the connection of `caller` only.
    pub(super) fn remove_local(&self, id: &str, caller: ResponseOwner) {
        let mut contents = self.lock();
        if contents.responses.get(id).is_some_and(|entry| entry.owner == caller) {
            contents.remove(id);
        }
    }

    /// Drops the responses that are kept for `connection`, which has closed.
    pub(super) fn forget(&self, account: AccountId, connection: ConnectionId) {
        let mut contents = self.lock();
        let of_connection = |id: &String, contents: &StoreContents| {
            let entry = contents.responses.get(id);
            entry.is_some_and(|entry| entry.owner.connection == Some(connection))
        };
        let Some(held) = contents.accounts.get(&account) else { return };
        let ids = held.numbers.iter().filter_map(|number| contents.by_age.get(number));
        let ids: Vec<String> = ids.filter(|id| of_connection(id, &contents)).cloned().collect();
        for id in ids {
            contents.remove(&id);
        }
    }

    fn lock(&self) -> MutexGuard<'_, StoreContents> {
        // A panic between the statements of a change would leave a wrong number of bytes at most.
        self.contents.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl StoreEntry {
    fn may_use(&self, caller: ResponseOwner) -> bool {
        let ResponseOwner { account, connection } = self.owner;
        account == caller.account && (connection.is_none() || connection == caller.connection)
    }
}

impl StoreContents {
    fn add(&mut self, id: &str, entry: StoreEntry) {
        let held = self.accounts.entry(entry.owner.account).or_default();
        held.numbers.insert(entry.number);
        held.n_bytes += entry.n_bytes;
        self.n_bytes += entry.n_bytes;
        self.by_age.insert(entry.number, id.to_owned());
        self.responses.insert(id.to_owned(), entry);
    }

    /// Removes a response. Returns whether it was there.
    fn remove(&mut self, id: &str) -> bool {
        let Some(entry) = self.responses.remove(id) else { return false };
        self.by_age.remove(&entry.number);
        self.n_bytes -= entry.n_bytes;
        if let Some(held) = self.accounts.get_mut(&entry.owner.account) {
            held.numbers.remove(&entry.number);
            held.n_bytes -= entry.n_bytes;
            if held.numbers.is_empty() {
                self.accounts.remove(&entry.owner.account);
            }
        }
        true
    }

    /// Removes what is older than `age` at `now`.
    fn drop_old(&mut self, age: Duration, now: Instant) {
        while let Some(id) = self.by_age.values().next().cloned() {
            let stored = self.responses.get(&id).map_or(now, |entry| entry.stored);
            if now.saturating_duration_since(stored) < age {
                return;
            }
            self.remove(&id);
        }
    }

    /// Removes the oldest responses until all bounds hold. Only `account` can have grown.
    fn shrink(&mut self, account: AccountId, limits: StoreLimits) {
        while self.accounts.get(&account).is_some_and(|held| {
            held.numbers.len() > limits.n_per_account || held.n_bytes > limits.bytes_per_account
        }) {
            self.remove_oldest_of(account);
        }
        while self.n_bytes > limits.bytes {
            let largest = self.accounts.iter().max_by_key(|(_, held)| held.n_bytes);
            let Some((&largest, _)) = largest else { return };
            self.remove_oldest_of(largest);
        }
    }

    fn remove_oldest_of(&mut self, account: AccountId) {
        let oldest = self.accounts.get(&account).and_then(|held| held.numbers.first());
        if let Some(id) = oldest.and_then(|number| self.by_age.get(number)).cloned() {
            self.remove(&id);
        }
    }
}

/// Most responses of an account (ADR-0049).
const MAX_RESPONSES: usize = 1024;

/// Most bytes of the responses of an account (ADR-0049).
const MAX_ACCOUNT_BYTES: usize = 16 * 1024 * 1024;

/// Most bytes of all responses (ADR-0049).
const MAX_BYTES: usize = 64 * 1024 * 1024;

/// How long a response is kept (ADR-0049).
const MAX_AGE: Duration = Duration::from_secs(60 * 60);

/// What an item or a turn takes beside its texts, in bytes.
const ITEM_BYTES: usize = 128;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::Role;

    fn owner(account: u64, connection: Option<u64>) -> ResponseOwner {
        ResponseOwner { account: AccountId(account), connection: connection.map(ConnectionId) }
    }

    fn response(n_bytes: usize) -> StoredResponse {
        let text = "x".repeat(n_bytes - 2 * ITEM_BYTES - 4);
        let item = ResponseItem::Message { role: Role::User, text };
        let turn = StoredTurn { input: Arc::new(vec![item]), output: Vec::new() };
        StoredResponse { json: "{}".into(), turns: vec![Arc::new(turn)] }
    }

    fn store() -> ResponseStore {
        let age = Duration::from_secs(100);
        ResponseStore::new(StoreLimits {
            n_per_account: 3,
            bytes_per_account: 4000,
            bytes: 6000,
            age,
        })
    }

    fn held(store: &ResponseStore, caller: ResponseOwner, now: Instant) -> String {
        let ids = ["a", "b", "c", "d", "e", "f"];
        ids.into_iter().filter(|id| store.get(id, caller, now).is_some()).collect()
    }

    #[test]
    fn response_is_seen_by_its_account_or_connection_only() {
        let (store, now) = (store(), Instant::now());
        store.insert("a", owner(1, None), response(500), now);
        store.insert("b", owner(1, Some(7)), response(500), now);
        for (caller, expected) in [
            (owner(1, None), "a"),
            (owner(1, Some(7)), "ab"),
            (owner(1, Some(8)), "a"),
            (owner(2, Some(7)), ""),
        ] {
            assert_eq!(held(&store, caller, now), expected, "{caller:?}");
        }
        assert!(!store.remove("a", owner(2, None)));
        assert!(!store.remove("b", owner(1, None)));
        store.forget(AccountId(1), ConnectionId(7));
        assert_eq!(held(&store, owner(1, Some(7)), now), "a");
        assert!(store.remove("a", owner(1, None)) && !store.remove("a", owner(1, None)));
        assert_eq!(store.lock().n_bytes, 0);
        assert!(store.lock().accounts.is_empty());
    }

    #[test]
    fn account_with_too_much_loses_its_oldest_responses() {
        let (store, now) = (store(), Instant::now());
        for id in ["a", "b", "c", "d"] {
            store.insert(id, owner(1, None), response(500), now);
        }
        assert_eq!(held(&store, owner(1, None), now), "bcd", "three at most");
        store.insert("e", owner(1, None), response(3000), now);
        assert_eq!(held(&store, owner(1, None), now), "cde");
        store.insert("f", owner(1, None), response(3500), now);
        assert_eq!(held(&store, owner(1, None), now), "f", "4000 bytes at most");
        store.insert("a", owner(1, None), response(4100), now);
        assert_eq!(held(&store, owner(1, None), now), "f", "too large on its own");
    }

    #[test]
    fn account_with_most_loses_responses_if_all_have_too_much() {
        let (store, now) = (store(), Instant::now());
        store.insert("a", owner(1, None), response(1000), now);
        store.insert("b", owner(2, None), response(2000), now);
        store.insert("c", owner(2, None), response(2000), now);
        store.insert("d", owner(1, None), response(1500), now);
        assert_eq!(held(&store, owner(1, None), now), "ad");
        assert_eq!(held(&store, owner(2, None), now), "c");
    }

    #[test]
    fn old_response_is_dropped() {
        let (store, now) = (store(), Instant::now());
        store.insert("a", owner(1, None), response(500), now);
        let later = now + Duration::from_secs(60);
        store.insert("b", owner(1, None), response(500), later);
        assert_eq!(held(&store, owner(1, None), later), "ab");
        assert_eq!(held(&store, owner(1, None), now + Duration::from_secs(100)), "b");
    }

    #[test]
    fn item_is_found_by_its_id_in_a_response_of_the_caller() {
        let (store, now) = (store(), Instant::now());
        let item = ResponseItem::Reasoning("hm".to_owned());
        let output = vec![("rs_1".to_owned(), item.clone())];
        let turn = Arc::new(StoredTurn { input: Arc::default(), output });
        let stored = StoredResponse { json: "{}".into(), turns: vec![turn] };
        store.insert("a", owner(1, Some(7)), stored, now);
        assert_eq!(store.item("rs_1", owner(1, Some(7))), Some(item));
        assert_eq!(store.item("rs_1", owner(1, None)), None);
        assert_eq!(store.item("rs_1", owner(2, Some(7))), None);
        assert_eq!(store.item("rs_2", owner(1, Some(7))), None);
    }
}
