//! Commands, socket events, dials and the clock come in, the pure session's actions are carried out.
//!
//! One task owns the session, the sockets' handles and everybody who waits; all else talks to it by channels.

use std::{collections::HashMap, future::pending, sync::Arc, time::Duration};

use futures_util::{FutureExt, future::BoxFuture};
use serde_json::value::RawValue;
use streamer_protocol::{
    message::{ServerMessage, Unknown},
    request::From,
    view::RequestId,
};
use tokio::{
    sync::{mpsc, oneshot, watch},
    time::{Instant, sleep_until},
};
use tokio_util::task::TaskTracker;

use crate::{
    client::Accepted,
    error::{Error, Source},
    handshake::{self, Failed, Target},
    link::{self, Closing, Event},
    options::Seen,
    request::Heard,
    state::{Action, Answer, Awaits, Call, Input, Link, Session, State, Ticket},
    tap::{Filling, Tap},
};

/// Socket events that wait for the owner task; a full queue stops reading.
const EVENTS_MAX: usize = 256;
/// HTTP status of a server that is there and takes no more connections for now.
const TOO_MANY_REQUESTS: u16 = 429;

pub(crate) type Answered = oneshot::Sender<Result<Reply, Error>>;

/// What handles ask of the owner.
#[derive(Debug)]
pub(crate) enum Command {
    Call {
        id: String,
        text: String,
        deadline: Instant,
        awaits: Awaits,
        reply: Answered,
    },
    Follow {
        from: From,
        deadline: Instant,
        reply: Answered,
    },
    Forget(Ticket),
    Text {
        text: String,
        reply: oneshot::Sender<Result<(), Error>>,
    },
    Cut {
        away: Duration,
    },
    Close,
}

/// What a call is answered with.
#[derive(Debug)]
pub(crate) enum Reply {
    Response {
        request_id: Option<RequestId>,
        data: Box<RawValue>,
    },
    Accepted {
        ticket: Ticket,
        request: Accepted,
        updates: watch::Receiver<Heard>,
    },
    Pong {
        server_time: Option<String>,
    },
}

/// Who waits for the first connection, and until when it is tried.
pub(crate) type First = (oneshot::Sender<Result<(), Error>>, Instant);

/// How every connection is made, and the first one where there is one already.
pub(crate) type Way = (Arc<Target>, Option<handshake::Accepted>);

/// Starts the owner task, which ends after `Close`, a final refusal, or when all handles are gone.
pub(crate) fn start(
    (target, opened): Way,
    prefix: &str,
    commands: mpsc::Receiver<Command>,
    tap: Arc<Tap>,
    first: First,
    tasks: &TaskTracker,
) -> watch::Receiver<State> {
    let session = Session::new(Instant::now(), prefix);
    let (state, watched) = watch::channel(session.state());
    let (events_in, events) = mpsc::channel(EVENTS_MAX);
    let owner = Owner {
        session,
        target,
        opened,
        events_in,
        state,
        tap: Filling(tap),
        tasks: tasks.clone(),
        first: Some(first),
        tickets: 0,
        dialing: None,
        links: HashMap::new(),
        waiting: HashMap::new(),
        following: HashMap::new(),
    };
    tasks.spawn(owner.run(commands, events));
    watched
}

type Dialed = Result<handshake::Accepted, Failed>;
type Dialing = (Link, BoxFuture<'static, Dialed>);

struct Owner {
    session: Session,
    target: Arc<Target>,
    /// A connection that was made before; the first dial finds it.
    opened: Option<handshake::Accepted>,
    events_in: mpsc::Sender<(Link, Event)>,
    state: watch::Sender<State>,
    tap: Filling,
    tasks: TaskTracker,
    first: Option<First>,
    tickets: u64,
    dialing: Option<Dialing>,
    links: HashMap<Link, link::Handle>,
    waiting: HashMap<Ticket, Answered>,
    following: HashMap<Ticket, watch::Sender<Heard>>,
}

impl Owner {
    async fn run(
        mut self,
        mut commands: mpsc::Receiver<Command>,
        mut events: mpsc::Receiver<(Link, Event)>,
    ) {
        self.take(Input::Tick);
        while !matches!(self.session.state(), State::Closed { .. }) {
            let due = self.session.next_due();
            tokio::select! {
                command = commands.recv() => self.obey(command.unwrap_or(Command::Close)),
                Some((link, event)) = events.recv() => self.hear(link, event),
                (link, dialed) = dialed(&mut self.dialing) => self.dialed(link, dialed),
                () = elapsed(due) => self.take(Input::Tick),
            }
        }
    }

    fn obey(&mut self, command: Command) {
        match command {
            Command::Call {
                id,
                text,
                deadline,
                awaits,
                reply,
            } => {
                let ticket = self.ticket(reply);
                self.take(Input::Call(Call {
                    ticket,
                    id,
                    text,
                    deadline,
                    awaits,
                }));
            }
            Command::Follow {
                from,
                deadline,
                reply,
            } => {
                let ticket = self.ticket(reply);
                self.take(Input::Follow {
                    ticket,
                    from,
                    deadline,
                });
            }
            Command::Forget(ticket) => {
                self.following.remove(&ticket);
                self.take(Input::Forget(ticket));
            }
            Command::Text { text, reply } => {
                let link = self.session.live().and_then(|live| self.links.get(&live));
                let sent = match link {
                    None => Err(Error::NotConnected),
                    Some(link) if !link.has_room() => Err(Error::Busy),
                    Some(link) => link.send(text).map_err(|_stuck| Error::Busy),
                };
                // A caller that left does not mind.
                let _ = reply.send(sent);
            }
            Command::Cut { away } => self.take(Input::Cut { away }),
            Command::Close => self.take(Input::Close),
        }
    }

    fn hear(&mut self, link: Link, event: Event) {
        match event {
            Event::Text(text) => {
                self.target.see(Seen::Text(&text));
                self.tap.0.send(&text);
                let message = ServerMessage::parse(text.as_str()).unwrap_or_else(|error| {
                    tracing::debug!(%error, "a message that is not one of the protocol");
                    // It still shows that the connection lives.
                    ServerMessage::Unknown(Unknown {
                        kind: String::new(),
                    })
                });
                self.take(Input::Received(link, Box::new(message)));
            }
            Event::Binary(_) => {}
            Event::Lost(end) => {
                let said = end.map(|end| end.code);
                let code = said.filter(|code| *code != Closing::NONE);
                tracing::debug!(?code, "a connection ended");
                self.target.see(Seen::Lost(said));
                self.links.remove(&link);
                self.take(Input::Lost(link, code));
            }
        }
    }

    fn dialed(&mut self, link: Link, dialed: Dialed) {
        self.dialing = None;
        match dialed {
            Ok(handshake::Accepted { socket, .. }) => {
                let events = self.events_in.clone();
                let handle = link::start(socket, link, events, &self.tasks, link::OUTGOING_MAX);
                self.links.insert(link, handle);
                self.take(Input::Opened(link));
                if let Some((first, _)) = self.first.take() {
                    // A caller that left drops the client, which closes it.
                    let _ = first.send(Ok(()));
                }
            }
            Err(Failed::Refused(status)) => {
                self.take(Input::Refused(status));
                if let Some((first, _)) = self.first.take() {
                    let _ = first.send(Err(Error::Refused { status }));
                }
            }
            Err(Failed::Unavailable(status)) => {
                self.failed(
                    format!("the server answered {status}").into(),
                    unavailable(status),
                );
            }
            Err(Failed::Unreachable(source)) => self.failed(source, Input::DialFailed),
        }
    }

    fn failed(&mut self, source: Source, input: fn(String) -> Input) {
        tracing::debug!(error = %source, "no connection was made");
        self.take(input(source.to_string()));
        let next = self.session.next_due();
        if let Some((first, _)) = self
            .first
            .take_if(|(_, until)| next.is_none_or(|next| next > *until))
        {
            let _ = first.send(Err(Error::Unreachable(source)));
            self.take(Input::Close);
        }
    }

    /// Gives one input to the session and does what it says, and what follows from that.
    fn take(&mut self, input: Input) {
        let mut inputs = vec![input];
        while let Some(input) = inputs.pop() {
            for action in self.session.handle(Instant::now(), random(), input) {
                inputs.extend(self.perform(action));
            }
        }
        let state = self.session.state();
        self.state.send_if_modified(|known| {
            let changed = *known != state;
            *known = state;
            changed
        });
    }

    fn perform(&mut self, action: Action) -> Option<Input> {
        match action {
            Action::Dial(link) => {
                let dial = match self.opened.take() {
                    Some(opened) => std::future::ready(Ok(opened)).boxed(),
                    None => Arc::clone(&self.target).dial().boxed(),
                };
                self.dialing = Some((link, dial));
                None
            }
            Action::Send(link, text) => {
                let stuck = self
                    .links
                    .get(&link)
                    .is_some_and(|handle| handle.send(text).is_err());
                stuck.then(|| {
                    self.cut(link);
                    Input::Lost(link, None)
                })
            }
            Action::Close(link) => {
                self.links.remove(&link);
                None
            }
            Action::Cut(link) => {
                self.cut(link);
                None
            }
            Action::Answer(ticket, answer) => self.answer(ticket, answer),
            Action::Update(ticket, update) => {
                let follower = self.following.get(&ticket)?;
                let done = matches!(update, crate::request::Update::Done(_));
                follower.send_modify(|heard| heard.note(update));
                let left = follower.is_closed();
                if done || left {
                    self.following.remove(&ticket);
                }
                left.then_some(Input::Forget(ticket))
            }
        }
    }

    fn answer(&mut self, ticket: Ticket, answer: Result<Answer, Error>) -> Option<Input> {
        let reply = self.waiting.remove(&ticket)?;
        let answer = match answer {
            Ok(Answer::Response { request_id, data }) => Ok(Reply::Response { request_id, data }),
            Ok(Answer::Pong { server_time }) => Ok(Reply::Pong { server_time }),
            Ok(Answer::Accepted {
                request_id,
                status,
                duplicate,
            }) => {
                let (heard, updates) = watch::channel(Heard::default());
                self.following.insert(ticket, heard);
                Ok(Reply::Accepted {
                    ticket,
                    request: (request_id, status, duplicate),
                    updates,
                })
            }
            Err(error) => Err(error),
        };
        match reply.send(answer) {
            Err(Ok(Reply::Accepted { .. })) => {
                self.following.remove(&ticket);
                Some(Input::Forget(ticket))
            }
            Ok(()) | Err(_) => None,
        }
    }

    fn cut(&mut self, link: Link) {
        if let Some(handle) = self.links.remove(&link) {
            handle.cut();
        }
    }

    fn ticket(&mut self, reply: Answered) -> Ticket {
        self.tickets += 1;
        let ticket = Ticket(self.tickets);
        self.waiting.insert(ticket, reply);
        ticket
    }
}

async fn dialed(dialing: &mut Option<Dialing>) -> (Link, Dialed) {
    match dialing {
        Some((link, dial)) => (*link, dial.await),
        None => pending().await,
    }
}

async fn elapsed(due: Option<Instant>) {
    match due {
        Some(due) => sleep_until(due).await,
        None => pending().await,
    }
}

/// In 0–1, for jitter.
pub(crate) fn random() -> f64 {
    let bits = u32::try_from(random_u64() >> 32).unwrap_or_default();
    f64::from(bits) / f64::from(u32::MAX)
}

/// 64 random bits.
pub(crate) fn random_u64() -> u64 {
    getrandom::u64().expect("the operating system has random numbers")
}

/// A key that no other client makes.
pub(crate) fn random_key() -> String {
    format!("{:016x}{:016x}", random_u64(), random_u64())
}

/// What a status means of which another attempt may have another answer.
fn unavailable(status: u16) -> fn(String) -> Input {
    match status {
        TOO_MANY_REQUESTS => Input::Throttled,
        _ => Input::DialFailed,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn only_too_many_requests_is_a_throttle() {
        for (status, throttled) in [(429, true), (408, false), (500, false), (503, false)] {
            let input = unavailable(status)(String::new());
            assert_eq!(matches!(input, Input::Throttled(_)), throttled, "{status}");
        }
    }
}
