//! The generator's own use of the machine comes in, its share of the processors in each second of the run goes out.

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
    /// Seconds count from `start`, so that those of several processes are the same, and each is of a phase.
    pub(super) fn start(start: Instant) -> std::io::Result<Self> {
        let (stop, stopped) = mpsc::channel();
        let began = machine::own_cpu();
        let thread = thread::Builder::new()
            .name("watch".to_owned())
            .spawn(move || {
                let processors =
                    thread::available_parallelism().map_or(1, std::num::NonZeroUsize::get);
                let processors = u32::try_from(processors).map_or(1.0, f64::from);
                let (mut before, mut shares) = ((start, began), Vec::new());
                let mut look_at = start;
                loop {
                    let left = look_at.saturating_duration_since(Instant::now());
                    let ended = stopped.recv_timeout(left) != Err(RecvTimeoutError::Timeout);
                    let (now, used) = (Instant::now(), machine::own_cpu());
                    let wall = now.saturating_duration_since(before.0).as_secs_f64();
                    let seconds = nearest_second(now.saturating_duration_since(start));
                    // A look that came late is of all the seconds since the last; the start of a second says little.
                    if shares.len() < seconds {
                        let share = used.saturating_sub(before.1).as_secs_f64() / wall / processors;
                        shares.resize(seconds, share);
                    }
                    if ended {
                        return (shares, micros(used.saturating_sub(began)));
                    }
                    before = (now, used);
                    look_at = start + Duration::from_secs(1 + u64::try_from(seconds).unwrap_or(0));
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

fn nearest_second(passed: Duration) -> usize {
    let seconds = (passed + Duration::from_millis(500)).as_secs();
    usize::try_from(seconds).unwrap_or(usize::MAX)
}
