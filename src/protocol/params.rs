//! `params` on the wire: its fields, their types and the meaning of -1.
//!
//! What comes out lies inside the ranges of [`Params`]; nothing is clamped in silence. Fields
//! this version does not know are ignored. Whether a token id exists is the model's to say.

use std::borrow::Cow;
use std::fmt::Display;

use crate::domain::{Params, Range, Refusal, Speculation, Token};

use super::fields::{Fields, expected, integer, invalid, number, whole_number};
use super::sent::{Quoted, Sent};

/// Every token id that can be named; the model has fewer.
const TOKEN_IDS: Range = Range { min: 0.0, max: Token::MAX as f64 };

/// The fields of `params`. What is not named here is skipped before it is read.
const NAMES: [&str; 19] = [
    "temp",
    "temperature",
    "top_k",
    "top_p",
    "min_p",
    "typical_p",
    "repeat_penalty",
    "repeat_last_n",
    "presence_penalty",
    "frequency_penalty",
    "seed",
    "stop",
    "logit_bias",
    "ignore_eos",
    "max_tokens",
    "cache_prompt",
    "progress",
    "logprobs",
    "speculative",
];

/// Reads `params`; `None` if that is no object.
pub(super) fn parse(sent: Sent<'_>) -> Option<Result<Params, Refusal>> {
    Fields::of(sent, &NAMES).map(|fields| from_fields(&fields))
}

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
    })
}

fn temperature(fields: &Fields<'_>) -> Result<Option<f32>, Refusal> {
    let short = fields.number("temp", Params::TEMP)?;
    let long = fields.number("temperature", Params::TEMP)?;
    if short.is_some() && long.is_some() {
        return Err(invalid("temperature", "is another name of temp: send one of them"));
    }
    Ok(short.or(long))
}

/// -1 stands for "no limit" or "you choose".
fn unless_negative(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

fn count<T: TryFrom<i64>>(number: Option<i64>, default: T) -> T {
    number.map_or(default, |number| {
        T::try_from(number).unwrap_or_else(|_| unreachable!("the range fits the type"))
    })
}

fn stop(sent: Sent<'_>) -> Result<Vec<String>, Refusal> {
    const ALLOWED: &str = "a string or a list of strings";
    let most = Params::MAX_STOPS;
    let items = match sent.list(most) {
        Some(list) if list.len > most => {
            let reason = format!("must be at most {most} strings, not {}", list.len);
            return Err(invalid("stop", reason));
        }
        Some(list) => list.items,
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
            let (sent, most) = (text.len(), Params::MAX_STOP_BYTES);
            return Err(invalid("stop", format!("must be of at most {most} bytes, not {sent}")));
        }
    }
    Ok(texts)
}

fn speculation(sent: Sent<'_>) -> Result<Speculation, Refusal> {
    match sent.text().as_deref() {
        Some("off") => Ok(Speculation::Off),
        Some("ngram") => Ok(Speculation::Ngram),
        Some("auto") => Ok(Speculation::Auto),
        _ => Err(expected("speculative", "\"off\", \"ngram\" or \"auto\"", sent)),
    }
}

/// The field of the functions below.
const LOGIT_BIAS: &str = "logit_bias";

fn logit_bias(sent: Sent<'_>) -> Result<Vec<(Token, f32)>, Refusal> {
    const ALLOWED: &str = "an object of token ids and biases, or a list of [id, bias]";
    let most = Params::MAX_LOGIT_BIASES;
    let few = |len| match len {
        0..=Params::MAX_LOGIT_BIASES => Ok(()),
        _ => Err(invalid(LOGIT_BIAS, format!("must be of at most {most} tokens, not {len}"))),
    };
    if let Some(members) = sent.members(most) {
        few(members.len)?;
        let biases = members.items.into_iter().map(|(key, sent)| Ok((token(&key)?, bias(sent)?)));
        return once_each(biases.collect::<Result<_, _>>()?);
    }
    let list = sent.list(most).ok_or_else(|| expected(LOGIT_BIAS, ALLOWED, sent))?;
    few(list.len)?;
    let biases = list
        .items
        .into_iter()
        .map(|item| {
            let pair = item.list(2).filter(|pair| pair.len == 2);
            match pair.as_ref().map(|pair| pair.items.as_slice()) {
                Some(&[id, sent]) => {
                    Ok((integer(LOGIT_BIAS, id, TOKEN_IDS)? as Token, bias(sent)?))
                }
                _ => Err(expected(LOGIT_BIAS, ALLOWED, item)),
            }
        })
        .collect::<Result<_, _>>()?;
    once_each(biases)
}

/// `biases`, which llama.cpp would add up where there are several of a token.
fn once_each(biases: Vec<(Token, f32)>) -> Result<Vec<(Token, f32)>, Refusal> {
    let mut tokens: Vec<Token> = biases.iter().map(|&(token, _)| token).collect();
    tokens.sort_unstable();
    match tokens.windows(2).find(|pair| pair[0] == pair[1]) {
        Some(pair) => Err(invalid(LOGIT_BIAS, format!("has several biases for token {}", pair[0]))),
        None => Ok(biases),
    }
}

fn bias(sent: Sent<'_>) -> Result<f32, Refusal> {
    number(LOGIT_BIAS, sent, Params::LOGIT_BIAS).map(|bias| bias as f32)
}

fn no_token(sent: impl Display) -> Refusal {
    let allowed = whole_number(TOKEN_IDS);
    invalid(LOGIT_BIAS, format!("a token's id must be {allowed}, not {sent}"))
}

/// The token that a key names.
fn token(key: &str) -> Result<Token, Refusal> {
    match key.parse::<u64>() {
        Ok(id) if TOKEN_IDS.contains(id as f64) => Ok(id as Token),
        Ok(id) => Err(no_token(id)),
        Err(_) => Err(no_token(Quoted(key))),
    }
}
