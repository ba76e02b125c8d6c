//! Metrics as CloudWatch's embedded format: what the `metrics` facade records comes in, lines of JSON go out.
//!
//! The format is [Specification: Embedded metric format][spec]. The crate
//! `metrics_cloudwatch_embedded` is not used: it drops the values of a histogram after the first
//! 100, writes gauges that did not change, makes every label a dimension and takes the system's
//! time.
//!
//! [spec]: https://docs.aws.amazon.com/AmazonCloudWatch/latest/monitoring/CloudWatch_Embedded_Metric_Format_Specification.html

mod line;
mod sample;
mod series;

use std::io::{self, Write};
use std::sync::{Arc, Mutex, MutexGuard, Once, PoisonError};

use lift::clock::Timestamp;
use metrics::{Counter, Gauge, Histogram, Key, KeyName, Metadata, SharedString};

use super::names::{METRICS, Metric};
use super::quoted;
use line::Line;
use series::{NO_DIMENSIONS, One, Series, Source, labels};

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
        let text = |line: &Line<'_>| line.text(now, &self.0.service, properties);
        let texts: Vec<_> = lines.iter().map(text).collect();
        // Nobody who records waits for `out`.
        drop(lines);
        drop(series);
        for text in texts {
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
