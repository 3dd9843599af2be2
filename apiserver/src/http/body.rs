//! Response bodies: bytes that are known, spliced from pieces without copying, compressed or not, or a stream of watch
//! events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::{BoxStream, StreamExt};
use http_body::{Frame, SizeHint};

/// Bytes that are compressed before others get their turn: half a millisecond.
const COMPRESSED_AT_ONCE: usize = 64 * 1024;

/// The body of a response of the API server.
pub struct Body {
    inner: Inner,
    /// Whether others had their turn since the last piece.
    yielded: bool,
    /// What is dropped with this.
    guard: Option<Box<dyn Send>>,
}

enum Inner {
    Pieces { pieces: Pieces, left: u64 },
    Gzip { pieces: Pieces, encoder: Option<GzEncoder<Vec<u8>>> },
    Stream(BoxStream<'static, Bytes>),
}

/// Bytes whose length is known: few that are there, or many that are made when they are sent.
enum Pieces {
    Few(VecDeque<Bytes>),
    Made(Box<dyn Iterator<Item = Bytes> + Send>),
}

impl Iterator for Pieces {
    type Item = Bytes;

    fn next(&mut self) -> Option<Bytes> {
        match self {
            Self::Few(pieces) => pieces.pop_front(),
            Self::Made(pieces) => pieces.next(),
        }
    }
}

impl Body {
    /// A body of these pieces, one after the other.
    pub fn pieces(pieces: impl IntoIterator<Item = Bytes>) -> Self {
        let pieces: VecDeque<Bytes> = pieces.into_iter().filter(|piece| !piece.is_empty()).collect();
        let left = pieces.iter().map(|piece| piece.len() as u64).sum();
        Self::new(Inner::Pieces { pieces: Pieces::Few(pieces), left })
    }

    /// A body of pieces that are made one by one when they are sent, and have that length together.
    pub fn made(length: u64, pieces: impl Iterator<Item = Bytes> + Send + 'static) -> Self {
        Self::new(Inner::Pieces { pieces: Pieces::Made(Box::new(pieces)), left: length })
    }

    /// A body that ends when the stream ends. The stream is polled only as fast as the client reads.
    pub fn stream(stream: BoxStream<'static, Bytes>) -> Self {
        Self::new(Inner::Stream(stream))
    }

    fn new(inner: Inner) -> Self {
        Self { inner, yielded: true, guard: None }
    }

    /// The same; `guard` is dropped with it.
    #[must_use]
    pub fn guarded(mut self, guard: impl Send + 'static) -> Self {
        self.guard = Some(match self.guard {
            Some(other) => Box::new((other, guard)),
            None => Box::new(guard),
        });
        self
    }

    /// Whether it is made while it is sent, and has an end.
    pub(crate) fn is_made(&self) -> bool {
        matches!(&self.inner, Inner::Pieces { pieces: Pieces::Made(_), .. } | Inner::Gzip { .. })
    }

    /// The bytes that are known; `None` for a stream or what is compressed. What was to be made later is made now.
    pub fn known(&mut self) -> Option<Vec<u8>> {
        let Inner::Pieces { pieces, .. } = &mut self.inner else { return None };
        let all: VecDeque<Bytes> = pieces.collect();
        let bytes = all.iter().flat_map(|piece| piece.iter().copied()).collect();
        *pieces = Pieces::Few(all);
        Some(bytes)
    }

    /// How many bytes are known to be left; `None` for a stream.
    pub fn known_length(&self) -> Option<u64> {
        match &self.inner {
            Inner::Pieces { left, .. } => Some(*left),
            Inner::Gzip { .. } | Inner::Stream(_) => None,
        }
    }

    /// The same, compressed while it is read; streams stay as they are.
    #[must_use]
    pub fn gzip(self) -> Self {
        let inner = match self.inner {
            Inner::Pieces { pieces, .. } => {
                let encoder = Some(GzEncoder::new(Vec::new(), Compression::fast()));
                Inner::Gzip { pieces, encoder }
            }
            other => other,
        };
        Self { inner, ..self }
    }

    /// No body.
    pub fn empty() -> Self {
        Self::pieces([])
    }
}

impl<T: Into<Bytes>> From<T> for Body {
    fn from(bytes: T) -> Self {
        Self::pieces([bytes.into()])
    }
}

impl http_body::Body for Body {
    type Data = Bytes;
    type Error = Infallible;

    fn poll_frame(
        mut self: Pin<&mut Self>,
        context: &mut Context<'_>,
    ) -> Poll<Option<Result<Frame<Bytes>, Infallible>>> {
        if self.is_made() && !std::mem::replace(&mut self.yielded, false) {
            // Connections write as long as there is something: without a pause nobody else is answered meanwhile.
            self.yielded = true;
            context.waker().wake_by_ref();
            return Poll::Pending;
        }
        match &mut self.inner {
            Inner::Pieces { pieces, left } => Poll::Ready(pieces.next().map(|piece| {
                *left -= piece.len() as u64;
                Ok(Frame::data(piece))
            })),
            Inner::Gzip { pieces, encoder } => {
                Poll::Ready(compressed(pieces, encoder).map(|bytes| Ok(Frame::data(bytes))))
            }
            Inner::Stream(stream) => {
                stream.poll_next_unpin(context).map(|next| next.map(|bytes| Ok(Frame::data(bytes))))
            }
        }
    }

    fn is_end_stream(&self) -> bool {
        matches!(&self.inner, Inner::Pieces { left: 0, .. })
    }

    fn size_hint(&self) -> SizeHint {
        match &self.inner {
            Inner::Pieces { left, .. } => SizeHint::with_exact(*left),
            Inner::Gzip { .. } | Inner::Stream(_) => SizeHint::default(),
        }
    }
}

/// The compressed form of the next pieces; `None` when all was returned.
fn compressed(pieces: &mut Pieces, encoder: &mut Option<GzEncoder<Vec<u8>>>) -> Option<Bytes> {
    let mut read = 0;
    for piece in pieces.by_ref() {
        let writer = encoder.as_mut()?;
        writer.write_all(&piece).expect("writing to memory cannot fail");
        read += piece.len();
        if read >= COMPRESSED_AT_ONCE && !writer.get_ref().is_empty() {
            return Some(std::mem::take(writer.get_mut()).into());
        }
    }
    let rest = encoder.take()?.finish().expect("writing to memory cannot fail");
    Some(rest.into())
}
