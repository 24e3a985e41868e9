//! The rules that the compiler and clippy cannot check: which module uses which, no import cycles,
//! where `unsafe` and libraries belong, the size of files and functions, and the vocabulary.
//!
//! Every failure names a file and a line and says what to do. `docs/ARCHITECTURE.md` explains the
//! module table and `docs/STYLE.md` the vocabulary.

#![allow(clippy::unwrap_used, reason = "a test that cannot go on shall panic")]

mod allowed;
mod cycles;
#[cfg(test)]
mod fixture;
mod modules;
mod report;
mod repository;
mod resolve;
mod rules;
mod syntax;
mod tokens;
mod tree;
mod words;

use std::collections::{BTreeMap, BTreeSet};

use self::allowed::ALLOWED;
use self::modules::{LIBRARIES, MODULES};
use self::report::{Violation, assert_none};
use self::repository::SOURCES;
use self::syntax::Syntax;

#[test]
fn modules_use_only_the_modules_in_their_row() {
    assert_none(modules::unlisted_uses(&SOURCES, &MODULES));
}

#[test]
fn module_table_is_the_one_in_the_documentation() {
    let documented = modules::documented_table(&repository::read("docs/ARCHITECTURE.md"));
    let owned = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
    let enforced: BTreeMap<String, BTreeSet<String>> =
        MODULES.iter().map(|(module, uses)| ((*module).to_owned(), owned(uses))).collect();
    assert_eq!(
        documented, enforced,
        "docs/ARCHITECTURE.md (left) and tests/tidy/modules.rs (right) must have the same table"
    );
}

#[test]
fn modules_are_used_by_their_public_interface_only() {
    let mut violations = modules::inner_paths(&SOURCES);
    for (path, text) in repository::other_rust_files() {
        for mention in Syntax::parse(&text).unwrap().mentions {
            let library_path = SOURCES.expand(&[], &mention.segments);
            let is_library = mention.segments[0] == "inference_core";
            let message = library_path
                .filter(|_| is_library)
                .and_then(|library_path| modules::inner_path(&SOURCES, &library_path));
            violations.extend(message.map(|text| Violation::new(&path, mention.line, text)));
        }
    }
    assert_none(violations);
}

#[test]
fn files_have_no_import_cycles() {
    assert_none(cycles::cycles(&SOURCES));
}

#[test]
fn libraries_are_used_in_their_modules_only() {
    assert_none(modules::misplaced_libraries(&SOURCES, &LIBRARIES));
}

#[test]
fn routes_are_described() {
    assert_none(modules::undescribed_routes(&SOURCES));
}

#[test]
fn nothing_is_unbounded_and_no_thread_sleeps() {
    assert_none(modules::forbidden_paths(&SOURCES));
}

#[test]
fn unsafe_code_is_in_llama_and_states_why_it_is_sound() {
    let check = |file: &tree::File| rules::unsafe_code(&file.path, &file.text, &file.syntax);
    assert_none(SOURCES.files.iter().flat_map(check).collect());
}

#[test]
fn files_have_a_header_and_at_most_400_lines() {
    let check = |(path, text): &(String, String)| rules::headers_and_lengths(path, text);
    assert_none(repository::all_rust_files().iter().flat_map(check).collect());
}

#[test]
fn comments_have_at_most_100_columns() {
    let check = |(path, text): &(String, String)| rules::wide_comments(path, text);
    assert_none(repository::all_rust_files().iter().flat_map(check).collect());
}

#[test]
fn at_most_five_functions_have_more_than_60_lines() {
    assert_none(rules::long_functions(&SOURCES));
}

#[test]
fn type_names_are_unique_in_the_crate() {
    assert_none(rules::repeated_type_names(&SOURCES));
}

#[test]
fn texts_use_the_terms_of_the_glossary() {
    let private = words::glossary(&repository::read("docs/STYLE.md"));
    let check =
        |(path, text): &(String, String)| words::private_words(path, text, &private, &ALLOWED);
    assert_none(repository::texts().iter().flat_map(check).collect());
}

#[test]
fn allowed_words_have_a_reason_and_still_occur() {
    let private = words::glossary(&repository::read("docs/STYLE.md"));
    let texts = repository::texts();
    for allowed in &ALLOWED {
        assert!(!allowed.reason.is_empty(), "{allowed:?}: say why the word stays");
        let occurs = texts.iter().any(|(path, text)| {
            words::allows(allowed, path, allowed.word)
                && words::private_words(path, text, &private, &[])
                    .iter()
                    .any(|found| found.message.starts_with(&format!("\"{}\"", allowed.word)))
        });
        assert!(occurs, "{allowed:?}: remove it from tests/tidy/allowed.rs, the word is gone");
    }
}
