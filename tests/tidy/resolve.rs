//! Where a path leads.
//!
//! [`Tree::resolve`] follows imports and re-exports to the file that defines a name;
//! [`Tree::expand`] only writes a path out from the crate root, which shows the module that the
//! source names.

use std::collections::BTreeSet;

use super::tree::{Path, Tree, child};

/// Name of the library crate, by which `src/main.rs` uses it.
const LIBRARY: &str = "inference_core";

/// Longest chain of imports that is followed.
const MAX_DEPTH: usize = 32;

/// What a path means.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Target {
    /// An item that [`Tree::files`]`[file]` defines.
    Item {
        file: usize,
    },
    Module(Path),
    /// A name of another crate.
    External(Path),
}

impl Tree {
    pub(crate) fn is_module(&self, path: &[String]) -> bool {
        self.scopes.contains_key(path)
    }

    /// Whether `module` defines or imports something called `name` that is not a module.
    pub(crate) fn has_item(&self, module: &[String], name: &str) -> bool {
        let found = self.look_up(module, name, &mut Vec::new());
        found.iter().any(|target| matches!(target, Target::Item { .. } | Target::External(_)))
    }

    /// The definitions that `segments` leads to, seen from `module`.
    pub(crate) fn resolve(&self, module: &[String], segments: &[String]) -> BTreeSet<Target> {
        self.follow(module, segments, &mut Vec::new())
    }

    /// `segments`, seen from `module`, written out from the crate root. `None` for another crate's
    /// names.
    pub(crate) fn expand(&self, module: &[String], segments: &[String]) -> Option<Path> {
        self.expand_within(module, segments, MAX_DEPTH)
    }

    /// As [`expand`](Self::expand), for the names of another crate: `thread::sleep` under
    /// `use std::thread` is `std::thread::sleep`.
    pub(crate) fn expand_external(&self, module: &[String], segments: &[String]) -> Option<Path> {
        self.resolve(module, segments).into_iter().find_map(|target| match target {
            Target::External(path) => Some(path),
            Target::Item { .. } | Target::Module(_) => None,
        })
    }

    fn expand_within(&self, module: &[String], segments: &[String], depth: usize) -> Option<Path> {
        let (first, rest) = segments.split_first()?;
        if depth == 0 || first == "Self" {
            return None;
        }
        if let Some((start, n_used)) = anchor(module, segments) {
            return Some([&start[..], &segments[n_used..]].concat());
        }
        let scope = self.scopes.get(module)?;
        if self.is_module(&child(module, first)) || scope.items.contains_key(first) {
            return Some([module, segments].concat());
        }
        for import in scope.imports.get(first).into_iter().flatten() {
            if import.first() != Some(first) {
                let expanded = self.expand_within(module, import, depth - 1)?;
                return Some([&expanded[..], rest].concat());
            }
        }
        scope.globs.iter().find_map(|glob| {
            let base = self.expand_within(module, glob, depth - 1)?;
            (base != module).then(|| self.expand_within(&base, segments, depth - 1))?
        })
    }

    fn follow(
        &self,
        module: &[String],
        segments: &[String],
        pending: &mut Vec<(Path, Path)>,
    ) -> BTreeSet<Target> {
        if segments.first().is_none_or(|first| first == "Self") {
            return BTreeSet::new();
        }
        if let Some((start, n_used)) = anchor(module, segments) {
            return self.descend(start, &segments[n_used..], pending);
        }
        let found = self.look_up(module, &segments[0], pending);
        if found.is_empty() {
            return BTreeSet::from([Target::External(segments.to_vec())]);
        }
        self.continue_from(found, &segments[1..], pending)
    }

    fn descend(
        &self,
        module: Path,
        segments: &[String],
        pending: &mut Vec<(Path, Path)>,
    ) -> BTreeSet<Target> {
        let Some((name, rest)) = segments.split_first() else {
            return BTreeSet::from([Target::Module(module)]);
        };
        self.continue_from(self.look_up(&module, name, pending), rest, pending)
    }

    fn continue_from(
        &self,
        found: BTreeSet<Target>,
        rest: &[String],
        pending: &mut Vec<(Path, Path)>,
    ) -> BTreeSet<Target> {
        let has_module = found.iter().any(|target| matches!(target, Target::Module(_)));
        let mut targets = BTreeSet::new();
        for target in found {
            match target {
                // Of a module and a function of the same name, only the module has members.
                Target::Item { .. } if has_module && !rest.is_empty() => {}
                Target::Item { .. } => {
                    targets.insert(target);
                }
                Target::Module(module) => targets.extend(self.descend(module, rest, pending)),
                Target::External(path) => {
                    targets.insert(Target::External([&path[..], rest].concat()));
                }
            }
        }
        targets
    }

    fn look_up(
        &self,
        module: &[String],
        name: &str,
        pending: &mut Vec<(Path, Path)>,
    ) -> BTreeSet<Target> {
        let mut targets = BTreeSet::new();
        let Some(scope) = self.scopes.get(module) else { return targets };
        if self.is_module(&child(module, name)) {
            targets.insert(Target::Module(child(module, name)));
        }
        let items = scope.items.get(name).into_iter().flatten();
        targets.extend(items.map(|&file| Target::Item { file }));
        let imports = scope.imports.get(name).into_iter().flatten().map(|import| (import, false));
        for (import, is_glob) in imports.chain(scope.globs.iter().map(|glob| (glob, true))) {
            if is_glob && !targets.is_empty() {
                continue;
            }
            let step = (module.to_vec(), import.clone());
            if pending.contains(&step) || pending.len() == MAX_DEPTH {
                continue;
            }
            pending.push(step);
            for target in self.follow(module, import, pending) {
                match target {
                    Target::Module(base) if is_glob => {
                        targets.extend(self.look_up(&base, name, pending));
                    }
                    // The variants of an enum, or another crate's names.
                    Target::Item { .. } | Target::External(_) if is_glob => {}
                    target => {
                        targets.insert(target);
                    }
                }
            }
            pending.pop();
        }
        targets
    }
}

/// The module that leading `crate`, `self` and `super` mean, and the number of segments they take.
fn anchor(module: &[String], segments: &[String]) -> Option<(Path, usize)> {
    match segments.first()?.as_str() {
        "crate" if module.first().is_some_and(|top| top == "main") => Some((child(&[], "main"), 1)),
        "crate" | LIBRARY => Some((Path::new(), 1)),
        "self" => match anchor(module, &segments[1..]) {
            Some((start, n_used)) if segments[1] == "super" => Some((start, n_used + 1)),
            _ => Some((module.to_vec(), 1)),
        },
        "super" => {
            let n_up = segments.iter().take_while(|segment| *segment == "super").count();
            Some((module[..module.len().checked_sub(n_up)?].to_vec(), n_up))
        }
        _ => None,
    }
}
