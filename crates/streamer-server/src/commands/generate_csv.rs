//! `generate-csv`: a number of rows and a seed come in, a CSV of orders goes out.

use std::fs::File;
use std::io::{BufWriter, Write};

use anyhow::Context;

use crate::args::GenerateCsv;

pub(crate) fn run(args: &GenerateCsv) -> anyhow::Result<()> {
    if args.file.as_os_str() == "-" {
        return write(args, std::io::stdout().lock()).context("cannot write to standard output");
    }
    let named = || format!("cannot write `{}`", args.file.display());
    let file = File::create(&args.file).with_context(named)?;
    write(args, file).with_context(named)
}

fn write(args: &GenerateCsv, to: impl Write) -> std::io::Result<()> {
    let mut to = BufWriter::with_capacity(1 << 20, to);
    streamer::generate::generate_csv(args.rows, args.seed, &mut to)?;
    to.flush()
}
