//! Rewrites the source of a template where minijinja's syntax is not Jinja2's.
//!
//! minijinja's own lexer finds the tokens, so that nothing in a string, a comment or a raw block is
//! taken for something else.

use std::ops::Range;

use minijinja::Error;
use minijinja::machinery::{Token, tokenize};
use minijinja::syntax::SyntaxConfig;

use super::arguments::refused;
use super::literals;

/// The source as minijinja has to get it.
///
/// # Errors
/// An expression joins more constants than minijinja computes in a short time.
pub(super) fn adapted(source: &str, syntax: &SyntaxConfig) -> Result<String, Error> {
    // Jinja2 makes every line end a line feed.
    let source = source.replace("\r\n", "\n").replace('\r', "\n");
    let source = edited(&source, syntax, single_tokens);
    let mut n_constants = 0;
    let source = edited(&source, syntax, |source, tokens| {
        n_constants = n_constants.max(longest_constant(tokens));
        let edits = |block| bare_tuple(block).into_iter().chain(with_assignments(source, block));
        blocks(tokens).flat_map(edits).collect()
    });
    if n_constants > MAX_CONSTANTS {
        return Err(refused(format!("an expression joins more than {MAX_CONSTANTS} constants")));
    }
    Ok(source)
}

/// The texts outside of tags, and the string literals.
pub(super) fn literals(source: &str, syntax: &SyntaxConfig) -> Vec<String> {
    let tokens = tokenize(source, false, syntax.clone()).map_while(Result::ok);
    let literal = |(token, _)| match token {
        Token::TemplateData(text) | Token::Str(text) => Some(text.to_owned()),
        Token::String(text) => Some(text.into()),
        _ => None,
    };
    tokens.filter_map(literal).collect()
}

/// The source after the edits that `find` finds, which are in order.
fn edited(
    source: &str,
    syntax: &SyntaxConfig,
    mut find: impl FnMut(&str, &[Lexed<'_>]) -> Vec<Edit>,
) -> String {
    // Behind a broken token nothing is changed; compiling reports it.
    let tokens = tokenize(source, false, syntax.clone()).map_while(Result::ok);
    let tokens: Vec<_> = tokens
        .map(|(token, span)| (token, span.start_offset as usize..span.end_offset as usize))
        .collect();
    let mut out = String::with_capacity(source.len());
    let mut end = 0;
    for (range, text) in find(source, &tokens) {
        out.push_str(&source[end..range.start]);
        out.push_str(&text);
        end = range.end;
    }
    out.push_str(&source[end..]);
    out
}

type Lexed<'a> = (Token<'a>, Range<usize>);
/// A part of the source and what replaces it.
type Edit = (Range<usize>, String);

/// Edits of tokens that are judged by their neighbours.
fn single_tokens(source: &str, tokens: &[Lexed<'_>]) -> Vec<Edit> {
    let mut edits = Vec::new();
    for (index, (token, range)) in tokens.iter().enumerate() {
        let previous = index.checked_sub(1).map(|index| &tokens[index].0);
        let next = tokens.get(index + 1).map(|(token, _)| token);
        match token {
            // What transformers trains on. Variables that are set in it end with it.
            Token::Ident(name @ ("generation" | "endgeneration"))
                if matches!(previous, Some(Token::BlockStart))
                    && matches!(next, Some(Token::BlockEnd)) =>
            {
                let tag = if *name == "generation" { "with" } else { "endwith" };
                edits.push((range.clone(), tag.to_owned()));
            }
            // A sign that changes nothing.
            Token::Plus if !previous.is_some_and(ends_operand) => {
                edits.push((range.clone(), String::new()));
            }
            Token::Str(_) | Token::String(_) => {
                let literal = literals::adapted(&source[range.clone()]);
                edits.extend(literal.map(|text| (range.clone(), text)));
            }
            // minijinja removes a line feed behind `{% raw %}`, Jinja2 keeps it.
            Token::TemplateData(_) if follows_raw_tag(&source[..range.start]) => {
                edits.push((range.start..range.start, "\n".to_owned()));
            }
            _ => {}
        }
    }
    edits
}

/// The largest number of constants that are joined by operators.
fn longest_constant(tokens: &[Lexed<'_>]) -> usize {
    let is_operator = |token: &Token<'_>| match token {
        Token::Tilde | Token::Plus | Token::Minus | Token::Mul | Token::Div | Token::FloorDiv => {
            true
        }
        Token::Ident(name) => matches!(*name, "and" | "or" | "not" | "in"),
        _ => matches!(
            token,
            Token::Mod
                | Token::Pow
                | Token::ParenOpen
                | Token::ParenClose
                | Token::Eq
                | Token::Ne
                | Token::Gt
                | Token::Gte
                | Token::Lt
                | Token::Lte
        ),
    };
    let is_part = |(token, _): &Lexed<'_>| is_constant(token) || is_operator(token);
    tokens.split(|token| !is_part(token)).map(|run| run.len() / 2).max().unwrap_or(0)
}

fn is_constant(token: &Token<'_>) -> bool {
    matches!(
        token,
        Token::Str(_) | Token::String(_) | Token::Int(_) | Token::Int128(_) | Token::Float(_)
    )
}

/// Whether an operator can follow a token.
fn ends_operand(token: &Token<'_>) -> bool {
    match token {
        Token::Ident(name) => !matches!(*name, "and" | "or" | "not" | "in" | "is" | "if" | "else"),
        Token::ParenClose | Token::BracketClose | Token::BraceClose => true,
        _ => is_constant(token),
    }
}

/// Whether a source ends with a raw tag and a line feed.
fn follows_raw_tag(before: &str) -> bool {
    let tag = before.strip_suffix('\n').and_then(|before| before.strip_suffix("%}"));
    let name = tag.and_then(|tag| tag.trim_end().strip_suffix("raw"));
    name.is_some_and(|start| {
        let start = start.trim_end();
        start.strip_suffix(['-', '+']).unwrap_or(start).ends_with("{%")
    })
}

/// The tokens of each tag and each expression, from its start to its end.
fn blocks<'a, 'b>(tokens: &'b [Lexed<'a>]) -> impl Iterator<Item = &'b [Lexed<'a>]> {
    let ends = |(token, _): &Lexed<'_>| matches!(token, Token::BlockEnd | Token::VariableEnd);
    tokens.split_inclusive(ends).map(|block| {
        let is_start =
            |(token, _): &Lexed<'_>| matches!(token, Token::BlockStart | Token::VariableStart);
        &block[block.iter().position(is_start).unwrap_or(block.len())..]
    })
}

/// Tokens that are not in brackets, with their indexes.
fn outer<'a, 'b>(block: &'b [Lexed<'a>]) -> impl Iterator<Item = (usize, &'b Token<'a>)> {
    let mut depth = 0_usize;
    block.iter().enumerate().filter_map(move |(index, (token, _))| {
        match token {
            Token::ParenOpen | Token::BracketOpen | Token::BraceOpen => depth += 1,
            Token::ParenClose | Token::BracketClose | Token::BraceClose => {
                depth = depth.saturating_sub(1);
                return None;
            }
            _ => {}
        }
        (depth == 0).then_some((index, token))
    })
}

/// Parentheses around a tuple without them, in `{{ 1, 2 }}` and `{% for x in 1, 2 %}`.
fn bare_tuple(block: &[Lexed<'_>]) -> Vec<Edit> {
    let start = match block {
        [(Token::VariableStart, _), ..] => 1,
        [(Token::BlockStart, _), (Token::Ident("for"), _), ..] => {
            let found = outer(block).find(|(_, token)| matches!(token, Token::Ident("in")));
            found.map_or(block.len(), |(index, _)| index + 1)
        }
        _ => return Vec::new(),
    };
    let is_loop = start > 1;
    let is_end = |token: &Token<'_>| match token {
        Token::VariableEnd | Token::BlockEnd => true,
        Token::Ident("if" | "recursive") => is_loop,
        _ => false,
    };
    let end = outer(block).find(|(index, token)| *index >= start && is_end(token));
    let Some((end, _)) = end else { return Vec::new() };
    let mut parts = outer(block).filter(|(index, _)| (start..end).contains(index));
    if !parts.any(|(_, token)| matches!(token, Token::Comma)) {
        return Vec::new();
    }
    let (first, last) = (block[start].1.start, block[end - 1].1.end);
    vec![(first..first, "(".to_owned()), (last..last, ")".to_owned())]
}

/// `{% with a = 1, b = a %}` as one assignment: no value sees the names before it.
fn with_assignments(source: &str, block: &[Lexed<'_>]) -> Option<Edit> {
    // The last tag of a source may have no end.
    let [(Token::BlockStart, _), (Token::Ident("with"), _), .., (Token::BlockEnd, _)] = block
    else {
        return None;
    };
    let commas = outer(block).filter(|(_, token)| matches!(token, Token::Comma));
    let commas: Vec<usize> = commas.map(|(index, _)| index).collect();
    if commas.is_empty() {
        return None;
    }
    let mut names = Vec::new();
    let mut values = Vec::new();
    let mut start = 2;
    for end in commas.into_iter().chain([block.len() - 1]) {
        let [(Token::Ident(name), _), (Token::Assign, _), first, ..] = &block[start..end] else {
            return None;
        };
        names.push(*name);
        values.push(&source[first.1.start..block[end - 1].1.end]);
        start = end + 1;
    }
    let whole = block[2].1.start..block[block.len() - 2].1.end;
    Some((whole, format!("({}) = ({})", names.join(", "), values.join(", "))))
}

/// Most constants that operators join. minijinja computes them again for each operator.
const MAX_CONSTANTS: usize = 1000;
