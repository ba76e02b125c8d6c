//! Options come in, one connection to any server goes out: texts as they are, until it ends.
//!
//! A server says by its choice of subprotocol whether it speaks `streamer.v1`; one that does not
//! may still be talked to, without ids, answers to wait for, or another connection.

use std::{sync::Arc, time::Duration};

use streamer_protocol::SUBPROTOCOL;
use tokio::{
    sync::mpsc,
    time::{Instant, sleep},
};
use tokio_util::task::TaskTracker;

use crate::{
    backoff::Tries,
    client::{Client, fits},
    error::Error,
    handshake::{Accepted, Failed, Target},
    link::{self, Event, Handle},
    options::Options,
    owner,
    state::Link,
};

pub use crate::link::Closing;

/// Texts that wait to be sent; more wait for room.
const OUTGOING_MAX: usize = 64;
/// What came in and waits to be taken; a full queue stops reading.
const EVENTS_MAX: usize = 256;
/// Longest time that `close` waits for the server.
const CLOSE_WITHIN: Duration = Duration::from_secs(10);

/// What a handshake led to.
#[derive(Debug)]
pub enum Opened {
    /// The server chose `streamer.v1`.
    Streamer(Client),
    /// It chose another subprotocol, or none.
    Plain(Plain),
}

/// What came in.
#[derive(Debug, PartialEq, Eq)]
pub enum Heard {
    /// A text, as it came.
    Text(String),
    /// A binary message, and how long it is.
    Binary(usize),
    /// The end, with the server's close frame if there was one.
    Closed(Option<Closing>),
}

/// One connection that is not made again. Dropping it closes it.
#[derive(Debug)]
pub struct Plain {
    /// Its way to the server.
    pub outgoing: Outgoing,
    /// Its way from the server.
    pub incoming: Incoming,
    /// What the server chose of the subprotocols that were offered.
    pub subprotocol: Option<String>,
    tasks: TaskTracker,
}

/// Takes texts.
#[derive(Debug)]
pub struct Outgoing(Handle);

/// Gives what comes in.
#[derive(Debug)]
pub struct Incoming(mpsc::Receiver<(Link, Event)>);

/// Connects to a server that may speak `streamer.v1` or not.
///
/// # Errors
/// `Options` that cannot work; `Refused` with any HTTP status, at once; `Unreachable` for `options.patience`.
pub async fn open(options: Options) -> Result<Opened, Error> {
    let (target, accepted) = first(&options).await?;
    if accepted.subprotocol.as_deref() == Some(SUBPROTOCOL) {
        let way = (target, Some(accepted));
        return Ok(Opened::Streamer(Client::start(way, &options).await?));
    }
    Ok(Opened::Plain(Plain::new(accepted)))
}

impl Plain {
    /// Connects, whatever the server speaks.
    ///
    /// # Errors
    /// Those of [`open`].
    pub async fn connect(options: Options) -> Result<Self, Error> {
        first(&options)
            .await
            .map(|(_, accepted)| Self::new(accepted))
    }

    fn new(accepted: Accepted) -> Self {
        let (events_in, events) = mpsc::channel(EVENTS_MAX);
        let tasks = TaskTracker::new();
        let link = Link::ONLY;
        let handle = link::start(accepted.socket, link, events_in, &tasks, OUTGOING_MAX);
        Self {
            outgoing: Outgoing(handle),
            incoming: Incoming(events),
            subprotocol: accepted.subprotocol,
            tasks,
        }
    }

    /// Sends what waits, then a close frame, and waits for the server's, at most 10 s.
    pub async fn close(self) {
        // Without its events the task reads on to the end.
        drop((self.outgoing, self.incoming));
        self.tasks.close();
        if tokio::time::timeout(CLOSE_WITHIN, self.tasks.wait())
            .await
            .is_err()
        {
            tracing::warn!("the connection did not end in time");
        }
    }
}

impl Outgoing {
    /// Drops the TCP connection without a word, as a broken network does.
    pub fn cut(&self) {
        self.0.cut();
    }

    /// Waits until there is room for one more text. The future may be dropped.
    pub async fn room(&self) {
        self.0.room().await;
    }

    /// Sends a text as it is.
    ///
    /// # Errors
    /// `Invalid` if it is too large; `Busy` where [`Outgoing::room`] would wait.
    pub fn send(&self, text: impl Into<String>) -> Result<(), Error> {
        let text = text.into();
        fits(&text)?;
        self.0.send(text).map_err(|_stuck| Error::Busy)
    }
}

impl Incoming {
    /// What comes in next; after the end nothing more does. The future may be dropped.
    pub async fn next(&mut self) -> Heard {
        match self.0.recv().await {
            Some((_, Event::Text(text))) => Heard::Text(text.as_str().to_owned()),
            Some((_, Event::Binary(bytes))) => Heard::Binary(bytes),
            Some((_, Event::Lost(end))) => Heard::Closed(end),
            None => Heard::Closed(None),
        }
    }
}

/// A status is an answer: who asks is told it. Anything else may pass while patience lasts.
async fn first(options: &Options) -> Result<(Arc<Target>, Accepted), Error> {
    let target = Arc::new(Target::new(options)?);
    let give_up = Instant::now() + options.patience;
    let mut tries = Tries::default();
    let accepted = loop {
        let source = match Arc::clone(&target).dial().await {
            Ok(accepted) => break accepted,
            Err(Failed::Refused(status) | Failed::Unavailable(status)) => {
                return Err(Error::Refused { status });
            }
            Err(Failed::Unreachable(source)) => source,
        };
        let wait = tries.fail(owner::random());
        if Instant::now() + wait > give_up {
            return Err(Error::Unreachable(source));
        }
        sleep(wait).await;
    };
    Ok((target, accepted))
}
