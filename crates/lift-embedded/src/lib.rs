//! Durable backends of Lift for one machine: a directory comes in, a store that survives `kill -9` and power loss goes out.
//!
//! [`EmbeddedTasks`] keeps requests. One thread writes; what arrives while it waits for the disk
//! becomes the next group, and a group is one atomic write and one `fdatasync`. A write is answered
//! only after that call returned. `docs/store-layout.md` has the files and keys byte by byte.
//!
//! ```no_run
//! use lift_embedded::{EmbeddedTasks, Options};
//!
//! let tasks = EmbeddedTasks::open("./data/tasks".as_ref(), &Options::default())?;
//! if !tasks.report().is_clean() {
//!     eprintln!("{}", tasks.report());
//! }
//! # Ok::<(), lift_embedded::OpenError>(())
//! ```
#![warn(missing_docs)]

mod layout;
mod numbers;
mod archive;
mod manifest;
mod index;
mod recent;
mod group;
mod committer;
mod witness;
mod journal;
mod files;
mod open;
mod salvage;
mod report;
mod backup;
mod inspect;
mod tasks;

pub use self::backup::{BackupError, Holder, backup};
pub use self::files::refusal;
pub use self::inspect::{Compacted, Counts, Inspection, compact, inspect};
pub use self::manifest::damaged_tables;
pub use self::open::{OpenError, Options};
pub use self::report::{Gap, Lost, Report, Unreadable};
pub use self::tasks::EmbeddedTasks;
