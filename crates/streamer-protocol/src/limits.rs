//! A field of a client message comes in, the rule that it breaks goes out.
//!
//! All lengths are UTF-8 bytes. The checks are those that the server makes, so that a client can refuse a bad
//! message before it sends it.

use std::collections::BTreeMap;

use crate::error::FieldError;

/// Longest `id`, in bytes.
pub const ID_BYTES_MAX: usize = 128;
/// Longest `action`, in bytes.
pub const ACTION_BYTES_MAX: usize = 64;
/// Longest `idempotency_key`, in bytes.
pub const KEY_BYTES_MAX: usize = 128;
/// Most entries of `metadata`.
pub const METADATA_ENTRIES_MAX: usize = 16;
/// Most bytes of all keys and values of `metadata` together.
pub const METADATA_BYTES_MAX: usize = 1024;
/// Deepest nesting of objects and arrays in a client message, the message itself being level 1.
pub const NESTING_MAX: usize = 64;
/// Largest payload of one frame from a client, in bytes; a longer message goes in several frames (API Gateway).
pub const FRAME_BYTES_MAX: usize = 32 * 1024;
/// Largest message in either direction, in bytes (API Gateway).
pub const MESSAGE_BYTES_MAX: usize = 128 * 1024;
/// Most requests named by one `request.resume`.
pub const RESUME_MAX: usize = 100;
/// Most requests on one page of `request.list`.
pub const LIST_MAX: u32 = 100;
/// Most fields that one `VALIDATION_ERROR` names.
pub const FIELDS_MAX: usize = 10;

/// Checks a correlation id: 1–128 of `[A-Za-z0-9._:-]`.
///
/// # Errors
/// Another length, or another character.
pub fn id(text: &str) -> Result<(), FieldError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._:-".contains(&b);
    shape(text, ID_BYTES_MAX, allowed).map_err(|is| {
        FieldError::new(
            "/id",
            format!("must be 1–{ID_BYTES_MAX} of `A-Z a-z 0-9 . _ : -`; {is}"),
        )
    })
}

/// Checks an action's name: 1–64 of `[A-Za-z0-9._-]`.
///
/// # Errors
/// Another length, or another character.
pub fn action(text: &str) -> Result<(), FieldError> {
    let allowed = |b: u8| b.is_ascii_alphanumeric() || b"._-".contains(&b);
    shape(text, ACTION_BYTES_MAX, allowed).map_err(|is| {
        FieldError::new(
            "/action",
            format!("must be 1–{ACTION_BYTES_MAX} of `A-Z a-z 0-9 . _ -`; {is}"),
        )
    })
}

/// Checks an idempotency key: 1–128 visible ASCII characters.
///
/// # Errors
/// Another length, or another character.
pub fn idempotency_key(text: &str) -> Result<(), FieldError> {
    shape(text, KEY_BYTES_MAX, |b| b.is_ascii_graphic()).map_err(|is| {
        FieldError::new(
            "/idempotency_key",
            format!("must be 1–{KEY_BYTES_MAX} of visible ASCII; {is}"),
        )
    })
}

/// Checks metadata: at most 16 entries, keys and values together at most 1,024 bytes.
///
/// # Errors
/// Too many entries, or too many bytes.
pub fn metadata(entries: &BTreeMap<String, String>) -> Result<(), FieldError> {
    let bytes: usize = entries
        .iter()
        .map(|(key, value)| key.len() + value.len())
        .sum();
    if entries.len() > METADATA_ENTRIES_MAX {
        let found = entries.len();
        let message = format!("must have at most {METADATA_ENTRIES_MAX} entries; it has {found}");
        return Err(FieldError::new("/metadata", message));
    }
    if bytes > METADATA_BYTES_MAX {
        let message = format!(
            "must have at most {METADATA_BYTES_MAX} bytes of keys and values; it has {bytes}"
        );
        return Err(FieldError::new("/metadata", message));
    }
    Ok(())
}

/// Deepest nesting of objects and arrays in JSON text; `1` for `{}`.
#[must_use]
pub fn nesting(json: &str) -> usize {
    let (mut depth, mut deepest) = (0_usize, 0_usize);
    let (mut in_string, mut escaped) = (false, false);
    for byte in json.bytes() {
        match byte {
            _ if escaped => escaped = false,
            b'\\' if in_string => escaped = true,
            b'"' => in_string = !in_string,
            b'{' | b'[' if !in_string => {
                depth += 1;
                deepest = deepest.max(depth);
            }
            b'}' | b']' if !in_string => depth = depth.saturating_sub(1),
            _ => {}
        }
    }
    deepest
}

/// What is wrong with the shape of `text`, for the end of a sentence.
fn shape(text: &str, bytes_max: usize, allowed: impl Fn(u8) -> bool) -> Result<(), String> {
    match text.chars().find(|c| !u8::try_from(*c).is_ok_and(&allowed)) {
        _ if text.is_empty() => Err("it is empty".to_owned()),
        _ if text.len() > bytes_max => Err(format!("it has {} bytes", text.len())),
        Some(other) => Err(format!("it has `{}`", other.escape_debug())),
        None => Ok(()),
    }
}
