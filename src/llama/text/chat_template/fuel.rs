//! How much fuel a rendering gets: enough for any template whose work grows with the conversation.
//!
//! A unit of fuel is one instruction, or 64 bytes that are written or created. So fuel limits the
//! memory of a rendering as well as its time (ADR-0017).

/// How much a template has to render.
#[derive(Debug, Clone, Copy, Default)]
pub(super) struct TemplateSize {
    /// Messages, tools, calls of tools, documents and variables.
    pub(super) n_parts: usize,
    /// JSON values in schemas, arguments, documents and variables.
    pub(super) n_values: usize,
    /// Bytes of all texts.
    pub(super) n_bytes: usize,
}

impl TemplateSize {
    /// The size of both together.
    pub(super) fn plus(self, other: Self) -> Self {
        Self {
            n_parts: self.n_parts + other.n_parts,
            n_values: self.n_values + other.n_values,
            n_bytes: self.n_bytes + other.n_bytes,
        }
    }
}

/// Fuel for a conversation of this size.
pub(super) fn fuel_for(size: TemplateSize) -> u64 {
    let TemplateSize { n_parts, n_values, n_bytes } = size;
    let for_parts = FUEL_PER_PART.saturating_mul(n_parts as u64);
    let for_values = FUEL_PER_VALUE.saturating_mul(n_values as u64);
    BASE_FUEL
        + for_parts.saturating_add(for_values).min(MAX_PART_FUEL)
        + n_bytes as u64 / BYTES_PER_FUEL
}

/// Fuel for every conversation (ADR-0017).
const BASE_FUEL: u64 = 500_000;
/// Fuel for each message, tool or call (ADR-0017, ADR-0046).
const FUEL_PER_PART: u64 = 7_000;
/// Fuel for each JSON value (ADR-0046).
const FUEL_PER_VALUE: u64 = 500;
/// Most fuel for the number of parts and values (ADR-0017).
const MAX_PART_FUEL: u64 = 12_000_000;
/// Bytes of texts for one unit of fuel (ADR-0017).
const BYTES_PER_FUEL: u64 = 2;
