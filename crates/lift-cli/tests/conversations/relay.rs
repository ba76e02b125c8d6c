//! In: what puppets report through the relay. Out: the same to a conversation, and to them what they do.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use http::Uri;
use serde::Deserialize;
use serde_json::Value;
use tokio::sync::mpsc;
use tokio::task::JoinSet;

use crate::client::Client;
use crate::names;
use crate::reach::{Endpoint, Reach, authority};
use crate::script::{Headers, Received, Sent};

/// Time after which the relay hears something, so that it does not close an idle connection.
const KEEPS_ALIVE: Duration = Duration::from_secs(4 * 60);
/// Reports that a conversation has not asked about.
const REPORTS_MAX: usize = 64;

/// What the functions of one conversation do.
#[derive(Clone, Debug)]
pub(crate) struct Behaviours {
    pub(crate) by_function: HashMap<String, String>,
    /// The API's id as the script has it.
    pub(crate) api_id: String,
}

/// An invocation.
#[derive(Debug)]
pub(crate) struct Report {
    pub(crate) function: String,
    pub(crate) event: Value,
    /// Who waits for what to do, where it was not told yet.
    pub(crate) held: Option<String>,
}

/// A connection that a conversation's events come through.
pub(crate) struct Relay {
    /// What the client names in its `User-Agent`.
    pub(crate) id: String,
    pub(crate) reports: mpsc::Receiver<Report>,
    _pump: JoinSet<()>,
}

#[derive(Deserialize)]
struct Part {
    from: String,
    left: usize,
    part: String,
}

#[derive(Deserialize)]
struct Told {
    function: String,
    event: Value,
}

struct Pump {
    reach: Arc<Reach>,
    management: Uri,
    behaviours: Behaviours,
    reports: mpsc::Sender<Report>,
    parts: HashMap<String, String>,
}

impl Relay {
    pub(crate) async fn open(
        reach: Arc<Reach>,
        relay: &Endpoint,
        behaviours: Behaviours,
    ) -> Result<Self, String> {
        let opening = async {
            let stream = reach.open(&relay.clients).await?;
            let (host, path) = (authority(&relay.clients), relay.clients.path());
            let mut client = Client::connect(stream, host, path, &Headers::new()).await?;
            let status = client.response().await?.status;
            if status != 101 {
                return Err(std::io::Error::other(format!("it answers {status}")));
            }
            // No route takes this, and the answer to that names the connection.
            client.send(question()).await?;
            let answer = client.received().await?;
            Ok((client, answer))
        };
        let opened = opening.await;
        let (client, answer) = opened.map_err(|error| format!("the relay: {error}"))?;
        let Received::Text(answer) = answer else {
            return Err(format!("the relay: {answer:?}"));
        };
        let answer: Value = serde_json::from_str(&answer).unwrap_or_default();
        let id = answer["connectionId"]
            .as_str()
            .unwrap_or_default()
            .to_owned();
        // Without the right to post, a conversation would only be seen to wait.
        let posted = reach.post(&relay.management, &id, b"{}".to_vec()).await;
        match posted {
            Ok(200) => {}
            Ok(status) => return Err(format!("the relay: a post to it is answered {status}")),
            Err(error) => return Err(format!("the relay: a post to it fails: {error}")),
        }
        let (sender, reports) = mpsc::channel(REPORTS_MAX);
        let pump = Pump {
            reach,
            management: relay.management.clone(),
            behaviours,
            reports: sender,
            parts: HashMap::new(),
        };
        let mut tasks = JoinSet::new();
        tasks.spawn(pump.run(client));
        Ok(Self {
            id,
            reports,
            _pump: tasks,
        })
    }
}

impl Pump {
    /// Until the relay ends the connection, or nobody listens.
    async fn run(mut self, mut client: Client) {
        let mut alive = tokio::time::interval(KEEPS_ALIVE);
        alive.tick().await;
        loop {
            let received = tokio::select! {
                received = client.received() => received,
                _ = alive.tick() => {
                    if client.send(question()).await.is_err() {
                        return;
                    }
                    continue;
                }
            };
            let Ok(Received::Text(text)) = received else {
                return;
            };
            // What is no part is an answer to a question, or a post of our own.
            if let Ok(part) = serde_json::from_str::<Part>(&text)
                && self.part(part).await.is_none()
            {
                return;
            }
        }
    }

    async fn part(&mut self, part: Part) -> Option<()> {
        let Part { from, left, part } = part;
        let whole = self.parts.entry(from.clone()).or_default();
        whole.push_str(&part);
        if left > 0 {
            return Some(());
        }
        let whole = self.parts.remove(&from)?;
        let Told { function, event } = serde_json::from_str(&whole).ok()?;
        let behaviour = self.behaviours.of(&function, &event);
        let held = (behaviour == "hold").then(|| from.clone());
        let is_held = held.is_some();
        let report = Report {
            function,
            event,
            held,
        };
        self.reports.send(report).await.ok()?;
        if !is_held {
            // A puppet that gave up does not matter here: the conversation shows what came of it.
            _ = self
                .reach
                .post(&self.management, &from, behaviour.into())
                .await;
        }
        Some(())
    }
}

impl Behaviours {
    fn of(&self, function: &str, event: &Value) -> String {
        let usual = match function {
            "authorizer" => "allow",
            _ => r#"answer {"statusCode":200}"#,
        };
        let behaviour = self.by_function.get(function).map_or(usual, String::as_str);
        self.told(behaviour, event)
    }

    /// A behaviour with the names that are true there.
    pub(crate) fn told(&self, behaviour: &str, event: &Value) -> String {
        names::told(behaviour, &self.api_id, event)
    }
}

fn question() -> Sent {
    Sent::Text(vec![b"?".to_vec()])
}
