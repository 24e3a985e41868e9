//! Which top-level module uses which, by which names, and which libraries.

use std::collections::{BTreeMap, BTreeSet};

use super::report::Violation;
use super::resolve::Target;
use super::syntax::{Binding, Mention};
use super::tree::{File, Tree};

/// A top-level module and the modules or libraries in its row.
pub(crate) type Row = (&'static str, &'static [&'static str]);

/// Each top-level module and the modules that it may use, as in `docs/ARCHITECTURE.md`.
pub(crate) const MODULES: [Row; 19] = [
    ("domain", &[]),
    ("build_info", &[]),
    ("machine", &[]),
    ("engine", &["answer", "domain"]),
    ("protocol", &["domain"]),
    ("constraint", &["domain", "engine"]),
    ("scripted", &["constraint", "domain", "engine"]),
    ("llama", &["constraint", "domain", "engine", "machine"]),
    ("watchdog", &[]),
    ("answer", &["domain"]),
    ("pool", &["domain"]),
    ("runner", &["domain", "engine", "pool", "watchdog"]),
    ("models", &["domain", "runner", "watchdog"]),
    ("gpu", &["domain"]),
    ("sandbox", &[]),
    ("server", &["answer", "domain", "pool", "protocol", "runner"]),
    ("cli", &["domain", "machine"]),
    (
        "daemon",
        &[
            "build_info",
            "cli",
            "domain",
            "engine",
            "gpu",
            "llama",
            "machine",
            "models",
            "runner",
            "sandbox",
            "server",
            "watchdog",
        ],
    ),
    ("main", &["cli", "daemon"]),
];

/// Libraries, and the top-level modules that may use them.
pub(crate) const LIBRARIES: [Row; 34] = [
    ("llama_cpp_2", &["llama"]),
    ("llama_cpp_sys_2", &["llama"]),
    ("minijinja", &["llama"]),
    ("jiff", &["llama"]),
    ("libc", &["llama", "sandbox"]),
    ("landlock", &["sandbox"]),
    ("seccompiler", &["sandbox"]),
    ("sysinfo", &["machine"]),
    ("nvml_wrapper", &["gpu"]),
    ("nvml_wrapper_sys", &["gpu"]),
    ("prometheus_client", &["server"]),
    (
        "serde",
        &[
            "answer",
            "constraint",
            "domain",
            "engine",
            "llama",
            "runner",
            "protocol",
            "server",
            "daemon",
        ],
    ),
    ("llguidance", &["constraint"]),
    ("serde_json", &["answer", "constraint", "llama", "protocol", "server", "daemon"]),
    ("postcard", &["runner", "daemon"]),
    ("rustix", &["machine", "runner", "sandbox", "daemon"]),
    ("procfs", &["machine", "llama", "runner", "daemon"]),
    ("axum", &["server"]),
    ("hyper", &["server"]),
    ("rustls", &["server", "daemon"]),
    ("tokio_rustls", &["server"]),
    ("rcgen", &["daemon"]),
    ("ring", &["daemon"]),
    ("ipnet", &["domain"]),
    ("tokio_tungstenite", &["server", "protocol"]),
    ("toml", &["server"]),
    ("sha2", &["server"]),
    ("subtle", &["server"]),
    ("getrandom", &["server"]),
    ("data_encoding", &["server"]),
    ("clap", &["cli"]),
    ("indicatif", &["daemon"]),
    ("console", &["daemon"]),
    ("anyhow", &["daemon", "main"]),
];

/// Paths that no file in `src` may use, and what to do instead.
pub(crate) const FORBIDDEN: [(&str, &str); 5] = [
    ("tokio::sync::mpsc::unbounded_channel", "bound the queue: it is a leak under load"),
    (
        "std::sync::mpsc::channel",
        "use `sync_channel`: a queue without a bound is a leak under load",
    ),
    ("std::thread::sleep", "wait with a deadline that something can cancel"),
    ("todo", "finish it: the macro is a panic"),
    ("unimplemented", "finish it: the macro is a panic"),
];

/// The one module that tests of every module may use.
const FOR_TESTS: &str = "scripted";

/// Modules that use a module which their row in `table` does not list.
pub(crate) fn unlisted_uses(tree: &Tree, table: &[Row]) -> Vec<Violation> {
    let table: BTreeMap<&str, &[&str]> = table.iter().copied().collect();
    let mut violations = Vec::new();
    for file in &tree.files {
        let Some(top) = file.top() else { continue };
        let Some(allowed) = table.get(top) else {
            let message = format!("add module `{top}` to the table in tests/tidy/modules.rs");
            violations.push(Violation::new(&file.path, 1, message));
            continue;
        };
        for mention in &file.syntax.mentions {
            let is_test = file.is_test || mention.is_test;
            for used in used_modules(tree, file, mention) {
                let is_allowed = used == top
                    || !tree.is_module(std::slice::from_ref(&used))
                    || allowed.contains(&&used[..])
                    || is_test && used == FOR_TESTS;
                if !is_allowed {
                    let path = mention.segments.join("::");
                    let message = format!(
                        "`{top}` may not use `{used}` (`{path}`): move the code, or add the \
                         module to the tables in tests/tidy/modules.rs and docs/ARCHITECTURE.md"
                    );
                    violations.push(Violation::new(&file.path, mention.line, message));
                }
            }
        }
    }
    violations
}

/// The top-level modules that `mention` names and those that define what it means.
fn used_modules(tree: &Tree, file: &File, mention: &Mention) -> BTreeSet<String> {
    let module = file.module_of(mention);
    let named = tree.expand(&module, &mention.segments);
    let mut used: BTreeSet<String> =
        named.into_iter().filter_map(|path| path.into_iter().next()).collect();
    for target in tree.resolve(&module, &mention.segments) {
        match target {
            Target::Item { file } => used.extend(tree.files[file].top().map(str::to_owned)),
            Target::Module(path) => used.extend(path.into_iter().next()),
            Target::External(_) => {}
        }
    }
    used
}

/// Paths into the files of another top-level module, past its public interface.
pub(crate) fn inner_paths(tree: &Tree) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        for mention in &file.syntax.mentions {
            let Some(path) = tree.expand(&file.module_of(mention), &mention.segments) else {
                continue;
            };
            if path.first().map(String::as_str) == file.top() {
                continue;
            }
            if let Some(message) = inner_path(tree, &path) {
                violations.push(Violation::new(&file.path, mention.line, message));
            }
        }
    }
    violations
}

/// What is wrong with `path`, written out from the crate root and used outside its module.
pub(crate) fn inner_path(tree: &Tree, path: &[String]) -> Option<String> {
    let [top, name, rest @ ..] = path else { return None };
    let is_inner = tree.is_module(&path[..2])
        && (!rest.is_empty() || !tree.has_item(std::slice::from_ref(top), name));
    let path = path.join("::");
    is_inner.then(|| {
        format!(
            "`{path}` is inside `{top}`: re-export the name in {top}/mod.rs and use it from there"
        )
    })
}

/// Uses of a library outside the modules that its row in `table` lists.
pub(crate) fn misplaced_libraries(tree: &Tree, table: &[Row]) -> Vec<Violation> {
    external_paths(tree, |top, mention, path| {
        let (library, modules) = table.iter().find(|(library, _)| path[0] == *library)?;
        // A lone name is a local variable or an attribute.
        let is_path = path.len() > 1 || mention.binding != Binding::None;
        (is_path && !modules.contains(&top)).then(|| {
            let modules = modules.join(" and ");
            format!("only {modules} may use {library}: move the code there")
        })
    })
}

/// Uses of what [`FORBIDDEN`] lists.
pub(crate) fn forbidden_paths(tree: &Tree) -> Vec<Violation> {
    external_paths(tree, |_, _, path| {
        let path = path.join("::");
        let (name, instead) = FORBIDDEN.iter().find(|(name, _)| path == *name)?;
        Some(format!("`{name}` is forbidden: {instead}"))
    })
}

/// Uses of axum's routing outside of `server/openapi`, whose routes have a description.
pub(crate) fn undescribed_routes(tree: &Tree) -> Vec<Violation> {
    let mut violations = external_paths(tree, |_, _, path| {
        let is_routing = path.starts_with(&["axum".to_owned(), "routing".to_owned()])
            || path == ["axum", "Router", "new"];
        let message = "a route needs a description: use `server/openapi`";
        is_routing.then(|| message.to_owned())
    });
    let is_exempt = |path: &str| DESCRIBED_OR_FILES.iter().any(|folder| path.starts_with(folder));
    violations.retain(|violation| !is_exempt(&violation.path));
    violations
}

/// Where axum's routing is used: by what describes the routes, and for the files of the web page.
const DESCRIBED_OR_FILES: [&str; 2] = ["src/server/openapi/", "src/server/web/"];

fn external_paths(
    tree: &Tree,
    check: impl Fn(&str, &Mention, &[String]) -> Option<String>,
) -> Vec<Violation> {
    let mut violations = Vec::new();
    for file in &tree.files {
        for mention in &file.syntax.mentions {
            let path = tree.expand_external(&file.module_of(mention), &mention.segments);
            let message =
                path.and_then(|path| check(file.top().unwrap_or_default(), mention, &path));
            violations.extend(message.map(|text| Violation::new(&file.path, mention.line, text)));
        }
    }
    violations
}

/// The rows of the module table in `page`, as pairs of a module and what it uses.
///
/// # Panics
/// If `page` has no such table.
pub(crate) fn documented_table(page: &str) -> BTreeMap<String, BTreeSet<String>> {
    let header = "| module | content | uses |\n|---|---|---|\n";
    let (_, table) = page.split_once(header).expect("docs/ARCHITECTURE.md has the module table");
    let rows = table.lines().take_while(|line| line.starts_with('|'));
    rows.map(|row| {
        let cells: Vec<&str> = row.split('|').map(str::trim).collect();
        let name = |text: &str| text.trim().trim_matches('`').to_owned();
        let uses = cells[3].split(',').map(name).filter(|name| !name.is_empty() && name != "-");
        (name(cells[1]), uses.collect())
    })
    .collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{lines, tree};

    const TABLE: [Row; 4] =
        [("top", &["middle"]), ("middle", &["bottom"]), ("bottom", &[]), ("main", &["top"])];

    #[test]
    fn use_of_an_unlisted_module_is_found_however_it_is_written() {
        let tree = tree(&[
            ("src/middle/mod.rs", "mod a;\npub use crate::bottom::Low;"),
            (
                "src/middle/a.rs",
                "use crate::{bottom::Low,\n top::High};\nfn f() { super::super::top::g() }",
            ),
            (
                "src/top.rs",
                "pub struct High;\npub fn g() { h!(crate::bottom::Low) }\nuse crate::middle::Low;",
            ),
            ("src/bottom.rs", "pub struct Low;"),
            ("src/main.rs", "fn main() { inference_core::bottom::Low; }"),
        ]);
        let found = lines(unlisted_uses(&tree, &TABLE));
        assert_eq!(
            found,
            [
                "src/main.rs:1",
                "src/middle/a.rs:2",
                "src/middle/a.rs:3",
                "src/top.rs:2",
                "src/top.rs:3"
            ]
        );
    }

    #[test]
    fn tests_may_use_the_scripted_model() {
        let tree = tree(&[
            ("src/bottom.rs", "#[cfg(test)]\nmod tests { use crate::scripted::Model; }"),
            ("src/scripted.rs", "pub struct Model;"),
        ]);
        let table: [Row; 2] = [("bottom", &[]), ("scripted", &[])];
        assert_eq!(lines(unlisted_uses(&tree, &table)), [""; 0]);
    }

    #[test]
    fn path_past_the_public_interface_is_found() {
        let tree = tree(&[
            ("src/bottom/mod.rs", "pub mod load;\npub use load::load;"),
            ("src/bottom/load.rs", "pub fn load() {}\npub struct Weights;"),
            (
                "src/middle.rs",
                "use crate::bottom;\nuse crate::bottom::load;\nuse bottom::load::Weights;",
            ),
        ]);
        assert_eq!(lines(inner_paths(&tree)), ["src/middle.rs:3"]);
    }

    #[test]
    fn library_in_another_module_is_found() {
        let tree = tree(&[
            ("src/top.rs", "fn f(libc: u8) { std::libc(libc) }"),
            ("src/middle.rs", "use libc as c;\nfn f() { c::getpid() }"),
            ("src/bottom.rs", "#[derive(libc::Debug)]\nstruct A;"),
        ]);
        let found = lines(misplaced_libraries(&tree, &[("libc", &["bottom"])]));
        assert_eq!(found, ["src/middle.rs:1", "src/middle.rs:2"]);
    }

    #[test]
    fn forbidden_call_is_found_through_imports() {
        let tree = tree(&[(
            "src/top.rs",
            "use std::{thread, sync::mpsc};\nfn f() { thread::sleep(x);\n mpsc::sync_channel(1);\n todo!() }",
        )]);
        assert_eq!(lines(forbidden_paths(&tree)), ["src/top.rs:2", "src/top.rs:4"]);
    }

    #[test]
    fn route_without_a_description_is_found() {
        let text = "use axum::routing::get;\nuse axum::Router;\nfn f() { Router::new(); get(f); }";
        let tree = tree(&[("src/server/a.rs", text), ("src/server/openapi/b.rs", text)]);
        let found = lines(undescribed_routes(&tree));
        assert!(found.contains(&"src/server/a.rs:1".to_owned()), "{found:?}");
        assert!(found.contains(&"src/server/a.rs:3".to_owned()), "{found:?}");
        assert!(found.iter().all(|line| line.starts_with("src/server/a.rs")), "{found:?}");
    }

    #[test]
    fn documented_table_is_read_with_and_without_backticks() {
        let page =
            "a\n| module | content | uses |\n|---|---|---|\n| `a` | x | `b`, c |\n| b | y | |\n";
        let table = documented_table(page);
        let uses = |names: &[&str]| names.iter().map(|&name| name.to_owned()).collect();
        assert_eq!(
            table,
            BTreeMap::from([("a".into(), uses(&["b", "c"])), ("b".into(), uses(&[]))])
        );
    }
}
