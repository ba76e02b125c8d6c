//! In: a conversation. Out: the same over TCP sockets on this machine, with the runtime's clock paused.

use std::collections::VecDeque;
use std::net::SocketAddr;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use lift_apigw::management::Refusal;
use lift_gateway::{Answer, Gateway, Integration, Invocation, InvokeError, PostError};
use serde_json::Value;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{Notify, oneshot};
use tokio::task::JoinSet;
use tokio_util::sync::CancellationToken;

use crate::client::Client;
use crate::compare::Clock;
use crate::script::{Call, Headers, Http, Received, Request, Sent, Side};
use crate::setup::Setup;
use crate::world::{Behaviour, World, name, outcome};

/// The host that clients name.
const HOST: &str = "localhost";

pub(crate) struct Sockets {
    gateway: Gateway,
    address: SocketAddr,
    functions: Arc<Functions>,
    client: Option<Client>,
    shutdown: CancellationToken,
    tasks: JoinSet<()>,
    stalled: bool,
}

#[derive(Default)]
struct Functions {
    world: Mutex<World>,
    held: Mutex<VecDeque<Held>>,
    invoked: Notify,
}

struct Held {
    function: String,
    event: Value,
    answer: oneshot::Sender<Result<Bytes, InvokeError>>,
}

impl Functions {
    async fn invoke(&self, invocation: Invocation) -> Result<Answer, InvokeError> {
        let (outcome, event) = {
            let mut world = self.world.lock().unwrap();
            let outcome = world.invoke(&invocation.function, &invocation.event.json());
            (outcome, world.log.back().unwrap().1.clone())
        };
        let waiting = outcome.is_none().then(|| {
            let (answer, waiting) = oneshot::channel();
            let function = name(&invocation.function);
            self.held.lock().unwrap().push_back(Held {
                function,
                event,
                answer,
            });
            waiting
        });
        self.invoked.notify_one();
        let outcome = match (outcome, waiting) {
            (Some(outcome), _) => outcome,
            (None, Some(waiting)) => waiting.await.unwrap_or(Err(InvokeError::Crashed)),
            (None, None) => Err(InvokeError::Crashed),
        };
        outcome.map(Answer::from)
    }
}

impl Sockets {
    pub(crate) async fn new(setup: &Setup) -> Result<Self, String> {
        let functions = Arc::new(Functions {
            world: Mutex::new(World::new(&setup.functions)?),
            ..Functions::default()
        });
        let shared = Arc::clone(&functions);
        let integration = Integration::new(tower::service_fn(move |invocation| {
            let functions = Arc::clone(&shared);
            async move { functions.invoke(invocation).await }
        }));
        let gateway = Gateway::new(setup.rules.clone(), integration);
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap();
        let (shutdown, mut tasks) = (CancellationToken::new(), JoinSet::new());
        let (serving, stop) = (gateway.clone(), shutdown.clone());
        tasks.spawn(async move { serving.serve(listener, stop).await.unwrap() });
        Ok(Self {
            gateway,
            address,
            functions,
            client: None,
            shutdown,
            tasks,
            stalled: false,
        })
    }

    fn client(&mut self) -> &mut Client {
        self.client.as_mut().expect("`connect` comes first")
    }

    fn connection_id(&self, id: Option<String>) -> String {
        let world = self.functions.world.lock().unwrap();
        id.or_else(|| world.connection_id.clone())
            .expect("some function was invoked")
    }
}

impl Side for Sockets {
    const CLOCK: Clock = Clock::Paused;

    async fn connect(&mut self, target: &str, headers: &Headers) -> Result<(), String> {
        let stream = Box::new(TcpStream::connect(self.address).await.unwrap());
        let client = Client::connect(stream, HOST, target, headers).await;
        self.client = Some(client.unwrap());
        Ok(())
    }

    async fn response(&mut self) -> Result<Http, String> {
        let response = self.client().response().await;
        response.map_err(|error| error.to_string())
    }

    async fn http(&mut self, request: Request<'_>) -> Result<Http, String> {
        let response = async {
            let stream = Box::new(TcpStream::connect(self.address).await?);
            let mut client = Client::request(stream, HOST, request).await?;
            client.response().await
        };
        response.await.map_err(|error| error.to_string())
    }

    async fn send(&mut self, message: Sent) -> Result<(), String> {
        let sent = self.client().send(message).await;
        sent.map_err(|error| error.to_string())
    }

    async fn received(&mut self) -> Result<Received, String> {
        self.client()
            .received()
            .await
            .map_err(|error| error.to_string())
    }

    async fn invoked(&mut self) -> Result<(String, Value), String> {
        loop {
            let invoked = self.functions.world.lock().unwrap().log.pop_front();
            match invoked {
                Some(invoked) => return Ok(invoked),
                None => self.functions.invoked.notified().await,
            }
        }
    }

    async fn answer(&mut self, function: &str, behaviour: &str) -> Result<(), String> {
        let behaviour = Behaviour::parse(behaviour)?;
        let held = {
            let mut held = self.functions.held.lock().unwrap();
            let found = held.iter().position(|held| held.function == function);
            found
                .and_then(|index| held.remove(index))
                .ok_or("no such invocation is held")?
        };
        let outcome = outcome(&behaviour, &held.event).ok_or("an answer cannot hold")?;
        // Nobody may wait any more: the invocation was abandoned.
        _ = held.answer.send(outcome);
        Ok(())
    }

    async fn advance(&mut self, by: Duration) {
        tokio::time::advance(by).await;
    }

    async fn call(&mut self, call: Call) -> Result<(u16, Option<Value>), String> {
        let connections = self.gateway.connections();
        let status = |outcome: Result<u16, PostError>| {
            outcome.unwrap_or_else(|error| Refusal::from(error).status())
        };
        Ok(match call {
            Call::Post { id, payload } => {
                let id = self.connection_id(id);
                (
                    status(connections.post(&id, payload.into()).map(|()| 200)),
                    None,
                )
            }
            Call::Delete { id } => (
                status(connections.delete(&self.connection_id(id)).map(|()| 204)),
                None,
            ),
            Call::Get { id } => match connections.get(&self.connection_id(id)) {
                Ok(found) => (200, Some(serde_json::to_value(found).unwrap())),
                Err(error) => (status(Err(error)), None),
            },
        })
    }

    async fn announce(&mut self, message: &str) {
        let message = Bytes::copy_from_slice(message.as_bytes());
        self.gateway.connections().post_all(&message);
    }

    async fn stall(&mut self) {
        // A client of this kind reads only when it is asked to.
        self.stalled = true;
    }

    async fn fill(&mut self, bytes: usize) -> Result<(), String> {
        // The queue is full for good once the kernel's buffers are, too.
        let mut full = 0;
        while full < 50 {
            let (status, _) = self
                .call(Call::Post {
                    id: None,
                    payload: vec![b'x'; bytes],
                })
                .await?;
            full = if status == 429 { full + 1 } else { 0 };
            tokio::task::yield_now().await;
        }
        Ok(())
    }

    async fn drain(&mut self, close_after: Duration) {
        let gateway = self.gateway.clone();
        self.tasks
            .spawn(async move { gateway.drain(close_after).await });
        tokio::task::yield_now().await;
    }

    async fn finish(&mut self) -> Result<(), String> {
        let was_open = !self.gateway.connections().is_empty();
        if let (Some(mut client), true, false) = (self.client.take(), was_open, self.stalled) {
            client
                .send(Sent::Close(None))
                .await
                .map_err(|error| error.to_string())?;
            let received = client.received().await.map_err(|error| error.to_string())?;
            if received != Received::Close(None) {
                return Err(format!("unasked: {received:?}"));
            }
        }
        self.functions.held.lock().unwrap().clear();
        self.shutdown.cancel();
        while self.tasks.join_next().await.is_some() {}
        self.functions.world.lock().unwrap().all_asked(was_open)
    }
}
