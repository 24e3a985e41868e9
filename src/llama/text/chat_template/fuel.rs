//! How much fuel a rendering gets: enough for any template whose work grows with the conversation.
//!
//! A unit of fuel is one instruction, or 64 bytes that are written or created. So fuel limits the
//! memory of a rendering as well as its time (ADR-0017).

/// Fuel for a conversation with `n_messages` that have `n_bytes` in total.
pub(super) fn fuel_for(n_messages: usize, n_bytes: usize) -> u64 {
    let for_messages = FUEL_PER_MESSAGE.saturating_mul(n_messages as u64).min(MAX_MESSAGE_FUEL);
    BASE_FUEL + for_messages + n_bytes as u64 / BYTES_PER_FUEL
}

/// Fuel for every conversation (ADR-0017).
const BASE_FUEL: u64 = 500_000;
/// Fuel for each message (ADR-0017).
const FUEL_PER_MESSAGE: u64 = 7_000;
/// Most fuel for the number of messages (ADR-0017).
const MAX_MESSAGE_FUEL: u64 = 12_000_000;
/// Bytes of messages for one unit of fuel (ADR-0017).
const BYTES_PER_FUEL: u64 = 2;
