//! How many seats each level has: its share, less what it lends, more what it borrows.
//! Source: KEP-1040, "Dispatching"; `k8s.io/apiserver/pkg/util/flowcontrol/apf_controller.go` and `conc_alloc.go`.

/// How slowly a level forgets that it needed seats, in steps of ten seconds. Source: `seatDemandSmoothingCoefficient`.
const SMOOTHING: f64 = 0.977;

/// What a level has to do with seats.
#[derive(Clone, Copy, Debug, Default, PartialEq)]
pub(super) struct Bounds {
    pub(super) nominal: u64,
    pub(super) min: u64,
    pub(super) max: u64,
}

/// What a level is configured with.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(super) struct Shares {
    pub(super) shares: u64,
    pub(super) lendable_percent: u64,
    /// `None`: as much as there is.
    pub(super) borrowing_percent: Option<u64>,
}

/// The bounds of each level out of `total` seats.
pub(super) fn bounds(total: u64, levels: &[Shares]) -> Vec<Bounds> {
    let sum: u64 = levels.iter().map(|level| level.shares).sum::<u64>().max(1);
    let bounds = levels.iter().map(|level| {
        let nominal = (total * level.shares).div_ceil(sum);
        let percent = |percent: u64| (nominal * percent + 50) / 100;
        let max = level.borrowing_percent.map_or(total, |borrowing| nominal + percent(borrowing));
        Bounds { nominal, min: nominal.saturating_sub(percent(level.lendable_percent)), max: max.max(nominal) }
    });
    bounds.collect()
}

/// How many seats a level wanted over a stretch of time.
#[derive(Clone, Copy, Debug, Default)]
pub(super) struct Demand {
    since: f64,
    seen: f64,
    now: f64,
    sum: f64,
    squares: f64,
    highest: f64,
    smooth: f64,
}

impl Demand {
    /// From `now` on it is so many.
    #[expect(clippy::cast_precision_loss, reason = "seats are few")]
    pub(super) fn set(&mut self, seats: u64, now: f64) {
        let passed = (now - self.seen).max(0.0);
        self.sum += self.now * passed;
        self.squares += self.now * self.now * passed;
        self.seen = now;
        self.now = seats as f64;
        self.highest = self.highest.max(self.now);
    }

    /// The highest and the smoothed demand since the last time this was asked.
    fn take(&mut self, now: f64) -> (f64, f64) {
        let current = self.now;
        self.sum += current * (now - self.seen).max(0.0);
        self.squares += current * current * (now - self.seen).max(0.0);
        let passed = (now - self.since).max(f64::EPSILON);
        let mean = self.sum / passed;
        let deviation = (self.squares / passed - mean * mean).max(0.0).sqrt();
        let envelope = (mean + deviation).min(self.highest);
        let smooth = envelope.max(SMOOTHING * self.smooth + (1.0 - SMOOTHING) * envelope);
        let highest = self.highest;
        *self = Self { since: now, seen: now, now: current, highest: current, smooth, ..Self::default() };
        (highest, smooth)
    }
}

/// How many seats each level has from now on.
#[expect(
    clippy::cast_precision_loss,
    clippy::cast_possible_truncation,
    clippy::cast_sign_loss,
    reason = "seats are few and never below zero"
)]
pub(super) fn allocate(total: u64, levels: &mut [(Bounds, &mut Demand)], now: f64) -> Vec<u64> {
    let wants: Vec<(f64, f64, f64)> = levels
        .iter_mut()
        .map(|(bounds, demand)| {
            let (highest, smooth) = demand.take(now);
            // Whoever uses what is theirs does not lend it.
            let low = (bounds.min as f64).max(highest.min(bounds.nominal as f64));
            (low, bounds.max as f64, smooth.max(low))
        })
        .collect();
    let at = |fraction: f64| wants.iter().map(move |(low, high, want)| (want * fraction).clamp(*low, *high));
    let goal = total as f64;
    let (mut low, mut high) = (0.0, 1.0);
    while at(high).sum::<f64>() < goal && high < 1e6 {
        high *= 2.0;
    }
    for _ in 0..60 {
        let middle = f64::midpoint(low, high);
        if at(middle).sum::<f64>() < goal { low = middle } else { high = middle }
    }
    at(high).map(|seats| seats.round().max(1.0) as u64).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn seats_go_by_shares() {
        let level = |shares, lendable_percent| Shares { shares, lendable_percent, borrowing_percent: None };
        let levels =
            [level(5, 0), level(30, 33), level(40, 25), level(10, 0), level(40, 50), level(100, 90), level(20, 50)];
        let got: Vec<(u64, u64)> = bounds(600, &levels).iter().map(|it| (it.nominal, it.min)).collect();
        assert_eq!(got, [(13, 13), (74, 50), (98, 73), (25, 25), (98, 49), (245, 24), (49, 24)]);
        let limited = Shares { borrowing_percent: Some(10), ..level(100, 0) };
        assert_eq!(bounds(100, &[limited])[0].max, 110);
    }

    #[test]
    fn who_needs_seats_borrows_them_from_who_does_not() {
        let bounds = bounds(100, &[Shares { shares: 50, lendable_percent: 80, borrowing_percent: None }; 2]);
        let (mut busy, mut idle) = (Demand::default(), Demand::default());
        busy.set(500, 0.0);
        let got = allocate(100, &mut [(bounds[0], &mut busy), (bounds[1], &mut idle)], 10.0);
        assert_eq!(got, [90, 10]);
        // Once the lender needs its own again it has them.
        busy.set(500, 10.0);
        idle.set(60, 10.0);
        let got = allocate(100, &mut [(bounds[0], &mut busy), (bounds[1], &mut idle)], 20.0);
        assert_eq!(got, [50, 50]);
    }
}
