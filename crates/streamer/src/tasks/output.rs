//! What a request says of the object to write comes in; a checked name goes out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::failure::Failure;
use crate::objects::ObjectName;

/// The object to write.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct Output {
    /// Relative to the tenant's folder; its end chooses the format.
    #[schemars(length(min = 1, max = 512))]
    pub name: String,
    /// Whether an object of this name may be replaced.
    #[serde(default)]
    pub overwrite: bool,
}

/// An object's name that has one of some ends, in any case, and which of them it has.
pub(super) fn name<T: Copy>(
    text: &str,
    pointer: &str,
    ends: &[(&'static str, T)],
) -> Result<(ObjectName, T), Failure> {
    let name =
        ObjectName::parse(text).map_err(|error| Failure::invalid(pointer, error.to_string()))?;
    let lower = name.as_str().to_ascii_lowercase();
    match ends.iter().find(|(end, _)| lower.ends_with(end)) {
        Some((_, kind)) => Ok((name, *kind)),
        None => {
            let ends: Vec<String> = ends.iter().map(|(end, _)| format!("`{end}`")).collect();
            let message = format!("does not end in {}", ends.join(" or "));
            Err(Failure::invalid(pointer, message))
        }
    }
}
