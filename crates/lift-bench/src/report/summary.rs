//! A report comes in; its verdict in a line and its tables, as every form for people shows them, go out.

use super::figure::{grouped, harmless, milliseconds, percent, short, sized, spoken};
use super::{Latency, Measures, Outcome, Report, count, float, latency};
use crate::metric::errors;

/// A table: what is left of `numbers` is text, the rest are numbers.
#[derive(Debug, Clone, PartialEq, serde::Serialize)]
pub(super) struct Table {
    pub(super) title: &'static str,
    pub(super) columns: Vec<String>,
    /// The first column of numbers.
    pub(super) numbers: usize,
    pub(super) rows: Vec<Vec<String>>,
}

/// Behaviours that have a column each; more would fill a screen.
const COLUMNS_MAX: usize = 6;

/// Counts that are shown when they are zero, too.
const TELLING: [&str; 12] = [
    count::CONNECTIONS,
    count::OPENED,
    count::FAILED,
    count::DROPPED,
    count::DUE,
    count::ANSWERED,
    count::REFUSED,
    count::LOST,
    count::UNSENT,
    count::DUPLICATES,
    count::REORDERED,
    count::FAILURES,
];

/// The latency that a report's first line names: the first of these that was measured.
const LEADING: [&str; 4] = [
    latency::REPLY,
    latency::COMPLETION,
    latency::ACKNOWLEDGMENT,
    latency::CONNECT,
];

impl Outcome {
    pub(super) fn word(self) -> &'static str {
        match self {
            Self::Passed => "passed",
            Self::Broken => "broken",
            Self::Invalid => "invalid",
            Self::Interrupted => "interrupted",
        }
    }
}

/// What a run found, in a line.
pub(super) fn headline(report: &Report) -> String {
    let number = |name: &str| report.total.counted(name);
    let counted = |name: &str| grouped(number(name));
    let asked = number(count::DUE) > 0;
    let mut parts = vec![harmless(&report.name)];
    parts.push(if asked {
        let (answered, due) = (counted(count::ANSWERED), counted(count::DUE));
        format!("{answered} of {due} answered")
    } else {
        let (opened, begun) = (counted(count::OPENED), counted(count::CONNECTIONS));
        format!("{opened} of {begun} connections opened")
    });
    if let Some((name, latency)) = leading(&report.total) {
        parts.push(format!(
            "{name} p50 {} p99 {} max {} ms",
            milliseconds(latency.p50_us),
            milliseconds(latency.p99_us),
            milliseconds(latency.max_us)
        ));
    }
    let only_if_any = [
        (count::REFUSED, "refused"),
        (count::UNSENT, "not sent"),
        (count::DROPPED, "dropped"),
        (count::FAILED, "not connected"),
    ];
    // Where nothing is asked of connections, the last two are the answer.
    for (name, what) in only_if_any.iter().take(if asked { 4 } else { 2 }) {
        if number(name) > 0 {
            parts.push(format!("{} {what}", counted(name)));
        }
    }
    parts.push(if asked {
        format!(
            "{} lost, {} twice, {} out of order",
            counted(count::LOST),
            counted(count::DUPLICATES),
            counted(count::REORDERED)
        )
    } else {
        let (failed, dropped) = (counted(count::FAILED), counted(count::DROPPED));
        format!("{failed} failed, {dropped} dropped")
    });
    format!("{}: {}", report.verdict.outcome.word(), parts.join(" · "))
}

/// A figure that a page shows large.
#[derive(Debug, serde::Serialize)]
pub(super) struct Card {
    name: &'static str,
    value: String,
    unit: String,
    /// `bad`, or nothing.
    mood: &'static str,
}

/// What a page shows first.
pub(super) fn cards(report: &Report) -> Vec<Card> {
    let total = &report.total;
    let of = |name, part: u64, whole: u64| Card {
        name,
        value: grouped(part),
        unit: format!("of {}", grouped(whole)),
        mood: if part < whole { "bad" } else { "" },
    };
    let mut cards = Vec::new();
    let (due, begun) = (total.counted(count::DUE), total.counted(count::CONNECTIONS));
    if due > 0 {
        cards.push(of("messages answered", total.counted(count::ANSWERED), due));
    }
    if begun > 0 {
        cards.push(of(
            "connections opened",
            total.counted(count::OPENED),
            begun,
        ));
    }
    if let Some((name, latency)) = leading(total) {
        let times = [
            ("p50", latency.p50_us),
            ("p99", latency.p99_us),
            ("longest", latency.max_us),
        ];
        cards.extend(times.map(|(what, us)| Card {
            name: what,
            value: milliseconds(us),
            unit: format!("ms, {name}"),
            mood: "",
        }));
    }
    let wrong = [
        ("refused", count::REFUSED),
        ("lost", count::LOST),
        ("answered twice", count::DUPLICATES),
        ("out of order", count::REORDERED),
        ("connections dropped", count::DROPPED),
    ];
    cards.extend(wrong.map(|(name, of)| {
        let number = total.counted(of);
        Card {
            name,
            value: grouped(number),
            unit: String::new(),
            mood: if number > 0 { "bad" } else { "" },
        }
    }));
    cards
}

/// Where, when and on what it ran.
pub(super) fn circumstances(report: &Report) -> Vec<String> {
    let machine = &report.machine;
    let mut of_machine = vec![harmless(&machine.tool), harmless(&machine.system)];
    if !machine.processor.is_empty() {
        of_machine.push(format!(
            "{} of {}",
            machine.processors,
            harmless(&machine.processor)
        ));
    }
    if machine.memory_bytes > 0 {
        of_machine.push(sized(machine.memory_bytes));
    }
    of_machine.retain(|part| !part.is_empty());
    vec![
        format!(
            "{} · {} from {} · seed {}",
            harmless(&report.target),
            spoken(report.took_us),
            harmless(&report.began),
            report.seed
        ),
        of_machine.join(" · "),
    ]
}

/// Every table that has rows.
pub(super) fn tables(report: &Report) -> Vec<Table> {
    let mut tables = vec![
        thresholds(report),
        latencies(report),
        counts(report),
        codes(report),
        phases(report),
        faults(report),
        machinery(report),
    ];
    tables.retain(|table| !table.rows.is_empty());
    tables
}

pub(super) fn thresholds(report: &Report) -> Table {
    let rows = report.thresholds.iter().map(|judged| {
        let held = if judged.held { "held" } else { "BROKEN" };
        let measured = judged.measured.as_deref().map(harmless);
        vec![
            held.to_owned(),
            harmless(&judged.threshold),
            measured.unwrap_or_else(|| "not measured".to_owned()),
        ]
    });
    table("thresholds", &["verdict", "threshold", "measured"], 2, rows)
}

pub(super) fn latencies(report: &Report) -> Table {
    let columns = [
        "latency, ms",
        "count",
        "min",
        "mean",
        "p50",
        "p90",
        "p95",
        "p99",
        "p99.9",
        "max",
    ];
    let mut rows = latency_rows(&report.total, "");
    if report.behaviours.len() > 1 {
        for (name, measures) in &report.behaviours {
            rows.extend(latency_rows(measures, &format!("{{{}}}", harmless(name))));
        }
    }
    table("latencies", &columns, 1, rows)
}

/// A latency, and below it the same counted from when a message was sent.
fn latency_rows(measures: &Measures, part: &str) -> Vec<Vec<String>> {
    let named = |name: &'static str| {
        let latency = measures.latencies.get(name).filter(|l| l.count > 0)?;
        Some(row(&format!("{name}{part}"), latency))
    };
    latency::ALL.into_iter().filter_map(named).collect()
}

fn row(name: &str, latency: &Latency) -> Vec<String> {
    let times = [
        latency.min_us,
        latency.mean_us,
        latency.p50_us,
        latency.p90_us,
        latency.p95_us,
        latency.p99_us,
        latency.p999_us,
        latency.max_us,
    ];
    let first = [name.to_owned(), grouped(latency.count)];
    first.into_iter().chain(times.map(milliseconds)).collect()
}

pub(super) fn counts(report: &Report) -> Table {
    let apart = (2..=COLUMNS_MAX).contains(&report.behaviours.len());
    let behaviours = || report.behaviours.iter().filter(|_| apart);
    let names = behaviours().map(|(name, _)| harmless(name));
    let columns = ["count", "all"].map(str::to_owned).into_iter().chain(names);
    let shown = |name: &&str| TELLING.contains(name) || report.total.counted(name) > 0;
    let rows = count::ALL.into_iter().filter(shown).map(|name| {
        let of_behaviours = behaviours().map(|(_, measures)| grouped(measures.counted(name)));
        let all = [name.to_owned(), grouped(report.total.counted(name))];
        all.into_iter().chain(of_behaviours).collect()
    });
    Table {
        title: "counts",
        columns: columns.collect(),
        numbers: 1,
        rows: rows.collect(),
    }
}

pub(super) fn codes(report: &Report) -> Table {
    let of = |kind: &str, code: String, number: &u64, said: &str| {
        let row = || vec![format!("{kind} {code}"), harmless(said), grouped(*number)];
        (*number > 0).then(row)
    };
    let total = &report.total;
    let closes = total.closes.iter().filter_map(|(code, number)| {
        let said = if *code == 1006 { "no close frame" } else { "" };
        of("close", code.to_string(), number, said)
    });
    let handshakes = total.handshakes.iter();
    let handshakes =
        handshakes.filter_map(|(s, number)| of("handshake", s.to_string(), number, ""));
    let errors = total.errors.iter().filter_map(|(code, number)| {
        let said = total.samples.get(code).map_or("", String::as_str);
        of("error", harmless(code), number, said)
    });
    let rows = closes.chain(handshakes).chain(errors);
    let columns = ["code", "what the first said", "count"];
    table("closes, handshakes and errors", &columns, 2, rows)
}

pub(super) fn phases(report: &Report) -> Table {
    // One latency for all rows: a column compares like with like.
    let leading = leading(&report.total).map_or(latency::REPLY, |(name, _)| name);
    let times = ["p50", "p99"].map(|what| format!("{leading} {what}, ms"));
    let [p50, p99] = &times;
    let columns = [
        "phase", "began", "took", "begun", "due", "answered", "lost", "errors", p50, p99,
    ];
    let rows = report.phases.iter().map(|phase| {
        let measures = &phase.measures;
        let latency = measures.latencies.get(leading);
        let time = |of: fn(&Latency) -> u64| {
            let measured = latency.filter(|latency| latency.count > 0);
            measured.map_or_else(|| "–".to_owned(), |latency| milliseconds(of(latency)))
        };
        let note = if phase.measured { "" } else { " (not counted)" };
        vec![
            format!("{}{note}", harmless(&phase.name)),
            spoken(phase.began_us),
            spoken(phase.took_us),
            grouped(measures.counted(count::CONNECTIONS)),
            grouped(measures.counted(count::DUE)),
            grouped(measures.counted(count::ANSWERED)),
            grouped(measures.counted(count::LOST)),
            grouped(errors(measures)),
            time(|latency| latency.p50_us),
            time(|latency| latency.p99_us),
        ]
    });
    table("phases", &columns, 1, rows)
}

/// What the scenario made go wrong.
fn faults(report: &Report) -> Table {
    let rows = report.faults.iter().map(|fault| {
        vec![
            harmless(&fault.what),
            harmless(&fault.phase),
            fault.failure.as_deref().map(harmless).unwrap_or_default(),
            grouped(fault.ran),
            grouped(fault.failed),
            spoken(fault.began_us),
        ]
    });
    let columns = [
        "fault",
        "phase",
        "what a failure said",
        "ran",
        "failed",
        "began",
    ];
    table("faults", &columns, 3, rows)
}

/// What the generator and the server used.
pub(super) fn machinery(report: &Report) -> Table {
    let generator = &report.generator;
    let lag = &generator.lag;
    let mut rows = vec![
        ("generator processes", generator.processes.to_string()),
        ("generator lag p50, ms", milliseconds(lag.p50_us)),
        ("generator lag p99, ms", milliseconds(lag.p99_us)),
        ("generator lag max, ms", milliseconds(lag.max_us)),
        (
            "generator, median second, % of the processors",
            percent(generator.cpu_median * 100.0),
        ),
        (
            "generator, busiest second, % of the processors",
            percent(generator.cpu_max * 100.0),
        ),
        (
            "generator processor time, s",
            short(float(generator.cpu_us) / 1_000_000.0),
        ),
    ];
    if let Some(server) = &report.server {
        rows.extend([
            (
                "server processor time, s",
                short(float(server.cpu_us) / 1_000_000.0),
            ),
            ("server memory, most", sized(server.memory_max_bytes)),
            ("server killed, times", server.kills.to_string()),
        ]);
    }
    let rows = rows
        .into_iter()
        .map(|(name, value)| vec![name.to_owned(), value]);
    table("generator and server", &["what", "value"], 1, rows)
}

/// The latency that stands for all of them.
fn leading(measures: &Measures) -> Option<(&'static str, &Latency)> {
    LEADING.into_iter().find_map(|name| {
        let latency = measures.latencies.get(name)?;
        (latency.count > 0).then_some((name, latency))
    })
}

fn table(
    title: &'static str,
    columns: &[&str],
    numbers: usize,
    rows: impl IntoIterator<Item = Vec<String>>,
) -> Table {
    Table {
        title,
        columns: columns.iter().map(|name| (*name).to_owned()).collect(),
        numbers,
        rows: rows.into_iter().collect(),
    }
}
