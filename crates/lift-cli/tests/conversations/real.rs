//! In: a conversation and an API that runs somewhere. Out: the conversation over sockets, with real functions.

use std::sync::Arc;
use std::time::Duration;

use rustix::process::{Pid, Signal, kill_process};
use serde_json::Value;

use crate::client::Client;
use crate::compare::Clock;
use crate::names::{Names, OWN_HEADER};
use crate::reach::{Endpoint, Reach, authority, connection};
use crate::relay::{Behaviours, Relay, Report};
use crate::script::{Call, Headers, Http, Received, Request, Sent, Side, run};
use crate::shape::Script;

/// Longest wait for a frame, a response or an invocation.
const PATIENCE: Duration = Duration::from_secs(40);
/// Time between two looks at whether something has begun.
const PAUSE: Duration = Duration::from_millis(5);
/// Of time that is to pass where it passes faster, what is left out: the rest passes while something
/// else is waited for.
const EARLY: f64 = 0.2;

/// Where a conversation runs.
#[derive(Clone)]
pub(crate) struct Stage {
    pub(crate) reach: Arc<Reach>,
    pub(crate) api: Endpoint,
    pub(crate) relay: Endpoint,
    /// How many times faster idle time and lifetimes pass.
    pub(crate) speed: u32,
    /// How long nothing must come at the end.
    pub(crate) quiet: Duration,
    /// The gateway's process, for those who may end it.
    pub(crate) process: Option<Pid>,
}

/// Runs a script; what is wrong is its error.
pub(crate) async fn converse(script: &Script, stage: &Stage) -> Result<(), String> {
    let mut side = Real::new(script, stage);
    run(&script.setup, &mut side).await
}

struct Real<'s> {
    script: &'s Script,
    stage: &'s Stage,
    names: Names,
    behaviours: Behaviours,
    client: Option<Client>,
    relay: Option<Relay>,
    held: Vec<Held>,
    connection_id: Option<String>,
    is_open: bool,
    is_stalled: bool,
}

struct Held {
    function: String,
    event: Value,
    from: String,
}

impl<'s> Real<'s> {
    fn new(script: &'s Script, stage: &'s Stage) -> Self {
        let (setup, host) = (&script.setup, authority(&stage.api.clients));
        let behaviours = Behaviours {
            by_function: setup.functions.iter().cloned().collect(),
            api_id: setup.rules.api.api_id.clone(),
        };
        Self {
            script,
            stage,
            names: Names::new(setup.rules.api.clone(), host, setup.stage()),
            behaviours,
            client: None,
            relay: None,
            held: Vec::new(),
            connection_id: None,
            is_open: false,
            is_stalled: false,
        }
    }

    fn client(&mut self) -> Result<&mut Client, String> {
        self.client
            .as_mut()
            .ok_or("`connect` comes first".to_owned())
    }

    /// The client's headers, with what tells functions whom to ask.
    async fn headers(&mut self, headers: &Headers) -> Result<Headers, String> {
        if self.relay.is_none() {
            let (reach, relay) = (Arc::clone(&self.stage.reach), &self.stage.relay);
            let relay = Relay::open(reach, relay, self.behaviours.clone()).await?;
            self.names.agent = format!("lift/{}", relay.id);
            self.relay = Some(relay);
        }
        let mut headers = headers.clone();
        if !self.script.takes_agents() {
            headers.push((OWN_HEADER.to_owned(), self.names.agent.clone()));
            return Ok(headers);
        }
        let is_agent = |name: &str| name.eq_ignore_ascii_case("user-agent");
        match headers.iter_mut().find(|(name, _)| is_agent(name)) {
            Some((_, value)) => *value = format!("{value} {}", self.names.agent),
            None => headers.push(("User-Agent".to_owned(), self.names.agent.clone())),
        }
        Ok(headers)
    }

    /// The next report.
    async fn report(&mut self) -> Result<Report, String> {
        let relay = self.relay.as_mut().ok_or("nobody connected")?;
        let report = relay.reports.recv().await;
        report.ok_or("the relay ended its connection".to_owned())
    }

    fn took(&mut self, report: Report) -> (String, Value) {
        let Report {
            function,
            mut event,
            held,
        } = report;
        if let Some(from) = held {
            let (function, event) = (function.clone(), event.clone());
            self.held.push(Held {
                function,
                event,
                from,
            });
        }
        let id = event["requestContext"]["connectionId"].as_str();
        self.connection_id = id.map(str::to_owned).or(self.connection_id.take());
        self.names.event(&mut event);
        // A client that does not read has not heard that it is closed.
        self.is_open &= function != "$disconnect";
        (function, event)
    }

    /// Tells a function that waits what it does.
    async fn release(&self, held: &Held, behaviour: &str) {
        let behaviour = self.behaviours.told(behaviour, &held.event);
        let (reach, relay) = (&self.stage.reach, &self.stage.relay.management);
        // It may have been given up.
        _ = reach.post(relay, &held.from, behaviour.into()).await;
    }

    fn body(&self, text: &str) -> Option<Value> {
        let mut body = serde_json::from_str(text).ok()?;
        self.names.value(&mut body);
        Some(body)
    }

    /// What a request gets that asks for no upgrade.
    async fn status(&self) -> Option<u16> {
        let target = format!("/{}", self.script.setup.stage());
        let request = Request {
            method: "GET",
            target: &target,
            headers: &Headers::new(),
            body: Vec::new(),
        };
        let response = self.stage.reach.request(&self.stage.api.clients, request);
        response.await.ok().map(|response| response.status)
    }

    /// Closes what is open, as a client does that has nothing more to say.
    async fn hang_up(&mut self) -> Result<(), String> {
        if !self.is_open || self.is_stalled {
            self.client = None;
            return Ok(());
        }
        self.send(Sent::Close(None)).await?;
        match self.received().await? {
            Received::Close(None) => Ok(()),
            other => Err(format!("unasked: {other:?}")),
        }
    }
}

async fn within<T>(
    what: &str,
    future: impl Future<Output = Result<T, String>>,
) -> Result<T, String> {
    let done = tokio::time::timeout(PATIENCE, future).await;
    done.unwrap_or_else(|_late| Err(format!("no {what} came in {PATIENCE:?}")))
}

impl Side for Real<'_> {
    const CLOCK: Clock = Clock::Real;

    async fn connect(&mut self, target: &str, headers: &Headers) -> Result<(), String> {
        let headers = self.headers(headers).await?;
        let api = &self.stage.api.clients;
        let stream = self.stage.reach.open(api).await;
        let stream = stream.map_err(|error| format!("{api}: {error}"))?;
        let target = self.script.setup.target(target);
        let client = Client::connect(stream, authority(api), &target, &headers).await;
        self.client = Some(client.map_err(|error| error.to_string())?);
        Ok(())
    }

    async fn response(&mut self) -> Result<Http, String> {
        let client = self.client()?;
        let response = within("response", async {
            client.response().await.map_err(|error| error.to_string())
        });
        let response = response.await?;
        self.is_open = response.status == 101;
        Ok(response)
    }

    async fn http(&mut self, request: Request<'_>) -> Result<Http, String> {
        let target = self.script.setup.target(request.target);
        let request = Request {
            target: &target,
            ..request
        };
        let Endpoint {
            clients,
            management,
        } = &self.stage.api;
        let response = if target.contains("connections") {
            self.stage.reach.signed(management, request).await
        } else {
            self.stage.reach.request(clients, request).await
        };
        let mut response = response.map_err(|error| error.to_string())?;
        let agent = &self.names.agent;
        if !agent.is_empty()
            && response.body.contains(agent)
            && let Some(body) = self.body(&response.body)
        {
            response.body = body.to_string();
        }
        Ok(response)
    }

    async fn send(&mut self, message: Sent) -> Result<(), String> {
        if let Sent::Drop = message {
            self.is_open = false;
            self.client = None;
            return Ok(());
        }
        let sent = self.client()?.send(message).await;
        sent.map_err(|error| error.to_string())
    }

    async fn received(&mut self) -> Result<Received, String> {
        let client = self.client()?;
        let received = within("frame", async {
            client.received().await.map_err(|error| error.to_string())
        });
        let received = received.await?;
        if matches!(received, Received::Close(_) | Received::End) {
            self.is_open = false;
        }
        Ok(received)
    }

    async fn invoked(&mut self) -> Result<(String, Value), String> {
        let report = within("invocation", self.report()).await?;
        Ok(self.took(report))
    }

    async fn answer(&mut self, function: &str, behaviour: &str) -> Result<(), String> {
        let found = self.held.iter().position(|held| held.function == function);
        let found = found.ok_or("no such invocation is held")?;
        let held = self.held.remove(found);
        self.release(&held, behaviour).await;
        Ok(())
    }

    async fn advance(&mut self, by: Duration) {
        let speed = self.stage.speed;
        let by = by * self.script.setup.rules.limits.speed.get() / speed;
        let by = if speed > 1 {
            by.mul_f64(1.0 - EARLY)
        } else {
            by
        };
        tokio::time::sleep(by).await;
    }

    async fn call(&mut self, call: Call) -> Result<(u16, Option<Value>), String> {
        let (method, id, body) = match call {
            Call::Post { id, payload } => ("POST", id, payload),
            Call::Get { id } => ("GET", id, Vec::new()),
            Call::Delete { id } => ("DELETE", id, Vec::new()),
        };
        let id = id.or_else(|| self.connection_id.clone());
        let id = id.ok_or("no function was invoked")?;
        let api = &self.stage.api.management;
        let request = Request {
            method,
            target: &connection(api, &id),
            headers: &Headers::new(),
            body,
        };
        let response = self.stage.reach.signed(api, request).await;
        let response = response.map_err(|error| error.to_string())?;
        Ok((response.status, self.body(&response.body)))
    }

    async fn announce(&mut self, _message: &str) {
        unreachable!("no template has anybody to announce something");
    }

    async fn stall(&mut self) {
        // A client of this kind reads only when it is asked to.
        self.is_stalled = true;
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), String> {
        // The queue is full for good once the kernels' buffers are, too.
        let mut full = 0;
        while full < 20 {
            let post = Call::Post {
                id: None,
                payload: vec![b'x'; bytes],
            };
            full = if self.call(post).await?.0 == 429 {
                full + 1
            } else {
                0
            };
        }
        Ok(())
    }

    async fn drain(&mut self, _close_after: Duration) {
        let process = self.stage.process.expect("a process to end");
        kill_process(process, Signal::TERM).expect("it runs");
        let begun = async {
            while self.status().await == Some(426) {
                tokio::time::sleep(PAUSE).await;
            }
            Ok(())
        };
        within("drain", begun)
            .await
            .expect("what does not drain refuses a plain request otherwise");
    }

    async fn finish(&mut self) -> Result<(), String> {
        let was_open = self.is_open;
        self.hang_up().await?;
        let is_told = self.script.shape.asks("$disconnect");
        if was_open && is_told {
            let (function, event) = self.invoked().await?;
            if function != "$disconnect" {
                return Err(format!("unasked: {function} {event}"));
            }
        }
        if self.relay.is_some() {
            let quiet = tokio::time::timeout(self.stage.quiet, self.report()).await;
            if let Ok(report) = quiet {
                return Err(format!("unasked: {:?}", report?));
            }
        }
        for held in std::mem::take(&mut self.held) {
            let behaviour = match held.function.as_str() {
                "authorizer" => "deny",
                _ => r#"answer {"statusCode":200}"#,
            };
            self.release(&held, behaviour).await;
        }
        Ok(())
    }
}
