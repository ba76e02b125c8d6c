//! One client under fire: it submits, loses its connection, comes back, resumes, and writes all down.

use std::time::Duration;

use serde_json::{Value, json};
use tokio::sync::watch;
use tokio_util::sync::CancellationToken;

use crate::ledger::Ledger;
use crate::support::connection::Connection;
use crate::support::orders;

/// Requests of one client that have not ended.
const OPEN_MAX: usize = 3;
const AWAY: Duration = Duration::from_millis(20);

/// What a client is given.
pub(crate) struct Client {
    pub(crate) name: String,
    pub(crate) address: String,
    pub(crate) token: String,
    /// No more submissions once it is cancelled.
    pub(crate) enough: CancellationToken,
    /// Counts acknowledgments, so that kills come under load.
    pub(crate) acknowledged: watch::Sender<u64>,
}

/// A message that was sent and not answered.
struct Pending {
    message: Value,
    output: String,
}

impl Client {
    /// Runs until `enough`, and until every acknowledged request has ended.
    pub(crate) async fn run(self) -> Ledger {
        let (mut ledger, mut made) = (Ledger::default(), 0);
        let mut pending: Option<Pending> = None;
        loop {
            if self.enough.is_cancelled() && pending.is_none() && ledger.open().is_empty() {
                return ledger;
            }
            match Connection::open(&self.address, &self.token).await {
                Ok(connection) => {
                    self.converse(connection, &mut ledger, &mut pending, &mut made)
                        .await
                }
                Err(_away) => tokio::time::sleep(AWAY).await,
            }
        }
    }

    fn next(&self, made: &mut u32) -> Pending {
        *made += 1;
        let output = format!("{}-{made}.csv", self.name);
        let mut message = json!({
            "id": format!("{}-{made}", self.name),
            "action": "process_data",
            "payload": orders::payload(if made.is_multiple_of(3) { "large.csv" } else { "small.csv" }, &output),
        });
        if made.is_multiple_of(2) {
            message["idempotency_key"] = json!(format!("{}-{made}", self.name));
        }
        Pending { message, output }
    }

    /// Talks until the connection is gone, or all is done.
    async fn converse(
        &self,
        mut connection: Connection,
        ledger: &mut Ledger,
        pending: &mut Option<Pending>,
        made: &mut u32,
    ) {
        let open = ledger.open();
        if !open.is_empty() {
            let requests: Vec<Value> = open
                .iter()
                .map(|(request, seq)| json!({"request_id": request, "after_seq": seq}))
                .collect();
            let payload = json!({"requests": requests});
            connection
                .send(&json!({"id": "resume", "action": "request.resume", "payload": payload}))
                .await;
        }
        // Without a key nobody knows what became of it: sending it again could do the work twice.
        *pending = pending
            .take()
            .filter(|pending| !pending.message["idempotency_key"].is_null());
        if let Some(pending) = pending {
            connection.send(&pending.message).await;
        }
        loop {
            if pending.is_none() && !self.enough.is_cancelled() && ledger.open().len() < OPEN_MAX {
                let next = pending.insert(self.next(made));
                connection.send(&next.message).await;
            }
            if self.enough.is_cancelled() && pending.is_none() && ledger.open().is_empty() {
                return;
            }
            let text = tokio::select! {
                text = connection.try_text() => text,
                () = self.enough.cancelled(), if pending.is_none() && ledger.open().is_empty() => return,
            };
            let Some(text) = text else { return };
            self.told(serde_json::from_str(&text).unwrap(), ledger, pending);
        }
    }

    fn told(&self, message: Value, ledger: &mut Ledger, pending: &mut Option<Pending>) {
        match message["type"].as_str().unwrap() {
            "response" => {
                for one in message["data"]["requests"].as_array().unwrap() {
                    assert_eq!(
                        one["recovered"], true,
                        "an acknowledged request is lost: {message}"
                    );
                }
            }
            "acknowledgment" => {
                let answered = pending.take_if(|pending| pending.message["id"] == message["id"]);
                let answered = answered.unwrap_or_else(|| panic!("answers nothing: {message}"));
                let key = answered.message["idempotency_key"].as_str();
                ledger.acknowledge(&message, key, &answered.output);
                self.acknowledged.send_modify(|count| *count += 1);
            }
            "progress" | "complete" => ledger.enter(message),
            _ => panic!("{}: {message}", self.name),
        }
    }
}
