//! In: what this machine has. Out: a DynamoDB Local with tables of the template, and HTTP servers that note what they are asked.

use std::convert::Infallible;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::sync::atomic::{AtomicU32, Ordering};
use std::sync::{Arc, Mutex};

use bytes::Bytes;
use http::{Request, Response};
use http_body_util::{BodyExt, Full};
use hyper::body::Incoming;
use hyper::service::service_fn;
use hyper_util::rt::TokioIo;
use lift_aws_client::client::{Client as AwsClient, Endpoint, Roots};
use lift_aws_client::clock::ServerClock;
use lift_aws_client::dynamodb::Client;
use lift_aws_client::sigv4::Credentials;
use lift_dev::dynamodb::local::{Local, find};
use lift_dev::dynamodb::tables::{Made, make};
use lift_dev::template::{Settings, read};
use tokio::net::TcpListener;
use tokio::sync::OnceCell;
use tokio::task::JoinSet;

pub(crate) const REGION: &str = "eu-west-1";

/// Java starts once for all tests; its leash ends it with this process.
static LOCAL: OnceCell<Option<Local>> = OnceCell::const_new();
static TABLES: AtomicU32 = AtomicU32::new(0);

pub(crate) fn credentials() -> Credentials {
    Credentials {
        access_key: "AKIDEXAMPLE".to_owned(),
        secret_key: "secret".to_owned(),
        session_token: None,
    }
}

pub(crate) fn aws(credentials: Credentials, clock: ServerClock) -> AwsClient {
    AwsClient::new(REGION, credentials, &Roots::Public, clock).unwrap()
}

/// A client of a DynamoDB Local that other tests use too, or none, which is said, where there can be none.
pub(crate) async fn dynamodb() -> Option<Client> {
    let local = LOCAL.get_or_init(start).await.as_ref()?;
    Some(local.client(REGION).unwrap())
}

async fn start() -> Option<Local> {
    if std::env::var_os("SKIP_FOREIGN").is_some_and(|skip| skip == "1") {
        println!("skipped: DynamoDB Local (SKIP_FOREIGN=1)");
        return None;
    }
    let configured = std::env::var_os("LIFT_DYNAMODB_LOCAL").map(PathBuf::from);
    let ours = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/dynamodb-local/jars");
    for (tool, needed) in [
        ("java", true),
        ("mvn", configured.is_none() && !ours.exists()),
    ] {
        if needed && Command::new(tool).arg("-version").output().is_err() {
            println!("skipped: DynamoDB Local (`{tool}` is not installed)");
            return None;
        }
    }
    let jars = find(Some(configured.as_deref().unwrap_or(&ours)), Path::new(""));
    let started = Local::start(&jars.unwrap_or_else(|error| panic!("{error}"))).await;
    Some(started.unwrap_or_else(|error| panic!("{error}")))
}

/// An empty table of the shape that the template's `logical_id` has.
pub(crate) async fn table(client: &Client, logical_id: &str) -> String {
    let template = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../deploy/template.yaml");
    let plan = read(&template, &Settings::default()).unwrap();
    let mut tables = plan.tables.into_iter();
    let mut table = tables.find(|table| table.logical_id == logical_id).unwrap();
    table.name = format!("{logical_id}-{}", TABLES.fetch_add(1, Ordering::Relaxed));
    // The suites' time is in the past, and DynamoDB Local, too, removes what is past its time.
    table.ttl_attribute = None;
    assert_eq!(make(client, &table).await.unwrap(), Made::New);
    table.name
}

/// A server on a port of its own; it ends with its owner.
pub(crate) struct Server {
    pub(crate) url: String,
    _serving: JoinSet<()>,
}

/// Serves what `answer` makes of each request.
pub(crate) async fn serve<F>(
    answer: impl Fn(Request<Bytes>) -> F + Clone + Send + 'static,
) -> Server
where
    F: Future<Output = Response<Full<Bytes>>> + Send + 'static,
{
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let url = format!("http://{}", listener.local_addr().unwrap());
    let mut serving = JoinSet::new();
    serving.spawn(async move {
        let mut connections = JoinSet::new();
        loop {
            let (socket, _) = listener.accept().await.unwrap();
            let answer = answer.clone();
            connections.spawn(async move {
                let service = service_fn(move |request: Request<Incoming>| {
                    let answer = answer.clone();
                    async move {
                        let (head, body) = request.into_parts();
                        let body = body.collect().await.unwrap().to_bytes();
                        let request = Request::from_parts(head, body);
                        Ok::<_, Infallible>(answer(request).await)
                    }
                });
                let http = hyper::server::conn::http1::Builder::new();
                let served = http.serve_connection(TokioIo::new(socket), service);
                // A client that goes away in between is no fault of a test.
                let _ = served.await;
            });
        }
    });
    Server {
        url,
        _serving: serving,
    }
}

/// The operations that went through a [`recorder`].
#[derive(Clone, Default)]
pub(crate) struct Seen(Arc<Mutex<Vec<String>>>);

impl Seen {
    /// What was asked since the last look.
    pub(crate) fn take(&self) -> Vec<String> {
        std::mem::take(&mut *self.0.lock().unwrap())
    }
}

/// A way to `client`'s endpoint that notes each operation.
pub(crate) async fn recorder(client: &Client) -> (Client, Seen, Server) {
    let aws = aws(
        Credentials {
            access_key: "local".to_owned(),
            ..credentials()
        },
        ServerClock::default(),
    );
    let to: Endpoint = aws.endpoint("dynamodb", &client.endpoint()).unwrap();
    let seen = Seen::default();
    let noting = seen.clone();
    let server = serve(move |request| {
        let target = request.headers()["x-amz-target"].to_str().unwrap();
        let operation = target.rsplit('.').next().unwrap().to_owned();
        noting.0.lock().unwrap().push(operation);
        let to = to.clone();
        async move { to.send(request).await.unwrap().map(Full::new) }
    })
    .await;
    let through = Client::over(&aws, &server.url).unwrap();
    (through, seen, server)
}
