//! In: bytes of one upgraded connection, frames to write. Out: inputs for its session, bytes; no rules.

use std::future::poll_fn;
use std::io;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use bytes::Bytes;
use futures_util::{SinkExt as _, StreamExt as _};
use lift_apigw::close::Close;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::error::{CapacityError, ProtocolError};
use tokio_tungstenite::tungstenite::protocol::{CloseFrame, Role, WebSocketConfig};
use tokio_tungstenite::tungstenite::{Error, Message, Utf8Bytes};

use crate::Limits;
use crate::connections::Slot;
use crate::session::codec::Text;
use crate::session::outbox::Frame;
use crate::session::{Input, Violation};

/// The codec's default of 128 KiB would be most of an idle connection's memory.
const READ_BUFFER_BYTES: usize = 4096;
/// Frames are gathered up to here before they are written.
const WRITE_BUFFER_BYTES: usize = 8192;
/// A frame's header, in bytes (RFC 6455 §5.2).
const HEADER_BYTES_MAX: usize = 14;
/// Inputs taken from the socket before its session sees them.
const READ_BATCH: usize = 32;
/// Bytes read until others have a turn: without it, a client whose frames cost much and weigh
/// nothing keeps a thread for as long as it sends.
const READ_SLICE_BYTES: usize = 8 * 1024;
/// What a client that broke a rule may still send before its socket is closed for good.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

/// The frames of one connection.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    frames: WebSocketStream<Counted<S>>,
    frame_bytes_max: usize,
    /// Bytes taken by the transport when it last refused one.
    blocked_at: Option<u64>,
    /// The codec met an error and reads no more.
    broken: bool,
}

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) async fn new(stream: S, limits: &Limits) -> Self {
        // Without a limit, a client that sends pings and reads nothing fills the memory with pongs;
        // with it, further ones are left out, as RFC 6455 §5.5.3 allows.
        let frame_bytes_max = limits.message_bytes_max + HEADER_BYTES_MAX;
        let write_buffer_bytes_max = WRITE_BUFFER_BYTES + frame_bytes_max;
        let config = WebSocketConfig::default()
            .read_buffer_size(READ_BUFFER_BYTES)
            .write_buffer_size(WRITE_BUFFER_BYTES)
            .max_write_buffer_size(write_buffer_bytes_max)
            .max_frame_size(Some(limits.frame_bytes_max))
            .max_message_size(Some(limits.message_bytes_max));
        let stream = Counted {
            stream,
            written: 0,
            slice: 0,
            rests: false,
        };
        let frames = WebSocketStream::from_raw_socket(stream, Role::Server, Some(config)).await;
        Self {
            frames,
            frame_bytes_max: limits.frame_bytes_max,
            blocked_at: None,
            broken: false,
        }
    }

    /// Writes what the session has and reads what it has room for, until there is an input.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn exchange(&mut self, slot: &Slot, may_read: bool, inputs: &mut Vec<Input>) {
        if std::mem::take(&mut self.frames.get_mut().rests) {
            tokio::task::yield_now().await;
        }
        let mut next = || slot.with(|session, _| session.next_frame());
        poll_fn(|cx| {
            if let Err(dropped) = self.poll_write(cx, &mut next, inputs) {
                inputs.push(dropped);
            }
            // Asked for after the writes, which make room: nothing else may come to wake this.
            let room = slot.with(|session, _| session.read_room()).min(READ_BATCH);
            self.poll_read(cx, if may_read { room } else { 0 }, inputs);
            if inputs.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Feeds all frames that are ready, then flushes once.
    ///
    /// What was fed before goes first, pongs of the codec among it: then its buffer has room for
    /// a frame of any size, however many pings came meanwhile.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        next: &mut impl FnMut() -> Option<Frame>,
        inputs: &mut Vec<Input>,
    ) -> Result<(), Input> {
        while self.poll_flush(cx, inputs)? {
            let mut fed = false;
            while let Poll::Ready(ready) = self.frames.poll_ready_unpin(cx) {
                ready.map_err(|_gone| Input::Dropped)?;
                let Some(frame) = next() else { break };
                self.frames
                    .start_send_unpin(message(frame))
                    .map_err(|_gone| Input::Dropped)?;
                fed = true;
            }
            if !fed {
                break;
            }
        }
        Ok(())
    }

    /// Whether the transport has taken everything.
    fn poll_flush(&mut self, cx: &mut Context<'_>, inputs: &mut Vec<Input>) -> Result<bool, Input> {
        let Poll::Ready(flushed) = self.frames.poll_flush_unpin(cx) else {
            self.blocked(inputs);
            return Ok(false);
        };
        flushed.map_err(|_gone| Input::Dropped)?;
        if self.blocked_at.take().is_some() {
            inputs.push(Input::WriteResumed);
        }
        Ok(true)
    }

    fn blocked(&mut self, inputs: &mut Vec<Input>) {
        let written = self.frames.get_ref().written;
        match self.blocked_at.replace(written) {
            Some(before) if before == written => {}
            Some(_) => inputs.extend([Input::WriteResumed, Input::WriteBlocked]),
            None => inputs.push(Input::WriteBlocked),
        }
    }

    fn poll_read(&mut self, cx: &mut Context<'_>, room: usize, inputs: &mut Vec<Input>) {
        for _ in 0..room {
            let Poll::Ready(read) = self.frames.poll_next_unpin(cx) else {
                return;
            };
            let input = match read {
                Some(Ok(Message::Text(text))) => Text::try_from(Bytes::from(text))
                    .map_or(Input::Violation(Violation::InvalidUtf8), Input::Text),
                Some(Ok(Message::Ping(_))) => Input::Ping,
                Some(Ok(Message::Pong(_))) => Input::Pong,
                Some(Ok(Message::Binary(_) | Message::Frame(_))) => Input::Binary,
                Some(Ok(Message::Close(frame))) => Input::ClientClose(
                    frame.map(|frame| (frame.code.into(), frame.reason.as_str().to_owned())),
                ),
                Some(Err(error)) => self.broken(&error),
                None => Input::Dropped,
            };
            let goes_on = matches!(input, Input::Text(_) | Input::Ping | Input::Pong);
            inputs.push(input);
            if !goes_on {
                return;
            }
        }
    }

    fn broken(&mut self, error: &Error) -> Input {
        self.broken = true;
        match error {
            Error::Capacity(CapacityError::MessageTooLong { max_size, .. }) => {
                let is_frame = *max_size == self.frame_bytes_max;
                let (frame, message) = (Violation::FrameTooBig, Violation::MessageTooBig);
                Input::Violation(if is_frame { frame } else { message })
            }
            Error::Utf8(_) => Input::Violation(Violation::InvalidUtf8),
            Error::Protocol(ProtocolError::ResetWithoutClosingHandshake) => Input::Dropped,
            Error::Protocol(_) => Input::Violation(Violation::Protocol),
            _ => Input::Dropped,
        }
    }

    /// Writes what is left, then the close frame, and waits until the client has read it.
    pub(crate) async fn close(&mut self, close: Close, mut next: impl FnMut() -> Option<Frame>) {
        let frame = CloseFrame {
            code: close.code.into(),
            reason: close.reason.into(),
        };
        let written = async {
            while let Some(frame) = next() {
                self.frames.feed(message(frame)).await?;
            }
            self.frames.send(Message::Close(Some(frame))).await
        };
        if written.await.is_err() {
            return;
        }
        if self.broken {
            // A socket closed with bytes unread resets the connection, and the client may then
            // never see the close frame: what it still sends is read and thrown away.
            let stream = self.frames.get_mut();
            if stream.shutdown().await.is_ok() {
                discard(stream).await;
            }
        } else {
            while let Some(Ok(_)) = self.frames.next().await {}
        }
    }

    /// Lets the codec's answer to the client's close frame out.
    pub(crate) async fn hang_up(&mut self) {
        if !self.broken && self.frames.flush().await.is_ok() {
            // An error here means that the client has closed first.
            _ = self.frames.get_mut().shutdown().await;
        }
    }
}

fn message(frame: Frame) -> Message {
    match frame {
        Frame::Text(text) => {
            let text = Utf8Bytes::try_from(text.into_bytes());
            Message::Text(text.unwrap_or_default())
        }
        Frame::Binary(bytes) => Message::Binary(bytes),
    }
}

async fn discard(stream: &mut (impl AsyncRead + Unpin)) {
    let mut buffer = [0; 1024];
    let mut left = DISCARD_BYTES_MAX;
    while let Ok(read @ 1..) = stream.read(&mut buffer).await {
        left = left.saturating_sub(read);
        if left == 0 {
            return;
        }
    }
}

/// A stream that counts the bytes it took, and rests after each slice of bytes it gave.
#[derive(Debug)]
struct Counted<S> {
    stream: S,
    written: u64,
    slice: usize,
    rests: bool,
}

impl<S: AsyncRead + Unpin> AsyncRead for Counted<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if self.slice >= READ_SLICE_BYTES {
            (self.slice, self.rests) = (0, true);
            // Woken after the runtime has looked at the other sockets, which waking at once would
            // put off.
            return pin!(tokio::task::yield_now()).poll(cx).map(Ok);
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(cx, buffer);
        self.slice = match read {
            Poll::Ready(_) => self.slice + (buffer.filled().len() - before),
            // Whoever waits for more has rested.
            Poll::Pending => 0,
        };
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Counted<S> {
    fn poll_write(
        mut self: Pin<&mut Self>,
        cx: &mut Context<'_>,
        bytes: &[u8],
    ) -> Poll<io::Result<usize>> {
        let written = Pin::new(&mut self.stream).poll_write(cx, bytes);
        if let Poll::Ready(Ok(count)) = written {
            self.written = self
                .written
                .saturating_add(u64::try_from(count).unwrap_or(u64::MAX));
        }
        written
    }

    fn poll_flush(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(cx)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, cx: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(cx)
    }
}
