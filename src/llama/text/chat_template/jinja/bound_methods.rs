//! Methods that are looked up without being called, such as `message.items is defined`.
//!
//! Python finds the method of a map before a key of the same name. The instruction that looks an
//! attribute up is therefore a call of a function here if its name is that of a method.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Object, ObjectRepr, Value, ValueKind};
use minijinja::{Environment, Error, State};

use super::globals::is_namespace;

/// The name of the function that looks up an attribute, if it can be a method.
pub(super) fn function(attribute: &str) -> Option<&'static str> {
    let all = MAP_METHODS.iter().chain(&LIST_METHODS).chain(&TEXT_METHODS);
    all.copied().find(|function| function.get(1..) == Some(attribute))
}

/// Adds the functions that look up attributes.
pub(super) fn install(environment: &mut Environment<'_>) {
    for function in MAP_METHODS.iter().chain(&LIST_METHODS).chain(&TEXT_METHODS) {
        environment.add_function(*function, move |value: &Value| {
            bound(value, function).map_or_else(|| value.get_attr(&function[1..]), Ok)
        });
    }
}

/// The method of a value, if its type has one.
pub(super) fn method_of(value: &Value, name: &str) -> Option<Value> {
    bound(value, function(name)?)
}

fn bound(value: &Value, function: &'static str) -> Option<Value> {
    let methods: &[&str] = match value.kind() {
        ValueKind::String => &TEXT_METHODS,
        ValueKind::Map if is_plain_map(value) => &MAP_METHODS,
        ValueKind::Seq => &LIST_METHODS,
        _ => return None,
    };
    methods
        .contains(&function)
        .then(|| Value::from_object(BoundMethod { value: value.clone(), name: &function[1..] }))
}

/// Whether a value is what Python calls a `dict`, not an object with attributes.
pub(super) fn is_plain_map(value: &Value) -> bool {
    let type_name = value.as_object().map(|object| object.type_name()).unwrap_or_default();
    !is_namespace(value) && !type_name.contains("::vm::")
}

/// A method with the value that it belongs to.
#[derive(Debug)]
pub(super) struct BoundMethod {
    value: Value,
    name: &'static str,
}

impl Object for BoundMethod {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Plain
    }

    fn call(self: &Arc<Self>, state: &mut State<'_, '_>, args: &[Value]) -> Result<Value, Error> {
        self.value.call_method(state, self.name, args)
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "<built-in method {}>", self.name)
    }
}

/// The functions for methods of maps.
const MAP_METHODS: [&str; 6] = [".copy", ".fromkeys", ".get", ".items", ".keys", ".values"];
/// The functions for methods of lists.
const LIST_METHODS: [&str; 3] = [".copy", ".count", ".index"];
/// The functions for methods of strings.
const TEXT_METHODS: [&str; 46] = [
    ".capitalize",
    ".casefold",
    ".center",
    ".count",
    ".encode",
    ".endswith",
    ".expandtabs",
    ".find",
    ".format",
    ".format_map",
    ".index",
    ".isalnum",
    ".isalpha",
    ".isascii",
    ".isdecimal",
    ".isdigit",
    ".isidentifier",
    ".islower",
    ".isnumeric",
    ".isprintable",
    ".isspace",
    ".istitle",
    ".isupper",
    ".join",
    ".ljust",
    ".lower",
    ".lstrip",
    ".partition",
    ".removeprefix",
    ".removesuffix",
    ".replace",
    ".rfind",
    ".rindex",
    ".rjust",
    ".rpartition",
    ".rsplit",
    ".rstrip",
    ".split",
    ".splitlines",
    ".startswith",
    ".strip",
    ".swapcase",
    ".title",
    ".translate",
    ".upper",
    ".zfill",
];
