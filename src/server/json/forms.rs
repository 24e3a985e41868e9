//! Values that may have several forms, such as a string or a list.

/// Implements `Deserialize` by a visitor with these methods. (An untagged enum would build a tree
/// of the value first.)
macro_rules! read_forms {
    ($name:ty, $expecting:literal, $($methods:tt)*) => {
        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct AnyVisitor;
                impl<'de> serde::de::Visitor<'de> for AnyVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        f.write_str($expecting)
                    }
                    $($methods)*
                }
                deserializer.deserialize_any(AnyVisitor)
            }
        }
    };
}

pub(in crate::server) use read_forms;
