//! Texts come in, copies for those who listen go out.

use std::sync::{Arc, Mutex, PoisonError};

use tokio::sync::broadcast::{self, Receiver, Sender};

/// Texts that a slow listener may be behind before it misses some.
const TAP_MAX: usize = 1024;

/// Holds nothing until somebody listens: the room for its texts is more than the rest of a client.
#[derive(Debug, Default)]
pub(crate) struct Tap(Mutex<State>);

#[derive(Debug, Default)]
enum State {
    #[default]
    Unheard,
    Heard(Sender<Arc<str>>),
    Ended,
}

/// Whoever fills a tap; when it is dropped, those who listen hear that it is over.
#[derive(Debug, Default)]
pub(crate) struct Filling(pub(crate) Arc<Tap>);

impl Drop for Filling {
    fn drop(&mut self) {
        *self.0.lock() = State::Ended;
    }
}

impl Tap {
    pub(crate) fn send(&self, text: &str) {
        if let State::Heard(listeners) = &*self.lock() {
            // No listener any more is no error.
            let _ = listeners.send(Arc::from(text));
        }
    }

    pub(crate) fn subscribe(&self) -> Receiver<Arc<str>> {
        let mut state = self.lock();
        match &*state {
            State::Heard(listeners) => listeners.subscribe(),
            State::Ended => broadcast::channel(1).1,
            State::Unheard => {
                let (listeners, first) = broadcast::channel(TAP_MAX);
                *state = State::Heard(listeners);
                first
            }
        }
    }

    fn lock(&self) -> std::sync::MutexGuard<'_, State> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}
