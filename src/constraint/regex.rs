//! Turns regular expressions of ECMA-262 (JavaScript) into those of the regex crate.
//!
//! JSON Schema prescribes ECMA-262 for `pattern`, and clients expect its meaning elsewhere too. The
//! syntaxes are alike, but `\d`, `\w`, `.` and classes such as `[a&&b]` have another meaning in the
//! regex crate. What comes out has no escapes but those of characters, so that llguidance does not
//! change it again. What cannot be expressed is refused with its position. In strings of JSON
//! (`RegexScope::Part`) no control characters match that could be written as `\u00…` only.

use std::fmt::Write;

use super::regex_class::{ANY, Atom, NOT_BREAK, escape, is_writable, push_char, writable_class};

/// How an expression is applied to a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum RegexScope {
    /// It has to match the whole text, so that anchors around it say nothing.
    Whole,
    /// It has to match a part of the text, unless it has anchors.
    Part,
}

/// The expression of the regex crate that means what `regex` means in ECMA-262.
///
/// # Errors
/// What is wrong or not supported, and at which character, counted from 1.
pub(super) fn translate(regex: &str, scope: RegexScope) -> Result<String, String> {
    let mut translator = RegexTranslator {
        chars: regex.chars().collect(),
        at: 0,
        scope,
        out: String::new(),
        groups: Vec::new(),
        has_dot_all: false,
        can_repeat: false,
        begins_branch: true,
    };
    while translator.at < translator.chars.len() {
        let position = translator.at + 1;
        translator.step().map_err(|reason| format!("character {position}: {reason}"))?;
    }
    match translator.groups.last() {
        Some(group) => Err(format!("character {}: the group has no end: add )", group.position)),
        None => Ok(translator.out),
    }
}

/// Translates one expression.
struct RegexTranslator {
    chars: Vec<char>,
    /// The index of the next character.
    at: usize,
    scope: RegexScope,
    out: String,
    /// The groups that are open.
    groups: Vec<OpenGroup>,
    /// Whether `.` matches line breaks too.
    has_dot_all: bool,
    /// Whether there is something before that a repetition can be about.
    can_repeat: bool,
    /// Whether nothing but flags came before in this alternative.
    begins_branch: bool,
}

/// A group that has not ended yet.
struct OpenGroup {
    /// Of its bracket, counted from 1.
    position: usize,
    /// What applies again after it.
    has_dot_all: bool,
}

impl RegexTranslator {
    /// Translates what begins with the next character.
    fn step(&mut self) -> Result<(), String> {
        let char = self.chars[self.at];
        self.at += 1;
        let begins_branch = std::mem::replace(&mut self.begins_branch, false);
        match char {
            '\\' => self.escape()?,
            '[' => self.class()?,
            '(' => return self.open(begins_branch),
            ')' => {
                let group = self.groups.pop().ok_or("a ) ends no group: write \\)")?;
                self.has_dot_all = group.has_dot_all;
                self.out.push(')');
            }
            '|' => {
                self.out.push('|');
                self.begins_branch = true;
                self.can_repeat = false;
                return Ok(());
            }
            '^' | '$' => return self.anchor(char, begins_branch),
            '.' => self.out.push_str(if self.has_dot_all { ANY } else { NOT_BREAK }),
            '*' | '+' | '?' => return self.repeat(&char.to_string()),
            '{' => match self.bounds()? {
                Some(bounds) => return self.repeat(&bounds),
                None => push_char(&mut self.out, '{'),
            },
            _ => self.push_literal(char)?,
        }
        self.can_repeat = true;
        Ok(())
    }

    /// Takes the next character if it is `expected`.
    fn take(&mut self, expected: char) -> bool {
        let is_next = self.chars.get(self.at) == Some(&expected);
        self.at += usize::from(is_next);
        is_next
    }

    fn escape(&mut self) -> Result<(), String> {
        match escape(&self.chars, &mut self.at, false)? {
            Atom::Char(char) => return self.push_literal(char),
            Atom::Class(class) if self.scope == RegexScope::Part => {
                self.out.push_str(&writable_class(&class));
            }
            Atom::Class(class) => self.out.push_str(&class),
        }
        Ok(())
    }

    /// Appends a character that stands for itself.
    fn push_literal(&mut self, char: char) -> Result<(), String> {
        if self.scope == RegexScope::Part && !is_writable(char) {
            let number = u32::from(char);
            return Err(format!("the control character U+{number:04X} cannot be in an answer"));
        }
        push_char(&mut self.out, char);
        Ok(())
    }

    /// Translates a class of characters, of which the first bracket is read.
    fn class(&mut self) -> Result<(), String> {
        let is_negated = self.take('^');
        if self.take(']') {
            if is_negated {
                self.out.push_str(ANY);
                return Ok(());
            }
            return Err("a class without characters matches nothing".to_owned());
        }
        let start = self.out.len();
        let mut can_be_written = is_negated;
        self.out.push_str(if is_negated { "[^" } else { "[" });
        while !self.take(']') {
            let first = self.atom()?;
            let is_range = self.chars.get(self.at) == Some(&'-')
                && !matches!(self.chars.get(self.at + 1), Some(']') | None);
            match first {
                Atom::Char(first) if is_range => {
                    self.at += 1;
                    push_char(&mut self.out, first);
                    match self.atom()? {
                        Atom::Char(last) if last < first => {
                            return Err(format!("the range {first}-{last} is out of order"));
                        }
                        Atom::Char(last) => {
                            can_be_written |= (first..=last).any(is_writable);
                            self.out.push('-');
                            push_char(&mut self.out, last);
                        }
                        Atom::Class(_) => {
                            return Err("a range ends with a character: write \\-".to_owned());
                        }
                    }
                }
                Atom::Char(char) => {
                    can_be_written |= is_writable(char);
                    push_char(&mut self.out, char);
                }
                Atom::Class(class) => {
                    can_be_written = true;
                    self.out.push_str(&class);
                }
            }
        }
        self.out.push(']');
        if self.scope == RegexScope::Part {
            if !can_be_written {
                return Err("the control characters of the class cannot be in an answer".into());
            }
            let class = self.out.split_off(start);
            self.out.push_str(&writable_class(&class));
        }
        Ok(())
    }

    /// The next character or escape of a class.
    fn atom(&mut self) -> Result<Atom, String> {
        let char = *self.chars.get(self.at).ok_or("the class has no end: add ]")?;
        self.at += 1;
        match char {
            '\\' => escape(&self.chars, &mut self.at, true),
            '[' if matches!(self.chars.get(self.at), Some(':' | '=' | '.')) => {
                Err("POSIX classes are not supported: write the characters".to_owned())
            }
            _ => Ok(Atom::Char(char)),
        }
    }

    /// Translates the begin of a group, of which the bracket is read.
    fn open(&mut self, begins_branch: bool) -> Result<(), String> {
        let group = OpenGroup { position: self.at, has_dot_all: self.has_dot_all };
        self.can_repeat = false;
        if self.take('?') {
            let kind = self.chars.get(self.at).copied();
            let next = self.chars.get(self.at + 1).copied();
            match (kind, next) {
                (Some('='), _) | (Some('!'), _) | (Some('<'), Some('=' | '!')) => {
                    return Err("lookaround is not supported".to_owned());
                }
                (Some('<'), _) | (Some('P'), Some('<')) => {
                    // Names mean nothing here, but llguidance knows one that does.
                    let rest = self.chars[self.at..].iter();
                    let end = rest.take_while(|&&char| char != '>').count();
                    self.at = (self.at + end + 1).min(self.chars.len());
                }
                (Some(':'), _) => self.at += 1,
                (Some('i' | 's'), _) => return self.flags(group, begins_branch),
                _ => return Err("this kind of group is not supported: write (?:".to_owned()),
            }
        }
        self.out.push_str("(?:");
        self.groups.push(group);
        self.begins_branch = true;
        Ok(())
    }

    /// Translates flags, for a group or for the rest of the one around them.
    fn flags(&mut self, group: OpenGroup, begins_branch: bool) -> Result<(), String> {
        let mut ignores_case = false;
        loop {
            let flag = self.chars.get(self.at).copied();
            self.at += 1;
            match flag {
                Some('i') => ignores_case = true,
                Some('s') => self.has_dot_all = true,
                Some(end @ (':' | ')')) => {
                    let flags = if ignores_case { "(?i" } else { "(?" };
                    match (end, ignores_case) {
                        (':', _) => {
                            let _ = write!(self.out, "{flags}:");
                            self.groups.push(group);
                            self.begins_branch = true;
                        }
                        (_, true) => self.out.push_str("(?i)"),
                        (_, false) => {}
                    }
                    self.begins_branch |= begins_branch;
                    return Ok(());
                }
                _ => return Err("the only flags are i and s".to_owned()),
            }
        }
    }

    /// Translates `^` or `$`.
    fn anchor(&mut self, anchor: char, begins_branch: bool) -> Result<(), String> {
        let ends_branch = matches!(self.chars.get(self.at), None | Some('|'));
        let is_outside = if anchor == '^' { begins_branch } else { ends_branch };
        match self.scope {
            RegexScope::Part => self.out.push(anchor),
            RegexScope::Whole if self.groups.is_empty() && is_outside => {}
            RegexScope::Whole => {
                let reason = "matches only at the ends, and the whole answer has to match anyway: \
                              leave it out";
                return Err(format!("{anchor} {reason}"));
            }
        }
        self.can_repeat = false;
        self.begins_branch = begins_branch && anchor == '^';
        Ok(())
    }

    /// Translates a repetition. Lazy ones match the same texts as others.
    fn repeat(&mut self, repetition: &str) -> Result<(), String> {
        if !std::mem::replace(&mut self.can_repeat, false) {
            return Err(format!("there is nothing before {repetition} that it could repeat"));
        }
        self.out.push_str(repetition);
        self.take('?');
        Ok(())
    }

    /// Reads the bounds of a repetition, of which the first bracket is read; `None` if it is no
    /// repetition but a character.
    fn bounds(&mut self) -> Result<Option<String>, String> {
        let rest = &self.chars[self.at..];
        let Some(end) = rest.iter().position(|&char| char == '}') else { return Ok(None) };
        let bounds: String = rest[..end].iter().collect();
        let is_number = |text: &str| !text.is_empty() && text.bytes().all(|b| b.is_ascii_digit());
        let (least, most) = match bounds.split_once(',') {
            Some(("", most)) if is_number(most) => {
                return Err(format!("a repetition has a least number: write {{0,{most}}}"));
            }
            Some((least, most)) if is_number(least) && (most.is_empty() || is_number(most)) => {
                (least, most)
            }
            None if is_number(&bounds) => (bounds.as_str(), bounds.as_str()),
            _ => return Ok(None),
        };
        if let (Ok(least), Ok(most)) = (least.parse::<u64>(), most.parse::<u64>())
            && least > most
        {
            return Err(format!("the repetition {{{bounds}}} has its numbers out of order"));
        }
        self.at += end + 1;
        Ok(Some(format!("{{{bounds}}}")))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn whole(regex: &str) -> Result<String, String> {
        translate(regex, RegexScope::Whole)
    }

    #[test]
    fn expression_keeps_its_meaning_in_the_other_syntax() {
        for (regex, expected) in [
            (r"^[A-Z]\d{3}$", r"[A-Z][0-9]{3}"),
            (r"\w+?\D*", "[0-9A-Za-z_]+[^0-9]*"),
            (r"\[.*]", r"\x{5b}[^\x{a}\x{d}\x{2028}\x{2029}]*\x{5d}"),
            (r"a.c", r"a[^\x{a}\x{d}\x{2028}\x{2029}]c"),
            (r"(?s)a.c", r"a(?s:.)c"),
            (r"(?i)^ab|c$", "(?i)ab|c"),
            (r"(?<year>\d)(?P<stop>x)", "(?:[0-9])(?:x)"),
            (r"[a&&b[-]", r"[a\x{26}\x{26}b\x{5b}\x{2d}]"),
            (r"[\d-x]", r"[[0-9]\x{2d}x]"),
            (r"a\{,x\}{2}", r"a\x{7b}\x{2c}x\x{7d}{2}"),
            (r"\u{1F600}\uD83D\uDE00\x41\0\cA", r"\x{1f600}\x{1f600}A\x{0}\x{1}"),
            (r"\p{Lu}\/[^]", r"\p{Lu}\x{2f}(?s:.)"),
            ("é\n", "\\x{e9}\\x{a}"),
        ] {
            assert_eq!(whole(regex).as_deref(), Ok(expected), "{regex}");
        }
        assert_eq!(translate("^a|b$", RegexScope::Part).as_deref(), Ok("^a|b$"));
    }

    #[test]
    fn fault_is_named_with_its_position() {
        for (regex, expected) in [
            ("a(b", "character 2: the group has no end: add )"),
            ("ab)", "character 3: a ) ends no group: write \\)"),
            ("a[b", "character 2: the class has no end: add ]"),
            ("*a", "character 1: there is nothing before * that it could repeat"),
            ("a**", "character 3: there is nothing before * that it could repeat"),
            ("a{3,2}", "character 2: the repetition {3,2} has its numbers out of order"),
            ("a{,2}", "character 2: a repetition has a least number: write {0,2}"),
            ("[z-a]", "character 1: the range z-a is out of order"),
            ("a(?=b)", "character 2: lookaround is not supported"),
            ("a(?<!b)", "character 2: lookaround is not supported"),
            ("(a)\\1", "character 4: \\1 is not supported: write the text again"),
            ("\\bword", "character 1: \\b is not supported"),
            ("a\\", "character 2: the expression ends with a backslash: write \\\\"),
            ("[[:alpha:]]", "character 1: POSIX classes are not supported: write the characters"),
            ("(?m)a", "character 1: this kind of group is not supported: write (?:"),
            ("(?ix)a", "character 1: the only flags are i and s"),
            ("\\uD83D", "character 1: \\u has no character with this number"),
        ] {
            assert_eq!(whole(regex).unwrap_err(), expected, "{regex}");
        }
        let part = |regex| translate(regex, RegexScope::Part).unwrap_err();
        assert_eq!(
            part("a\\u0001"),
            "character 2: the control character U+0001 cannot be in an answer"
        );
        assert_eq!(
            part("[\\x00-\\x07\\x7f]"),
            "character 1: the control characters of the class cannot be in an answer"
        );
        assert!(whole("(^a)b").unwrap_err().starts_with("character 2: ^ matches only at the ends"));
    }
}
