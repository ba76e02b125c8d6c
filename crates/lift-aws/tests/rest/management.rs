//! In: posts to connections, and a gateway that checks signatures and answers by a script. Out: what became of them.

use std::collections::VecDeque;
use std::sync::{Arc, Mutex};
use std::time::Duration;

use bytes::Bytes;
use http::{Method, Request, Response};
use http_body_util::Full;
use lift::error::chain;
use lift::id::ConnectionId;
use lift::outbound::{Outbound, Post, PostError};
use lift_aws::address::make;
use lift_aws::management::ManagementPosts;
use lift_aws_client::clock::ServerClock;
use lift_aws_client::sigv4::{self, Credentials, Parts, Scope};
use tokio::time::Instant;

use crate::support::{REGION, Server, aws, credentials, serve};

const LIMIT: usize = 128 * 1024;

/// What the gateway answers a call whose signature is good.
#[derive(Clone, Copy)]
struct Answer(u16, &'static str, &'static str);

const POSTED: Answer = Answer(200, "", "");
const GONE: Answer = Answer(410, "GoneException", "");
const THROTTLED: Answer = Answer(429, "LimitExceededException", "");

struct Gateway {
    server: Server,
    left: Arc<Mutex<VecDeque<Answer>>>,
    calls: Arc<Mutex<Vec<(Method, String, Bytes)>>>,
}

impl Gateway {
    /// Answers by the script, its last answer for ever.
    async fn new(script: impl IntoIterator<Item = Answer>) -> Self {
        let left = Arc::new(Mutex::new(VecDeque::from_iter(script)));
        let calls = Arc::default();
        let (answers, noting) = (Arc::clone(&left), Arc::clone(&calls));
        let server = serve(move |request| {
            let answer = answer(&answers, &noting, &request);
            async move { answer }
        })
        .await;
        Self {
            server,
            left,
            calls,
        }
    }

    fn posts(&self, with: Credentials) -> ManagementPosts {
        let posts = ManagementPosts::new(aws(with, ServerClock::default()));
        posts.through(&format!("{}/prod", self.server.url)).unwrap()
    }

    fn calls(&self) -> Vec<(Method, String, Bytes)> {
        self.calls.lock().unwrap().clone()
    }
}

fn answer(
    script: &Mutex<VecDeque<Answer>>,
    calls: &Mutex<Vec<(Method, String, Bytes)>>,
    request: &Request<Bytes>,
) -> Response<Full<Bytes>> {
    let path = request.uri().path().to_owned();
    let call = (request.method().clone(), path, request.body().clone());
    calls.lock().unwrap().push(call);
    let verified = sigv4::verify(
        &Parts {
            method: request.method().as_str(),
            path: request.uri().path(),
            query: request.uri().query().unwrap_or_default(),
            headers: request.headers(),
        },
        &sigv4::body_hash(request.body()),
        Scope {
            region: REGION,
            service: "execute-api",
        },
        |key| Some(credentials()).filter(|known| known.access_key == key),
        ServerClock::default().now_ms(),
    );
    let (status, error_type, body) = match verified {
        Err(refusal) => (403, refusal.error_type(), refusal.message()),
        Ok(_) => {
            let mut script = script.lock().unwrap();
            let Answer(status, error_type, body) = script[0];
            if script.len() > 1 {
                script.pop_front();
            }
            (status, error_type, body.to_owned())
        }
    };
    let mut response = Response::builder().status(status);
    if !error_type.is_empty() {
        response = response.header("x-amzn-ErrorType", error_type);
    }
    response.body(Full::from(body)).unwrap()
}

fn connection() -> ConnectionId {
    make(
        "O4AjK7WwAHSodnk=",
        "abc.execute-api.eu-west-1.amazonaws.com",
        "prod",
    )
    .unwrap()
}

/// The name of what became of it, and all that the log would say.
fn told(done: &Result<(), PostError>) -> (&'static str, String) {
    match done {
        Ok(()) => ("done", String::new()),
        Err(error) => {
            let name = match error {
                PostError::Gone => "gone",
                PostError::Throttled => "throttled",
                PostError::TooLarge => "too large",
                PostError::Unavailable(_) => "unavailable",
                _ => "unknown",
            };
            (name, chain(error))
        }
    }
}

#[tokio::test]
async fn posts_and_closes_arrive_signed_at_the_connection() {
    let gateway = Gateway::new([POSTED, Answer(204, "", "")]).await;
    let posts = gateway.posts(credentials());
    for id in ["O4AjK7WwAHSodnk=", "a/b+c==", "plain"] {
        let connection = make(id, "elsewhere.example", "v1").unwrap();
        posts
            .post(&connection, Bytes::from("hello ✓"))
            .await
            .unwrap();
        posts.close(&connection).await.unwrap();
    }
    let calls = gateway.calls();
    let expected = ["O4AjK7WwAHSodnk%3D", "a%2Fb%2Bc%3D%3D", "plain"].map(|id| {
        let path = format!("/prod/@connections/{id}");
        [
            (Method::POST, path.clone(), Bytes::from("hello ✓")),
            (Method::DELETE, path, Bytes::new()),
        ]
    });
    assert_eq!(calls, expected.concat());
}

#[tokio::test]
async fn each_refusal_is_what_a_caller_can_do_about_it() {
    let cases: [(&[Answer], &str, &str); 11] = [
        (&[POSTED], "done", ""),
        (&[GONE], "gone", ""),
        (&[THROTTLED, THROTTLED, POSTED], "done", ""),
        (
            &[Answer(400, "LimitExceededException:http://x/", ""), GONE],
            "gone",
            "",
        ),
        (
            &[Answer(500, "", ""), Answer(503, "", ""), POSTED],
            "done",
            "",
        ),
        (
            &[Answer(413, "PayloadTooLargeException", "")],
            "too large",
            "",
        ),
        (
            &[Answer(
                400,
                "BadRequestException",
                r#"{"message":"Message Too Large"}"#,
            )],
            "too large",
            "",
        ),
        (
            &[Answer(403, "ForbiddenException", "")],
            "unavailable",
            "403 Forbidden `ForbiddenException`",
        ),
        (
            &[Answer(400, "BadRequestException", "")],
            "unavailable",
            "400 Bad Request `BadRequestException`",
        ),
        (&[Answer(404, "", "")], "unavailable", "404 Not Found ``"),
        (&[Answer(302, "", "")], "unavailable", "302 Found ``"),
    ];
    for (script, outcome, text) in cases {
        for method in [Method::POST, Method::DELETE] {
            let gateway = Gateway::new(script.iter().copied()).await;
            let posts = gateway.posts(credentials());
            let done = match method {
                Method::POST => posts.post(&connection(), Bytes::from("x")).await,
                _ => posts.close(&connection()).await,
            };
            let (name, said) = told(&done);
            assert_eq!(name, outcome, "{said}");
            assert!(said.contains(text), "{said}");
            assert_eq!(gateway.calls().len(), script.len(), "{outcome}: {said}");
            assert_eq!(gateway.left.lock().unwrap().len(), 1);
        }
    }
}

#[tokio::test]
async fn a_gateway_that_does_not_recover_is_given_up_before_the_posts_own_time_is_over() {
    for (answer, outcome) in [
        (THROTTLED, "throttled"),
        (Answer(502, "", ""), "unavailable"),
    ] {
        let gateway = Gateway::new([answer]).await;
        let outbound = Outbound::new(gateway.posts(credentials()));
        let started = Instant::now();
        let done = outbound.post(&connection(), Bytes::from("x")).await;
        assert_eq!(told(&done).0, outcome);
        assert!(started.elapsed() < Duration::from_secs(4));
        let tries = gateway.calls().len();
        assert!((2..=6).contains(&tries), "{tries}");
    }
}

#[tokio::test]
async fn a_message_above_128_kib_is_refused_without_a_call() {
    let gateway = Gateway::new([POSTED]).await;
    let posts = gateway.posts(credentials());
    for (bytes, outcome, calls) in [(LIMIT, "done", 1), (LIMIT + 1, "too large", 1)] {
        let done = posts
            .post(&connection(), Bytes::from(vec![b'x'; bytes]))
            .await;
        assert_eq!((told(&done).0, gateway.calls().len()), (outcome, calls));
    }
}

#[tokio::test]
async fn another_secret_is_refused_and_says_so() {
    let gateway = Gateway::new([POSTED]).await;
    let posts = gateway.posts(Credentials {
        secret_key: "another".to_owned(),
        ..credentials()
    });
    let done = posts.post(&connection(), Bytes::from("x")).await;
    let (name, said) = told(&done);
    assert_eq!(name, "unavailable");
    assert!(
        said.contains("403 Forbidden `InvalidSignatureException`"),
        "{said}"
    );
    assert!(!said.contains("another"), "{said}");
}

#[tokio::test]
async fn a_clock_that_is_wrong_is_put_right_by_the_refusal() {
    let gateway = Gateway::new([POSTED]).await;
    let clock = ServerClock::skewed_by(-3_600_000);
    let posts = ManagementPosts::new(aws(credentials(), clock));
    let posts = posts.through(&gateway.server.url).unwrap();
    for calls in [2, 3] {
        posts.post(&connection(), Bytes::from("x")).await.unwrap();
        assert_eq!(gateway.calls().len(), calls);
    }
}

#[tokio::test]
async fn without_another_url_it_is_https_at_the_address() {
    let gateway = Gateway::new([POSTED]).await;
    let posts = ManagementPosts::new(aws(credentials(), ServerClock::default()));
    let host = gateway.server.url.strip_prefix("http://").unwrap();
    let connection = make("a=", host, "prod").unwrap();
    let (name, said) = told(&posts.post(&connection, Bytes::from("x")).await);
    assert_eq!(name, "unavailable");
    assert!(
        said.contains(&format!("`https://{host}/prod` cannot be connected to")),
        "{said}"
    );
    assert!(gateway.calls().is_empty(), "nothing is sent in clear");
}

#[tokio::test]
async fn what_is_no_address_or_no_url_is_said() {
    let posts = ManagementPosts::new(aws(credentials(), ServerClock::default()));
    let bare = ConnectionId::new("O4AjK7WwAHSodnk=");
    let (name, said) = told(&posts.post(&bare, Bytes::from("x")).await);
    assert_eq!(name, "unavailable");
    assert!(
        said.contains("`O4AjK7WwAHSodnk=` is not of the form"),
        "{said}"
    );
    let error = posts.through("ftp://x").unwrap_err().to_string();
    assert!(error.contains("`ftp://x`"), "{error}");
}
