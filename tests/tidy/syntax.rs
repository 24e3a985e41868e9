//! What the checks need to know about one Rust file: its paths, items and functions.
//!
//! [`Syntax::parse`] walks the syntax tree once and keeps plain data. `syn` cannot look into the
//! arguments of macros and attributes, so those are searched for token sequences of the form
//! `a::b`. Whether a path leads anywhere is left to `tree.rs`.

use proc_macro2::{Ident, TokenStream, TokenTree};
use syn::visit::{self, Visit};
use syn::{Attribute, ImplItem, Item, Meta, UseTree};

use super::tokens::{Unsafe, find_unsafe, is_test_only, line};

/// One path in the source, such as `crate::engine::Model` or `Vec::new`.
#[derive(Debug, Clone)]
pub(crate) struct Mention {
    /// Inline modules around the path, outermost first. Empty at the top of the file.
    pub(crate) inline: Vec<String>,
    pub(crate) segments: Vec<String>,
    pub(crate) line: usize,
    /// In an item that is compiled for tests only.
    pub(crate) is_test: bool,
    pub(crate) binding: Binding,
}

/// What a path brings into scope.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Binding {
    /// An import binds this name; `_` for `use Trait as _`.
    Name(String),
    /// An import binds all public names.
    Glob,
    /// The path is no import.
    None,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    /// Struct, enum, union, trait or alias.
    Type,
    /// Function, constant or static.
    Value,
    Macro,
    /// A module in a file of its own.
    Module,
}

#[derive(Debug, Clone)]
pub(crate) struct Definition {
    pub(crate) inline: Vec<String>,
    pub(crate) name: String,
    pub(crate) kind: Kind,
    pub(crate) line: usize,
    pub(crate) is_test: bool,
    /// The item has a `#[cfg(…)]`, so another may have the same name.
    pub(crate) is_conditional: bool,
}

#[derive(Debug, Clone)]
pub(crate) struct Function {
    pub(crate) name: String,
    pub(crate) line: usize,
    /// From `fn` to the closing brace.
    pub(crate) n_lines: usize,
}

#[derive(Debug, Clone, Default)]
pub(crate) struct Syntax {
    pub(crate) mentions: Vec<Mention>,
    pub(crate) definitions: Vec<Definition>,
    pub(crate) functions: Vec<Function>,
    pub(crate) unsafes: Vec<Unsafe>,
}

impl Syntax {
    pub(crate) fn parse(text: &str) -> syn::Result<Self> {
        let tokens: TokenStream = text.parse()?;
        let mut collector = Collector::default();
        find_unsafe(tokens.clone(), &mut collector.syntax.unsafes);
        collector.visit_file(&syn::parse2(tokens)?);
        Ok(collector.syntax)
    }
}

#[derive(Default)]
struct Collector {
    inline: Vec<String>,
    is_test: bool,
    /// Inside an inline module with a `#[cfg(…)]`.
    is_conditional: bool,
    syntax: Syntax,
}

impl Collector {
    fn mention(&mut self, segments: Vec<String>, line: usize, binding: Binding) {
        let (inline, is_test) = (self.inline.clone(), self.is_test);
        self.syntax.mentions.push(Mention { inline, segments, line, is_test, binding });
    }

    fn define(&mut self, ident: &Ident, kind: Kind, attributes: &[Attribute]) {
        self.syntax.definitions.push(Definition {
            inline: self.inline.clone(),
            name: ident.to_string(),
            kind,
            line: line(ident),
            is_test: self.is_test,
            is_conditional: self.is_conditional || has_cfg(attributes),
        });
    }

    fn function(&mut self, signature: &syn::Signature, block: &syn::Block) {
        let first = signature.fn_token.span.start().line;
        let last = block.brace_token.span.close().end().line;
        let (name, n_lines) = (signature.ident.to_string(), last - first + 1);
        self.syntax.functions.push(Function { name, line: first, n_lines });
    }

    fn import(&mut self, prefix: &[String], tree: &UseTree) {
        let path = |ident: &Ident| [prefix, &[ident.to_string()]].concat();
        match tree {
            UseTree::Path(tree) => self.import(&path(&tree.ident), &tree.tree),
            UseTree::Group(group) => group.items.iter().for_each(|tree| self.import(prefix, tree)),
            UseTree::Glob(glob) => {
                let line = glob.star_token.spans[0].start().line;
                self.mention(prefix.to_vec(), line, Binding::Glob);
            }
            UseTree::Rename(tree) if tree.ident == "self" => {
                let binding = Binding::Name(tree.rename.to_string());
                self.mention(prefix.to_vec(), line(&tree.ident), binding);
            }
            UseTree::Rename(tree) => {
                let binding = Binding::Name(tree.rename.to_string());
                self.mention(path(&tree.ident), line(&tree.ident), binding);
            }
            UseTree::Name(tree) if tree.ident == "self" => {
                let binding = Binding::Name(prefix.last().cloned().unwrap_or_default());
                self.mention(prefix.to_vec(), line(&tree.ident), binding);
            }
            UseTree::Name(tree) => {
                let binding = Binding::Name(tree.ident.to_string());
                self.mention(path(&tree.ident), line(&tree.ident), binding);
            }
        }
    }

    /// Finds `a::b` in tokens that `syn` does not parse.
    fn scan(&mut self, tokens: TokenStream) {
        let mut segments: Vec<String> = Vec::new();
        let (mut first_line, mut n_colons) = (0, 0);
        for token in tokens {
            match token {
                TokenTree::Ident(ident) => {
                    if n_colons != 2 || segments.is_empty() {
                        self.flush(&mut segments, first_line);
                        first_line = line(&ident);
                    }
                    segments.push(ident.to_string());
                    n_colons = 0;
                }
                TokenTree::Punct(punct) if punct.as_char() == ':' => n_colons += 1,
                other => {
                    self.flush(&mut segments, first_line);
                    n_colons = 0;
                    if let TokenTree::Group(group) = other {
                        self.scan(group.stream());
                    }
                }
            }
        }
        self.flush(&mut segments, first_line);
    }

    fn flush(&mut self, segments: &mut Vec<String>, line: usize) {
        let segments = std::mem::take(segments);
        if segments.len() > 1 {
            self.mention(segments, line, Binding::None);
        }
    }

    /// Runs `visit` with the test mark that `attributes` call for.
    fn within(&mut self, attributes: &[Attribute], visit: impl FnOnce(&mut Self)) {
        let outer = self.is_test;
        self.is_test |= attributes.iter().any(is_test_only);
        visit(self);
        self.is_test = outer;
    }
}

impl<'ast> Visit<'ast> for Collector {
    fn visit_item(&mut self, item: &'ast Item) {
        let attributes = attributes(item);
        self.within(attributes, |this| {
            match item {
                Item::Struct(item) => this.define(&item.ident, Kind::Type, attributes),
                Item::Enum(item) => this.define(&item.ident, Kind::Type, attributes),
                Item::Union(item) => this.define(&item.ident, Kind::Type, attributes),
                Item::Trait(item) => this.define(&item.ident, Kind::Type, attributes),
                Item::Type(item) => this.define(&item.ident, Kind::Type, attributes),
                Item::Const(item) => this.define(&item.ident, Kind::Value, attributes),
                Item::Static(item) => this.define(&item.ident, Kind::Value, attributes),
                Item::Fn(item) => this.define(&item.sig.ident, Kind::Value, attributes),
                Item::Macro(item) => {
                    if let Some(ident) = &item.ident {
                        this.define(ident, Kind::Macro, attributes);
                    }
                }
                Item::Use(item) => return this.import(&[], &item.tree),
                Item::Mod(item) if item.content.is_none() => {
                    return this.define(&item.ident, Kind::Module, attributes);
                }
                Item::Mod(item) => {
                    this.inline.push(item.ident.to_string());
                    let outside = this.is_conditional;
                    this.is_conditional |= has_cfg(&item.attrs);
                    visit::visit_item_mod(this, item);
                    this.is_conditional = outside;
                    this.inline.pop();
                    return;
                }
                _ => {}
            }
            visit::visit_item(this, item);
        });
    }

    fn visit_impl_item(&mut self, item: &'ast ImplItem) {
        let attributes = match item {
            ImplItem::Fn(item) => &item.attrs[..],
            ImplItem::Const(item) => &item.attrs,
            _ => &[],
        };
        self.within(attributes, |this| visit::visit_impl_item(this, item));
    }

    fn visit_item_fn(&mut self, item: &'ast syn::ItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_item_fn(self, item);
    }

    fn visit_impl_item_fn(&mut self, item: &'ast syn::ImplItemFn) {
        self.function(&item.sig, &item.block);
        visit::visit_impl_item_fn(self, item);
    }

    fn visit_trait_item_fn(&mut self, item: &'ast syn::TraitItemFn) {
        if let Some(block) = &item.default {
            self.function(&item.sig, block);
        }
        visit::visit_trait_item_fn(self, item);
    }

    fn visit_path(&mut self, path: &'ast syn::Path) {
        if let Some(first) = path.segments.first() {
            let names = path.segments.iter().map(|segment| segment.ident.to_string());
            self.mention(names.collect(), line(&first.ident), Binding::None);
        }
        visit::visit_path(self, path);
    }

    fn visit_macro(&mut self, invocation: &'ast syn::Macro) {
        self.visit_path(&invocation.path);
        self.scan(invocation.tokens.clone());
    }

    fn visit_attribute(&mut self, attribute: &'ast Attribute) {
        visit::visit_attribute(self, attribute);
        if let Meta::List(list) = &attribute.meta {
            self.scan(list.tokens.clone());
        }
    }
}

fn has_cfg(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| attribute.path().is_ident("cfg"))
}

fn attributes(item: &Item) -> &[Attribute] {
    match item {
        Item::Const(item) => &item.attrs,
        Item::Enum(item) => &item.attrs,
        Item::Fn(item) => &item.attrs,
        Item::Impl(item) => &item.attrs,
        Item::Macro(item) => &item.attrs,
        Item::Mod(item) => &item.attrs,
        Item::Static(item) => &item.attrs,
        Item::Struct(item) => &item.attrs,
        Item::Trait(item) => &item.attrs,
        Item::Type(item) => &item.attrs,
        Item::Use(item) => &item.attrs,
        _ => &[],
    }
}
