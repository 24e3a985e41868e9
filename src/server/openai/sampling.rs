//! The parameters of a request to the model, from the fields of an HTTP request. A value outside
//! its range is refused, never clamped.

use crate::domain::{Params, Range, Token};

use super::error::ApiError;
use super::fields::{CompletionBody, TextOrList};

/// The parameters that chat completions and completions share. Those that are absent have their
/// defaults.
pub(super) fn params(body: &CompletionBody) -> Result<Params, ApiError> {
    let default = Params::default();
    Ok(Params {
        temp: number("temperature", body.temperature, Params::TEMP)?.unwrap_or(default.temp),
        top_k: integer("top_k", top_k(body), Params::TOP_K)?.map_or(default.top_k, |n| n as u32),
        top_p: number("top_p", body.top_p, Params::PROBABILITY)?.unwrap_or(default.top_p),
        min_p: number("min_p", body.min_p, Params::PROBABILITY)?.unwrap_or(default.min_p),
        typical_p: number("typical_p", body.typical_p, Params::PROBABILITY)?
            .unwrap_or(default.typical_p),
        repeat_penalty: number("repeat_penalty", body.repeat_penalty, Params::REPEAT_PENALTY)?
            .unwrap_or(default.repeat_penalty),
        repeat_last_n: integer("repeat_last_n", body.repeat_last_n, Params::REPEAT_LAST_N)?
            .map_or(default.repeat_last_n, unless_negative),
        presence_penalty: number("presence_penalty", body.presence_penalty, Params::PENALTY)?
            .unwrap_or(default.presence_penalty),
        frequency_penalty: number("frequency_penalty", body.frequency_penalty, Params::PENALTY)?
            .unwrap_or(default.frequency_penalty),
        seed: integer("seed", body.seed, Params::SEED)?.and_then(unless_negative),
        stop: body.stop.as_ref().map_or(Ok(Vec::new()), stop)?,
        logit_bias: logit_bias(body)?,
        ignore_eos: body.ignore_eos.unwrap_or(default.ignore_eos),
        cache_prompt: body.cache_prompt.unwrap_or(default.cache_prompt),
        max_tokens: max_tokens(body)?,
        reasoning_budget: integer("reasoning_budget", body.reasoning_budget, Params::MAX_TOKENS)?
            .and_then(unless_negative),
        ..default
    })
}

/// Number of answers that a request asks for.
pub(super) fn n_answers(body: &CompletionBody) -> Result<usize, ApiError> {
    let range = Range { min: 1.0, max: MAX_ANSWERS as f64 };
    Ok(integer("n", body.n, range)?.map_or(1, |n| n as usize))
}

/// Reads a number in `range`.
pub(super) fn number(name: &str, sent: Option<f64>, range: Range) -> Result<Option<f32>, ApiError> {
    match sent {
        Some(number) if !range.contains(number) => Err(ApiError::invalid(
            name,
            format_args!("must be a number from {} to {}, not {number}", range.min, range.max),
        )),
        sent => Ok(sent.map(|number| number as f32)),
    }
}

/// Reads a whole number in `range`. 40.0 is accepted, 40.5 is refused.
pub(super) fn integer(
    name: &str,
    sent: Option<f64>,
    range: Range,
) -> Result<Option<i64>, ApiError> {
    match sent {
        Some(number) if !range.contains(number) || number.fract() != 0.0 => Err(ApiError::invalid(
            name,
            format_args!(
                "must be a whole number from {} to {}, not {number}",
                range.min, range.max
            ),
        )),
        sent => Ok(sent.map(|number| number as i64)),
    }
}

/// Maps -1, which stands for "no limit" or "the server chooses", to `None`.
fn unless_negative(number: i64) -> Option<u32> {
    u32::try_from(number).ok()
}

/// `top_k`, of which -1 keeps all tokens at other servers, as 0 does.
fn top_k(body: &CompletionBody) -> Option<f64> {
    body.top_k.map(|number| if number == -1.0 { 0.0 } else { number })
}

/// Most tokens of the answer, which has two names.
fn max_tokens(body: &CompletionBody) -> Result<Option<u32>, ApiError> {
    let older = integer("max_tokens", body.max_tokens, Params::MAX_TOKENS)?;
    let newer = integer("max_completion_tokens", body.max_completion_tokens, Params::MAX_TOKENS)?;
    if let (Some(older), Some(newer)) = (older, newer)
        && older != newer
    {
        let reason = format_args!("is {newer} and max_tokens is {older}: send one of them");
        return Err(ApiError::invalid("max_completion_tokens", reason));
    }
    Ok(newer.or(older).and_then(unless_negative))
}

/// Reads `stop`.
fn stop(sent: &TextOrList) -> Result<Vec<String>, ApiError> {
    let texts = match sent {
        TextOrList::Text(text) => vec![text.clone()],
        TextOrList::List(texts) => texts.clone(),
    };
    for text in &texts {
        if text.is_empty() {
            return Err(ApiError::invalid("stop", "must not be empty: every text contains \"\""));
        }
        if text.len() > Params::MAX_STOP_BYTES {
            let (sent, max) = (text.len(), Params::MAX_STOP_BYTES);
            let reason = format_args!("must have at most {max} bytes, not {sent}");
            return Err(ApiError::invalid("stop", reason));
        }
    }
    Ok(texts)
}

/// Reads `logit_bias`: an object of token ids and biases.
fn logit_bias(body: &CompletionBody) -> Result<Vec<(Token, f32)>, ApiError> {
    let Some(members) = &body.logit_bias else { return Ok(Vec::new()) };
    let read = |(key, bias): &(String, f64)| {
        let token: Token = key.parse().ok().filter(|id| *id >= 0).ok_or_else(|| {
            let key: String = key.chars().take(40).collect();
            let reason = format_args!("must have ids of tokens as names, not {key:?}");
            ApiError::invalid("logit_bias", reason)
        })?;
        let bias = number("logit_bias", Some(*bias), Params::LOGIT_BIAS)?.unwrap_or_default();
        Ok((token, bias))
    };
    let mut biases = members.0.iter().map(read).collect::<Result<Vec<_>, ApiError>>()?;
    // llama.cpp would add several biases of a token up.
    biases.sort_unstable_by_key(|&(token, _)| token);
    match biases.windows(2).find(|pair| pair[0].0 == pair[1].0) {
        Some(pair) => {
            let reason = format_args!("has several biases for token {}", pair[0].0);
            Err(ApiError::invalid("logit_bias", reason))
        }
        None => Ok(biases),
    }
}

/// Most answers to one request.
const MAX_ANSWERS: usize = 8;

#[cfg(test)]
mod tests {
    use super::*;

    fn read(text: &str) -> Result<Params, ApiError> {
        params(&serde_json::from_str(text).unwrap())
    }

    #[test]
    fn fields_have_the_meaning_that_peers_give_them() {
        let text = r#"{"temperature":0,"top_p":0.5,"top_k":-1,"min_p":0.1,"repetition_penalty":1.5,
            "presence_penalty":1,"frequency_penalty":-1,"seed":42,"stop":"a","max_tokens":9,
            "logit_bias":{"7":-100},"reasoning_budget":-1,"repeat_last_n":-1}"#;
        let expected = Params {
            temp: 0.0,
            top_p: 0.5,
            top_k: 0,
            min_p: 0.1,
            repeat_penalty: 1.5,
            presence_penalty: 1.0,
            frequency_penalty: -1.0,
            seed: Some(42),
            stop: vec!["a".to_owned()],
            max_tokens: Some(9),
            logit_bias: vec![(7, -100.0)],
            repeat_last_n: None,
            ..Params::default()
        };
        assert_eq!(read(text).unwrap(), expected);
        assert_eq!(read(r#"{"temperature":null,"n":1}"#).unwrap(), Params::default());
        assert_eq!(read(r#"{"max_completion_tokens":5}"#).unwrap().max_tokens, Some(5));
    }

    #[test]
    fn value_outside_of_its_range_is_refused_with_its_name() {
        for (text, name) in [
            (r#"{"temperature":11}"#, "temperature"),
            (r#"{"top_p":1.1}"#, "top_p"),
            (r#"{"top_k":1.5}"#, "top_k"),
            (r#"{"seed":4294967295}"#, "seed"),
            (r#"{"max_tokens":1,"max_completion_tokens":2}"#, "max_completion_tokens"),
            (r#"{"stop":[""]}"#, "stop"),
            (r#"{"logit_bias":{"a":1}}"#, "logit_bias"),
            (r#"{"logit_bias":{"1":1,"01":1}}"#, "logit_bias"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(name), "{text}");
            assert!(error.message.starts_with(name), "{error:?}");
        }
        let body = |text| serde_json::from_str(text).unwrap();
        assert!(n_answers(&body(r#"{"n":9}"#)).is_err());
        assert_eq!(n_answers(&body(r#"{"n":8}"#)).unwrap(), 8);
    }
}
