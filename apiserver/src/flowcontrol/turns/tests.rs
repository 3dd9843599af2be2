use tokio::task::{JoinSet, yield_now};

use super::*;

fn flow(name: &str) -> Flow {
    Flow::of(&UserInfo::known(name, &[]))
}

/// Takes `times` turns one after the other and notes each.
async fn work(turns: Turns, name: &'static str, times: usize, cost: u32, log: Arc<Mutex<Vec<&'static str>>>) {
    for _ in 0..times {
        turns.turn(flow(name), cost).await;
        log.lock().push(name);
    }
}

#[tokio::test]
async fn who_is_alone_never_waits_long() {
    let turns = Turns::default();
    assert!(turns.take(flow("a"), PIECE).is_none());
    let second = turns.take(flow("a"), PIECE).expect("the round is full");
    second.await.unwrap();
    // Nobody takes turns any more, so that nobody counts them.
    for _ in 0..4 {
        yield_now().await;
    }
    assert!(!turns.0.lock().counting);
    assert!(turns.join(flow("a"), PIECE).is_none());
    assert!(!turns.0.lock().counting);
}

#[tokio::test]
async fn a_round_has_room_for_one_piece_or_some_requests() {
    let turns = Turns::default();
    let at_once = (0..10).filter(|_| turns.take(flow("a"), REQUEST).is_none()).count();
    assert_eq!(at_once, 4);
}

#[tokio::test]
async fn users_come_one_after_the_other_however_many_turns_one_of_them_wants() {
    let (turns, log) = (Turns::default(), Arc::new(Mutex::new(vec![])));
    let mut tasks = JoinSet::new();
    for _ in 0..500 {
        tasks.spawn(work(turns.clone(), "flood", 100, PIECE, log.clone()));
    }
    for _ in 0..100 {
        yield_now().await;
    }
    let before = log.lock().len();
    assert!(before > 10, "{before}");
    work(turns.clone(), "person", 1, REQUEST, log.clone()).await;
    let between = log.lock().len() - before - 1;
    assert!(between <= 2, "{between} pieces were made before a small request was served");
    let before = log.lock().len();
    work(turns, "person", 10, PIECE, log.clone()).await;
    assert!(log.lock().len() - before <= 10 + 12, "who wants pieces, too, gets every second one");
}

#[tokio::test]
async fn who_does_not_wait_any_more_takes_nobodys_turn() {
    let turns = Turns::default();
    assert!(turns.take(flow("a"), PIECE).is_none());
    let gone: Vec<Waiting> = (0..100).filter_map(|_| turns.take(flow("a"), PIECE)).collect();
    let last = turns.take(flow("a"), PIECE).unwrap();
    drop(gone);
    yield_now().await;
    yield_now().await;
    assert!(last.await.is_ok());
}

#[test]
#[expect(clippy::async_yields_async, reason = "what is waited for outlives the runtime: that is the point")]
fn nobody_waits_for_a_runtime_that_is_gone() {
    let turns = Turns::default();
    let runtime = || tokio::runtime::Builder::new_current_thread().build().unwrap();
    let waiting = runtime().block_on(async {
        assert!(turns.take(flow("a"), PIECE).is_none());
        turns.take(flow("a"), PIECE).unwrap()
    });
    assert!(runtime().block_on(waiting).is_err());
    runtime().block_on(turns.turn(flow("a"), PIECE));
}
