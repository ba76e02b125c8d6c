//! Rows come in; the first of them in an order go out when they have ended.

use std::cmp::Ordering;
use std::collections::BinaryHeap;

use super::{Bounds, Column};
use crate::tasks::failure::Failure;
use crate::tasks::process_data::request::Order;
use crate::tasks::process_data::row::{Row, Value};
use crate::tasks::process_data::state::{Damaged, Decoder, Encoder};

/// The first `n` rows by one column. Absent values come last in either order.
#[derive(Debug)]
pub(in crate::tasks::process_data) struct Top {
    pub(super) by: Column,
    n: u64,
    order: Order,
    /// The worst of the kept rows is on top.
    kept: BinaryHeap<Kept>,
    /// Filled when the input has ended, the first row last.
    sorted: Option<Vec<Kept>>,
    arrived: u64,
    row_bytes: usize,
    bounds: Bounds,
}

#[derive(Debug)]
struct Kept {
    row: Row,
    at: usize,
    order: Order,
    arrived: u64,
}

fn before(order: Order, left: Value<'_>, right: Value<'_>) -> Ordering {
    match (left.is_absent(), right.is_absent(), order) {
        (true, true, _) => Ordering::Equal,
        (true, false, _) => Ordering::Greater,
        (false, true, _) => Ordering::Less,
        (false, false, Order::Asc) => left.rank(right),
        (false, false, Order::Desc) => right.rank(left),
    }
}

impl Ord for Kept {
    fn cmp(&self, other: &Self) -> Ordering {
        before(self.order, self.row.get(self.at), other.row.get(other.at))
            .then(self.arrived.cmp(&other.arrived))
    }
}

impl PartialOrd for Kept {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

impl PartialEq for Kept {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Kept {}

impl Top {
    pub(in crate::tasks::process_data) fn new(
        by: Column,
        n: u64,
        order: Order,
        bounds: Bounds,
    ) -> Self {
        let kept = BinaryHeap::new();
        Self {
            by,
            n,
            order,
            kept,
            sorted: None,
            arrived: 0,
            row_bytes: 0,
            bounds,
        }
    }

    pub(super) fn take(&mut self, row: &Row) -> Result<(), Failure> {
        self.arrived += 1;
        let full = self.kept.len() as u64 >= self.n;
        if full {
            let Some(worst) = self.kept.peek() else {
                return Ok(());
            };
            let order = before(self.order, self.by.of(row), worst.row.get(worst.at));
            if order.is_ge() {
                return Ok(());
            }
            if let Some(worst) = self.kept.pop() {
                self.row_bytes -= worst.row.bytes();
            }
        }
        self.keep(row.clone(), self.arrived);
        let overhead = self.kept.len() * size_of::<Kept>();
        self.bounds
            .check(self.kept.len(), self.row_bytes + overhead)
    }

    fn keep(&mut self, mut row: Row, arrived: u64) {
        row.shrink();
        self.row_bytes += row.bytes();
        // A column that no row had yet lies past the end of this one: absent, as it should be.
        let at = self.by.at.unwrap_or(usize::MAX);
        self.kept.push(Kept {
            row,
            at,
            order: self.order,
            arrived,
        });
    }

    pub(super) fn release(&mut self, row: &mut Row) -> bool {
        let kept = &mut self.kept;
        let sorted = self.sorted.get_or_insert_with(|| {
            let mut rows = std::mem::take(kept).into_sorted_vec();
            rows.reverse();
            rows
        });
        match sorted.pop() {
            Some(next) => {
                *row = next.row;
                true
            }
            None => false,
        }
    }

    /// Called while rows still arrive, or after all were released.
    pub(super) fn encode(&self, to: &mut Encoder) {
        to.number(self.arrived);
        to.number(self.kept.len() as u64);
        for kept in &self.kept {
            to.number(kept.arrived);
            kept.row.encode(to);
        }
    }

    pub(super) fn decode(&mut self, from: &mut Decoder<'_>) -> Result<(), Damaged> {
        self.arrived = from.number()?;
        for _ in 0..from.length()? {
            let arrived = from.number()?;
            let mut row = Row::default();
            row.decode(from)?;
            self.keep(row, arrived);
        }
        Ok(())
    }
}
