//! Reports and thresholds come in; what is judged, written and compared of them comes out.
#![expect(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    reason = "a test that panics has failed"
)]

mod sample;
mod thresholds;
mod forms;
mod comparisons;
