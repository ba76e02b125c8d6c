//! The payload of `generate_report` comes in; the days and the object to write go out.

use schemars::JsonSchema;
use serde::{Deserialize, Serialize};

use super::day::Day;
use super::engine::Options;
use crate::objects::ObjectName;
use crate::tasks::failure::{Failure, Problem};
use crate::tasks::output::{self, Output};

/// The payload of `generate_report`.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize, JsonSchema)]
#[serde(deny_unknown_fields)]
pub struct GenerateReport {
    /// The first day (UTC), as `2026-11-01`.
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub from: String,
    /// The last day (UTC), which is part of the report.
    #[schemars(regex(pattern = r"^[0-9]{4}-[0-9]{2}-[0-9]{2}$"))]
    pub to: String,
    /// What is written: `.csv`, or `.html` for a page with charts.
    pub output: Output,
}

/// How a report is written down.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Form {
    Csv,
    Html,
}

/// A request that was checked.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) first: Day,
    pub(super) last: Day,
    pub(super) output: ObjectName,
    pub(super) form: Form,
}

impl Asked {
    pub(super) fn of(request: &GenerateReport, options: &Options) -> Result<Self, Failure> {
        let ends = [(".csv", Form::Csv), (".html", Form::Html)];
        let (output, form) = output::name(&request.output.name, "/payload/output/name", &ends)?;
        let day = |text: &str, pointer: &str| {
            let no_day = || Problem {
                pointer: pointer.to_owned(),
                message: "is no day such as `2026-11-01`".to_owned(),
            };
            Day::parse(text).ok_or_else(no_day)
        };
        let (from, to) = (
            day(&request.from, "/payload/from"),
            day(&request.to, "/payload/to"),
        );
        let (first, last) = match (from, to) {
            (Ok(first), Ok(last)) => (first, last),
            (from, to) => {
                return Err(Failure::Invalid(
                    from.err().into_iter().chain(to.err()).collect(),
                ));
            }
        };
        if last < first {
            return Err(Failure::invalid("/payload/to", "is before `from`"));
        }
        if first.days_to(last) > options.days_max {
            let message = format!("makes more than {} days", options.days_max);
            return Err(Failure::invalid("/payload/to", message));
        }
        Ok(Self {
            first,
            last,
            output,
            form,
        })
    }
}
