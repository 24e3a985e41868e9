//! The crate as a tree of modules, each with the names that it defines and imports.
//!
//! `resolve.rs` finds out where a path leads in it. The tree covers what this repository uses: no
//! `#[path]`, no names made by macros.

use std::collections::{BTreeMap, BTreeSet};

use super::syntax::{Binding, Kind, Mention, Syntax};

/// A module path from the crate root: `["engine", "queue"]`.
pub(crate) type Path = Vec<String>;

pub(crate) struct File {
    /// From the repository root, with `/`.
    pub(crate) path: String,
    pub(crate) text: String,
    pub(crate) syntax: Syntax,
    pub(crate) module: Path,
    /// The module is declared under `#[cfg(test)]`, or inside such a module.
    pub(crate) is_test: bool,
    /// The module is declared under a `#[cfg(…)]`.
    pub(crate) is_conditional: bool,
}

impl File {
    /// The top-level module: `engine` for everything in `src/engine`, `main` for `src/main.rs`, and
    /// nothing for `src/lib.rs`.
    pub(crate) fn top(&self) -> Option<&str> {
        self.module.first().map(String::as_str)
    }

    /// The module that contains `mention`.
    pub(crate) fn module_of(&self, mention: &Mention) -> Path {
        [&self.module[..], &mention.inline].concat()
    }
}

/// The names in a module.
#[derive(Default)]
pub(crate) struct Scope {
    /// The files that define each name; several where `#[cfg]` chooses.
    pub(crate) items: BTreeMap<String, Vec<usize>>,
    pub(crate) imports: BTreeMap<String, Vec<Path>>,
    pub(crate) globs: Vec<Path>,
}

pub(crate) struct Tree {
    pub(crate) files: Vec<File>,
    pub(crate) scopes: BTreeMap<Path, Scope>,
}

impl Tree {
    /// Reads `sources`, pairs of a path under `src` and its text.
    ///
    /// # Panics
    /// If a source is not Rust.
    pub(crate) fn new(sources: &[(String, String)]) -> Self {
        let mut files: Vec<File> = sources
            .iter()
            .map(|(path, text)| File {
                path: path.clone(),
                text: text.clone(),
                syntax: Syntax::parse(text).unwrap_or_else(|error| panic!("{path}: {error}")),
                module: module_path(path),
                is_test: false,
                is_conditional: false,
            })
            .collect();
        let (mut test_modules, mut conditional_modules) = (BTreeSet::new(), BTreeSet::new());
        let mut scopes = BTreeMap::from([(Path::new(), Scope::default())]);
        for (i, file) in files.iter().enumerate() {
            scopes.entry(file.module.clone()).or_default();
            for definition in &file.syntax.definitions {
                let module = [&file.module[..], &definition.inline].concat();
                if definition.kind == Kind::Module {
                    let declared = child(&module, &definition.name);
                    if definition.is_conditional {
                        conditional_modules.insert(declared.clone());
                    }
                    if definition.is_test {
                        test_modules.insert(declared);
                    }
                } else {
                    let items = &mut scopes.entry(module).or_default().items;
                    items.entry(definition.name.clone()).or_default().push(i);
                }
            }
            for mention in &file.syntax.mentions {
                let scope = scopes.entry(file.module_of(mention)).or_default();
                match &mention.binding {
                    Binding::Name(name) => {
                        scope
                            .imports
                            .entry(name.clone())
                            .or_default()
                            .push(mention.segments.clone());
                    }
                    Binding::Glob => scope.globs.push(mention.segments.clone()),
                    Binding::None => {}
                }
            }
        }
        for file in &mut files {
            file.is_conditional = conditional_modules.contains(&file.module);
            file.is_test = test_modules.iter().any(|module| file.module.starts_with(module));
        }
        Self { files, scopes }
    }
}

pub(crate) fn child(module: &[String], name: &str) -> Path {
    [module, &[name.to_owned()]].concat()
}

/// `src/engine/queue.rs` and `src/engine/queue/mod.rs` are `["engine", "queue"]`.
fn module_path(path: &str) -> Path {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let path = if path == "lib" { "" } else { path.trim_end_matches("/mod") };
    path.split('/').filter(|name| !name.is_empty()).map(str::to_owned).collect()
}
