//! The parts of an answer, and a list of them in which neighbours are joined.

/// A part of an answer, in the order of the answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum AnswerEvent {
    /// More of what the model thinks.
    Reasoning(String),
    /// More of what it says.
    Text(String),
    /// A call of a tool begins. Its arguments and its end follow before the next event of another
    /// kind.
    CallBegan {
        /// The name of the tool.
        name: String,
    },
    /// More of the arguments of the call: together the text of a JSON object, or the beginning of
    /// one if the call breaks.
    CallArguments(String),
    /// The call is complete.
    CallEnded,
    /// The call breaks: it is none. A warning follows, and then its rest as text.
    CallBroken,
    /// Something could not be read, and is in the text as it was written.
    Warning(String),
}

/// Collects events. Text that belongs together becomes one event.
#[derive(Debug)]
pub(super) struct EventList<'e> {
    events: &'e mut Vec<AnswerEvent>,
    /// Number of events that were there before.
    n_before: usize,
    /// Whether texts are left out.
    is_bare: bool,
}

impl<'e> EventList<'e> {
    /// Collects into `events`, after those that are there.
    pub(super) fn new(events: &'e mut Vec<AnswerEvent>) -> Self {
        Self { n_before: events.len(), events, is_bare: false }
    }

    /// The same, with events whose texts are empty: for those who only want to know the kinds.
    pub(super) fn without_texts(events: &'e mut Vec<AnswerEvent>) -> Self {
        Self { is_bare: true, ..Self::new(events) }
    }

    pub(super) fn push(&mut self, event: AnswerEvent) {
        self.events.push(event);
    }

    pub(super) fn text(&mut self, added: &str) {
        let text = if self.is_bare { "" } else { added };
        match self.last() {
            Some(AnswerEvent::Text(last)) => last.push_str(text),
            _ if added.is_empty() => {}
            _ => self.push(AnswerEvent::Text(text.to_owned())),
        }
    }

    pub(super) fn reasoning(&mut self, added: &str) {
        let text = if self.is_bare { "" } else { added };
        match self.last() {
            Some(AnswerEvent::Reasoning(last)) => last.push_str(text),
            _ if added.is_empty() => {}
            _ => self.push(AnswerEvent::Reasoning(text.to_owned())),
        }
    }

    pub(super) fn arguments(&mut self, added: &str) {
        let text = if self.is_bare { "" } else { added };
        match self.last() {
            Some(AnswerEvent::CallArguments(last)) => last.push_str(text),
            _ if added.is_empty() => {}
            _ => self.push(AnswerEvent::CallArguments(text.to_owned())),
        }
    }

    /// The last event, if it is one of this list.
    fn last(&mut self) -> Option<&mut AnswerEvent> {
        if self.events.len() > self.n_before { self.events.last_mut() } else { None }
    }
}
