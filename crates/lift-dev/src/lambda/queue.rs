//! In: `Event` invocations. Out: their tries as Lambda makes them, and a record of those given up.
//!
//! Source: "How Lambda handles errors and retries with asynchronous invocation" and "Capturing records of
//! Lambda asynchronous invocations".

use std::fs;
use std::io::{self, Write as _};
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use serde_json::{Value, json};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};
use tokio::time::Instant;

use super::failure::{EVENT_BYTES_MAX, EVENTS_MAX, Failure, Refused};
use super::host::{Host, Known, Request};
use super::{Call, Functions};
use crate::plan::Asynchronous;

/// Bytes of one function's events that wait or run, in KiB.
const KIB_MAX: u32 = 64 * 1024;

/// Room for one function's events.
#[derive(Debug)]
pub(super) struct Room {
    events: Arc<Semaphore>,
    kib: Arc<Semaphore>,
}

impl Default for Room {
    fn default() -> Self {
        Self {
            events: Arc::new(Semaphore::new(EVENTS_MAX)),
            kib: Arc::new(Semaphore::new(
                usize::try_from(KIB_MAX).unwrap_or(usize::MAX),
            )),
        }
    }
}

impl Room {
    fn take(&self, bytes: usize) -> Option<[OwnedSemaphorePermit; 2]> {
        let kib = u32::try_from(bytes.div_ceil(1024)).unwrap_or(KIB_MAX);
        let event = Arc::clone(&self.events).try_acquire_owned().ok()?;
        let kib = Arc::clone(&self.kib).try_acquire_many_owned(kib).ok()?;
        Some([event, kib])
    }
}

impl Functions {
    /// Queues an invocation and gives back its request id; nobody waits for the answer.
    ///
    /// # Errors
    /// There is no such function, the event is too large, or too many wait.
    pub fn enqueue(&self, call: Call) -> Result<String, Refused> {
        let host = &self.owner.host;
        let function = call.function.clone();
        let Some(index) = host.names.get(&function).copied() else {
            return Err(Refused::NotFound { name: function });
        };
        host.enqueue(index, host.request(call))
    }
}

impl Host {
    pub(super) fn enqueue(
        self: &Arc<Self>,
        index: usize,
        request: Request,
    ) -> Result<String, Refused> {
        let Some(known) = self.functions.get(index) else {
            return Err(Refused::ShuttingDown);
        };
        if self.closing.is_cancelled() || self.environments.is_closed() {
            return Err(Refused::ShuttingDown);
        }
        let bytes = request.payload.len();
        if bytes > EVENT_BYTES_MAX {
            return Err(Refused::TooLarge { bytes });
        }
        let room = known.room.take(bytes).ok_or_else(|| Refused::Full {
            function: known.function.name.clone(),
        })?;
        let request_id = request.request_id.clone();
        let host = Arc::clone(self);
        self.run(async move {
            host.try_event(index, request).await;
            drop(room);
        });
        Ok(request_id)
    }

    async fn try_event(self: Arc<Self>, index: usize, request: Request) {
        let Some(known) = self.functions.get(index) else {
            return;
        };
        let rules = &known.function.asynchronous;
        let (begun, speed) = (Instant::now(), self.settings.speed.get());
        let mut tried = Tried::default();
        let (why, last) = loop {
            let answer = self.start(index, request.clone()).await;
            let failure = match answer {
                Ok(Ok(_)) | Err(_) => return,
                Ok(Err(failure)) => failure,
            };
            match tried.failed(&failure, begun.elapsed() * speed, rules) {
                Step::Again(after) => tokio::time::sleep(after / speed).await,
                Step::GiveUp(why) => break (why, failure),
            }
        };
        let name = &known.function.name;
        self.feed
            .problem(format!("function `{name}`: an event is given up: {last}"));
        let Some(destination) = &rules.on_failure else {
            return;
        };
        let record = self.record(known, &request, &tried, why, &last);
        let path = file_of(&self.settings.failures, &destination.arn);
        let shown = path.display().to_string();
        let written = tokio::task::spawn_blocking(move || append(&path, &record)).await;
        if let Err(error) = written
            .map_err(io::Error::other)
            .and_then(|written| written)
        {
            self.feed
                .problem(format!("`{shown}` cannot be written: {error}"));
        }
    }

    /// The record as Lambda sends it to an on-failure destination.
    fn record(
        &self,
        known: &Known,
        request: &Request,
        tried: &Tried,
        why: &str,
        last: &Failure,
    ) -> Value {
        let json = |bytes: &Bytes| {
            let text = || Value::from(String::from_utf8_lossy(bytes).into_owned());
            serde_json::from_slice(bytes).unwrap_or_else(|_| text())
        };
        let mut record = json!({
            "version": "1.0",
            "timestamp": self.clock.timestamp(),
            "requestContext": {
                "requestId": request.request_id,
                "functionArn": format!("{}:$LATEST", known.arn),
                "condition": why,
                "approximateInvokeCount": tried.failures,
            },
            "requestPayload": json(&request.payload),
        });
        if last.is_the_functions()
            && let Some(record) = record.as_object_mut()
        {
            let context = json!({
                "statusCode": 200,
                "executedVersion": "$LATEST",
                "functionError": "Unhandled",
            });
            record.insert("responseContext".to_owned(), context);
            record.insert("responsePayload".to_owned(), json(&last.payload()));
        }
        record
    }
}

/// What became of an event so far.
#[derive(Debug, Default)]
struct Tried {
    failures: u32,
    throttles: u32,
}

#[derive(Debug, PartialEq, Eq)]
enum Step {
    Again(Duration),
    GiveUp(&'static str),
}

impl Tried {
    /// One and two minutes after failures of the function; 1 s, doubling to 5 min, where it could not be
    /// asked; never past the event's age.
    fn failed(&mut self, failure: &Failure, age: Duration, rules: &Asynchronous) -> Step {
        let wait = if failure.is_the_functions() {
            self.failures += 1;
            if self.failures > rules.retries_max {
                return Step::GiveUp("RetriesExhausted");
            }
            Duration::from_secs(60) * self.failures
        } else {
            self.throttles += 1;
            let doubled = 1_u64 << (self.throttles - 1).min(9);
            Duration::from_secs(doubled.min(5 * 60))
        };
        if age + wait > rules.age_max {
            Step::GiveUp("EventAgeExceeded")
        } else {
            Step::Again(wait)
        }
    }
}

/// `NAME.jsonl` of the queue, topic, function or bucket.
fn file_of(directory: &Path, arn: &str) -> PathBuf {
    let name = arn.rsplit([':', '/']).next().unwrap_or_default();
    let safe = |letter: char| {
        if letter.is_ascii_alphanumeric() || "-_.".contains(letter) {
            letter
        } else {
            '_'
        }
    };
    let name: String = name.chars().map(safe).collect();
    directory.join(format!("{name}.jsonl"))
}

fn append(path: &Path, record: &Value) -> io::Result<()> {
    if let Some(directory) = path.parent() {
        fs::create_dir_all(directory)?;
    }
    let mut options = fs::OpenOptions::new();
    let mut file = options.create(true).append(true).open(path)?;
    file.write_all(format!("{record}\n").as_bytes())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::lambda::Ceiling;

    #[test]
    fn an_event_is_tried_again_as_lambda_does() {
        let failed = Failure::ResponseTooLarge;
        let throttled = Failure::Throttled(Ceiling::Reserved);
        let seconds = Duration::from_secs;
        let short = Asynchronous {
            age_max: seconds(60),
            ..Asynchronous::default()
        };
        let none = Asynchronous {
            retries_max: 0,
            ..Asynchronous::default()
        };
        let usual = Asynchronous::default();
        let again = |after| Step::Again(seconds(after));
        let check = |rules: &Asynchronous, failures: &[(&Failure, u64)], expected: &[Step]| {
            let mut tried = Tried::default();
            let steps = failures.iter();
            let steps = steps.map(|(failure, age)| tried.failed(failure, seconds(*age), rules));
            assert_eq!(steps.collect::<Vec<_>>(), expected);
        };
        let exhausted = || Step::GiveUp("RetriesExhausted");
        let aged = || Step::GiveUp("EventAgeExceeded");
        check(
            &usual,
            &[(&failed, 0), (&failed, 60), (&failed, 180)],
            &[again(60), again(120), exhausted()],
        );
        check(&none, &[(&failed, 0)], &[exhausted()]);
        check(&short, &[(&failed, 1)], &[aged()]);
        check(
            &usual,
            &[(&throttled, 0), (&throttled, 1), (&failed, 3)],
            &[again(1), again(2), again(60)],
        );
        let hours = [(&throttled, 0); 12];
        let last = [
            again(1),
            again(2),
            again(4),
            again(8),
            again(16),
            again(32),
            again(64),
            again(128),
            again(256),
            again(300),
            again(300),
            again(300),
        ];
        check(&usual, &hours, &last);
        check(&usual, &[(&throttled, 6 * 60 * 60)], &[aged()]);
    }
}
