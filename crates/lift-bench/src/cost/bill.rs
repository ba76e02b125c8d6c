//! Quantities and prices come in; a bill, each line with its formula, goes out.

use serde::Serialize;

use super::{
    assumed::Assumed,
    inputs::{Counts, Priced, Prices},
    kind::Kind,
    usage::Usage,
};

/// Hours of a month, as AWS's own examples have it.
pub const MONTH_HOURS: f64 = 730.0;
const GB: f64 = 1_073_741_824.0;

/// What time a bill is for.
#[derive(Debug, Clone, Copy, PartialEq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum Period {
    /// The scenario again and again, for so many hours.
    Month(f64),
    /// One run.
    Once,
}

/// Whether what is free for a while or always is taken off.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(rename_all = "snake_case")]
pub enum FreeTier {
    /// It is paid for.
    Off,
    /// It is taken off.
    On,
}

/// One line of a bill.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Line {
    /// The price's name.
    pub price: Priced,
    /// What is paid for.
    pub says: &'static str,
    /// How many.
    pub quantity: f64,
    /// Of what.
    pub unit: &'static str,
    /// How the quantity came about.
    pub formula: &'static str,
    /// What the formula works on.
    pub inputs: Vec<(&'static str, f64)>,
    /// What was taken off for nothing.
    pub free: f64,
    /// What it costs.
    pub usd: f64,
    /// Whose word the price is.
    pub mark: String,
}

/// What a time costs.
#[derive(Debug, Clone, PartialEq, Serialize)]
#[non_exhaustive]
pub struct Bill {
    /// All lines together.
    pub usd: f64,
    /// Each thing.
    pub lines: Vec<Line>,
}

/// What a bill is made with.
#[derive(Debug, Clone, Copy)]
pub(super) struct Billing<'a> {
    pub(super) prices: &'a Prices,
    pub(super) counts: &'a Counts,
    pub(super) assumed: &'a Assumed,
    pub(super) free_tier: FreeTier,
    /// Hours that it is for.
    pub(super) hours: f64,
    /// Functions that write a metric of their first event, and series of metrics.
    pub(super) metrics: f64,
    /// Whether the deployment is Streamer's, with its sweeper.
    pub(super) sweeps: bool,
}

impl Billing<'_> {
    /// What a time costs in which this much is used, the sweeper's share not included.
    pub(super) fn bill(&self, used: &Usage) -> Bill {
        let mut usage = used.clone();
        let sweeps = match self.sweeps {
            true => self.hours * 60.0,
            false => 0.0,
        };
        if let Some(sweep) = self.counts.events.get("sweep") {
            let once = Usage::of_counted(sweep, Kind::Counted("sweep"), self.assumed);
            usage.add(&once, sweeps);
        }
        let mut lines = self.gateway(&usage);
        lines.extend(self.lambda(&usage));
        lines.extend(self.dynamodb(&usage));
        lines.extend(self.watching(&usage));
        lines.extend(self.objects(&usage));
        let usd = lines.iter().map(|line| line.usd).sum();
        Bill { usd, lines }
    }

    fn line(
        &self,
        price: Priced,
        says: (&'static str, &'static str),
        formula: &'static str,
        inputs: Vec<(&'static str, f64)>,
        quantity: f64,
    ) -> Line {
        let of = self.prices.price(price);
        let free = match self.free_tier {
            FreeTier::Off => 0.0,
            FreeTier::On => of.free.min(quantity),
        };
        Line {
            price,
            says: says.0,
            quantity,
            unit: says.1,
            formula,
            inputs,
            free,
            usd: of.of(quantity - free),
            mark: of.mark.clone(),
        }
    }

    fn gateway(&self, usage: &Usage) -> Vec<Line> {
        let minutes = usage.open_seconds / 60.0;
        vec![
            self.line(
                Priced::Message,
                ("API Gateway messages", "messages"),
                "received + replies + posts, each in started 32 KiB",
                vec![
                    ("received", usage.received),
                    ("replies", usage.replies),
                    ("posts", usage.posts),
                ],
                usage.received + usage.replies + usage.posts,
            ),
            self.line(
                Priced::Minute,
                ("API Gateway connections", "minutes"),
                "open_seconds / 60",
                vec![("open_seconds", usage.open_seconds)],
                minutes,
            ),
        ]
    }

    fn lambda(&self, usage: &Usage) -> Vec<Line> {
        let memory = |function: &str| {
            self.counts
                .memory_mb
                .get(function)
                .copied()
                .unwrap_or(256.0)
        };
        let gb_seconds = usage.busy_ms.iter();
        let gb_seconds: f64 = gb_seconds
            .map(|(function, ms)| ms / 1_000.0 * memory(function) / 1_024.0)
            .sum();
        let invokes: f64 = usage.invokes.values().sum();
        let ms: f64 = usage.busy_ms.values().sum();
        vec![
            self.line(
                Priced::Invocation,
                ("Lambda invocations", "invocations"),
                "invocations",
                vec![("invocations", invokes)],
                invokes,
            ),
            self.line(
                Priced::GbSecond,
                ("Lambda duration", "GB-seconds"),
                "sum over functions of busy_ms / 1000 x memory_mb / 1024",
                vec![("busy_ms", ms)],
                gb_seconds,
            ),
        ]
    }

    fn dynamodb(&self, usage: &Usage) -> Vec<Line> {
        let writes: f64 = usage.writes.values().sum();
        let reads: f64 = usage.reads.values().sum();
        let stored = usage.tasks * self.assumed.head_bytes / GB;
        let months = self.assumed.head_days * 24.0 / MONTH_HOURS;
        let stream: f64 = usage
            .invokes
            .get("DispatchFunction")
            .copied()
            .unwrap_or_default();
        vec![
            self.line(
                Priced::Write,
                ("DynamoDB writes", "units"),
                "units",
                vec![("units", writes)],
                writes,
            ),
            self.line(
                Priced::Read,
                ("DynamoDB reads", "units"),
                "units",
                vec![("units", reads)],
                reads,
            ),
            self.line(
                Priced::TableGb,
                ("DynamoDB storage", "GB-months"),
                "tasks x head_bytes / 2^30 x head_days x 24 / 730",
                vec![
                    ("tasks", usage.tasks),
                    ("head_bytes", self.assumed.head_bytes),
                    ("head_days", self.assumed.head_days),
                ],
                stored * months,
            ),
            self.line(
                Priced::StreamRead,
                ("DynamoDB Streams", "batches"),
                "batches",
                vec![("batches", stream)],
                stream,
            ),
        ]
    }

    fn watching(&self, usage: &Usage) -> Vec<Line> {
        let ingested = usage.log_bytes / GB;
        let kept_months = self.assumed.log_days * 24.0 / MONTH_HOURS;
        let invokes: f64 = usage.invokes.values().sum();
        let seconds = self.hours * 3_600.0;
        let first = invokes.min(seconds);
        let traces = first + (invokes - first) * self.assumed.trace_share;
        vec![
            self.line(
                Priced::LogGb,
                ("CloudWatch logs taken", "GB"),
                "log_bytes / 2^30",
                vec![("log_bytes", usage.log_bytes)],
                ingested,
            ),
            self.line(
                Priced::LogGbMonth,
                ("CloudWatch logs kept", "GB-months"),
                "log_bytes / 2^30 x log_kept_share x log_days x 24 / 730",
                vec![
                    ("log_bytes", usage.log_bytes),
                    ("log_kept_share", self.assumed.log_kept_share),
                    ("log_days", self.assumed.log_days),
                ],
                ingested * self.assumed.log_kept_share * kept_months,
            ),
            self.line(
                Priced::Metric,
                ("CloudWatch metrics", "metric-months"),
                "series x hours / 730",
                vec![("series", self.metrics), ("hours", self.hours)],
                self.metrics * self.hours / MONTH_HOURS,
            ),
            self.line(
                Priced::Trace,
                ("X-Ray traces", "traces"),
                "one each second, and trace_share of further invocations",
                vec![
                    ("invocations", invokes),
                    ("seconds", seconds),
                    ("trace_share", self.assumed.trace_share),
                ],
                traces,
            ),
        ]
    }

    fn objects(&self, usage: &Usage) -> Vec<Line> {
        let months = self.assumed.object_days * 24.0 / MONTH_HOURS;
        vec![
            self.line(
                Priced::Put,
                ("S3 PUT, COPY and LIST", "requests"),
                "requests",
                vec![("requests", usage.puts)],
                usage.puts,
            ),
            self.line(
                Priced::Get,
                ("S3 GET and HEAD", "requests"),
                "requests",
                vec![("requests", usage.gets)],
                usage.gets,
            ),
            self.line(
                Priced::ObjectGb,
                ("S3 storage", "GB-months"),
                "tasks x object_bytes / 2^30 x object_days x 24 / 730",
                vec![
                    ("tasks", usage.tasks),
                    ("object_bytes", self.assumed.object_bytes),
                    ("object_days", self.assumed.object_days),
                ],
                usage.tasks * self.assumed.object_bytes / GB * months,
            ),
            self.line(
                Priced::TransferGb,
                ("Data transfer out", "GB"),
                "out_bytes / 2^30",
                vec![("out_bytes", usage.out_bytes)],
                usage.out_bytes / GB,
            ),
        ]
    }
}
