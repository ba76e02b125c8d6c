//! A plan comes in; each thing due goes out when its time has come, to within some tens of microseconds.

use std::{
    thread::{self, JoinHandle},
    time::Instant,
};

use tokio::sync::mpsc;
use tokio_util::sync::CancellationToken;

use crate::plan::{Due, Plan};

/// Things due that wait to be begun: some tens of milliseconds of the fastest schedule.
const DUE_MAX: usize = 1 << 14;

/// The thread that keeps the time: the runtime's timers are a millisecond apart.
#[derive(Debug)]
pub(super) struct Pacer {
    pub(super) due: mpsc::Receiver<Due>,
    thread: JoinHandle<()>,
}

impl Pacer {
    pub(super) fn start(
        plan: Plan,
        start: Instant,
        ends: CancellationToken,
    ) -> std::io::Result<Self> {
        let (due_in, due) = mpsc::channel(DUE_MAX);
        let thread = thread::Builder::new()
            .name("pacer".to_owned())
            .spawn(move || {
                for due in plan {
                    let at = start + due.at;
                    loop {
                        if ends.is_cancelled() {
                            return;
                        }
                        let left = at.saturating_duration_since(Instant::now());
                        if left.is_zero() {
                            break;
                        }
                        // Not longer, so that an end is seen.
                        thread::park_timeout(left.min(std::time::Duration::from_millis(100)));
                    }
                    // A full queue waits: it makes what follows late, which is measured.
                    if due_in.blocking_send(due).is_err() {
                        return;
                    }
                }
            })?;
        Ok(Self { due, thread })
    }

    pub(super) fn join(self) {
        drop(self.due);
        if let Err(panic) = self.thread.join() {
            std::panic::resume_unwind(panic);
        }
    }
}
