//! Compares values as Python does, which refuses to order values of different kinds.

use minijinja::Error;
use minijinja::value::{Value, ValueKind};

use super::arguments::refused;

/// Fails if Python cannot tell which of two values is smaller.
pub(super) fn check_order(a: &Value, b: &Value) -> Result<(), Error> {
    use ValueKind::{Bool, Iterable, Number, Seq, String};
    match (a.kind(), b.kind()) {
        (Bool | Number, Bool | Number) | (String, String) => Ok(()),
        (Seq | Iterable, Seq | Iterable) if a.is_tuple() == b.is_tuple() => {
            let pairs = a.try_iter()?.zip(b.try_iter()?);
            match pairs.into_iter().find(|(a, b)| a != b) {
                Some((a, b)) => check_order(&a, &b),
                None => Ok(()),
            }
        }
        (a, b) => Err(refused(format!("cannot order {a} and {b}"))),
    }
}

/// The values in the order of their keys. Equal ones stay in their order.
pub(super) fn sorted(
    values: Vec<Value>,
    key: impl Fn(&Value) -> Value,
) -> Result<Vec<Value>, Error> {
    let mut keyed: Vec<_> = values.into_iter().map(|value| (key(&value), value)).collect();
    let mut result = Ok(());
    keyed.sort_by(|(a, _), (b, _)| {
        if let Err(error) = check_order(a, b) {
            result = Err(error);
        }
        a.cmp(b)
    });
    result.map(|()| keyed.into_iter().map(|(_, value)| value).collect())
}
