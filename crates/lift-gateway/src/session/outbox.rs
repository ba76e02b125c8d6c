//! In: messages for one client. Out: the same in order, or 413 or 429 where a limit is met.

use std::collections::VecDeque;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};

use bytes::Bytes;

use super::PostError;
use super::codec::Text;
use super::rules::Limits;

/// A message for a client.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum Frame {
    /// A text frame.
    Text(Text),
    /// A binary frame, for posted payloads that are not UTF-8 (*unverified* on API Gateway).
    Binary(Bytes),
}

impl Frame {
    /// The payload's length in bytes.
    #[must_use]
    pub fn len(&self) -> usize {
        match self {
            Self::Text(text) => text.as_bytes().len(),
            Self::Binary(bytes) => bytes.len(),
        }
    }

    /// Whether the payload is empty.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }
}

impl From<Bytes> for Frame {
    fn from(payload: Bytes) -> Self {
        Text::try_from(payload).map_or_else(|error| Self::Binary(error.into_bytes()), Self::Text)
    }
}

/// Bytes that may wait in the queues of all sessions that share it.
#[derive(Debug)]
pub struct Budget {
    taken: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// A budget of this many bytes, none of them taken.
    #[must_use]
    pub fn new(bytes_max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            bytes_max,
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.taken.load(Ordering::Relaxed)
    }

    fn is_spent(&self) -> bool {
        self.taken() >= self.bytes_max
    }

    fn try_take(&self, bytes: usize) -> bool {
        let taken = self.taken.fetch_add(bytes, Ordering::Relaxed);
        let fits = taken.saturating_add(bytes) <= self.bytes_max;
        if !fits {
            self.give(bytes);
        }
        fits
    }

    fn take(&self, bytes: usize) {
        self.taken.fetch_add(bytes, Ordering::Relaxed);
    }

    fn give(&self, bytes: usize) {
        self.taken.fetch_sub(bytes, Ordering::Relaxed);
    }
}

/// What waits to be written to one client.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
    budget: Arc<Budget>,
}

impl Outbox {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            budget,
        }
    }

    /// Takes a post, unless a limit is met.
    pub(super) fn post(&mut self, limits: &Limits, payload: Bytes) -> Result<(), PostError> {
        if payload.len() > limits.message_bytes_max {
            return Err(PostError::PayloadTooLarge);
        }
        let bytes = self.bytes.saturating_add(payload.len());
        let over = bytes > limits.queued_bytes_max && !self.frames.is_empty();
        if over || self.is_full(limits) || !self.budget.try_take(payload.len()) {
            return Err(PostError::Full);
        }
        self.bytes = bytes;
        self.frames.push_back(payload.into());
        Ok(())
    }

    /// Takes an answer to the client's own message, which cannot be refused: the session stops
    /// reading at the limits instead, so that at most its invocations in flight and the answers to
    /// what was read at once come on top.
    pub(super) fn answer(&mut self, frame: Frame) {
        self.budget.take(frame.len());
        self.bytes = self.bytes.saturating_add(frame.len());
        self.frames.push_back(frame);
    }

    /// At its own limits; or behind while the process is at its limit, so that those who read are
    /// served on and those who do not add nothing.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.frames.len() >= limits.queued_messages_max
            || self.bytes >= limits.queued_bytes_max
            || (!self.frames.is_empty() && self.budget.is_spent())
    }

    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.len());
        self.budget.give(frame.len());
        if self.frames.is_empty() {
            // An idle connection keeps no room for a burst that is over.
            self.frames = VecDeque::new();
        }
        Some(frame)
    }

    pub(super) fn clear(&mut self) {
        self.frames.clear();
        self.budget.give(std::mem::take(&mut self.bytes));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.clear();
    }
}
