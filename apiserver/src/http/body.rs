//! Response bodies: bytes that are known, spliced from pieces without copying, compressed or not, or a stream of watch
//! events.

use std::collections::VecDeque;
use std::convert::Infallible;
use std::future::Future;
use std::io::Write;
use std::pin::Pin;
use std::task::{Context, Poll, ready};

use bytes::Bytes;
use flate2::Compression;
use flate2::write::GzEncoder;
use futures::stream::{BoxStream, StreamExt};
use http_body::{Frame, SizeHint};

use crate::flowcontrol::turns::{self, Flow, Turns, Waiting};

/// The size from which on a piece is sent although more follows, and after which it is the turn of others: four TLS records.
pub const PIECE: usize = 64 * 1024;
/// Bytes that are compressed in one turn: a quarter of a millisecond.
const COMPRESSED_AT_ONCE: usize = 32 * 1024;
/// The size of an event, or of some in one piece, from which on the next one of a stream has to wait its turn.
const BULKY: usize = PIECE / 4;

/// The body of a response of the API server.
pub struct Body {
    inner: Inner,
    /// With whom it takes turns, if it is long.
    turns: Option<Turn>,
    /// What is dropped with this.
    guard: Option<Box<dyn Send>>,
}

/// How a body takes turns.
struct Turn {
    turns: Turns,
    flow: Flow,
    waiting: Option<Waiting>,
    /// Whether the next piece may be made without one.
    is_mine: bool,
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
            Self::Few(pieces) => {
                let mut piece = pieces.pop_front()?;
                if piece.len() > 2 * PIECE {
                    pieces.push_front(piece.split_off(PIECE));
                }
                Some(piece)
            }
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
        Self { inner, turns: None, guard: None }
    }

    /// The same; what is long takes turns with others, piece by piece.
    #[must_use]
    pub(crate) fn in_turns(self, turns: &Turns, flow: Flow) -> Self {
        let (is_long, is_mine) = match &self.inner {
            Inner::Pieces { left, .. } => (*left > PIECE as u64, false),
            Inner::Gzip { .. } => (true, false),
            Inner::Stream(_) => (true, true),
        };
        let turn = Turn { turns: turns.clone(), flow, waiting: None, is_mine };
        Self { turns: is_long.then_some(turn), ..self }
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
        let body = &mut *self;
        if let Some(turn) = &mut body.turns {
            ready!(turn.poll(context));
        }
        let piece = match &mut body.inner {
            Inner::Pieces { pieces, left } => {
                let piece = pieces.next();
                *left -= piece.as_ref().map_or(0, |piece| piece.len() as u64);
                piece
            }
            Inner::Gzip { pieces, encoder } => compressed(pieces, encoder),
            Inner::Stream(stream) => ready!(stream.poll_next_unpin(context)),
        };
        if let Some(turn) = &mut body.turns {
            let size = piece.as_ref().map_or(0, Bytes::len);
            turn.is_mine = matches!(body.inner, Inner::Stream(_)) && size < BULKY;
        }
        Poll::Ready(piece.map(|piece| Ok(Frame::data(piece))))
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

impl Turn {
    fn poll(&mut self, context: &mut Context<'_>) -> Poll<()> {
        if self.is_mine {
            return Poll::Ready(());
        }
        if self.waiting.is_none() {
            self.waiting = self.turns.take(self.flow, turns::PIECE);
        }
        if let Some(waiting) = &mut self.waiting {
            let _ = ready!(Pin::new(waiting).poll(context));
        }
        (self.waiting, self.is_mine) = (None, true);
        Poll::Ready(())
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
