//! The connection to one runner: frames in, frames out.
//!
//! Writing has a task of its own, so that a runner that does not read can never keep its supervisor from looking at the
//! clock. What waits to be written is bounded by [`MAX_WAITING`]. Dropping the link closes the connection, which tells the
//! runner to go.

use bytes::Bytes;
use futures::{SinkExt as _, StreamExt as _};
use tokio::net::UnixStream;
use tokio::net::unix::{OwnedReadHalf, OwnedWriteHalf};
use tokio::sync::mpsc;
use tokio_util::codec::{FramedRead, FramedWrite, LengthDelimitedCodec};
use tokio_util::task::TaskTracker;

use crate::protocol::{FromRunner, ProtocolError, ToRunner, codec};

/// Most frames that wait for the runner to read.
const MAX_WAITING: usize = 8;

/// A connected runner.
#[derive(Debug)]
pub(crate) struct Link {
    frames: FramedRead<OwnedReadHalf, LengthDelimitedCodec>,
    outbox: mpsc::Sender<Bytes>,
}

/// What came.
#[derive(Debug)]
pub(crate) enum Received {
    Message(FromRunner),
    /// The runner closed the connection, perhaps in the middle of a frame.
    Closed,
}

/// A message was not sent because the runner is gone or has stopped reading.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) struct NotSent;

impl Link {
    /// Takes over a connection. The writing task ends with the link.
    pub(crate) fn new(stream: UnixStream, tasks: &TaskTracker) -> Self {
        let (reading, writing) = stream.into_split();
        let (outbox, inbox) = mpsc::channel(MAX_WAITING);
        tasks.spawn(write(FramedWrite::new(writing, codec()), inbox));
        Self { frames: FramedRead::new(reading, codec()), outbox }
    }

    /// For waiting until there is room for one more message while something else is received.
    pub(crate) fn outbox(&self) -> mpsc::Sender<Bytes> {
        self.outbox.clone()
    }

    /// Puts a message on its way.
    pub(crate) fn send(&self, body: Bytes) -> Result<(), NotSent> {
        self.outbox.try_send(body).map_err(|_| NotSent)
    }

    /// Puts a message without user data on its way.
    pub(crate) fn say(&self, message: &ToRunner<'_>) -> Result<(), NotSent> {
        self.send(message.encode().map_err(|_| NotSent)?)
    }

    /// The next message. May be dropped and called again.
    ///
    /// # Errors
    /// When what came is not one; the connection is of no use any more.
    pub(crate) async fn receive(&mut self) -> Result<Received, ProtocolError> {
        match self.frames.next().await {
            Some(Ok(body)) => FromRunner::decode(&body).map(Received::Message),
            Some(Err(error)) if error.kind() == std::io::ErrorKind::InvalidData => Err(ProtocolError::FrameTooBig),
            Some(Err(_)) | None => Ok(Received::Closed),
        }
    }
}

async fn write(mut frames: FramedWrite<OwnedWriteHalf, LengthDelimitedCodec>, mut inbox: mpsc::Receiver<Bytes>) {
    while let Some(body) = inbox.recv().await {
        if frames.send(body).await.is_err() {
            return;
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use tokio::io::AsyncWriteExt as _;

    #[tokio::test]
    async fn what_comes_through_a_socket_is_told_apart() {
        let whole = [&[0, 0, 0, 16][..], br#"{"type":"bound"}"#].concat();
        for (bytes, expected) in [
            (whole.clone(), "message"),
            (whole[..10].to_vec(), "closed"),
            (Vec::new(), "closed"),
            (vec![1, 16, 0, 0], "too big"),
            ([&[0, 0, 0, 4][..], b"null"].concat(), "bad"),
        ] {
            let (ours, mut theirs) = UnixStream::pair().unwrap();
            let mut link = Link::new(ours, &TaskTracker::new());
            theirs.write_all(&bytes).await.unwrap();
            drop(theirs);
            let received = match link.receive().await {
                Ok(Received::Message(_)) => "message",
                Ok(Received::Closed) => "closed",
                Err(ProtocolError::FrameTooBig) => "too big",
                Err(_) => "bad",
            };
            assert_eq!(received, expected);
        }
    }

    #[tokio::test]
    async fn a_runner_that_does_not_read_fills_its_queue_and_nothing_else() {
        let (ours, _theirs) = UnixStream::pair().unwrap();
        let link = Link::new(ours, &TaskTracker::new());
        let body = Bytes::from(vec![b' '; 1024 * 1024]);
        assert!((0..=MAX_WAITING + 1).any(|_| link.send(body.clone()) == Err(NotSent)));
    }
}
