//! What was typed for `lift report` comes in, as typed fields.

use std::path::PathBuf;

use clap::{
    Args as Group, Subcommand,
    builder::{PossibleValuesParser, TypedValueParser},
};
use lift_bench::report::Form;

use super::EXIT_STATUS;

pub(super) const REPORT_EXAMPLES: &str = "\
Examples:
  lift report show run.json
  lift report show run.json --format html > run.html
  lift report compare before.json after.json
  lift report compare --baseline a1.json a2.json a3.json --now b1.json b2.json b3.json --html change.html

A report is what `lift load SCENARIO --report FILE.json` wrote.";

const SHOW_EXAMPLES: &str = "\
Examples:
  lift report show run.json
  lift report show run.json --format junit > junit.xml
  lift report show run.json --format html > run.html";

const COMPARE_EXAMPLES: &str = "\
Examples:
  lift report compare before.json after.json
  lift report compare --baseline a1.json a2.json a3.json --now b1.json b2.json b3.json
  lift report compare before.json after.json --baseline-figures old.json --now-figures new.json --html change.html

A difference is noise where the ranges of the repeats overlap; with one run of a side, noise is unknown and
the verdict says so. A run that was invalid or interrupted is not compared. That something is worse
does not change the exit status.";

/// `lift report`.
#[derive(Debug, Group)]
pub struct ReportArgs {
    /// What to do.
    #[command(subcommand)]
    pub command: ReportCommand,
}

/// What to do with reports.
#[derive(Debug, Subcommand)]
pub enum ReportCommand {
    /// Print a report in another form.
    #[command(after_help = format!("{SHOW_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Show(ShowArgs),
    /// Say what changed between two versions, and what is noise: a table in Markdown.
    #[command(after_help = format!("{COMPARE_EXAMPLES}\n\n{EXIT_STATUS}"))]
    Compare(CompareArgs),
}

/// `lift report show`.
#[derive(Debug, Group)]
pub struct ShowArgs {
    /// The report.
    #[arg(value_name = "REPORT")]
    pub report: PathBuf,
    /// What to print.
    #[arg(long, value_name = "FORM", default_value = "text", value_parser = form())]
    pub format: Form,
}

/// `lift report compare`.
#[derive(Debug, Group)]
pub struct CompareArgs {
    /// The report before and the report now, where there is one of each.
    #[arg(
        value_name = "REPORT",
        num_args = 2,
        conflicts_with_all = ["baseline", "now"],
        required_unless_present_any = ["baseline", "now", "baseline_figures"],
    )]
    pub pair: Vec<PathBuf>,
    /// Reports of repeated runs before.
    #[arg(long, value_name = "REPORT", num_args = 1.., requires = "now")]
    pub baseline: Vec<PathBuf>,
    /// Reports of repeated runs now.
    #[arg(long, value_name = "REPORT", num_args = 1.., requires = "baseline")]
    pub now: Vec<PathBuf>,
    /// Figures of code or cost before (`lift-figures/1`), beside reports or alone.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub baseline_figures: Vec<PathBuf>,
    /// Figures of code or cost now. Either side may be without beside reports: its figures are not measured.
    #[arg(long, value_name = "FILE", num_args = 1..)]
    pub now_figures: Vec<PathBuf>,
    /// Compare reports of different scenarios, too.
    #[arg(long)]
    pub different_scenarios: bool,
    /// Write a page to this file, besides what is printed.
    #[arg(long, value_name = "FILE")]
    pub html: Option<PathBuf>,
    /// Print one JSON object.
    #[arg(long)]
    pub json: bool,
}

fn form() -> impl TypedValueParser<Value = Form> {
    PossibleValuesParser::new(Form::ALL.map(Form::name)).try_map(|name| {
        Form::named(&name).ok_or_else(|| format!("`{name}` is no form of a report"))
    })
}
