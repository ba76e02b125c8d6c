//! What a message must contain comes in, whether one does goes out.

use std::fmt;

use serde_json::Value;

/// What an expected message contains.
#[derive(Debug, Clone, PartialEq)]
pub(crate) struct Expect {
    typed: String,
    pattern: Value,
}

impl Expect {
    /// Reads a JSON object, or the name of a type.
    ///
    /// # Errors
    /// Neither of the two.
    pub(crate) fn parse(text: &str) -> Result<Self, String> {
        let pattern = if text.trim_start().starts_with('{') {
            serde_json::from_str(text).map_err(|error| format!("it is no JSON: {error}"))?
        } else if is_word(text) {
            serde_json::json!({ "type": text })
        } else {
            return Err("it is neither a JSON object nor the name of a type".to_owned());
        };
        Ok(Self {
            typed: text.to_owned(),
            pattern,
        })
    }

    /// Whether a message contains what is expected.
    pub(crate) fn is_met_by(&self, message: &Value) -> bool {
        contains(message, &self.pattern)
    }
}

impl fmt::Display for Expect {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.typed)
    }
}

/// Whether a text is the one expected; as JSON where both are.
pub(crate) fn is_same(text: &str, expected: &str) -> bool {
    let json = |text| serde_json::from_str::<Value>(text).ok();
    text == expected
        || json(text)
            .zip(json(expected))
            .is_some_and(|(text, expected)| {
                contains(&text, &expected) && contains(&expected, &text)
            })
}

fn is_word(text: &str) -> bool {
    let word = |byte: u8| byte.is_ascii_alphanumeric() || b"_.-".contains(&byte);
    !text.is_empty() && text.bytes().all(word)
}

/// Objects may hold more than is asked for, arrays may not; numbers count by their value.
fn contains(found: &Value, asked: &Value) -> bool {
    match (found, asked) {
        (Value::Object(found), Value::Object(asked)) => asked
            .iter()
            .all(|(key, asked)| found.get(key).is_some_and(|found| contains(found, asked))),
        (Value::Array(found), Value::Array(asked)) => {
            found.len() == asked.len()
                && found
                    .iter()
                    .zip(asked)
                    .all(|(found, asked)| contains(found, asked))
        }
        (Value::Number(a), Value::Number(b)) if a.is_f64() || b.is_f64() => {
            a.as_f64() == b.as_f64()
        }
        (found, asked) => found == asked,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_text_is_the_same_as_text_or_as_json() {
        for (text, expected, same) in [
            ("you said hello", "you said hello", true),
            ("you said hello", "hello", false),
            ("you said hello", r#""you said hello""#, false),
            (r#"{"a":1,"b":[2]}"#, r#"{ "b": [2.0], "a": 1 }"#, true),
            (r#"{"a":1,"b":[2]}"#, r#"{"a":1}"#, false),
            (r#"{"a":1}"#, r#"{"a":1,"b":[2]}"#, false),
            ("{", "{ ", false),
            ("", "", true),
        ] {
            assert_eq!(is_same(text, expected), same, "{text} {expected}");
        }
    }

    #[test]
    fn a_message_contains_what_is_expected_of_it() {
        let message =
            r#"{"type":"progress","percentage":100.0,"seq":7,"m":{"a":[1,{"b":2,"c":3}]}}"#;
        let message = serde_json::from_str(message).unwrap();
        for (asked, met) in [
            ("progress", true),
            ("complete", false),
            ("{}", true),
            (r#"{"percentage":100}"#, true),
            (r#"{"seq":7.0,"type":"progress"}"#, true),
            (r#"{"seq":8}"#, false),
            (r#"{"m":{"a":[1,{"c":3}]}}"#, true),
            (r#"{"m":{"a":[1]}}"#, false),
            (r#"{"n":null}"#, false),
        ] {
            assert_eq!(
                Expect::parse(asked).unwrap().is_met_by(&message),
                met,
                "{asked}"
            );
        }
        for bad in ["", "two words", "[1]", "{"] {
            assert!(Expect::parse(bad).is_err(), "{bad}");
        }
    }
}
