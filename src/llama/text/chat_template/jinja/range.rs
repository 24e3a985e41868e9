//! Python's `range`, a list of numbers that is not stored.

use std::fmt;
use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

/// Python's `range`.
#[derive(Debug)]
pub(super) struct NumberRange {
    pub(super) start: i64,
    pub(super) stop: i64,
    /// Not zero.
    pub(super) step: i64,
}

impl NumberRange {
    /// Number of integers.
    pub(super) fn len(&self) -> usize {
        let (start, stop, step) =
            (i128::from(self.start), i128::from(self.stop), i128::from(self.step));
        let distance = if step > 0 { stop - start } else { start - stop };
        let n = if distance <= 0 { 0 } else { (distance - 1) / step.abs() + 1 };
        usize::try_from(n).unwrap_or(usize::MAX)
    }

    /// Its integers from index `start` to `stop`, `step` indexes apart.
    pub(super) fn part(&self, start: i64, stop: i64, step: i64) -> Self {
        let at = |index: i64| self.start.saturating_add(self.step.saturating_mul(index));
        Self { start: at(start), stop: at(stop), step: self.step.saturating_mul(step) }
    }
}

impl Object for NumberRange {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Seq
    }

    fn get_value(self: &Arc<Self>, key: &Value) -> Option<Value> {
        let index = key.as_usize().filter(|index| *index < self.len())?;
        Some(Value::from(self.start + self.step * i64::try_from(index).ok()?))
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        Enumerator::Seq(self.len())
    }

    fn render(self: &Arc<Self>, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self.step {
            1 => write!(f, "range({}, {})", self.start, self.stop),
            step => write!(f, "range({}, {}, {step})", self.start, self.stop),
        }
    }
}
