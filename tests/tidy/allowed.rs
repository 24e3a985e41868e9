//! Private words that stay, because they are flags, JSON fields or metric labels of the wire.

use super::words::Allowed;

pub(crate) const ALLOWED: [Allowed; 0] = [];
