//! The ReplicaSet controller against a scripted server: which requests it sends, and which it does not.

use futures::FutureExt;
use parking_lot::Mutex;
use serde_json::{Value, json};
use steersman_framework::reflector::{Change, Sink};

use super::*;
use crate::testing::{Answer, Call, Fake, NOW, namespace_terminating, refusal};

const SETS: &str = "/apis/apps/v1/namespaces/ns/replicasets/web";
const STATUS: &str = "/apis/apps/v1/namespaces/ns/replicasets/web/status";
const NEW_POD: &str = "POST /api/v1/namespaces/ns/pods";

fn set(replicas: i32) -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "web", "uid": "set", "resourceVersion": "5", "generation": 1},
        "spec": {
            "replicas": replicas,
            "selector": {"matchLabels": {"app": "web"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {}},
        },
    })
}

fn pod(name: &str, owner: Option<&str>, app: &str) -> Value {
    let owners: Vec<Value> =
        owner.iter().map(|uid| json!({"kind": "ReplicaSet", "name": "web", "uid": uid, "controller": true})).collect();
    json!({"metadata": {
        "namespace": "ns", "name": name, "uid": name, "resourceVersion": "6",
        "labels": {"app": app}, "ownerReferences": owners,
    }})
}

/// A controller whose caches hold these objects.
fn controller(fake: &Fake, set: &Value, pods: &[Value]) -> ReplicaSetController {
    let controller = ReplicaSetController::new(&fake.shared, &Workloads::APPS);
    let parse = |pod: &Value| serde_json::from_value(pod.clone()).unwrap();
    controller.sets.take(Change::Replaced(vec![serde_json::from_value(set.clone()).unwrap()]), "10");
    controller.pods.take(Change::Replaced(pods.iter().map(parse).collect()), "10");
    controller
}

async fn sync(controller: &ReplicaSetController) -> Result<Outcome, String> {
    controller.sync(ObjectKey::new("ns", "web")).await.map_err(|error| error.to_string())
}

/// A server that accepts everything but pods beyond the first `allowed`.
fn with_quota(allowed: usize) -> impl Fn(&Call) -> Answer {
    let created = Mutex::new(0);
    move |call| {
        if call.method != "POST" {
            return (200, json!({"metadata": {"resourceVersion": "5"}}));
        }
        *created.lock() += 1;
        if *created.lock() > allowed {
            return refusal(403, "Forbidden", "exceeded quota: q");
        }
        (201, json!({"metadata": {"name": "web-x", "resourceVersion": "7"}}))
    }
}

#[tokio::test]
async fn creation_stops_after_the_batch_that_failed() {
    for (allowed, wanted, calls) in [(10, 10, 10), (5, 10, 7), (0, 10, 1), (10, 100, 15)] {
        let fake = Fake::new(with_quota(allowed));
        let result = sync(&controller(&fake, &set(wanted), &[])).await;
        let created = fake.log().iter().filter(|call| *call == NEW_POD).count();
        assert_eq!(created, calls, "{allowed} of {wanted}");
        let refused = (allowed < usize::try_from(wanted).unwrap()).then_some("exceeded quota: q");
        assert_eq!(result.err().as_deref(), refused);
        let conditions = &fake.last_body()["status"]["conditions"];
        assert_eq!(
            conditions[0]["reason"].as_str(),
            refused.map(|_| "FailedCreate"),
            "the status is written all the same"
        );
    }
}

#[tokio::test]
async fn nothing_is_created_twice_before_the_cache_shows_it() {
    let fake = Fake::new(|call| match call.method.as_str() {
        "POST" => (201, json!({"metadata": {"name": "web-x", "resourceVersion": "11"}})),
        _ => (200, json!({"metadata": {"resourceVersion": "12"}})),
    });
    let controller = controller(&fake, &set(1), &[]);
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    let before = fake.log();
    assert_eq!(sync(&controller).await, Ok(Outcome::Soon));
    assert_eq!(fake.log(), before, "not a single request");
    controller.pods.take(Change::Applied(serde_json::from_value(pod("web-x", Some("set"), "web")).unwrap()), "11");
    controller.sets.take(Change::Progress, "12");
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    assert_eq!(fake.log().iter().filter(|call| *call == NEW_POD).count(), 1);
}

#[tokio::test]
async fn a_namespace_that_goes_away_is_not_run_against() {
    let fake = Fake::new(|call| match call.method.as_str() {
        "POST" => namespace_terminating(),
        _ => (200, json!({"metadata": {"resourceVersion": "5"}})),
    });
    let controller = controller(&fake, &set(10), &[]);
    for _ in 0..3 {
        assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    }
    assert_eq!(fake.log().iter().filter(|call| *call == NEW_POD).count(), 1);
    assert_eq!(fake.last_body()["status"]["conditions"], Value::Null, "that is no failure");
}

#[tokio::test]
async fn a_pod_that_was_deleted_is_not_deleted_again_before_the_cache_shows_it() {
    let fake = Fake::new(|_| (200, json!({"metadata": {"resourceVersion": "5"}})));
    let pods = [pod("a", Some("set"), "web"), pod("b", Some("set"), "web")];
    let controller = controller(&fake, &set(1), &pods);
    let deletions = || fake.log().iter().filter(|call| call.starts_with("DELETE")).count();
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    assert_eq!(deletions(), 1);
    controller.pods.take(Change::Deleted(serde_json::from_value(pods[0].clone()).unwrap()), "11");
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    assert_eq!(deletions(), 1, "one is left, as wanted");
}

#[tokio::test]
async fn adoption_asks_the_server_once_and_a_ghost_adopts_nothing() {
    let orphans = [pod("a", None, "web"), pod("b", None, "web")];
    let check = |live: Value, expect: &'static str| {
        let orphans = orphans.clone();
        async move {
            let fake = Fake::new(move |_| (200, live.clone()));
            let error = sync(&controller(&fake, &set(2), &orphans)).await.unwrap_err();
            assert_eq!(error, expect);
            assert_eq!(fake.log(), [format!("GET {SETS}")], "one question, no adoption, no new pod, no status");
        }
    };
    check(
        json!({"metadata": {"uid": "other"}}),
        "can't adopt Pod ns/a (a): original ReplicaSet ns/web is gone: got uid other, wanted set",
    )
    .await;
    check(
        json!({"metadata": {"uid": "set", "deletionTimestamp": "2026-05-01T10:00:00Z"}}),
        "can't adopt Pod ns/a (a): ns/web has just been deleted at 2026-05-01T10:00:00Z",
    )
    .await;
}

#[tokio::test]
async fn orphans_are_adopted_and_strays_released() {
    let fake = Fake::new(|call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", _) => (200, set(1)),
        ("PATCH", "/api/v1/namespaces/ns/pods/orphan") => (200, pod("orphan", Some("set"), "web")),
        // It is another pod of that name by now.
        ("PATCH", "/api/v1/namespaces/ns/pods/stray") => refusal(422, "Invalid", "uid"),
        _ => (200, json!({"metadata": {"resourceVersion": "5"}})),
    });
    let pods = [pod("orphan", None, "web"), pod("stray", Some("set"), "api"), pod("theirs", Some("other"), "web")];
    assert_eq!(sync(&controller(&fake, &set(1), &pods)).await, Ok(Outcome::Done));
    let expect = [
        "PATCH /api/v1/namespaces/ns/pods/stray".to_owned(),
        format!("GET {SETS}"),
        "PATCH /api/v1/namespaces/ns/pods/orphan".to_owned(),
        format!("PUT {STATUS}"),
    ];
    assert_eq!(fake.log(), expect);
    assert_eq!(fake.last_body()["status"]["replicas"], 1);
}

#[tokio::test]
async fn a_status_is_tried_twice_with_one_look_between() {
    let fake = Fake::new(|call| match call.method.as_str() {
        "GET" => (200, set(0)),
        _ => refusal(409, "Conflict", "no"),
    });
    assert_eq!(sync(&controller(&fake, &set(0), &[])).await, Err("no".to_owned()));
    assert_eq!(fake.log(), [format!("PUT {STATUS}"), format!("GET {SETS}"), format!("PUT {STATUS}")]);
}

#[tokio::test]
async fn what_is_right_is_left_alone() {
    let fake = Fake::new(|_| refusal(500, "InternalError", "nothing should be asked"));
    let mut set = set(1);
    set["status"] = json!({
        "replicas": 1, "fullyLabeledReplicas": 1, "terminatingReplicas": 0, "observedGeneration": 1,
    });
    assert_eq!(sync(&controller(&fake, &set, &[pod("a", Some("set"), "web")])).await, Ok(Outcome::Done));
    assert!(fake.log().is_empty());
}

#[tokio::test]
async fn a_set_that_is_being_deleted_only_keeps_its_status() {
    let fake = Fake::new(|_| (200, json!({"metadata": {"resourceVersion": "5"}})));
    let mut set = set(5);
    set["metadata"]["deletionTimestamp"] = json!("2026-05-01T10:00:00Z");
    let pods = [pod("mine", Some("set"), "web"), pod("stray", Some("set"), "api"), pod("orphan", None, "web")];
    assert_eq!(sync(&controller(&fake, &set, &pods)).await, Ok(Outcome::Done));
    assert_eq!(fake.log(), [format!("PUT {STATUS}")]);
    assert_eq!(fake.last_body()["status"]["replicas"], 1);
}

#[tokio::test]
async fn a_pod_wakes_its_owner_or_those_that_might_adopt_it() {
    let fake = Fake::new(|_| refusal(500, "InternalError", "nothing should be asked"));
    let controller = controller(&fake, &set(1), &[]);
    let drain = || {
        let mut keys = Vec::new();
        while let Some(key) = controller.queue.next().now_or_never() {
            controller.queue.done(&key);
            keys.push(key.to_string());
        }
        keys
    };
    let apply = |pod: Value| controller.pods.take(Change::Applied(serde_json::from_value(pod).unwrap()), "20");
    drain();
    apply(pod("a", Some("set"), "web"));
    assert_eq!(drain(), ["ns/web"]);
    apply(pod("a", Some("gone"), "web"));
    assert_eq!(drain(), ["ns/web"], "the former owner learns of it");
    apply(pod("b", None, "web"));
    assert_eq!(drain(), ["ns/web"], "an orphan that matches");
    apply(pod("c", None, "api"));
    assert!(drain().is_empty(), "an orphan that does not");
}

#[tokio::test]
async fn a_deletion_is_awaited_until_it_shows_fails_or_takes_too_long() {
    let fake = Fake::new(|_| refusal(500, "InternalError", "nothing should be asked"));
    let pods = fake.shared.informers.informer::<Pod>(&PODS);
    let expectations = Expectations::default();
    let pod = |uid: &str, deleting: bool| {
        let mut pod: Pod = serde_json::from_value(pod("a", Some("set"), "web")).unwrap();
        pod.metadata.uid = uid.to_owned();
        pod.metadata.deletion_timestamp = deleting.then_some(NOW);
        pod
    };
    let key = || ObjectKey::new("ns", "a");
    let expect = || {
        pods.take(Change::Replaced(vec![pod("1", false)]), "1");
        expectations.expect_deletions("set", NOW, BTreeMap::from([(key(), "1".to_owned())]));
    };
    let are_met = |after: i64| {
        let now = NOW + jiff::SignedDuration::from_secs(after);
        expectations.are_met("set", now, &pods)
    };
    assert!(are_met(0), "nothing is expected yet");
    expect();
    assert!(!are_met(300));
    assert!(are_met(301), "older than five minutes");
    for shown in [Change::Applied(pod("1", true)), Change::Applied(pod("2", false)), Change::Deleted(pod("1", false))] {
        expect();
        pods.take(shown, "2");
        assert!(are_met(0), "it goes, is another one, or is gone");
    }
    expect();
    expectations.deletion_failed("set", &key());
    assert!(are_met(0));
    expect();
    expectations.forget("set");
    assert!(are_met(0), "a set of the same name starts afresh");
    expectations.block("set", NOW);
    assert!(!are_met(300) && are_met(301));
}

#[tokio::test]
async fn a_pod_that_cannot_be_deleted_is_a_failure_and_one_that_is_gone_is_none() {
    for (code, expect) in [(404, None), (409, None), (500, Some("unable to delete pods: no"))] {
        let fake = Fake::new(move |call| match call.method.as_str() {
            "DELETE" => refusal(code, "Whatever", "no"),
            _ => (200, json!({"metadata": {"resourceVersion": "5"}})),
        });
        let pods = [pod("a", Some("set"), "web"), pod("b", Some("set"), "web")];
        let controller = controller(&fake, &set(1), &pods);
        let failed = sync(&controller).await.err();
        assert_eq!(failed.as_deref(), expect, "{code}");
        // Another pod may have the name by now.
        assert_eq!(fake.body_of("DELETE")["preconditions"], json!({"uid": "a"}));
        let condition = fake.last_body()["status"]["conditions"][0].clone();
        assert_eq!(condition["message"].as_str(), expect, "{code}");
        assert_eq!(condition["reason"].as_str(), expect.map(|_| "FailedDelete"), "{code}");
        // Nothing is awaited that was not asked for.
        assert!(controller.expectations.are_met("set", NOW, &controller.pods), "{code}");
    }
}

#[tokio::test]
async fn what_was_expected_for_a_set_is_forgotten_with_it() {
    let fake = Fake::new(|_| (200, json!({})));
    let controller = controller(&fake, &set(1), &[pod("a", Some("set"), "web")]);
    let going = [(ObjectKey::new("ns", "a"), "a".to_owned())];
    controller.expectations.expect_deletions("set", NOW, going.into());
    controller.consistency.wrote("set", "pods", "99");
    let is_free = || {
        let met = controller.expectations.are_met("set", NOW, &controller.pods);
        (met, controller.consistency.is_current("set", |_| 0))
    };
    assert_eq!(is_free(), (false, false));
    controller.sets.take(Change::Deleted(serde_json::from_value(set(1)).unwrap()), "11");
    assert_eq!(is_free(), (true, true));
}

#[tokio::test]
async fn a_pod_that_names_our_uid_and_somebody_else_is_not_ours_to_delete() {
    for (field, forged) in [("kind", "StatefulSet"), ("name", "other")] {
        let fake = Fake::new(|_| (200, json!({"metadata": {"resourceVersion": "5"}})));
        let mut stranger = pod("a", Some("set"), "web");
        stranger["metadata"]["ownerReferences"][0][field] = json!(forged);
        let mut abroad = pod("b", Some("set"), "web");
        abroad["metadata"]["namespace"] = json!("elsewhere");
        let controller = controller(&fake, &set(0), &[stranger, abroad]);
        assert_eq!(sync(&controller).await, Ok(Outcome::Done));
        assert_eq!(fake.log(), [format!("PUT {STATUS}")], "{field}");
        assert_eq!(fake.last_body()["status"]["replicas"], 0);
    }
}

#[tokio::test]
async fn a_set_is_looked_at_again_when_its_pods_become_available_or_else_after_their_time() {
    for (since, expect) in [(json!("2023-11-14T22:13:14Z"), 4_u64), (Value::Null, 10)] {
        let fake =
            Fake::new(|call| (200, json!({"metadata": {"resourceVersion": "5"}, "status": call.body["status"]})));
        let mut set = set(1);
        set["spec"]["minReadySeconds"] = json!(10);
        let mut ready = pod("a", Some("set"), "web");
        ready["status"] = json!({"conditions": [{"type": "Ready", "status": "True", "lastTransitionTime": since}]});
        let outcome = sync(&controller(&fake, &set, &[ready])).await;
        assert_eq!(outcome, Ok(Outcome::After(Duration::from_secs(expect))), "{since}");
    }
}

#[tokio::test]
async fn related_pods_are_those_that_the_sets_of_one_owner_select_whoever_controls_them() {
    let fake = Fake::new(|_| refusal(500, "InternalError", "nothing should be asked"));
    let of = |name: &str, labels: Value| {
        let owner = json!({"kind": "Deployment", "name": "web", "uid": "owner", "controller": true});
        json!({
            "metadata": {"namespace": "ns", "name": name, "uid": name, "ownerReferences": [owner]},
            "spec": {"selector": {"matchLabels": labels}},
        })
    };
    let labelled = |name: &str, namespace: &str, labels: Value| {
        let mut pod = pod(name, Some("other"), "web");
        pod["metadata"]["namespace"] = json!(namespace);
        pod["metadata"]["labels"] = labels;
        pod
    };
    let hash = |hash: &str| json!({"app": "web", "pod-template-hash": hash});
    let pods = [
        labelled("new", "ns", hash("b")),
        labelled("old", "ns", hash("a")),
        labelled("adopted", "ns", json!({"tier": "x", "pod-template-hash": "c"})),
        labelled("other", "ns", hash("c")),
        labelled("stray", "ns", json!({"pod-template-hash": "b"})),
        labelled("elsewhere", "else", hash("b")),
    ];
    let sets = [of("a", hash("a")), of("b", hash("b"))];
    let controller = controller(&fake, &sets[0], &pods);
    let names = || -> Vec<String> {
        let set = controller.sets.get(&ObjectKey::new("ns", "a")).unwrap();
        controller.related(&set).into_iter().map(|pod| pod.metadata.name.clone()).collect()
    };
    let apply = |set: &Value| controller.sets.take(Change::Applied(serde_json::from_value(set.clone()).unwrap()), "20");
    assert_eq!(names(), ["old"]);
    apply(&sets[1]);
    assert_eq!(names(), ["new", "old"]);
    // A set that was adopted need not know of templates.
    apply(&of("c", json!({"tier": "x"})));
    assert_eq!(names(), ["adopted", "new", "old"]);
}
