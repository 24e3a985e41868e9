//! Rules for single files and names: headers, lengths, columns, `unsafe`, unique type names.

use std::collections::BTreeMap;

use super::report::Violation;
use super::syntax::{Definition, Kind, Syntax};
use super::tree::{File, Tree};

/// Longest file.
const MAX_LINES: usize = 400;

/// Longest line that has a comment, in characters.
const MAX_COLUMNS: usize = 100;

/// Longest function, in lines from `fn` to the closing brace.
const MAX_FUNCTION_LINES: usize = 60;

/// Functions in `src` that may be longer than that.
const MAX_LONG_FUNCTIONS: usize = 5;

/// Type names that several modules may define.
const SHARED_NAMES: [&str; 1] = ["Options"];

/// Files without a `//!` header, and files that are too long.
pub(crate) fn headers_and_lengths(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    if !text.starts_with("//!") {
        violations.push(Violation::new(path, 1, "begin with `//!`: what the file is and promises"));
    }
    let n_lines = text.lines().count();
    if n_lines > MAX_LINES {
        let message = format!("{n_lines} lines, at most {MAX_LINES}: split the file by topic");
        violations.push(Violation::new(path, n_lines, message));
    }
    violations
}

/// Comments beyond column 100. A single word, such as a URL, may be longer.
pub(crate) fn wide_comments(path: &str, text: &str) -> Vec<Violation> {
    let mut violations = Vec::new();
    for (i, line) in text.lines().enumerate() {
        let n_columns = line.chars().count();
        let code = line.trim_start();
        let has_comment = code.starts_with("//") || line.contains(" // ");
        let is_one_word = code.starts_with("//") && code.split_whitespace().count() <= 2;
        if n_columns > MAX_COLUMNS && has_comment && !is_one_word {
            let message = format!("{n_columns} columns, at most {MAX_COLUMNS}: wrap the comment");
            violations.push(Violation::new(path, i + 1, message));
        }
    }
    violations
}

/// `unsafe` outside of [`UNSAFE_PATHS`], and blocks and impls there without a reason.
pub(crate) fn unsafe_code(path: &str, text: &str, syntax: &Syntax) -> Vec<Violation> {
    let lines: Vec<&str> = text.lines().collect();
    let mut violations = Vec::new();
    for found in &syntax.unsafes {
        if !UNSAFE_PATHS.iter().any(|start| path.starts_with(start)) {
            let message = "`unsafe` outside src/llama: move the code there";
            violations.push(Violation::new(path, found.line, message));
        } else if found.needs_comment && !has_safety_comment(&lines, found.line) {
            let message = "`unsafe` without a reason: write `// SAFETY: …` directly above";
            violations.push(Violation::new(path, found.line, message));
        }
    }
    violations
}

/// Where `unsafe` is allowed: for llama.cpp, and for functions of NVML that nvml-wrapper does not
/// call.
const UNSAFE_PATHS: [&str; 2] = ["src/llama/", "src/gpu/fallback.rs"];

/// Whether the comment above line `line`, or above the statement that it belongs to, has `SAFETY:`.
fn has_safety_comment(lines: &[&str], line: usize) -> bool {
    let mut above = lines[..line - 1].iter().rev().map(|line| line.trim());
    let is_inside = |line: &&str| {
        let ends_statement = line.ends_with([';', '{', '}', ',']) && !line.starts_with("#[");
        !line.is_empty() && !line.starts_with("//") && !ends_statement
    };
    let comment = above.find(|line| !is_inside(line)).unwrap_or_default();
    let comments = [comment].into_iter().chain(above).take_while(|line| line.starts_with("//"));
    comments.into_iter().any(|line| line.contains("SAFETY:"))
}

/// All functions of more than 60 lines, if there are more than five.
pub(crate) fn long_functions(tree: &Tree) -> Vec<Violation> {
    let mut long = Vec::new();
    for file in &tree.files {
        for function in &file.syntax.functions {
            if function.n_lines > MAX_FUNCTION_LINES {
                let message = format!(
                    "`{}` has {} lines, at most {MAX_LONG_FUNCTIONS} functions may have more than \
                     {MAX_FUNCTION_LINES}: split it",
                    function.name, function.n_lines
                );
                long.push(Violation::new(&file.path, function.line, message));
            }
        }
    }
    if long.len() > MAX_LONG_FUNCTIONS { long } else { Vec::new() }
}

/// Type names that the crate defines more than once outside tests.
pub(crate) fn repeated_type_names(tree: &Tree) -> Vec<Violation> {
    let mut places: BTreeMap<&str, Vec<(&File, &Definition)>> = BTreeMap::new();
    for file in tree.files.iter().filter(|file| !file.is_test) {
        for item in &file.syntax.definitions {
            if item.kind == Kind::Type && !item.is_test && !SHARED_NAMES.contains(&&item.name[..]) {
                places.entry(&item.name).or_default().push((file, item));
            }
        }
    }
    let mut violations = Vec::new();
    for (name, places) in places {
        let (first, item) = places[0];
        for (file, other) in &places[1..] {
            // With a `#[cfg(…)]` on both, only one of them is compiled.
            let is_choice = (first.is_conditional || item.is_conditional)
                && (file.is_conditional || other.is_conditional);
            if !is_choice {
                let first = format!("{}:{}", first.path, item.line);
                let message = format!("`{name}` is also a type in {first}: rename one of them");
                violations.push(Violation::new(&file.path, other.line, message));
            }
        }
    }
    violations
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{lines, tree};

    #[test]
    fn file_without_a_header_or_too_long_is_found() {
        assert_eq!(lines(headers_and_lengths("a.rs", "// A.\n")), ["a.rs:1"]);
        assert_eq!(lines(headers_and_lengths("a.rs", "//! A.\n")), [""; 0]);
        let long = "//! A.\n".repeat(MAX_LINES + 1);
        assert_eq!(lines(headers_and_lengths("a.rs", &long)), ["a.rs:401"]);
    }

    #[test]
    fn comment_over_100_columns_is_found_unless_it_is_one_word() {
        let words = "a ".repeat(50);
        let word = "a".repeat(100);
        let text = format!("/// {words}\n// {word}\nlet a = \"{word}\";\nf(); // {words}{words}\n");
        assert_eq!(lines(wide_comments("a.rs", &text)), ["a.rs:1", "a.rs:4"]);
    }

    #[test]
    fn unsafe_block_needs_a_reason_directly_above() {
        let text = "// SAFETY: sound.\n// Really.\nunsafe impl Send for A {}\n\
                    fn f() {\n// SAFETY: sound.\nlet a =\nunsafe { g() };\nunsafe { g() };\n}\n\
                    unsafe fn g() {}\n#[unsafe(no_mangle)]\nfn h() { m!(unsafe { g() }) }";
        let syntax = Syntax::parse(text).unwrap();
        assert_eq!(
            lines(unsafe_code("src/llama/a.rs", text, &syntax)),
            ["src/llama/a.rs:8", "src/llama/a.rs:12"]
        );
        assert_eq!(unsafe_code("src/gpu/a.rs", text, &syntax).len(), 6);
    }

    #[test]
    fn long_functions_are_listed_when_there_are_six() {
        let long = |n: usize| format!("fn f{n}() {{{}}}\n", "\n".repeat(MAX_FUNCTION_LINES));
        let five: String = (0..5).map(long).collect();
        assert_eq!(long_functions(&tree(&[("src/a.rs", &five)])), []);
        let six: String = (0..6).map(long).collect();
        assert_eq!(long_functions(&tree(&[("src/a.rs", &six)])).len(), 6);
    }

    #[test]
    fn repeated_type_name_is_found_outside_tests() {
        let tree = tree(&[
            (
                "src/a.rs",
                "struct A; struct Options; #[cfg(unix)] struct C; #[cfg(not(unix))] struct C;",
            ),
            ("src/b.rs", "enum A {}\ntype Options = u8;\n#[cfg(test)]\nmod tests { struct A; }"),
        ]);
        assert_eq!(lines(repeated_type_names(&tree)), ["src/b.rs:1"]);
    }
}
