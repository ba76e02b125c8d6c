//! What goes wrong in a phase, and when.

use std::{fmt, time::Duration};

use serde::Deserialize;

use super::span::{self, Share, Span};

/// Something that goes wrong.
#[derive(Debug, Clone, Deserialize)]
#[serde(rename_all = "snake_case")]
#[non_exhaustive]
pub enum Fault {
    /// Connections end without a close frame.
    Cut(Cut),
    /// Clients stop reading for a while.
    Stall(Stall),
    /// The scenario's own server is killed (SIGKILL) and started again.
    Kill(Kill),
    /// A command is run.
    Run(Command),
    /// The network between clients and server is bad.
    Network(Network),
}

impl Fault {
    /// When it begins, after its phase's start.
    #[must_use]
    pub fn at(&self) -> Duration {
        match self {
            Self::Cut(cut) => cut.at,
            Self::Stall(stall) => stall.at,
            Self::Kill(kill) => kill.at,
            Self::Run(run) => run.at,
            Self::Network(network) => network.at,
        }
    }
}

/// In words, for a report.
impl fmt::Display for Fault {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let spoken = |time: Duration| humantime::format_duration(time);
        match self {
            Self::Cut(cut) => {
                write!(f, "cut {} of the connections", cut.share)?;
                match cut.each {
                    Some(each) => write!(f, ", each about every {}", spoken(each)),
                    None => Ok(()),
                }
            }
            Self::Stall(stall) => write!(
                f,
                "{} of the clients stop reading for {}",
                stall.share,
                spoken(stall.lasts)
            ),
            Self::Kill(kill) => {
                f.write_str("kill of the server")?;
                match kill.every {
                    Some(every) => write!(f, ", every {}", spoken(every)),
                    None => Ok(()),
                }
            }
            Self::Run(run) => {
                write!(f, "`{}`", run.command.join(" "))?;
                match run.every {
                    Some(every) => write!(f, ", every {}", spoken(every)),
                    None => Ok(()),
                }
            }
            Self::Network(network) => {
                write!(f, "a bad network for {} of the connections", network.share)?;
                match network.lasts {
                    Some(lasts) => write!(f, ", for {}", spoken(lasts)),
                    None => Ok(()),
                }
            }
        }
    }
}

/// Connections end without a close frame.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Cut {
    /// When all of them are cut at once, after the phase's start; or when `each` begins.
    #[serde(default, deserialize_with = "span::duration")]
    pub at: Duration,
    /// Each client for itself, this far apart on average (half as much to half as much again), until the phase's end.
    #[serde(default, deserialize_with = "span::optional_duration")]
    pub each: Option<Duration>,
    /// How many of the connections: all if absent.
    #[serde(default)]
    pub share: Share,
    /// How long a client stays away.
    #[serde(default)]
    pub offline: Span,
}

/// Clients stop reading for a while.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Stall {
    /// When, after the phase's start.
    #[serde(default, deserialize_with = "span::duration")]
    pub at: Duration,
    /// How many of the connections: all if absent.
    #[serde(default)]
    pub share: Share,
    /// For how long.
    #[serde(rename = "for", deserialize_with = "span::duration")]
    pub lasts: Duration,
}

/// The scenario's own server is killed (SIGKILL) and started again.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Kill {
    /// When, after the phase's start.
    #[serde(default, deserialize_with = "span::duration")]
    pub at: Duration,
    /// Again and again, this far apart, until the phase's end.
    #[serde(default, deserialize_with = "span::optional_duration")]
    pub every: Option<Duration>,
    /// How long it stays down.
    #[serde(default, deserialize_with = "span::duration")]
    pub down: Duration,
}

/// A command is run.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Command {
    /// Program and arguments.
    pub command: Vec<String>,
    /// When, after the phase's start.
    #[serde(default, deserialize_with = "span::duration")]
    pub at: Duration,
    /// Again and again, this far apart, until the phase's end.
    #[serde(default, deserialize_with = "span::optional_duration")]
    pub every: Option<Duration>,
}

/// The network between clients and server is bad: a proxy in this process makes it so.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Network {
    /// When it begins, after the phase's start.
    #[serde(default, deserialize_with = "span::duration")]
    pub at: Duration,
    /// How long it lasts: until the phase's end if absent.
    #[serde(default, rename = "for", deserialize_with = "span::optional_duration")]
    pub lasts: Option<Duration>,
    /// How many of the connections: all if absent.
    #[serde(default)]
    pub share: Share,
    /// What each byte waits, each way; a span is chosen from anew for each read.
    #[serde(default)]
    pub latency: Span,
    /// Bytes that pass each second, each way of each connection.
    pub bytes_per_second: Option<u32>,
    /// Bytes that are written at a time.
    pub slice: Option<u32>,
    /// Connections are reset (RST) after this many bytes to the client.
    pub reset_after: Option<u64>,
}
