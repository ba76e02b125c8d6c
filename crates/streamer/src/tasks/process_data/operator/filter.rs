//! A row comes in; whether it stays goes out.

use std::cmp::Ordering;

use super::Column;
use crate::tasks::process_data::number::Number;
use crate::tasks::process_data::request::{Comparison, Operand};
use crate::tasks::process_data::row::{Row, Value};

/// A comparison of one column with a value.
#[derive(Debug)]
pub(in crate::tasks::process_data) struct Filter {
    pub(super) column: Column,
    test: Test,
}

#[derive(Debug)]
enum Test {
    Equal(Operand),
    Unequal(Operand),
    Ordered(String, fn(Ordering) -> bool),
    Contains(String),
    OneOf(Vec<Operand>),
}

impl Filter {
    /// # Errors
    /// What is wrong with a value that the comparison cannot use.
    pub(in crate::tasks::process_data) fn new(
        column: Column,
        is: Comparison,
        value: &Operand,
    ) -> Result<Self, &'static str> {
        let test = match (is, value) {
            (Comparison::In, Operand::List(values)) => {
                match values.iter().any(|value| matches!(value, Operand::List(_))) {
                    true => return Err("the list of `in` holds no lists"),
                    false => Test::OneOf(values.clone()),
                }
            }
            (Comparison::In, _) => return Err("`in` compares with a list"),
            (_, Operand::List(_)) => return Err("a list is compared by `in` alone"),
            (Comparison::Eq, value) => Test::Equal(value.clone()),
            (Comparison::Ne, value) => Test::Unequal(value.clone()),
            (_, Operand::Null) => return Err("null is compared by `eq`, `ne` and `in` alone"),
            (Comparison::Contains, Operand::Text(text)) => Test::Contains(text.clone()),
            (Comparison::Contains, _) => return Err("`contains` looks for a string"),
            (_, Operand::Bool(_)) => return Err("true and false have no order"),
            (is, Operand::Number(text) | Operand::Text(text)) => Test::Ordered(
                text.clone(),
                match is {
                    Comparison::Lt => Ordering::is_lt,
                    Comparison::Le => Ordering::is_le,
                    Comparison::Gt => Ordering::is_gt,
                    _ => Ordering::is_ge,
                },
            ),
        };
        Ok(Self { column, test })
    }

    pub(super) fn holds(&self, row: &Row) -> bool {
        let value = self.column.of(row);
        match &self.test {
            Test::Equal(operand) => equal(value, operand),
            Test::Unequal(operand) => !equal(value, operand),
            Test::OneOf(operands) => operands.iter().any(|operand| equal(value, operand)),
            Test::Contains(text) => !value.is_absent() && value.text.contains(text.as_str()),
            Test::Ordered(text, holds) => !value.is_absent() && holds(compare(value, text)),
        }
    }
}

/// By value where both sides are numbers, else by text.
fn compare(value: Value<'_>, text: &str) -> Ordering {
    match (value.number(), Number::parse(text)) {
        (Some(left), Some(right)) => left.compare(right),
        _ => value.text.cmp(text),
    }
}

fn equal(value: Value<'_>, operand: &Operand) -> bool {
    use crate::tasks::process_data::row::Kind::{Missing, Null};
    match operand {
        Operand::Null => value.is_absent(),
        Operand::Bool(wanted) => value.text == if *wanted { "true" } else { "false" },
        Operand::Number(text) | Operand::Text(text) => {
            !matches!(value.kind, Missing | Null) && compare(value, text).is_eq()
        }
        Operand::List(_) => false,
    }
}
