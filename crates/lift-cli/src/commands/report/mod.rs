//! Reports of load tests come in; another form of one, or what changed between them, goes out.

mod compare;

use std::{
    fs::File,
    io::{self, Read},
    path::Path,
};

use lift_bench::report::{ReadError, Report};

use crate::{
    args::{ReportCommand, ShowArgs},
    failure::{Exit, Failure},
    output::print,
};

/// Largest file that is read: a report of ten minutes has some 100 kB.
const BYTES_MAX: u64 = 64 << 20;

pub(crate) fn run(command: &ReportCommand) -> Result<(), Failure> {
    match command {
        ReportCommand::Show(args) => show(args),
        ReportCommand::Compare(args) => compare::run(args),
    }
}

fn show(args: &ShowArgs) -> Result<(), Failure> {
    print(&report(&args.report)?.written(args.format))
}

fn report(path: &Path) -> Result<Report, Failure> {
    let help = "give what `lift load SCENARIO --report FILE.json` wrote";
    read(path, help, Report::read)
}

/// Reads a file of ours.
fn read<T>(
    path: &Path,
    help: &str,
    parse: impl FnOnce(&str) -> Result<T, ReadError>,
) -> Result<T, Failure> {
    let what = || format!("`{}` cannot be read", path.display());
    let text = bounded(path).map_err(|error| Failure::file(Exit::Failed, what(), &error, help))?;
    parse(&text).map_err(|error| Failure::file(Exit::Failed, what(), &error, help))
}

fn bounded(path: &Path) -> io::Result<String> {
    let mut text = String::new();
    let length = File::open(path)?
        .take(BYTES_MAX + 1)
        .read_to_string(&mut text)?;
    if u64::try_from(length).is_ok_and(|length| length <= BYTES_MAX) {
        return Ok(text);
    }
    let why = format!("it has more than {BYTES_MAX} bytes");
    Err(io::Error::new(io::ErrorKind::FileTooLarge, why))
}
