//! In: names that a template gives. Out: whether AWS would take them.

use super::problem::{Log, Mark};
use super::tree::Entry;

/// What Lambda sets and nobody else may (developer guide, "Defined runtime environment variables").
const RESERVED: [&str; 20] = [
    "_HANDLER",
    "_X_AMZN_TRACE_ID",
    "AWS_ACCESS_KEY",
    "AWS_ACCESS_KEY_ID",
    "AWS_DEFAULT_REGION",
    "AWS_EXECUTION_ENV",
    "AWS_LAMBDA_FUNCTION_MEMORY_SIZE",
    "AWS_LAMBDA_FUNCTION_NAME",
    "AWS_LAMBDA_FUNCTION_VERSION",
    "AWS_LAMBDA_INITIALIZATION_TYPE",
    "AWS_LAMBDA_LOG_FORMAT",
    "AWS_LAMBDA_LOG_GROUP_NAME",
    "AWS_LAMBDA_LOG_LEVEL",
    "AWS_LAMBDA_LOG_STREAM_NAME",
    "AWS_LAMBDA_RUNTIME_API",
    "AWS_REGION",
    "AWS_SECRET_ACCESS_KEY",
    "AWS_SESSION_TOKEN",
    "LAMBDA_RUNTIME_DIR",
    "LAMBDA_TASK_ROOT",
];

/// The bytes of a function's name.
const FUNCTION_NAME_MAX: usize = 64;

/// Whether a name is one to so many letters, digits, `-` and `_`.
pub(super) fn is_plain_name(name: &str, most: usize) -> bool {
    let is_plain = |c: char| c.is_ascii_alphanumeric() || c == '-' || c == '_';
    (1..=most).contains(&name.len()) && name.chars().all(is_plain)
}

/// The rule of [`is_plain_name`] for a sentence.
pub(super) fn plain_name(most: usize) -> String {
    format!("it has 1 to {most} letters, digits, `-` and `_`")
}

/// Tells of a function's name that Lambda refuses (API reference, `CreateFunction`).
pub(super) fn function_name(name: &str, at: Mark, log: &mut Log) {
    if !is_plain_name(name, FUNCTION_NAME_MAX) {
        let rule = plain_name(FUNCTION_NAME_MAX);
        log.problem(at, format!("`{name}` is no function's name: {rule}"));
    }
}

/// Tells of variables that Lambda refuses (API reference, `Environment`: `[a-zA-Z]([a-zA-Z0-9_])+`).
pub(super) fn variables(entries: &[Entry], log: &mut Log) {
    for Entry { key, at, .. } in entries {
        let is_word = key.chars().all(|c| c.is_ascii_alphanumeric() || c == '_');
        let begins = key.chars().next().is_some_and(|c| c.is_ascii_alphabetic());
        if RESERVED.contains(&key.as_str()) {
            let text = format!("`{key}` is a variable that Lambda itself sets");
            log.problem(*at, text);
        } else if !begins || !is_word || key.len() < 2 {
            let rule = "it begins with a letter and has at least two letters, digits and `_`";
            log.problem(*at, format!("`{key}` is no variable's name: {rule}"));
        }
    }
}
