//! Turns: what takes long is done in small steps, and between them it is the turn of others.
//!
//! A server answers on few threads, so that seats alone do not help: whoever has one would keep the thread until the whole
//! answer is made. So requests and the pieces of long answers take turns. A round is what is done before sockets are asked
//! for news again; in a round there is room for one piece or some requests, and users come one after the other. Whoever
//! sends a small request therefore waits for one piece and not for all lists that are under way, however many those are.

use std::collections::{BTreeMap, VecDeque};
use std::hash::{DefaultHasher, Hash, Hasher};
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::runtime::Handle;
use tokio::sync::oneshot;

use crate::authentication::UserInfo;

/// What a request costs: what is done for one before it is answered takes about a fourth of what a piece takes.
pub(crate) const REQUEST: u32 = 1;
/// What 64 KiB of a long answer cost, or as many objects as take as long to be shaped.
pub(crate) const PIECE: u32 = 4;
/// What there is room for in a round, for each thread that works.
const ROUND: u32 = PIECE;

/// Those who take turns with each other. Clones share everything.
#[derive(Clone, Debug, Default)]
pub(crate) struct Turns(Arc<Mutex<State>>);

/// Who takes turns as one: a user.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Flow(u64);

/// How somebody who waits learns of their turn; it comes with an error if nobody counts turns any more.
pub(crate) type Waiting = oneshot::Receiver<()>;

#[derive(Debug, Default)]
struct State {
    /// Those who wait, each with what it costs, by flow.
    waiting: BTreeMap<Flow, VecDeque<(u32, oneshot::Sender<()>)>>,
    /// Whose turn was the last.
    last: Flow,
    /// What there is still room for in this round.
    room: u32,
    /// Whether anything was done in this round.
    used: bool,
    /// Whether somebody begins the next round.
    counting: bool,
}

impl Flow {
    pub(crate) fn of(user: &UserInfo) -> Self {
        let mut hasher = DefaultHasher::new();
        user.name.hash(&mut hasher);
        Self(hasher.finish())
    }
}

impl Turns {
    /// Takes a turn that costs so much: at once (`None`), or when it comes.
    pub(crate) fn take(&self, flow: Flow, cost: u32) -> Option<Waiting> {
        self.take_if(flow, cost, true)
    }

    /// The same for somebody who waits their turn among others, but makes nobody wait: a request that came over no socket.
    pub(crate) fn join(&self, flow: Flow, cost: u32) -> Option<Waiting> {
        self.take_if(flow, cost, false)
    }

    /// Waits for a turn.
    pub(crate) async fn turn(&self, flow: Flow, cost: u32) {
        if let Some(waiting) = self.take(flow, cost) {
            let _ = waiting.await;
        }
    }

    fn take_if(&self, flow: Flow, cost: u32, counts: bool) -> Option<Waiting> {
        let mut state = self.0.lock();
        if !state.counting {
            let runtime = Handle::try_current().ok().filter(|_| counts)?;
            state.counting = true;
            state.room = room();
            runtime.spawn(count(Counter(self.clone())));
        }
        if state.waiting.is_empty() && state.room > 0 {
            state.spend(cost);
            return None;
        }
        let (turn, waiting) = oneshot::channel();
        state.waiting.entry(flow).or_default().push_back((cost, turn));
        Some(waiting)
    }
}

fn room() -> u32 {
    let workers = Handle::try_current().map_or(1, |runtime| runtime.metrics().num_workers());
    ROUND.saturating_mul(u32::try_from(workers).unwrap_or(1))
}

/// Counts rounds as long as somebody takes turns.
async fn count(counter: Counter) {
    loop {
        // Goes on when all that was ready has run and sockets were asked for news.
        tokio::task::yield_now().await;
        let mut state = counter.0.0.lock();
        state.begin_round(room());
        if !state.used {
            state.counting = false;
            return;
        }
    }
}

/// Whoever counts rounds. If it is dropped with its runtime nobody goes on waiting for it.
struct Counter(Turns);

impl Drop for Counter {
    fn drop(&mut self) {
        let mut state = self.0.0.lock();
        state.counting = false;
        state.waiting.clear();
    }
}

impl State {
    fn spend(&mut self, cost: u32) {
        self.room = self.room.saturating_sub(cost);
        self.used = true;
    }

    /// Gives turns to those who wait, one flow after the other, as long as there is room.
    fn begin_round(&mut self, room: u32) {
        (self.room, self.used) = (room, false);
        while self.room > 0 {
            let Some((cost, turn)) = self.next() else { return };
            // Whoever does not wait any more has cost nothing.
            if turn.send(()).is_ok() {
                self.spend(cost);
            }
        }
    }

    fn next(&mut self) -> Option<(u32, oneshot::Sender<()>)> {
        let after = (std::ops::Bound::Excluded(self.last), std::ops::Bound::Unbounded);
        let mut flow = self.waiting.range_mut(after).next();
        if flow.is_none() {
            flow = self.waiting.iter_mut().next();
        }
        let (flow, queue) = flow?;
        self.last = *flow;
        let next = queue.pop_front();
        if queue.is_empty() {
            let flow = *flow;
            self.waiting.remove(&flow);
        }
        next
    }
}

#[cfg(test)]
mod tests;
