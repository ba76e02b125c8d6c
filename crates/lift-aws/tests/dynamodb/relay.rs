//! In: calls of a DynamoDB. Out: its answers, what each call cost, and faults on demand.

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{HeaderName, Request, Response, Uri, header};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::task::JoinSet;

/// One call as the relay saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// `PutItem` and the like.
    pub(crate) operation: String,
    /// Capacity that it consumed, indexes included; nothing where it was refused.
    pub(crate) units: f64,
}

/// What goes wrong with a call.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Fault {
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is not done, for want of throughput.
    Throttled,
}

/// Passes calls on; dropping it ends it.
pub(crate) struct Relay {
    url: String,
    shared: Arc<Shared>,
    _serving: JoinSet<()>,
}

struct Shared {
    to: String,
    http: Http<HttpConnector, Full<Bytes>>,
    seen: Mutex<Vec<Seen>>,
    faults: Mutex<VecDeque<(&'static str, Fault)>>,
}

impl Relay {
    pub(crate) async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            to: to.to_owned(),
            http: Http::builder(TokioExecutor::new()).build_http(),
            seen: Mutex::default(),
            faults: Mutex::default(),
        });
        let mut serving = JoinSet::new();
        serving.spawn(accept(listener, Arc::clone(&shared)));
        Self {
            url,
            shared,
            _serving: serving,
        }
    }

    pub(crate) fn url(&self) -> &str {
        &self.url
    }

    /// What was called since this was last asked.
    pub(crate) fn seen(&self) -> Vec<Seen> {
        std::mem::take(&mut *self.shared.seen.lock().unwrap())
    }

    /// Its operations alone.
    pub(crate) fn operations(&self) -> Vec<String> {
        let seen = self.seen().into_iter();
        seen.map(|seen| seen.operation).collect()
    }

    /// The next call of this operation meets a fault, once.
    pub(crate) fn next(&self, operation: &'static str, fault: Fault) {
        let mut faults = self.shared.faults.lock().unwrap();
        faults.push_back((operation, fault));
    }

    /// Whether every fault has been met.
    pub(crate) fn all_met(&self) -> bool {
        self.shared.faults.lock().unwrap().is_empty()
    }
}

async fn accept(listener: TcpListener, shared: Arc<Shared>) {
    let mut connections = JoinSet::new();
    loop {
        let (socket, _) = listener.accept().await.unwrap();
        let shared = Arc::clone(&shared);
        connections.spawn(async move {
            let service = service_fn(|request| shared.answer(request));
            // It fails where an answer is lost, which closes the connection.
            let served = http1::Builder::new().serve_connection(TokioIo::new(socket), service);
            let _ = served.await;
        });
        while connections.try_join_next().is_some() {}
    }
}

impl Shared {
    async fn answer(&self, request: Request<Incoming>) -> Result<Response<Full<Bytes>>, io::Error> {
        let (head, body) = request.into_parts();
        let target = head.headers.get("x-amz-target").cloned();
        let target = target.unwrap().to_str().unwrap().to_owned();
        let operation = target.split('.').next_back().unwrap().to_owned();
        let fault = self.fault(&operation);
        if fault == Some(Fault::Throttled) {
            self.saw(operation, 0.0);
            let kind = "com.amazonaws.dynamodb.v20120810#ProvisionedThroughputExceededException";
            let body = json!({ "__type": kind, "message": "too much" }).to_string();
            return Ok(Response::builder().status(400).body(body.into()).unwrap());
        }
        let mut body: Value =
            serde_json::from_slice(&body.collect().await.unwrap().to_bytes()).unwrap();
        // DynamoDB Local checks no signature, so that the body may be changed.
        body["ReturnConsumedCapacity"] = "TOTAL".into();
        let mut request = Request::post(self.to.parse::<Uri>().unwrap());
        for name in [header::CONTENT_TYPE, header::AUTHORIZATION] {
            request = request.header(&name, &head.headers[&name]);
        }
        for name in ["x-amz-target", "x-amz-date"] {
            let name: HeaderName = name.parse().unwrap();
            request = request.header(&name, &head.headers[&name]);
        }
        let request = request.body(Full::from(body.to_string())).unwrap();
        let (answer, body) = self.http.request(request).await.unwrap().into_parts();
        let body = body.collect().await.unwrap().to_bytes();
        self.saw(operation, units(&body));
        if fault == Some(Fault::AnswerLost) {
            return Err(io::ErrorKind::ConnectionAborted.into());
        }
        let answered = Response::builder().status(answer.status);
        Ok(answered.body(body.into()).unwrap())
    }

    fn fault(&self, operation: &str) -> Option<Fault> {
        let mut faults = self.faults.lock().unwrap();
        let at = faults.iter().position(|(wanted, _)| *wanted == operation)?;
        faults.remove(at).map(|(_, fault)| fault)
    }

    fn saw(&self, operation: String, units: f64) {
        self.seen.lock().unwrap().push(Seen { operation, units });
    }
}

fn units(answer: &[u8]) -> f64 {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let one = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
    match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.iter().map(one).sum(),
        table => one(table),
    }
}
