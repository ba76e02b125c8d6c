//! temporary
use crate::report::Machine;
use std::time::Duration;
pub(crate) fn this() -> Machine {
    Machine::default()
}
pub(crate) fn cpu_time() -> std::io::Result<Duration> {
    let text = std::fs::read_to_string("/proc/self/stat")?;
    let fields: Vec<&str> = text
        .rsplit_once(')')
        .map_or("", |(_, rest)| rest)
        .split_whitespace()
        .collect();
    let ticks = |n: usize| {
        fields
            .get(n)
            .and_then(|f| f.parse::<u64>().ok())
            .unwrap_or_default()
    };
    Ok(Duration::from_millis((ticks(11) + ticks(12)) * 10))
}
