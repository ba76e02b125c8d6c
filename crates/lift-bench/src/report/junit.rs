//! A report comes in, JUnit XML as CI servers read it goes out: a test case for each threshold.

use std::io;

use quick_xml::Writer;
use quick_xml::events::{BytesDecl, BytesText, Event};

use super::{Outcome, Report, float, summary};

/// How a test case ended.
enum Ended {
    Well,
    /// A threshold that did not hold.
    Failed(String),
    /// The run itself says nothing.
    Unknown(String),
    Skipped(String),
}

pub(super) fn written(report: &Report) -> String {
    let mut writer = Writer::new_with_indent(Vec::new(), b' ', 2);
    suites(&mut writer, report).expect("memory takes what is written");
    let text = String::from_utf8(writer.into_inner()).expect("every part is UTF-8");
    format!("{text}\n")
}

fn suites(writer: &mut Writer<Vec<u8>>, report: &Report) -> io::Result<()> {
    let cases = cases(report);
    let count = |of: fn(&Ended) -> bool| {
        let some = cases.iter().filter(|(_, ended)| of(ended));
        some.count().to_string()
    };
    let (name, began) = (valid(&report.name), valid(&report.began));
    let seconds = format!("{:.3}", float(report.took_us) / 1_000_000.0);
    let (all, failed, unknown, skipped) = (
        cases.len().to_string(),
        count(|ended| matches!(ended, Ended::Failed(_))),
        count(|ended| matches!(ended, Ended::Unknown(_))),
        count(|ended| matches!(ended, Ended::Skipped(_))),
    );
    writer.write_event(Event::Decl(BytesDecl::new("1.0", Some("UTF-8"), None)))?;
    let suite = |writer: &mut Writer<Vec<u8>>| {
        writer
            .create_element("testsuite")
            .with_attributes([
                ("name", name.as_str()),
                ("tests", &all),
                ("failures", &failed),
                ("errors", &unknown),
                ("skipped", &skipped),
                ("time", &seconds),
                ("timestamp", &began),
            ])
            .write_inner_content(|writer| {
                for (case, ended) in &cases {
                    test_case(writer, &name, case, ended)?;
                }
                let said = valid(&summary::headline(report));
                let out = writer.create_element("system-out");
                out.write_text_content(BytesText::new(&said)).map(|_| ())
            })
            .map(|_| ())
    };
    writer
        .create_element("testsuites")
        .write_inner_content(suite)
        .map(|_| ())
}

/// Each threshold, and the run itself where it says nothing or nothing was asked of it.
fn cases(report: &Report) -> Vec<(String, Ended)> {
    let word = report.verdict.outcome.word();
    let ran = match report.verdict.outcome {
        Outcome::Invalid | Outcome::Interrupted => {
            let reasons = report.verdict.reasons.join("; ");
            Some(Ended::Unknown(match reasons.is_empty() {
                true => word.to_owned(),
                false => format!("{word}: {reasons}"),
            }))
        }
        // Something other than a threshold did not hold.
        Outcome::Broken if report.thresholds.iter().all(|judged| judged.held) => {
            Some(Ended::Failed(report.verdict.reasons.join("; ")))
        }
        Outcome::Passed if report.thresholds.is_empty() => Some(Ended::Well),
        Outcome::Passed | Outcome::Broken => None,
    };
    let says_nothing = matches!(ran, Some(Ended::Unknown(_)));
    let ran = ran.map(|ended| ("the run".to_owned(), ended));
    let thresholds = report.thresholds.iter().map(|judged| {
        let ended = if says_nothing {
            Ended::Skipped(format!("the run is {word}"))
        } else if judged.held {
            Ended::Well
        } else {
            let measured = judged.measured.as_deref().unwrap_or("nothing");
            Ended::Failed(format!("`{}`: measured {measured}", judged.threshold))
        };
        (judged.threshold.clone(), ended)
    });
    ran.into_iter().chain(thresholds).collect()
}

fn test_case(
    writer: &mut Writer<Vec<u8>>,
    suite: &str,
    name: &str,
    ended: &Ended,
) -> io::Result<()> {
    let name = valid(name);
    let case = writer
        .create_element("testcase")
        .with_attributes([("classname", suite), ("name", &name)]);
    let (element, kind, message) = match ended {
        Ended::Well => return case.write_empty().map(|_| ()),
        Ended::Failed(message) => ("failure", "threshold", message),
        Ended::Unknown(message) => ("error", "run", message),
        Ended::Skipped(message) => ("skipped", "run", message),
    };
    let message = valid(message);
    case.write_inner_content(|writer| {
        let element = writer.create_element(element);
        let element = match ended {
            Ended::Skipped(_) => element,
            Ended::Well | Ended::Failed(_) | Ended::Unknown(_) => {
                element.with_attribute(("type", kind))
            }
        };
        let element = element.with_attribute(("message", message.as_str()));
        element.write_empty().map(|_| ())
    })
    .map(|_| ())
}

/// Characters that XML 1.0 cannot hold, and line ends, which an attribute would lose, become U+FFFD.
fn valid(text: &str) -> String {
    let held = |c: char| match c {
        '\u{fffe}' | '\u{ffff}' => '\u{fffd}',
        c if c.is_control() => '\u{fffd}',
        c => c,
    };
    text.chars().map(held).collect()
}
