//! What the owner task learns about one request comes in, updates and the outcome go out to its follower.

use std::collections::BTreeMap;

use serde_json::value::RawValue;
use streamer_protocol::{
    error::ErrorBody,
    message::Complete,
    view::{Cancelling, RequestId, State},
};
use tokio::sync::watch;

use crate::{client::Client, error::Error, owner::Command, state::Ticket};

/// A request that was accepted, followed to its end over every reconnect.
///
/// Dropping it stops following, not the request.
#[derive(Debug)]
pub struct Request {
    id: RequestId,
    status: State,
    duplicate: bool,
    ticket: Ticket,
    updates: watch::Receiver<Heard>,
    told: Told,
    client: Client,
}

/// News of a request.
#[derive(Debug, Clone)]
pub enum Update {
    /// How far it is.
    Progress(Progress),
    /// It is followed again after a reconnect.
    Resumed {
        /// `false` if something may still be missing; it is asked for again.
        recovered: bool,
    },
    /// It ended.
    Done(Outcome),
}

/// How far a request is.
#[derive(Debug, Clone, PartialEq)]
pub struct Progress {
    /// Order of the message: where a later `resume` may start.
    pub seq: u64,
    /// 0–100; never goes down.
    pub percentage: f64,
    /// What is being done, for people.
    pub message: String,
    /// What the task adds, by name.
    pub metadata: BTreeMap<String, serde_json::Value>,
}

/// How a request ended.
#[derive(Debug, Clone)]
pub enum Outcome {
    /// With a result.
    Complete(Output),
    /// Because it was asked to.
    Cancelled,
    /// With an error.
    Failed(Box<ErrorBody>),
}

/// A result.
#[derive(Debug, Clone)]
pub enum Output {
    /// It came along; JSON `null` where there is none.
    Inline(Box<RawValue>),
    /// It is large and has to be fetched.
    At {
        /// Where.
        url: String,
        /// Until when (RFC 3339).
        expires_at: Option<String>,
    },
}

impl Output {
    pub(crate) fn of(said: Complete) -> Self {
        match said.result_url {
            Some(url) => Self::At {
                url,
                expires_at: said.expires_at,
            },
            None => Self::Inline(said.result.unwrap_or_else(|| RawValue::NULL.to_owned())),
        }
    }
}

/// All that was heard: the latest of each kind, because a slow follower needs no more.
#[derive(Debug, Default)]
pub(crate) struct Heard {
    resumes: u64,
    recovered: bool,
    progress: Option<Progress>,
    outcome: Option<Outcome>,
}

impl Heard {
    pub(crate) fn note(&mut self, update: Update) {
        match update {
            Update::Progress(progress) => self.progress = Some(progress),
            Update::Resumed { recovered } => {
                self.resumes += 1;
                self.recovered = recovered;
            }
            Update::Done(outcome) => self.outcome = Some(outcome),
        }
    }
}

/// What of that was passed on.
#[derive(Debug, Default)]
struct Told {
    resumes: u64,
    seq: u64,
    done: bool,
}

impl Told {
    fn next(&mut self, heard: &Heard) -> Option<Update> {
        if heard.resumes > self.resumes {
            self.resumes = heard.resumes;
            return Some(Update::Resumed {
                recovered: heard.recovered,
            });
        }
        let news = heard
            .progress
            .as_ref()
            .filter(|progress| progress.seq > self.seq);
        if let Some(progress) = news {
            self.seq = progress.seq;
            return Some(Update::Progress(progress.clone()));
        }
        let outcome = heard.outcome.as_ref().filter(|_| !self.done)?;
        self.done = true;
        Some(Update::Done(outcome.clone()))
    }
}

impl Request {
    pub(crate) fn new(
        client: Client,
        ticket: Ticket,
        (id, status, duplicate): (RequestId, State, bool),
        updates: watch::Receiver<Heard>,
    ) -> Self {
        Self {
            id,
            status,
            duplicate,
            ticket,
            updates,
            told: Told::default(),
            client,
        }
    }

    /// The server's name of it.
    #[must_use]
    pub fn id(&self) -> &RequestId {
        &self.id
    }

    /// Its state when it was accepted or resumed.
    #[must_use]
    pub fn status(&self) -> State {
        self.status
    }

    /// Whether it was there before, made by a message with the same idempotency key.
    #[must_use]
    pub fn is_duplicate(&self) -> bool {
        self.duplicate
    }

    /// Waits for news; `None` after `Done`, or when the client has closed.
    ///
    /// Progress that came while nobody waited is told once, the latest. The future may be dropped half-way.
    pub async fn next(&mut self) -> Option<Update> {
        loop {
            let news = self.told.next(&self.updates.borrow_and_update());
            if news.is_some() || self.told.done {
                return news;
            }
            if self.updates.changed().await.is_err() {
                // What was noted last may not have been read.
                return self.told.next(&self.updates.borrow_and_update());
            }
        }
    }

    /// Waits for the end.
    ///
    /// # Errors
    /// The client closed first.
    pub async fn outcome(&mut self) -> Result<Outcome, Error> {
        let heard = self.updates.wait_for(|heard| heard.outcome.is_some()).await;
        let outcome = heard.ok().and_then(|heard| heard.outcome.clone());
        match outcome {
            Some(outcome) => {
                self.told.done = true;
                Ok(outcome)
            }
            None => Err(self.client.closed()),
        }
    }

    /// The latest progress.
    #[must_use]
    pub fn progress(&self) -> Option<Progress> {
        self.updates.borrow().progress.clone()
    }

    /// Asks that it be stopped; its end is still to be waited for.
    ///
    /// # Errors
    /// As [`Client::cancel`].
    pub async fn cancel(&self) -> Result<Cancelling, Error> {
        self.client.cancel(&self.id).await
    }
}

impl Drop for Request {
    fn drop(&mut self) {
        // If the queue is full the owner forgets it at its next update.
        self.client.try_tell(Command::Forget(self.ticket));
    }
}

/// What a submitted action turned out to be.
#[derive(Debug)]
pub enum Submitted {
    /// It was answered at once.
    Answered {
        /// The server's name of it.
        request_id: Option<RequestId>,
        /// The answer; JSON `null` where there is none.
        data: Box<RawValue>,
    },
    /// It runs, durably.
    Accepted(Request),
}

/// Answer to a ping.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Pong {
    /// From the call to the answer.
    pub round_trip: std::time::Duration,
    /// The server's time (RFC 3339), where it says so.
    pub server_time: Option<String>,
}
