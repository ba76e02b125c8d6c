//! In: a client. Out: what it asks for and what it is told, as tests want it.

use std::sync::Arc;

use serde_json::{Value, json};
use streamer_client::Client;
use streamer_client::options::Terms;
use streamer_client::request::{Outcome, Output, Request, Submitted, Update};
use tokio::sync::broadcast::Receiver;
use tokio::time::timeout;

use crate::world::DEADLINE;

/// Rows of three kinds, and what their aggregate is.
pub(crate) fn rows(n: usize) -> (String, String) {
    let mut text = "id,kind,amount\n".to_owned();
    let mut sums = [(0, 0); 3];
    for id in 0..n {
        let (kind, amount) = (id % 3, id % 100);
        text.push_str(&format!("{id},{},{amount}\n", ["a", "b", "c"][kind]));
        sums[kind].0 += 1;
        sums[kind].1 += amount;
    }
    let mut out = "kind,n,sum\n".to_owned();
    for (kind, (count, sum)) in ["a", "b", "c"].iter().zip(sums) {
        out.push_str(&format!("{kind},{count},{sum}\n"));
    }
    (text, out)
}

/// So many rows, or those that `cargo x aws` wants.
pub(crate) fn many(n: usize) -> usize {
    let wanted = std::env::var("LAMBDA_ROWS").ok();
    wanted.map_or(n, |wanted| wanted.parse().unwrap())
}

pub(crate) fn aggregate(input: &str, output: &str) -> Value {
    let measures =
        json!([{"fn": "count", "as": "n"}, {"fn": "sum", "column": "amount", "as": "sum"}]);
    json!({
        "input": input,
        "operations": [{"op": "aggregate", "by": ["kind"], "measures": measures}],
        "output": {"name": output},
    })
}

pub(crate) async fn submitted(client: &Client, payload: &Value) -> Request {
    asked(client, "process_data", payload, Terms::default()).await
}

pub(crate) async fn asked(client: &Client, action: &str, payload: &Value, terms: Terms) -> Request {
    let submitted = client.submit(action, payload, terms);
    match timeout(DEADLINE, submitted).await.unwrap().unwrap() {
        Submitted::Accepted(request) => request,
        Submitted::Answered { data, .. } => panic!("answered at once: {data}"),
    }
}

pub(crate) async fn completed(request: &mut Request) -> Value {
    match timeout(DEADLINE, request.outcome()).await.unwrap().unwrap() {
        Outcome::Complete(Output::Inline(result)) => serde_json::from_str(result.get()).unwrap(),
        other => panic!("{other:?}"),
    }
}

pub(crate) async fn refused(client: &Client, payload: &Value) -> String {
    let submitted = client.submit("process_data", payload, Terms::default());
    match timeout(DEADLINE, submitted).await.unwrap() {
        Err(streamer_client::Error::Rejected(body)) => format!("{}", body.code),
        other => panic!("{other:?}"),
    }
}

/// The one end that a request has for its client; a second one fails.
pub(crate) async fn ended(request: &mut Request) -> Outcome {
    let mut end = None;
    let hearing = async {
        while let Some(update) = request.next().await {
            if let Update::Done(outcome) = update {
                assert!(end.is_none(), "{outcome:?} after {end:?}");
                end = Some(outcome);
            }
        }
    };
    timeout(DEADLINE, hearing).await.unwrap();
    end.unwrap()
}

/// What a client's connections bring, word for word.
pub(crate) struct Wire(Receiver<Arc<str>>, Vec<Value>);

impl Wire {
    pub(crate) fn of(client: &Client) -> Self {
        Self(client.tap(), Vec::new())
    }

    /// The messages so far that a request ended.
    pub(crate) fn ends(&mut self, request: &Request) -> Vec<Value> {
        while let Ok(text) = self.0.try_recv() {
            self.1.push(serde_json::from_str(&text).unwrap());
        }
        let id = request.id().to_string();
        let is_end = |message: &&Value| {
            let kind = message["type"].as_str().unwrap();
            message["request_id"] == id.as_str()
                && ["complete", "cancelled", "error"].contains(&kind)
        };
        self.1.iter().filter(is_end).cloned().collect()
    }
}

/// How often a request had been claimed when it ended so.
pub(crate) fn claims(end: &Value) -> u64 {
    end["seq"].as_u64().unwrap() / 1_000_000 + 1
}
