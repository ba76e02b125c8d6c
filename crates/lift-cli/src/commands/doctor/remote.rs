//! A URL and keys come in; whether a server there is well, and how fast it answers, goes out.

use std::{path::Path, time::Duration};

use streamer::auth::{Keys, MintRequest, mint};
use streamer_client::{
    Client, Error,
    options::{Options, Terms, Token},
};
use tokio::time::Instant;

use super::Finding;
use crate::{
    config::trusting,
    failure::{Exit, Failure, chain},
    output::now_ms,
};

/// The user and tenant of the token that is minted.
const WHO: &str = "lift-doctor";
/// How long that token is good: for one echo.
const TOKEN_FOR: Duration = Duration::from_secs(60);
/// Longest time for each answer.
const ANSWER_WITHIN: Duration = Duration::from_secs(5);
/// An echo on one machine takes less.
const SLOW: Duration = Duration::from_millis(100);

pub(super) fn check(
    url: &str,
    ca: Option<&Path>,
    data_dir: Option<&Path>,
    findings: &mut Vec<Finding>,
) -> Result<(), Failure> {
    let help = "the system refused it; check the limits of this process";
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build();
    let runtime = runtime
        .map_err(|error| Failure::file(Exit::Failed, "`lift doctor` cannot start", &error, help))?;
    let mut options = Options::new(url)
        .patience(Duration::ZERO)
        .answer_within(ANSWER_WITHIN);
    if let Some(file) = ca {
        options = trusting(options, file)?;
    }
    runtime.block_on(async {
        for (check, path) in [("healthz", "/healthz"), ("readyz", "/readyz")] {
            findings.push(health(check, path, &options).await);
        }
        findings.push(match data_dir.map(|dir| Keys::read(&dir.join("keys"))) {
            Some(Ok(keys)) => echo(&keys, options).await,
            Some(Err(_)) | None => stranger(options).await,
        });
    });
    Ok(())
}

/// The answer of a health endpoint, asked as a WebSocket would be: over the same name, TLS and proxy.
async fn health(check: &'static str, path: &str, options: &Options) -> Finding {
    let mut options = options.clone();
    options.url = beside(&options.url, path);
    let begun = Instant::now();
    match Client::connect(options.clone()).await {
        Err(Error::Refused { status: 200 }) => {
            Finding::ok(check, format!("200 after {}", ms(begun.elapsed())))
        }
        Ok(client) => {
            client.close().await;
            Finding::failed(
                check,
                format!("`{}` takes WebSockets", options.url),
                "check the URL and the proxy",
            )
        }
        Err(error) => Finding::failure(check, &Failure::connection(&options.url, &error)),
    }
}

/// A URL of the same server.
fn beside(url: &str, path: &str) -> String {
    let (scheme, rest) = url.split_once("://").unwrap_or(("ws", url));
    let authority = rest.split(['/', '?', '#']).next().unwrap_or_default();
    format!("{scheme}://{authority}{path}")
}

async fn echo(keys: &Keys, options: Options) -> Finding {
    const CHECK: &str = "echo";
    let request = MintRequest {
        sub: WHO.to_owned(),
        tenant: Some(WHO.to_owned()),
        permissions: Some(vec!["echo".to_owned()]),
        issuer: None,
        audience: None,
        expires_in: TOKEN_FOR,
        now_ms: now_ms(),
    };
    let token = match mint(keys, &request) {
        Ok(token) => token,
        Err(error) => {
            return Finding::failed(CHECK, chain(&error), "`lift token keygen` adds a key");
        }
    };
    let url = options.url.clone();
    let begun = Instant::now();
    let client = match Client::connect(options.token(Token::fixed(token))).await {
        Ok(client) => client,
        Err(error) => return Finding::failure(CHECK, &Failure::connection(&url, &error)),
    };
    let connected = begun.elapsed();
    let begun = Instant::now();
    let answer = client.call("echo", WHO, Terms::default()).await;
    let answered = begun.elapsed();
    client.close().await;
    match answer {
        Err(error) => Finding::failure(CHECK, &Failure::message(&error)),
        Ok(_) => {
            let found = format!(
                "connected in {}, answered in {}",
                ms(connected),
                ms(answered)
            );
            if answered < SLOW {
                Finding::ok(CHECK, found)
            } else {
                let help = "look at the load of the machine, and at the network between";
                Finding::warning(CHECK, found, help)
            }
        }
    }
}

/// Without keys no token can be made: it is good if the server refuses who has none.
async fn stranger(options: Options) -> Finding {
    const CHECK: &str = "handshake";
    let url = options.url.clone();
    match Client::connect(options).await {
        Err(Error::Refused { status: 401 }) => {
            Finding::ok(CHECK, "a client without a token is refused (401)")
        }
        Err(error) => Finding::failure(CHECK, &Failure::connection(&url, &error)),
        Ok(client) => {
            client.close().await;
            let help = "is this the server, or something in front of it that lets everyone in?";
            Finding::warning(CHECK, "a client without a token is let in", help)
        }
    }
}

fn ms(time: Duration) -> String {
    format!("{:.1} ms", time.as_secs_f64() * 1000.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_health_of_a_url_is_asked_at_its_own_host() {
        for (url, expected) in [
            ("ws://127.0.0.1:7070", "ws://127.0.0.1:7070/healthz"),
            ("wss://a.example/path?x=1", "wss://a.example/healthz"),
            ("ws://[::1]:1/", "ws://[::1]:1/healthz"),
        ] {
            assert_eq!(beside(url, "/healthz"), expected);
        }
    }
}
