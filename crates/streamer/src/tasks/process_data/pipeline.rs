//! Chunks of the input come in; the output's bytes go out, with all state between them in one place.

use super::operator::{Fate, Operator};
use super::options::Options;
use super::plan::plan;
use super::read::{Columns, Format, Place, Source, Step};
use super::request::Operation;
use super::row::Row;
use super::state::{Damaged, Decoder, Encoder};
use super::write::Sink;
use crate::tasks::failure::{Failure, Problem};

/// Why the pipeline paused.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pause {
    /// It wants the next chunk.
    Hungry,
    /// A part's worth of output waits.
    Part,
    /// The rows that it was allowed are done.
    Budget,
    /// Nothing follows.
    End,
}

/// Source, operators, sink.
#[derive(Debug)]
pub(super) struct Pipeline {
    pub(super) source: Source,
    operators: Vec<Operator>,
    open: usize,
    pub(super) sink: Sink,
    pub(super) rows_in: u64,
    row: Row,
    other: Row,
    /// How many input columns the open operators know.
    resolved: usize,
    /// The operator that is giving back what it held; as many as there are operators: all have.
    releasing: usize,
    drained: bool,
}

impl Pipeline {
    /// Over a source whose columns are known, or will be told by NDJSON's rows.
    pub(super) fn new(
        source: Source,
        formats: (Format, Format),
        operations: &[Operation],
        options: &Options,
    ) -> Result<Self, Failure> {
        let (input, output) = formats;
        let header = (input == Format::Csv).then_some(source.columns.names.as_slice());
        let plan = plan(operations, header, options)?;
        Ok(Self {
            source,
            operators: plan.operators,
            open: plan.open,
            sink: Sink::new(output, plan.names, options.part_bytes),
            rows_in: 0,
            row: Row::default(),
            other: Row::default(),
            resolved: 0,
            releasing: 0,
            drained: false,
        })
    }

    /// Takes at most `budget` rows of the input.
    pub(super) fn read(&mut self, budget: u64) -> Result<Pause, Failure> {
        for _ in 0..budget {
            if self.sink.is_full() {
                return Ok(Pause::Part);
            }
            let line = self.source.next().line;
            match self.source.row(&mut self.row)? {
                Step::Row => {}
                Step::Hungry => return Ok(Pause::Hungry),
                Step::End => return Ok(Pause::End),
            }
            self.rows_in += 1;
            self.resolve();
            self.push(0, Some(line))?;
        }
        Ok(Pause::Budget)
    }

    /// After the input's end: gives at most `budget` held rows to the operators behind.
    pub(super) fn drain(&mut self, budget: u64) -> Result<Pause, Failure> {
        if self.drained {
            return Ok(Pause::End);
        }
        self.check_columns()?;
        for _ in 0..budget {
            if self.sink.is_full() {
                return Ok(Pause::Part);
            }
            let Some(operator) = self.operators.get_mut(self.releasing) else {
                self.sink.finish(&self.source.columns.names);
                self.drained = true;
                return Ok(Pause::End);
            };
            match operator.release(&mut self.row)? {
                true => self.push(self.releasing + 1, None)?,
                false => self.releasing += 1,
            }
        }
        Ok(Pause::Budget)
    }

    /// Whether all rows, the held ones too, have reached the sink.
    pub(super) fn is_drained(&self) -> bool {
        self.drained
    }

    fn push(&mut self, from: usize, line: Option<u64>) -> Result<(), Failure> {
        for operator in self.operators.iter_mut().skip(from) {
            match operator.take(&self.row, &mut self.other, line)? {
                Fate::On => {}
                Fate::Replaced => std::mem::swap(&mut self.row, &mut self.other),
                Fate::Gone => return Ok(()),
            }
        }
        self.sink.take(&self.row, &self.source.columns.names, line)
    }

    fn resolve(&mut self) {
        let columns = &self.source.columns;
        if self.resolved < columns.names.len() {
            self.resolved = columns.names.len();
            let open = self.operators.iter_mut().take(self.open);
            open.for_each(|operator| operator.resolve(columns));
        }
    }

    /// A column that no NDJSON object had is a mistake in the request rather than all null.
    fn check_columns(&mut self) -> Result<(), Failure> {
        if self.rows_in == 0 {
            return Ok(());
        }
        let open = self.operators.iter_mut().take(self.open);
        let unknown = open
            .flat_map(Operator::columns)
            .filter(|column| column.at.is_none());
        let problems: Vec<_> = unknown
            .map(|column| Problem {
                pointer: column.pointer.clone(),
                message: format!("no row has a key `{}`", column.name),
            })
            .take(10)
            .collect();
        if problems.is_empty() {
            Ok(())
        } else {
            Err(Failure::Invalid(problems))
        }
    }

    /// The bytes of the state object. Not to be called between two calls of [`Self::drain`].
    pub(super) fn encode(&self) -> Vec<u8> {
        let mut to = Encoder::default();
        to.number(self.source.columns.names.len() as u64);
        self.source
            .columns
            .names
            .iter()
            .for_each(|name| to.text(name));
        to.number(self.rows_in);
        to.byte(u8::from(self.drained));
        self.sink.encode(&mut to);
        if !self.drained {
            self.operators
                .iter()
                .for_each(|operator| operator.encode(&mut to));
        }
        to.finish()
    }

    /// Goes on from a state object, for the same request.
    pub(super) fn restored(
        state: &[u8],
        next: Place,
        formats: (Format, Format),
        operations: &[Operation],
        options: &Options,
    ) -> Result<Result<Self, Damaged>, Failure> {
        let (columns, from) = match columns(state) {
            Ok(read) => read,
            Err(damaged) => return Ok(Err(damaged)),
        };
        let mut source = Source::new(formats.0, options);
        source.seek(next, columns);
        let mut pipeline = Self::new(source, formats, operations, options)?;
        let decoded = pipeline.decode(from);
        Ok(decoded.map(|()| pipeline))
    }

    fn decode(&mut self, mut from: Decoder<'_>) -> Result<(), Damaged> {
        self.resolve();
        self.rows_in = from.number()?;
        self.drained = from.byte()? == 1;
        self.sink.decode(&mut from)?;
        if !self.drained {
            self.operators
                .iter_mut()
                .try_for_each(|operator| operator.decode(&mut from))?;
        }
        from.end()
    }
}

fn columns(state: &[u8]) -> Result<(Columns, Decoder<'_>), Damaged> {
    let mut from = Decoder::checked(state)?;
    let mut columns = Columns::default();
    for _ in 0..from.length()? {
        columns.intern(from.text()?, usize::MAX);
    }
    Ok((columns, from))
}
