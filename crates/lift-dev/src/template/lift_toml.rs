//! In: a `lift.toml`. Out: the plan.

use std::path::Path;

use super::Settings;
use super::problem::{Log, Mark};
use crate::plan::Plan;

/// Reads a `lift.toml`.
pub(super) fn read(_text: &str, _directory: &Path, _settings: &Settings) -> (Plan, Log) {
    let mut log = Log::default();
    log.problem(Mark::default(), "not read yet");
    (Plan::default(), log)
}
