//! Strings of which few are allowed.

/// Declares an enum of words, each with its text: `enum Mode { Auto = "auto" }`.
///
/// An error lists the words. (The `Deserialize` that serde derives for enums reports a value that
/// is no string as invalid JSON.)
macro_rules! words {
    ($(#[$meta:meta])* $vis:vis enum $name:ident {
        $($(#[$variant_meta:meta])* $variant:ident = $text:literal,)+
    }) => {
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq)]
        $vis enum $name {
            $($(#[$variant_meta])* $variant,)+
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                struct WordVisitor;
                impl serde::de::Visitor<'_> for WordVisitor {
                    type Value = $name;
                    fn expecting(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                        let words = [$($text),+];
                        for (i, word) in words.into_iter().enumerate() {
                            let before = match i {
                                0 => "",
                                _ if i + 1 == words.len() => " or ",
                                _ => ", ",
                            };
                            write!(f, "{before}{word}")?;
                        }
                        Ok(())
                    }
                    fn visit_str<E: serde::de::Error>(self, text: &str) -> Result<$name, E> {
                        match text {
                            $($text => Ok($name::$variant),)+
                            _ => Err(E::invalid_value(serde::de::Unexpected::Str(text), &self)),
                        }
                    }
                }
                deserializer.deserialize_str(WordVisitor)
            }
        }

        impl schemars::JsonSchema for $name {
            fn inline_schema() -> bool {
                true
            }

            fn schema_name() -> std::borrow::Cow<'static, str> {
                stringify!($name).into()
            }

            fn json_schema(_: &mut schemars::SchemaGenerator) -> schemars::Schema {
                schemars::json_schema!({ "type": "string", "enum": [$($text),+] })
            }
        }
    };
}

pub(in crate::server) use words;

#[cfg(test)]
mod tests {
    words! {
        enum SentColour {
            Red = "red",
            Green = "green",
            Blue = "blue",
        }
    }

    #[test]
    fn other_words_and_types_are_refused_with_the_list() {
        let read = |text| serde_json::from_str::<SentColour>(text);
        assert_eq!(read(r#""red""#).unwrap(), SentColour::Red);
        for text in [r#""pink""#, "3", "{\"red\":null}"] {
            let error = read(text).unwrap_err();
            assert!(error.is_data() && error.to_string().contains("red, green or blue"), "{error}");
        }
    }
}
