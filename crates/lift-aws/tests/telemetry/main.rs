//! What an app records comes in; the lines and datagrams that AWS gets must be what AWS takes.

#![allow(
    clippy::unwrap_used,
    clippy::indexing_slicing,
    clippy::disallowed_methods,
    reason = "a test fails by panicking, and reads how it is run"
)]

mod emf;
mod logs;
mod names;
mod traces;
mod xray;

use std::io;
use std::sync::{Arc, Mutex};

use lift::clock::Timestamp;

/// 2026-11-29T10:00:00.500Z.
const NOW: Timestamp = Timestamp::from_millis(1_795_946_400_500);

/// What is written can be read, by whoever has a clone.
#[derive(Clone, Default)]
struct Sink(Arc<Mutex<Vec<u8>>>);

impl Sink {
    fn text(&self) -> String {
        String::from_utf8(self.0.lock().unwrap().clone()).unwrap()
    }
}

impl io::Write for Sink {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.lock().unwrap().write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        Ok(())
    }
}
