//! Rows come in; one row per key goes out when they have ended.

use super::keys::{Keys, Novelty};
use super::{Bounds, Column};
use crate::tasks::failure::Failure;
use crate::tasks::process_data::number::{Decimal, SUM_DIGITS_MAX, SUM_PLACES_MAX, Unfit, as_json};
use crate::tasks::process_data::request::Function;
use crate::tasks::process_data::row::{Kind, Row, Value};
use crate::tasks::process_data::state::{Damaged, Decoder, Encoder};

/// What is computed, of which column.
#[derive(Debug)]
pub(in crate::tasks::process_data) struct Measure {
    pub(in crate::tasks::process_data) function: Function,
    /// None counts rows.
    pub(in crate::tasks::process_data) column: Option<Column>,
}

/// Measures of each distinct key.
#[derive(Debug)]
pub(in crate::tasks::process_data) struct Aggregate {
    by: Vec<Column>,
    measures: Vec<Measure>,
    keys: Keys,
    /// As many as there are measures for each key, in the keys' order.
    totals: Vec<Total>,
    /// Bytes of the texts that `totals` holds.
    texts: usize,
    released: usize,
    bounds: Bounds,
}

/// One measure of one key so far.
#[derive(Debug, Clone, Default)]
enum Total {
    #[default]
    None,
    Count(u64),
    Sum(Box<(Decimal, u64)>),
    Extreme(Kind, Box<str>),
}

impl Aggregate {
    pub(in crate::tasks::process_data) fn new(
        by: Vec<Column>,
        measures: Vec<Measure>,
        bounds: Bounds,
    ) -> Self {
        let mut aggregate = Self {
            by,
            measures,
            keys: Keys::default(),
            totals: Vec::new(),
            texts: 0,
            released: 0,
            bounds,
        };
        if aggregate.by.is_empty() {
            aggregate.group(&Row::default());
        }
        aggregate
    }

    pub(super) fn columns(&mut self) -> impl Iterator<Item = &mut Column> {
        self.by
            .iter_mut()
            .chain(self.measures.iter_mut().filter_map(|m| m.column.as_mut()))
    }

    fn group(&mut self, row: &Row) -> (usize, Novelty) {
        let found = self.keys.number(&self.by, row);
        if found.1 == Novelty::New {
            self.totals
                .resize(self.totals.len() + self.measures.len(), Total::None);
        }
        found
    }

    pub(super) fn take(&mut self, row: &Row, line: Option<u64>) -> Result<(), Failure> {
        let (group, novelty) = self.group(row);
        let start = group * self.measures.len();
        let totals = self.totals.get_mut(start..).unwrap_or_default();
        let mut grown = novelty == Novelty::New;
        for (measure, total) in self.measures.iter().zip(totals) {
            let Some(column) = &measure.column else {
                total.count();
                continue;
            };
            let value = column.of(row);
            if value.is_absent() {
                continue;
            }
            let before = total.text_bytes();
            total
                .take(measure.function, value)
                .map_err(|bad| bad.failure(column, value, line))?;
            let after = total.text_bytes();
            self.texts = self.texts + after - before;
            grown |= after > before;
        }
        if grown {
            let totals = self.totals.len() * size_of::<Total>();
            self.bounds.check(
                self.keys.len(),
                self.keys.state_bytes() + totals + self.texts,
            )?;
        }
        Ok(())
    }

    pub(super) fn release(&mut self, row: &mut Row) -> Result<bool, Failure> {
        if self.released >= self.keys.len() {
            return Ok(false);
        }
        row.clear();
        let mut key = Decoder::trusted(self.keys.get(self.released));
        for _ in &self.by {
            row.push(Value::decode(&mut key).unwrap_or_default());
        }
        let start = self.released * self.measures.len();
        for (measure, total) in self.measures.iter().zip(self.totals.iter().skip(start)) {
            total.write(measure, row)?;
        }
        self.released += 1;
        Ok(true)
    }

    pub(super) fn encode(&self, to: &mut Encoder) {
        self.keys.encode(to);
        self.totals.iter().for_each(|total| total.encode(to));
    }

    pub(super) fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Damaged> {
        self.keys.decode(from)?;
        self.totals.clear();
        for _ in 0..self.keys.len() * self.measures.len() {
            self.totals.push(Total::decode(from)?);
        }
        self.texts = self.totals.iter().map(Total::text_bytes).sum();
        Ok(())
    }
}

/// Why a value cannot be summed.
enum Bad {
    NoNumber,
    Unfit(Unfit),
}

impl Bad {
    fn failure(&self, column: &Column, value: Value<'_>, line: Option<u64>) -> Failure {
        let pointer = Some(column.pointer.clone());
        let limit = |limit, max| Failure::Limit {
            limit,
            max,
            pointer: pointer.clone(),
            line,
        };
        match self {
            Self::NoNumber => {
                let text: String = value.text.chars().take(64).collect();
                let message = format!("`{text}` in column `{}` is not a number", column.name);
                Failure::Input {
                    line,
                    pointer,
                    message,
                }
            }
            Self::Unfit(Unfit::Places) => limit("sum_places_max", SUM_PLACES_MAX),
            Self::Unfit(Unfit::Digits) => limit("sum_digits_max", SUM_DIGITS_MAX),
        }
    }
}

impl Total {
    fn count(&mut self) {
        match self {
            Self::Count(count) => *count += 1,
            _ => *self = Self::Count(1),
        }
    }

    fn take(&mut self, function: Function, value: Value<'_>) -> Result<(), Bad> {
        match function {
            Function::Count => self.count(),
            Function::Sum | Function::Mean => {
                let number = value.number().ok_or(Bad::NoNumber)?;
                let number = Decimal::from_number(number).map_err(Bad::Unfit)?;
                match self {
                    Self::Sum(so_far) => {
                        let (sum, count) = &mut **so_far;
                        (*sum, *count) = (sum.plus(number).map_err(Bad::Unfit)?, *count + 1);
                    }
                    _ => *self = Self::Sum(Box::new((number, 1))),
                }
            }
            Function::Min | Function::Max => {
                let better = match self {
                    Self::Extreme(kind, text) => {
                        let order = value.rank(Value { kind: *kind, text });
                        if function == Function::Min {
                            order.is_lt()
                        } else {
                            order.is_gt()
                        }
                    }
                    _ => true,
                };
                if better {
                    *self = Self::Extreme(value.kind, value.text.into());
                }
            }
        }
        Ok(())
    }

    fn text_bytes(&self) -> usize {
        match self {
            Self::None | Self::Count(_) => 0,
            Self::Sum(sum) => size_of_val(&**sum),
            Self::Extreme(_, text) => text.len(),
        }
    }

    fn write(&self, measure: &Measure, row: &mut Row) -> Result<(), Failure> {
        let number = |row: &mut Row, text: &str| {
            row.push(Value {
                kind: Kind::Number,
                text,
            })
        };
        match (self, measure.function) {
            (Self::Count(count), _) => number(row, &count.to_string()),
            (Self::None, Function::Count | Function::Sum) => number(row, "0"),
            (Self::None, _) => row.push(Value {
                kind: Kind::Null,
                text: "",
            }),
            (Self::Sum(sum), Function::Mean) => {
                let mean = sum.0.over(sum.1).map_err(|unfit| {
                    let pointer = measure.column.as_ref().map(|column| column.pointer.clone());
                    let (limit, max) = match unfit {
                        Unfit::Places => ("sum_places_max", SUM_PLACES_MAX),
                        Unfit::Digits => ("sum_digits_max", SUM_DIGITS_MAX),
                    };
                    Failure::Limit {
                        limit,
                        max,
                        pointer,
                        line: None,
                    }
                })?;
                number(row, &mean.to_string());
            }
            (Self::Sum(sum), _) => number(row, &sum.0.to_string()),
            (Self::Extreme(kind, text), _) => {
                let value = Value { kind: *kind, text };
                match value.number() {
                    Some(_) => number(row, &as_json(text)),
                    None => row.push(value),
                }
            }
        }
        Ok(())
    }

    fn encode(&self, to: &mut Encoder) {
        match self {
            Self::None => to.byte(0),
            Self::Count(count) => {
                to.byte(1);
                to.number(*count);
            }
            Self::Sum(sum) => {
                to.byte(2);
                to.bytes(&sum.0.mantissa.to_le_bytes());
                to.number(u64::from(sum.0.scale));
                to.number(sum.1);
            }
            Self::Extreme(kind, text) => {
                to.byte(3);
                Value { kind: *kind, text }.encode(to);
            }
        }
    }

    fn decode(from: &mut Decoder<'_>) -> Result<Self, Damaged> {
        Ok(match from.byte()? {
            0 => Self::None,
            1 => Self::Count(from.number()?),
            2 => {
                let mantissa = from.bytes()?.try_into().ok().ok_or(Damaged)?;
                let mantissa = i128::from_le_bytes(mantissa);
                let scale = u32::try_from(from.number()?).ok().ok_or(Damaged)?;
                Self::Sum(Box::new((Decimal { mantissa, scale }, from.number()?)))
            }
            3 => {
                let value = Value::decode(from)?;
                Self::Extreme(value.kind, value.text.into())
            }
            _ => return Err(Damaged),
        })
    }
}
