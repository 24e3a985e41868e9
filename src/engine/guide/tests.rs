//! Guides of answers over the vocabulary of the scripted model, in which each byte is a token.

use super::*;
use crate::scripted::{END_TOKEN, ScriptedVocabulary};

/// Allows the bytes of a text, one after the other.
#[derive(Debug)]
struct Exactly(Vec<Token>);

impl AnswerConstraint for Exactly {
    fn allowed(&mut self) -> Result<AllowedTokens<'_>, String> {
        Ok(self.0.first().map_or(AllowedTokens::Nothing, |&token| AllowedTokens::Only(token)))
    }

    fn forced(&mut self) -> &[Token] {
        &self.0
    }

    fn accept(&mut self, token: Token) -> Result<(), String> {
        if self.0.first() != Some(&token) {
            return Err(format!("{token} was not allowed"));
        }
        self.0.remove(0);
        Ok(())
    }
}

/// A guide for the answer `text` (none if empty) of a model that thinks between `(` and `)!`.
fn guide(text: &str, budget: Option<u32>, is_thinking: bool) -> Option<AnswerGuide> {
    let marks = ThinkingStyle::Marks { start: "(".to_owned(), end: ")!".to_owned() };
    guide_of(Some(marks), text, budget, is_thinking)
}

fn guide_of(
    thinking: Option<ThinkingStyle>,
    text: &str,
    budget: Option<u32>,
    is_thinking: bool,
) -> Option<AnswerGuide> {
    let constraint = Exactly(text.bytes().map(Token::from).collect());
    let constraint = (!text.is_empty()).then(|| Box::new(constraint) as Box<dyn AnswerConstraint>);
    let style = AnswerStyle { thinking, ..AnswerStyle::default() };
    let start = (&style, AnswerStart { is_thinking });
    AnswerGuide::new(constraint, budget, start, &ScriptedVocabulary, &PromptLimit::none()).unwrap()
}

/// Has a guide accept `text`. Returns whether the answer is complete.
fn accept(guide: &mut AnswerGuide, text: &str) -> bool {
    let accept = |byte: u8| guide.accept(Token::from(byte), &[byte]).unwrap();
    text.bytes().map(accept).last().unwrap()
}

/// Whether the guide allows each of `tokens` next.
fn allows(guide: &mut AnswerGuide, token: impl Into<Token>) -> bool {
    let token = token.into();
    match guide.allowed().unwrap() {
        AllowedTokens::Any => true,
        AllowedTokens::Only(only) => only == token,
        AllowedTokens::Of(set) => set.contains(token),
        AllowedTokens::Nothing => false,
    }
}

#[test]
fn answer_without_constraint_and_budget_needs_no_guide() {
    assert!(guide("", None, true).is_none());
    assert!(guide_of(None, "", Some(3), false).is_none());
}

#[test]
fn constraint_begins_where_the_thinking_ends() {
    let mut guide = guide("ab", None, true).unwrap();
    assert!(allows(&mut guide, b'x') && !allows(&mut guide, END_TOKEN));
    assert_eq!(guide.forced(), [] as [Token; 0]);
    assert!(!accept(&mut guide, "xa)?)!"));
    assert!(allows(&mut guide, b'a') && !allows(&mut guide, b'x'));
    assert_eq!(guide.forced(), [97, 98]);
    assert!(!accept(&mut guide, "a") && accept(&mut guide, "b"));
}

#[test]
fn answer_begins_with_the_thinking_mark_or_what_the_constraint_allows() {
    let mut thinks = guide("ab", None, false).unwrap();
    assert!(allows(&mut thinks, b'(') && allows(&mut thinks, b'a') && !allows(&mut thinks, b'b'));
    accept(&mut thinks, "(b)!");
    assert!(allows(&mut thinks, b'a') && !allows(&mut thinks, b'('));
    let mut answers = guide("ab", None, false).unwrap();
    accept(&mut answers, "a");
    assert!(allows(&mut answers, b'b') && !allows(&mut answers, b'('));
}

#[test]
fn thinking_that_is_too_long_is_ended() {
    for text in ["", "ab"] {
        let mut guide = guide(text, Some(2), true).unwrap();
        accept(&mut guide, "x");
        assert!(allows(&mut guide, b'y'));
        accept(&mut guide, "y");
        assert!(allows(&mut guide, b')') && !allows(&mut guide, b'z'));
        assert_eq!(guide.forced(), [41, 33]);
        accept(&mut guide, ")!");
        assert_eq!(allows(&mut guide, b'z'), text.is_empty());
    }
}

#[test]
fn thinking_with_a_budget_of_nothing_ends_where_it_begins() {
    assert!(!allows(&mut guide("", Some(0), true).unwrap(), b'x'));
    let mut begins = guide("", Some(0), false).unwrap();
    accept(&mut begins, " (");
    assert_eq!(begins.forced(), [41, 33]);
    let mut answers = guide("", Some(0), false).unwrap();
    accept(&mut answers, "x(");
    assert!(allows(&mut answers, b'x'));
}

#[test]
fn thinking_of_gpt_oss_ends_with_the_header_of_the_final_message() {
    let mut guide = guide_of(Some(ThinkingStyle::Harmony), "ab", None, false).unwrap();
    accept(&mut guide, "<|channel|>analysis<|message|>final<|end|><|start|>assistant");
    assert!(allows(&mut guide, b'x'));
    accept(&mut guide, "<|channel|>final <|constrain|>json<|message|>");
    assert!(allows(&mut guide, b'a') && !allows(&mut guide, b'x'));
}
