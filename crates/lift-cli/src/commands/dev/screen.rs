//! In: what happens in the functions and the gateway. Out: lines, for a person or a program.

use lift_dev::{
    feed::Entry,
    server::{Dev, Endpoint},
};
use tokio::sync::mpsc;

use crate::{
    args::dev::DevArgs,
    failure::Failure,
    output::{print, say},
};

/// Who reads.
#[derive(Debug, Clone, Copy)]
pub(super) struct Screen {
    pub(super) json: bool,
    pub(super) quiet: bool,
}

impl Screen {
    /// Says where clients connect, and which rules are relaxed.
    pub(super) fn begin(self, args: &DevArgs, running: &Dev) -> Result<(), Failure> {
        for endpoint in running.endpoints() {
            if self.json {
                print(&format!("{}\n", serde_json::json!(endpoint)))?;
            } else {
                let Endpoint {
                    api, url, tls_url, ..
                } = endpoint;
                say(&format!("{api}  {url}  {tls_url}"));
            }
        }
        if self.quiet || self.json {
            return Ok(());
        }
        let relaxed: Vec<_> = args.relax.iter().map(|quota| quota.name()).collect();
        let relaxed = if relaxed.is_empty() {
            "all in force".to_owned()
        } else {
            format!("without {}", relaxed.join(", "))
        };
        say(&format!(
            "quotas of API Gateway: {relaxed}; time × {}",
            args.time_scale
        ));
        let faults: Vec<_> = args.faults.iter().map(ToString::to_string).collect();
        if !faults.is_empty() {
            say(&format!(
                "faults: {}; seed {}",
                faults.join(", "),
                args.seed
            ));
        }
        say(&format!("certificate: {}", running.certificate().display()));
        Ok(())
    }

    pub(super) async fn follow(self, mut entries: mpsc::Receiver<Entry>) {
        while let Some(entry) = entries.recv().await {
            if self.quiet {
                continue;
            }
            if self.json {
                let line = serde_json::to_string(&entry).expect("string keys and plain values");
                // Whoever read it is gone; the functions run on.
                _ = print(&format!("{line}\n"));
            } else {
                say(&line(&entry));
            }
        }
    }
}

fn line(entry: &Entry) -> String {
    match entry {
        Entry::Notice { text } => format!("· {text}"),
        Entry::Invocation {
            function,
            cause,
            outcome,
            took_us,
            cold_us,
            ..
        } => {
            let cold = cold_us.map(|us| format!("  (start {})", milliseconds(us)));
            let cold = cold.unwrap_or_default();
            let took = milliseconds(*took_us);
            format!("{cause:<12} {function:<20} {outcome}  {took}{cold}")
        }
        Entry::Log { function, line } => format!("{function} | {line}"),
        Entry::Management {
            method,
            connection,
            bytes,
            status,
            ..
        } => format!("{method:<12} @connections/{connection}  {status}  {bytes} bytes"),
        Entry::Connected { api, status } => format!("{:<12} {api}  {status}", "upgrade"),
        Entry::Batch {
            mapping,
            records,
            outcome,
        } => format!(
            "{:<12} {mapping:<20} {outcome}  {records} records",
            "stream"
        ),
        _ => String::new(),
    }
}

fn milliseconds(us: impl std::borrow::Borrow<u64>) -> String {
    let us = *us.borrow();
    format!("{}.{} ms", us / 1_000, us % 1_000 / 100)
}
