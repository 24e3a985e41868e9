//! A JSON value as chat templates see it.

use minijinja::value::{Value, ValueKind};

/// A JSON value, in which maps keep their order.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(in crate::llama::text) struct TemplateJson {
    value: Value,
    /// Bytes of the text that it was read from.
    n_bytes: usize,
}

impl TemplateJson {
    /// Reads the text of a JSON value.
    ///
    /// # Errors
    /// What is wrong with it.
    pub(in crate::llama::text) fn parse(text: &str) -> Result<Self, String> {
        let value = serde_json::from_str(text).map_err(|error| error.to_string())?;
        Ok(Self { value, n_bytes: text.len() })
    }

    /// Whether it is an object.
    pub(in crate::llama::text) fn is_object(&self) -> bool {
        self.value.kind() == ValueKind::Map
    }

    /// Whether it is `true` or `false`; `None` if it is neither.
    pub(in crate::llama::text) fn as_bool(&self) -> Option<bool> {
        (self.value.kind() == ValueKind::Bool).then(|| self.value.is_true())
    }

    /// The same value with other texts: `change` returns what replaces a string or a key.
    pub(in crate::llama::text) fn map_texts(&self, change: &mut dyn FnMut(&str) -> String) -> Self {
        Self { value: map_texts(&self.value, change), n_bytes: self.n_bytes }
    }

    pub(super) fn to_value(&self) -> Value {
        self.value.clone()
    }

    pub(super) fn n_bytes(&self) -> usize {
        self.n_bytes
    }

    /// The number of values in it, itself included.
    pub(super) fn n_values(&self) -> usize {
        n_values(&self.value)
    }
}

fn map_texts(value: &Value, change: &mut dyn FnMut(&str) -> String) -> Value {
    let parts = || value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::String => Value::from(change(value.as_str().unwrap_or_default())),
        ValueKind::Seq => parts().map(|part| map_texts(&part, change)).collect(),
        ValueKind::Map => Value::from_pairs(parts().map(|key| {
            let item = value.get_item(&key).unwrap_or_default();
            (map_texts(&key, change), map_texts(&item, change))
        })),
        _ => value.clone(),
    }
}

fn n_values(value: &Value) -> usize {
    let parts = value.try_iter().into_iter().flatten();
    match value.kind() {
        ValueKind::Seq => 1 + parts.map(|part| n_values(&part)).sum::<usize>(),
        ValueKind::Map => {
            let items = parts.map(|key| n_values(&value.get_item(&key).unwrap_or_default()));
            1 + items.sum::<usize>()
        }
        _ => 1,
    }
}
