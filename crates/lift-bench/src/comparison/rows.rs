//! Two sides come in, the rows of their table go out.

use std::collections::BTreeMap;

use super::{Figure, Group, Noise, Refused, Row, Side, Spread, Verdict};
use crate::metric::{Better, Metric, Unit};
use crate::report::{Report, ServerUse, count, float, latency};

/// Latencies that have rows; each with the median, the tail and the worst.
const LATENCIES: [&str; 6] = [
    latency::REPLY,
    latency::COMPLETION,
    latency::ACKNOWLEDGMENT,
    latency::PROGRESS,
    latency::CONNECT,
    latency::RECONNECT,
];
const STATISTICS: [&str; 5] = ["p50", "p95", "p99", "p999", "max"];

/// What has a row whatever it is.
const ALWAYS: [&str; 7] = [
    "rate.sent",
    "connections.reliability",
    "messages.answered_share",
    "errors",
    count::LOST,
    count::DUPLICATES,
    count::REORDERED,
];

/// What has a row where it happened.
const WHERE_HAPPENED: [&str; 11] = [
    count::FAILED,
    count::DROPPED,
    count::REFUSED,
    count::MISSED,
    count::LATE,
    count::FAILURES,
    count::UNKNOWN,
    count::UNRECOVERED,
    count::NOT_COMPLETED,
    count::ENDED_TWICE,
    count::PROGRESS_BACK,
];

pub(super) fn of_reports(baseline: &Side, now: &Side) -> Vec<Row> {
    let latencies = LATENCIES.into_iter().flat_map(|name| {
        let names = STATISTICS.into_iter();
        names.map(move |statistic| format!("{name}.{statistic}"))
    });
    let always = ALWAYS.into_iter().map(str::to_owned);
    let mut rows: Vec<Row> = latencies
        .chain(always)
        .filter_map(|name| of_metric(&name, baseline, now))
        .collect();
    let rare = WHERE_HAPPENED.into_iter();
    let rare = rare.filter_map(|name| of_metric(name, baseline, now));
    rows.extend(rare.filter(|row| [row.baseline, row.now].iter().flatten().any(happened)));
    rows.extend(of_server(baseline, now));
    rows
}

fn happened(spread: &Spread) -> bool {
    spread.most > 0.0
}

/// Nothing where neither side measured it.
fn of_metric(name: &str, baseline: &Side, now: &Side) -> Option<Row> {
    let metric = Metric::parse(name).expect("every name here is a metric's, which tests hold");
    let (unit, scale) = match metric.unit() {
        Unit::Time => ("ms", 1000.0),
        Unit::Percent => ("%", 1.0),
        Unit::Number if name == "rate.sent" => ("/s", 1.0),
        Unit::Number => ("", 1.0),
    };
    let of = |report: &Report| metric.of(report).map(|value| value / scale);
    let row = Measured {
        group: Group::Performance,
        metric: name,
        unit,
        better: metric.better(),
        baseline: values(baseline, &of),
        now: values(now, &of),
    };
    row.of_either()
}

/// What a server that each run started used.
fn of_server(baseline: &Side, now: &Side) -> Vec<Row> {
    let row = |metric, unit, of: fn(&ServerUse) -> f64| {
        let of = |report: &Report| report.server.as_ref().map(of);
        let row = Measured {
            group: Group::Performance,
            metric,
            unit,
            better: Better::Lower,
            baseline: values(baseline, &of),
            now: values(now, &of),
        };
        row.of_either()
    };
    let rows = [
        row("server processor time", "s", |server| {
            float(server.cpu_us) / 1_000_000.0
        }),
        row("server memory, most", "MiB", |server| {
            float(server.memory_max_bytes) / 1_048_576.0
        }),
    ];
    rows.into_iter().flatten().collect()
}

/// A row for each figure of either side, measured or not.
pub(super) fn of_figures(baseline: &Side, now: &Side) -> Result<Vec<Row>, Refused> {
    let mut known: BTreeMap<&str, &Figure> = BTreeMap::new();
    let mut order: Vec<&Figure> = Vec::new();
    for figure in now.figures.iter().chain(&baseline.figures) {
        match known.get(figure.name.as_str()) {
            Some(other) if other.unit != figure.unit => {
                return Err(Refused::Units {
                    name: figure.name.clone(),
                    one: other.unit.clone(),
                    other: figure.unit.clone(),
                });
            }
            Some(_) => {}
            None => {
                known.insert(&figure.name, figure);
                order.push(figure);
            }
        }
    }
    let rows = order.into_iter().map(|figure| {
        let values = |side: &Side| {
            let same = side.figures.iter().filter(|of| of.name == figure.name);
            same.filter_map(|of| of.value).collect()
        };
        let row = Measured {
            group: figure.group,
            metric: &figure.name,
            unit: &figure.unit,
            better: if figure.lower_is_better {
                Better::Lower
            } else {
                Better::Higher
            },
            baseline: values(baseline),
            now: values(now),
        };
        row.row()
    });
    Ok(rows.collect())
}

fn values(side: &Side, of: &dyn Fn(&Report) -> Option<f64>) -> Vec<f64> {
    let runs = side.runs.iter();
    runs.filter_map(|run| of(&run.report)).collect()
}

/// A row before it is judged.
struct Measured<'a> {
    group: Group,
    metric: &'a str,
    unit: &'a str,
    better: Better,
    baseline: Vec<f64>,
    now: Vec<f64>,
}

impl Measured<'_> {
    fn of_either(self) -> Option<Row> {
        let measured = !self.baseline.is_empty() || !self.now.is_empty();
        measured.then(|| self.row())
    }

    fn row(self) -> Row {
        let (baseline, now) = (spread(self.baseline), spread(self.now));
        let noise = match (self.group, baseline.zip(now)) {
            (Group::Code, _) => Noise::None,
            (_, Some((baseline, now))) if baseline.runs > 1 && now.runs > 1 => Noise::Known,
            (Group::Cost, _) => Noise::None,
            (Group::Performance, _) => Noise::Unknown,
        };
        let change = baseline.zip(now).and_then(|(baseline, now)| {
            let difference = now.middle - baseline.middle;
            if self.unit == "%" {
                return Some(difference);
            }
            let of = baseline.middle.abs();
            (of > 0.0).then(|| difference / of * 100.0)
        });
        Row {
            group: self.group,
            metric: self.metric.to_owned(),
            unit: self.unit.to_owned(),
            baseline,
            now,
            change,
            verdict: verdict(baseline, now, self.better),
            noise,
        }
    }
}

fn verdict(baseline: Option<Spread>, now: Option<Spread>, better: Better) -> Verdict {
    let Some((baseline, now)) = baseline.zip(now) else {
        return Verdict::NotMeasured;
    };
    let apart = baseline.most < now.least || now.most < baseline.least;
    if !apart {
        let alike = [baseline.least, now.least, now.most];
        let same = alike
            .iter()
            .all(|value| value.total_cmp(&baseline.most).is_eq());
        return if same { Verdict::Same } else { Verdict::Noise };
    }
    match (better, now.middle < baseline.middle) {
        (Better::Neither, _) => Verdict::Changed,
        (Better::Lower, true) | (Better::Higher, false) => Verdict::Better,
        (Better::Lower, false) | (Better::Higher, true) => Verdict::Worse,
    }
}

fn spread(mut values: Vec<f64>) -> Option<Spread> {
    values.sort_by(f64::total_cmp);
    let half = values.len() / 2;
    let upper = values.get(half)?;
    let middle = match values.get(half.wrapping_sub(1)) {
        Some(lower) if values.len().is_multiple_of(2) => f64::midpoint(*lower, *upper),
        _ => *upper,
    };
    Some(Spread {
        middle,
        least: *values.first()?,
        most: *values.last()?,
        runs: values.len(),
    })
}
