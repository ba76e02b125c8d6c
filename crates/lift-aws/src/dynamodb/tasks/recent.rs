//! In: what a call has just learnt of a request. Out: the same for the call that follows it, once.

use std::collections::VecDeque;
use std::sync::{Mutex, MutexGuard, PoisonError};

use lift::task::record::Key;

/// The latest few values by request; the oldest is dropped for a new one.
#[derive(Debug)]
pub(super) struct Recent<T> {
    most: usize,
    entries: Mutex<VecDeque<(Key, T)>>,
}

impl<T> Recent<T> {
    /// Keeps so many values.
    pub(super) const fn new(most: usize) -> Self {
        Self {
            most,
            entries: Mutex::new(VecDeque::new()),
        }
    }

    /// Keeps a value instead of the request's earlier one.
    pub(super) fn keep(&self, key: &Key, value: T) {
        let mut entries = self.entries();
        entries.retain(|(held, _)| held != key);
        if entries.len() >= self.most {
            entries.pop_front();
        }
        entries.push_back((key.clone(), value));
    }

    /// Takes the request's value out.
    pub(super) fn take(&self, key: &Key) -> Option<T> {
        let mut entries = self.entries();
        let at = entries.iter().position(|(held, _)| held == key)?;
        entries.remove(at).map(|(_, value)| value)
    }

    fn entries(&self) -> MutexGuard<'_, VecDeque<(Key, T)>> {
        self.entries.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
