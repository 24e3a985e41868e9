//! Which calls of tools an answer may have.

use crate::domain::Conversation;

/// The calls that an answer may have, and how they are told.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AllowedCalls {
    /// The names of the tools. Calls of others are text.
    names: Vec<String>,
    /// Whether the answer ends with its first call.
    pub(super) is_single: bool,
    /// Whether calls are told only when they are complete, however long they are.
    pub(super) only_whole: bool,
}

impl AllowedCalls {
    /// The calls that the answer to `conversation` may have; `None` if it may have none.
    pub fn of(conversation: &Conversation) -> Option<Self> {
        let names = || conversation.tools.iter().map(|tool| tool.name.clone()).collect();
        let is_single = !conversation.parallel_tool_calls;
        let allowed = || Self { names: names(), is_single, only_whole: false };
        conversation.may_call_tools().then(allowed)
    }

    /// The same calls, none of which is told before it is complete: for clients that get the whole
    /// answer at once, so that a call that breaks is text from its beginning.
    #[must_use]
    pub fn only_whole(self) -> Self {
        Self { only_whole: true, ..self }
    }

    /// Whether the request has a tool with this name.
    pub(super) fn has(&self, name: &str) -> bool {
        self.names.iter().any(|known| known == name)
    }
}
