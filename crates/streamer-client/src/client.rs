//! A caller's wishes come in, answers and requests to follow go out; the owner task does the work.

use std::{sync::Arc, time::Duration};

use serde::{Serialize, de::DeserializeOwned};
use serde_json::value::RawValue;
use streamer_protocol::{
    error::FieldError,
    limits::MESSAGE_BYTES_MAX,
    request::{ClientMessage, From, List},
    view::{Cancelling, Page, RequestId, RequestView, State as RequestState},
};
use tokio::{
    sync::{broadcast, mpsc, oneshot, watch},
    time::Instant,
};
use tokio_util::task::TaskTracker;

use crate::{
    error::{Error, Reason},
    handshake::Target,
    options::{Options, Terms},
    owner::{self, Command, Reply, Way},
    request::{Pong, Request, Submitted},
    state::{Awaits, State},
    tap::Tap,
};

/// Commands that wait for the owner task.
const COMMANDS_MAX: usize = 256;
/// Longest time that `close` waits for the server.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// One user's connection to Streamer, kept up over reconnects. Clones share it.
///
/// ```no_run
/// use streamer_client::{Client, options::{Options, Terms}, request::Submitted};
///
/// # async fn run() -> Result<(), streamer_client::Error> {
/// let client = Client::connect(Options::new("ws://127.0.0.1:8080/")).await?;
/// let echo = client.call("echo", "hello", Terms::default()).await?;
/// if let Submitted::Accepted(mut request) = client.submit("process_data", &(), Terms::default()).await? {
///     println!("{echo}, then {:?}", request.outcome().await?);
/// }
/// client.close().await;
/// # Ok(())
/// # }
/// ```
///
/// When the last clone and the last [`Request`] are dropped the connection is closed.
#[derive(Debug, Clone)]
pub struct Client {
    commands: mpsc::Sender<Command>,
    state: watch::Receiver<State>,
    tap: Arc<Tap>,
    tasks: TaskTracker,
    names: Arc<Names>,
    answer_within: Duration,
}

/// Where ids and keys come from.
#[derive(Debug)]
struct Names {
    prefix: String,
    made: std::sync::atomic::AtomicU64,
}

impl Client {
    /// Connects, trying for `options.patience`.
    ///
    /// # Errors
    /// `Options` that cannot work; `Refused` by the server, or it is `Unreachable` in time.
    pub async fn connect(options: Options) -> Result<Self, Error> {
        let target = Arc::new(Target::new(&options)?);
        Self::start((target, None), &options).await
    }

    /// A client; its first connection may be there already.
    pub(crate) async fn start(way: Way, options: &Options) -> Result<Self, Error> {
        let (commands, inbox) = mpsc::channel(COMMANDS_MAX);
        let tap = Arc::new(Tap::default());
        let tasks = TaskTracker::new();
        let prefix = format!("{:08x}", owner::random_u64() >> 32);
        let (first, opened) = oneshot::channel();
        let answer_within = options.answer_within;
        let give_up = Instant::now() + options.patience;
        let state = owner::start(
            way,
            &prefix,
            inbox,
            Arc::clone(&tap),
            (first, give_up),
            &tasks,
        );
        let names = Arc::new(Names {
            prefix,
            made: 0.into(),
        });
        let client = Self {
            commands,
            state,
            tap,
            tasks,
            names,
            answer_within,
        };
        opened.await.unwrap_or_else(|_ended| Err(client.closed()))?;
        Ok(client)
    }

    /// Asks for an action that is answered at once.
    ///
    /// # Errors
    /// `Rejected` by the server, `Deferred` if the action is answered later, `Invalid`, `TimedOut`, `Busy`, `Closed`.
    pub async fn call<T>(
        &self,
        action: &str,
        payload: &T,
        terms: Terms,
    ) -> Result<Box<RawValue>, Error>
    where
        T: Serialize + ?Sized,
    {
        match self.submit(action, payload, terms).await? {
            Submitted::Answered { data, .. } => Ok(data),
            Submitted::Accepted(request) => Err(Error::Deferred(Box::new(request))),
        }
    }

    /// Asks for an action that may be answered at once or later.
    ///
    /// The message carries an idempotency key, so that it is sent again after a reconnect if nothing answered it.
    /// If the future is dropped the message may have been sent.
    ///
    /// # Errors
    /// `Rejected` by the server, `Invalid`, `TimedOut`, `Busy`, `Closed`.
    pub async fn submit<T>(
        &self,
        action: &str,
        payload: &T,
        terms: Terms,
    ) -> Result<Submitted, Error>
    where
        T: Serialize + ?Sized,
    {
        let mut message = ClientMessage::new(action)
            .with_payload(payload)
            .map_err(Error::Json)?;
        message.id = terms.id;
        message.metadata = terms.metadata;
        let key = terms.idempotency_key.unwrap_or_else(owner::random_key);
        message.idempotency_key = Some(key);
        message.timeout_ms = terms
            .timeout
            .map(|timeout| u64::try_from(timeout.as_millis()).unwrap_or(u64::MAX));
        let within = terms.answer_within.unwrap_or(self.answer_within);
        match self.ask(message, within, Awaits::Answer).await? {
            Reply::Response { request_id, data } => Ok(Submitted::Answered { request_id, data }),
            Reply::Accepted {
                ticket,
                request,
                updates,
            } => Ok(Submitted::Accepted(Request::new(
                self.clone(),
                ticket,
                request,
                updates,
            ))),
            Reply::Pong { .. } => Err(Error::TimedOut),
        }
    }

    /// Follows a request that another connection submitted, from after `after_seq`; 0 for all there is.
    ///
    /// Nothing is heard of a request whose terminal message is not above `after_seq`.
    ///
    /// # Errors
    /// `Rejected` with `NOT_FOUND` if the caller has no such request; `TimedOut`, `Busy`, `Closed`.
    pub async fn resume(&self, request_id: &RequestId, after_seq: u64) -> Result<Request, Error> {
        let from = From {
            request_id: request_id.clone(),
            after_seq,
        };
        let deadline = Instant::now() + self.answer_within;
        match self
            .tell(|reply| Command::Follow {
                from,
                deadline,
                reply,
            })
            .await?
        {
            Reply::Accepted {
                ticket,
                request,
                updates,
            } => Ok(Request::new(self.clone(), ticket, request, updates)),
            Reply::Response { .. } | Reply::Pong { .. } => Err(Error::TimedOut),
        }
    }

    /// Reads a request as it is now.
    ///
    /// # Errors
    /// `Rejected` with `NOT_FOUND` if the caller has no such request; `TimedOut`, `Busy`, `Closed`.
    pub async fn get(&self, request_id: &RequestId) -> Result<RequestView, Error> {
        self.control(ClientMessage::get(request_id)).await
    }

    /// Reads a page of the caller's requests, newest first.
    ///
    /// # Errors
    /// `Rejected` if the limit or the cursor is bad; `TimedOut`, `Busy`, `Closed`.
    pub async fn list(&self, list: &List) -> Result<Page, Error> {
        self.control(ClientMessage::list(list)).await
    }

    /// Asks that a request be stopped.
    ///
    /// # Errors
    /// `Rejected` with `NOT_FOUND` if the caller has no such request; `TimedOut`, `Busy`, `Closed`.
    pub async fn cancel(&self, request_id: &RequestId) -> Result<Cancelling, Error> {
        self.control(ClientMessage::cancel(request_id)).await
    }

    /// Measures the way to the server and back.
    ///
    /// # Errors
    /// `TimedOut`, `Busy`, `Closed`.
    pub async fn ping(&self) -> Result<Pong, Error> {
        let start = Instant::now();
        match self
            .ask(ClientMessage::ping(), self.answer_within, Awaits::Pong)
            .await?
        {
            Reply::Pong { server_time } => Ok(Pong {
                round_trip: start.elapsed(),
                server_time,
            }),
            Reply::Response { .. } | Reply::Accepted { .. } => Err(Error::TimedOut),
        }
    }

    /// Sends text as it is, once, on the connection that is there; its answer is seen by [`Client::tap`] alone.
    ///
    /// # Errors
    /// `NotConnected`; `Busy` if the connection does not take more now; `Invalid` if it is too large.
    pub async fn send_text(&self, text: impl Into<String>) -> Result<(), Error> {
        let text = text.into();
        fits(&text)?;
        let (reply, answer) = oneshot::channel();
        let sent = self.commands.send(Command::Text { text, reply }).await;
        sent.map_err(|_ended| self.closed())?;
        answer.await.unwrap_or_else(|_ended| Err(self.closed()))
    }

    /// Every text that comes in, as it comes, from now on; one that lags misses the oldest.
    #[must_use]
    pub fn tap(&self) -> broadcast::Receiver<Arc<str>> {
        self.tap.subscribe()
    }

    /// Where the connection is, now and as it changes.
    #[must_use]
    pub fn state(&self) -> watch::Receiver<State> {
        self.state.clone()
    }

    /// Drops the TCP connection without a word, as a broken network does; the client then reconnects.
    pub async fn cut(&self) {
        self.cut_for(Duration::ZERO).await;
    }

    /// Drops the TCP connection without a word, and makes no other for so long.
    pub async fn cut_for(&self, away: Duration) {
        // A client that is closed has nothing to cut.
        let _ = self.commands.send(Command::Cut { away }).await;
    }

    /// Closes the connection with a close frame and waits until all tasks have ended, at most 10 s.
    ///
    /// Calls and requests that are open end with `Closed`; the requests themselves go on.
    pub async fn close(self) {
        // A client that is closed already only has to be waited for.
        let _ = self.commands.send(Command::Close).await;
        self.tasks.close();
        if tokio::time::timeout(CLOSE_WITHIN, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the connection did not end in time");
        }
    }

    pub(crate) fn closed(&self) -> Error {
        match &*self.state.borrow() {
            State::Closed { reason } => reason.clone().into(),
            State::Connecting { .. } | State::Connected | State::Waiting { .. } => {
                Reason::Asked.into()
            }
        }
    }

    pub(crate) fn try_tell(&self, command: Command) {
        // Only hints are told this way: the owner does without.
        let _ = self.commands.try_send(command);
    }

    async fn control<T: DeserializeOwned>(&self, message: ClientMessage) -> Result<T, Error> {
        match self
            .ask(message, self.answer_within, Awaits::Answer)
            .await?
        {
            Reply::Response { data, .. } => serde_json::from_str(data.get()).map_err(Error::Json),
            Reply::Accepted { .. } | Reply::Pong { .. } => Err(Error::TimedOut),
        }
    }

    async fn ask(
        &self,
        mut message: ClientMessage,
        within: Duration,
        awaits: Awaits,
    ) -> Result<Reply, Error> {
        let id = message.id.take().unwrap_or_else(|| self.names.next());
        let message = message.with_id(id.clone());
        let problems = message.problems();
        if !problems.is_empty() {
            return Err(Error::Invalid(problems));
        }
        let text = serde_json::to_string(&message).map_err(Error::Json)?;
        fits(&text)?;
        let deadline = Instant::now() + within;
        self.tell(|reply| Command::Call {
            id,
            text,
            deadline,
            awaits,
            reply,
        })
        .await
    }

    async fn tell(&self, command: impl FnOnce(owner::Answered) -> Command) -> Result<Reply, Error> {
        let (reply, answer) = oneshot::channel();
        self.commands
            .send(command(reply))
            .await
            .map_err(|_ended| self.closed())?;
        answer.await.unwrap_or_else(|_ended| Err(self.closed()))
    }
}

impl Names {
    fn next(&self) -> String {
        let made = self.made.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        format!("{}-{}", self.prefix, made + 1)
    }
}

pub(crate) fn fits(text: &str) -> Result<(), Error> {
    if text.len() <= MESSAGE_BYTES_MAX {
        return Ok(());
    }
    let message = format!(
        "must be at most {MESSAGE_BYTES_MAX} bytes; it has {}",
        text.len()
    );
    Err(Error::Invalid(vec![FieldError::new("", message)]))
}

/// What an accepted request is known by.
pub(crate) type Accepted = (RequestId, RequestState, bool);
