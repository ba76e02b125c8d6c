//! A URL and a token come in; whether the server asks who connects, and speaks the protocol, goes out.

use streamer_client::{
    Error,
    options::{Options, Token},
    plain::Plain,
    protocol::SUBPROTOCOL,
};
use tokio::time::Instant;

use super::{
    finding::Outcome,
    judge::garbled,
    wire::{Wire, connect, told},
};
use crate::{config::Smoke, failure::Failure};

/// # Errors
/// The server cannot be reached at all, or the options cannot work.
pub(super) async fn without_token(config: &Smoke) -> Result<Outcome, Failure> {
    let mut options = config.options.clone();
    options.token = None;
    let url = options.url.clone();
    match attempt(options, config).await {
        Err(Some(error @ (Error::Unreachable(_) | Error::Options(_)))) => {
            Err(Failure::connection(&url, &error))
        }
        other => Ok(refused(other, &[401], config).await),
    }
}

pub(super) async fn with_garbled_token(config: &Smoke) -> Outcome {
    let token = Token::fixed(garbled(&config.token));
    let options = config.options.clone().token(token);
    let attempted = attempt(options, config).await;
    refused(attempted, &[401, 403], config).await
}

pub(super) async fn with_token(wire: &mut Wire) -> Outcome {
    let deadline = wire.deadline();
    match wire.open(deadline).await {
        Ok(Some(chosen)) if chosen == SUBPROTOCOL => Outcome::Ok(format!("chose `{SUBPROTOCOL}`")),
        Ok(Some(chosen)) => Outcome::Failed(format!("it chose `{chosen}`, not `{SUBPROTOCOL}`")),
        Ok(None) => Outcome::Failed(format!(
            "connected, but the server does not choose `{SUBPROTOCOL}`"
        )),
        Err(why) => Outcome::Failed(why),
    }
}

async fn attempt(options: Options, config: &Smoke) -> Result<Plain, Option<Error>> {
    connect(options, Instant::now() + config.limit).await
}

/// Only a refusal with one of these statuses is good.
async fn refused(
    attempted: Result<Plain, Option<Error>>,
    statuses: &[u16],
    config: &Smoke,
) -> Outcome {
    match attempted {
        Ok(plain) => {
            plain.close().await;
            Outcome::Failed("the server lets it in".to_owned())
        }
        Err(Some(Error::Refused { status })) if statuses.contains(&status) => {
            Outcome::Ok(format!("refused with status {status}"))
        }
        Err(error) => Outcome::Failed(told(error.as_ref(), config.limit)),
    }
}
