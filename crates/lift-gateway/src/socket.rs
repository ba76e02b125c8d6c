//! In: bytes of one upgraded connection, frames to write. Out: inputs for its session, bytes; no rules.

use std::future::poll_fn;
use std::mem::MaybeUninit;
use std::pin::{Pin, pin};
use std::task::{Context, Poll};

use futures_util::FutureExt as _;
use lift_apigw::close::Close;
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _, ReadBuf};

use crate::Limits;
use crate::connections::Slot;
use crate::session::outbox::Frame;
use crate::session::{Input, Session, Violation};
use crate::wire::{self, First, HEADER_BYTES_MAX, Heard, Reader};

/// Bytes taken from the transport at once.
const READ_BYTES: usize = 8 * 1024;
/// Frames are gathered up to here before they are written.
const WRITE_BUFFER_BYTES: usize = 8192;
/// Inputs taken from the socket before its session sees them.
const READ_BATCH: usize = 32;
/// Bytes read until others have a turn: without it, a client whose frames cost much and weigh
/// nothing keeps a thread for as long as it sends.
const READ_SLICE_BYTES: usize = 8 * 1024;
/// What a client that broke a rule may still send before its socket is closed for good.
const DISCARD_BYTES_MAX: usize = 1024 * 1024;

/// The frames of one connection. While it is idle it holds no buffer.
#[derive(Debug)]
pub(crate) struct Socket<S> {
    stream: S,
    reader: Reader,
    /// What was read and is not the whole of a frame, or more than there was room for: at most a
    /// frame and what was read with its end.
    unread: Vec<u8>,
    /// Bytes of the fragments that the reader holds, their headers included.
    begun_bytes: usize,
    message_bytes_max: usize,
    /// How many bytes of both the session has counted; so many, a frame's, it does not refuse.
    counted_bytes: usize,
    frame_room_bytes: usize,
    /// Bytes read since the others had a turn.
    slice: usize,
    /// Frames as bytes, and how many of these the transport has taken.
    unwritten: Vec<u8>,
    taken: usize,
    /// How often the transport took some.
    written: u64,
    /// The transport took bytes that it has not been asked to send on.
    unflushed: bool,
    /// What the latest ping is answered with. An earlier one may go without (RFC 6455 §5.5.3), or a
    /// client that sends pings and reads nothing fills the memory with pongs.
    pong: Option<Vec<u8>>,
    /// What the client closed with.
    closed: Option<Option<(u16, String)>>,
    /// The transport took nothing more when it was last offered something.
    blocked: bool,
    /// The client broke a rule; nothing of it is read any more.
    broken: bool,
}

/// The transport is gone.
struct Gone;

impl<S: AsyncRead + AsyncWrite + Unpin> Socket<S> {
    pub(crate) fn new(stream: S, limits: &Limits) -> Self {
        Self {
            stream,
            reader: Reader::new(limits.frame_bytes_max, limits.message_bytes_max),
            unread: Vec::new(),
            begun_bytes: 0,
            message_bytes_max: limits.message_bytes_max,
            counted_bytes: 0,
            frame_room_bytes: limits.frame_bytes_max + HEADER_BYTES_MAX + READ_BYTES,
            slice: 0,
            unwritten: Vec::new(),
            taken: 0,
            written: 0,
            unflushed: false,
            pong: None,
            closed: None,
            blocked: false,
            broken: false,
        }
    }

    /// Writes what the session has and reads what it has room for, until there is an input. Without
    /// room, only control frames and the end are read, up to the first frame of a message.
    ///
    /// Dropping the future loses nothing.
    pub(crate) async fn exchange(&mut self, slot: &Slot, may_read: bool, inputs: &mut Vec<Input>) {
        if self.slice >= READ_SLICE_BYTES {
            tokio::task::yield_now().await;
            self.slice = 0;
        }
        poll_fn(|cx| {
            slot.register(cx);
            if let Err(Gone) = self.poll_write(cx, slot, inputs) {
                inputs.push(Input::Dropped);
            } else {
                // Asked for after the writes, which make room: nothing else may come to wake this.
                let room = slot.with(|session, _| session.read_room()).min(READ_BATCH);
                self.poll_read(cx, slot, if may_read { room } else { 0 }, inputs);
            }
            slot.show();
            if inputs.is_empty() {
                Poll::Pending
            } else {
                Poll::Ready(())
            }
        })
        .await;
    }

    /// Writes all frames that are ready, as many at once as the buffer takes.
    fn poll_write(
        &mut self,
        cx: &mut Context<'_>,
        slot: &Slot,
        inputs: &mut Vec<Input>,
    ) -> Result<(), Gone> {
        loop {
            let before = self.written;
            let done = self.poll_flush(cx)?;
            let moved = done || self.written > before;
            if self.blocked && moved {
                inputs.push(Input::WriteResumed);
            }
            if !done && (moved || !self.blocked) {
                inputs.push(Input::WriteBlocked);
            }
            self.blocked = !done;
            if self.blocked || !slot.with(|session, _| self.gather(session)) {
                return Ok(());
            }
        }
    }

    /// Whether the transport has taken everything.
    fn poll_flush(&mut self, cx: &mut Context<'_>) -> Result<bool, Gone> {
        while let Some(bytes @ [_, ..]) = self.unwritten.get(self.taken..) {
            match Pin::new(&mut self.stream).poll_write(cx, bytes) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(count @ 1..)) => {
                    self.taken += count;
                    self.written = self.written.wrapping_add(1);
                    self.unflushed = true;
                }
                Poll::Ready(Ok(_) | Err(_)) => return Err(Gone),
            }
        }
        if self.unflushed {
            // An idle connection keeps no room for a burst that is over.
            (self.unwritten, self.taken) = (Vec::new(), 0);
            match Pin::new(&mut self.stream).poll_flush(cx) {
                Poll::Pending => return Ok(false),
                Poll::Ready(Ok(())) => self.unflushed = false,
                Poll::Ready(Err(_)) => return Err(Gone),
            }
        }
        Ok(true)
    }

    /// Takes frames to write, once the transport has those before; whether there were any. The pong
    /// goes first, so that there is always room for it.
    fn gather(&mut self, session: &mut Session) -> bool {
        session.written();
        if let Some(payload) = self.pong.take() {
            wire::write(First::Pong, &payload, &mut self.unwritten);
        }
        if session.has_frames() {
            let (frames, bytes) = session.queued();
            let most = bytes + frames * HEADER_BYTES_MAX;
            self.unwritten.reserve(most.min(WRITE_BUFFER_BYTES));
        }
        while self.unwritten.len() < WRITE_BUFFER_BYTES
            && let Some(frame) = session.next_frame()
        {
            write(&frame, &mut self.unwritten);
        }
        !self.unwritten.is_empty()
    }

    fn poll_read(
        &mut self,
        cx: &mut Context<'_>,
        slot: &Slot,
        room: usize,
        inputs: &mut Vec<Input>,
    ) {
        let before = inputs.len();
        if !self.unread.is_empty() {
            self.understand(&[], room, inputs);
            self.count(slot, inputs);
        }
        while inputs.len() == before {
            if room == 0 && is_of_message(&self.unread) {
                return;
            }
            if self.slice >= READ_SLICE_BYTES {
                self.slice = 0;
                // Woken after the runtime has looked at the other sockets, which waking at once
                // would put off.
                _ = pin!(tokio::task::yield_now()).poll(cx);
                return;
            }
            let mut bytes = [const { MaybeUninit::uninit() }; READ_BYTES];
            let mut bytes = ReadBuf::uninit(&mut bytes);
            match Pin::new(&mut self.stream).poll_read(cx, &mut bytes) {
                // Whoever waits for more has rested.
                Poll::Pending => {
                    self.slice = 0;
                    return;
                }
                Poll::Ready(Ok(())) if !bytes.filled().is_empty() => {}
                Poll::Ready(_) => return inputs.push(Input::Dropped),
            }
            self.slice += bytes.filled().len();
            self.understand(bytes.filled(), room, inputs);
            self.count(slot, inputs);
        }
    }

    /// Has the session count what was read and is no whole message.
    fn count(&mut self, slot: &Slot, inputs: &mut Vec<Input>) {
        let bytes = self.unread.len() + self.begun_bytes;
        if bytes == self.counted_bytes || self.broken {
            return;
        }
        let always = self.frame_room_bytes;
        if slot.with(|session, _| session.hold_unread(bytes, always)) {
            self.counted_bytes = bytes;
        } else {
            self.broken = true;
            inputs.push(Input::Violation(Violation::NoRoom));
        }
    }

    /// Makes inputs of what was read, at most so many, and keeps the rest.
    fn understand(&mut self, read: &[u8], room: usize, inputs: &mut Vec<Input>) {
        let mut unread = std::mem::take(&mut self.unread);
        if unread.is_empty() {
            let used = self.parse(read, room, inputs);
            self.unread = read.get(used..).unwrap_or_default().to_vec();
        } else {
            unread.extend_from_slice(read);
            let used = self.parse(&unread, room, inputs);
            if used < unread.len() {
                unread.drain(..used);
                self.unread = unread;
            }
        }
    }

    /// How many bytes were made inputs of.
    fn parse(&mut self, bytes: &[u8], room: usize, inputs: &mut Vec<Input>) -> usize {
        let (mut used, before) = (0, inputs.len());
        while self.closed.is_none() && !self.broken {
            let rest = bytes.get(used..).unwrap_or_default();
            let most = if is_of_message(rest) {
                room
            } else {
                READ_BATCH
            };
            if inputs.len() - before >= most {
                break;
            }
            match self.reader.read(rest) {
                Ok(None) => break,
                Ok(Some((frame_bytes, heard))) => {
                    used += frame_bytes;
                    match heard {
                        Some(heard) => inputs.push(self.input(heard)),
                        None => self.begin(frame_bytes),
                    }
                }
                Err(violation) => {
                    self.broken = true;
                    inputs.push(Input::Violation(violation));
                }
            }
        }
        used
    }

    /// A fragment is kept. Empty ones weigh nothing, however many there are.
    fn begin(&mut self, frame_bytes: usize) {
        let bytes = self.begun_bytes.saturating_add(frame_bytes);
        self.begun_bytes = bytes.min(self.message_bytes_max);
    }

    fn input(&mut self, heard: Heard) -> Input {
        match heard {
            Heard::Text(text) => {
                self.begun_bytes = 0;
                Input::Text(text)
            }
            Heard::Binary => {
                self.begun_bytes = 0;
                Input::Binary
            }
            Heard::Ping(payload) => {
                self.pong = Some(payload);
                Input::Ping
            }
            Heard::Pong => Input::Pong,
            Heard::Close(frame) => {
                self.closed = Some(frame.clone());
                Input::ClientClose(frame)
            }
        }
    }

    /// Writes what is left, then the close frame, and waits until the client has read it, unless its
    /// own was already behind what the gateway closes for.
    pub(crate) async fn close(&mut self, close: Close, slot: &Slot) {
        loop {
            if self.flush().await.is_err() {
                return;
            }
            let is_more = slot.with(|session, _| self.gather(session));
            slot.show();
            if !is_more {
                break;
            }
        }
        wire::write_close(Some((close.code, close.reason)), &mut self.unwritten);
        if self.flush().await.is_err() {
            return;
        }
        if self.broken {
            // A socket closed with bytes unread resets the connection, and the client may then
            // never see the close frame: what it still sends is read and thrown away.
            if self.stream.shutdown().await.is_ok() {
                discard(&mut self.stream).await;
            }
            return;
        }
        let mut inputs = Vec::new();
        while self.closed.is_none() && !self.broken && !inputs.iter().any(is_dropped) {
            inputs.clear();
            poll_fn(|cx| {
                self.poll_read(cx, slot, READ_BATCH, &mut inputs);
                if inputs.is_empty() {
                    Poll::Pending
                } else {
                    Poll::Ready(())
                }
            })
            .await;
        }
    }

    /// Answers the client's close frame, if there was one.
    pub(crate) async fn hang_up(&mut self) {
        if let Some(frame) = self.closed.take() {
            let frame = frame.as_ref();
            let frame = frame.map(|(code, reason)| (*code, reason.as_str()));
            wire::write_close(frame, &mut self.unwritten);
        }
        if !self.broken && self.flush().await.is_ok() {
            // An error here means that the client has closed first.
            _ = self.stream.shutdown().await;
        }
    }

    /// Tells the transport that nothing more comes, if it can be told now: TLS has an end of its own.
    pub(crate) fn end(mut self) {
        _ = self.stream.shutdown().now_or_never();
    }

    async fn flush(&mut self) -> Result<(), Gone> {
        poll_fn(|cx| match self.poll_flush(cx) {
            Ok(true) => Poll::Ready(Ok(())),
            Ok(false) => Poll::Pending,
            Err(gone) => Poll::Ready(Err(gone)),
        })
        .await
    }
}

/// Whether these bytes begin with a frame that is no control frame (RFC 6455 §5.5).
fn is_of_message(bytes: &[u8]) -> bool {
    bytes.first().is_some_and(|first| first & 0x08 == 0)
}

fn is_dropped(input: &Input) -> bool {
    matches!(input, Input::Dropped)
}

fn write(frame: &Frame, to: &mut Vec<u8>) {
    match frame {
        Frame::Text(text) => wire::write(First::Text, text.as_bytes(), to),
        Frame::Binary(bytes) => wire::write(First::Binary, bytes, to),
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
