//! One durable request is asked for; whether it ran, is remembered, resumed and not run again goes out.

use std::time::Duration;

use serde::Deserialize;
use serde_json::{Value, json};
use streamer_client::{
    Client,
    protocol::{
        error::ErrorCode,
        message::{Complete, ServerMessage},
        request::{ClientMessage, List},
        view::{Cancelling, Page, RequestId, RequestView, State},
    },
};
use tokio::time::{Instant, timeout_at};

use super::{
    course::{Course, Fault, same_end},
    finding::Outcome,
    judge::{refused, response, unlike},
    wire::{Silence, Wire},
};
use crate::{config::Smoke, failure::chain};

/// Where the record is made; always the same, because a collection is kept when its last record goes.
const COLLECTION: &str = "lift-smoke";
/// Pages of requests that are looked through: others of this user may be newer.
const PAGES_MAX: usize = 5;

/// The request of this run.
pub(super) struct Requests {
    action: &'static str,
    payload: Value,
    key: String,
    data_set: Option<String>,
    course: Course,
}

impl Requests {
    pub(super) fn new(config: &Smoke, run: &str) -> Self {
        let key = format!("lift-smoke-{run}");
        let (action, payload) = match &config.data_set {
            None => ("bulk_operation", change_and_undo(&key)),
            Some(name) => ("process_data", count_rows(name)),
        };
        Self {
            action,
            payload,
            key,
            data_set: config.data_set.clone(),
            course: Course::default(),
        }
    }

    /// Asks for the request and follows it to its end.
    pub(super) async fn process(&mut self, wire: &mut Wire) -> Outcome {
        let (id, deadline, limit) = (wire.id(), wire.deadline(), wire.limit());
        if let Err(silence) = wire.send(self.text(&id), deadline).await {
            return silence.outcome(limit);
        }
        while !self.course.is_over() {
            if let Some(outcome) = self.hear(wire, &id, deadline).await {
                return outcome;
            }
        }
        // What comes twice would come before the answer to this.
        let ping = wire.id();
        let text = format!(r#"{{"id":"{ping}","action":"ping"}}"#);
        if let Err(silence) = wire.send(text, deadline).await {
            return silence.outcome(limit);
        }
        loop {
            let said = match wire.next(deadline).await {
                Ok(ServerMessage::Pong(_)) => break,
                Ok(said) => said,
                Err(silence) => return silence.outcome(limit),
            };
            if said.id() == Some(&id)
                && let Err(fault) = self.course.hear(&said)
            {
                return self.faulty(fault);
            }
        }
        self.result()
    }

    /// Whether the request is remembered as it ended.
    pub(super) async fn get(&self, wire: &mut Wire) -> Outcome {
        let request_id = match self.accepted() {
            Ok(request_id) => request_id,
            Err(skipped) => return skipped,
        };
        judged(wire, ClientMessage::get(request_id), |view: RequestView| {
            let state = view.state.as_str();
            if view.request_id != *request_id {
                Err(format!("it is of another request, {}", view.request_id))
            } else if view.state == State::Completed {
                Ok(state.to_owned())
            } else {
                Err(format!("it is {state}, not completed"))
            }
        })
        .await
    }

    /// Whether the request is among the newest.
    pub(super) async fn list(&self, wire: &mut Wire) -> Outcome {
        let request_id = match self.accepted() {
            Ok(request_id) => request_id,
            Err(skipped) => return skipped,
        };
        let mut list = List {
            limit: Some(100),
            ..List::default()
        };
        for _ in 0..PAGES_MAX {
            let page: Page = match asked(wire, ClientMessage::list(&list)).await {
                Ok(page) => page,
                Err(outcome) => return outcome,
            };
            let found = page.requests.iter().find(|r| r.request_id == *request_id);
            match (found, page.cursor) {
                (Some(view), _) => return Outcome::Ok(view.state.as_str().to_owned()),
                (None, Some(cursor)) => list.cursor = Some(cursor),
                (None, None) => break,
            }
        }
        Outcome::Failed(format!("{request_id} is not in it"))
    }

    /// Whether a client that lost its connection is told the end again.
    pub(super) async fn resume(&self, config: &Smoke) -> Outcome {
        let (request_id, end) = match (self.accepted(), &self.course.end) {
            (Ok(request_id), Some(end)) => (request_id, end),
            (Err(skipped), _) => return skipped,
            (Ok(_), None) => return Outcome::Skipped("the request has no end".to_owned()),
        };
        let deadline = Instant::now() + config.limit;
        match timeout_at(deadline, resumed(config, request_id, end)).await {
            Ok(outcome) => outcome.into(),
            Err(_elapsed) => {
                Outcome::Failed(format!("its end was not told again in {:?}", config.limit))
            }
        }
    }

    /// Whether the same key is the same request.
    pub(super) async fn repeat(&self, wire: &mut Wire) -> Outcome {
        let request_id = match self.accepted() {
            Ok(request_id) => request_id,
            Err(skipped) => return skipped,
        };
        let id = wire.id();
        match wire.ask(&id, self.text(&id)).await {
            Err(silence) => silence.outcome(wire.limit()),
            Ok(ServerMessage::Acknowledgment(said)) if said.request_id != *request_id => {
                Outcome::Failed(format!("it is another request, {}", said.request_id))
            }
            Ok(ServerMessage::Acknowledgment(said)) if said.duplicate => {
                Outcome::Ok("the same request again".to_owned())
            }
            Ok(ServerMessage::Acknowledgment(_)) => {
                Outcome::Failed("the same request, but not said to be a duplicate".to_owned())
            }
            Ok(other) => Outcome::Failed(unlike("acknowledgment", &other)),
        }
    }

    /// Whether what has ended is left as it is.
    pub(super) async fn cancel(&self, wire: &mut Wire) -> Outcome {
        let request_id = match (self.accepted(), &self.course.end) {
            (Ok(request_id), Some(_)) => request_id,
            (Err(skipped), _) => return skipped,
            (Ok(_), None) => return Outcome::Skipped("the request has no end".to_owned()),
        };
        judged(
            wire,
            ClientMessage::cancel(request_id),
            |said: Cancelling| {
                let state = said.state.as_str();
                if said.state == State::Completed && !said.cancel_requested {
                    Ok(format!("left {state}"))
                } else {
                    let asked = said.cancel_requested;
                    Err(format!("it is {state}, `cancel_requested` is {asked}"))
                }
            },
        )
        .await
    }

    /// Hears one message; an outcome ends the check.
    async fn hear(&mut self, wire: &mut Wire, id: &str, deadline: Instant) -> Option<Outcome> {
        let said = match wire.next(deadline).await {
            Ok(said) => said,
            Err(Silence::Late) => {
                let (so_far, limit) = (self.course.so_far(), wire.limit());
                return Some(Outcome::Failed(format!("{so_far}, in {limit:?}")));
            }
            Err(silence) => return Some(silence.outcome(wire.limit())),
        };
        if !super::wire::is_about(&said, id) {
            return None;
        }
        let fault = self.course.hear(&said).err()?;
        Some(self.faulty(fault))
    }

    fn faulty(&self, fault: Fault) -> Outcome {
        match fault {
            Fault::Broken(why) => Outcome::Failed(why),
            Fault::Refused(error)
                if error.code == ErrorCode::UnknownAction && self.data_set.is_none() =>
            {
                let action = self.action;
                Outcome::Skipped(format!(
                    "there is no `{action}` here: name an object with --data-set"
                ))
            }
            Fault::Refused(error) if error.code == ErrorCode::Conflict => Outcome::Failed(format!(
                "{}; another run for this tenant may be writing it",
                refused(&error)
            )),
            Fault::Refused(error) => Outcome::Failed(refused(&error)),
        }
    }

    /// Whether the request did what it should.
    fn result(&self) -> Outcome {
        #[derive(Deserialize)]
        struct Changes {
            created: u64,
            deleted: u64,
        }
        #[derive(Deserialize)]
        struct Rows {
            rows_in: u64,
        }
        let result = self.course.end.as_ref().and_then(|end| end.result.as_ref());
        let text = result.map_or("null", |result| result.get());
        let found = if self.data_set.is_none() {
            let changes = serde_json::from_str(text).ok();
            changes
                .filter(|Changes { created, deleted }| (*created, *deleted) == (1, 1))
                .map(|_| "one record made and deleted".to_owned())
        } else {
            let rows = serde_json::from_str(text).ok();
            rows.map(|Rows { rows_in }| format!("{rows_in} rows read"))
        };
        let (action, news) = (self.action, self.course.progress);
        match found {
            Some(found) => Outcome::Ok(format!(
                "`{action}` accepted, complete once (progress heard: {news}): {found}"
            )),
            None => Outcome::Failed(format!("the result of `{action}` is `{text}`")),
        }
    }

    fn text(&self, id: &str) -> String {
        let (action, payload, key) = (self.action, &self.payload, &self.key);
        json!({"id": id, "action": action, "payload": payload, "idempotency_key": key}).to_string()
    }

    /// The request, or why what asks for it is skipped.
    fn accepted(&self) -> Result<&RequestId, Outcome> {
        let accepted = self.course.accepted.as_ref();
        accepted.ok_or_else(|| Outcome::Skipped("no request was accepted".to_owned()))
    }
}

/// What leaves no record behind.
fn change_and_undo(key: &str) -> Value {
    json!({
        "collection": COLLECTION,
        "items": [
            {"op": "create", "key": key, "record": {"made_by": "lift smoke"}},
            {"op": "delete", "key": key},
        ],
        "output": {"name": "lift-smoke.ndjson", "overwrite": true},
    })
}

/// What reads any data set, whatever its columns.
fn count_rows(name: &str) -> Value {
    json!({
        "input": name,
        "operations": [{"op": "aggregate", "by": [], "measures": [{"fn": "count", "as": "rows"}]}],
        "output": {"name": "lift-smoke.csv", "overwrite": true},
    })
}

/// The answer to a control action.
async fn asked<T: serde::de::DeserializeOwned>(
    wire: &mut Wire,
    message: ClientMessage,
) -> Result<T, Outcome> {
    let id = wire.id();
    let text = serde_json::to_string(&message.with_id(id.clone()));
    let text = text.map_err(|error| Outcome::Failed(chain(&error)))?;
    let answer = wire.ask(&id, text).await;
    let answer = answer.map_err(|silence| silence.outcome(wire.limit()))?;
    let data = response(&answer).map_err(Outcome::Failed)?;
    serde_json::from_str(data).map_err(|error| Outcome::Failed(format!("`{data}`: {error}")))
}

async fn judged<T: serde::de::DeserializeOwned>(
    wire: &mut Wire,
    message: ClientMessage,
    judge: impl FnOnce(T) -> Result<String, String>,
) -> Outcome {
    match asked(wire, message).await {
        Ok(answer) => judge(answer).into(),
        Err(outcome) => outcome,
    }
}

/// The end as a second connection learns it after it was cut.
async fn resumed(config: &Smoke, request_id: &RequestId, end: &Complete) -> Result<String, String> {
    let options = config.options.clone().patience(Duration::ZERO);
    let client = Client::connect(options)
        .await
        .map_err(|error| chain(&error))?;
    client.cut().await;
    let followed = client.resume(request_id, 0).await;
    let mut request = followed.map_err(|error| chain(&error))?;
    let outcome = request.outcome().await.map_err(|error| chain(&error))?;
    client.close().await;
    same_end(end, &outcome)
}
