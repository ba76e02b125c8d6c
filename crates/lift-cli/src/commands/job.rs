//! One message comes in, news of it and how it ended go out.

use std::time::Duration;

use streamer_client::{
    Client, Error, State,
    options::Terms,
    protocol::{request::ClientMessage, view::RequestId},
    request::{Outcome, Progress, Request, Submitted, Update},
};
use tokio::{
    sync::mpsc,
    time::{Instant, sleep, timeout_at},
};

use crate::failure::{Exit, Failure};

/// Wait before plain text is tried again on a connection that takes no more now.
const AGAIN_AFTER: Duration = Duration::from_millis(50);

/// What is known of a request before it ends.
#[derive(Debug)]
pub(crate) enum News {
    Accepted(Option<String>, RequestId),
    Progress(RequestId, Progress),
    Resumed(RequestId, bool),
    Over(RequestId),
}

/// How a message ended.
#[derive(Debug)]
pub(crate) enum End {
    /// It was answered, or plain text is on its way.
    Done,
    /// Its request is complete.
    Complete,
    /// It was refused, or its request failed or was cancelled, or there was no answer.
    Failed(Failure),
    /// The client closed first.
    Lost,
}

/// Submits a message and follows its request, if it becomes one, to the end.
pub(crate) async fn submit(
    client: Client,
    message: ClientMessage,
    news: mpsc::Sender<News>,
) -> End {
    let id = message.id.clone();
    let terms = Terms {
        id: message.id,
        metadata: message.metadata,
        idempotency_key: message.idempotency_key,
        timeout: message.timeout_ms.map(Duration::from_millis),
        answer_within: None,
    };
    match client
        .submit(&message.action, &message.payload, terms)
        .await
    {
        Ok(Submitted::Answered { .. }) => End::Done,
        Ok(Submitted::Accepted(request)) => follow(id, request, &news).await,
        Err(error) => failed(&error),
    }
}

/// Follows a request that was submitted before.
pub(crate) async fn resume(
    client: Client,
    request_id: RequestId,
    after_seq: u64,
    news: mpsc::Sender<News>,
) -> End {
    match client.resume(&request_id, after_seq).await {
        // What ended before `after_seq` is never heard of again.
        Ok(request) if request.status().is_terminal() && after_seq > 0 => End::Done,
        Ok(request) => follow(None, request, &news).await,
        Err(error) => failed(&error),
    }
}

/// Sends plain text as soon as there is a connection that takes it.
pub(crate) async fn send(client: Client, text: String, deadline: Instant) -> End {
    let sent = timeout_at(deadline, async {
        let mut state = client.state();
        loop {
            // A client that has closed says so below.
            let _ = state
                .wait_for(|state| matches!(state, State::Connected | State::Closed { .. }))
                .await;
            match client.send_text(text.clone()).await {
                Err(Error::NotConnected | Error::Busy) => sleep(AGAIN_AFTER).await,
                sent => return sent,
            }
        }
    });
    match sent.await {
        Ok(Ok(())) => End::Done,
        Ok(Err(error)) => failed(&error),
        Err(_elapsed) => failed(&Error::TimedOut),
    }
}

async fn follow(id: Option<String>, mut request: Request, news: &mpsc::Sender<News>) -> End {
    let request_id = request.id().clone();
    // News is for those who still listen.
    let _ = news.send(News::Accepted(id, request_id.clone())).await;
    let end = loop {
        let told = match request.next().await {
            None => break End::Lost,
            Some(Update::Done(outcome)) => break ended(&request_id, &outcome),
            Some(Update::Progress(progress)) => News::Progress(request_id.clone(), progress),
            Some(Update::Resumed { recovered }) => News::Resumed(request_id.clone(), recovered),
        };
        let _ = news.send(told).await;
    };
    let _ = news.send(News::Over(request_id)).await;
    end
}

fn ended(request_id: &RequestId, outcome: &Outcome) -> End {
    match outcome {
        Outcome::Complete(_) => End::Complete,
        Outcome::Cancelled => End::Failed(Failure::new(
            Exit::Failed,
            format!("request `{request_id}` was cancelled"),
            "somebody asked for it",
            "submit it again with a new `idempotency_key` to have it done",
        )),
        Outcome::Failed(body) => End::Failed(Failure::refusal(
            &format!("request `{request_id}` failed"),
            body,
        )),
    }
}

fn failed(error: &Error) -> End {
    match error {
        Error::Closed(_) | Error::Refused { .. } => End::Lost,
        other => End::Failed(Failure::message(other)),
    }
}
