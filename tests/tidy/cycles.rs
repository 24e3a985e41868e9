//! Import cycles between the files of `src`.
//!
//! A file imports another if one of its paths leads to an item which the other defines. Code for
//! tests is left out. So is what passes between a `mod.rs` and the files below it: the parent
//! combines its children, and they use what it defines. Two children that import each other
//! through the parent do count.

use std::collections::btree_map::Entry;
use std::collections::{BTreeMap, BTreeSet, VecDeque};

use super::report::Violation;
use super::resolve::Target;
use super::tree::Tree;

/// For each file, the files that it imports, with the first line that does and the path there.
type Graph = BTreeMap<usize, BTreeMap<usize, (usize, String)>>;

/// One violation for each shortest cycle through a file, with a line for each import in it.
pub(crate) fn cycles(tree: &Tree) -> Vec<Violation> {
    let graph = graph(tree);
    let mut found: BTreeSet<Vec<usize>> = BTreeSet::new();
    for &start in graph.keys() {
        if let Some(mut cycle) = shortest_cycle(&graph, start) {
            let smallest = (0..cycle.len()).min_by_key(|&i| cycle[i]).unwrap_or_default();
            cycle.rotate_left(smallest);
            found.insert(cycle);
        }
    }
    found.iter().map(|cycle| describe(tree, &graph, cycle)).collect()
}

fn graph(tree: &Tree) -> Graph {
    let mut graph = Graph::new();
    for (i, file) in tree.files.iter().enumerate().filter(|(_, file)| !file.is_test) {
        let imports = graph.entry(i).or_default();
        for mention in file.syntax.mentions.iter().filter(|mention| !mention.is_test) {
            for target in tree.resolve(&file.module_of(mention), &mention.segments) {
                let Target::Item { file: target } = target else { continue };
                let used = &tree.files[target];
                let is_family =
                    used.module.starts_with(&file.module) || file.module.starts_with(&used.module);
                if !is_family && !used.is_test {
                    let example = || (mention.line, mention.segments.join("::"));
                    imports.entry(target).or_insert_with(example);
                }
            }
        }
    }
    graph
}

/// The files of a shortest cycle through `start`, which comes first.
fn shortest_cycle(graph: &Graph, start: usize) -> Option<Vec<usize>> {
    let mut reached_from: BTreeMap<usize, usize> = BTreeMap::new();
    let mut queue = VecDeque::from([start]);
    while let Some(file) = queue.pop_front() {
        for &next in graph.get(&file).into_iter().flat_map(BTreeMap::keys) {
            if next == start {
                let mut cycle = vec![file];
                while let Some(&previous) = reached_from.get(&cycle[0]) {
                    cycle.insert(0, previous);
                }
                return Some(cycle);
            }
            if let Entry::Vacant(entry) = reached_from.entry(next) {
                entry.insert(file);
                queue.push_back(next);
            }
        }
    }
    None
}

fn describe(tree: &Tree, graph: &Graph, cycle: &[usize]) -> Violation {
    let imports: Vec<String> = cycle
        .iter()
        .zip(cycle.iter().cycle().skip(1))
        .map(|(from, to)| {
            let (line, path) = &graph[from][to];
            let (from, to) = (&tree.files[*from].path, &tree.files[*to].path);
            format!("    {from}:{line} uses `{path}` of {to}")
        })
        .collect();
    let first = cycle[0];
    let line = graph[&first][&cycle[1 % cycle.len()]].0;
    let message = format!(
        "import cycle: move what both sides need into a file of its own\n{}",
        imports.join("\n")
    );
    Violation::new(&tree.files[first].path, line, message)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::fixture::{lines, tree};

    #[test]
    fn files_that_import_each_other_are_found() {
        let tree = tree(&[
            ("src/m/mod.rs", "mod a; mod b; mod c;"),
            ("src/m/a.rs", "use super::b::B;\npub struct A;"),
            ("src/m/b.rs", "pub struct B;\nfn f(a: crate::m::a::A, c: super::c::C) {}"),
            ("src/m/c.rs", "pub struct C;"),
        ]);
        let found = cycles(&tree);
        assert_eq!(found.len(), 1);
        let text = found[0].to_string();
        assert!(text.contains("src/m/a.rs:1 uses `super::b::B` of src/m/b.rs"), "{text}");
        assert!(text.contains("src/m/b.rs:2 uses `crate::m::a::A` of src/m/a.rs"), "{text}");
    }

    #[test]
    fn cycle_of_three_files_is_found_once() {
        let tree = tree(&[
            ("src/a.rs", "use crate::b::B; pub struct A;"),
            ("src/b.rs", "use crate::c; pub struct B; type C = c::C;"),
            ("src/c.rs", "pub struct C { a: Vec<crate::a::A> }"),
        ]);
        assert_eq!(lines(cycles(&tree)), ["src/a.rs:1"]);
    }

    #[test]
    fn reexport_is_followed_to_the_file_that_defines_the_name() {
        let tree = tree(&[
            ("src/m/mod.rs", "mod a; mod b; pub use a::{A as Renamed, f}; use self::b::*;"),
            ("src/m/a.rs", "use super::B;\npub struct A; pub fn f() {}"),
            ("src/m/b.rs", "pub struct B;\nfn g() { crate::m::f() }"),
        ]);
        assert_eq!(lines(cycles(&tree)), ["src/m/a.rs:1"]);
    }

    #[test]
    fn imports_between_a_module_and_its_own_files_are_ignored() {
        let tree = tree(&[
            ("src/m/mod.rs", "mod a; mod n; use a::A; pub struct M(A, n::deep::D);"),
            ("src/m/a.rs", "use super::M; pub struct A;"),
            ("src/m/n.rs", "pub mod deep;"),
            ("src/m/n/deep.rs", "use crate::m::M; pub struct D;"),
        ]);
        assert_eq!(lines(cycles(&tree)), [""; 0]);
    }

    #[test]
    fn imports_of_tests_are_ignored() {
        let tree = tree(&[
            ("src/a.rs", "pub struct A; #[cfg(test)] use crate::b::B; #[cfg(test)] mod t;"),
            ("src/a/t.rs", "use crate::b::B;"),
            ("src/b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert_eq!(lines(cycles(&tree)), [""; 0]);
    }

    #[test]
    fn path_in_a_macro_call_is_an_import() {
        let tree = tree(&[
            ("src/a.rs", "pub struct A; fn f() { select!(x = crate::b::B::new() => {}) }"),
            ("src/b.rs", "use crate::a::A; pub struct B;"),
        ]);
        assert_eq!(lines(cycles(&tree)), ["src/a.rs:1"]);
    }
}
