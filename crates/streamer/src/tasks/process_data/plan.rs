//! A request's operations and the input's columns come in; operators with their columns found go out.

use std::sync::Arc;

use super::operator::{Aggregate, Bounds, Column, Deduplicate, Filter, Operator, Top};
use super::options::Options;
use super::request::{Function, Measure, Operation};
use crate::tasks::failure::{Failure, Problem};

/// Most problems that one answer lists (`VALIDATION_ERROR`, `fields`).
const PROBLEMS_MAX: usize = 10;
/// Most columns that a problem's text lists.
const LISTED_MAX: usize = 12;

/// The operators, in order.
#[derive(Debug)]
pub(super) struct Plan {
    pub(super) operators: Vec<Operator>,
    /// How many of them meet columns that only the rows will tell.
    pub(super) open: usize,
    /// The output's columns, where they are known.
    pub(super) names: Option<Vec<Arc<str>>>,
}

/// Finds every column, given a CSV's header or `None` for NDJSON, whose keys only the rows tell.
///
/// # Errors
/// [`Failure::Invalid`] with up to 10 problems, each at its place.
pub(super) fn plan(
    operations: &[Operation],
    header: Option<&[Arc<str>]>,
    options: &Options,
) -> Result<Plan, Failure> {
    let mut planner = Planner {
        names: header.map(<[_]>::to_vec),
        problems: Vec::new(),
    };
    if operations.len() > options.operations_max {
        let message = format!("at most {} operations", options.operations_max);
        return Err(Failure::invalid("/payload/operations", message));
    }
    let (mut operators, mut open) = (Vec::new(), 0);
    for (step, operation) in operations.iter().enumerate() {
        open += usize::from(planner.names.is_none());
        let pointer = format!("/payload/operations/{step}");
        operators.extend(planner.operator(operation, pointer, options));
    }
    match planner.problems.is_empty() {
        true => Ok(Plan {
            operators,
            open,
            names: planner.names,
        }),
        false => {
            planner.problems.truncate(PROBLEMS_MAX);
            Err(Failure::Invalid(planner.problems))
        }
    }
}

struct Planner {
    /// The columns that reach the next operation; `None` while they are not known.
    names: Option<Vec<Arc<str>>>,
    problems: Vec<Problem>,
}

impl Planner {
    fn operator(
        &mut self,
        operation: &Operation,
        pointer: String,
        options: &Options,
    ) -> Option<Operator> {
        let bounds = Bounds::new(pointer.clone(), options);
        match operation {
            Operation::Filter { column, is, value } => {
                let column = self.column(column, format!("{pointer}/column"));
                match Filter::new(column, *is, value) {
                    Ok(filter) => Some(Operator::Filter(filter)),
                    Err(message) => {
                        self.problem(format!("{pointer}/value"), message);
                        None
                    }
                }
            }
            Operation::Select { columns } => {
                let selected = self.columns(columns, &format!("{pointer}/columns"));
                self.at_least_one(columns, format!("{pointer}/columns"));
                self.names = Some(columns.iter().map(|name| name.as_str().into()).collect());
                Some(Operator::Select(selected))
            }
            Operation::Deduplicate { by } => {
                let columns = self.columns(by, &format!("{pointer}/by"));
                self.at_least_one(by, format!("{pointer}/by"));
                Some(Operator::Deduplicate(Deduplicate::new(columns, bounds)))
            }
            Operation::Aggregate { by, measures } => {
                let columns = self.columns(by, &format!("{pointer}/by"));
                let measures = self.measures(by, measures, &format!("{pointer}/measures"));
                if by.is_empty() && measures.is_empty() {
                    self.problem(pointer, "has neither `by` nor `measures`");
                }
                Some(Operator::Aggregate(Aggregate::new(
                    columns, measures, bounds,
                )))
            }
            Operation::Top { n, by, order } => {
                let column = self.column(by, format!("{pointer}/by"));
                if *n == 0 || *n > options.keys_max {
                    let message = format!("is not in 1–{} (`keys_max`)", options.keys_max);
                    self.problem(format!("{pointer}/n"), message);
                }
                Some(Operator::Top(Top::new(column, *n, *order, bounds)))
            }
        }
    }

    fn measures(
        &mut self,
        by: &[String],
        measures: &[Measure],
        pointer: &str,
    ) -> Vec<super::operator::Measure> {
        let mut names: Vec<Arc<str>> = by.iter().map(|name| name.as_str().into()).collect();
        let mut found = Vec::new();
        for (index, measure) in measures.iter().enumerate() {
            let Measure {
                function,
                column,
                name,
            } = measure;
            let place = format!("{pointer}/{index}");
            if name.is_empty() {
                self.problem(format!("{place}/as"), "is empty");
            } else if names.iter().any(|known| **known == **name) {
                self.problem(
                    format!("{place}/as"),
                    format!("names column `{name}` again"),
                );
            }
            names.push(name.as_str().into());
            let at = format!("{place}/column");
            let column = match column {
                Some(column) => Some(self.column(column, at)),
                None if *function == Function::Count => None,
                None => {
                    self.problem(at, "is required: only `count` goes without a column");
                    None
                }
            };
            found.push(super::operator::Measure {
                function: *function,
                column,
            });
        }
        self.names = Some(names);
        found
    }

    fn columns(&mut self, names: &[String], pointer: &str) -> Vec<Column> {
        let mut found: Vec<Column> = Vec::new();
        for (index, name) in names.iter().enumerate() {
            let place = format!("{pointer}/{index}");
            if found.iter().any(|column| column.name == *name) {
                self.problem(place.clone(), format!("names column `{name}` again"));
            }
            found.push(self.column(name, place));
        }
        found
    }

    fn column(&mut self, name: &str, pointer: String) -> Column {
        let at = self
            .names
            .as_ref()
            .and_then(|names| names.iter().position(|n| **n == *name));
        if let Some(names) = self.names.as_ref().filter(|_| at.is_none()) {
            let listed: Vec<_> = names
                .iter()
                .take(LISTED_MAX)
                .map(|n| format!("`{n}`"))
                .collect();
            let more = if names.len() > LISTED_MAX {
                ", …"
            } else {
                ""
            };
            let listed = listed.join(", ");
            self.problem(
                pointer.clone(),
                format!("there is no column `{name}` here; there are {listed}{more}"),
            );
        }
        Column {
            name: name.to_owned(),
            pointer,
            at,
        }
    }

    fn at_least_one(&mut self, names: &[String], pointer: String) {
        if names.is_empty() {
            self.problem(pointer, "names no column");
        }
    }

    fn problem(&mut self, pointer: String, message: impl Into<String>) {
        self.problems.push(Problem {
            pointer,
            message: message.into(),
        });
    }
}
