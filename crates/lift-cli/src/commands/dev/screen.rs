//! In: what happens in the functions and the gateway. Out: lines, for a person or a program.

use std::borrow::Cow;

use jiff::Timestamp;
use lift_dev::{
    feed::{By, Detail, Direction, Entry, Happened, Opcode},
    server::{Dev, Endpoint},
};
use tokio::sync::mpsc;

use crate::{
    args::dev::DevArgs,
    failure::Failure,
    output::{print, say},
};

/// What is written at once, where much happens.
const TOGETHER_MAX: usize = 256;

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Screen {
    /// Says where clients connect, and which rules are relaxed.
    pub(super) fn begin(self, args: &DevArgs, running: &Dev) -> Result<(), Failure> {
        for endpoint in running.endpoints() {
            if self.json {
                print(&format!("{}\n", serde_json::json!(endpoint)))?;
            } else {
                let Endpoint {
                    api, url, tls_url, ..
                } = endpoint;
                say(&format!("{api}  {url}  {tls_url}"));
            }
        }
        if self.quiet || self.json {
            return Ok(());
        }
        let relaxed: Vec<_> = args.relax.iter().map(|quota| quota.name()).collect();
        let relaxed = if relaxed.is_empty() {
            "all in force".to_owned()
        } else {
            format!("without {}", relaxed.join(", "))
        };
        say(&format!(
            "quotas of API Gateway: {relaxed}; time × {}",
            args.time_scale
        ));
        let faults: Vec<_> = args.faults.iter().map(ToString::to_string).collect();
        if !faults.is_empty() {
            say(&format!(
                "faults: {}; seed {}",
                faults.join(", "),
                args.seed
            ));
        }
        say(&format!("certificate: {}", running.certificate().display()));
        say(Row::HEAD);
        Ok(())
    }

    /// How much it shows of what happens.
    pub(super) fn detail(self) -> Detail {
        if self.quiet {
            Detail::Problems
        } else {
            Detail::All
        }
    }

    /// Shows whatever happens; it may wait for who reads.
    pub(super) fn follow(self, mut happened: mpsc::Receiver<Happened>) {
        let mut together = Vec::new();
        while happened.blocking_recv_many(&mut together, TOGETHER_MAX) > 0 {
            let each = together.drain(..);
            if self.json {
                let json = each.map(|happened| {
                    serde_json::to_string(&happened).expect("string keys and plain values") + "\n"
                });
                // Whoever read it is gone; the functions run on.
                _ = print(&json.collect::<String>());
            } else {
                say(&each
                    .map(|happened| line(&happened))
                    .collect::<Vec<_>>()
                    .join("\n"));
            }
        }
    }
}

/// One thing that happened, in the table's columns.
fn line(happened: &Happened) -> String {
    let row = row(&happened.entry);
    let at_ms = i64::try_from(happened.at_ms).unwrap_or_default();
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    let Row {
        event,
        whom,
        result,
        amount,
        rest,
    } = row;
    let columns = format!(
        "{}  {event:<12} {whom:<20} {result:<12} {amount:>10}  {rest}",
        at.strftime("%H:%M:%S%.3f")
    );
    columns.trim_end().to_owned()
}

/// What the columns hold.
#[derive(Default)]
struct Row<'a> {
    event: Cow<'a, str>,
    whom: &'a str,
    result: Cow<'a, str>,
    amount: String,
    rest: Cow<'a, str>,
}

impl Row<'_> {
    /// The names of the columns.
    const HEAD: &'static str =
        "time (UTC)    event        of                   result           amount";
}

fn row(entry: &Entry) -> Row<'_> {
    match entry {
        Entry::Invocation {
            function,
            cause,
            outcome,
            took_us,
            cold_us,
            ..
        } => Row {
            event: cause.into(),
            whom: function,
            result: outcome.into(),
            amount: milliseconds(*took_us),
            rest: cold_us
                .map_or_else(String::new, |us| format!("start {}", milliseconds(us)))
                .into(),
        },
        Entry::Management {
            method,
            connection,
            bytes,
            status,
            ..
        } => Row {
            event: method.into(),
            whom: connection,
            result: status.to_string().into(),
            amount: sized(Some(*bytes).filter(|_| method == "POST")),
            ..Row::default()
        },
        Entry::Batch {
            mapping,
            records,
            outcome,
        } => Row {
            event: "stream".into(),
            whom: mapping,
            result: outcome.into(),
            amount: format!("{records} records"),
            ..Row::default()
        },
        Entry::Connected { .. }
        | Entry::Frame { .. }
        | Entry::Closed { .. }
        | Entry::Fault { .. } => of_connection(entry),
        other => said(other),
    }
}

/// What happened to a connection.
fn of_connection(entry: &Entry) -> Row<'_> {
    match entry {
        Entry::Connected {
            api,
            connection,
            status,
        } => Row {
            event: match connection {
                Some(_) => "connected",
                None => "refused",
            }
            .into(),
            whom: connection.as_deref().unwrap_or_default(),
            result: status.to_string().into(),
            rest: api.into(),
            ..Row::default()
        },
        Entry::Closed {
            connection,
            by,
            code,
            reason,
            ..
        } => Row {
            event: "closed".into(),
            whom: connection,
            result: code.to_string().into(),
            rest: {
                let by = match by {
                    By::Client => "by the client",
                    By::Gateway => "by the gateway",
                };
                let colon = if reason.is_empty() { "" } else { ": " };
                format!("{by}{colon}{reason}").into()
            },
            ..Row::default()
        },
        Entry::Fault {
            connection,
            fault,
            at,
            ..
        } => Row {
            event: "fault".into(),
            whom: connection,
            result: (*fault).into(),
            rest: at.into(),
            ..Row::default()
        },
        other => frame(other),
    }
}

fn frame(entry: &Entry) -> Row<'_> {
    let Entry::Frame {
        connection,
        direction,
        opcode,
        bytes,
        preview,
        ..
    } = entry
    else {
        return Row::default();
    };
    let opcode = match opcode {
        Opcode::Text => "text",
        Opcode::Binary => "binary",
        Opcode::Ping => "ping",
        Opcode::Pong => "pong",
    };
    let direction = match direction {
        Direction::In => "in",
        Direction::Out => "out",
    };
    Row {
        event: format!("{opcode} {direction}").into(),
        whom: connection,
        amount: sized(*bytes),
        rest: preview.as_deref().unwrap_or_default().into(),
        ..Row::default()
    }
}

/// What is said in words, over the columns behind the first.
fn said(entry: &Entry) -> Row<'_> {
    let (event, text) = match entry {
        Entry::Notice { text } => ("note", text.replace('\n', "\n              ")),
        Entry::Problem { text } => ("problem", text.replace('\n', "\n              ")),
        Entry::Log { function, line } => ("log", format!("{function} | {line}")),
        _ => return Row::default(),
    };
    Row {
        event: format!("{event:<12} {text}").into(),
        ..Row::default()
    }
}

fn sized(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{bytes} B"))
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
