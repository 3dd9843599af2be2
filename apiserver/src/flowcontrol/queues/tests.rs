use std::collections::BTreeSet;

use super::*;

const SHAPE: Shape = Shape { queues: 64, hand: 6, length: 50 };

#[test]
fn a_hand_has_different_cards() {
    for flow in (0..10_000u64).map(|n| n.wrapping_mul(0x9e37_79b9_7f4a_7c15)) {
        let hand = deal(flow, 64, 6);
        let cards: BTreeSet<usize> = hand.iter().copied().collect();
        assert!(cards.len() == 6 && cards.iter().all(|card| *card < 64), "{hand:?}");
    }
    assert_eq!(deal(5, 3, 9).len(), 3);
    assert_eq!(deal(0, 4, 4), [0, 1, 2, 3]);
}

#[test]
fn without_queues_whoever_finds_no_seat_is_refused() {
    let mut set = QueueSet::new(Shape { queues: 0, hand: 0, length: 0 }, 2);
    assert_eq!(set.arrive(1, 1, 0.0), Arrival::Seated(0));
    assert_eq!(set.arrive(1, 1, 0.0), Arrival::Seated(1));
    assert_eq!(set.arrive(1, 1, 0.0), Arrival::Refused);
    set.leave(0, 1.0);
    assert_eq!(set.arrive(1, 1, 1.0), Arrival::Seated(2));
}

#[test]
fn a_queue_that_is_full_refuses() {
    let mut set = QueueSet::new(Shape { queues: 1, hand: 1, length: 2 }, 1);
    assert_eq!(set.arrive(1, 1, 0.0), Arrival::Waits(0));
    assert_eq!(set.seat_next(0.0), Some(0));
    assert_eq!((set.arrive(1, 1, 0.0), set.arrive(1, 1, 0.0)), (Arrival::Waits(1), Arrival::Waits(2)));
    assert_eq!(set.arrive(1, 1, 0.0), Arrival::Refused);
    set.leave(1, 0.0);
    assert_eq!(set.arrive(1, 1, 0.0), Arrival::Waits(3));
    set.leave(0, 1.0);
    assert_eq!((set.seat_next(1.0), set.seat_next(1.0)), (Some(2), None));
}

#[test]
fn a_wide_request_is_seated_alone_and_nobody_passes_it() {
    let mut set = QueueSet::new(SHAPE, 2);
    set.arrive(1, 1, 0.0);
    assert_eq!(set.seat_next(0.0), Some(0));
    set.arrive(2, 10, 0.0);
    assert_eq!(set.seat_next(0.0), None);
    set.arrive(3, 1, 0.01);
    assert_eq!(set.seat_next(0.01), None, "two seats are too few to keep one");
    set.leave(0, 0.1);
    assert_eq!(set.seat_next(0.1), Some(1));
    assert_eq!(set.demand(), 2 + 1);
    set.leave(1, 0.2);
    assert_eq!(set.seat_next(0.2), Some(2));
    set.leave(2, 0.3);
    assert!(set.is_idle());
}

#[test]
fn wide_requests_leave_seats_to_narrow_ones() {
    let mut set = QueueSet::new(SHAPE, 40);
    let lists = (0..50).filter(|_| matches!(set.arrive(1, 10, 0.0), Arrival::Waits(_))).count();
    let seated = std::iter::from_fn(|| set.seat_next(0.0)).count();
    assert_eq!((lists, seated), (50, 3), "a quarter is kept");
    let narrow: Vec<Arrival> = (0..20).map(|flow| set.arrive(1000 + flow * 7919, 1, 0.0)).collect();
    assert!(narrow.iter().all(|it| matches!(it, Arrival::Waits(_))));
    assert_eq!(std::iter::from_fn(|| set.seat_next(0.0)).count(), 10);
}

/// Requests of a flow: how many arrive a second, how long each takes.
struct Load {
    flow: u64,
    rate: f64,
    takes: f64,
}

/// The waits, sorted, of the requests of the last load, over two seconds with four seats.
fn simulate(loads: &[Load]) -> Vec<f64> {
    let mut set = QueueSet::new(SHAPE, 4);
    let mut arrivals: Vec<(f64, usize)> = Vec::new();
    for (at, load) in loads.iter().enumerate() {
        let count = (load.rate * 2.0) as u32;
        arrivals.extend((0..count).map(|n| (f64::from(n) / load.rate, at)));
    }
    arrivals.sort_by(|a, b| a.0.total_cmp(&b.0));
    let (mut who, mut ends, mut waits) = (BTreeMap::new(), Vec::<(f64, Id)>::new(), Vec::new());
    let mut arrivals = arrivals.into_iter().peekable();
    loop {
        ends.sort_by(|a, b| b.0.total_cmp(&a.0));
        let (end, arrival) = (ends.last().map(|it| it.0), arrivals.peek().map(|it| it.0));
        let now = match (end, arrival) {
            (Some(end), Some(arrival)) => end.min(arrival),
            (end, arrival) => match end.or(arrival) {
                Some(now) => now,
                None => break,
            },
        };
        if end == Some(now) {
            let (_, id) = ends.pop().unwrap();
            set.leave(id, now);
        } else if let Some((_, load)) = arrivals.next()
            && let Arrival::Waits(id) = set.arrive(loads[load].flow, 1, now)
        {
            who.insert(id, (now, load));
        }
        while let Some(id) = set.seat_next(now) {
            let (since, load) = who[&id];
            ends.push((now + loads[load].takes, id));
            if load == loads.len() - 1 {
                waits.push(now - since + loads[load].takes);
            }
        }
    }
    waits.sort_by(f64::total_cmp);
    waits
}

fn p99(waits: &[f64]) -> f64 {
    waits[waits.len() * 99 / 100]
}

#[test]
fn a_flood_of_lists_leaves_the_small_gets_of_others_alone() {
    let gets = || Load { flow: 7, rate: 50.0, takes: 0.001 };
    let flood = Load { flow: 0xdead_beef_1234, rate: 2000.0, takes: 0.002 };
    let (idle, flooded) = (simulate(&[gets()]), simulate(&[flood, gets()]));
    assert_eq!((idle.len(), flooded.len()), (100, 100), "none was refused");
    let (idle, flooded) = (p99(&idle), p99(&flooded));
    assert!(flooded <= 5.0 * idle, "idle {idle}, flooded {flooded}");
}

#[test]
fn two_floods_share_evenly() {
    let flood = |flow| Load { flow, rate: 2000.0, takes: 0.002 };
    let served = [simulate(&[flood(99), flood(7)]).len(), simulate(&[flood(7), flood(99)]).len()];
    let (less, more) = (served.iter().min().unwrap(), served.iter().max().unwrap());
    assert!(*less * 100 >= *more * 95, "{served:?}");
}
