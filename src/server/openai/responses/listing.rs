//! The items of a response's input, page by page, as OpenAI lists them.

use std::sync::Arc;

use axum::http::StatusCode;
use schemars::JsonSchema;
use serde::Serialize;
use serde_json::{Value, json};

use crate::domain::{Role, ToolCall};
use crate::protocol::Quoted;
use crate::server::openai::error::ApiError;

use super::items::ResponseItem;
use super::store::StoredTurn;

/// Which items a client asks for.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ListRequest {
    /// Most items.
    limit: usize,
    /// Whether the oldest items come first.
    is_ascending: bool,
    /// The item before the first one.
    after: Option<String>,
}

impl ListRequest {
    /// Reads the query of an address. Fields that are not known have no effect.
    ///
    /// # Errors
    /// A field has a value that is not allowed.
    pub(super) fn read(query: &str) -> Result<Self, ApiError> {
        let mut request = Self { limit: DEFAULT_LIMIT, is_ascending: false, after: None };
        for (name, value) in query.split('&').filter_map(|pair| pair.split_once('=')) {
            match (name, value) {
                ("limit", _) => {
                    let limit = value.parse().ok().filter(|n| (1..=MAX_LIMIT).contains(n));
                    request.limit = limit.ok_or_else(|| {
                        let quoted = Quoted(value);
                        let reason = format_args!("must be 1 to {MAX_LIMIT}, not {quoted}");
                        ApiError::invalid("limit", reason)
                    })?;
                }
                ("order", "asc") => request.is_ascending = true,
                ("order", "desc") => request.is_ascending = false,
                ("order", _) => {
                    let reason = format!("must be asc or desc, not {}", Quoted(value));
                    return Err(ApiError::invalid("order", reason));
                }
                ("after", _) => request.after = Some(value.to_owned()),
                _ => {}
            }
        }
        Ok(request)
    }

    /// The page of the input of the response `id`: its own `input` after the items of the
    /// earlier `turns`.
    ///
    /// # Errors
    /// There is no item to begin after.
    pub(super) fn list(
        &self,
        id: &str,
        turns: &[Arc<StoredTurn>],
        input: &[ResponseItem],
    ) -> Result<InputItems, ApiError> {
        let mut items = identified(id, turns, input);
        if !self.is_ascending {
            items.reverse();
        }
        let first = match &self.after {
            None => 0,
            Some(after) => {
                let found = items.iter().position(|(id, _)| id == after);
                let missing = || {
                    let message = format!("after: the response has no item {}", Quoted(after));
                    ApiError::of_status(StatusCode::BAD_REQUEST, message).about("after")
                };
                found.ok_or_else(missing)? + 1
            }
        };
        let rest = &items[first..];
        let page = &rest[..rest.len().min(self.limit)];
        let id_of = |item: Option<&(String, &ResponseItem)>| item.map(|(id, _)| id.clone());
        Ok(InputItems {
            object: "list",
            data: page.iter().map(|(id, item)| item_json(id, item)).collect(),
            first_id: id_of(page.first()),
            last_id: id_of(page.last()),
            has_more: page.len() < rest.len(),
        })
    }
}

/// A page of the items of a response's input.
#[derive(Debug, Serialize, JsonSchema)]
pub(super) struct InputItems {
    object: &'static str,
    data: Vec<Value>,
    first_id: Option<String>,
    last_id: Option<String>,
    has_more: bool,
}

/// The items with their ids, the oldest first. What the model wrote has the ids of its output. What
/// the client sent gets ids from its place.
fn identified<'a>(
    id: &str,
    turns: &'a [Arc<StoredTurn>],
    input: &'a [ResponseItem],
) -> Vec<(String, &'a ResponseItem)> {
    let of_turns = turns.iter().flat_map(|turn| {
        let sent = turn.input.iter().map(|item| (None, item));
        sent.chain(turn.output.iter().map(|(id, item)| (Some(id), item)))
    });
    let all = of_turns.chain(input.iter().map(|item| (None, item)));
    let random = id.split_once('_').map_or("", |(_, random)| random);
    let with_id = |(place, (id, item)): (usize, (Option<&String>, &'a ResponseItem))| {
        let of_place = || format!("{}_{random}i{place}", prefix(item));
        (id.cloned().unwrap_or_else(of_place), item)
    };
    all.enumerate().map(with_id).collect()
}

fn prefix(item: &ResponseItem) -> &'static str {
    match item {
        ResponseItem::Message { .. } => "msg",
        ResponseItem::Reasoning(_) => "rs",
        ResponseItem::Call(_) => "fc",
        ResponseItem::CallOutput { .. } => "fco",
    }
}

fn item_json(id: &str, item: &ResponseItem) -> Value {
    match item {
        ResponseItem::Message { role, text } => {
            let part = match role {
                Role::Assistant => json!({"type": "output_text", "text": text, "annotations": []}),
                _ => json!({"type": "input_text", "text": text}),
            };
            let (role, content) = (role.name(), [part]);
            json!({"id": id, "type": "message", "role": role, "status": "completed",
                "content": content})
        }
        ResponseItem::Reasoning(text) => {
            let content = json!([{"type": "reasoning_text", "text": text}]);
            json!({"id": id, "type": "reasoning", "summary": [], "content": content})
        }
        ResponseItem::Call(ToolCall { id: call_id, name, arguments }) => {
            json!({"id": id, "type": "function_call", "call_id": call_id, "name": name,
                "arguments": arguments.0, "status": "completed"})
        }
        ResponseItem::CallOutput { call_id, output } => {
            json!({"id": id, "type": "function_call_output", "call_id": call_id, "output": output,
                "status": "completed"})
        }
    }
}

/// Items of a page, and most of them, as with OpenAI.
const DEFAULT_LIMIT: usize = 20;
const MAX_LIMIT: usize = 100;

#[cfg(test)]
mod tests {
    use super::*;

    fn user(text: impl Into<String>) -> ResponseItem {
        ResponseItem::Message { role: Role::User, text: text.into() }
    }

    fn page(query: &str, turns: &[Arc<StoredTurn>], input: &[ResponseItem]) -> Value {
        let request = ListRequest::read(query).unwrap();
        serde_json::to_value(request.list("resp_ab", turns, input).unwrap()).unwrap()
    }

    #[test]
    fn pages_together_have_all_items_in_order() {
        let input: Vec<ResponseItem> = (0..45).map(|i| user(i.to_string())).collect();
        for (order, expected) in
            [("asc", (0..45).collect::<Vec<_>>()), ("desc", (0..45).rev().collect())]
        {
            let mut found = Vec::new();
            let mut query = format!("order={order}");
            loop {
                let list = page(&query, &[], &input);
                let data = list["data"].as_array().unwrap();
                found.extend(data.iter().map(|item| {
                    item["content"][0]["text"].as_str().unwrap().parse::<usize>().unwrap()
                }));
                assert_eq!(list["first_id"], data[0]["id"]);
                if list["has_more"] == false {
                    break;
                }
                query = format!("order={order}&after={}", list["last_id"].as_str().unwrap());
            }
            assert_eq!(found, expected, "{order}");
        }
    }

    #[test]
    fn items_of_earlier_turns_come_before_those_of_the_request() {
        let call = ToolCall {
            id: "call_1".to_owned(),
            name: "f".to_owned(),
            arguments: crate::domain::JsonText("{}".to_owned()),
        };
        let output = vec![
            ("rs_1".to_owned(), ResponseItem::Reasoning("hm".to_owned())),
            ("fc_1".to_owned(), ResponseItem::Call(call)),
        ];
        let turn = StoredTurn { input: Arc::new(vec![user("a")]), output };
        let result =
            ResponseItem::CallOutput { call_id: "call_1".to_owned(), output: "4".to_owned() };
        let list = page("order=asc&limit=100", &[Arc::new(turn)], &[result]);
        let message = json!({"id": "msg_abi0", "type": "message", "role": "user",
            "status": "completed", "content": [{"type": "input_text", "text": "a"}]});
        let reasoning = json!({"id": "rs_1", "type": "reasoning", "summary": [],
            "content": [{"type": "reasoning_text", "text": "hm"}]});
        let call = json!({"id": "fc_1", "type": "function_call", "call_id": "call_1", "name": "f",
            "arguments": "{}", "status": "completed"});
        let result = json!({"id": "fco_abi3", "type": "function_call_output", "call_id": "call_1",
            "output": "4", "status": "completed"});
        let expected = json!({"object": "list", "data": [message, reasoning, call, result],
            "first_id": "msg_abi0", "last_id": "fco_abi3", "has_more": false});
        assert_eq!(list, expected);
    }

    #[test]
    fn wrong_query_is_refused_with_its_field() {
        for (query, field) in [
            ("limit=0", "limit"),
            ("limit=101", "limit"),
            ("limit=x", "limit"),
            ("order=up", "order"),
        ] {
            assert_eq!(ListRequest::read(query).unwrap_err().param.as_deref(), Some(field));
        }
        let request = ListRequest::read("after=msg_1&include[]=x").unwrap();
        assert_eq!(request.list("resp_ab", &[], &[]).unwrap_err().param.as_deref(), Some("after"));
    }
}
