//! One client: it submits, repeats, cancels, looks, drops its connection and resumes; what it hears is checked as it comes.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use lift::event::Connection;
use lift::id::ConnectionId;
use lift::identity::Identity;
use serde_json::{Value, json};
use tokio::time::{Instant, sleep, timeout};

use crate::app::Work;
use crate::dice::Dice;
use crate::ledger::Acknowledged;
use crate::store::all_ended;
use crate::world::{World, owner};

/// API Gateway's limit of an integration, and a little.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);

/// How long a client waits to hear of an end that is recorded before it asks again.
const PATIENCE: Duration = Duration::from_secs(100);

/// A request that this client wants done once, however often it must ask.
struct Submission {
    key: String,
    work: Work,
    timeout_ms: Option<u64>,
    request_id: Option<String>,
    /// The last message about it was not answered.
    unanswered: bool,
    /// So was the last wish to cancel it.
    cancelling: bool,
}

/// What the client heard of a request.
#[derive(Default)]
struct Heard {
    last: u64,
    percentage: f64,
    ended: bool,
    /// The connection on which a submission or a resume of it was answered last.
    attached: Option<String>,
}

pub(crate) struct Client {
    world: Arc<World>,
    index: usize,
    dice: Dice,
    connection: Option<Arc<Connection>>,
    submissions: Vec<Submission>,
    heard: BTreeMap<String, Heard>,
    asked: u64,
}

/// Works while faults happen.
pub(crate) async fn run(mut client: Client) -> Client {
    for _ in 0..client.world.plan.steps {
        client.connect().await;
        client.step().await;
        client.read();
        let pause = if client.dice.chance(100) {
            30_000
        } else {
            3_000
        };
        sleep(client.dice.millis(0, pause)).await;
    }
    client
}

/// Stays connected until everything that it wanted has ended and it has heard so.
pub(crate) async fn settle(mut client: Client) {
    let mut ended_at = None;
    loop {
        if all_ended(client.world.truth(), &owner(client.index)).await {
            let ended_at = *ended_at.get_or_insert_with(Instant::now);
            if ended_at.elapsed() >= PATIENCE {
                client.doubt();
            }
        }
        client.connect().await;
        client.read();
        for at in 0..client.submissions.len() {
            if client.submissions[at].unanswered {
                client.submit(at).await;
            }
            if client.submissions[at].cancelling {
                client.cancel(at).await;
            }
        }
        client.resume().await;
        client.read();
        if client.is_done() {
            return;
        }
        sleep(Duration::from_millis(500)).await;
    }
}

impl Client {
    pub(crate) fn new(world: Arc<World>, index: usize) -> Self {
        let dice = Dice::new(world.plan.seed ^ (0xc11e_0000 + index as u64));
        Self {
            world,
            index,
            dice,
            connection: None,
            submissions: Vec::new(),
            heard: BTreeMap::new(),
            asked: 0,
        }
    }

    fn connection_id(&self) -> Option<&ConnectionId> {
        self.connection.as_ref().map(|connection| &connection.id)
    }

    fn is_connected(&self) -> bool {
        self.connection_id()
            .is_some_and(|id| self.world.gateway.is_open(id))
    }

    async fn connect(&mut self) {
        if self.is_connected() {
            return;
        }
        while !self.world.accepts() {
            sleep(Duration::from_millis(100)).await;
        }
        let id = ConnectionId::new(self.world.next_connection());
        self.world.gateway.open(&id);
        self.world
            .ledger
            .say(|| format!("client {} opens {}", self.index, id.as_str()));
        self.connection = Some(Arc::new(Connection {
            id,
            identity: Identity {
                owner: owner(self.index),
                permissions: None,
                expires_at: None,
            },
            source_ip: "192.0.2.1".to_owned(),
            user_agent: None,
            connected_at: self.world.now(),
        }));
        if self.dice.chance(700) {
            self.resume().await;
        }
    }

    async fn step(&mut self) {
        let known = self.dice.roll(self.submissions.len().max(1) as u64);
        let known = usize::try_from(known).unwrap();
        match self.dice.roll(13) {
            0..=3 => self.submit_new().await,
            4 | 5 if !self.submissions.is_empty() => self.submit(known).await,
            6 if !self.submissions.is_empty() => self.cancel(known).await,
            7 | 8 => self.cut(),
            9 => self.resume().await,
            10 => self.get(known).await,
            11 => self.join(),
            _ => {}
        }
    }

    fn cut(&mut self) {
        if let Some(connection) = self.connection.take() {
            if self.dice.chance(500) {
                self.read_from(&connection.id);
            }
            let id = connection.id.as_str();
            self.world.ledger.say(|| format!("{id} is cut"));
            self.world.gateway.cut(&connection.id);
        }
    }

    /// The answer to a message, if it comes in time and the connection lives.
    async fn ask(&mut self, mut message: Value) -> Option<Value> {
        let connection = self.connection.clone()?;
        self.asked += 1;
        message["id"] = json!(format!("{}-{}", self.index, self.asked));
        let id = connection.id.as_str();
        self.world.ledger.say(|| format!("{id} sends {message}"));
        let answered = self.world.message(&connection, message.to_string());
        let answer = timeout(ANSWER_WITHIN, answered).await.ok()?.ok()?;
        if !self.is_connected() {
            return None;
        }
        self.world
            .ledger
            .say(|| format!("{id} is answered {answer}"));
        if answer["id"] != message["id"] {
            let broken = format!("{message} is answered with another id: {answer}");
            self.world.ledger.broken(broken);
        }
        Some(answer)
    }

    async fn submit_new(&mut self) {
        let key = format!("{}/{}", self.index, self.submissions.len());
        self.submissions.push(Submission {
            key,
            work: Work::random(&self.dice),
            timeout_ms: self.dice.chance(150).then(|| 100 + self.dice.roll(20_000)),
            request_id: None,
            unanswered: true,
            cancelling: false,
        });
        let at = self.submissions.len() - 1;
        self.submit(at).await;
        if self.dice.chance(250) {
            self.cancel(at).await;
        }
    }

    async fn submit(&mut self, at: usize) {
        let submission = &mut self.submissions[at];
        submission.unanswered = true;
        let mut message = json!({
            "action": "work",
            "payload": submission.work,
            "idempotency_key": submission.key,
        });
        if let Some(timeout_ms) = submission.timeout_ms {
            message["timeout_ms"] = json!(timeout_ms);
        }
        let Some(answer) = self.ask(message).await else {
            return;
        };
        if answer["type"] == "error" {
            self.check_excuse(&answer);
            return;
        }
        let request_id = answer["request_id"].as_str().unwrap().to_owned();
        let attached = self.connection_id().map(|id| id.as_str().to_owned());
        self.heard.entry(request_id.clone()).or_default().attached = attached;
        let submission = &mut self.submissions[at];
        submission.unanswered = false;
        submission.request_id = Some(request_id.clone());
        self.world.ledger.facts().acknowledged.push(Acknowledged {
            client: self.index,
            key: submission.key.clone(),
            request_id,
        });
    }

    async fn cancel(&mut self, at: usize) {
        let Some(request_id) = self.submissions[at].request_id.clone() else {
            return;
        };
        self.submissions[at].cancelling = true;
        self.world.ledger.facts().cancels.push(request_id.clone());
        let payload = json!({"request_id": request_id});
        let message = json!({"action": "request.cancel", "payload": payload});
        match self.ask(message).await {
            Some(answer) if answer["type"] == "response" => self.submissions[at].cancelling = false,
            Some(answer) => self.check_excuse(&answer),
            None => {}
        }
    }

    /// Wants to hear of a request of the same user, which another device may have submitted; the
    /// next resume asks for it.
    fn join(&mut self) {
        let mine = owner(self.index);
        let of_user: Vec<String> = {
            let facts = self.world.ledger.facts();
            let of_user = facts
                .acknowledged
                .iter()
                .filter(|one| owner(one.client) == mine);
            of_user.map(|one| one.request_id.clone()).collect()
        };
        if let Some(request_id) = self.dice.pick(&of_user) {
            self.heard.entry(request_id.clone()).or_default();
        }
    }

    async fn get(&mut self, at: usize) {
        let submission = self.submissions.get(at);
        let Some(request_id) = submission.and_then(|one| one.request_id.clone()) else {
            return;
        };
        let payload = json!({"request_id": request_id});
        let message = json!({"action": "request.get", "payload": payload});
        let Some(answer) = self.ask(message).await else {
            return;
        };
        if answer["type"] == "error" {
            return self.check_excuse(&answer);
        }
        let progress = &answer["data"]["progress"];
        if let (Some(seq), Some(percentage), Some(text)) = (
            progress["seq"].as_u64(),
            progress["percentage"].as_f64(),
            progress["message"].as_str(),
        ) {
            let shown = (request_id, seq, percentage, text.to_owned());
            self.world.ledger.facts().shown.push(shown);
        }
    }

    /// Resumes what has not ended, as far as the client knows, and is not attached here.
    async fn resume(&mut self) {
        let Some(id) = self.connection_id().map(|id| id.as_str().to_owned()) else {
            return;
        };
        let open = self
            .heard
            .iter()
            .filter(|(_, heard)| !heard.ended && heard.attached.as_ref() != Some(&id));
        let wanted: Vec<(String, u64)> = open
            .map(|(request_id, heard)| (request_id.clone(), heard.last))
            .collect();
        if wanted.is_empty() {
            return;
        }
        let requests = wanted
            .iter()
            .map(|(request_id, last)| json!({"request_id": request_id, "after_seq": last}));
        let payload = json!({"requests": requests.collect::<Vec<_>>()});
        let resumed = wanted
            .iter()
            .map(|(request_id, last)| (id.clone(), request_id.clone(), *last));
        self.world.ledger.facts().resumed.extend(resumed);
        let message = json!({"action": "request.resume", "payload": payload});
        let Some(answer) = self.ask(message).await else {
            return;
        };
        if answer["type"] == "error" {
            return self.check_excuse(&answer);
        }
        for entry in answer["data"]["requests"].as_array().unwrap() {
            let request_id = entry["request_id"].as_str().unwrap();
            if entry.get("error").is_some() {
                self.check_excuse(entry);
            } else if let Some(heard) = self.heard.get_mut(request_id) {
                heard.attached = Some(id.clone());
            }
        }
    }

    /// Asks again about what it is attached to.
    fn doubt(&mut self) {
        for (request_id, heard) in &mut self.heard {
            if let Some(connection) = heard.attached.take_if(|_| !heard.ended) {
                let doubted = (connection, request_id.clone());
                self.world.ledger.facts().doubted.push(doubted);
            }
        }
    }

    /// Only that the server could not do it now.
    fn check_excuse(&self, answer: &Value) {
        let code = answer["error"]["code"].as_str().unwrap_or_default();
        if !["OVERLOADED", "TIMEOUT"].contains(&code) {
            self.world.ledger.broken(format!("no excuse: {answer}"));
        }
    }

    fn read(&mut self) {
        if let Some(connection) = self.connection.clone() {
            self.read_from(&connection.id);
        }
    }

    fn read_from(&mut self, id: &ConnectionId) {
        for message in self.world.gateway.read(id) {
            self.hear(&message);
        }
    }

    /// Drops what is not above the last that was seen, and all that follows the end.
    fn hear(&mut self, message: &Value) {
        let (Some(request_id), Some(seq)) =
            (message["request_id"].as_str(), message["seq"].as_u64())
        else {
            return;
        };
        let heard = self.heard.entry(request_id.to_owned()).or_default();
        if heard.ended || seq <= heard.last {
            return;
        }
        heard.last = seq;
        match message["percentage"].as_f64() {
            Some(percentage) if percentage < heard.percentage => {
                let broken = format!("{message} is below {} %", heard.percentage);
                self.world.ledger.broken(broken);
            }
            Some(percentage) => heard.percentage = percentage,
            None => heard.ended = true,
        }
    }

    fn is_done(&self) -> bool {
        let answered = |one: &Submission| !one.unanswered && !one.cancelling;
        self.submissions.iter().all(answered) && self.heard.values().all(|heard| heard.ended)
    }
}
