//! The `params` object: its fields, their types and the meaning of -1.
//!
//! The resulting [`Params`] are within their ranges; a value outside its range is refused, never
//! clamped. Whether a token id exists is checked by the engine, which
//! knows the vocabulary.

use std::borrow::Cow;
use std::fmt::Display;

use crate::domain::{Params, Range, Refusal, Speculation, Token};

use super::fields::{Fields, expected, integer, invalid, number, whole_number};
use super::json::{JsonSlice, Quoted};
use super::warnings::{Place, Warnings};

/// Reads `params`; `None` if `sent` is not an object.
pub(super) fn parse(
    sent: JsonSlice<'_>,
    warnings: &mut Warnings,
) -> Option<Result<Params, Refusal>> {
    Fields::of(sent, Place::Params, warnings).map(|fields| from_fields(&fields))
}

/// Reads the fields; the default stands for a missing field.
fn from_fields(fields: &Fields<'_>) -> Result<Params, Refusal> {
    let default = Params::default();
    Ok(Params {
        temp: temperature(fields)?.unwrap_or(default.temp),
        top_k: count(fields.integer("top_k", Params::TOP_K)?, default.top_k),
        top_p: fields.number("top_p", Params::PROBABILITY)?.unwrap_or(default.top_p),
        min_p: fields.number("min_p", Params::PROBABILITY)?.unwrap_or(default.min_p),
        typical_p: fields.number("typical_p", Params::PROBABILITY)?.unwrap_or(default.typical_p),
        repeat_penalty: fields
            .number("repeat_penalty", Params::REPEAT_PENALTY)?
            .unwrap_or(default.repeat_penalty),
        repeat_last_n: fields
            .integer("repeat_last_n", Params::REPEAT_LAST_N)?
            .map_or(default.repeat_last_n, unless_negative),
        presence_penalty: fields
            .number("presence_penalty", Params::PENALTY)?
            .unwrap_or(default.presence_penalty),
        frequency_penalty: fields
            .number("frequency_penalty", Params::PENALTY)?
            .unwrap_or(default.frequency_penalty),
        seed: fields.integer("seed", Params::SEED)?.map_or(default.seed, unless_negative),
        stop: fields.get("stop").map_or(Ok(default.stop), stop)?,
        logit_bias: fields.get("logit_bias").map_or(Ok(default.logit_bias), logit_bias)?,
        ignore_eos: fields.flag("ignore_eos")?.unwrap_or(default.ignore_eos),
        max_tokens: fields
            .integer("max_tokens", Params::MAX_TOKENS)?
            .map_or(default.max_tokens, unless_negative),
        cache_prompt: fields.flag("cache_prompt")?.unwrap_or(default.cache_prompt),
        progress: fields.flag("progress")?.unwrap_or(default.progress),
        logprobs: count(fields.integer("logprobs", Params::LOGPROBS)?, default.logprobs),
        speculative: fields.get("speculative").map(speculation).transpose()?,
        special: fields.flag("special")?,
        reasoning_budget: fields
            .integer("reasoning_budget", Params::MAX_TOKENS)?
            .map_or(default.reasoning_budget, unless_negative),
        ..default
    })
}

/// Reads `temp`, or `temperature`, which is another name of it.
fn temperature(fields: &Fields<'_>) -> Result<Option<f32>, Refusal> {
    let short = fields.number("temp", Params::TEMP)?;
    let long = fields.number("temperature", Params::TEMP)?;
    if short.is_some() && long.is_some() {
        return Err(invalid("temperature", "is another name of temp: send one of them"));
    }
    Ok(short.or(long))
}

/// Maps -1, which stands for "no limit" or "the server chooses", to `None`.
fn unless_negative(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

/// Converts to a type that can hold the whole range of the parameter.
fn count<T: TryFrom<i64>>(number: Option<i64>, default: T) -> T {
    number.map_or(default, |number| {
        T::try_from(number).unwrap_or_else(|_| unreachable!("the range fits the type"))
    })
}

/// Reads `stop`: a string or a list of strings, none of them empty.
fn stop(sent: JsonSlice<'_>) -> Result<Vec<String>, Refusal> {
    const ALLOWED: &str = "a string or a list of strings";
    let max = Params::MAX_STOPS;
    let items = match sent.array(max) {
        Some(array) if array.len > max => {
            let reason = format!("must have at most {max} strings, not {}", array.len);
            return Err(invalid("stop", reason));
        }
        Some(array) => array.items,
        None => vec![sent],
    };
    let texts = items
        .into_iter()
        .map(|item| item.text().map(Cow::into_owned).ok_or_else(|| expected("stop", ALLOWED, item)))
        .collect::<Result<Vec<_>, _>>()?;
    for text in &texts {
        if text.is_empty() {
            return Err(invalid("stop", "must not be empty: every text contains \"\""));
        }
        if text.len() > Params::MAX_STOP_BYTES {
            let (sent, max) = (text.len(), Params::MAX_STOP_BYTES);
            return Err(invalid("stop", format!("must have at most {max} bytes, not {sent}")));
        }
    }
    Ok(texts)
}

/// Reads `speculative`.
fn speculation(sent: JsonSlice<'_>) -> Result<Speculation, Refusal> {
    match sent.text().as_deref() {
        Some("off") => Ok(Speculation::Off),
        Some("ngram") => Ok(Speculation::Ngram),
        Some("auto") => Ok(Speculation::Auto),
        _ => Err(expected("speculative", "\"off\", \"ngram\" or \"auto\"", sent)),
    }
}

/// Reads `logit_bias`: an object of token ids and biases, or a list of pairs.
fn logit_bias(sent: JsonSlice<'_>) -> Result<Vec<(Token, f32)>, Refusal> {
    const ALLOWED: &str = "an object of token ids and biases, or a list of [id, bias]";
    let max = Params::MAX_LOGIT_BIASES;
    let check_len = |len| match len {
        0..=Params::MAX_LOGIT_BIASES => Ok(()),
        _ => Err(invalid(LOGIT_BIAS_FIELD, format!("must have at most {max} tokens, not {len}"))),
    };
    if let Some(object) = sent.object(max) {
        check_len(object.len)?;
        let biases = object.items.into_iter().map(|(key, sent)| Ok((token_id(&key)?, bias(sent)?)));
        return with_unique_tokens(biases.collect::<Result<_, _>>()?);
    }
    let array = sent.array(max).ok_or_else(|| expected(LOGIT_BIAS_FIELD, ALLOWED, sent))?;
    check_len(array.len)?;
    let biases = array
        .items
        .into_iter()
        .map(|item| {
            let pair = item.array(2).filter(|pair| pair.len == 2);
            match pair.as_ref().map(|pair| pair.items.as_slice()) {
                Some(&[id, sent]) => {
                    Ok((integer(LOGIT_BIAS_FIELD, id, TOKEN_IDS)? as Token, bias(sent)?))
                }
                _ => Err(expected(LOGIT_BIAS_FIELD, ALLOWED, item)),
            }
        })
        .collect::<Result<_, _>>()?;
    with_unique_tokens(biases)
}

/// Returns `biases`, unless a token has several of them: llama.cpp would silently add them up.
fn with_unique_tokens(biases: Vec<(Token, f32)>) -> Result<Vec<(Token, f32)>, Refusal> {
    let mut tokens: Vec<Token> = biases.iter().map(|&(token, _)| token).collect();
    tokens.sort_unstable();
    match tokens.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => {
            Err(invalid(LOGIT_BIAS_FIELD, format!("has several biases for token {}", pair[0])))
        }
        None => Ok(biases),
    }
}

/// Reads one bias.
fn bias(sent: JsonSlice<'_>) -> Result<f32, Refusal> {
    number(LOGIT_BIAS_FIELD, sent, Params::LOGIT_BIAS).map(|bias| bias as f32)
}

/// Reads a token id from the key of an object.
fn token_id(key: &str) -> Result<Token, Refusal> {
    match key.parse::<u64>() {
        Ok(id) if TOKEN_IDS.contains(id as f64) => Ok(id as Token),
        Ok(id) => Err(invalid_token_id(id)),
        Err(_) => Err(invalid_token_id(Quoted(key))),
    }
}

/// The error for `sent`, which is not a token id.
fn invalid_token_id(sent: impl Display) -> Refusal {
    let allowed = whole_number(TOKEN_IDS);
    invalid(LOGIT_BIAS_FIELD, format!("a token's id must be {allowed}, not {sent}"))
}

/// The field's name in error messages.
const LOGIT_BIAS_FIELD: &str = "logit_bias";

/// The range of token ids that fit [`Token`]. Vocabularies are smaller.
const TOKEN_IDS: Range = Range { min: 0.0, max: Token::MAX as f64 };
