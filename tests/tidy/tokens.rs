//! Checks that look at tokens instead of the syntax tree: test attributes and `unsafe`.

use proc_macro2::{Delimiter, Ident, TokenStream, TokenTree};
use syn::{Attribute, Meta};

/// An `unsafe` keyword.
#[derive(Debug, Clone)]
pub(crate) struct Unsafe {
    pub(crate) line: usize,
    /// A block or an `impl`, which must state why it is sound.
    pub(crate) needs_comment: bool,
}

/// `#[test]`, `#[cfg(test)]` and `#[cfg(all(test, …))]`.
pub(crate) fn is_test_only(attribute: &Attribute) -> bool {
    if attribute.path().is_ident("test") {
        return true;
    }
    let Meta::List(list) = &attribute.meta else { return false };
    let mut tokens: Vec<TokenTree> = list.tokens.clone().into_iter().collect();
    if let [TokenTree::Ident(all), TokenTree::Group(group)] = &tokens[..]
        && all == "all"
    {
        tokens = group.stream().into_iter().collect();
    }
    list.path.is_ident("cfg")
        && tokens.iter().any(|token| matches!(token, TokenTree::Ident(word) if word == "test"))
}

pub(crate) fn find_unsafe(tokens: TokenStream, found: &mut Vec<Unsafe>) {
    let tokens: Vec<TokenTree> = tokens.into_iter().collect();
    for (i, token) in tokens.iter().enumerate() {
        match token {
            TokenTree::Group(group) => find_unsafe(group.stream(), found),
            TokenTree::Ident(word) if word == "unsafe" => {
                let needs_comment = match tokens.get(i + 1) {
                    // `#[unsafe(…)]` is an attribute.
                    Some(TokenTree::Group(group)) => group.delimiter() == Delimiter::Brace,
                    Some(TokenTree::Ident(next)) => next == "impl",
                    _ => false,
                };
                found.push(Unsafe { line: line(word), needs_comment });
            }
            _ => {}
        }
    }
}

/// Line of the file, counted from 1.
pub(crate) fn line(ident: &Ident) -> usize {
    ident.span().start().line
}
