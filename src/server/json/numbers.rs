//! Numbers of a request, each with its range. A value outside of it is refused, never clamped.

use std::borrow::Cow;
use std::fmt;
use std::marker::PhantomData;

use schemars::{JsonSchema, Schema, SchemaGenerator, json_schema};
use serde::de::{Error, Unexpected, Visitor};
use serde::{Deserialize, Deserializer};
use serde_json::Value;

use crate::domain::{Params, Range, Token};

/// The range of a field.
pub(in crate::server) trait Bounds {
    const RANGE: Range;
}

/// Declares types that stand for ranges.
macro_rules! bounds {
    ($($(#[$meta:meta])* $name:ident = $range:expr;)*) => {$(
        $(#[$meta])*
        #[derive(Debug, Clone, Copy, PartialEq)]
        pub(in crate::server) struct $name;
        impl Bounds for $name {
            const RANGE: Range = $range;
        }
    )*};
}

bounds! {
    /// `temperature`.
    Temperature = Params::TEMP;
    /// `top_p`, `min_p` and `typical_p`.
    Probability = Params::PROBABILITY;
    /// `top_k`, where -1 and 0 keep all tokens.
    TopK = Range { min: -1.0, max: Params::TOP_K.max };
    /// `repeat_penalty`.
    RepeatPenalty = Params::REPEAT_PENALTY;
    /// `repeat_last_n`, where -1 is the whole context.
    RepeatLastN = Params::REPEAT_LAST_N;
    /// `presence_penalty` and `frequency_penalty`.
    Penalty = Params::PENALTY;
    /// A number of tokens, where -1 is no limit.
    TokenLimit = Params::MAX_TOKENS;
    /// The number of rivals of a token.
    TopLogprobs = Range { min: 0.0, max: Params::LOGPROBS.max };
    /// A bias of a token.
    LogitBias = Params::LOGIT_BIAS;
    /// The id of a token.
    TokenId = Range { min: 0.0, max: Token::MAX as f64 };
    /// `n`.
    AnswerCount = Range { min: 1.0, max: 8.0 };
    /// `best_of`.
    BestOf = Range { min: 1.0, max: 20.0 };
}

/// A number in the range of `R`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::server) struct Real<R>(f64, PhantomData<R>);

impl<R: Bounds> Real<R> {
    pub(in crate::server) fn get(self) -> f32 {
        self.0 as f32
    }
}

/// A whole number in the range of `R`, which stays within ±2⁵³. 40.0 is accepted, 40.5 is not.
#[derive(Debug, Clone, Copy, PartialEq)]
pub(in crate::server) struct Whole<R>(i64, PhantomData<R>);

impl<R: Bounds> Whole<R> {
    pub(in crate::server) fn get(self) -> i64 {
        self.0
    }

    /// The number; `None` for a negative one, which stands for "no limit".
    pub(in crate::server) fn unless_negative(self) -> Option<u32> {
        u32::try_from(self.0).ok()
    }
}

/// A seed: a whole number of 64 bits. Generation has seeds from 0 to 2³²−2, so others become their
/// remainder by 2³²−1, except that -1 asks for a random seed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(in crate::server) struct Seed(i64);

impl Seed {
    /// The seed for generation; `None` for a random one.
    pub(in crate::server) fn get(self) -> Option<u32> {
        let reduced = self.0.rem_euclid(i64::from(u32::MAX));
        (self.0 != -1).then(|| u32::try_from(reduced).unwrap_or_default())
    }
}

/// Implements `Deserialize` for a type of numbers with the method `of`, which gets every number as
/// a whole one if it is one.
macro_rules! read_number {
    ([$($generics:tt)*] $name:ty) => {
        impl<'de, $($generics)*> Deserialize<'de> for $name {
            fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
                deserializer.deserialize_any(NumberVisitor::<Self>(PhantomData))
            }
        }
    };
}

read_number!([R: Bounds] Real<R>);
read_number!([R: Bounds] Whole<R>);
read_number!([] Seed);

/// A number as it was sent.
enum SentNumber {
    Whole(i128),
    Float(f64),
}

impl SentNumber {
    fn as_f64(&self) -> f64 {
        match *self {
            Self::Whole(number) => number as f64,
            Self::Float(number) => number,
        }
    }
}

/// A type of numbers.
trait NumberField: Sized {
    /// The number; `None` if it is not allowed.
    fn of(number: &SentNumber) -> Option<Self>;
    /// What is allowed.
    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result;
}

impl<R: Bounds> NumberField for Real<R> {
    fn of(number: &SentNumber) -> Option<Self> {
        let number = number.as_f64();
        R::RANGE.contains(number).then_some(Self(number, PhantomData))
    }

    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a number from {} to {}", R::RANGE.min, R::RANGE.max)
    }
}

impl<R: Bounds> NumberField for Whole<R> {
    fn of(number: &SentNumber) -> Option<Self> {
        let number = number.as_f64();
        let is_allowed = R::RANGE.contains(number) && number.fract() == 0.0;
        is_allowed.then_some(Self(number as i64, PhantomData))
    }

    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a whole number from {} to {}", R::RANGE.min, R::RANGE.max)
    }
}

impl NumberField for Seed {
    fn of(number: &SentNumber) -> Option<Self> {
        match *number {
            SentNumber::Whole(number) => i64::try_from(number).ok().map(Self),
            SentNumber::Float(number) => {
                let is_exact = number.fract() == 0.0 && number.abs() <= MAX_EXACT;
                is_exact.then_some(Self(number as i64))
            }
        }
    }

    fn allowed(f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a whole number of 64 bits, or -1 for a random seed")
    }
}

struct NumberVisitor<T>(PhantomData<T>);

impl<T: NumberField> NumberVisitor<T> {
    fn read<E: Error>(&self, number: &SentNumber, sent: Unexpected<'_>) -> Result<T, E> {
        // Whole numbers beyond 64 bits come as floats, without their digits.
        let sent = match *number {
            SentNumber::Float(float) if float.fract() == 0.0 && float.abs() >= MAX_WHOLE => {
                Unexpected::Other("a number of more than 64 bits")
            }
            _ => sent,
        };
        T::of(number).ok_or_else(|| E::invalid_value(sent, self))
    }
}

impl<T: NumberField> Visitor<'_> for NumberVisitor<T> {
    type Value = T;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        T::allowed(f)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<T, E> {
        self.read(&SentNumber::Whole(number.into()), Unexpected::Unsigned(number))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<T, E> {
        self.read(&SentNumber::Whole(number.into()), Unexpected::Signed(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<T, E> {
        self.read(&SentNumber::Float(number), Unexpected::Float(number))
    }
}

impl<R: Bounds> JsonSchema for Real<R> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Real".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (min, max) = (bound(R::RANGE.min), bound(R::RANGE.max));
        json_schema!({ "type": "number", "minimum": min, "maximum": max })
    }
}

impl<R: Bounds> JsonSchema for Whole<R> {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Whole".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        let (min, max) = (bound(R::RANGE.min), bound(R::RANGE.max));
        json_schema!({ "type": "integer", "minimum": min, "maximum": max })
    }
}

impl JsonSchema for Seed {
    fn inline_schema() -> bool {
        true
    }

    fn schema_name() -> Cow<'static, str> {
        "Seed".into()
    }

    fn json_schema(_: &mut SchemaGenerator) -> Schema {
        json_schema!({
            "type": "integer",
            "format": "int64",
            "minimum": i64::MIN,
            "maximum": i64::MAX,
        })
    }
}

/// An end of a range, as a whole number if it is one.
fn bound(number: f64) -> Value {
    match number.fract() == 0.0 {
        true => Value::from(number as i64),
        false => Value::from(number),
    }
}

/// The smallest whole number that does not come as one.
const MAX_WHOLE: f64 = (1_u128 << 64) as f64;

/// The largest number up to which every whole one is a float.
const MAX_EXACT: f64 = (1_u64 << 53) as f64;

#[cfg(test)]
mod tests {
    use super::*;

    fn error<T: for<'de> Deserialize<'de>>(text: &str) -> String {
        serde_json::from_str::<T>(text).map(drop).unwrap_err().to_string()
    }

    #[test]
    fn number_outside_of_its_range_is_refused_with_the_range() {
        let read = |text| serde_json::from_str::<Real<Temperature>>(text).map(Real::get);
        assert_eq!((read("0").unwrap(), read("1.5").unwrap()), (0.0, 1.5));
        for text in ["11", "-1", "\"1\"", "true", "{}"] {
            let error = error::<Real<Temperature>>(text);
            assert!(error.contains("expected a number from 0 to 10"), "{error}");
        }
        let read = |text| serde_json::from_str::<Whole<TopK>>(text).map(Whole::get);
        assert_eq!((read("-1").unwrap(), read("40.0").unwrap()), (-1, 40));
        for text in ["40.5", "-2", "1e300"] {
            let error = error::<Whole<TopK>>(text);
            assert!(error.contains("expected a whole number from -1 to 2147483647"), "{error}");
        }
    }

    #[test]
    fn seed_of_64_bits_is_reduced_and_smaller_ones_stay() {
        for (text, expected) in [
            ("-1", None),
            ("0", Some(0)),
            ("4294967294", Some(4_294_967_294)),
            ("4294967295", Some(0)),
            ("4294967337", Some(42)),
            ("42.0", Some(42)),
            ("-2", Some(4_294_967_293)),
            ("9223372036854775807", Some(2_147_483_647)),
        ] {
            let seed: Seed = serde_json::from_str(text).unwrap();
            assert_eq!(seed.get(), expected, "{text}");
        }
        for text in ["1.5", "9223372036854775808", "1e30", "\"1\""] {
            assert!(error::<Seed>(text).contains("a whole number of 64 bits"), "{text}");
        }
    }
}
