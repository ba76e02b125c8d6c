//! In: calls of one of AWS's services. Out: its answers, what each call of DynamoDB cost, and faults on demand.
#![allow(dead_code, reason = "the tests of each crate use a part of it")]

use std::collections::VecDeque;
use std::io;
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Method, Request, Response, Uri, header, request};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::server::conn::http1;
use hyper::service::service_fn;
use hyper_util::client::legacy::Client as Http;
use hyper_util::client::legacy::connect::HttpConnector;
use hyper_util::rt::{TokioExecutor, TokioIo};
use serde_json::{Value, json};
use tokio::net::TcpListener;
use tokio::sync::oneshot;
use tokio::task::JoinSet;

/// One call as the relay saw it.
#[derive(Clone, Debug, PartialEq)]
pub(crate) struct Seen {
    /// `PutItem` and the like.
    pub(crate) operation: String,
    /// Capacity that it consumed, indexes included; nothing where it was refused.
    pub(crate) units: f64,
    /// The same of each table, `TABLE`, and each index, `TABLE/index/INDEX`.
    pub(crate) consumed: Vec<(String, f64)>,
    /// The caller's session token: `lift/FUNCTION`.
    pub(crate) by: String,
    pub(crate) body: String,
    /// The object that this one is a copy of.
    pub(crate) copied: Option<String>,
}

/// A call on its way.
#[derive(Debug)]
pub(crate) struct Call {
    /// `PutItem` and the like, or `POST /path` where the service has paths.
    pub(crate) operation: String,
    pub(crate) body: String,
    /// The caller's session token: `lift/FUNCTION`.
    pub(crate) by: String,
}

/// What goes wrong with a call.
pub(crate) enum Fault {
    /// It is done, and its answer is lost.
    AnswerLost,
    /// It is not done, for want of throughput.
    Throttled,
    /// It is not done, with this status and error.
    Refused(u16, &'static str),
    /// It is done once whoever was told of it here lets it.
    Held(oneshot::Sender<()>, oneshot::Receiver<()>),
    /// It is done, then this happens, and its answer is lost.
    Then(Box<dyn FnOnce() + Send>),
}

type Rule = Box<dyn FnMut(&Call) -> Option<Fault> + Send>;

/// A call that a relay holds back.
pub(crate) struct Hold {
    came: oneshot::Receiver<()>,
    go_on: oneshot::Sender<()>,
}

impl Hold {
    /// Waits until the call is there.
    pub(crate) async fn came(&mut self) {
        (&mut self.came).await.unwrap();
    }

    /// Lets it be done.
    pub(crate) fn release(self) {
        self.go_on.send(()).unwrap();
    }
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
    rules: Mutex<Vec<Rule>>,
}

impl Relay {
    pub(crate) async fn start(to: &str) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            to: to.trim_end_matches('/').to_owned(),
            http: Http::builder(TokioExecutor::new()).build_http(),
            seen: Mutex::default(),
            faults: Mutex::default(),
            rules: Mutex::default(),
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

    /// Each call meets the fault that this makes of it; earlier rules come first.
    pub(crate) fn rule(&self, rule: impl FnMut(&Call) -> Option<Fault> + Send + 'static) {
        self.shared.rules.lock().unwrap().push(Box::new(rule));
    }

    /// The first call of which this holds meets a fault.
    pub(crate) fn once(&self, is_it: impl Fn(&Call) -> bool + Send + 'static, fault: Fault) {
        let mut fault = Some(fault);
        self.rule(move |call| fault.take_if(|_| is_it(call)));
    }

    /// Holds back the first call of which this holds.
    pub(crate) fn hold(&self, is_it: impl Fn(&Call) -> bool + Send + 'static) -> Hold {
        let ((tell, came), (go_on, wait)) = (oneshot::channel(), oneshot::channel());
        self.once(is_it, Fault::Held(tell, wait));
        Hold { came, go_on }
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
        // A caller may be killed while it sends.
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        let path = head.uri.path_and_query().unwrap().as_str();
        let target = head.headers.get("x-amz-target");
        let target = target.map(|target| target.to_str().unwrap().to_owned());
        let call = Call {
            operation: match &target {
                Some(target) => target.split('.').next_back().unwrap().to_owned(),
                None => format!("{} {path}", head.method),
            },
            body: String::from_utf8_lossy(&body).into_owned(),
            by: text(&head, "x-amz-security-token").unwrap_or_default(),
        };
        let fault = self.fault(&call);
        match fault {
            Some(Fault::Throttled) => {
                self.saw(&head, call, Vec::new());
                let kind = "ProvisionedThroughputExceededException";
                Ok(refused(400, kind))
            }
            Some(Fault::Refused(status, kind)) => Ok(refused(status, kind)),
            Some(Fault::Held(came, go_on)) => {
                // Whoever holds a call may be gone.
                let _ = came.send(());
                let _ = go_on.await;
                self.pass(&head, body, call).await
            }
            Some(Fault::AnswerLost) => {
                self.pass(&head, body, call).await?;
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            Some(Fault::Then(then)) => {
                self.pass(&head, body, call).await?;
                then();
                Err(io::ErrorKind::ConnectionAborted.into())
            }
            None => self.pass(&head, body, call).await,
        }
    }

    async fn pass(
        &self,
        head: &request::Parts,
        body: Bytes,
        call: Call,
    ) -> Result<Response<Full<Bytes>>, io::Error> {
        let path = head.uri.path_and_query().unwrap().as_str();
        let to: Uri = format!("{}{path}", self.to).parse().unwrap();
        let mut request = Request::builder().method(&head.method).uri(to);
        for (name, value) in &head.headers {
            if name != header::HOST && name != header::CONTENT_LENGTH {
                request = request.header(name, value);
            }
        }
        let request = request.body(Full::from(counted(head, body))).unwrap();
        // Who answers may end before who asks does.
        let answered = self.http.request(request).await.map_err(io::Error::other)?;
        let (answer, body) = answered.into_parts();
        let body = body.collect().await.map_err(io::Error::other)?.to_bytes();
        self.saw(head, call, consumed(&body));
        let mut answered = Response::builder().status(answer.status);
        for (name, value) in &answer.headers {
            let is_length = name == header::CONTENT_LENGTH && head.method != Method::HEAD;
            if !is_length && name != header::TRANSFER_ENCODING && name != header::CONNECTION {
                answered = answered.header(name, value);
            }
        }
        Ok(answered.body(body.into()).unwrap())
    }

    fn fault(&self, call: &Call) -> Option<Fault> {
        let mut rules = self.rules.lock().unwrap();
        if let Some(fault) = rules.iter_mut().find_map(|rule| rule(call)) {
            return Some(fault);
        }
        let mut faults = self.faults.lock().unwrap();
        let at = faults
            .iter()
            .position(|(wanted, _)| *wanted == call.operation)?;
        faults.remove(at).map(|(_, fault)| fault)
    }

    fn saw(&self, head: &request::Parts, call: Call, consumed: Vec<(String, f64)>) {
        self.seen.lock().unwrap().push(Seen {
            operation: call.operation,
            units: consumed.iter().map(|(_, units)| units).sum(),
            consumed,
            by: call.by,
            body: call.body,
            copied: text(head, "x-amz-copy-source"),
        });
    }
}

fn text(head: &request::Parts, name: &str) -> Option<String> {
    let value = head.headers.get(name)?;
    Some(String::from_utf8_lossy(value.as_bytes()).into_owned())
}

/// A call of DynamoDB, which is to say what it cost; DynamoDB Local checks no signature, so that its body may be changed.
fn counted(head: &request::Parts, body: Bytes) -> Bytes {
    let target = head.headers.get("x-amz-target");
    if !target.is_some_and(|target| target.as_bytes().starts_with(b"DynamoDB_")) {
        return body;
    }
    let mut body: Value = serde_json::from_slice(&body).unwrap();
    body["ReturnConsumedCapacity"] = "INDEXES".into();
    body.to_string().into()
}

fn refused(status: u16, kind: &str) -> Response<Full<Bytes>> {
    let kind = format!("com.amazonaws.dynamodb.v20120810#{kind}");
    let body = json!({ "__type": kind, "message": "not now" }).to_string();
    Response::builder()
        .status(status)
        .body(body.into())
        .unwrap()
}

fn consumed(answer: &[u8]) -> Vec<(String, f64)> {
    let answer: Value = serde_json::from_slice(answer).unwrap_or_default();
    let tables = match &answer["ConsumedCapacity"] {
        Value::Array(tables) => tables.clone(),
        Value::Null => Vec::new(),
        table => vec![table.clone()],
    };
    let units = |consumed: &Value| consumed["CapacityUnits"].as_f64().unwrap_or_default();
    let mut all = Vec::new();
    for table in tables {
        let name = table["TableName"].as_str().unwrap();
        all.push((name.to_owned(), units(&table["Table"])));
        for (index, of_index) in table["GlobalSecondaryIndexes"]
            .as_object()
            .into_iter()
            .flatten()
        {
            all.push((format!("{name}/index/{index}"), units(of_index)));
        }
    }
    all
}
