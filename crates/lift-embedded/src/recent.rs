//! Records that were written lately and have not ended: a row's key comes in, its record goes out unread.
//!
//! A request's claim and end follow its acceptance within milliseconds, mostly: reading its row again
//! for each costs more than the step itself. Only the writing thread looks here; what it knows is what
//! the last commits wrote.

use std::collections::HashMap;

use lift::task::record::Record;

/// Records kept at most; past it all are forgotten, and read again where they are asked for.
const RECORDS_MAX: usize = 1_024;
/// The longest checkpoint of a record that is kept, in bytes.
const CHECKPOINT_BYTES_MAX: usize = 4 * 1024;

#[derive(Debug, Default)]
pub(crate) struct Recent(HashMap<Vec<u8>, Record>);

impl Recent {
    pub(crate) fn get(&self, row: &[u8]) -> Option<&Record> {
        self.0.get(row)
    }

    /// Takes in what a commit wrote.
    pub(crate) fn keep(&mut self, committed: HashMap<Vec<u8>, Record>) {
        for (row, record) in committed {
            if record.state.is_terminal() || is_large(&record) {
                self.0.remove(&row);
                continue;
            }
            if self.0.len() >= RECORDS_MAX && !self.0.contains_key(&row) {
                self.0.clear();
            }
            self.0.insert(row, record);
        }
    }
}

fn is_large(record: &Record) -> bool {
    let checkpoint = record.checkpoint.as_ref();
    checkpoint.is_some_and(|checkpoint| checkpoint.len_bytes() > CHECKPOINT_BYTES_MAX)
}
