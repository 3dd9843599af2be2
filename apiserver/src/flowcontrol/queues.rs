//! Who comes next: fair queues that share the seats of one priority level. Nothing here knows what time it is or what a
//! request does. Source: KEP-1040 "Priority and Fairness for API Server Requests"; `k8s.io/apiserver/pkg/util/flowcontrol/
//! fairqueuing/queueset` and `.../util/shufflesharding`.

use std::collections::{BTreeMap, VecDeque};

use super::dump;

/// How long a request is thought to take per seat, in seconds, until it is known. Source: `estimatedServiceDuration`.
const GUESS: f64 = 0.003;

/// How many queues a level has and how long they may be.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) struct Shape {
    /// None: who finds no seat is refused.
    pub(super) queues: usize,
    /// From how many of them a flow takes the shortest.
    pub(super) hand: usize,
    pub(super) length: usize,
}

/// What a request is known by within its level.
pub(super) type Id = u64;

/// What becomes of a request that arrives.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Arrival {
    Seated(Id),
    Waits(Id),
    Refused,
}

#[derive(Debug, Default)]
struct Queue {
    waiting: VecDeque<(Id, u64)>,
    /// When, in virtual time, its next request begins.
    start: f64,
    seats: u64,
    executing: usize,
}

impl Queue {
    fn is_active(&self) -> bool {
        self.executing > 0 || !self.waiting.is_empty()
    }

    fn load(&self) -> u64 {
        self.seats + self.waiting.iter().map(|(_, width)| width).sum::<u64>()
    }
}

#[derive(Clone, Copy, Debug)]
struct Executing {
    queue: Option<usize>,
    width: u64,
    since: f64,
}

/// The queues of a level.
#[derive(Debug)]
pub(super) struct QueueSet {
    shape: Shape,
    queues: Vec<Queue>,
    executing: BTreeMap<Id, Executing>,
    /// How many seats there are now.
    limit: u64,
    seats: u64,
    /// Of these, those of requests that take one.
    narrow: u64,
    next: Id,
    virtual_time: f64,
    seen: f64,
}

#[expect(clippy::cast_precision_loss, reason = "seats and queues are few")]
impl QueueSet {
    pub(super) fn new(shape: Shape, limit: u64) -> Self {
        let queues = (0..shape.queues).map(|_| Queue::default()).collect();
        let executing = BTreeMap::new();
        Self { shape, queues, executing, limit, seats: 0, narrow: 0, next: 0, virtual_time: 0.0, seen: 0.0 }
    }

    pub(super) fn shape(&self) -> Shape {
        self.shape
    }

    /// Gives the level so many seats from now on.
    pub(super) fn set_limit(&mut self, limit: u64) {
        self.limit = limit;
    }

    /// The seats that are taken or waited for.
    pub(super) fn demand(&self) -> u64 {
        self.seats + self.queues.iter().flat_map(|queue| &queue.waiting).map(|(_, width)| width).sum::<u64>()
    }

    /// What it holds now: how many execute, and each queue.
    pub(super) fn dump(&self) -> (usize, Vec<dump::Queue>) {
        let of = |queue: &Queue| {
            let wanted: u64 = queue.waiting.iter().map(|(_, width)| width).sum();
            let (waiting, executing) = (queue.waiting.len(), queue.executing);
            dump::Queue {
                waiting,
                executing,
                seats: queue.seats,
                wanted,
                start: queue.start,
                work: wanted as f64 * GUESS,
            }
        };
        (self.executing.len(), self.queues.iter().map(of).collect())
    }

    #[cfg(test)]
    pub(super) fn is_idle(&self) -> bool {
        self.executing.is_empty() && self.queues.iter().all(|queue| queue.waiting.is_empty())
    }

    /// A request of the flow arrives that takes `width` seats.
    pub(super) fn arrive(&mut self, flow: u64, width: u64, now: f64) -> Arrival {
        self.advance(now);
        let id = self.next;
        if self.queues.is_empty() {
            let width = self.width(width);
            if !self.fits(width) {
                return Arrival::Refused;
            }
            self.next += 1;
            self.seat(id, Executing { queue: None, width, since: now });
            return Arrival::Seated(id);
        }
        let hand = deal(flow, self.queues.len(), self.shape.hand);
        let shortest = hand.into_iter().min_by_key(|queue| (self.queues[*queue].load(), *queue)).unwrap_or_default();
        if self.queues[shortest].waiting.len() >= self.shape.length {
            return Arrival::Refused;
        }
        self.next += 1;
        let virtual_time = self.virtual_time;
        let queue = &mut self.queues[shortest];
        if !queue.is_active() {
            queue.start = virtual_time;
        }
        queue.waiting.push_back((id, width));
        Arrival::Waits(id)
    }

    /// Seats who comes next, as long as there are seats.
    pub(super) fn seat_next(&mut self, now: f64) -> Option<Id> {
        self.advance(now);
        let (at, id, width) = self.next_to_seat()?;
        let queue = &mut self.queues[at];
        queue.waiting.pop_front();
        queue.start += GUESS * width as f64;
        queue.seats += width;
        queue.executing += 1;
        self.seat(id, Executing { queue: Some(at), width, since: now });
        Some(id)
    }

    /// Who comes next is waited for: else a wide request would never be seated among narrow ones. Meanwhile narrow ones take
    /// the seats that no wide one may take.
    fn next_to_seat(&self) -> Option<(usize, Id, u64)> {
        let waiting = self.queues.iter().enumerate().filter_map(|(at, queue)| {
            let (id, width) = *queue.waiting.front()?;
            let width = self.width(width);
            Some((queue.start + GUESS * width as f64, (at, id, width)))
        });
        let first = |of: &mut dyn Iterator<Item = (f64, (usize, Id, u64))>| of.min_by(|a, b| a.0.total_cmp(&b.0));
        let (_, next) = first(&mut waiting.clone())?;
        if self.fits(next.2) {
            return Some(next);
        }
        let (_, narrow) = first(&mut waiting.filter(|(_, (.., width))| *width == 1))?;
        (self.narrow < self.kept() && self.fits(1)).then_some(narrow)
    }

    /// A request is done or its sender is gone.
    pub(super) fn leave(&mut self, id: Id, now: f64) {
        self.advance(now);
        let Some(done) = self.executing.remove(&id) else {
            self.queues.iter_mut().for_each(|queue| queue.waiting.retain(|(waiting, _)| *waiting != id));
            return;
        };
        self.seats -= done.width;
        self.narrow -= u64::from(done.width == 1);
        if let Some(at) = done.queue {
            let queue = &mut self.queues[at];
            // What it took is known now: the queue pays that instead of the guess.
            queue.start += (now - done.since - GUESS) * done.width as f64;
            queue.seats -= done.width;
            queue.executing -= 1;
        }
    }

    fn seat(&mut self, id: Id, executing: Executing) {
        self.seats += executing.width;
        self.narrow += u64::from(executing.width == 1);
        self.executing.insert(id, executing);
    }

    /// The seats that are kept for requests that take one: however many long lists there are, a get finds a seat at once.
    /// Upstream's server has no such rule; there, whoever waits has other processors meanwhile.
    fn kept(&self) -> u64 {
        self.limit / 4
    }

    /// A request takes no more seats than there are for requests like it.
    fn width(&self, width: u64) -> u64 {
        width.min((self.limit - self.kept()).max(1))
    }

    fn fits(&self, width: u64) -> bool {
        let kept = if width > 1 { self.kept() } else { 0 };
        self.seats + width <= self.limit - kept || self.seats == 0
    }

    /// Virtual time passes as fast as every active queue would be served if all of them were served at once.
    fn advance(&mut self, now: f64) {
        let passed = (now - self.seen).max(0.0);
        self.seen = now;
        let active = self.queues.iter().filter(|queue| queue.is_active()).count();
        if active > 0 {
            self.virtual_time += passed * self.demand().min(self.limit) as f64 / active as f64;
        }
    }
}

/// Deals `hand` different cards out of `deck` to a flow: two flows seldom have all cards in common.
pub(super) fn deal(mut flow: u64, deck: usize, hand: usize) -> Vec<usize> {
    let mut rests: Vec<usize> = Vec::with_capacity(hand);
    let mut cards = Vec::with_capacity(hand);
    for at in 0..hand.min(deck) {
        let left = (deck - at) as u64;
        let rest = usize::try_from(flow % left).unwrap_or_default();
        flow /= left;
        let mut card = rest;
        for taken in rests.iter().rev() {
            card += usize::from(card >= *taken);
        }
        rests.push(rest);
        cards.push(card);
    }
    cards
}

#[cfg(test)]
mod tests;
