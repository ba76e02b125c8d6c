//! In: a DynamoDB Local. Out: clients of it, and HTTP servers that note what they are asked.

use std::convert::Infallible;
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
use tokio::net::TcpListener;
use tokio::task::JoinSet;

use crate::tables::local;

pub(crate) const REGION: &str = "eu-west-1";

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
    Some(local().await?.client(REGION).unwrap())
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
