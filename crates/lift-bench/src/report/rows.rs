//! A report comes in, CSV (RFC 4180) with a row for each figure goes out: `part,name,metric,value,unit`.

use csv::{Terminator, WriterBuilder};

use super::{Latency, Measures, Moment, Report};

/// A row without its part and name: metric, value, unit.
type Figure = (String, String, &'static str);

pub(super) fn written(report: &Report) -> String {
    let mut rows = Rows(
        WriterBuilder::new()
            .terminator(Terminator::CRLF)
            .from_writer(Vec::new()),
    );
    rows.add(["part", "name", "metric", "value", "unit"]);
    rows.all("run", "", run(report));
    for judged in &report.thresholds {
        let measured = judged.measured.clone().unwrap_or_default();
        let figures = [
            ("held".to_owned(), judged.held.to_string(), ""),
            ("measured".to_owned(), measured, ""),
        ];
        rows.all("threshold", &judged.threshold, figures);
    }
    rows.all("total", "", measures(&report.total));
    for (name, of) in &report.behaviours {
        rows.all("behaviour", name, measures(of));
    }
    for phase in &report.phases {
        let times = [
            ("began".to_owned(), phase.began_us.to_string(), "us"),
            ("took".to_owned(), phase.took_us.to_string(), "us"),
            ("measured".to_owned(), phase.measured.to_string(), ""),
        ];
        rows.all("phase", &phase.name, times);
        rows.all("phase", &phase.name, measures(&phase.measures));
    }
    rows.all("generator", "", generator(report));
    if let Some(server) = &report.server {
        let figures = [
            ("cpu".to_owned(), server.cpu_us.to_string(), "us"),
            (
                "memory.max".to_owned(),
                server.memory_max_bytes.to_string(),
                "bytes",
            ),
            ("kills".to_owned(), server.kills.to_string(), ""),
        ];
        rows.all("server", "", figures);
    }
    for moment in &report.timeline {
        rows.all("second", &moment.second.to_string(), seconds(moment));
    }
    rows.text()
}

struct Rows(csv::Writer<Vec<u8>>);

impl Rows {
    fn add(&mut self, row: [&str; 5]) {
        let added = self.0.write_record(row);
        added.expect("every row has five fields, and memory takes them");
    }

    fn all(&mut self, part: &str, name: &str, figures: impl IntoIterator<Item = Figure>) {
        for (metric, value, unit) in figures {
            self.add([part, name, &metric, &value, unit]);
        }
    }

    fn text(self) -> String {
        let bytes = self.0.into_inner().expect("memory takes what is left");
        String::from_utf8(bytes).expect("every field is UTF-8")
    }
}

fn run(report: &Report) -> Vec<Figure> {
    let machine = &report.machine;
    [
        ("name", report.name.clone(), ""),
        ("target", report.target.clone(), ""),
        ("began", report.began.clone(), ""),
        ("took", report.took_us.to_string(), "us"),
        ("seed", report.seed.to_string(), ""),
        ("outcome", report.verdict.outcome.word().to_owned(), ""),
        ("system", machine.system.clone(), ""),
        ("processor", machine.processor.clone(), ""),
        ("processors", machine.processors.to_string(), ""),
        ("memory", machine.memory_bytes.to_string(), "bytes"),
        ("tool", machine.tool.clone(), ""),
    ]
    .map(|(metric, value, unit)| (metric.to_owned(), value, unit))
    .into()
}

fn measures(of: &Measures) -> Vec<Figure> {
    let mut figures = Vec::new();
    for (name, number) in &of.counts {
        figures.push((name.clone(), number.to_string(), ""));
    }
    for (name, latency) in &of.latencies {
        figures.extend(times(name, latency));
    }
    for (code, number) in &of.closes {
        figures.push((format!("closes.{code}"), number.to_string(), ""));
    }
    for (status, number) in &of.handshakes {
        figures.push((format!("handshakes.{status}"), number.to_string(), ""));
    }
    for (code, number) in &of.errors {
        figures.push((format!("errors.{code}"), number.to_string(), ""));
    }
    figures
}

fn times(name: &str, of: &Latency) -> Vec<Figure> {
    let count = (format!("{name}.count"), of.count.to_string(), "");
    let times = [
        ("min", of.min_us),
        ("mean", of.mean_us),
        ("p50", of.p50_us),
        ("p90", of.p90_us),
        ("p95", of.p95_us),
        ("p99", of.p99_us),
        ("p999", of.p999_us),
        ("max", of.max_us),
    ];
    let times = times.map(|(what, us)| (format!("{name}.{what}"), us.to_string(), "us"));
    std::iter::once(count).chain(times).collect()
}

fn generator(report: &Report) -> Vec<Figure> {
    let generator = &report.generator;
    let mut figures: Vec<Figure> = [
        ("processes", generator.processes.to_string(), ""),
        (
            "cpu.median",
            format!("{:.2}", generator.cpu_median * 100.0),
            "%",
        ),
        ("cpu.max", format!("{:.2}", generator.cpu_max * 100.0), "%"),
        ("cpu", generator.cpu_us.to_string(), "us"),
    ]
    .map(|(metric, value, unit)| (metric.to_owned(), value, unit))
    .into();
    figures.extend(times("lag", &generator.lag));
    figures
}

fn seconds(of: &Moment) -> Vec<Figure> {
    let time = |us: Option<u64>| us.map(|us| us.to_string()).unwrap_or_default();
    [
        ("open", of.open.to_string(), ""),
        ("opened", of.opened.to_string(), "/s"),
        ("sent", of.sent.to_string(), "/s"),
        ("answered", of.answered.to_string(), "/s"),
        ("errors", of.errors.to_string(), "/s"),
        ("p50", time(of.p50_us), "us"),
        ("p99", time(of.p99_us), "us"),
        ("max", time(of.max_us), "us"),
    ]
    .map(|(metric, value, unit)| (metric.to_owned(), value, unit))
    .into()
}
