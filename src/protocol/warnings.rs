//! The warnings of a request: what it has that the server ignores.
//!
//! Each warning names a field and says what to do: send it in another place, under another name,
//! or not at all. The number of warnings and their length are bounded, whatever was sent. While a
//! frame is parsed only names are collected, since most of the work is finding similar ones.

use strsim::damerau_levenshtein;

use super::json::Quoted;
use super::names::{
    FOREIGN_FIELDS, FORMAT_FIELDS, FRAME_FIELDS, FieldAdvice, MESSAGE_FIELDS, PARAM_FIELDS,
};

/// An object of a frame, whose fields are known by name.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Place {
    /// The frame itself.
    Frame,
    /// The object `params`.
    Params,
    /// The entry of `messages` with this index.
    Message(usize),
    /// The object `format`.
    Format,
}

/// The warnings of one request.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct Warnings {
    /// The place and the shortened name of each ignored field.
    named: Vec<(Place, String)>,
    /// Whether there were more than [`MAX_FIELDS`].
    has_more: bool,
}

impl Warnings {
    /// Warns of the unknown field `name` of `place`. Of equal fields, also of several messages,
    /// only the first gets a warning.
    pub(super) fn add_unknown(&mut self, place: Place, name: &str) {
        if self.has_more {
            return;
        }
        let name = shortened(name);
        let is_same = |(named, same): &(Place, String)| same == name && place.is_like(*named);
        if self.named.iter().any(is_same) {
            return;
        }
        if self.named.len() == MAX_FIELDS {
            self.has_more = true;
        } else {
            self.named.push((place, name.to_owned()));
        }
    }

    /// The texts for the `end` frame.
    pub fn texts(&self) -> Vec<String> {
        let text = |(place, name): &(Place, String)| {
            format!("{} is ignored: {}", place.path_of(name), reason(*place, name))
        };
        let more = self.has_more.then(|| "more unknown fields are ignored".to_owned());
        self.named.iter().map(text).chain(more).collect()
    }
}

impl Place {
    /// The names of its fields.
    pub(super) fn fields(self) -> &'static [&'static str] {
        match self {
            Self::Frame => FRAME_FIELDS,
            Self::Params => PARAM_FIELDS,
            Self::Message(_) => MESSAGE_FIELDS,
            Self::Format => FORMAT_FIELDS,
        }
    }

    /// Whether both are the frame, `params`, or messages.
    fn is_like(self, other: Self) -> bool {
        std::mem::discriminant(&self) == std::mem::discriminant(&other)
    }

    /// A field of this place, as a client addresses it.
    fn path_of(self, name: &str) -> String {
        let is_plain = |char: char| char.is_ascii_alphanumeric() || char == '_' || char == '-';
        let name = match name.is_empty() || !name.chars().all(is_plain) {
            true => Quoted(name).to_string(),
            false => name.to_owned(),
        };
        match self {
            Self::Frame => name,
            Self::Params => format!("params.{name}"),
            Self::Message(index) => format!("messages[{index}].{name}"),
            Self::Format => format!("format.{name}"),
        }
    }

    /// Where its fields belong, as the end of a sentence that begins with "send it".
    fn direction(self, from: Self) -> &'static str {
        match (self, from) {
            (Self::Params, _) => "in params",
            (Self::Message(_), _) => "in the entries of messages",
            (Self::Format, _) => "in format",
            (Self::Frame, Self::Params | Self::Format) => "beside params",
            (Self::Frame, _) => "beside messages",
        }
    }
}

/// Why the unknown field `name` of `place` is ignored, and what to do.
fn reason(place: Place, name: &str) -> String {
    let others = [Place::Frame, Place::Params, Place::Message(0)].into_iter();
    let mut others = others.filter(|other| !other.is_like(place));
    if let Some(other) = others.clone().find(|other| other.fields().contains(&name)) {
        return format!("send it {}", other.direction(place));
    }
    match FOREIGN_FIELDS.iter().find(|(foreign, _)| letters(foreign).eq(letters(name))) {
        Some((_, FieldAdvice::Send(field))) => return format!("send {field} instead"),
        Some((_, FieldAdvice::Note(note))) => return (*note).to_owned(),
        Some((_, FieldAdvice::Unsupported)) => return "it is not supported".to_owned(),
        None => {}
    }
    let letters: String = letters(name).collect();
    let similar = nearest(place, &letters);
    match similar.or_else(|| others.find_map(|place| nearest(place, &letters))) {
        Some(path) => format!("there is no such field; did you mean {path}?"),
        None => "there is no such field".to_owned(),
    }
}

/// The field of `place` whose letters are nearest to `letters`, if they are similar.
fn nearest(place: Place, letters: &str) -> Option<String> {
    let n_letters = letters.chars().count();
    let distances = place.fields().iter().map(|field| {
        let distance = damerau_levenshtein(letters, &self::letters(field).collect::<String>());
        (distance, field)
    });
    let (distance, field) = distances.min_by_key(|&(distance, _)| distance)?;
    // One edit in names of three to five letters, up to three in long ones.
    (distance <= (n_letters / 3).min(3)).then(|| match place {
        Place::Message(_) => (*field).to_owned(),
        Place::Frame | Place::Params | Place::Format => place.path_of(field),
    })
}

/// The letters and digits of a name in lower case, so that `maxTokens` and `max-tokens` are alike.
fn letters(name: &str) -> impl Iterator<Item = char> {
    name.chars().filter(|char| char.is_alphanumeric()).flat_map(char::to_lowercase)
}

/// The first characters of a client's text.
fn shortened(text: &str) -> &str {
    let end = text.char_indices().nth(MAX_NAME_CHARS).map_or(text.len(), |(end, _)| end);
    &text[..end]
}

/// Most fields that get a warning of their own.
const MAX_FIELDS: usize = 8;

/// Most characters of an unknown name in a warning. The longest known name has 21.
const MAX_NAME_CHARS: usize = 40;
