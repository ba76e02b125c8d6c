//! Whether two payloads are the same JSON value: a payload comes in, a hash goes out.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use sha2::{Digest, Sha256};

use crate::json::Json;

/// SHA-256, in hex, of the payload with its keys sorted and its white space gone; numbers count
/// by their text, so 1 is not 1.0.
pub(crate) fn hash(payload: &Json) -> String {
    let mut canonical = String::with_capacity(payload.len_bytes());
    write(payload.get(), &mut canonical);
    let digest = Sha256::digest(canonical.as_bytes());
    digest.iter().map(|byte| format!("{byte:02x}")).collect()
}

/// Recursion is bounded: an envelope nests at most 64 deep. What does not parse (a value that
/// serde_json's own limits refuse) counts by its text.
fn write(text: &str, out: &mut String) {
    let text = text.trim();
    match text.as_bytes().first() {
        Some(b'{') => {
            let Ok(entries) = serde_json::from_str::<BTreeMap<String, &RawValue>>(text) else {
                return out.push_str(text);
            };
            out.push('{');
            for (key, value) in entries {
                out.push_str(&serde_json::Value::String(key).to_string());
                out.push(':');
                write(value.get(), out);
                out.push(',');
            }
            out.push('}');
        }
        Some(b'[') => {
            let Ok(entries) = serde_json::from_str::<Vec<&RawValue>>(text) else {
                return out.push_str(text);
            };
            out.push('[');
            for value in entries {
                write(value.get(), out);
                out.push(',');
            }
            out.push(']');
        }
        Some(b'"') => match serde_json::from_str::<String>(text) {
            Ok(plain) => out.push_str(&serde_json::Value::String(plain).to_string()),
            Err(_) => out.push_str(text),
        },
        _ => out.push_str(text),
    }
}

#[cfg(test)]
mod tests {
    use super::hash;
    use crate::json::Json;

    fn check(left: &str, right: &str, equal: bool) {
        let hash = |text: &str| hash(&Json::parse(text.to_owned()).unwrap());
        assert_eq!(hash(left) == hash(right), equal, "{left} and {right}");
    }

    #[test]
    fn payloads_are_equal_when_they_are_the_same_json_value() {
        check(r#"{"a":1,"b":[1,2]}"#, "{ \"b\" : [1, 2],\n\"a\":1}", true);
        check(r#"{"a":"\u0041"}"#, r#"{"a":"A"}"#, true);
        check(r#"{"a":{"y":1,"x":2}}"#, r#"{"a":{"x":2,"y":1}}"#, true);
        check(r#"{"a":1}"#, r#"{"a":1.0}"#, false);
        check(r#"{"a":1}"#, r#"{"a":"1"}"#, false);
        check("[1,2]", "[2,1]", false);
        check("[[1],2]", "[[1,2]]", false);
        check("null", "{}", false);
        check(
            "123456789012345678901234567890",
            "123456789012345678901234567891",
            false,
        );
    }
}
