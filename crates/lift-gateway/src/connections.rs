//! In: `@connections` calls by connection id. Out: their outcome; what they change is done by the connection's task.

use std::collections::HashMap;
use std::future::poll_fn;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, Mutex, MutexGuard, PoisonError, RwLock};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::task::AtomicWaker;
use lift_apigw::management;

use crate::clock::Clock;
use crate::session::observer::Observer;
use crate::session::outbox::Budget;
use crate::session::throttle::Throttle;
use crate::session::{Action, Input, PostError, Session, Timestamp};
use crate::{ConnectionId, Rules};

/// The open connections of a gateway. Cheap to clone.
#[derive(Clone, Debug)]
pub struct Connections {
    table: Arc<Table>,
}

#[derive(Debug)]
struct Table {
    slots: RwLock<HashMap<ConnectionId, Arc<Slot>>>,
    budget: Arc<Budget>,
    throttle: Arc<Throttle>,
    open: AtomicUsize,
    clock: Clock,
}

impl Connections {
    pub(crate) fn new(clock: Clock, rules: &Rules) -> Self {
        let table = Table {
            slots: RwLock::default(),
            budget: Arc::new(Budget::new(&rules.limits)),
            throttle: Arc::new(Throttle::new(rules)),
            open: AtomicUsize::new(0),
            clock,
        };
        Self {
            table: Arc::new(table),
        }
    }

    /// Queues a message for a connection; text if it is UTF-8, else binary.
    ///
    /// # Errors
    /// The id is malformed or not connected, the rate used up, the payload too large, or the queue
    /// full.
    pub fn post(&self, connection_id: &str, payload: Bytes) -> Result<(), PostError> {
        let slot = self.find(connection_id)?;
        let now = self.table.clock.now();
        let posted = slot.with(|session, _| session.post(now, payload));
        if posted.is_ok() {
            slot.has_frames();
        }
        posted
    }

    /// Queues a message for every open connection; one whose queue is full goes without, and no rate
    /// counts it.
    pub fn post_all(&self, payload: &Bytes) {
        let slots: Vec<_> = self.slots().values().map(Arc::clone).collect();
        let now = self.table.clock.now();
        for slot in slots {
            let announced = slot.with(|session, _| session.announce(now, payload.clone()));
            if announced.is_ok() {
                slot.has_frames();
            }
        }
    }

    /// When a connection began, was last active, and who is at its other end.
    ///
    /// # Errors
    /// The id is malformed or not connected.
    pub fn get(&self, connection_id: &str) -> Result<management::Connection<'static>, PostError> {
        let now = self.table.clock.now();
        self.find(connection_id)?
            .with(|session, _| session.get(now))
    }

    /// Closes a connection with 1000, after what is queued for it.
    ///
    /// # Errors
    /// The id is malformed or not connected.
    pub fn delete(&self, connection_id: &str) -> Result<(), PostError> {
        let slot = self.find(connection_id)?;
        let now = self.table.clock.now();
        let deleted = slot.with(|session, actions| session.delete(now, actions));
        slot.has_changed();
        deleted
    }

    /// How many connections are open.
    #[must_use]
    pub fn len(&self) -> usize {
        self.table.open.load(Ordering::Relaxed)
    }

    /// Whether no connection is open.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.len() == 0
    }

    /// Bytes that wait to be written or are no whole message yet, over all connections.
    #[must_use]
    pub fn queued_bytes(&self) -> usize {
        self.table.budget.taken()
    }

    /// How many connections there are, handshakes and closing ones included.
    pub(crate) fn tracked(&self) -> usize {
        self.slots().len()
    }

    pub(crate) fn insert(&self, id: ConnectionId, session: Session) -> Arc<Slot> {
        let slot = Arc::new(Slot {
            id,
            observer: session.observer(),
            inner: Mutex::new(Inner {
                session,
                actions: Vec::new(),
                open: false,
            }),
            task: AtomicWaker::new(),
            changed: AtomicBool::new(false),
            connections: self.clone(),
        });
        let mut slots = self
            .table
            .slots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        slots.insert(id, Arc::clone(&slot));
        slot
    }

    pub(crate) fn remove(&self, id: ConnectionId) {
        let mut slots = self
            .table
            .slots
            .write()
            .unwrap_or_else(PoisonError::into_inner);
        slots.remove(&id);
    }

    /// Tells every connection to end by this time.
    pub(crate) fn drain(&self, close_by: Timestamp) {
        let slots: Vec<_> = self.slots().values().map(Arc::clone).collect();
        let now = self.table.clock.now();
        for slot in slots {
            let input = Input::Drain { close_by };
            slot.with(|session, actions| session.handle(now, input, actions));
            slot.has_changed();
        }
    }

    pub(crate) fn budget(&self) -> Arc<Budget> {
        Arc::clone(&self.table.budget)
    }

    pub(crate) fn throttle(&self) -> Arc<Throttle> {
        Arc::clone(&self.table.throttle)
    }

    fn find(&self, connection_id: &str) -> Result<Arc<Slot>, PostError> {
        let id = ConnectionId::parse(connection_id).ok_or(PostError::InvalidConnectionId)?;
        self.slots().get(&id).map(Arc::clone).ok_or(PostError::Gone)
    }

    fn slots(&self) -> std::sync::RwLockReadGuard<'_, HashMap<ConnectionId, Arc<Slot>>> {
        self.table
            .slots
            .read()
            .unwrap_or_else(PoisonError::into_inner)
    }
}

/// One connection's session, shared by its task and the callers of `@connections`.
#[derive(Debug)]
pub(crate) struct Slot {
    id: ConnectionId,
    observer: Option<Observer>,
    inner: Mutex<Inner>,
    /// Wakes the connection's task.
    task: AtomicWaker,
    /// A call changed more of the session than its frames.
    changed: AtomicBool,
    connections: Connections,
}

#[derive(Debug)]
struct Inner {
    session: Session,
    /// What the session asked for; the connection's task takes it.
    actions: Vec<Action>,
    open: bool,
}

impl Slot {
    pub(crate) fn with<T>(&self, f: impl FnOnce(&mut Session, &mut Vec<Action>) -> T) -> T {
        let mut inner = self.lock();
        let Inner {
            session,
            actions,
            open,
        } = &mut *inner;
        let result = f(session, actions);
        let count = &self.connections.table.open;
        match (
            std::mem::replace(open, session.is_open()),
            session.is_open(),
        ) {
            (false, true) => _ = count.fetch_add(1, Ordering::Relaxed),
            (true, false) => _ = count.fetch_sub(1, Ordering::Relaxed),
            (true, true) | (false, false) => {}
        }
        result
    }

    /// Shows what the session noted. The connection's task alone does, so that it is in order.
    #[inline]
    pub(crate) fn show(&self) {
        if let Some(observer) = &self.observer {
            let noted = self.with(|session, _| session.noted());
            observer.show(self.id, &noted);
        }
    }

    /// Has the task woken by what others do to the session.
    pub(crate) fn register(&self, cx: &Context<'_>) {
        self.task.register(cx.waker());
    }

    /// Waits until more than frames has changed. Dropping the future loses nothing.
    pub(crate) async fn changed(&self) {
        poll_fn(|cx| {
            self.register(cx);
            if self.changed.swap(false, Ordering::AcqRel) {
                Poll::Ready(())
            } else {
                Poll::Pending
            }
        })
        .await;
    }

    fn has_changed(&self) {
        self.changed.store(true, Ordering::Release);
        self.task.wake();
    }

    /// Frames are taken at any look at the socket: it need not be told what has changed.
    fn has_frames(&self) {
        self.task.wake();
    }

    fn lock(&self) -> MutexGuard<'_, Inner> {
        self.inner.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Drop for Slot {
    fn drop(&mut self) {
        let inner = self.inner.get_mut().unwrap_or_else(PoisonError::into_inner);
        if inner.open {
            self.connections.table.open.fetch_sub(1, Ordering::Relaxed);
        }
    }
}
