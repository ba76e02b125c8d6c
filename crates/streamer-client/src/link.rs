//! Texts to send come in, frames on the socket and what was heard go out. No rule is here.

use std::{future::pending, time::Duration};

use bytes::Bytes;
use futures_util::{
    SinkExt, StreamExt,
    stream::{SplitSink, SplitStream},
};
use streamer_protocol::limits::FRAME_BYTES_MAX;
use tokio::{
    sync::mpsc,
    time::{sleep, timeout},
};
use tokio_tungstenite::tungstenite::{
    self, Message,
    protocol::{
        CloseFrame,
        frame::{
            Frame,
            coding::{CloseCode, Data, OpCode},
        },
    },
};
use tokio_util::{
    sync::{CancellationToken, DropGuard},
    task::TaskTracker,
};

use crate::{
    handshake::Socket,
    state::{IN_FLIGHT_MAX, Link},
};

/// Texts that wait for one socket: all that may be in flight, and as much again for what timed out meanwhile.
pub(crate) const OUTGOING_MAX: usize = 2 * IN_FLIGHT_MAX;
/// Room that is left for messages of the client's own when a caller sends plain text.
const OUTGOING_RESERVED: usize = IN_FLIGHT_MAX;
/// How long the texts before a close frame and the server's answer to it may take.
const CLOSE_WITHIN: Duration = Duration::from_secs(5);
/// How long the server may leave the TCP connection open after its close frame.
const END_WITHIN: Duration = Duration::from_secs(1);

/// What one socket says.
#[derive(Debug)]
pub(crate) enum Event {
    Text(tungstenite::Utf8Bytes),
    /// A binary message, and how long it is.
    Binary(usize),
    /// The end, with the server's close frame if there was one.
    Lost(Option<Closing>),
}

/// What a close frame says.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Closing {
    /// The close code; [`Closing::NONE`] where the frame has none.
    pub code: u16,
    /// Why, in the server's words; often empty.
    pub reason: String,
}

impl Closing {
    /// Stands for a frame without a code (RFC 6455 §7.1.5).
    pub const NONE: u16 = 1005;
}

/// The owner's end of one socket's task; dropping it closes with a close frame.
#[derive(Debug)]
pub(crate) struct Handle {
    outgoing: mpsc::Sender<String>,
    cut: CancellationToken,
    _dropped: DropGuard,
}

/// A socket took none of thousands of texts.
#[derive(Debug)]
pub(crate) struct Stuck;

impl Handle {
    pub(crate) fn send(&self, text: String) -> Result<(), Stuck> {
        // A task that has ended says so by an event: what it did not take is sent again then.
        match self.outgoing.try_send(text) {
            Ok(()) | Err(mpsc::error::TrySendError::Closed(_)) => Ok(()),
            Err(mpsc::error::TrySendError::Full(_)) => Err(Stuck),
        }
    }

    /// Waits until a text has room; the future may be dropped.
    pub(crate) async fn room(&self) {
        // A task that has ended takes no text, and says so by an event.
        let _ = self.outgoing.reserve().await;
    }

    pub(crate) fn has_room(&self) -> bool {
        self.outgoing.capacity() > OUTGOING_RESERVED
    }

    /// Drops the TCP connection without a close frame.
    pub(crate) fn cut(&self) {
        self.cut.cancel();
    }
}

/// Starts the task of one socket; at most `outgoing_max` texts wait for it.
pub(crate) fn start(
    socket: Socket,
    link: Link,
    events: mpsc::Sender<(Link, Event)>,
    tasks: &TaskTracker,
    outgoing_max: usize,
) -> Handle {
    let (outgoing, texts) = mpsc::channel(outgoing_max);
    let (cut, dropped) = (CancellationToken::new(), CancellationToken::new());
    let handle = Handle {
        outgoing,
        cut: cut.clone(),
        _dropped: dropped.clone().drop_guard(),
    };
    tasks.spawn(async move {
        let (sink, stream) = socket.split();
        // Reading goes on while writing waits, so that neither side's full buffer stops both.
        let end = tokio::select! {
            // First, because a cut also ends the texts, which alone would be a close frame.
            biased;
            () = cut.cancelled() => None,
            end = read(stream, link, &events) => end,
            () = write(sink, texts) => None,
            () = async { dropped.cancelled().await; sleep(CLOSE_WITHIN).await } => None,
        };
        // An owner that is gone needs no word.
        let _ = events.send((link, Event::Lost(end))).await;
    });
    handle
}

/// Ends with the connection.
async fn read(
    mut stream: SplitStream<Socket>,
    link: Link,
    events: &mpsc::Sender<(Link, Event)>,
) -> Option<Closing> {
    while let Some(Ok(message)) = stream.next().await {
        match message {
            Message::Text(text) => {
                // Without an owner only the close handshake is left.
                let _ = events.send((link, Event::Text(text))).await;
            }
            Message::Close(frame) => {
                // Reading on is what sends the answer to the close frame.
                let _ = timeout(END_WITHIN, async {
                    while stream.next().await.is_some_and(|read| read.is_ok()) {}
                })
                .await;
                let (code, reason) = frame.map_or((Closing::NONE, String::new()), |frame| {
                    (frame.code.into(), frame.reason.as_str().to_owned())
                });
                return Some(Closing { code, reason });
            }
            Message::Binary(bytes) => {
                let _ = events.send((link, Event::Binary(bytes.len()))).await;
            }
            Message::Ping(_) | Message::Pong(_) | Message::Frame(_) => {}
        }
    }
    None
}

/// Ends when the socket is broken; once all texts are out, sends a close frame.
async fn write(mut sink: SplitSink<Socket, Message>, mut texts: mpsc::Receiver<String>) {
    while let Some(text) = texts.recv().await {
        let fed = feed(&mut sink, text).await;
        // Texts that wait together leave together.
        let sent = if texts.is_empty() {
            fed.and(sink.flush().await)
        } else {
            fed
        };
        if sent.is_err() {
            // The reader may still find the close frame that says why.
            return sleep(END_WITHIN).await;
        }
    }
    let frame = CloseFrame {
        code: CloseCode::Normal,
        reason: "".into(),
    };
    if sink.send(Message::Close(Some(frame))).await.is_ok() {
        pending::<()>().await;
    }
}

/// Queues one text, in frames of at most 32 KiB: API Gateway closes after a larger one.
async fn feed(sink: &mut SplitSink<Socket, Message>, text: String) -> tungstenite::Result<()> {
    if text.len() <= FRAME_BYTES_MAX {
        sink.feed(Message::text(text)).await?;
    } else {
        let mut rest = Bytes::from(text);
        let mut opcode = OpCode::Data(Data::Text);
        while !rest.is_empty() {
            let part = rest.split_to(rest.len().min(FRAME_BYTES_MAX));
            sink.feed(Message::Frame(Frame::message(
                part,
                opcode,
                rest.is_empty(),
            )))
            .await?;
            opcode = OpCode::Data(Data::Continue);
        }
    }
    Ok(())
}
