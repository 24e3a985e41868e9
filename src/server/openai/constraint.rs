//! What an answer has to be, from the fields of a request in which OpenAI, llama.cpp's server and
//! vLLM say so.

use serde_json::value::RawValue;

use crate::domain::Constraint;

use super::conversation::json_text;
use super::error::ApiError;
use super::fields::{CompletionBody, FormatKind, ResponseFormat, StructuredOutputs};

/// Takes the constraint out of `body`, with the name of its field; `None` if the answer is free.
pub(super) fn constraint(
    body: &mut CompletionBody,
) -> Result<Option<(Box<Constraint>, String)>, ApiError> {
    let format = body.response_format.take().map(response_format).transpose()?.flatten();
    let mut found = [
        format,
        body.json_schema.take().map(|raw| schema("json_schema", raw)).transpose()?,
        body.grammar.take().map(|text| ("grammar", grammar(text))),
        body.guided_json.take().map(|raw| schema_or_text("guided_json", raw)).transpose()?,
        body.guided_regex.take().map(|text| ("guided_regex", Constraint::Regex(text))),
        body.guided_choice.take().map(|list| ("guided_choice", Constraint::Choice(list.0))),
        body.guided_grammar.take().map(|text| ("guided_grammar", grammar(text))),
    ]
    .into_iter()
    .flatten()
    .chain(structured_outputs(body.structured_outputs.take().unwrap_or_default())?);
    let Some((first, constraint)) = found.next() else { return Ok(None) };
    if let Some((second, _)) = found.next() {
        let reason = format_args!("and {second} both say what the answer has to be: send one");
        return Err(ApiError::invalid(first, reason));
    }
    if matches!(&constraint, Constraint::Choice(texts) if texts.is_empty()) {
        return Err(ApiError::invalid(first, "needs at least one choice"));
    }
    Ok(Some((Box::new(constraint), first.to_owned())))
}

/// Reads `response_format`.
fn response_format(sent: ResponseFormat) -> Result<Option<(&'static str, Constraint)>, ApiError> {
    let named = sent.json_schema.and_then(|named| named.schema);
    let name = match named {
        Some(_) => "response_format.json_schema.schema",
        None => "response_format.schema",
    };
    let schema = named.or(sent.schema);
    match (sent.r#type, schema) {
        (FormatKind::Text, _) => Ok(None),
        (FormatKind::JsonObject, None) => Ok(Some(("response_format", Constraint::Json))),
        (FormatKind::JsonObject | FormatKind::JsonSchema, Some(schema)) => {
            self::schema(name, schema).map(Some)
        }
        (FormatKind::JsonSchema, None) => {
            Err(ApiError::invalid("response_format.json_schema", "needs a schema"))
        }
    }
}

/// The constraints in vLLM's `structured_outputs`.
fn structured_outputs(
    sent: StructuredOutputs,
) -> Result<impl Iterator<Item = (&'static str, Constraint)>, ApiError> {
    let is_json = sent.json_object == Some(true);
    let json = sent.json.map(|raw| schema_or_text("structured_outputs.json", raw)).transpose()?;
    let all = [
        json,
        is_json.then_some(("structured_outputs.json_object", Constraint::Json)),
        sent.regex.map(|text| ("structured_outputs.regex", Constraint::Regex(text))),
        sent.choice.map(|list| ("structured_outputs.choice", Constraint::Choice(list.0))),
        sent.grammar.map(|text| ("structured_outputs.grammar", grammar(text))),
    ];
    Ok(all.into_iter().flatten())
}

/// The schema in `field`, as vLLM reads it: JSON, or the text of JSON.
fn schema_or_text(
    field: &'static str,
    raw: Box<RawValue>,
) -> Result<(&'static str, Constraint), ApiError> {
    let Ok(text) = serde_json::from_str::<String>(raw.get()) else { return schema(field, raw) };
    let raw = RawValue::from_string(text);
    let raw = raw.map_err(|error| ApiError::invalid(field, format_args!("is no JSON: {error}")))?;
    schema(field, raw)
}

/// The schema in `field`.
fn schema(field: &'static str, raw: Box<RawValue>) -> Result<(&'static str, Constraint), ApiError> {
    let text = raw.get().trim_start();
    if text.starts_with(['{', 't', 'f']) {
        return Ok((field, Constraint::JsonSchema(json_text(raw))));
    }
    let sent: String = text.chars().take(MAX_QUOTED_CHARS).collect();
    Err(ApiError::invalid(field, format_args!("must be a JSON schema, an object, not {sent}")))
}

/// A grammar in the notation that it is written in: rules of llama.cpp's have `::=`.
fn grammar(text: String) -> Constraint {
    match text.contains("::=") {
        true => Constraint::Gbnf(text),
        false => Constraint::Lark(text),
    }
}

/// Most characters of a value that an error quotes.
const MAX_QUOTED_CHARS: usize = 40;

#[cfg(test)]
mod tests {
    use super::*;
    use crate::domain::JsonText;
    use crate::server::json::read_body;

    fn read_named(text: &str) -> Result<Option<(Constraint, String)>, ApiError> {
        let found = constraint(&mut read_body(text)?.0)?;
        Ok(found.map(|(boxed, field)| (*boxed, field)))
    }

    fn read(text: &str) -> Result<Option<Constraint>, ApiError> {
        Ok(read_named(text)?.map(|(constraint, _)| constraint))
    }

    #[test]
    fn field_of_the_constraint_is_named() {
        for (text, expected) in [
            (r#"{"response_format":{"type":"json_object"}}"#, "response_format"),
            (
                r#"{"response_format":{"type":"json_schema","json_schema":{"schema":{}}}}"#,
                "response_format.json_schema.schema",
            ),
            (r#"{"guided_json":{}}"#, "guided_json"),
            (r#"{"structured_outputs":{"regex":"a"}}"#, "structured_outputs.regex"),
        ] {
            assert_eq!(read_named(text).unwrap().unwrap().1, expected);
        }
    }

    #[test]
    fn each_server_has_its_own_fields_for_the_same() {
        let schema = || Some(Constraint::JsonSchema(JsonText("{}".to_owned())));
        for (text, expected) in [
            ("{}", None),
            (r#"{"response_format":{"type":"text"}}"#, None),
            (r#"{"response_format":{"type":"json_object"}}"#, Some(Constraint::Json)),
            (r#"{"response_format":{"type":"json_object","schema":{}}}"#, schema()),
            (
                r#"{"response_format":{"type":"json_schema","json_schema":{"name":"a","schema":{}}}}"#,
                schema(),
            ),
            (r#"{"json_schema":{}}"#, schema()),
            (r#"{"guided_json":{}}"#, schema()),
            (r#"{"guided_json":"{}"}"#, schema()),
            (r#"{"structured_outputs":{"json":"{}"}}"#, schema()),
            (r#"{"structured_outputs":{"json":{}}}"#, schema()),
            (r#"{"guided_regex":"a+"}"#, Some(Constraint::Regex("a+".to_owned()))),
            (r#"{"grammar":"root ::= a"}"#, Some(Constraint::Gbnf("root ::= a".to_owned()))),
            (r#"{"grammar":"start: a"}"#, Some(Constraint::Lark("start: a".to_owned()))),
            (r#"{"guided_choice":["a"]}"#, Some(Constraint::Choice(vec!["a".to_owned()]))),
        ] {
            assert_eq!(read(text).unwrap(), expected, "{text}");
        }
    }

    #[test]
    fn value_that_is_no_schema_is_refused_with_the_value() {
        for (text, expected) in [
            (r#"{"guided_json":5}"#, "guided_json must be a JSON schema, an object, not 5"),
            (r#"{"guided_json":"5"}"#, "guided_json must be a JSON schema, an object, not 5"),
            (r#"{"json_schema":[]}"#, "json_schema must be a JSON schema, an object, not []"),
        ] {
            assert_eq!(read(text).unwrap_err().message, expected);
        }
        let error = read(r#"{"guided_json":"{x"}"#).unwrap_err();
        assert!(error.message.starts_with("guided_json is no JSON: "), "{error:?}");
    }

    #[test]
    fn contradicting_fields_are_refused() {
        for text in [
            r#"{"guided_regex":"a","grammar":"b"}"#,
            r#"{"structured_outputs":{"regex":"a","json_object":true}}"#,
            r#"{"response_format":{"type":"xml"}}"#,
            r#"{"response_format":{"type":"json_schema"}}"#,
            r#"{"guided_choice":[]}"#,
        ] {
            assert!(read(text).is_err(), "{text}");
        }
    }
}
