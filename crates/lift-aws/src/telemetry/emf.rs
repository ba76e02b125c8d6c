//! Metrics as CloudWatch's embedded format: what the `metrics` facade records comes in, lines of JSON go out.
//!
//! The format is [Specification: Embedded metric format][spec]. The crate
//! `metrics_cloudwatch_embedded` is not used: it drops the values of a histogram after the first
//! 100, writes gauges that did not change, makes every label a dimension and takes the system's
//! time.
//!
//! [spec]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

use std::collections::HashMap;
use std::io::{self, Write};
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use lift::clock::Timestamp;
use metrics::{
    Counter, CounterFn, Gauge, GaugeFn, Histogram, Key, KeyName, Metadata, SharedString,
};

use super::names::{METRICS, Metric, Unit};
use super::sample::{Sample, VALUES_MAX, within_range};
use super::{cut, quoted};

/// Metrics in one line.
const METRICS_MAX: usize = 100;
/// Values of histograms in one line, so that it stays below the 256 KB of the specification.
const LINE_VALUES_MAX: usize = 20 * VALUES_MAX;
/// Metrics with their dimensions, in all. CloudWatch bills each of them.
const SERIES_MAX: usize = 1_000;
/// Bytes of a dimension's value.
const DIMENSION_BYTES_MAX: usize = 1_024;
/// Bytes of a namespace.
const NAMESPACE_BYTES_MAX: usize = 255;

/// Where the metrics of a function belong.
#[derive(Debug, Clone)]
pub struct Config {
    /// The dimension `service`, `POWERTOOLS_SERVICE_NAME`.
    pub service: String,
    /// `POWERTOOLS_METRICS_NAMESPACE`.
    pub namespace: String,
    /// The app's own metrics. One that is neither here nor in [`METRICS`] has no dimension but
    /// `service`, so that no id becomes one by accident.
    pub own: &'static [Metric],
}

impl Default for Config {
    /// What a function that says nothing has; the service as Powertools names it.
    fn default() -> Self {
        Self {
            service: "service_undefined".to_owned(),
            namespace: "Lift".to_owned(),
            own: &[],
        }
    }
}

/// The configured names cannot be used.
#[derive(Debug, thiserror::Error)]
pub enum NoNames {
    /// CloudWatch takes 1 to 255 bytes, and no leading colon.
    #[error("`{0}` is no namespace of 1 to 255 bytes without a leading colon")]
    Namespace(String),
    /// CloudWatch takes 1 to 1,024 bytes.
    #[error("`{0}` is no service of 1 to 1024 bytes")]
    Service(String),
}

/// A recorder of the `metrics` facade that keeps what is recorded until it is written. Clones are
/// one recorder.
#[derive(Debug, Clone)]
pub struct Emf(Arc<Shared>);

#[derive(Debug)]
struct Shared {
    config: Config,
    /// The service as JSON.
    service: String,
    series: Mutex<Series>,
    full: Once,
}

/// Counts a start of an execution environment, in whatever recorder is installed.
pub fn cold_start(function_name: &str) {
    metrics::counter!("ColdStart", "function_name" => function_name.to_owned()).increment(1);
}

impl Emf {
    /// Nothing recorded yet.
    ///
    /// # Errors
    /// When CloudWatch would take no metric with this namespace and service.
    pub fn new(config: Config) -> Result<Self, NoNames> {
        let fits = |text: &str, bytes_max| (1..=bytes_max).contains(&text.len());
        let namespace = &config.namespace;
        if !fits(namespace, NAMESPACE_BYTES_MAX) || namespace.starts_with(':') {
            return Err(NoNames::Namespace(config.namespace));
        }
        if !fits(&config.service, DIMENSION_BYTES_MAX) {
            return Err(NoNames::Service(config.service));
        }
        Ok(Self(Arc::new(Shared {
            service: quoted(&config.service),
            config,
            series: Mutex::default(),
            full: Once::new(),
        })))
    }

    /// Writes what changed since the last call, each line at once; nothing where nothing did.
    /// The properties are in every line beside the metrics, for searching, as no dimension; one
    /// with the name of a metric or dimension of the line is left out.
    ///
    /// # Errors
    /// Those of `out`; what was to be written is then lost.
    pub fn flush(
        &self,
        out: &mut impl Write,
        now: Timestamp,
        properties: &[(&str, &str)],
    ) -> io::Result<()> {
        let series = self.series();
        let mut lines: Vec<Line<'_>> = Vec::new();
        for group in &series.groups {
            for one in &group.series {
                let Some(value) = one.source.take() else {
                    continue;
                };
                match lines.iter_mut().find(|line| line.fits(group, one, &value)) {
                    Some(line) => line.add(group, one, &value),
                    None => {
                        let mut line = Line::default();
                        line.add(group, one, &value);
                        lines.push(line);
                    }
                }
            }
        }
        for line in lines {
            let text = line.text(now, &self.0.service, properties);
            out.write_all(text.as_bytes())?;
        }
        Ok(())
    }

    fn series(&self) -> MutexGuard<'_, Series> {
        let series = self.0.series.lock();
        series.unwrap_or_else(PoisonError::into_inner)
    }

    /// What records this metric: there already, or new, or none where there are too many.
    fn source(&self, key: &Key, new: fn() -> Source) -> Option<Source> {
        let own = self.0.config.own.iter();
        let known = METRICS.iter().chain(own).find(|it| it.name == key.name());
        let allowed = known.map_or(NO_DIMENSIONS, |known| known.dimensions);
        let labels = labels(key, allowed);
        let id = (key.name().to_owned(), labels);
        let mut series = self.series();
        if let Some(source) = series.index.get(&id) {
            return Some(source.clone());
        }
        if series.index.len() >= SERIES_MAX {
            drop(series);
            let say = || tracing::error!(metric = key.name(), "too many metrics: no new ones");
            self.0.full.call_once(say);
            return None;
        }
        let source = new();
        let one = One::new(&id.0, known, source.clone());
        series.add(one, &id.1, allowed, &self.0.config.namespace);
        series.index.insert(id, source.clone());
        Some(source)
    }
}

/// The labels of a key that may be dimensions.
fn labels(key: &Key, allowed: Sets) -> Labels {
    let mut names: Vec<&'static str> = allowed.iter().copied().flatten().copied().collect();
    names.sort_unstable();
    names.dedup();
    let value = |name: &'static str| {
        let label = key.labels().find(|label| label.key() == name)?;
        let value = cut(label.value(), DIMENSION_BYTES_MAX);
        // CloudWatch takes no metric with an empty one.
        let value = if value.is_empty() { "-" } else { value };
        Some((name, value.to_owned()))
    };
    names.into_iter().filter_map(value).collect()
}

impl metrics::Recorder for Emf {
    // Units are those of the registry, and descriptions stand there.
    fn describe_counter(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}
    fn describe_gauge(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}
    fn describe_histogram(&self, _: KeyName, _: Option<metrics::Unit>, _: SharedString) {}

    fn register_counter(&self, key: &Key, _: &Metadata<'_>) -> Counter {
        match self.source(key, || Source::Counter(Arc::default())) {
            Some(Source::Counter(total)) => Counter::from_arc(total),
            _ => Counter::noop(),
        }
    }

    fn register_gauge(&self, key: &Key, _: &Metadata<'_>) -> Gauge {
        match self.source(key, || Source::Gauge(Arc::default())) {
            Some(Source::Gauge(level)) => Gauge::from_arc(level),
            _ => Gauge::noop(),
        }
    }

    fn register_histogram(&self, key: &Key, _: &Metadata<'_>) -> Histogram {
        match self.source(key, || Source::Histogram(Arc::default())) {
            Some(Source::Histogram(sample)) => Histogram::from_arc(sample),
            _ => Histogram::noop(),
        }
    }
}

const NO_DIMENSIONS: Sets = &[&[]];

type Sets = &'static [&'static [&'static str]];
type Labels = Vec<(&'static str, String)>;

/// Everything that records, by name and labels, and grouped as it is written.
#[derive(Debug, Default)]
struct Series {
    index: HashMap<(String, Labels), Source>,
    groups: Vec<Group>,
}

impl Series {
    fn add(&mut self, one: One, labels: &Labels, sets: Sets, namespace: &str) {
        let mut groups = self.groups.iter_mut();
        match groups.find(|group| group.labels == *labels && group.sets == sets) {
            Some(group) => group.series.push(one),
            None => {
                let mut group = Group::new(labels, sets, namespace);
                group.series.push(one);
                self.groups.push(group);
            }
        }
    }
}

/// Metrics with the same dimensions.
#[derive(Debug)]
struct Group {
    labels: Labels,
    sets: Sets,
    /// A directive's text up to its metrics.
    head: String,
    series: Vec<One>,
}

impl Group {
    fn new(labels: &Labels, sets: Sets, namespace: &str) -> Self {
        let there = |name: &&str| labels.iter().any(|(label, _)| label == name);
        let mut dimensions: Vec<_> = sets
            .iter()
            .filter(|set| set.iter().all(there))
            .map(|set| [&["service"], *set].concat())
            .collect();
        if dimensions.is_empty() {
            dimensions.push(vec!["service"]);
        }
        let dimensions = serde_json::Value::from(dimensions);
        let namespace = quoted(namespace);
        Self {
            labels: labels.clone(),
            sets,
            head: format!(r#"{{"Namespace":{namespace},"Dimensions":{dimensions},"Metrics":["#),
            series: Vec::new(),
        }
    }
}

/// One metric with one value of each dimension.
#[derive(Debug)]
struct One {
    name: String,
    /// Its definition in a directive.
    definition: String,
    /// Its member of the line, up to the value.
    member: String,
    source: Source,
}

impl One {
    fn new(name: &str, known: Option<&Metric>, source: Source) -> Self {
        let quoted = quoted(name);
        let unit = known.map_or(Unit::None, |known| known.unit).as_str();
        Self {
            name: name.to_owned(),
            definition: format!(r#"{{"Name":{quoted},"Unit":"{unit}"}}"#),
            member: format!(",{quoted}:"),
            source,
        }
    }
}

#[derive(Debug, Clone)]
enum Source {
    Counter(Arc<Total>),
    Gauge(Arc<Level>),
    Histogram(Arc<Sample>),
}

/// What changed of a metric.
enum Value {
    Added(u64),
    Now(f64),
    Came(Vec<(f64, u64)>),
}

impl Source {
    fn take(&self) -> Option<Value> {
        match self {
            Self::Counter(total) => Some(total.take()).filter(|n| *n > 0).map(Value::Added),
            Self::Gauge(level) => level.take().map(Value::Now),
            Self::Histogram(sample) => Some(sample.take())
                .filter(|came| !came.is_empty())
                .map(Value::Came),
        }
    }
}

#[derive(Debug, Default)]
struct Total {
    now: AtomicU64,
    written: AtomicU64,
}

impl Total {
    fn take(&self) -> u64 {
        let now = self.now.load(Ordering::Relaxed);
        now.wrapping_sub(self.written.swap(now, Ordering::Relaxed))
    }
}

impl CounterFn for Total {
    fn increment(&self, value: u64) {
        self.now.fetch_add(value, Ordering::Relaxed);
    }

    fn absolute(&self, value: u64) {
        self.now.fetch_max(value, Ordering::Relaxed);
    }
}

#[derive(Debug, Default)]
struct Level {
    bits: AtomicU64,
    set: AtomicBool,
}

impl Level {
    fn take(&self) -> Option<f64> {
        let set = self.set.swap(false, Ordering::Acquire);
        let value = set.then(|| f64::from_bits(self.bits.load(Ordering::Relaxed)));
        value.and_then(within_range)
    }

    fn add(&self, value: f64) {
        let add = |bits| Some((f64::from_bits(bits) + value).to_bits());
        // Always `Ok`: `add` refuses nothing.
        let _ = self
            .bits
            .fetch_update(Ordering::Relaxed, Ordering::Relaxed, add);
        self.set.store(true, Ordering::Release);
    }
}

impl GaugeFn for Level {
    fn increment(&self, value: f64) {
        self.add(value);
    }

    fn decrement(&self, value: f64) {
        self.add(-value);
    }

    fn set(&self, value: f64) {
        self.bits.store(value.to_bits(), Ordering::Relaxed);
        self.set.store(true, Ordering::Release);
    }
}

/// A line under way. Groups share one as long as they agree about the labels that they have in
/// common: most events are then one line, and lines are what is paid for.
#[derive(Debug, Default)]
struct Line<'a> {
    directives: Vec<(&'a Group, String)>,
    labels: Vec<&'a (&'static str, String)>,
    names: Vec<&'a str>,
    values: usize,
    members: String,
}

impl<'a> Line<'a> {
    fn fits(&self, group: &Group, one: &One, value: &Value) -> bool {
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

    fn add(&mut self, group: &'a Group, one: &'a One, value: &Value) {
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

    fn text(&self, now: Timestamp, service: &str, properties: &[(&str, &str)]) -> String {
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
