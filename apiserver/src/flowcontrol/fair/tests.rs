use http::Method;
use serde_json::json;

use super::*;
use crate::flowcontrol::bootstrap;
use crate::http::query::Query;

fn fair(total: u64) -> Arc<Fair> {
    let fair = Arc::new(Fair::new(total));
    fair.configure(&bootstrap::schemas(), &bootstrap::levels());
    fair
}

fn of(fair: &Fair, user: &UserInfo) -> Classified {
    fair.classify(user, &RequestInfo::new(&Method::GET, "/api/v1/pods", &Query::default()))
}

#[tokio::test(start_paused = true)]
async fn administrators_never_wait() {
    let fair = fair(1);
    let admin = of(&fair, &UserInfo::admin());
    for _ in 0..100 {
        assert!(fair.seat(&admin, 10).await.unwrap().is_none());
    }
}

#[tokio::test(start_paused = true)]
async fn seats_are_given_back_and_waiters_time_out() {
    let fair = fair(1);
    let jane = of(&fair, &UserInfo::known("jane", &[]));
    let first = fair.seat(&jane, 1).await.unwrap();
    assert!(first.is_some());
    assert_eq!(fair.seat(&jane, 1).await.unwrap_err(), "time-out");
    let second = tokio::spawn({
        let (fair, jane) = (fair.clone(), jane.clone());
        async move { fair.seat(&jane, 1).await.map(drop) }
    });
    tokio::task::yield_now().await;
    drop(first);
    assert!(second.await.unwrap().is_ok());
    assert!(fair.state.lock().levels.values().all(|level| level.queues.as_ref().is_none_or(QueueSet::is_idle)));
}

#[tokio::test(start_paused = true)]
async fn a_waiter_who_leaves_takes_no_seat() {
    let fair = fair(1);
    let jane = of(&fair, &UserInfo::known("jane", &[]));
    let first = fair.seat(&jane, 1).await.unwrap();
    {
        let mut gone = Box::pin(fair.seat(&jane, 1));
        assert!(futures::poll!(&mut gone).is_pending());
    }
    drop(first);
    assert!(fair.seat(&jane, 1).await.unwrap().is_some());
}

#[tokio::test(start_paused = true)]
async fn a_level_that_is_taken_away_lets_its_waiters_pass() {
    let fair = fair(1);
    let jane = of(&fair, &UserInfo::known("jane", &[]));
    let first = fair.seat(&jane, 1).await.unwrap();
    let mut waits = Box::pin(fair.seat(&jane, 1));
    assert!(futures::poll!(&mut waits).is_pending());
    fair.configure(&[], &[]);
    assert!(waits.await.is_ok());
    drop(first);
    assert!(of(&fair, &UserInfo::known("jane", &[])).exempt);
}

#[tokio::test(start_paused = true)]
async fn a_schema_without_its_level_is_passed_over() {
    let fair = Arc::new(Fair::new(600));
    let mut schemas = bootstrap::schemas();
    schemas.push(json!({
        "metadata": {"name": "dangling", "uid": "u"},
        "spec": {
            "matchingPrecedence": 3, "priorityLevelConfiguration": {"name": "none"},
            "rules": [{
                "subjects": [{"kind": "User", "user": {"name": "jane"}}],
                "resourceRules": [{
                    "verbs": ["*"], "apiGroups": ["*"], "resources": ["*"], "namespaces": ["*"], "clusterScope": true,
                }],
            }],
        },
    }));
    let mut levels = bootstrap::levels();
    let jane = UserInfo::known("jane", &[]);
    fair.configure(&schemas, &levels);
    assert_ne!(of(&fair, &jane).schema_uid, "u");
    levels.push(json!({"metadata": {"name": "none", "uid": "l"}, "spec": {"type": "Limited", "limited": {}}}));
    fair.configure(&schemas, &levels);
    let found = of(&fair, &jane);
    assert_eq!((found.schema_uid.as_str(), found.level_uid.as_str()), ("u", "l"));
}
