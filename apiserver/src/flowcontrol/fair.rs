//! The levels at work: requests are seated, wait or are refused.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use ring::digest;
use serde_json::Value;
use steersman_machinery::meta;
use tokio::sync::oneshot;
use tokio::time::Instant;

use super::classify::Schema;
use super::dump;
use super::queues::{Arrival, Id, QueueSet, Shape};
use super::seats::{self, Bounds, Demand, Shares};
use crate::authentication::UserInfo;
use crate::http::request_info::RequestInfo;

/// How long a request waits for a seat. Source: a quarter of the time that a request may take.
const WAIT_LIMIT: Duration = Duration::from_secs(15);
/// How often, in seconds, levels lend and borrow. Source: `borrowingAdjustmentPeriod`.
const ADJUSTMENT: f64 = 10.0;

/// Where a request belongs, by the uids of the objects.
#[derive(Clone, Debug, Default)]
pub(crate) struct Classified {
    pub(crate) schema_uid: String,
    pub(crate) level_uid: String,
    pub(super) schema: String,
    pub(super) level: String,
    exempt: bool,
    flow: u64,
}

/// Divides the seats among the levels.
#[derive(Debug)]
pub(super) struct Fair {
    total: u64,
    started: Instant,
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    /// In the order in which they are tried; only those whose level exists.
    schemas: Arc<Vec<Schema>>,
    levels: BTreeMap<String, Level>,
    adjusted: f64,
    generation: u64,
}

#[derive(Debug)]
struct Level {
    uid: String,
    /// The queues; none if everybody is let in.
    queues: Option<QueueSet>,
    shares: Shares,
    bounds: Bounds,
    demand: Demand,
    waiting: BTreeMap<Id, oneshot::Sender<()>>,
    generation: u64,
}

/// A seat, or a place in a queue. It is given back when this is dropped.
#[derive(Debug)]
pub(crate) struct Place {
    fair: Arc<Fair>,
    level: String,
    generation: u64,
    id: Id,
}

impl Fair {
    pub(super) fn new(total: u64) -> Self {
        Self { total, started: Instant::now(), state: Mutex::default() }
    }

    fn now(&self) -> f64 {
        self.started.elapsed().as_secs_f64()
    }

    /// Works with these objects from now on.
    pub(super) fn configure(&self, schemas: &[Value], levels: &[Value]) {
        let mut state = self.state.lock();
        state.generation += 1;
        let generation = state.generation;
        let mut before = std::mem::take(&mut state.levels);
        for object in levels {
            let name = meta::name(object).to_owned();
            let level = Level::read(object, before.remove(&name), generation);
            state.levels.insert(name, level);
        }
        // Whoever waits at a level that is gone need not wait any more: dropping it lets them pass.
        drop(before);
        let mut schemas: Vec<Schema> = schemas.iter().map(Schema::read).collect();
        schemas.retain(|schema| state.levels.contains_key(&schema.level));
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        state.schemas = Arc::new(schemas);
        let all: Vec<Shares> = state.levels.values().map(|level| level.shares).collect();
        let bounds = seats::bounds(self.total, &all);
        for (level, bounds) in state.levels.values_mut().zip(bounds) {
            let changed = level.bounds != bounds;
            level.bounds = bounds;
            if let Some(queues) = level.queues.as_mut().filter(|_| changed) {
                queues.set_limit(bounds.nominal.max(1));
            }
        }
    }

    /// Where a request belongs. Every request of somebody belongs somewhere, as `catch-all` takes all; a user without any
    /// group belongs there, too.
    pub(super) fn classify(&self, user: &UserInfo, info: &RequestInfo) -> Classified {
        let state = self.state.lock();
        let matching = state.schemas.iter().find(|schema| schema.matches(user, info));
        let Some(schema) = matching.or_else(|| state.schemas.iter().find(|schema| schema.name == "catch-all")) else {
            return Classified { exempt: true, ..Classified::default() };
        };
        let level = state.levels.get(&schema.level);
        Classified {
            schema_uid: schema.uid.clone(),
            schema: schema.name.clone(),
            level_uid: level.map(|level| level.uid.clone()).unwrap_or_default(),
            exempt: level.is_none_or(|level| level.queues.is_none()),
            flow: hash(&schema.name, schema.flow(user, info)),
            level: schema.level.clone(),
        }
    }

    /// The seats that each level has before it lends or borrows some.
    pub(super) fn nominal(&self) -> Vec<(String, u64)> {
        let state = self.state.lock();
        state.levels.iter().map(|(name, level)| (name.clone(), level.bounds.nominal)).collect()
    }

    /// What each level holds now.
    pub(super) fn dump(&self) -> Vec<dump::Level> {
        let state = self.state.lock();
        let of = |(name, level): (&String, &Level)| {
            let (executing, queues) = level.queues.as_ref().map(QueueSet::dump).unwrap_or_default();
            dump::Level { name: name.clone(), exempt: level.queues.is_none(), executing, queues }
        };
        state.levels.iter().map(of).collect()
    }

    /// The most seats that a request of a level takes. Source: `k8s.io/apiserver/pkg/util/flowcontrol` (`GetMaxSeats`): about a
    /// seventh of the level, and so few that a whole hand of queues can be served.
    pub(super) fn max_seats(&self, of: &Classified) -> u64 {
        let state = self.state.lock();
        let Some(level) = state.levels.get(&of.level) else { return 1 };
        let nominal = level.bounds.nominal;
        let hand = level.queues.as_ref().map_or(1, |queues| queues.shape().hand.max(1)) as u64;
        (nominal * 15).div_ceil(100).min(nominal / hand).max(1)
    }

    /// Waits for a seat. `None`: nobody has to sit.
    ///
    /// # Errors
    /// Why there is none, in the words of upstream's metrics.
    pub(super) async fn seat(self: &Arc<Self>, of: &Classified, width: u64) -> Result<Option<Place>, &'static str> {
        let (place, turn) = match self.arrive(of, width) {
            None => return Ok(None),
            Some(arrived) => arrived?,
        };
        let Some(turn) = turn else { return Ok(Some(place)) };
        match tokio::time::timeout(WAIT_LIMIT, turn).await {
            // An error is a level that was taken away: nothing is left to wait for.
            Ok(_) => Ok(Some(place)),
            Err(_) => Err("time-out"),
        }
    }

    /// The place of a request and, if it has to wait for it, how it learns of its turn.
    #[expect(clippy::type_complexity, reason = "it is taken apart at once")]
    fn arrive(
        self: &Arc<Self>,
        of: &Classified,
        width: u64,
    ) -> Option<Result<(Place, Option<oneshot::Receiver<()>>), &'static str>> {
        let now = self.now();
        let mut state = self.state.lock();
        state.adjust(self.total, now);
        let level = state.levels.get_mut(&of.level).filter(|_| !of.exempt)?;
        let generation = level.generation;
        let place = |id| Place { fair: self.clone(), level: of.level.clone(), generation, id };
        let queues = level.queues.as_mut()?;
        let arrived = match queues.arrive(of.flow, width, now) {
            Arrival::Refused if queues.shape().queues == 0 => Err("concurrency-limit"),
            Arrival::Refused => Err("queue-full"),
            Arrival::Seated(id) => Ok((place(id), None)),
            Arrival::Waits(id) => {
                let (turn, mine) = oneshot::channel();
                level.waiting.insert(id, turn);
                level.seat_next(now);
                let waits = level.waiting.contains_key(&id);
                Ok((place(id), waits.then_some(mine)))
            }
        };
        level.note(now);
        Some(arrived)
    }

    fn leave(&self, place: &Place) {
        let now = self.now();
        let mut state = self.state.lock();
        let Some(level) = state.levels.get_mut(&place.level).filter(|level| level.generation == place.generation)
        else {
            return;
        };
        level.waiting.remove(&place.id);
        if let Some(queues) = &mut level.queues {
            queues.leave(place.id, now);
        }
        level.seat_next(now);
        level.note(now);
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        self.fair.leave(self);
    }
}

impl State {
    /// Lets levels lend and borrow if it is time to.
    fn adjust(&mut self, total: u64, now: f64) {
        if now - self.adjusted < ADJUSTMENT {
            return;
        }
        self.adjusted = now;
        let mut limited: Vec<&mut Level> = self.levels.values_mut().filter(|level| level.queues.is_some()).collect();
        let mut wants: Vec<(Bounds, &mut Demand)> =
            limited.iter_mut().map(|level| (level.bounds, &mut level.demand)).collect();
        let seats = seats::allocate(total, &mut wants, now);
        for (level, seats) in limited.into_iter().zip(seats) {
            if let Some(queues) = &mut level.queues {
                queues.set_limit(seats);
            }
            level.seat_next(now);
        }
    }
}

impl Level {
    fn read(object: &Value, before: Option<Self>, generation: u64) -> Self {
        let number = |path: &[&str]| meta::at(object, &[&["spec"], path].concat()).and_then(Value::as_u64);
        let kind = if meta::text(object, &["spec", "type"]) == "Exempt" { "exempt" } else { "limited" };
        let shares = Shares {
            shares: number(&[kind, "nominalConcurrencyShares"]).unwrap_or_default(),
            lendable_percent: number(&[kind, "lendablePercent"]).unwrap_or_default(),
            borrowing_percent: number(&[kind, "borrowingLimitPercent"]),
        };
        let queuing = |field: &str| {
            let path = ["limited", "limitResponse", "queuing", field];
            number(&path).and_then(|number| usize::try_from(number).ok()).unwrap_or_default()
        };
        let shape = Shape { queues: queuing("queues"), hand: queuing("handSize"), length: queuing("queueLengthLimit") };
        let limited = (kind == "limited").then_some(shape);
        let uid = meta::uid(object).to_owned();
        match before {
            Some(level) if level.queues.as_ref().map(QueueSet::shape) == limited => Self { uid, shares, ..level },
            _ => Self {
                uid,
                queues: limited.map(|shape| QueueSet::new(shape, 1)),
                shares,
                bounds: Bounds::default(),
                demand: Demand::default(),
                waiting: BTreeMap::new(),
                generation,
            },
        }
    }

    /// Tells those whose turn it is. Who does not wait any more will be seen to when their place is dropped.
    fn seat_next(&mut self, now: f64) {
        let Some(queues) = &mut self.queues else { return };
        while let Some(id) = queues.seat_next(now) {
            if let Some(turn) = self.waiting.remove(&id) {
                let _ = turn.send(());
            }
        }
    }

    fn note(&mut self, now: f64) {
        if let Some(queues) = &self.queues {
            self.demand.set(queues.demand(), now);
        }
    }
}

/// The number by which a flow draws its queues.
fn hash(schema: &str, flow: &str) -> u64 {
    let digest = digest::digest(&digest::SHA256, format!("{schema}\0{flow}").as_bytes());
    let (first, _) = digest.as_ref().split_first_chunk::<8>().expect("the digest has 32 bytes");
    u64::from_le_bytes(*first)
}

#[cfg(test)]
mod tests;
