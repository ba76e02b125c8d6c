//! In: the body of an answer as it arrives. Out: the same, or that the other side fell silent.

use std::pin::Pin;
use std::task::{Context, Poll};
use std::time::Duration;

use bytes::Bytes;
use hyper::body::{Body, Frame, Incoming, SizeHint};
use tokio::time::{Sleep, sleep};

/// Longest silence within an answer.
const SILENCE: Duration = Duration::from_secs(10);

/// An answer's body; reading it fails once nothing came for ten seconds while somebody waited.
#[derive(Debug)]
pub struct Answer {
    body: Incoming,
    waiting: Option<Pin<Box<Sleep>>>,
}

/// Why an answer broke off.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum BrokenOff {
    /// Nothing came for ten seconds.
    #[error("the answer fell silent")]
    Silent,
    /// The connection failed.
    #[error("the connection failed within the answer")]
    Connection(#[from] hyper::Error),
}

impl Answer {
    pub(crate) fn new(body: Incoming) -> Self {
        Self {
            body,
            waiting: None,
        }
    }
}

impl Body for Answer {
    type Data = Bytes;
    type Error = BrokenOff;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, BrokenOff>>> {
        if let Poll::Ready(frame) = Pin::new(&mut self.body).poll_frame(context) {
            self.waiting = None;
            return Poll::Ready(frame.map(|frame| Ok(frame?)));
        }
        let waiting = self.waiting.get_or_insert_with(|| Box::pin(sleep(SILENCE)));
        waiting
            .as_mut()
            .poll(context)
            .map(|()| Some(Err(BrokenOff::Silent)))
    }

    fn is_end_stream(&self) -> bool {
        self.body.is_end_stream()
    }

    fn size_hint(&self) -> SizeHint {
        self.body.size_hint()
    }
}
