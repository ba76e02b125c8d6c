//! Files of two sides come in; the table of what changed goes out.

use std::path::PathBuf;

use lift_bench::comparison::{Comparison, Figures, Form, Refused, Run, Scenarios, Side};

use crate::{
    args::CompareArgs,
    failure::{Exit, Failure},
    output::print,
};

pub(super) fn run(args: &CompareArgs) -> Result<(), Failure> {
    let (baseline, now) = match args.pair.as_slice() {
        [baseline, now] => (std::slice::from_ref(baseline), std::slice::from_ref(now)),
        _ => (args.baseline.as_slice(), args.now.as_slice()),
    };
    let baseline = side(baseline, &args.baseline_figures)?;
    let now = side(now, &args.now_figures)?;
    let scenarios = if args.different_scenarios {
        Scenarios::Different
    } else {
        Scenarios::Same
    };
    let comparison = Comparison::of(&baseline, &now, scenarios).map_err(|why| refused(&why))?;
    if let Some(path) = &args.html {
        let written = std::fs::write(path, comparison.written(Form::Html));
        written.map_err(|error| {
            let what = format!("`{}` cannot be written", path.display());
            let help = "give --html a file that this user may write";
            Failure::file(Exit::Failed, what, &error, help)
        })?;
    }
    print(&comparison.written(if args.json {
        Form::Json
    } else {
        Form::Markdown
    }))
}

fn side(reports: &[PathBuf], figures: &[PathBuf]) -> Result<Side, Failure> {
    let mut side = Side::default();
    for path in reports {
        side.runs.push(Run {
            label: path.display().to_string(),
            report: super::report(path)?,
        });
    }
    for path in figures {
        let help = "give a file of the format `lift-figures/1` (docs/load-reports.md, \"Figures\")";
        side.figures
            .extend(super::read(path, help, Figures::read)?.figures);
    }
    Ok(side)
}

fn refused(why: &Refused) -> Failure {
    let help = match why {
        Refused::Scenarios(..) => {
            "give reports of one scenario, or --different-scenarios where that is what you mean"
        }
        Refused::SaysNothing { .. } => {
            "run it again, to its end and with a generator that keeps up"
        }
        Refused::Units { .. } => "give both sides' figures in one unit",
        _ => "give each side at least one report",
    };
    let why = crate::failure::harmless(&why.to_string());
    Failure::new(Exit::Failed, "the reports cannot be compared", why, help)
}
