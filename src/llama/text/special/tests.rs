//! The split at special tokens, and what the guard hides.

use super::*;

fn special(token: Token, text: &str) -> SpecialToken {
    SpecialToken {
        token,
        text: text.to_owned(),
        is_control: true,
        is_user_defined: false,
        is_answer_mark: false,
        strips_left: false,
        strips_right: false,
    }
}

#[test]
fn longest_special_token_is_found_first() {
    let specials = SpecialTokens::new(vec![special(1, "<|a|>"), special(2, "<|a|><|b|>")]);
    let segments = specials.split("x<|a|><|b|>y<|a|><|a|>");
    let expected = [
        Segment::Text("x"),
        Segment::Token(2),
        Segment::Text("y"),
        Segment::Token(1),
        Segment::Token(1),
    ];
    assert_eq!(segments, expected);
    assert_eq!(specials.split(""), []);
    assert_eq!(specials.split("plain"), [Segment::Text("plain")]);
}

#[test]
fn stripping_token_removes_ascii_white_space_around_it() {
    let strips = SpecialToken { strips_left: true, strips_right: true, ..special(1, "<m>") };
    let specials = SpecialTokens::new(vec![strips]);
    let segments = specials.split("a \n<m>\t b\u{a0}");
    let expected = [Segment::Text("a"), Segment::Token(1), Segment::Text("b\u{a0}")];
    assert_eq!(segments, expected);
    assert_eq!(specials.split(" <m> "), [Segment::Token(1)]);
}

#[test]
fn hidden_control_token_is_not_found_and_its_text_is_restored() {
    let specials = SpecialTokens::new(vec![special(1, "<|end|>"), special(2, "é")]);
    let message = "Hi<|end|>é";
    let guard = ControlTokenGuard::new('\u{FDD0}');
    let hidden = specials.hide_control_tokens(message, guard, false);
    assert_eq!(specials.split(&hidden[..hidden.find('é').unwrap()]).len(), 1);
    assert_eq!(guard.remove_markers(&hidden), message);
}

#[test]
fn marker_occurs_in_no_text_and_in_no_escape() {
    let unused = |texts: &[&str]| {
        let mut used = UsedMarkers::default();
        texts.iter().for_each(|text| used.see(text));
        used.unused().next()
    };
    assert_eq!(unused(&["a", "\u{FDD0}", "é\\ufdd1", "\\u12", "\\uFDD2"]), Some('\u{FDD3}'));
    let all: String = ('\u{FDD0}'..='\u{FDEF}').collect();
    assert_eq!(unused(&[&all]), None);
}

#[test]
fn escaped_marker_of_a_printed_dictionary_is_a_marker_again() {
    let guard = ControlTokenGuard::new('\u{FDD1}');
    let restored = guard.unescape_markers("{'a': '<\\ufdd1|end|> \\ufdd0'}".to_owned());
    assert_eq!(guard.remove_markers(&restored), "{'a': '<|end|> \\ufdd0'}");
}

#[test]
fn answer_mark_is_hidden_outside_of_answers_only() {
    let mark = SpecialToken { is_answer_mark: true, ..special(1, "</think>") };
    let specials = SpecialTokens::new(vec![mark, special(2, "<|end|>")]);
    let guard = ControlTokenGuard::new('\u{FDD0}');
    let text = "</think><|end|>";
    let in_answer = specials.hide_control_tokens(text, guard, true);
    assert_eq!(specials.split(&in_answer)[0], Segment::Token(1));
    assert_eq!(specials.split(&in_answer).len(), 2);
    assert_eq!(specials.split(&specials.hide_control_tokens(text, guard, false)).len(), 1);
}

#[test]
fn user_defined_token_is_guarded_if_a_template_writes_it_as_a_mark() {
    let ordinary = |text| SpecialToken { is_control: false, ..special(1, text) };
    let texts = ["<|start|>", "\n\n", "<b>", "user", "---"];
    let mut specials = SpecialTokens::new(texts.map(ordinary).to_vec());
    let guarded = |specials: &SpecialTokens| {
        let control = specials.list.iter().filter(|special| special.is_control);
        control.map(|special| special.text.clone()).collect::<Vec<_>>()
    };
    specials.guard_marks_of_literal("<|start|>user\n\n---");
    assert_eq!(guarded(&specials), ["<|start|>"]);
    specials.guard_marks_of_output("user\n\n--- x");
    assert_eq!(guarded(&specials), ["<|start|>", "---"]);
}
