//! A connection of which some bytes were read before, and whose client has to say something in time.

use std::future::Future;
use std::io::{self, IoSlice};
use std::pin::Pin;
use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::task::{Context, Poll, ready};
use std::time::Duration;

use futures::task::AtomicWaker;
use tokio::io::{AsyncRead, AsyncWrite, ReadBuf};
use tokio::time::{Instant, Sleep, sleep};

/// A stream that begins with bytes that were read from it already, or fails when its client is silent for too long.
#[derive(Debug)]
pub(super) struct Patient<S> {
    stream: S,
    /// What is to be read first.
    first: Vec<u8>,
    silence: Option<Silence>,
}

/// How long a client has been silent.
#[derive(Debug)]
struct Silence {
    deadline: Pin<Box<Sleep>>,
    /// Whether the deadline is that of now.
    counts: bool,
    /// How many bytes have to come by the first deadline, whatever else comes.
    awaited: usize,
    /// Whether a request has begun that is not under way yet.
    in_head: bool,
    /// How many requests had begun when that was said.
    begun: usize,
    times: Times,
    requests: Requests,
}

/// How long a client may be silent.
#[derive(Clone, Copy, Debug)]
pub(super) struct Times {
    /// Before its first words.
    pub(super) first: Duration,
    /// From the first byte of a request to the last one of its headers, if anybody can tell from the bytes where it begins.
    pub(super) head: Option<Duration>,
    /// Before the next request.
    pub(super) idle: Duration,
}

/// How many requests are under way over a connection. Clones share the number.
#[derive(Clone, Debug, Default)]
pub(crate) struct Requests(Arc<Counts>);

#[derive(Debug, Default)]
struct Counts {
    begun: AtomicUsize,
    ended: AtomicUsize,
    /// Who counts the time from when a request has ended.
    reader: AtomicWaker,
}

/// A request that is under way until this is dropped.
#[derive(Debug)]
pub(crate) struct UnderWay(Arc<Counts>);

impl Requests {
    fn any(&self) -> bool {
        self.0.begun.load(Ordering::Relaxed) > self.0.ended.load(Ordering::Relaxed)
    }

    pub(crate) fn begin(&self) -> UnderWay {
        self.0.begun.fetch_add(1, Ordering::Relaxed);
        UnderWay(self.0.clone())
    }
}

impl Drop for UnderWay {
    fn drop(&mut self) {
        self.0.ended.fetch_add(1, Ordering::Relaxed);
        self.0.reader.wake();
    }
}

impl<S> Patient<S> {
    /// A stream that begins with these bytes.
    pub(super) fn with(stream: S, first: Vec<u8>) -> Self {
        Self { stream, first, silence: None }
    }

    /// A stream of whose client `awaited` bytes have to come at first, and that may not be silent for longer than that.
    pub(super) fn for_words(stream: S, awaited: usize, times: Times, requests: Requests) -> Self {
        let deadline = Box::pin(sleep(times.first));
        let silence = Silence { deadline, counts: true, awaited, in_head: false, begun: 0, times, requests };
        Self { silence: Some(silence), ..Self::with(stream, Vec::new()) }
    }
}

impl Silence {
    fn heard(&mut self, bytes: usize) {
        let Some(head) = self.times.head else {
            self.awaited = self.awaited.saturating_sub(bytes);
            return;
        };
        self.follow();
        // The headers of the first request have as long as its first words.
        let is_first = std::mem::take(&mut self.awaited) > 0;
        if !is_first && !self.in_head && !self.requests.any() {
            self.count_to(head);
        }
        self.in_head = true;
    }

    /// A request that has begun ends the wait for it, and one may have ended since.
    fn follow(&mut self) {
        let begun = self.requests.0.begun.load(Ordering::Relaxed);
        if begun != self.begun {
            (self.begun, self.counts, self.in_head) = (begun, false, false);
        }
    }

    fn count_to(&mut self, after: Duration) {
        self.deadline.as_mut().reset(Instant::now() + after);
        self.counts = true;
    }

    /// Ready when the client was silent for too long.
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        self.requests.0.reader.register(context.waker());
        self.follow();
        if self.awaited == 0 && self.requests.any() {
            self.counts = false;
            return Poll::Pending;
        }
        if !self.counts {
            self.count_to(self.times.idle);
        }
        self.deadline.as_mut().poll(context)
    }
}

impl<S: AsyncRead + Unpin> AsyncRead for Patient<S> {
    fn poll_read(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        buffer: &mut ReadBuf<'_>,
    ) -> Poll<io::Result<()>> {
        if !self.first.is_empty() {
            let count = self.first.len().min(buffer.remaining());
            buffer.put_slice(&self.first[..count]);
            self.first.drain(..count);
            return Poll::Ready(Ok(()));
        }
        let before = buffer.filled().len();
        let read = Pin::new(&mut self.stream).poll_read(context, buffer);
        let Some(silence) = &mut self.silence else { return read };
        if read.is_pending() {
            ready!(silence.poll(context));
            return Poll::Ready(Err(io::ErrorKind::TimedOut.into()));
        }
        silence.heard(buffer.filled().len() - before);
        read
    }
}

impl<S: AsyncWrite + Unpin> AsyncWrite for Patient<S> {
    fn poll_write(mut self: Pin<&mut Self>, context: &mut Context<'_>, bytes: &[u8]) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write(context, bytes)
    }

    fn poll_flush(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_flush(context)
    }

    fn poll_shutdown(mut self: Pin<&mut Self>, context: &mut Context<'_>) -> Poll<io::Result<()>> {
        Pin::new(&mut self.stream).poll_shutdown(context)
    }

    fn poll_write_vectored(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
        slices: &[IoSlice<'_>],
    ) -> Poll<io::Result<usize>> {
        Pin::new(&mut self.stream).poll_write_vectored(context, slices)
    }

    fn is_write_vectored(&self) -> bool {
        self.stream.is_write_vectored()
    }
}
