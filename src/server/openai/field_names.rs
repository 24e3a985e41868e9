//! The names of fields in errors: the runner has its own, and each API others.

use crate::domain::Refusal;

/// What a client calls the fields that the runner names when it refuses a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct FieldNames {
    /// Most tokens of the answer.
    pub(in crate::server) max_tokens: &'static str,
    /// The conversation.
    pub(in crate::server) messages: &'static str,
    /// The schema of the arguments, in a tool.
    pub(in crate::server) parameters: &'static str,
}

impl FieldNames {
    /// `refusal` with the names of the client.
    pub(in crate::server) fn rename(self, refusal: Refusal) -> Refusal {
        let Refusal::InvalidParams { field, reason } = refusal else { return refusal };
        let end = field.find(['.', '[']).unwrap_or(field.len());
        let (name, rest) = field.split_at(end);
        let field = match name {
            "max_tokens" => self.max_tokens.to_owned() + rest,
            "messages" => self.messages.to_owned() + rest,
            "tools" => match field.strip_suffix(".parameters") {
                Some(tool) => format!("{tool}.{}", self.parameters),
                None => field,
            },
            _ => field,
        };
        Refusal::InvalidParams { field, reason }
    }
}
