//! In: what happens in the functions and the gateway. Out: lines, for a person or a program.

use std::borrow::Cow;

use jiff::Timestamp;
use lift_dev::{
    feed::{By, Detail, Direction, Entry, Feed, Happened, Opcode},
    ports::{Endpoint, InvokeUrl},
    server::Dev,
};
use tokio::sync::{mpsc, watch};

use crate::{
    args::dev::DevArgs,
    failure::{Failure, harmless},
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

/// How far `lift dev` is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Stage {
    /// Nothing accepts.
    Starting,
    /// It was said where clients connect.
    Running,
    /// What still happens matters to nobody.
    Ended,
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
        if running.endpoints().is_empty() {
            self.begin_without_api(running)?;
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

    /// Without an API, what can be done is to invoke functions.
    fn begin_without_api(self, running: &Dev) -> Result<(), Failure> {
        for invoke in running.invoke_urls() {
            if self.json {
                print(&format!("{}\n", serde_json::json!(invoke)))?;
            } else {
                let InvokeUrl {
                    function,
                    invoke_url,
                } = invoke;
                say(&format!("{function}  {invoke_url}"));
            }
        }
        Ok(())
    }

    /// Says what the end waits for.
    pub(super) fn ending(self, invocations: usize, feed: &Feed) {
        let waits = match invocations {
            0 => String::new(),
            1 => ", when 1 invocation has ended".to_owned(),
            more => format!(", when {more} invocations have ended"),
        };
        let text = format!("stopping{waits}; a second Ctrl-C ends it at once");
        if self.json {
            feed.notice(text);
        } else {
            say(&text);
        }
    }

    /// How much it shows of what happens.
    pub(super) fn detail(self) -> Detail {
        if self.quiet {
            Detail::Problems
        } else {
            Detail::All
        }
    }

    /// Shows whatever happens; it may block for who reads. JSON begins with the APIs: until these
    /// are said, the rest waits in its queue.
    pub(super) async fn follow(
        self,
        mut happened: mpsc::Receiver<Happened>,
        mut stages: watch::Receiver<Stage>,
    ) {
        if self.json {
            _ = stages.wait_for(|stage| *stage != Stage::Starting).await;
        }
        let mut together = Vec::new();
        loop {
            let count = tokio::select! {
                count = happened.recv_many(&mut together, TOGETHER_MAX) => count,
                _ = stages.wait_for(|stage| *stage == Stage::Ended), if !happened.is_closed() => {
                    happened.close();
                    continue;
                }
            };
            if count == 0 {
                return;
            }
            self.show(together.drain(..));
        }
    }

    fn show(self, each: impl Iterator<Item = Happened>) {
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

/// One thing that happened, in the table's columns.
fn line(happened: &Happened) -> String {
    let at_ms = i64::try_from(happened.at_ms).unwrap_or_default();
    let at = Timestamp::from_millisecond(at_ms).unwrap_or_default();
    let at = at.strftime("%H:%M:%S%.3f");
    if let Some((event, text)) = said(&happened.entry) {
        let lines: Vec<_> = text.split('\n').map(shown).collect();
        let text = format!("{at}  {event:<12} {}", lines.join(INDENTED));
        return text.trim_end().to_owned();
    }
    let Row {
        event,
        whom,
        result,
        amount,
        rest,
    } = row(&happened.entry);
    let (event, whom, result, rest) = (shown(&event), shown(whom), shown(&result), shown(&rest));
    let columns = format!("{at}  {event:<12} {whom:<20} {result:<12} {amount:>10}  {rest}");
    columns.trim_end().to_owned()
}

/// A further line of what is said in words, so that it cannot be taken for something that happened.
const INDENTED: &str = "\n              ";

/// Text that comes from functions, clients or builds, without what a terminal would obey.
fn shown(text: &str) -> String {
    let between_tabs: Vec<_> = text.split('\t').map(harmless).collect();
    between_tabs.join("\t")
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
            help,
            ..
        } => Row {
            event: cause.into(),
            whom: function,
            result: outcome.into(),
            amount: milliseconds(*took_us),
            rest: match (cold_us, help) {
                (_, Some(help)) => help.into(),
                (Some(us), None) => format!("start {}", milliseconds(*us)).into(),
                (None, None) => "".into(),
            },
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
        _ => Row::default(),
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
fn said(entry: &Entry) -> Option<(&'static str, Cow<'_, str>)> {
    match entry {
        Entry::Notice { text } => Some(("note", text.into())),
        Entry::Problem { text } => Some(("problem", text.into())),
        Entry::Log { function, line } => Some(("log", format!("{function} | {line}").into())),
        _ => None,
    }
}

fn sized(bytes: Option<u64>) -> String {
    bytes.map_or_else(String::new, |bytes| format!("{bytes} B"))
}

fn milliseconds(us: u64) -> String {
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
