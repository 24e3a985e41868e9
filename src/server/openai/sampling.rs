//! The parameters of a request to the model, from the fields of an HTTP request.

use crate::domain::Params;

use super::error::ApiError;
use super::fields::CompletionBody;

/// The parameters that chat completions and completions share, and the field that limits the
/// tokens. Those that are absent have their defaults.
pub(super) fn params(body: &CompletionBody) -> Result<(Params, &'static str), ApiError> {
    let default = Params::default();
    let (limit_name, max_tokens) = max_tokens(body)?;
    let params = Params {
        temp: body.temperature.map_or(default.temp, |number| number.get()),
        top_k: body.top_k.map_or(default.top_k, |number| number.unless_negative().unwrap_or(0)),
        top_p: body.top_p.map_or(default.top_p, |number| number.get()),
        min_p: body.min_p.map_or(default.min_p, |number| number.get()),
        typical_p: body.typical_p.map_or(default.typical_p, |number| number.get()),
        repeat_penalty: body.repeat_penalty.map_or(default.repeat_penalty, |number| number.get()),
        repeat_last_n: body
            .repeat_last_n
            .map_or(default.repeat_last_n, |number| number.unless_negative()),
        presence_penalty: body
            .presence_penalty
            .map_or(default.presence_penalty, |number| number.get()),
        frequency_penalty: body
            .frequency_penalty
            .map_or(default.frequency_penalty, |number| number.get()),
        seed: body.seed.and_then(|seed| seed.get()),
        stop: body.stop.as_ref().map_or_else(Vec::new, |stop| stop.0.clone()),
        logit_bias: body.logit_bias.as_ref().map_or_else(Vec::new, |biases| biases.0.clone()),
        ignore_eos: body.ignore_eos.unwrap_or(default.ignore_eos),
        cache_prompt: body.cache_prompt.unwrap_or(default.cache_prompt),
        max_tokens,
        reasoning_budget: body.reasoning_budget.and_then(|number| number.unless_negative()),
        ..default
    };
    Ok((params, limit_name))
}

/// Number of answers that a request asks for.
pub(super) fn n_answers(body: &CompletionBody) -> usize {
    body.n.map_or(1, |n| n.get() as usize)
}

/// Most tokens of the answer, which has several names, and the name that was sent.
fn max_tokens(body: &CompletionBody) -> Result<(&'static str, Option<u32>), ApiError> {
    let sent = [
        ("max_completion_tokens", body.max_completion_tokens),
        ("max_tokens", body.max_tokens),
        ("max_new_tokens", body.max_new_tokens),
        ("n_predict", body.n_predict),
    ];
    let mut sent = sent.into_iter().filter_map(|(name, number)| Some((name, number?.get())));
    let Some((name, number)) = sent.next() else { return Ok(("max_completion_tokens", None)) };
    match sent.find(|(_, other)| *other != number) {
        Some((other_name, other)) => {
            let reason = format_args!("is {number} and {other_name} is {other}: send one of them");
            Err(ApiError::invalid(name, reason))
        }
        None => Ok((name, u32::try_from(number).ok())),
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::server::json::read_body;

    fn read(text: &str) -> Result<Params, ApiError> {
        let (body, _) = read_body(text)?;
        params(&body).map(|(params, _)| params)
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
            (r#"{"seed":1.5}"#, "seed"),
            (r#"{"repetition_penalty":11}"#, "repetition_penalty"),
            (r#"{"n_predict":-2}"#, "n_predict"),
            (r#"{"max_tokens":1,"n_predict":2}"#, "max_tokens"),
            (r#"{"n":9}"#, "n"),
            (r#"{"max_tokens":1,"max_completion_tokens":2}"#, "max_completion_tokens"),
            (r#"{"stop":[""]}"#, "stop[0]"),
            (r#"{"logit_bias":{"a":1}}"#, "logit_bias"),
            (r#"{"logit_bias":{"1":1,"01":1}}"#, "logit_bias"),
        ] {
            let error = read(text).unwrap_err();
            assert_eq!(error.param.as_deref(), Some(name), "{text}");
            assert!(error.message.starts_with(name), "{error:?}");
        }
        let (body, _) = read_body(r#"{"n":8}"#).unwrap();
        assert_eq!(n_answers(&body), 8);
    }
}
