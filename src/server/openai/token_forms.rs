//! Fields of requests with tokens: prompts and biases.

use std::borrow::Cow;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::Deserialize;
use serde::de::value::{MapAccessDeserializer, SeqAccessDeserializer};
use serde::de::{Error, IntoDeserializer, MapAccess, SeqAccess};

use crate::domain::{Params, Token};
use crate::server::json::{AtMost, LogitBias, MembersAtMost, Real, TokenId, Whole, read_forms};

/// What to continue: texts, or lists of tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum PromptField {
    Texts(Vec<String>),
    Tokens(Vec<Vec<Token>>),
}

/// An element of a list of prompts, or of one prompt of tokens.
enum PromptElement {
    Text(String),
    Token(Token),
    Tokens(Vec<Token>),
}

/// The tokens of a prompt.
type PromptTokens = AtMost<Whole<TokenId>, MAX_PROMPT_TOKENS>;

read_forms! {
    PromptElement, "a string, the id of a token or a list of such ids",
    fn visit_str<E: Error>(self, text: &str) -> Result<PromptElement, E> {
        Ok(PromptElement::Text(text.to_owned()))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<PromptElement, E> {
        Ok(PromptElement::Text(text))
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<PromptElement, E> {
        Whole::deserialize(number.into_deserializer()).map(|id| PromptElement::Token(token(id)))
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<PromptElement, E> {
        Whole::deserialize(number.into_deserializer()).map(|id| PromptElement::Token(token(id)))
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<PromptElement, E> {
        Whole::deserialize(number.into_deserializer()).map(|id| PromptElement::Token(token(id)))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<PromptElement, A::Error> {
        let tokens = PromptTokens::deserialize(SeqAccessDeserializer::new(list))?.0;
        Ok(PromptElement::Tokens(tokens.into_iter().map(token).collect()))
    }
}

read_forms! {
    PromptField, "a string, a list of token ids, or a list of one of these",
    fn visit_str<E: Error>(self, text: &str) -> Result<PromptField, E> {
        Ok(PromptField::Texts(vec![text.to_owned()]))
    }
    fn visit_string<E: Error>(self, text: String) -> Result<PromptField, E> {
        Ok(PromptField::Texts(vec![text]))
    }
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<PromptField, A::Error> {
        let (mut texts, mut tokens, mut lists) = (Vec::new(), Vec::new(), Vec::new());
        while let Some(element) = list.next_element()? {
            match element {
                PromptElement::Text(text) => texts.push(text),
                PromptElement::Token(token) => tokens.push(token),
                PromptElement::Tokens(list) => lists.push(list),
            }
            if texts.len() > MAX_PROMPTS || lists.len() > MAX_PROMPTS {
                let message = format_args!("must have at most {MAX_PROMPTS} prompts");
                return Err(A::Error::custom(message));
            }
            if tokens.len() > MAX_PROMPT_TOKENS {
                let message = format_args!("must have at most {MAX_PROMPT_TOKENS} tokens");
                return Err(A::Error::custom(message));
            }
        }
        match (texts.is_empty(), tokens.is_empty(), lists.is_empty()) {
            (_, true, true) => Ok(PromptField::Texts(texts)),
            (true, false, true) => Ok(PromptField::Tokens(vec![tokens])),
            (true, true, false) => Ok(PromptField::Tokens(lists)),
            _ => Err(A::Error::custom("must have strings, token ids or lists of them, not several")),
        }
    }
}

fn token(id: Whole<TokenId>) -> Token {
    Token::try_from(id.get()).unwrap_or(Token::MAX)
}

impl JsonSchema for PromptField {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Prompt".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let texts = generator.subschema_for::<AtMost<String, MAX_PROMPTS>>();
        let tokens = generator.subschema_for::<PromptTokens>();
        let lists = generator.subschema_for::<AtMost<PromptTokens, MAX_PROMPTS>>();
        json_schema!({ "anyOf": [{ "type": "string" }, texts, tokens, lists] })
    }
}

/// Biases of tokens, sorted by the tokens.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct LogitBiases(pub(super) Vec<(Token, f32)>);

impl LogitBiases {
    /// The biases; the reason if a token has several, which llama.cpp would add up.
    fn of(mut biases: Vec<(Token, f32)>) -> Result<Self, String> {
        biases.sort_unstable_by_key(|&(token, _)| token);
        match biases.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            Some(pair) => Err(format!("has several biases for token {}", pair[0].0)),
            None => Ok(Self(biases)),
        }
    }
}

/// A token and its bias.
struct BiasPair(Token, f32);

/// A bias in a pair: `false` is the lowest.
struct PairedBias(f32);

read_forms! {
    PairedBias, "a number or false",
    fn visit_bool<E: Error>(self, flag: bool) -> Result<PairedBias, E> {
        match flag {
            false => Ok(PairedBias(Params::LOGIT_BIAS.min as f32)),
            true => Err(E::custom("must be a number or false, not true")),
        }
    }
    fn visit_u64<E: Error>(self, number: u64) -> Result<PairedBias, E> {
        bias(number)
    }
    fn visit_i64<E: Error>(self, number: i64) -> Result<PairedBias, E> {
        bias(number)
    }
    fn visit_f64<E: Error>(self, number: f64) -> Result<PairedBias, E> {
        bias(number)
    }
}

fn bias<'de, E: Error>(number: impl IntoDeserializer<'de, E>) -> Result<PairedBias, E> {
    Real::<LogitBias>::deserialize(number.into_deserializer()).map(|bias| PairedBias(bias.get()))
}

read_forms! {
    BiasPair, "a list of a token id and a bias",
    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<BiasPair, A::Error> {
        let id = list.next_element::<Whole<TokenId>>()?;
        let bias = list.next_element::<PairedBias>()?;
        let rest = list.next_element::<serde::de::IgnoredAny>()?;
        match (id, bias, rest) {
            (Some(id), Some(bias), None) => Ok(BiasPair(token(id), bias.0)),
            _ => Err(A::Error::custom("must be a list of a token id and a bias")),
        }
    }
}

read_forms! {
    LogitBiases, "an object of token ids and biases, or a list of such pairs",
    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<LogitBiases, A::Error> {
        type Members = MembersAtMost<Real<LogitBias>, { Params::MAX_LOGIT_BIASES }>;
        let members = Members::deserialize(MapAccessDeserializer::new(map))?.0;
        let read = |(key, bias): (String, Real<LogitBias>)| {
            let id = key.parse::<Token>().ok().filter(|id| *id >= 0);
            id.map(|id| (id, bias.get())).ok_or_else(|| {
                let key: String = key.chars().take(40).collect();
                A::Error::custom(format_args!("must have ids of tokens as names, not {key:?}"))
            })
        };
        let biases = members.into_iter().map(read).collect::<Result<Vec<_>, _>>()?;
        LogitBiases::of(biases).map_err(A::Error::custom)
    }
    fn visit_seq<A: SeqAccess<'de>>(self, list: A) -> Result<LogitBiases, A::Error> {
        type Pairs = AtMost<BiasPair, { Params::MAX_LOGIT_BIASES }>;
        let pairs = Pairs::deserialize(SeqAccessDeserializer::new(list))?.0;
        let biases = pairs.into_iter().map(|BiasPair(token, bias)| (token, bias)).collect();
        LogitBiases::of(biases).map_err(A::Error::custom)
    }
}

impl JsonSchema for LogitBiases {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "LogitBiases".into()
    }

    fn json_schema(generator: &mut SchemaGenerator) -> Schema {
        let (id, max) = (generator.subschema_for::<Whole<TokenId>>(), Params::MAX_LOGIT_BIASES);
        let bias = generator.subschema_for::<Real<LogitBias>>();
        json_schema!({ "anyOf": [
            {
                "type": "object",
                "propertyNames": { "pattern": "^[0-9]+$" },
                "additionalProperties": bias,
                "maxProperties": max,
            },
            {
                "type": "array",
                "maxItems": max,
                "items": {
                    "type": "array",
                    "minItems": 2,
                    "maxItems": 2,
                    "prefixItems": [id, { "anyOf": [bias, { "const": false }] }],
                },
            },
        ] })
    }
}

/// Most prompts of a request.
const MAX_PROMPTS: usize = 64;

/// Most tokens of a prompt.
const MAX_PROMPT_TOKENS: usize = 1 << 20;

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn prompts_are_texts_or_lists_of_tokens() {
        let read = |text| serde_json::from_str::<PromptField>(text).map_err(|e| e.to_string());
        let texts =
            |texts: &[&str]| PromptField::Texts(texts.iter().map(|t| (*t).into()).collect());
        for (text, expected) in [
            (r#""a""#, texts(&["a"])),
            (r#"["a","b"]"#, texts(&["a", "b"])),
            ("[]", texts(&[])),
            ("[1,2]", PromptField::Tokens(vec![vec![1, 2]])),
            ("[[1,2],[3]]", PromptField::Tokens(vec![vec![1, 2], vec![3]])),
        ] {
            assert_eq!(read(text), Ok(expected), "{text}");
        }
        for text in ["3", "{}", "[-1]", "[1.5]", r#"["a",1]"#, "[[1],2]", "[[[1]]]"] {
            assert!(read(text).is_err(), "{text}");
        }
    }

    #[test]
    fn biases_are_an_object_or_pairs() {
        let read = |text| serde_json::from_str::<LogitBiases>(text).map(|biases| biases.0);
        let expected = [(1, -100.0), (7, 2.0)];
        assert_eq!(read(r#"{"7":2,"1":-100}"#).unwrap(), expected);
        assert_eq!(read("[[7,2],[1,false]]").unwrap(), expected);
        for text in [
            r#"{"a":1}"#,
            r#"{"1":1,"01":1}"#,
            r#"{"1":101}"#,
            "[[1]]",
            "[[1,2,3]]",
            "[[1,true]]",
            "[[\"a\",1]]",
            "[1]",
            "[[1,1],[1,2]]",
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
