//! A request to process a CSV or NDJSON object comes in; a new object and a summary of it go out.
//!
//! # What the operations mean
//! Rows go through the operations in order. `aggregate` and `top` hold theirs back until the input ends.
//! - **Columns.** A CSV has the columns of its header, and every field is text. NDJSON has the keys
//!   that its objects had so far; a key that an object lacks is null, but for output that was not selected
//!   or aggregated, where it stays away. A column that a CSV does not have, or that no NDJSON row had,
//!   is [`Failure::Invalid`](super::failure::Failure::Invalid) at the operation that names it.
//! - **Absent** values are null, missing, and the empty text (the only null that a CSV has).
//! - **Numbers** are `[+-]digits[.digits][e[+-]digits]` with an exponent of at most three digits, in text as in JSON, never
//!   trimmed; compared exactly, however long. `inf`, `nan`, `1,000` and ` 5` are text.
//! - **`filter`** compares by value where both sides are numbers, else by the UTF-8 bytes of the text. `ne` is the
//!   opposite of `eq`. An absent value satisfies none of `lt`, `le`, `gt`, `ge`, `contains`; it equals
//!   `null`, and an empty text equals `""`. `true` and `false` equal those words.
//! - **`aggregate`** and **`deduplicate`** keys are equal where JSON type and text are: 1, 1.0 and `"1"` are three keys.
//!   Groups come in the order of their first row. Measures leave absent values out. Sums are exact decimals of at most
//!   38 digits, 18 of them after the point; a text that is no number is [`Failure::Input`](super::failure::Failure::Input).
//! - **`min`, `max`, `top`** order numbers below text and text by its bytes; `top` puts absent values last in either order,
//!   and keeps the input's order among equals.
//! - **Computed numbers** are written without exponent, without trailing zeros after the point and without `-0`;
//!   `min` and `max` give the number in the text it had. In NDJSON computed numbers are numbers, CSV fields strings.
//!
//! # Formats
//! CSV is RFC 4180 with a header, in UTF-8, lines ended by LF or CR LF, a byte order mark skipped, empty lines
//! skipped; a row with more or fewer fields than the header is [`Failure::Input`](super::failure::Failure::Input) naming its line. CSV written
//! has LF and quotes only where needed. NDJSON is one object a line; a key twice in one object is an error.
//!
//! # Interruption
//! [`Engine::run`] hands out a [`Checkpoint`] only when all that it names is on the disk. A later claim
//! goes on from the last one that its caller made durable: no row is missing or twice in the output, whenever the
//! process died. The output appears whole, by one move.

mod checkpoint;
mod engine;
mod number;
mod operator;
mod options;
mod parts;
mod pipeline;
mod plan;
mod read;
mod request;
mod row;
mod state;
mod write;

pub use checkpoint::{Checkpoint, Parts};
pub use engine::{Engine, Outcome};
pub use number::{MEAN_PLACES, SUM_DIGITS_MAX, SUM_PLACES_MAX};
pub use options::Options;
pub use request::{Comparison, Function, Measure, Operand, Operation, Order, ProcessData};
pub use write::{PREVIEW_BYTES_MAX, PREVIEW_ROWS_MAX};
