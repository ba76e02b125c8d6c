//! What is said about requests comes in, who hears of it and what to resume goes out.

use std::{
    collections::{BTreeMap, HashMap},
    time::Duration,
};

use streamer_protocol::{
    error::{ErrorBody, ErrorCode},
    limits::RESUME_MAX,
    message,
    request::{ClientMessage, From},
    seq::{Kind, Seen},
    view::{RequestId, Resumed, ResumedEntry, State},
};
use tokio::time::Instant;

use super::{Action, Answer, Link, Ticket};
use crate::{
    error::Error,
    request::{Outcome, Progress, Update},
};

/// A `request.resume` without an answer for this long is asked again.
const ANSWER_WITHIN: Duration = Duration::from_secs(30);
/// Wait before resuming again what could not be recovered.
const AGAIN_AFTER: Duration = Duration::from_secs(2);

/// The requests that somebody follows to their end.
#[derive(Debug, Default)]
pub(super) struct Follows {
    prefix: String,
    asked: u64,
    open: BTreeMap<RequestId, Follow>,
    by_ticket: HashMap<Ticket, RequestId>,
    batches: BTreeMap<String, Batch>,
}

#[derive(Debug)]
struct Follow {
    seen: Seen,
    latest: Option<Progress>,
    tickets: Vec<Ticket>,
    /// Those whose handle is not made yet, with the deadline for that.
    unanswered: Vec<(Ticket, Instant)>,
    attached: Attached,
}

/// Which connection hears of a request.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Attached {
    /// This one, or it was asked to.
    On(Link),
    /// None: resume it, on the live connection from this time, on another at once.
    Due(Instant),
}

/// One `request.resume` that waits for its answer.
#[derive(Debug)]
struct Batch {
    link: Link,
    deadline: Instant,
    requests: Vec<RequestId>,
}

impl Follows {
    pub(super) fn new(prefix: &str) -> Self {
        Self {
            prefix: prefix.to_owned(),
            ..Self::default()
        }
    }

    pub(super) fn len(&self) -> usize {
        self.by_ticket.len()
    }

    pub(super) fn has(&self, request_id: &RequestId) -> bool {
        self.open.contains_key(request_id)
    }

    /// Somebody wants to follow a request of which no message of this client is the origin.
    pub(super) fn ask(&mut self, now: Instant, ticket: Ticket, from: From, deadline: Instant) {
        self.by_ticket.insert(ticket, from.request_id.clone());
        let follow = self.open.entry(from.request_id).or_insert_with(|| Follow {
            seen: Seen::up_to(from.after_seq),
            latest: None,
            tickets: Vec::new(),
            unanswered: Vec::new(),
            attached: Attached::Due(now),
        });
        follow.unanswered.push((ticket, deadline));
        follow.attached = Attached::Due(now);
    }

    /// A message of `ticket` became a request, or was another submission of one.
    ///
    /// A replay may overtake the answer that announces it (API Gateway) and then be taken for an earlier
    /// follower's, so a duplicate that nobody follows now is resumed.
    pub(super) fn accepted(
        &mut self,
        ticket: Ticket,
        request_id: RequestId,
        attached: Attached,
        out: &mut Vec<Action>,
    ) {
        self.by_ticket.insert(ticket, request_id.clone());
        let follow = self.open.entry(request_id).or_insert_with(|| Follow {
            seen: Seen::default(),
            latest: None,
            tickets: Vec::new(),
            unanswered: Vec::new(),
            attached,
        });
        follow.tickets.push(ticket);
        out.extend(
            follow
                .latest
                .clone()
                .map(|latest| Action::Update(ticket, Update::Progress(latest))),
        );
    }

    /// Answers those who wait for a handle of this request.
    pub(super) fn answer(&mut self, request_id: &RequestId, status: State, out: &mut Vec<Action>) {
        let Some(follow) = self.open.get_mut(request_id) else {
            return;
        };
        for (ticket, _) in follow.unanswered.drain(..) {
            let accepted = Answer::Accepted {
                request_id: request_id.clone(),
                status,
                duplicate: true,
            };
            out.push(Action::Answer(ticket, Ok(accepted)));
            out.extend(
                follow
                    .latest
                    .clone()
                    .map(|latest| Action::Update(ticket, Update::Progress(latest))),
            );
            follow.tickets.push(ticket);
        }
    }

    pub(super) fn progress(&mut self, said: message::Progress, out: &mut Vec<Action>) {
        let Some(follow) = self.open.get_mut(&said.request_id) else {
            return;
        };
        if !follow.seen.admit(said.seq, Kind::Progress) {
            return;
        }
        // A new claim may start from an older snapshot: the client shows the maximum.
        let best = follow
            .latest
            .as_ref()
            .map_or(0.0, |latest| latest.percentage);
        let progress = Progress {
            seq: said.seq,
            percentage: said.percentage.max(best),
            message: said.message,
            metadata: said.metadata.unwrap_or_default(),
        };
        out.extend(
            follow
                .tickets
                .iter()
                .map(|ticket| Action::Update(*ticket, Update::Progress(progress.clone()))),
        );
        follow.latest = Some(progress);
    }

    pub(super) fn end(
        &mut self,
        request_id: &RequestId,
        seq: u64,
        outcome: &Outcome,
        out: &mut Vec<Action>,
    ) {
        let news = self
            .open
            .get_mut(request_id)
            .is_some_and(|follow| follow.seen.admit(seq, Kind::Terminal));
        if news {
            self.remove(request_id, outcome, out);
        }
    }

    pub(super) fn forget(&mut self, ticket: Ticket) {
        let Some(request_id) = self.by_ticket.remove(&ticket) else {
            return;
        };
        let Some(follow) = self.open.get_mut(&request_id) else {
            return;
        };
        follow.tickets.retain(|other| *other != ticket);
        if follow.tickets.is_empty() && follow.unanswered.is_empty() {
            self.open.remove(&request_id);
        }
    }

    /// The answers of `link` will not come.
    pub(super) fn lost(&mut self, now: Instant, link: Link) {
        let gone: Vec<_> = self
            .batches
            .extract_if(.., |_, batch| batch.link == link)
            .collect();
        for (_, batch) in gone {
            self.resume_at(&batch.requests, now);
        }
        for follow in self
            .open
            .values_mut()
            .filter(|follow| follow.attached == Attached::On(link))
        {
            follow.attached = Attached::Due(now);
        }
    }

    /// Resumes what is not attached to the live connection, 100 requests a message.
    pub(super) fn flush(&mut self, now: Instant, live: Link, out: &mut Vec<Action>) {
        let mut due = Vec::new();
        for (request_id, follow) in &mut self.open {
            let waits = match follow.attached {
                Attached::On(link) => link != live,
                Attached::Due(at) => at <= now,
            };
            if waits {
                follow.attached = Attached::On(live);
                due.push(From {
                    request_id: request_id.clone(),
                    after_seq: follow.seen.last(),
                });
            }
        }
        for requests in due.chunks(RESUME_MAX) {
            self.asked += 1;
            let id = format!("{}-r{}", self.prefix, self.asked);
            let message = ClientMessage::resume(requests).with_id(id.clone());
            let requests = requests
                .iter()
                .map(|from| from.request_id.clone())
                .collect();
            self.batches.insert(
                id,
                Batch {
                    link: live,
                    deadline: now + ANSWER_WITHIN,
                    requests,
                },
            );
            out.push(Action::Send(live, super::text_of(&message)));
        }
    }

    /// A new connection is up: whatever waits for its time is resumed at once.
    pub(super) fn opened(&mut self, now: Instant) {
        for follow in self.open.values_mut() {
            if let Attached::Due(at) = &mut follow.attached {
                *at = now;
            }
        }
    }

    /// Reads the answer to a `request.resume`; `false` if `id` is of no such message.
    pub(super) fn resumed(
        &mut self,
        now: Instant,
        id: &str,
        said: &message::Response,
        out: &mut Vec<Action>,
    ) -> bool {
        let Some(batch) = self.batches.remove(id) else {
            return false;
        };
        let mut missing = batch.requests;
        let answer: Option<Resumed> = serde_json::from_str(said.data.get()).ok();
        for entry in answer.map(|answer| answer.requests).unwrap_or_default() {
            missing.retain(|other| *other != entry.request_id);
            self.resumed_one(now, entry, out);
        }
        self.resume_at(&missing, now + AGAIN_AFTER);
        true
    }

    /// The whole `request.resume` was refused; `false` if `id` is of no such message.
    pub(super) fn refused(&mut self, now: Instant, id: &str, error: &ErrorBody) -> bool {
        let Some(batch) = self.batches.remove(id) else {
            return false;
        };
        let after = error
            .retry_after_ms
            .map_or(AGAIN_AFTER, Duration::from_millis)
            .max(AGAIN_AFTER);
        self.resume_at(&batch.requests, now + after);
        true
    }

    /// A message on `link` got no answer: where it was a `request.resume`, it is asked again soon.
    pub(super) fn one_failed(&mut self, now: Instant, link: Link) {
        for batch in self.batches.values_mut().filter(|batch| batch.link == link) {
            batch.deadline = batch.deadline.min(now + AGAIN_AFTER);
        }
    }

    pub(super) fn expire(&mut self, now: Instant, out: &mut Vec<Action>) {
        let late: Vec<_> = self
            .batches
            .extract_if(.., |_, batch| batch.deadline <= now)
            .collect();
        for (_, batch) in late {
            self.resume_at(&batch.requests, now);
        }
        let mut expired = Vec::new();
        for follow in self.open.values_mut() {
            expired.extend(
                follow
                    .unanswered
                    .extract_if(.., |(_, deadline)| *deadline <= now),
            );
        }
        for (ticket, _) in expired {
            self.forget(ticket);
            out.push(Action::Answer(ticket, Err(Error::TimedOut)));
        }
    }

    pub(super) fn owed_on(&self, live: Link) -> bool {
        !self.batches.is_empty()
            || self
                .open
                .values()
                .any(|follow| follow.attached != Attached::On(live))
    }

    pub(super) fn next_due(&self, connected: bool) -> Option<Instant> {
        let answers = self
            .open
            .values()
            .flat_map(|follow| &follow.unanswered)
            .map(|(_, deadline)| *deadline);
        let batches = self.batches.values().map(|batch| batch.deadline);
        let resumes = self
            .open
            .values()
            .filter_map(|follow| match follow.attached {
                Attached::Due(at) if connected => Some(at),
                Attached::Due(_) | Attached::On(_) => None,
            });
        answers.chain(batches).chain(resumes).min()
    }

    /// Takes out all, with those who have no handle yet.
    pub(super) fn drain(&mut self) -> impl Iterator<Item = Ticket> {
        self.by_ticket.clear();
        self.batches.clear();
        std::mem::take(&mut self.open)
            .into_values()
            .flat_map(|follow| follow.unanswered)
            .map(|(ticket, _)| ticket)
    }

    fn resumed_one(&mut self, now: Instant, entry: ResumedEntry, out: &mut Vec<Action>) {
        if let Some(error) = entry.error {
            let again = error.retryable || error.code == ErrorCode::TokenExpired;
            if again {
                self.resume_at(&[entry.request_id], now + AGAIN_AFTER);
            } else {
                self.remove(&entry.request_id, &Outcome::Failed(Box::new(error)), out);
            }
            return;
        }
        let recovered = entry.recovered.unwrap_or(true);
        if let Some(follow) = self.open.get(&entry.request_id) {
            let told = follow
                .tickets
                .iter()
                .map(|ticket| Action::Update(*ticket, Update::Resumed { recovered }));
            out.extend(told);
        }
        self.answer(
            &entry.request_id,
            entry.state.unwrap_or(State::Unknown),
            out,
        );
        if !recovered {
            self.resume_at(&[entry.request_id], now + AGAIN_AFTER);
        }
    }

    fn remove(&mut self, request_id: &RequestId, outcome: &Outcome, out: &mut Vec<Action>) {
        let Some(follow) = self.open.remove(request_id) else {
            return;
        };
        for ticket in follow.tickets {
            self.by_ticket.remove(&ticket);
            out.push(Action::Update(ticket, Update::Done(outcome.clone())));
        }
        // Only a refused resume leaves some unanswered: a terminal message answers them first.
        for (ticket, _) in follow.unanswered {
            self.by_ticket.remove(&ticket);
            let error = match outcome {
                Outcome::Failed(error) => Error::Rejected(error.clone()),
                Outcome::Complete(_) | Outcome::Cancelled => Error::TimedOut,
            };
            out.push(Action::Answer(ticket, Err(error)));
        }
    }

    fn resume_at(&mut self, requests: &[RequestId], at: Instant) {
        for request_id in requests {
            if let Some(follow) = self.open.get_mut(request_id) {
                follow.attached = Attached::Due(at);
            }
        }
    }
}
