//! The generator's own use of the machine comes in, its share of the processors in each second goes out.

use std::{
    sync::mpsc::{self, RecvTimeoutError, Sender},
    thread::{self, JoinHandle},
    time::{Duration, Instant},
};

use crate::{diary::micros, machine};

/// A thread that looks once a second how much processor time this process has used.
#[derive(Debug)]
pub(super) struct Processor {
    stop: Sender<()>,
    thread: JoinHandle<(Vec<f64>, u64)>,
}

impl Processor {
    pub(super) fn start() -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let (begun, began) = (Instant::now(), machine::own_cpu());
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let processors =
                    thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
                let processors = u32::try_from(processors).map_or(1.0, f64::from);
                let (mut before, mut shares) = ((begun, began), Vec::new());
                loop {
                    let ended = stopped.recv_timeout(Duration::from_secs(1))
                        != Err(RecvTimeoutError::Timeout);
                    let used = machine::own_cpu();
                    let now = Instant::now();
                    let wall = now.saturating_duration_since(before.0).as_secs_f64();
                    // The rest of a second says little.
                    if wall > 0.5 {
                        shares
                            .push(used.saturating_sub(before.1).as_secs_f64() / wall / processors);
                        before = (now, used);
                    }
                    if ended {
                        return (shares, micros(used.saturating_sub(began)));
                    }
                }
            })?;
        Ok(Self { stop, thread })
    }

    pub(super) fn stop(self) -> (Vec<f64>, u64) {
        // A thread that has ended already is joined all the same.
        let _ = self.stop.send(());
        self.thread
            .join()
            .unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    }
}
