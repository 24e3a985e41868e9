//! Turns grammars in llama.cpp's notation (GBNF) into Lark.
//!
//! GBNF has no terminals: every character is one. A rule that does not contain itself becomes a
//! terminal, which is matched as far as possible, and other rules stay rules. So a grammar without
//! recursion keeps its exact meaning. In others, a terminal may take what was meant for the text
//! after it: such an answer is not generated, though the grammar allows it.

use std::fmt::Write;

use super::fault::literal;
use super::gbnf_parser::{Gbnf, Item, Sequence, parse};

/// The Lark grammar for a GBNF grammar.
///
/// # Errors
/// What is wrong with the grammar.
pub(super) fn lark_of(text: &str) -> Result<String, String> {
    let grammar = parse(text)?;
    let n_rules = grammar.rules.len();
    let contained: Vec<Vec<usize>> = grammar.rules.iter().map(|rule| rules_in(rule)).collect();
    let is_recursive: Vec<bool> = (0..n_rules).map(|rule| reaches(&contained, rule)).collect();
    // What contains a recursive rule cannot be a terminal either.
    let is_terminal = fixpoint(n_rules, |rule, is_not: &[bool]| {
        is_recursive[rule] || contained[rule].iter().any(|&inner| is_not[inner])
    });
    let is_terminal: Vec<bool> = is_terminal.into_iter().map(|is_not| !is_not).collect();
    let can_be_empty = fixpoint(n_rules, |rule, is_empty: &[bool]| {
        grammar.rules[rule].iter().any(|sequence| can_be_empty(sequence, is_empty))
    });
    let ends = fixpoint(n_rules, |rule, ends: &[bool]| {
        grammar.rules[rule].iter().any(|sequence| can_end(sequence, ends))
    });
    if let Some(rule) = ends.iter().position(|ends| !ends) {
        let name = &grammar.names[rule];
        return Err(format!(
            "the rule {name} contains itself, and only a text without end fits it"
        ));
    }
    Ok(LarkWriter { grammar: &grammar, is_terminal, can_be_empty }.lark())
}

/// Writes a grammar as Lark.
struct LarkWriter<'a> {
    grammar: &'a Gbnf,
    /// Whether each rule is a terminal.
    is_terminal: Vec<bool>,
    /// Whether each rule matches the empty text.
    can_be_empty: Vec<bool>,
}

impl LarkWriter<'_> {
    fn lark(&self) -> String {
        let mut lark = format!("start: {}\n", self.reference(self.grammar.root));
        for (rule, alternatives) in self.grammar.rules.iter().enumerate() {
            let body = self.alternatives(alternatives, self.is_terminal[rule]);
            // Writing to a string cannot fail.
            let _ = if !self.is_terminal[rule] {
                writeln!(lark, "r{rule}: {body}")
            } else if self.can_be_empty[rule] {
                // A terminal must not be empty.
                writeln!(lark, "T{rule}: ({body}) & /(?s:.+)/\nE{rule}: {body}")
            } else {
                writeln!(lark, "T{rule}: {body}")
            };
        }
        lark
    }

    /// What stands for a rule in another rule.
    fn reference(&self, rule: usize) -> String {
        match (self.is_terminal[rule], self.can_be_empty[rule]) {
            (false, _) => format!("r{rule}"),
            (true, false) => format!("T{rule}"),
            (true, true) => format!("T{rule}?"),
        }
    }

    fn alternatives(&self, alternatives: &[Sequence], is_in_terminal: bool) -> String {
        let sequences = alternatives.iter().map(|sequence| match sequence.as_slice() {
            [] => "\"\"".to_owned(),
            items => {
                let items = items.iter().map(|item| self.item(item, is_in_terminal));
                items.collect::<Vec<_>>().join(" ")
            }
        });
        sequences.collect::<Vec<_>>().join(" | ")
    }

    fn item(&self, item: &Item, is_in_terminal: bool) -> String {
        match item {
            Item::Literal(text) => literal(text),
            Item::Class(regex) => format!("/{regex}/"),
            Item::Rule(rule) if !is_in_terminal => self.reference(*rule),
            Item::Rule(rule) if self.can_be_empty[*rule] => format!("E{rule}"),
            Item::Rule(rule) => format!("T{rule}"),
            Item::Group(alternatives) => {
                format!("({})", self.alternatives(alternatives, is_in_terminal))
            }
            Item::Repeat(item, min, max) => {
                let item = self.item(item, is_in_terminal);
                match max {
                    Some(max) => format!("({item}){{{min},{max}}}"),
                    None if *min == 0 => format!("({item})*"),
                    None if *min == 1 => format!("({item})+"),
                    None => format!("({item}){{{min},}}"),
                }
            }
        }
    }
}

/// The rules that a rule mentions.
fn rules_in(alternatives: &[Sequence]) -> Vec<usize> {
    fn collect(item: &Item, found: &mut Vec<usize>) {
        match item {
            Item::Rule(rule) => found.push(*rule),
            Item::Group(alternatives) => {
                alternatives.iter().flatten().for_each(|item| collect(item, found));
            }
            Item::Repeat(item, ..) => collect(item, found),
            Item::Literal(_) | Item::Class(_) => {}
        }
    }
    let mut found = Vec::new();
    alternatives.iter().flatten().for_each(|item| collect(item, &mut found));
    found.sort_unstable();
    found.dedup();
    found
}

/// Whether a rule contains itself.
fn reaches(contained: &[Vec<usize>], rule: usize) -> bool {
    let mut is_found = vec![false; contained.len()];
    let mut open = contained[rule].clone();
    while let Some(next) = open.pop() {
        if next == rule {
            return true;
        }
        if !std::mem::replace(&mut is_found[next], true) {
            open.extend_from_slice(&contained[next]);
        }
    }
    false
}

/// The smallest set of rules that contains each rule for which `holds` says so, given the set.
fn fixpoint(n_rules: usize, holds: impl Fn(usize, &[bool]) -> bool) -> Vec<bool> {
    let mut set = vec![false; n_rules];
    loop {
        let added: Vec<usize> =
            (0..n_rules).filter(|&rule| !set[rule] && holds(rule, &set)).collect();
        if added.is_empty() {
            return set;
        }
        added.into_iter().for_each(|rule| set[rule] = true);
    }
}

/// Whether a sequence matches the empty text, given which rules do.
fn can_be_empty(sequence: &[Item], is_empty: &[bool]) -> bool {
    sequence.iter().all(|item| match item {
        Item::Literal(text) => text.is_empty(),
        Item::Class(_) => false,
        Item::Rule(rule) => is_empty[*rule],
        Item::Group(alternatives) => {
            alternatives.iter().any(|sequence| can_be_empty(sequence, is_empty))
        }
        Item::Repeat(item, min, _) => {
            *min == 0 || can_be_empty(std::slice::from_ref(item), is_empty)
        }
    })
}

/// Whether a text with an end fits a sequence, given which rules such a text is known to fit.
fn can_end(sequence: &[Item], ends: &[bool]) -> bool {
    sequence.iter().all(|item| match item {
        Item::Literal(_) | Item::Class(_) => true,
        Item::Rule(rule) => ends[*rule],
        Item::Group(alternatives) => alternatives.iter().any(|sequence| can_end(sequence, ends)),
        Item::Repeat(item, min, _) => *min == 0 || can_end(std::slice::from_ref(item), ends),
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn grammar_without_recursion_is_one_terminal() {
        let lark = lark_of("root ::= \"a\\n\" x{2,3} # end\nx ::= [^a-c\\]]+ | \"b\"?").unwrap();
        let expected = "start: T0\nT0: \"a\\n\" (E1){2,3}\n\
            T1: ((/[^\\x{61}-\\x{63}\\x{5d}]/)+ | (\"b\"){0,1}) & /(?s:.+)/\n\
            E1: (/[^\\x{61}-\\x{63}\\x{5d}]/)+ | (\"b\"){0,1}\n";
        assert_eq!(lark, expected);
    }

    #[test]
    fn recursive_rule_stays_a_rule() {
        let lark = lark_of("root ::= \"(\" root \")\" |\n  word\nword ::= [a-z]+\n").unwrap();
        let expected = "start: r0\nr0: \"(\" r0 \")\" | T1\nT1: (/[\\x{61}-\\x{7a}]/)+\n";
        assert_eq!(lark, expected);
    }

    #[test]
    fn fault_is_named_with_its_line() {
        for (grammar, reason) in [
            ("", "there is no rule root"),
            ("root ::= a", "there is no rule a"),
            ("root ::= \"a", "line 1: a literal has no end"),
            ("root ::= \"a\n\" [b", "line 2: a class has no end"),
            (
                "root ::= [a-z] root",
                "the rule root contains itself, and only a text without end fits it",
            ),
            (
                "root ::= \"a\" x?\nx ::= \"b\" y\ny ::= x",
                "the rule x contains itself, and only a text without end fits it",
            ),
            ("root ::= \"a\"\nb ::= []", "line 2: a class has no characters"),
            ("root ::= \"a\"{3,2}", "line 1: a repetition has a maximum below its minimum"),
            ("root ::= (\"a\"", "line 1: a part of a rule is expected, not the end"),
            ("root = \"a\"", "line 1: : is expected, not ="),
            ("root ::= <think>", "line 1: tokens are not supported in gbnf"),
            (
                "root ::= \"\\q\"",
                "line 1: a backslash is followed by n, r, t, x, u, U, \", \\, [ or ]",
            ),
        ] {
            assert_eq!(lark_of(grammar).unwrap_err(), reason, "{grammar}");
        }
    }
}
