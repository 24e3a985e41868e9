//! Reads grammars in llama.cpp's notation (GBNF).

use std::collections::HashMap;
use std::iter::Peekable;
use std::str::Chars;

/// A grammar.
#[derive(Debug)]
pub(super) struct Gbnf {
    /// The alternatives of each rule.
    pub(super) rules: Vec<Vec<Sequence>>,
    /// The name of each rule.
    pub(super) names: Vec<String>,
    /// The index of the rule `root`.
    pub(super) root: usize,
}

/// What follows each other.
pub(super) type Sequence = Vec<Item>;

/// A part of a rule.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Item {
    /// This text.
    Literal(String),
    /// A character of this class, as a regular expression.
    Class(String),
    /// What the rule with this index says.
    Rule(usize),
    /// One of these alternatives.
    Group(Vec<Sequence>),
    /// An item, repeated at least and at most so often.
    Repeat(Box<Self>, u32, Option<u32>),
}

/// Reads a grammar.
///
/// # Errors
/// What is wrong, and in which line.
pub(super) fn parse(text: &str) -> Result<Gbnf, String> {
    let mut parser = GbnfParser {
        chars: text.chars().peekable(),
        line: 1,
        names: HashMap::new(),
        rules: Vec::new(),
    };
    let parsed = parser.grammar();
    parsed.map_err(|reason| format!("line {}: {reason}", parser.line))?;
    let GbnfParser { names, rules, .. } = parser;
    let undefined = names.iter().find(|&(_, &rule)| rules[rule].is_none());
    if let Some((name, _)) = undefined {
        return Err(format!("there is no rule {name}"));
    }
    let root = *names.get("root").ok_or("there is no rule root")?;
    let mut by_index = vec![String::new(); rules.len()];
    names.into_iter().for_each(|(name, rule)| by_index[rule] = name);
    Ok(Gbnf { names: by_index, root, rules: rules.into_iter().flatten().collect() })
}

/// Reads one grammar.
struct GbnfParser<'a> {
    chars: Peekable<Chars<'a>>,
    /// The current line, counted from 1.
    line: usize,
    /// The index of each rule by its name.
    names: HashMap<String, usize>,
    /// The rules; `None` for one that was only mentioned.
    rules: Vec<Option<Vec<Sequence>>>,
}

impl GbnfParser<'_> {
    fn grammar(&mut self) -> Result<(), String> {
        self.skip(true);
        while self.chars.peek().is_some() {
            let name = self.name().ok_or_else(|| self.unexpected("the name of a rule"))?;
            self.skip(false);
            for expected in "::=".chars() {
                self.expect(expected)?;
            }
            let rule = self.rule_named(name);
            self.skip(true);
            let alternatives = self.alternatives(0)?;
            self.rules[rule] = Some(alternatives);
            self.skip(true);
        }
        Ok(())
    }

    /// Reads alternatives. Those within brackets (`depth` above 0) may go on in the next line.
    fn alternatives(&mut self, depth: usize) -> Result<Vec<Sequence>, String> {
        let mut alternatives = vec![self.sequence(depth)?];
        while self.chars.next_if_eq(&'|').is_some() {
            self.skip(true);
            alternatives.push(self.sequence(depth)?);
        }
        Ok(alternatives)
    }

    fn sequence(&mut self, depth: usize) -> Result<Sequence, String> {
        let mut items = Sequence::new();
        loop {
            let item = match self.chars.peek().copied() {
                Some('"') => Item::Literal(self.literal()?),
                Some('[') => Item::Class(self.class()?),
                Some('.') => {
                    self.chars.next();
                    Item::Class("(?s:.)".to_owned())
                }
                Some('(') => {
                    self.chars.next();
                    self.skip(true);
                    let group = Item::Group(self.alternatives(depth + 1)?);
                    self.expect(')')?;
                    group
                }
                Some('<' | '!') => return Err("tokens are not supported in gbnf".to_owned()),
                Some('|' | ')') => return Ok(items),
                Some(char) if is_name(char) => {
                    let name = self.name().unwrap_or_default();
                    Item::Rule(self.rule_named(name))
                }
                // Within brackets the line breaks are skipped.
                Some('\n') | None if depth == 0 => return Ok(items),
                _ => return Err(self.unexpected("a part of a rule")),
            };
            self.skip(depth > 0);
            items.push(self.repeated(item, depth)?);
            // A line break ends a rule, unless an alternative follows.
            if depth == 0 && self.chars.peek() == Some(&'\n') && self.continues_after_break() {
                self.skip(true);
            }
        }
    }

    /// Whether the next line that has something begins with `|`.
    fn continues_after_break(&self) -> bool {
        let rest = self.chars.clone();
        let mut is_comment = false;
        let first = rest.into_iter().find(|&char| {
            is_comment = (is_comment || char == '#') && char != '\n';
            !is_comment && !char.is_ascii_whitespace()
        });
        first == Some('|')
    }

    /// Reads what says how often `item` is repeated.
    fn repeated(&mut self, mut item: Item, depth: usize) -> Result<Item, String> {
        loop {
            let (min, max) = match self.chars.peek() {
                Some('*') => (0, None),
                Some('+') => (1, None),
                Some('?') => (0, Some(1)),
                Some('{') => {
                    self.chars.next();
                    let has_min = self.chars.peek() != Some(&',');
                    let min = if has_min { self.number()? } else { 0 };
                    let is_range = self.chars.next_if_eq(&',').is_some();
                    let is_open = is_range && self.chars.peek() == Some(&'}');
                    let max = match (is_range, is_open) {
                        (false, _) => Some(min),
                        (true, true) => None,
                        (true, false) => Some(self.number()?),
                    };
                    (min, max)
                }
                _ => return Ok(item),
            };
            self.chars.next();
            if max.is_some_and(|max| max < min) {
                return Err("a repetition has a maximum below its minimum".to_owned());
            }
            item = Item::Repeat(Box::new(item), min, max);
            self.skip(depth > 0);
        }
    }

    fn number(&mut self) -> Result<u32, String> {
        let mut digits = String::new();
        while let Some(digit) = self.chars.next_if(char::is_ascii_digit) {
            digits.push(digit);
        }
        digits.parse().map_err(|_| self.unexpected("a number"))
    }

    fn literal(&mut self) -> Result<String, String> {
        self.chars.next();
        let mut text = String::new();
        loop {
            match self.chars.next() {
                Some('"') => return Ok(text),
                Some('\\') => text.push(self.escaped()?),
                None => return Err("a literal has no end".to_owned()),
                Some(char) => {
                    self.line += usize::from(char == '\n');
                    text.push(char);
                }
            }
        }
    }

    /// Reads a class of characters, as a regular expression.
    fn class(&mut self) -> Result<String, String> {
        self.chars.next();
        let mut regex = "[".to_owned();
        if self.chars.next_if_eq(&'^').is_some() {
            regex.push('^');
        }
        loop {
            let first = match self.chars.next() {
                Some(']') => break,
                Some('\\') => self.escaped()?,
                Some('\n') | None => return Err("a class has no end".to_owned()),
                Some(char) => char,
            };
            regex.push_str(&code(first));
            if self.chars.peek() == Some(&'-') && self.chars.clone().nth(1) != Some(']') {
                self.chars.next();
                let last = match self.chars.next() {
                    Some('\\') => self.escaped()?,
                    Some(char) if char != '\n' => char,
                    _ => return Err("a class has no end".to_owned()),
                };
                regex.push('-');
                regex.push_str(&code(last));
            }
        }
        if regex.len() <= 2 {
            return Err("a class has no characters".to_owned());
        }
        regex.push(']');
        Ok(regex)
    }

    /// Reads what follows a backslash.
    fn escaped(&mut self) -> Result<char, String> {
        let n_digits = match self.chars.next() {
            Some('n') => return Ok('\n'),
            Some('r') => return Ok('\r'),
            Some('t') => return Ok('\t'),
            Some('x') => 2,
            Some('u') => 4,
            Some('U') => 8,
            Some(char @ ('"' | '\\' | '[' | ']')) => return Ok(char),
            _ => return Err("a backslash is followed by n, r, t, x, u, U, \", \\, [ or ]".into()),
        };
        let digits: String = (0..n_digits).filter_map(|_| self.chars.next()).collect();
        let number = u32::from_str_radix(&digits, 16).ok();
        number.and_then(char::from_u32).ok_or_else(|| format!("{digits} is no character"))
    }

    fn name(&mut self) -> Option<String> {
        let mut name = String::new();
        while let Some(char) = self.chars.next_if(|&char| is_name(char)) {
            name.push(char);
        }
        (!name.is_empty()).then_some(name)
    }

    /// The index of the rule `name`, which may be defined later.
    fn rule_named(&mut self, name: String) -> usize {
        let next = self.rules.len();
        let rule = *self.names.entry(name).or_insert(next);
        if rule == next {
            self.rules.push(None);
        }
        rule
    }

    /// Skips white space and comments, and also line breaks if `with_breaks`.
    fn skip(&mut self, with_breaks: bool) {
        while let Some(&char) = self.chars.peek() {
            match char {
                '#' => while self.chars.next_if(|&char| char != '\n').is_some() {},
                '\n' if with_breaks => {
                    self.line += 1;
                    self.chars.next();
                }
                ' ' | '\t' | '\r' => drop(self.chars.next()),
                _ => return,
            }
        }
    }

    fn expect(&mut self, expected: char) -> Result<(), String> {
        match self.chars.next_if_eq(&expected) {
            Some(_) => Ok(()),
            None => Err(self.unexpected(&expected.to_string())),
        }
    }

    fn unexpected(&mut self, expected: &str) -> String {
        match self.chars.peek() {
            Some(found) => format!("{expected} is expected, not {}", found.escape_default()),
            None => format!("{expected} is expected, not the end"),
        }
    }
}

/// Whether names of rules have this character.
fn is_name(char: char) -> bool {
    char.is_ascii_alphanumeric() || char == '-' || char == '_'
}

/// A character of a class in a regular expression.
fn code(char: char) -> String {
    format!("\\x{{{:x}}}", u32::from(char))
}
