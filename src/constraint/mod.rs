//! Compiles constraints on answers: JSON schemas, regular expressions, choices and grammars
//! (ADR-0045).
//!
//! A [`ConstraintCompiler`] knows the tokens of one vocabulary. It turns a
//! [`Constraint`](crate::domain::Constraint) into an
//! [`AnswerConstraint`](crate::engine::AnswerConstraint), which says for every token of an answer
//! which tokens may come next. The library llguidance does the work. What is around it limits the
//! work that a client can cause, and says in one line why a constraint is refused:
//!
//! | file | part |
//! |---|---|
//! | `compiler` | from a constraint to a compiled one |
//! | `grammar` | the grammar for each kind of constraint |
//! | `fault` | why a constraint is refused, and how large it may be |
//! | `reason` | what llguidance says, in plain words |
//! | `schema` | JSON schemas: what is refused and changed before they are compiled |
//! | `schema_…` | the parts of that: text, keywords, references, `oneOf`, recursion, faults |
//! | `regex`, `regex_class` | regular expressions of ECMA-262 in the syntax of the regex crate |
//! | `gbnf`, `gbnf_parser` | grammars in llama.cpp's notation |
//! | `lark_ends` | tokens in a Lark grammar that end the answer |
//! | `calls` | the grammar of calls of tools |
//! | `compiled` | a compiled constraint, and how far an answer has come in it |
//! | `tokens` | the tokens of a vocabulary in the form of llguidance |

mod calls;
mod compiled;
mod compiler;
mod fault;
mod gbnf;
mod gbnf_parser;
mod grammar;
mod lark_ends;
mod reason;
mod regex;
mod regex_class;
mod schema;
mod schema_check;
mod schema_combinations;
mod schema_endless;
mod schema_fault;
mod schema_one_of;
mod schema_path;
mod schema_refs;
mod schema_text;
mod tokens;

pub use self::compiler::ConstraintCompiler;
pub use self::tokens::Tokenize;
