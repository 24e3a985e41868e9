//! What Python's maps return for their keys, values and items.

use std::sync::Arc;

use minijinja::value::{Enumerator, Object, ObjectRepr, Value};

use super::range::NumberRange;

/// The keys, values or items of a map.
#[derive(Debug)]
pub(super) struct MapView {
    /// Python's name of the type.
    pub(super) name: &'static str,
    pub(super) items: Vec<Value>,
}

impl Object for MapView {
    fn repr(self: &Arc<Self>) -> ObjectRepr {
        ObjectRepr::Iterable
    }

    fn enumerate(self: &Arc<Self>) -> Enumerator {
        let this = self.clone();
        let items = (0..this.items.len()).map(move |index| this.items[index].clone());
        Enumerator::Iter(Box::new(items))
    }

    fn enumerator_len(self: &Arc<Self>) -> Option<usize> {
        Some(self.items.len())
    }
}

/// Whether a value can be gone through like a list, but is none for Python.
pub(super) fn is_view(value: &Value) -> bool {
    value.downcast_object_ref::<MapView>().is_some()
        || value.downcast_object_ref::<NumberRange>().is_some()
}
