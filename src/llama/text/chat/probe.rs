//! Tries a chat template on conversations of marker words.

use std::borrow::Cow;

use crate::domain::Role;

use super::super::chat_template::{
    ChatTemplate, TemplateContent, TemplateConversation, TemplateMessage,
};
use super::super::special::SpecialTokens;
use super::answer::{MarkPair, RESPONSES, THINKING};

/// What is known about a template.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Probed {
    system: RoleSupport,
    /// The same for messages of developers, if the template has a name for them.
    developer: Option<RoleSupport>,
    user: RoleSupport,
    assistant: RoleSupport,
    /// Whether only one of several user messages in a row is written.
    pub(super) loses_repeated_questions: bool,
    /// Whether a system message is lost if the conversation has no other message.
    pub(super) loses_lone_system: bool,
    /// Whether several system messages at the beginning have to be one.
    pub(super) joins_instructions: bool,
    /// Whether system messages after other messages are lost.
    pub(super) loses_later_system: bool,
    /// Whether an answer with marks gets them a second time from the template.
    pub(super) doubles_marks: bool,
    /// What the template writes at the end, where the assistant answers, if that opens a part of
    /// the answer, and the mark that closes the part.
    opening: Option<(String, &'static str)>,
}

/// What a template makes of messages of a role.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RoleSupport {
    /// It writes content that is a string.
    Text,
    /// It writes content that is a list of parts, and no strings.
    Parts,
    /// It leaves their text out.
    Lost,
    /// It raises an error. What it says is for the client.
    Refused,
}

impl Probed {
    /// What the template makes of messages of `role`.
    pub(super) fn support(&self, role: Role) -> RoleSupport {
        match role {
            Role::System => self.system,
            Role::Developer => self.developer.unwrap_or(self.system),
            Role::User | Role::Tool => self.user,
            Role::Assistant => self.assistant,
        }
    }

    /// The role under which the template gets messages of `role`.
    pub(super) fn written_role(&self, role: Role) -> Role {
        let is_renamed = role == Role::Developer && self.developer.is_none();
        if is_renamed { Role::System } else { role }
    }

    /// The whole of an answer, of which the template may have written the first mark.
    pub(super) fn with_opening<'t>(&self, answer: &'t str) -> Cow<'t, str> {
        match &self.opening {
            Some((opening, end))
                if answer.contains(end) && !answer.contains(opening.trim_end()) =>
            {
                Cow::Owned(format!("{opening}{answer}"))
            }
            _ => Cow::Borrowed(answer),
        }
    }
}

/// Tries a template. Also returns a conversation up to where the assistant answers.
///
/// # Errors
/// One line that says why the template is of no use: it writes no question of a user.
pub(super) fn probe(prober: &mut Prober<'_>) -> Result<(Probed, Vec<TemplateMessage>), String> {
    let (user, first) = prober.user_support()?;
    let question = |word: &str| message(Role::User, user.content(word));
    let questions = [&first[..], &[question(FIRST)]].concat();
    let assistant = prober.support(&questions, Role::Assistant, &[question(SECOND)]);
    let system = prober.support(&[], Role::System, &[question(FIRST)]);
    let developer = prober
        .can_write("developer")
        .then(|| prober.support(&[], Role::Developer, &[question(FIRST)]));
    let instruction = |word: &str| message(Role::System, system.content(word));
    let loses_repeated_questions = prober.loses(&[&questions[..], &[question(SECOND)]].concat());
    let loses_lone_system = prober.loses(&[instruction(SYSTEM)]);
    let two_instructions = [instruction(SYSTEM), instruction(PROBE), question(FIRST)];
    let joins_instructions = system.is_written() && !prober.keeps(&two_instructions);
    let loses_later_system =
        prober.loses(&[question(FIRST), instruction(SYSTEM), question(SECOND)]);
    let mut answered = |answer: &str| {
        let answer = message(Role::Assistant, assistant.content(answer));
        let text = prober.render([&questions[..], &[answer, question(SECOND)]].concat())?;
        // What comes after the second question is the same for every answer.
        Some(text.split_once(FIRST)?.1.split_once(SECOND)?.0.to_owned())
    };
    let doubles_marks = doubles_marks(&mut answered);
    let opening = prober.render(questions.clone()).and_then(|text| opening(&text));
    let probed = Probed {
        system,
        developer: developer.filter(|support| support.is_written()),
        user,
        assistant,
        loses_repeated_questions,
        loses_lone_system,
        joins_instructions,
        loses_later_system,
        doubles_marks,
        opening,
    };
    Ok((probed, questions))
}

/// Whether a template writes marks around an answer that has none, and writes them again around an
/// answer that has some. `answered` renders an answer between two questions, and returns the text
/// between these.
fn doubles_marks(mut answered: impl FnMut(&str) -> Option<String>) -> bool {
    let Some(plain) = answered(PROBE) else { return false };
    [THINKING, RESPONSES].into_iter().flatten().any(|MarkPair { start, end }| {
        let n = plain.matches(end).count();
        let marked = format!("{start}\n{PROBE}\n{end}\n\n{PROBE}");
        n > 0 && answered(&marked).is_some_and(|text| text.matches(end).count() > n)
    })
}

/// The mark at the end of a rendered conversation that opens a part of the answer, with the white
/// space after it, and the mark that closes the part.
fn opening(text: &str) -> Option<(String, &'static str)> {
    let pair = THINKING.iter().find(|pair| text.trim_end().ends_with(pair.start))?;
    let at = text.rfind(pair.start)?;
    Some((text[at..].to_owned(), pair.end))
}

/// Renders conversations, and guards the marks that the template writes.
pub(super) struct Prober<'t> {
    template: &'t ChatTemplate,
    specials: &'t mut SpecialTokens,
    /// The first error.
    error: Option<String>,
}

impl<'t> Prober<'t> {
    /// For a template and the special tokens of the vocabulary.
    pub(super) fn new(template: &'t ChatTemplate, specials: &'t mut SpecialTokens) -> Self {
        Self { template, specials, error: None }
    }

    /// Whether the vocabulary has a special token with this text.
    pub(super) fn has_mark(&self, mark: &str) -> bool {
        self.specials.contains(mark)
    }

    /// Whether the source has a text with `part` that the template can write.
    pub(super) fn can_write(&self, part: &str) -> bool {
        self.template.literals().iter().any(|text| text.contains(part))
    }

    /// What the template makes of messages of a user, and what it wants before the first of them.
    fn user_support(&mut self) -> Result<(RoleSupport, Vec<TemplateMessage>), String> {
        let user = self.support(&[], Role::User, &[]);
        if user.is_written() {
            return Ok((user, Vec::new()));
        }
        // Some templates want a system message first.
        for form in [TemplateContent::Text, TemplateContent::Parts] {
            let system = message(Role::System, form(SYSTEM.to_owned()));
            let support = self.support(std::slice::from_ref(&system), Role::User, &[]);
            if support.is_written() {
                return Ok((support, vec![system]));
            }
        }
        Err(match self.error.take() {
            Some(error) if user == RoleSupport::Refused => error,
            _ => "the chat template leaves out what the user writes".to_owned(),
        })
    }

    /// What the template makes of a message of `role` between other messages.
    fn support(
        &mut self,
        before: &[TemplateMessage],
        role: Role,
        after: &[TemplateMessage],
    ) -> RoleSupport {
        let mut is_refused = false;
        for support in [RoleSupport::Text, RoleSupport::Parts] {
            let probe = message(role, support.content(PROBE));
            let conversation = [before, &[probe], after].concat();
            match self.render(conversation.clone()) {
                Some(text) if has_all(&text, &conversation) => return support,
                Some(_) => {}
                None => is_refused |= support == RoleSupport::Text,
            }
        }
        if is_refused { RoleSupport::Refused } else { RoleSupport::Lost }
    }

    /// Whether the template renders a conversation without one of its messages.
    fn loses(&mut self, conversation: &[TemplateMessage]) -> bool {
        self.render(conversation.to_vec()).is_some_and(|text| !has_all(&text, conversation))
    }

    /// Whether the template renders a conversation with all of its messages.
    fn keeps(&mut self, conversation: &[TemplateMessage]) -> bool {
        self.render(conversation.to_vec()).is_some_and(|text| has_all(&text, conversation))
    }

    /// Whether the template renders a conversation with these words.
    pub(super) fn writes(&mut self, conversation: TemplateConversation, words: &[&str]) -> bool {
        let text = self.render(conversation);
        text.is_some_and(|text| words.iter().all(|word| text.contains(word)))
    }

    pub(super) fn render(
        &mut self,
        conversation: impl Into<TemplateConversation>,
    ) -> Option<String> {
        match self.template.render(conversation) {
            Ok(text) => {
                self.specials.guard_marks_of_output(&text);
                Some(text)
            }
            Err(error) => {
                self.error.get_or_insert(error);
                None
            }
        }
    }
}

impl RoleSupport {
    /// Whether messages of the role are written.
    pub(super) fn is_written(self) -> bool {
        matches!(self, Self::Text | Self::Parts)
    }

    /// `text` in the form that the template reads.
    pub(super) fn content(self, text: &str) -> TemplateContent {
        match self {
            Self::Parts => TemplateContent::Parts(text.to_owned()),
            Self::Text | Self::Lost | Self::Refused => TemplateContent::Text(text.to_owned()),
        }
    }
}

/// Whether `text` has the words of all messages, in any case: a template may change that.
fn has_all(text: &str, conversation: &[TemplateMessage]) -> bool {
    let text = text.to_lowercase();
    conversation.iter().all(|message| text.contains(&message.text().to_lowercase()))
}

fn message(role: Role, content: TemplateContent) -> TemplateMessage {
    TemplateMessage::new(role, content)
}

// Words that no template contains.
pub(super) const PROBE: &str = "Qrobezx";
pub(super) const FIRST: &str = "Qfirstzx";
const SECOND: &str = "Qsecondzx";
const SYSTEM: &str = "Qsystemzx";
