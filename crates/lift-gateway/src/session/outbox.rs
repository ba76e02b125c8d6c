//! In: messages for one client. Out: the same in order, or 413 or 429 where a limit is met.

use std::collections::{HashMap, VecDeque};
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, PoisonError, Weak};

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

/// Bytes that may wait in the queues of all sessions that share it, and of them those of one share.
#[derive(Debug)]
pub struct Budget {
    all: Count,
    share_bytes_max: usize,
    /// What sessions with the same key of a share have taken; one that nobody holds is none.
    shares: Mutex<HashMap<String, Weak<Count>>>,
}

/// Bytes taken of a number.
#[derive(Debug)]
struct Count {
    taken: AtomicUsize,
    bytes_max: usize,
}

impl Budget {
    /// The budget that these limits set, none of it taken.
    #[must_use]
    pub fn new(limits: &Limits) -> Self {
        Self {
            all: Count::new(limits.process_queued_bytes_max),
            share_bytes_max: limits.share_queued_bytes_max,
            shares: Mutex::default(),
        }
    }

    /// Bytes that wait.
    #[must_use]
    pub fn taken(&self) -> usize {
        self.all.taken()
    }

    fn share(&self, key: String) -> Arc<Count> {
        let mut shares = self.shares.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(share) = shares.get(&key).and_then(Weak::upgrade) {
            return share;
        }
        if shares.len() == shares.capacity() {
            shares.retain(|_, share| share.strong_count() > 0);
        }
        let share = Arc::new(Count::new(self.share_bytes_max));
        shares.insert(key, Arc::downgrade(&share));
        share
    }
}

impl Count {
    fn new(bytes_max: usize) -> Self {
        Self {
            taken: AtomicUsize::new(0),
            bytes_max,
        }
    }

    fn taken(&self) -> usize {
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

/// What waits to be written to one client, and the count of all that is held for it.
#[derive(Debug)]
pub(super) struct Outbox {
    frames: VecDeque<Frame>,
    bytes: usize,
    /// Bytes of the frames that were taken and that the transport does not have yet.
    unwritten: usize,
    /// Bytes from the client that are no whole message yet.
    unread: usize,
    budget: Arc<Budget>,
    share: Option<Arc<Count>>,
}

impl Outbox {
    pub(super) fn new(budget: Arc<Budget>) -> Self {
        Self {
            frames: VecDeque::new(),
            bytes: 0,
            unwritten: 0,
            unread: 0,
            budget,
            share: None,
        }
    }

    /// Counts what will wait against the share of this key too. Called while nothing waits.
    pub(super) fn join(&mut self, share: String) {
        debug_assert!(self.frames.is_empty(), "what waits is counted nowhere else");
        self.share = Some(self.budget.share(share));
    }

    fn counts(&self) -> impl Iterator<Item = &Count> {
        self.share.as_deref().into_iter().chain([&self.budget.all])
    }

    fn try_take(&self, bytes: usize) -> bool {
        let share = self.share.as_deref();
        if !share.is_none_or(|share| share.try_take(bytes)) {
            return false;
        }
        let fits = self.budget.all.try_take(bytes);
        if let (false, Some(share)) = (fits, share) {
            share.give(bytes);
        }
        fits
    }

    /// Takes a post, unless a limit is met.
    pub(super) fn post(&mut self, limits: &Limits, payload: Bytes) -> Result<(), PostError> {
        if payload.len() > limits.message_bytes_max {
            return Err(PostError::PayloadTooLarge);
        }
        let bytes = self.bytes.saturating_add(payload.len());
        let over = bytes > limits.queued_bytes_max && !self.frames.is_empty();
        if over || self.is_full(limits) || !self.try_take(payload.len()) {
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
        self.counts().for_each(|count| count.take(frame.len()));
        self.bytes = self.bytes.saturating_add(frame.len());
        self.frames.push_back(frame);
    }

    /// At its own limits; or behind while its share or the process is at its limit, so that those
    /// who read are served on and those who do not add nothing.
    pub(super) fn is_full(&self, limits: &Limits) -> bool {
        self.frames.len() >= limits.queued_messages_max
            || self.bytes >= limits.queued_bytes_max
            || (self.is_behind() && self.counts().any(Count::is_spent))
    }

    fn is_behind(&self) -> bool {
        !self.frames.is_empty() || self.unwritten > 0
    }

    /// The next frame; it counts until all that was taken is [`written`](Self::written).
    pub(super) fn pop(&mut self) -> Option<Frame> {
        let frame = self.frames.pop_front()?;
        self.bytes = self.bytes.saturating_sub(frame.len());
        self.unwritten = self.unwritten.saturating_add(frame.len());
        if self.frames.is_empty() {
            // An idle connection keeps no room for a burst that is over.
            self.frames = VecDeque::new();
        }
        Some(frame)
    }

    pub(super) fn written(&mut self) {
        if self.unwritten > 0 {
            let bytes = std::mem::take(&mut self.unwritten);
            self.counts().for_each(|count| count.give(bytes));
        }
    }

    /// Counts what was read and is no whole message yet; up to `always` it is not refused.
    pub(super) fn hold_unread(&mut self, bytes: usize, always: usize) -> bool {
        let before = std::mem::replace(&mut self.unread, bytes);
        if let Some(more) = bytes.checked_sub(before) {
            if bytes > always && !self.try_take(more) {
                self.unread = before;
                return false;
            }
            if bytes <= always {
                self.counts().for_each(|count| count.take(more));
            }
        } else {
            self.counts().for_each(|count| count.give(before - bytes));
        }
        true
    }

    /// Forgets what waits; what was taken of it counts on.
    pub(super) fn clear(&mut self) {
        self.frames.clear();
        let bytes = std::mem::take(&mut self.bytes);
        self.counts().for_each(|count| count.give(bytes));
    }

    pub(super) fn is_empty(&self) -> bool {
        self.frames.is_empty()
    }

    pub(super) fn len(&self) -> usize {
        self.frames.len()
    }

    pub(super) fn bytes(&self) -> usize {
        self.bytes
    }
}

impl Drop for Outbox {
    fn drop(&mut self) {
        self.clear();
        self.written();
        self.hold_unread(0, 0);
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A budget of 100 bytes with shares of 60.
    fn budget() -> Arc<Budget> {
        let limits = Limits {
            process_queued_bytes_max: 100,
            share_queued_bytes_max: 60,
            ..Limits::default()
        };
        Arc::new(Budget::new(&limits))
    }

    fn outbox(budget: &Arc<Budget>, share: Option<&str>) -> Outbox {
        let mut outbox = Outbox::new(Arc::clone(budget));
        if let Some(share) = share {
            outbox.join(share.to_owned());
        }
        outbox
    }

    fn post(outbox: &mut Outbox, bytes: usize) -> bool {
        let payload = Bytes::from("x".repeat(bytes));
        outbox.post(&Limits::default(), payload).is_ok()
    }

    #[test]
    fn one_share_leaves_the_rest_of_the_budget_to_others() {
        let budget = budget();
        let [mut one, mut two, mut other, mut nobody] =
            [Some("acme"), Some("acme"), Some("umbra"), None].map(|share| outbox(&budget, share));
        assert!(post(&mut one, 40));
        assert!(!post(&mut two, 21), "the share has 20 left");
        assert!(post(&mut two, 20));
        assert!(one.is_full(&Limits::default()), "nothing more is read");
        assert!(!post(&mut other, 41), "the process has 40 left");
        assert!(post(&mut other, 10), "what was refused is not counted");
        assert!(post(&mut nobody, 30), "without a share");
        assert_eq!(budget.taken(), 100);
        one.answer(Bytes::from_static(b"an answer is not refused").into());
        one.clear();
        two.pop();
        assert_eq!(budget.taken(), 60, "the transport has not taken it");
        two.written();
        drop(nobody);
        assert_eq!(budget.taken(), 10);
        assert!(post(&mut one, 60), "the share is empty again");
    }

    #[test]
    fn shares_that_nobody_holds_are_forgotten() {
        let budget = budget();
        for n in 0..10_000 {
            outbox(&budget, Some(&format!("tenant-{n}")));
        }
        assert!(budget.shares.lock().unwrap().len() < 10);
    }
}
