//! Tests of text assembly.

use proptest::prelude::*;

use super::*;

/// Pushes `pieces` one by one. Returns the joined text and whether a stop string ended it.
fn assemble(stops: &[&str], pieces: &[&[u8]]) -> (String, bool) {
    let stops: Vec<String> = stops.iter().map(|&s| s.to_owned()).collect();
    let mut assembler = TextAssembler::new(&stops);
    let mut text = String::new();
    for piece in pieces {
        match assembler.push(piece) {
            Released::Text(more) => text.push_str(&more),
            Released::Stopped(more, _) => return (text + &more, true),
        }
    }
    let (Released::Text(held) | Released::Stopped(held, _)) = assembler.finish();
    (text + &held, false)
}

#[test]
fn character_split_over_four_tokens_is_released_whole() {
    let dog = "🐶".as_bytes();
    let mut assembler = TextAssembler::new(&[]);
    for byte in &dog[..3] {
        assert_eq!(assembler.push(&[*byte]), Released::Text(String::new()));
    }
    assert_eq!(assembler.push(&dog[3..]), Released::Text("🐶".to_owned()));
}

#[test]
fn possible_start_of_a_stop_string_is_held_until_decided() {
    let mut assembler = TextAssembler::new(&["END".to_owned()]);
    assert_eq!(assembler.push(b"the EN"), Released::Text("the ".to_owned()));
    assert_eq!(assembler.push(b"VY"), Released::Text("ENVY".to_owned()));
    assert_eq!(assembler.push(b" E"), Released::Text(" ".to_owned()));
    assert_eq!(assembler.push(b"ND of it"), Released::Stopped(String::new(), 0));
}

#[test]
fn stop_string_that_overlaps_itself_is_found() {
    assert_eq!(assemble(&["aab"], &[b"xaa", b"ab", b"rest"]), ("xa".to_owned(), true));
}

#[test]
fn longer_of_two_stop_strings_that_end_together_is_cut_off() {
    assert_eq!(assemble(&["b", "ab"], &[b"xab"]), ("x".to_owned(), true));
}

#[test]
fn held_text_is_released_by_finish() {
    assert_eq!(assemble(&["###"], &[b"a##"]), ("a##".to_owned(), false));
}

#[test]
fn incomplete_last_character_becomes_one_replacement_character() {
    assert_eq!(assemble(&[], &[b"a", &"é".as_bytes()[..1]]), ("a\u{fffd}".to_owned(), false));
}

#[test]
fn stop_string_may_end_with_the_replacement_character() {
    let broken = &"é".as_bytes()[..1];
    assert_eq!(assemble(&["b\u{fffd}"], &[b"ab", broken]), ("a".to_owned(), false));
    assert_eq!(assemble(&["b\u{fffd}c"], &[b"ab", broken]), ("ab\u{fffd}".to_owned(), false));
}

proptest! {
    #[test]
    fn bytes_cut_anywhere_give_the_text_of_the_whole(
        pieces in prop::collection::vec(prop::collection::vec(any::<u8>(), 0..6), 0..12),
    ) {
        let refs: Vec<&[u8]> = pieces.iter().map(Vec::as_slice).collect();
        let whole = pieces.concat();
        prop_assert_eq!(assemble(&[], &refs).0, String::from_utf8_lossy(&whole));
    }

    #[test]
    fn text_ends_before_the_first_complete_stop_string(
        text in "[abñ🐶]{0,20}", cut in 1usize..4, stop in "[abñ🐶]{1,3}", other in "[abñ🐶]{1,3}",
    ) {
        let pieces: Vec<&[u8]> = text.as_bytes().chunks(cut).collect();
        let (out, stopped) = assemble(&[&stop, &other], &pieces);
        let end = [&stop, &other]
            .iter()
            .filter_map(|s| text.find(s.as_str()).map(|at| (at + s.len(), at)))
            .min();
        match end {
            Some((_, at)) => {
                prop_assert!(stopped);
                prop_assert_eq!(out, &text[..at]);
            }
            None => {
                prop_assert!(!stopped);
                prop_assert_eq!(out, text);
            }
        }
    }
}
