//! Values of the spec: the value of a directive, as YAML or JSON has it.
//!
//! What the server reads is text; a list, a number or a truth value becomes the text that redis.conf would have.

use std::fmt;

use serde::de::{Error, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize, Serializer};

/// The value of a directive.
///
/// Two values are equal when the server would read the same.
#[derive(Clone, Debug)]
pub struct ConfigValue {
    text: Box<str>,
    quoted: bool,
}

impl ConfigValue {
    /// The text, as redis.conf would have it behind the directive's name.
    pub fn as_str(&self) -> &str {
        &self.text
    }

    /// Whether it was written as text. A number or truth value may have lost its spelling: `0123` is 123, `true` is
    /// `yes`; a password must not be one.
    pub fn is_text(&self) -> bool {
        self.quoted
    }

    fn of(value: impl fmt::Display) -> Self {
        Self { text: value.to_string().into(), quoted: false }
    }
}

impl From<&str> for ConfigValue {
    fn from(text: &str) -> Self {
        Self { text: text.into(), quoted: true }
    }
}

impl PartialEq for ConfigValue {
    fn eq(&self, other: &Self) -> bool {
        self.text == other.text
    }
}

impl Eq for ConfigValue {}

impl fmt::Display for ConfigValue {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.text)
    }
}

impl Serialize for ConfigValue {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        serializer.serialize_str(&self.text)
    }
}

impl<'de> Deserialize<'de> for ConfigValue {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(Reader)
    }
}

struct Reader;

impl<'de> Visitor<'de> for Reader {
    type Value = ConfigValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("the value of a directive in redisConfig: a text, a number, true, false, or a list of these")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ConfigValue, E> {
        Ok(text.into())
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<ConfigValue, E> {
        Ok(ConfigValue::of(if yes { "yes" } else { "no" }))
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::of(number))
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ConfigValue, E> {
        Ok(ConfigValue::of(number))
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<ConfigValue, E> {
        if number.is_finite() {
            Ok(ConfigValue::of(number))
        } else {
            Err(E::custom("a directive in redisConfig is no finite number: write one, or put the text in quotes"))
        }
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut items: A) -> Result<ConfigValue, A::Error> {
        let mut words: Vec<Box<str>> = Vec::new();
        while let Some(Scalar(item)) = items.next_element()? {
            words.push(item.text);
        }
        Ok(ConfigValue::of(words.join(" ")))
    }
}

/// An item of a list, which is no list itself.
struct Scalar(ConfigValue);

impl<'de> Deserialize<'de> for Scalar {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ScalarReader).map(Self)
    }
}

struct ScalarReader;

impl Visitor<'_> for ScalarReader {
    type Value = ConfigValue;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a text, a number, true or false as an item of a list in redisConfig")
    }

    fn visit_str<E: Error>(self, text: &str) -> Result<ConfigValue, E> {
        Reader.visit_str(text)
    }

    fn visit_bool<E: Error>(self, yes: bool) -> Result<ConfigValue, E> {
        Reader.visit_bool(yes)
    }

    fn visit_i64<E: Error>(self, number: i64) -> Result<ConfigValue, E> {
        Reader.visit_i64(number)
    }

    fn visit_u64<E: Error>(self, number: u64) -> Result<ConfigValue, E> {
        Reader.visit_u64(number)
    }

    fn visit_f64<E: Error>(self, number: f64) -> Result<ConfigValue, E> {
        Reader.visit_f64(number)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn read(json: &str) -> Result<ConfigValue, serde_json::Error> {
        serde_json::from_str(json)
    }

    #[test]
    fn becomes_the_text_that_redis_conf_would_have() {
        for (json, text) in [
            (r#""100mb""#, "100mb"),
            (r#""""#, ""),
            ("16", "16"),
            ("-1", "-1"),
            ("18446744073709551615", "18446744073709551615"),
            ("0.5", "0.5"),
            ("true", "yes"),
            ("false", "no"),
            (r#"[3600, 1, "300 100"]"#, "3600 1 300 100"),
            ("[]", ""),
        ] {
            let value = read(json).unwrap();
            assert_eq!(value.as_str(), text, "{json}");
            assert_eq!(value.to_string(), text);
        }
    }

    #[test]
    fn comes_back_equal() {
        for json in ["true", "[1, 2]", r#""a b""#] {
            let value = read(json).unwrap();
            assert_eq!(read(&serde_json::to_string(&value).unwrap()).unwrap(), value);
        }
    }

    #[test]
    fn knows_whether_it_was_text() {
        assert!(read(r#""123""#).unwrap().is_text());
        assert!(!read("123").unwrap().is_text());
        assert!(!read("true").unwrap().is_text());
    }

    #[test]
    fn a_map_a_nested_list_and_nothing_are_refused_with_what_to_write() {
        for json in ["{}", "null"] {
            let error = read(json).unwrap_err().to_string();
            assert!(error.contains("the value of a directive in redisConfig: a text"), "{error}");
        }
        let nested = read("[[1]]").unwrap_err().to_string();
        assert!(nested.contains("an item of a list"), "{nested}");
    }
}
