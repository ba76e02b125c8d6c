//! What happened in a run, as the checks need it: facts come in and are kept in order.

use std::sync::{Arc, Mutex, MutexGuard};

use lift::task::record::{Key, Terminal};
use serde_json::Value;
use tokio::time::Instant;

use crate::plan::Plan;

/// A message about a request that reached a connection.
#[derive(Debug, Clone)]
pub(crate) struct Posted {
    pub(crate) connection: String,
    pub(crate) message: Value,
}

/// A request that a client was told of by an acknowledgment.
#[derive(Debug, Clone)]
pub(crate) struct Acknowledged {
    pub(crate) client: usize,
    pub(crate) key: String,
    pub(crate) request_id: String,
}

#[derive(Debug, Default)]
pub(crate) struct Facts {
    pub(crate) posted: Vec<Posted>,
    pub(crate) acknowledged: Vec<Acknowledged>,
    /// Every time that a record went from not ended to ended.
    pub(crate) ended: Vec<(Key, Terminal)>,
    /// Requests whose effect happened, once for each time.
    pub(crate) effects: Vec<String>,
    /// How often a handler of a request failed and asked for another attempt.
    pub(crate) failures: Vec<String>,
    /// Progress as `request.get` showed it: request, seq, percentage, message.
    pub(crate) shown: Vec<(String, u64, f64, String)>,
    pub(crate) cancels: Vec<String>,
    /// Connection, request and `after_seq` of every resume that was answered.
    pub(crate) resumed: Vec<(String, String, u64)>,
    /// Connection and request of every post that failed.
    pub(crate) unposted: Vec<(String, String)>,
    /// Connection and request of which a client, though attached, asked again in the end.
    pub(crate) doubted: Vec<(String, String)>,
    pub(crate) violations: Vec<String>,
    log: Vec<String>,
}

/// The facts of one run. Clones share them.
#[derive(Debug, Clone)]
pub(crate) struct Ledger {
    facts: Arc<Mutex<Facts>>,
    began: Instant,
    is_logged: bool,
}

impl Ledger {
    pub(crate) fn new(plan: &Plan) -> Self {
        Self {
            facts: Arc::default(),
            began: Instant::now(),
            is_logged: plan.is_logged,
        }
    }

    pub(crate) fn facts(&self) -> MutexGuard<'_, Facts> {
        self.facts.lock().unwrap()
    }

    pub(crate) fn say(&self, line: impl FnOnce() -> String) {
        if !self.is_logged {
            return;
        }
        let at = self.began.elapsed();
        let line = format!("{:9.3} {}", at.as_secs_f64(), line());
        self.facts().log.push(line);
    }

    pub(crate) fn broken(&self, violation: String) {
        self.facts().violations.push(violation);
    }

    pub(crate) fn take_log(&self) -> Vec<String> {
        std::mem::take(&mut self.facts().log)
    }
}
