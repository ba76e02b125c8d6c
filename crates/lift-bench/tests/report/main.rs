//! Reports and thresholds come in; what is judged, written and compared of them comes out.
#![expect(clippy::unwrap_used, reason = "a test that panics has failed")]

mod sample;
mod thresholds;
mod forms;
mod comparisons;
