//! Slices such as `messages[1:]` and `text[::-1]`.

use minijinja::value::{Tuple, Value, ValueKind};
use minijinja::{Error, State};

use super::arguments::{expect_integer, refused};
use super::bounds;
use super::range::NumberRange;

/// `value[start:stop:step]`
pub(super) fn slice(
    state: &State<'_, '_>,
    value: &Value,
    start: &Value,
    stop: &Value,
    step: &Value,
) -> Result<Value, Error> {
    let bound = |value: &Value| match value.kind() {
        ValueKind::None => Ok(None),
        _ => expect_integer(value).map(Some),
    };
    let bounds =
        SliceBounds { start: bound(start)?, stop: bound(stop)?, step: bound(step)?.unwrap_or(1) };
    if bounds.step == 0 {
        return Err(refused("the step of a slice is zero"));
    }
    if let Some(text) = value.as_str() {
        return slice_text(state, text, &bounds).map(Value::from);
    }
    if let Some(range) = value.downcast_object_ref::<NumberRange>() {
        let (start, stop) = bounds.start_and_stop(range.len());
        return Ok(Value::from_object(range.part(start, stop, bounds.step)));
    }
    if !matches!(value.kind(), ValueKind::Seq | ValueKind::Iterable) {
        return Err(refused(format!("{} has no slices", value.kind())));
    }
    let n_items = value.len().ok_or_else(|| refused("a generator has no slices"))?;
    let (first, n) = bounds.first_and_len(n_items);
    bounds::pay(state, n.saturating_mul(ITEM_BYTES))?;
    let items: Vec<Value> = if bounds.step > 0 && value.kind() == ValueKind::Iterable {
        let step = usize::try_from(bounds.step).unwrap_or(usize::MAX);
        value.try_iter()?.skip(first).step_by(step).take(n).collect()
    } else if value.kind() == ValueKind::Iterable {
        let all: Vec<Value> = value.try_iter()?.collect();
        bounds.indexes(first, n).map(|index| all[index].clone()).collect()
    } else {
        bounds
            .indexes(first, n)
            .map(|index| value.get_item_by_index(index))
            .collect::<Result<_, _>>()?
    };
    Ok(if value.is_tuple() { Value::from(Tuple::from(items)) } else { Value::from(items) })
}

fn slice_text(state: &State<'_, '_>, text: &str, bounds: &SliceBounds) -> Result<String, Error> {
    if bounds.step == 1 && text.is_ascii() {
        let (first, n) = bounds.first_and_len(text.len());
        bounds::pay(state, n)?;
        return Ok(text[first..first + n].to_owned());
    }
    bounds::pay(state, text.len().saturating_mul(size_of::<char>()))?;
    let chars: Vec<char> = text.chars().collect();
    let (first, n) = bounds.first_and_len(chars.len());
    Ok(bounds.indexes(first, n).map(|index| chars[index]).collect())
}

/// The three parts of a slice.
struct SliceBounds {
    start: Option<i64>,
    stop: Option<i64>,
    /// Not zero.
    step: i64,
}

impl SliceBounds {
    /// The first index and the index behind the last one, in a list of `n_items`.
    fn start_and_stop(&self, n_items: usize) -> (i64, i64) {
        let n_items = i64::try_from(n_items).unwrap_or(i64::MAX);
        // The lowest and highest place where a bound can be.
        let (low, high) = if self.step > 0 { (0, n_items) } else { (-1, n_items - 1) };
        let clamp = |index: i64| {
            let index = if index < 0 { index.saturating_add(n_items) } else { index };
            index.clamp(low, high)
        };
        if self.step > 0 {
            (self.start.map_or(low, clamp), self.stop.map_or(high, clamp))
        } else {
            (self.start.map_or(high, clamp), self.stop.map_or(low, clamp))
        }
    }

    /// The first index and the number of items that a slice takes from `n_items`.
    fn first_and_len(&self, n_items: usize) -> (usize, usize) {
        let (start, stop) = self.start_and_stop(n_items);
        let distance = if self.step > 0 { stop - start } else { start - stop };
        if distance <= 0 {
            return (0, 0);
        }
        let n = (distance.unsigned_abs() - 1) / self.step.unsigned_abs() + 1;
        (usize::try_from(start).unwrap_or(0), usize::try_from(n).unwrap_or(0))
    }

    /// The indexes of `n` items from `first`.
    fn indexes(&self, first: usize, n: usize) -> impl Iterator<Item = usize> {
        let step = self.step.unsigned_abs() as usize;
        let is_forward = self.step > 0;
        (0..n).map(move |i| if is_forward { first + i * step } else { first - i * step })
    }
}

/// Bytes that an item of a list takes.
const ITEM_BYTES: usize = 24;
