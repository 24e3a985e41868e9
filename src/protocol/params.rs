//! `params` on the wire: its fields, their types and the meaning of -1.
//!
//! What comes out lies inside the ranges of [`Params`]; nothing is clamped in silence. Fields
//! this version does not know are ignored. Whether a token id exists is the model's to say.

use serde_json::{Map, Value};

use crate::domain::{Params, Range, Refusal, Token};

use super::fields::{Fields, expected, integer, invalid, number};

/// Every token id that can be named; the model has fewer.
const TOKEN_IDS: Range = Range { min: 0.0, max: Token::MAX as f64 };

/// Reads `params`.
pub(super) fn parse(object: Map<String, Value>) -> Result<Params, Refusal> {
    let mut fields = Fields(object);
    let default = Params::default();
    Ok(Params {
        temp: temperature(&mut fields)?.unwrap_or(default.temp),
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
        stop: fields.take("stop").map_or(Ok(default.stop), stop)?,
        logit_bias: fields.take("logit_bias").map_or(Ok(default.logit_bias), logit_bias)?,
        ignore_eos: fields.flag("ignore_eos")?.unwrap_or(default.ignore_eos),
        max_tokens: fields
            .integer("max_tokens", Params::MAX_TOKENS)?
            .map_or(default.max_tokens, unless_negative),
        cache_prompt: fields.flag("cache_prompt")?.unwrap_or(default.cache_prompt),
        progress: fields.flag("progress")?.unwrap_or(default.progress),
        logprobs: count(fields.integer("logprobs", Params::LOGPROBS)?, default.logprobs),
    })
}

fn temperature(fields: &mut Fields) -> Result<Option<f32>, Refusal> {
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

fn stop(value: Value) -> Result<Vec<String>, Refusal> {
    const ALLOWED: &str = "a string or a list of strings";
    let texts = match value {
        Value::String(text) => vec![text],
        Value::Array(items) if items.len() > Params::MAX_STOPS => {
            let (sent, most) = (items.len(), Params::MAX_STOPS);
            return Err(invalid("stop", format!("must be at most {most} strings, not {sent}")));
        }
        Value::Array(items) => items
            .into_iter()
            .map(|item| match item {
                Value::String(text) => Ok(text),
                other => Err(expected("stop", ALLOWED, &other)),
            })
            .collect::<Result<_, _>>()?,
        other => return Err(expected("stop", ALLOWED, &other)),
    };
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

fn logit_bias(value: Value) -> Result<Vec<(Token, f32)>, Refusal> {
    const FIELD: &str = "logit_bias";
    const ALLOWED: &str = "an object of token ids and biases, or a list of [id, bias]";
    let n_pairs = match &value {
        Value::Array(items) => items.len(),
        Value::Object(entries) => entries.len(),
        _ => return Err(expected(FIELD, ALLOWED, &value)),
    };
    if n_pairs > Params::MAX_LOGIT_BIASES {
        let most = Params::MAX_LOGIT_BIASES;
        return Err(invalid(FIELD, format!("must be of at most {most} tokens, not {n_pairs}")));
    }
    let pair = |id: &Value, bias: &Value| {
        let token = integer(FIELD, id, TOKEN_IDS)? as Token;
        Ok((token, number(FIELD, bias, Params::LOGIT_BIAS)? as f32))
    };
    match value {
        Value::Object(entries) => entries
            .into_iter()
            .map(|(key, bias)| {
                // A key that is no number stays a string and is refused as one.
                let id = key.parse::<u64>().map_or_else(|_| Value::from(key), Value::from);
                pair(&id, &bias)
            })
            .collect(),
        Value::Array(items) => items
            .iter()
            .map(|item| match item.as_array().map(Vec::as_slice) {
                Some([id, bias]) => pair(id, bias),
                _ => Err(expected(FIELD, ALLOWED, item)),
            })
            .collect(),
        _ => unreachable!("other types were refused above"),
    }
}
