//! A report comes in, its plots go out.

use super::plot::{Across, Band, Fault, Figure, Line, Plot};
use super::scale::Scale;
use crate::report::figure::harmless;
use crate::report::{Latency, Moment, Report, count, float, latency};

/// Latencies of the percentile curve, what each is in turn; each is of another colour.
const CURVES: [(&str, &str); 6] = [
    (latency::REPLY, "line"),
    (latency::REPLY_UNCORRECTED, "dashed"),
    (latency::COMPLETION, "line"),
    (latency::COMPLETION_UNCORRECTED, "dashed"),
    (latency::CONNECT, "line"),
    (latency::RECONNECT, "line"),
];

pub(super) fn all(report: &Report) -> Vec<Figure> {
    let plots = [
        latency_over_time(report),
        percentiles(report),
        rates(report),
        open(report),
        errors(report),
    ];
    plots.into_iter().filter_map(Plot::figure).collect()
}

fn latency_over_time(report: &Report) -> Plot {
    let times = |name: &str, of: fn(&Moment) -> Option<u64>| {
        line(report, name, "line", &|moment| of(moment).map(milliseconds))
    };
    let lines = vec![
        times("p50", |moment| moment.p50_us),
        times("p99", |moment| moment.p99_us),
        times("longest", |moment| moment.max_us),
    ];
    Plot {
        title: "Latency over time",
        note: "Of the replies and ends that came in each second, counted from when their message was due.".to_owned(),
        unit: "ms",
        across: time(report),
        up: Scale::fitting(heights(&lines)),
        lines,
    }
}

fn percentiles(report: &Report) -> Plot {
    let measured = CURVES.into_iter().filter_map(|(name, style)| {
        let latency = report.total.latencies.get(name)?;
        (latency.count > 0 && !latency.curve.is_empty()).then_some((name, style, latency))
    });
    let measured: Vec<_> = measured.collect();
    let most = measured.iter().map(|(_, _, latency)| latency.count).max();
    let lines: Vec<_> = measured
        .into_iter()
        .map(|(name, style, latency)| Line {
            name: name.to_owned(),
            style,
            points: curve(latency),
        })
        .collect();
    Plot {
        title: "Latency by percentile",
        note: "Each step to the right is ten times rarer. Uncorrected is counted from when a message was sent: what \
               held it up before is not in it."
            .to_owned(),
        unit: "ms",
        across: Across::Tail(Scale::tail(float(most.unwrap_or(0)))),
        up: Scale::fitting(heights(&lines)),
        lines,
    }
}

fn curve(latency: &Latency) -> Vec<(f64, Option<f64>)> {
    let curve = latency.curve.iter();
    curve
        .map(|(percent, us)| (*percent, Some(milliseconds(*us))))
        .collect()
}

fn rates(report: &Report) -> Plot {
    let rate = |name: &str, style, of: fn(&Moment) -> f64| {
        line(report, name, style, &|moment| Some(of(moment)))
    };
    let lines = vec![
        rate("messages sent", "line", |moment| moment.sent),
        rate("answers", "dashed", |moment| moment.answered),
        rate("connections opened", "line", |moment| moment.opened),
    ];
    Plot {
        title: "Rates",
        note: "Answers are replies, acknowledgments and ends.".to_owned(),
        unit: "in a second",
        across: time(report),
        up: Scale::up_to(heights(&lines).fold(0.0, f64::max)),
        lines,
    }
}

fn open(report: &Report) -> Plot {
    let lines = vec![line(report, "open connections", "line", &|moment| {
        Some(float(moment.open))
    })];
    Plot {
        title: "Open connections",
        note: "As the generator counted them.".to_owned(),
        unit: "connections",
        across: time(report),
        up: Scale::up_to(heights(&lines).fold(0.0, f64::max)),
        lines,
    }
}

fn errors(report: &Report) -> Plot {
    let lines = vec![line(report, "errors", "stick", &|moment| {
        Some(moment.errors)
    })];
    let most = heights(&lines).fold(0.0, f64::max);
    let lost = report.total.counted(count::LOST);
    let note = match (most > 0.0, lost) {
        (false, 0) => "There were none.".to_owned(),
        (_, lost) => format!(
            "Errors, refusals and losses of a connection. Messages that were never answered are in no second: {lost}."
        ),
    };
    Plot {
        title: "Errors over time",
        note,
        unit: "in a second",
        across: time(report),
        up: Scale::up_to(most),
        lines,
    }
}

fn line(
    report: &Report,
    name: &str,
    style: &'static str,
    of: &dyn Fn(&Moment) -> Option<f64>,
) -> Line {
    let points = report.timeline.iter();
    Line {
        name: name.to_owned(),
        style,
        points: points
            .map(|moment| (float(moment.second), of(moment)))
            .collect(),
    }
}

fn time(report: &Report) -> Across {
    let seconds = |us: u64| float(us) / 1_000_000.0;
    let last = report
        .timeline
        .last()
        .map_or(0.0, |moment| float(moment.second));
    let phases = report.phases.iter().map(|phase| Band {
        from_s: seconds(phase.began_us),
        to_s: seconds(phase.began_us + phase.took_us),
        name: harmless(&phase.name),
        measured: phase.measured,
    });
    let faults = report.faults.iter().map(|fault| Fault {
        at_s: seconds(fault.began_us),
        name: harmless(&fault.what),
    });
    Across::Time {
        to_s: last.max(seconds(report.took_us)),
        phases: phases.collect(),
        faults: faults.collect(),
    }
}

fn heights(lines: &[Line]) -> impl Iterator<Item = f64> {
    let points = lines.iter().flat_map(|line| &line.points);
    points.filter_map(|(_, height)| *height)
}

fn milliseconds(us: u64) -> f64 {
    float(us) / 1000.0
}
