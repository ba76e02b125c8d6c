//! How each check came out comes in; lines, their count and the outcome of all go out. Pure.

use std::time::Duration;

use serde_json::json;

use crate::failure::{Exit, Failure, harmless};

/// Most characters of a reason.
const WHY_MAX: usize = 300;

/// How a check came out, and why.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Outcome {
    Ok(String),
    Failed(String),
    /// What it needs is not there.
    Skipped(String),
}

impl From<Result<String, String>> for Outcome {
    fn from(result: Result<String, String>) -> Self {
        match result {
            Ok(found) => Self::Ok(found),
            Err(why) => Self::Failed(why),
        }
    }
}

/// One check that was made.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) outcome: Outcome,
    pub(super) took: Duration,
}

impl Finding {
    pub(super) fn line(&self) -> String {
        let (word, why) = match &self.outcome {
            Outcome::Ok(why) => ("ok", why),
            Outcome::Failed(why) => ("FAILED", why),
            Outcome::Skipped(why) => ("skipped", why),
        };
        let took = format!("{:.1} ms", ms(self.took));
        let line = format!("{word:<9}{:<16}{took:>12}  {}", self.check, short(why));
        format!("{}\n", line.trim_end())
    }

    pub(super) fn json(&self) -> String {
        let (outcome, why) = match &self.outcome {
            Outcome::Ok(why) => ("ok", why),
            Outcome::Failed(why) => ("failed", why),
            Outcome::Skipped(why) => ("skipped", why),
        };
        let (check, took_ms) = (self.check, ms(self.took));
        let line =
            json!({"check": check, "outcome": outcome, "took_ms": took_ms, "why": short(why)});
        format!("{line}\n")
    }
}

/// How many checks came out how.
#[derive(Debug, Default)]
pub(super) struct Tally {
    passed: usize,
    failed: Vec<&'static str>,
    skipped: usize,
}

impl Tally {
    pub(super) fn count(&mut self, finding: &Finding) {
        match finding.outcome {
            Outcome::Ok(_) => self.passed += 1,
            Outcome::Failed(_) => self.failed.push(finding.check),
            Outcome::Skipped(_) => self.skipped += 1,
        }
    }

    pub(super) fn line(&self, took: Duration) -> String {
        let mut line = format!("{} of {} checks passed", self.passed, self.all());
        for (count, how) in [(self.failed.len(), "failed"), (self.skipped, "skipped")] {
            if count > 0 {
                line.push_str(&format!(", {count} {how}"));
            }
        }
        format!("{line} in {} ms\n", took.as_millis())
    }

    pub(super) fn json(&self, took: Duration) -> String {
        let (passed, failed, skipped) = (self.passed, self.failed.len(), self.skipped);
        let line =
            json!({"passed": passed, "failed": failed, "skipped": skipped, "took_ms": ms(took)});
        format!("{line}\n")
    }

    pub(super) fn outcome(&self) -> Result<(), Failure> {
        if self.failed.is_empty() {
            return Ok(());
        }
        let what = format!("{} of {} checks failed", self.failed.len(), self.all());
        let cause = self.failed.join(", ");
        let help = "each line that says FAILED says why; for a code in it `lift explain CODE` says what is behind it";
        Err(Failure::new(Exit::Failed, what, cause, help))
    }

    fn all(&self) -> usize {
        self.passed + self.failed.len() + self.skipped
    }
}

/// Milliseconds to a tenth.
fn ms(took: Duration) -> f64 {
    (took.as_secs_f64() * 10_000.0).round() / 10.0
}

/// A reason that fits a line, whatever a server wrote into it.
fn short(why: &str) -> String {
    let shown: String = why.chars().take(WHY_MAX).collect();
    harmless(&shown)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn finding(check: &'static str, outcome: Outcome) -> Finding {
        let took = Duration::from_micros(12_340);
        Finding {
            check,
            outcome,
            took,
        }
    }

    #[test]
    fn a_finding_is_one_line_whatever_the_server_wrote() {
        for (outcome, line, json) in [
            (
                Outcome::Ok(String::new()),
                "ok       ping                 12.3 ms\n",
                r#"{"check":"ping","outcome":"ok","took_ms":12.3,"why":""}"#,
            ),
            (
                Outcome::Failed("no\n\u{1b}".to_owned()),
                "FAILED   ping                 12.3 ms  no\\u000a\\u001b\n",
                r#"{"check":"ping","outcome":"failed","took_ms":12.3,"why":"no\\u000a\\u001b"}"#,
            ),
            (
                Outcome::Skipped("x".repeat(301)),
                &format!(
                    "skipped  ping                 12.3 ms  {}\n",
                    "x".repeat(300)
                ),
                &format!(
                    r#"{{"check":"ping","outcome":"skipped","took_ms":12.3,"why":"{}"}}"#,
                    "x".repeat(300)
                ),
            ),
        ] {
            let finding = finding("ping", outcome);
            assert_eq!(finding.line(), line);
            assert_eq!(finding.json(), format!("{json}\n"));
        }
    }

    #[test]
    fn the_verdict_counts_every_check_and_one_that_failed_decides() {
        let (ok, failed, skipped) = (
            Outcome::Ok(String::new()),
            Outcome::Failed(String::new()),
            Outcome::Skipped(String::new()),
        );
        for (outcomes, line, exit) in [
            (
                vec![ok.clone(), ok.clone()],
                "2 of 2 checks passed in 812 ms\n",
                None,
            ),
            (
                vec![ok.clone(), skipped.clone()],
                "1 of 2 checks passed, 1 skipped in 812 ms\n",
                None,
            ),
            (
                vec![failed.clone(), ok, failed, skipped],
                "1 of 4 checks passed, 2 failed, 1 skipped in 812 ms\n",
                Some(Exit::Failed),
            ),
        ] {
            let mut tally = Tally::default();
            for outcome in outcomes {
                tally.count(&finding("echo", outcome));
            }
            assert_eq!(tally.line(Duration::from_millis(812)), line);
            assert_eq!(tally.outcome().err().map(|failure| failure.exit), exit);
        }
    }
}
