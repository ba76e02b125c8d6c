//! A line of the embedded format: changed metrics go in, their JSON comes out.

use lift::clock::Timestamp;

use super::sample::VALUES_MAX;
use super::series::{Group, One};
use crate::telemetry::quoted;

/// Metrics in one line.
const METRICS_MAX: usize = 100;
/// Values of histograms in one line, so that it stays below the 256 KB of the specification.
const LINE_VALUES_MAX: usize = 20 * VALUES_MAX;

/// What changed of a metric.
pub(super) enum Value {
    Added(u64),
    Now(f64),
    Came(Vec<(f64, u64)>),
}

/// A line under way. Groups share one as long as they agree about the labels that they have in
/// common: most events are then one line, and lines are what is paid for.
#[derive(Debug, Default)]
pub(super) struct Line<'a> {
    directives: Vec<(&'a Group, String)>,
    labels: Vec<&'a (&'static str, String)>,
    names: Vec<&'a str>,
    values: usize,
    members: String,
}

impl<'a> Line<'a> {
    pub(super) fn fits(&self, group: &Group, one: &One, value: &Value) -> bool {
        let agree = |(name, value): &(&str, String)| {
            self.labels
                .iter()
                .all(|(there, its)| there != name || its == value)
        };
        self.names.len() < METRICS_MAX
            && self.values + value.len() <= LINE_VALUES_MAX
            && !self.names.contains(&one.name.as_str())
            && group.labels.iter().all(agree)
    }

    pub(super) fn add(&mut self, group: &'a Group, one: &'a One, value: &Value) {
        self.names.push(&one.name);
        self.values += value.len();
        self.members.push_str(&one.member);
        value.write(&mut self.members);
        if let Some((last, definitions)) = self.directives.last_mut()
            && std::ptr::eq(*last, group)
        {
            definitions.push(',');
            definitions.push_str(&one.definition);
            return;
        }
        for label in &group.labels {
            if !self.labels.contains(&label) {
                self.labels.push(label);
            }
        }
        self.directives.push((group, one.definition.clone()));
    }

    pub(super) fn text(
        &self,
        now: Timestamp,
        service: &str,
        properties: &[(&str, &str)],
    ) -> String {
        let directives = self.directives.iter();
        let directives: Vec<_> = directives
            .map(|(group, definitions)| [group.head.as_str(), definitions, "]}"].concat())
            .collect();
        let mut text = format!(
            r#"{{"_aws":{{"Timestamp":{},"CloudWatchMetrics":[{}]}},"service":{service}"#,
            now.as_millis(),
            directives.join(","),
        );
        for (name, value) in &self.labels {
            text.extend([",", &quoted(name), ":", &quoted(value)]);
        }
        text.push_str(&self.members);
        for (name, value) in properties {
            let taken = ["_aws", "service"].contains(name)
                || self.names.contains(name)
                || self.labels.iter().any(|(label, _)| label == name);
            if !taken {
                text.extend([",", &quoted(name), ":", &quoted(value)]);
            }
        }
        text.push_str("}\n");
        text
    }
}

impl Value {
    fn len(&self) -> usize {
        match self {
            Self::Added(_) | Self::Now(_) => 1,
            Self::Came(values) => values.len(),
        }
    }

    fn write(&self, text: &mut String) {
        match self {
            Self::Added(count) => text.push_str(&count.to_string()),
            Self::Now(value) => text.push_str(&number(value)),
            Self::Came(values) if values.iter().all(|(_, count)| *count == 1) => {
                let values: Vec<_> = values.iter().map(|(value, _)| number(value)).collect();
                match values.as_slice() {
                    [value] => text.push_str(value),
                    values => text.extend(["[", &values.join(","), "]"]),
                }
            }
            Self::Came(values) => {
                let list = |of: fn(&(f64, u64)) -> String| {
                    values.iter().map(of).collect::<Vec<_>>().join(",")
                };
                let (numbers, counts) = (list(|(it, _)| number(it)), list(|(_, n)| n.to_string()));
                text.push_str(&format!(r#"{{"Values":[{numbers}],"Counts":[{counts}]}}"#));
            }
        }
    }
}

/// A finite number as JSON.
fn number(value: &f64) -> String {
    serde_json::Value::from(*value).to_string()
}
