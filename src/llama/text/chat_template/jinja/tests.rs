//! Compares templates with what Python's Jinja2 makes of them.

use std::{env, fs};

use minijinja::Value;
use serde::Deserialize;

use super::*;

/// What `tools/jinja/snippets.py` writes.
#[derive(Deserialize)]
struct SnippetTable {
    values: Value,
    snippets: Vec<Snippet>,
}

#[derive(Deserialize)]
struct Snippet {
    kind: String,
    template: String,
    /// What Jinja2 renders, or nothing if it raises an error.
    expected: Option<String>,
    /// Why the daemon renders something else.
    differs: Option<String>,
}

/// The snippets of the repository, or the tables that `tools/jinja/compare.py` wrote.
#[test]
fn snippets_are_rendered_as_by_jinja2() {
    let Ok(paths) = env::var("JINJA_TABLES") else {
        let n_snippets = compare(include_str!("../../../../../tests/jinja/snippets.json"));
        assert!(n_snippets >= 400, "{n_snippets} snippets");
        return;
    };
    for path in env::split_paths(&paths) {
        let table = fs::read_to_string(&path).unwrap();
        println!("{}: {} templates", path.display(), compare(&table));
    }
}

/// Compares all snippets of a table and returns their number.
fn compare(table: &str) -> usize {
    let table: SnippetTable = serde_json::from_str(table).unwrap();
    let mut wrong = Vec::new();
    for snippet in &table.snippets {
        let compiled = JinjaTemplate::compile(&snippet.template);
        let limit = PromptLimit::none();
        let rendered =
            compiled.and_then(|template| template.render(table.values.clone(), FUEL, &limit));
        let is_equal = rendered.as_ref().ok() == snippet.expected.as_ref();
        if is_equal == snippet.differs.is_some() {
            let Snippet { kind, template, expected, differs } = snippet;
            let template: String = template.chars().take(200).collect();
            wrong.push(format!(
                "{kind}: {template:?}\n  is       {rendered:?}\n  not      {expected:?}\n  \
                 declared {differs:?}"
            ));
        }
    }
    assert!(wrong.is_empty(), "{} differ:\n{}", wrong.len(), wrong.join("\n"));
    table.snippets.len()
}

/// Enough for 2,000 messages and any known template.
const FUEL: u64 = 100_000_000;
