//! A provider on this machine answers with key sets, errors or nothing; what a verifier makes of it
//! is checked.

use std::{
    sync::{
        Arc, Mutex,
        atomic::{AtomicUsize, Ordering},
    },
    time::Duration,
};

use serde_json::json;
use streamer::auth::{Algorithm, KeySource, Verifier, VerifierConfig};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt},
    net::{TcpListener, TcpStream},
    sync::Semaphore,
    task::JoinSet,
};

use crate::support::{NOW_MS, Pair, claims};

/// An HTTP server that gives every request the same answer, while its gate is open.
struct Provider {
    shared: Arc<Shared>,
    url: String,
    _task: JoinSet<()>,
}

struct Shared {
    answer: Mutex<String>,
    requests: AtomicUsize,
    gate: Semaphore,
}

impl Provider {
    async fn start() -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let url = format!("http://{}/jwks.json", listener.local_addr().unwrap());
        let shared = Arc::new(Shared {
            answer: Mutex::default(),
            requests: AtomicUsize::new(0),
            gate: Semaphore::new(Semaphore::MAX_PERMITS),
        });
        let mut task = JoinSet::new();
        let state = Arc::clone(&shared);
        task.spawn(async move {
            let mut answers = JoinSet::new();
            while let Ok((stream, _)) = listener.accept().await {
                answers.spawn(answer(stream, Arc::clone(&state)));
            }
        });
        Self {
            shared,
            url,
            _task: task,
        }
    }

    fn answers(&self, status: &str, headers: &str, body: &str) {
        let length = body.len();
        *self.shared.answer.lock().unwrap() =
            format!("HTTP/1.1 {status}\r\ncontent-length: {length}\r\n{headers}\r\n{body}");
    }

    fn serves(&self, keys: &[(&Pair, &str)], headers: &str) {
        let keys: Vec<_> = keys.iter().map(|(pair, kid)| pair.jwk(kid)).collect();
        self.answers("200 OK", headers, &json!({ "keys": keys }).to_string());
    }

    fn requests(&self) -> usize {
        self.shared.requests.load(Ordering::SeqCst)
    }

    fn shut(&self) {
        self.shared.gate.forget_permits(Semaphore::MAX_PERMITS);
    }

    fn open(&self) {
        self.shared.gate.add_permits(1_000);
    }

    async fn was_asked(&self, times: usize) {
        let asked = async {
            while self.requests() < times {
                tokio::task::yield_now().await;
            }
        };
        tokio::time::timeout(Duration::from_secs(10), asked)
            .await
            .expect("no request came");
    }

    fn verifier(&self) -> Verifier {
        Verifier::new(VerifierConfig {
            keys: vec![KeySource::JwksUrl(self.url.clone())],
            ..VerifierConfig::default()
        })
        .unwrap()
    }
}

async fn answer(mut stream: TcpStream, shared: Arc<Shared>) {
    let mut request = Vec::new();
    while !request.ends_with(b"\r\n\r\n") {
        match stream.read_u8().await {
            Ok(byte) => request.push(byte),
            Err(_) => return,
        }
    }
    shared.requests.fetch_add(1, Ordering::SeqCst);
    let _open = shared.gate.acquire().await.unwrap();
    let answer = shared.answer.lock().unwrap().clone();
    // The client hangs up early when the answer is too long for it.
    let _sent = stream.write_all(answer.as_bytes()).await;
}

fn pair() -> Pair {
    Pair::new(Algorithm::ES256)
}

#[tokio::test]
async fn an_unknown_kid_fetches_again_but_not_within_ten_seconds() {
    let (old, new) = (pair(), pair());
    let provider = Provider::start().await;
    provider.serves(&[(&old, "old")], "");
    let verifier = provider.verifier();
    assert_eq!(
        provider.requests(),
        0,
        "a server starts without its provider"
    );
    let (of_old, of_new) = (
        old.token(Some("old"), &claims(&[])),
        new.token(Some("new"), &claims(&[])),
    );
    let check = async |token: &str, after_ms: u64, accepted: bool, requests: usize| {
        let answer = verifier.verify(token, NOW_MS + after_ms).await;
        assert_eq!(
            (answer.is_ok(), provider.requests()),
            (accepted, requests),
            "{after_ms} ms: {answer:?}"
        );
    };
    check(&of_old, 0, true, 1).await;
    check(&of_old, 1, true, 1).await;
    provider.serves(&[(&old, "old"), (&new, "new")], "");
    check(&of_new, 9_999, false, 1).await;
    check(&of_new, 10_000, true, 2).await;
    check(&of_old, 10_000, true, 2).await;
    for after_ms in 10_000..10_100 {
        let junk = old.token(Some(&format!("junk-{after_ms}")), &claims(&[]));
        check(&junk, after_ms, false, 2).await;
    }
    // A bad signature under a known name is no reason to fetch.
    check(&old.token(Some("new"), &claims(&[])), 30_000, false, 2).await;
}

#[tokio::test]
async fn max_age_is_respected_within_bounds() {
    let cases = [
        ("", 300),
        ("cache-control: public, max-age=600\r\n", 600),
        ("cache-control: MAX-AGE=\"600\"\r\n", 600),
        ("cache-control: max-age=0\r\n", 60),
        ("cache-control: max-age=1\r\n", 60),
        ("cache-control: max-age=600, no-store\r\n", 60),
        ("cache-control: max-age=junk\r\n", 60),
        ("cache-control: max-age=31536000\r\n", 86_400),
    ];
    for (headers, kept_s) in cases {
        let key = pair();
        let provider = Provider::start().await;
        provider.serves(&[(&key, "k")], headers);
        let verifier = provider.verifier();
        let exp = (NOW_MS / 1000 + 1_000_000).to_string();
        let token = key.token(Some("k"), &claims(&[("exp", &exp)]));
        for (after_ms, requests) in [(0, 1), (kept_s * 1000 - 1, 1), (kept_s * 1000, 2)] {
            verifier.verify(&token, NOW_MS + after_ms).await.unwrap();
            assert_eq!(
                provider.requests(),
                requests,
                "{headers:?} after {after_ms} ms"
            );
        }
    }
}

#[tokio::test]
async fn keys_stay_in_force_for_a_day_when_the_provider_fails() {
    let key = pair();
    let exp = (NOW_MS / 1000 + 1_000_000).to_string();
    let token = key.token(Some("k"), &claims(&[("exp", &exp)]));
    let huge = "x".repeat(300 * 1024);
    let failures = [
        ("500 Internal Server Error", "", "{}"),
        ("302 Found", "location: http://127.0.0.1:1/\r\n", ""),
        ("200 OK", "", "<html>"),
        ("200 OK", "", r#"{"keys":[]}"#),
        ("200 OK", "", huge.as_str()),
    ];
    for (status, headers, body) in failures {
        let provider = Provider::start().await;
        provider.serves(&[(&key, "k")], "");
        let verifier = provider.verifier();
        verifier.verify(&token, NOW_MS).await.unwrap();
        provider.answers(status, headers, body);
        let day_ms = 24 * 60 * 60 * 1000;
        verifier.verify(&token, NOW_MS + 300_000).await.unwrap();
        assert_eq!(provider.requests(), 2, "{status} {headers}");
        verifier
            .verify(&token, NOW_MS + 300_000 + day_ms - 1)
            .await
            .unwrap();
        let late = verifier.verify(&token, NOW_MS + 300_000 + day_ms).await;
        assert_eq!(
            late.unwrap_err().status(),
            401,
            "{status}: a key must go some day"
        );
        // And it is back at once when the provider is.
        provider.serves(&[(&key, "k")], "");
        verifier
            .verify(&token, NOW_MS + 600_000 + day_ms)
            .await
            .unwrap();
    }
}

#[tokio::test]
async fn without_any_answer_every_token_is_refused() {
    let key = pair();
    let provider = Provider::start().await;
    provider.answers("503 Service Unavailable", "", "");
    let verifier = provider.verifier();
    let token = key.token(Some("k"), &claims(&[]));
    assert_eq!(
        verifier.verify(&token, NOW_MS).await.unwrap_err().status(),
        401
    );
    provider.serves(&[(&key, "k")], "");
    verifier.verify(&token, NOW_MS + 10_000).await.unwrap();
}

#[tokio::test]
async fn tokens_that_come_together_share_one_fetch() {
    let key = pair();
    let provider = Provider::start().await;
    provider.serves(&[(&key, "k")], "");
    provider.shut();
    let verifier = provider.verifier();
    let token = key.token(Some("k"), &claims(&[]));
    let opened = async {
        provider.was_asked(1).await;
        provider.open();
    };
    let verify = || verifier.verify(&token, NOW_MS);
    let (first, second, third, ()) = tokio::join!(verify(), verify(), verify(), opened);
    assert!(first.is_ok() && second.is_ok() && third.is_ok());
    assert_eq!(provider.requests(), 1);
}

#[tokio::test]
async fn a_client_that_hangs_up_does_not_stop_the_fetch() {
    let key = pair();
    let provider = Provider::start().await;
    provider.serves(&[(&key, "k")], "");
    provider.shut();
    let verifier = provider.verifier();
    let token = key.token(Some("k"), &claims(&[]));
    tokio::select! {
        biased;
        answer = verifier.verify(&token, NOW_MS) => panic!("not through a shut gate: {answer:?}"),
        () = provider.was_asked(1) => {}
    }
    let (answer, ()) = tokio::join!(verifier.verify(&token, NOW_MS + 1), async {
        provider.open()
    });
    answer.unwrap();
    assert_eq!(provider.requests(), 1);
}

#[tokio::test(start_paused = true)]
async fn a_provider_that_never_answers_costs_five_seconds() {
    let provider = Provider::start().await;
    provider.shut();
    let verifier = provider.verifier();
    let token = pair().token(None, &claims(&[]));
    let begun = tokio::time::Instant::now();
    assert_eq!(
        verifier.verify(&token, NOW_MS).await.unwrap_err().status(),
        401
    );
    assert_eq!(begun.elapsed().as_secs(), 5);
}

#[tokio::test(start_paused = true)]
async fn a_provider_without_tls_is_no_https_provider() {
    let key = pair();
    let mut provider = Provider::start().await;
    provider.serves(&[(&key, "k")], "");
    provider.url = provider.url.replacen("http:", "https:", 1);
    let token = key.token(Some("k"), &claims(&[]));
    assert_eq!(
        provider
            .verifier()
            .verify(&token, NOW_MS)
            .await
            .unwrap_err()
            .status(),
        401
    );
    assert_eq!(provider.requests(), 0);
}
