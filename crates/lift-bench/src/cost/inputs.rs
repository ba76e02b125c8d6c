//! Files of prices and of counts come in, and what is assumed beside them; typed numbers go out.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

const PRICES: &str = include_str!("../../prices/us-east-1.json");
const COUNTS: &str = include_str!("../../../../docs/aws-costs.json");

/// Prices and quotas of one region on one day.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Prices {
    /// `lift-prices/1`.
    pub format: String,
    /// The region.
    pub region: String,
    /// What prices are in.
    pub currency: String,
    /// When the file was last gone through.
    pub date: String,
    /// What the figures leave out.
    #[serde(default)]
    pub says: String,
    /// Each price, by name.
    pub prices: BTreeMap<Priced, Price>,
    /// Each quota, by name.
    pub quotas: BTreeMap<Quota, Limit>,
}

macro_rules! names {
    ($(#[$about:meta])* $name:ident { $($(#[$says:meta])* $variant:ident = $text:literal),+ $(,)? }) => {
        $(#[$about])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize, Deserialize)]
        #[non_exhaustive]
        pub enum $name { $($(#[$says])* #[serde(rename = $text)] $variant),+ }

        impl $name {
            /// All of them.
            pub const ALL: &'static [Self] = &[$(Self::$variant),+];

            /// As files and options write it.
            #[must_use]
            pub fn name(self) -> &'static str {
                match self { $(Self::$variant => $text),+ }
            }

            /// The one that is written so.
            #[must_use]
            pub fn named(name: &str) -> Option<Self> {
                Self::ALL.iter().copied().find(|it| it.name() == name)
            }
        }
    };
}

names! {
    /// What is paid for.
    Priced {
        /// A WebSocket message, each started 32 KiB of it.
        Message = "apigw_message",
        /// A minute of a connection.
        Minute = "apigw_minute",
        /// An invocation.
        Invocation = "lambda_request",
        /// A second of 1 GB of a function.
        GbSecond = "lambda_gb_second",
        /// A write request unit.
        Write = "dynamodb_write",
        /// A read request unit.
        Read = "dynamodb_read",
        /// 1 GB in tables for a month.
        TableGb = "dynamodb_gb_month",
        /// A read of a stream by a trigger.
        StreamRead = "dynamodb_stream_read",
        /// 1 GB of log lines.
        LogGb = "logs_gb",
        /// 1 GB of log lines for a month.
        LogGbMonth = "logs_gb_month",
        /// A custom metric for a month.
        Metric = "metric_month",
        /// A trace.
        Trace = "xray_trace",
        /// A PUT, COPY, POST or LIST.
        Put = "s3_put",
        /// A GET or HEAD.
        Get = "s3_get",
        /// 1 GB of objects for a month.
        ObjectGb = "s3_gb_month",
        /// 1 GB to the internet.
        TransferGb = "transfer_gb",
    }
}

names! {
    /// What is limited.
    Quota {
        /// New connections a second.
        Connects = "connects",
        /// Requests of all APIs a second.
        Requests = "requests",
        /// Requests of this stage a second.
        Stage = "stage",
        /// Invocations at a time.
        Concurrency = "concurrency",
        /// How fast one function's invocations at a time grow.
        ConcurrencyRamp = "concurrency_ramp",
        /// Write units of one partition key.
        KeyWrites = "key_writes",
        /// Read units of one partition key.
        KeyReads = "key_reads",
        /// Write units of a new table.
        TableWrites = "table_writes",
        /// Tasks of a shard.
        Stream = "stream",
        /// How long a connection lasts.
        OpenSeconds = "open_seconds",
        /// How long it may be silent.
        IdleSeconds = "idle_seconds",
        /// A message's size.
        MessageBytes = "message_bytes",
        /// A frame's size.
        FrameBytes = "frame_bytes",
        /// An event's size.
        EventBytes = "event_bytes",
    }
}

/// What something costs.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Price {
    /// What it is.
    pub says: String,
    /// A tier's price is for so many of it.
    pub per: f64,
    /// What each part of a month's quantity costs, the first part first.
    pub tiers: Vec<Tier>,
    /// What a month has for nothing, where free tiers count.
    #[serde(default)]
    pub free: f64,
    /// Whose word it is: `documented`, `observed`, `unverified`.
    pub mark: String,
    /// When it was seen.
    pub date: String,
    /// Where.
    pub source: String,
}

/// A price of a part of a month's quantity.
#[derive(Debug, Clone, Copy, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Tier {
    /// Up to this quantity, counted from the month's first; all the rest if absent.
    pub up_to: Option<f64>,
    /// The price.
    pub usd: f64,
}

impl Price {
    /// What a month's quantity costs.
    #[must_use]
    pub fn of(&self, quantity: f64) -> f64 {
        let (mut below, mut usd) = (0.0, 0.0);
        for tier in &self.tiers {
            let up_to = tier.up_to.unwrap_or(f64::INFINITY).min(quantity);
            usd += (up_to - below).max(0.0) / self.per * tier.usd;
            below = up_to.max(below);
        }
        usd
    }
}

/// What is limited, and how far.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Limit {
    /// What it is.
    pub says: String,
    /// How much there may be.
    pub limit: f64,
    /// Whether there may be more.
    pub raise: Raise,
    /// Whose word it is.
    pub mark: String,
    /// Where.
    pub source: String,
}

/// Whether a limit can be raised.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "snake_case")]
pub enum Raise {
    /// It cannot.
    No,
    /// On request, which takes days: what to ask for.
    Ask(String),
    /// At once: what to set.
    Set(String),
}

impl Prices {
    /// Those of us-east-1 that this version knows.
    ///
    /// # Panics
    /// Never: a test reads the file.
    #[must_use]
    pub fn built_in() -> Self {
        Self::parse(PRICES).expect("a test reads it")
    }

    /// Reads a file of the same shape.
    ///
    /// # Errors
    /// Text of another shape, and one that lacks a price or a quota.
    pub fn parse(text: &str) -> Result<Self, String> {
        let prices: Self = serde_json::from_str(text).map_err(|error| error.to_string())?;
        if prices.format != "lift-prices/1" {
            return Err(format!(
                "`format` is `{}`, not `lift-prices/1`",
                prices.format
            ));
        }
        for name in Priced::ALL {
            let price = prices.prices.get(name);
            let price = price.ok_or_else(|| format!("there is no price `{}`", name.name()))?;
            let ends = price.tiers.last().is_some_and(|tier| tier.up_to.is_none());
            let numbers = price.tiers.iter().all(|tier| tier.usd >= 0.0);
            if !ends || !numbers || price.per <= 0.0 || price.free < 0.0 {
                return Err(format!(
                    "the price `{}` has no last tier, or a wrong number",
                    name.name()
                ));
            }
        }
        let missing = Quota::ALL
            .iter()
            .find(|name| !prices.quotas.contains_key(name));
        match missing {
            Some(name) => Err(format!("there is no quota `{}`", name.name())),
            None => Ok(prices),
        }
    }

    pub(super) fn price(&self, of: Priced) -> &Price {
        self.prices.get(&of).expect("`parse` asks for each")
    }

    pub(super) fn quota(&self, of: Quota) -> &Limit {
        self.quotas.get(&of).expect("`parse` asks for each")
    }
}

/// What events cost in calls: `docs/aws-costs.json`, which the budget test writes.
#[derive(Debug, Clone, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counts {
    /// Of each function.
    pub memory_mb: BTreeMap<String, f64>,
    /// Of each event, by name.
    pub events: BTreeMap<String, Counted>,
}

/// What one event costs in calls.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Counted {
    /// Invocations of each function.
    pub invokes: BTreeMap<String, f64>,
    /// How many of them another function asked for.
    pub starts: f64,
    /// Calls by name.
    pub dynamodb: BTreeMap<String, f64>,
    /// Of each table and index.
    pub read_units: BTreeMap<String, f64>,
    /// Of each table and index.
    pub write_units: BTreeMap<String, f64>,
    /// Messages by `@connections`.
    pub posts: f64,
    /// Bytes of all of them.
    pub post_bytes: f64,
    /// Requests by kind.
    pub s3: BTreeMap<String, f64>,
    /// Bytes of log lines.
    pub log_bytes: f64,
}

impl Counts {
    /// Those of this version.
    ///
    /// # Panics
    /// Never: a test reads the file.
    #[must_use]
    pub fn built_in() -> Self {
        serde_json::from_str(COUNTS).expect("a test reads it")
    }
}
