//! A URL and a token come in; whether a deployment of Streamer works goes out, a line a check.

mod finding;
mod judge;
mod course;
mod wire;
mod handshake;
mod requests;

use tokio::time::Instant;

use self::{
    finding::{Finding, Outcome, Tally},
    requests::Requests,
    wire::Wire,
};
use super::ws::Signals;
use crate::{
    config::{Form, Smoke},
    failure::{Exit, Failure},
    output::{now_ms, print},
};

pub(crate) fn run(config: Smoke) -> Result<(), Failure> {
    let no_system = |error: std::io::Error| {
        let help = "the system refused it; check the limits of this process";
        Failure::file(Exit::Failed, "`lift smoke` cannot start", &error, help)
    };
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(no_system)?;
    let outcome = runtime.block_on(async {
        let mut signals = Signals::new().map_err(no_system)?;
        tokio::select! {
            exit = signals.next() => Err(Failure::signal(exit, "the checks after the last line were not made")),
            outcome = checks(config) => outcome,
        }
    });
    // A token file that is still being read must not hold the process.
    runtime.shutdown_background();
    outcome
}

async fn checks(config: Smoke) -> Result<(), Failure> {
    let mut report = Report::new(config.form);
    // A server that is not there is one error, not one for each check.
    let refused = handshake::without_token(&config).await?;
    report.note("no token", refused)?;
    let refused = handshake::with_garbled_token(&config).await;
    report.note("garbled token", refused)?;
    let mut wire = Wire::new(&config);
    let connected = handshake::with_token(&mut wire).await;
    report.note("connect", connected)?;
    for (check, question) in judge::QUESTIONS {
        let outcome = wire.judged(question).await;
        report.note(check, outcome)?;
    }
    let mut requests = Requests::new(&config, &run_id(now_ms()));
    let outcome = requests.process(&mut wire).await;
    report.note("processing", outcome)?;
    report.note("request.get", requests.get(&mut wire).await)?;
    report.note("request.list", requests.list(&mut wire).await)?;
    report.note("resume", requests.resume(&config).await)?;
    report.note("idempotency", requests.repeat(&mut wire).await)?;
    report.note("not found", wire.judged(judge::NO_REQUEST).await)?;
    report.note("cancel ended", requests.cancel(&mut wire).await)?;
    wire.close().await;
    report.end()
}

/// What sets this run's keys apart from those of other runs.
fn run_id(now_ms: u64) -> String {
    format!("{now_ms:x}-{:x}", std::process::id())
}

/// Prints each finding when it is there.
struct Report {
    form: Form,
    tally: Tally,
    begun: Instant,
    /// When the last check was over.
    last: Instant,
}

impl Report {
    fn new(form: Form) -> Self {
        let now = Instant::now();
        Self {
            form,
            tally: Tally::default(),
            begun: now,
            last: now,
        }
    }

    fn note(&mut self, check: &'static str, outcome: Outcome) -> Result<(), Failure> {
        let now = Instant::now();
        let took = now - std::mem::replace(&mut self.last, now);
        let finding = Finding {
            check,
            outcome,
            took,
        };
        self.tally.count(&finding);
        print(&match self.form {
            Form::Text => finding.line(),
            Form::Json => finding.json(),
        })
    }

    fn end(self) -> Result<(), Failure> {
        let took = self.begun.elapsed();
        print(&match self.form {
            Form::Text => self.tally.line(took),
            Form::Json => self.tally.json(took),
        })?;
        self.tally.outcome()
    }
}
