//! The collector against a scripted server: which questions it asks, and what it deletes.

use serde_json::{Value, json};
use steersman_framework::api::Resource;
use steersman_framework::controller::Outcome;

use super::*;
use crate::garbage_collector::graph::Node;
use crate::testing::{Answer, Call, Fake, refusal};

const CHILD: &str = "/api/v1/namespaces/ns/configmaps/child";
const OWNER: &str = "/api/v1/namespaces/ns/configmaps/owner";

fn maps() -> Arc<Resource> {
    Arc::new(Resource::namespaced("", "v1", "ConfigMap", "configmaps"))
}

fn object(name: &str, owners: &[&str]) -> Value {
    let owner = |name: &&str| json!({"apiVersion": "v1", "kind": "ConfigMap", "name": name, "uid": name});
    let owners: Vec<Value> = owners.iter().map(owner).collect();
    json!({"metadata": {
        "namespace": "ns", "name": name, "uid": name, "resourceVersion": "5", "ownerReferences": owners,
    }})
}

/// A collector that knows these objects, and nothing of their owners.
fn collector(fake: &Fake, objects: &[Value]) -> GarbageCollector {
    let collector = GarbageCollector::new(&fake.shared);
    let resource = maps();
    collector.0.kinds.lock().insert(("v1".to_owned(), "ConfigMap".to_owned()), Arc::clone(&resource));
    for object in objects {
        let object: steersman_framework::meta::Partial = serde_json::from_value(object.clone()).unwrap();
        let node = Node::new(&resource, &object.metadata);
        collector.0.graph.lock().apply(&object.metadata.uid, node);
    }
    collector
}

async fn check(objects: &[Value], answer: fn(&Call) -> Answer, expect: &[String]) -> Value {
    let fake = Fake::new(answer);
    let result = collector(&fake, objects).examine("child".to_owned()).await;
    assert_eq!(result.unwrap(), Outcome::Done);
    assert_eq!(fake.log(), expect);
    fake.last_body()
}

#[tokio::test]
async fn an_object_without_owner_is_deleted_by_version() {
    let answer = |call: &Call| match call.method.as_str() {
        "GET" => refusal(404, "NotFound", "gone"),
        _ => (200, json!({})),
    };
    let expect = [format!("GET {OWNER}"), format!("DELETE {CHILD}")];
    let body = check(&[object("child", &["owner"])], answer, &expect).await;
    assert_eq!(body["preconditions"], json!({"uid": "child", "resourceVersion": "5"}));
    assert_eq!(body["propagationPolicy"], "Background");
}

#[tokio::test]
async fn an_object_that_has_changed_is_looked_at_again() {
    let answer = |call: &Call| match (call.method.as_str(), call.body["preconditions"]["resourceVersion"].as_str()) {
        ("DELETE", Some("5")) => refusal(409, "Conflict", "it has changed"),
        ("GET", _) if call.path == CHILD => {
            let mut live = object("child", &["owner"]);
            live["metadata"]["resourceVersion"] = json!("6");
            (200, live)
        }
        ("GET", _) => refusal(404, "NotFound", "gone"),
        _ => (200, json!({})),
    };
    let expect = [format!("GET {OWNER}"), format!("DELETE {CHILD}"), format!("GET {CHILD}"), format!("DELETE {CHILD}")];
    let body = check(&[object("child", &["owner"])], answer, &expect).await;
    assert_eq!(body["preconditions"]["resourceVersion"], "6", "and its owner is not asked for again");
}

#[tokio::test]
async fn an_object_with_an_owner_is_kept_and_disowns_the_others() {
    let answer = |call: &Call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", OWNER) => (200, object("owner", &[])),
        ("GET", CHILD) => (200, object("child", &["owner", "ghost"])),
        ("GET", _) => refusal(404, "NotFound", "gone"),
        _ => (200, object("child", &["owner"])),
    };
    let ghost = "GET /api/v1/namespaces/ns/configmaps/ghost".to_owned();
    let expect =
        [format!("GET {OWNER}"), ghost, format!("GET {CHILD}"), format!("GET {OWNER}"), format!("PATCH {CHILD}")];
    let body = check(&[object("owner", &[]), object("child", &["owner", "ghost"])], answer, &expect).await;
    assert_eq!(body["metadata"]["ownerReferences"], object("child", &["owner"])["metadata"]["ownerReferences"]);
    assert_eq!(body["metadata"]["resourceVersion"], "5");
}

#[tokio::test]
async fn an_owner_that_no_watch_has_shown_yet_is_looked_at_again() {
    let fake = Fake::new(|call| (200, object(if call.path == OWNER { "owner" } else { "child" }, &["owner"])));
    let collector = collector(&fake, &[object("child", &["owner"])]);
    assert_eq!(collector.examine("child".to_owned()).await.unwrap(), Outcome::Soon);
    let seen = serde_json::from_value::<steersman_framework::meta::Partial>(object("owner", &[])).unwrap();
    collector.0.graph.lock().apply("owner", Node::new(&maps(), &seen.metadata));
    assert_eq!(collector.examine("child".to_owned()).await.unwrap(), Outcome::Done);
}

#[tokio::test]
async fn an_owner_that_was_seen_to_go_is_not_asked_for() {
    let fake = Fake::new(|_| (200, json!({})));
    let collector = collector(&fake, &[object("owner", &[]), object("child", &["owner"])]);
    collector.removed("owner");
    assert_eq!(collector.examine("child".to_owned()).await.unwrap(), Outcome::Done);
    assert_eq!(fake.log(), [format!("DELETE {CHILD}")]);
}

#[tokio::test]
async fn a_reference_that_is_wrong_but_for_its_uid_says_nothing_about_the_owner() {
    let fake = Fake::new(|call| match call.path.as_str() {
        OWNER => (200, object("owner", &[])),
        CHILD => (200, object("child", &["owner"])),
        _ => refusal(404, "NotFound", "gone"),
    });
    let mut stray = object("stray", &["owner"]);
    stray["metadata"]["ownerReferences"][0]["name"] = json!("somebody");
    let collector = collector(&fake, &[object("owner", &[]), stray, object("child", &["owner"])]);
    let _ = collector.examine("stray".to_owned()).await;
    assert!(fake.log().iter().any(|call| call == "DELETE /api/v1/namespaces/ns/configmaps/stray"));
    assert_eq!(collector.examine("child".to_owned()).await.unwrap(), Outcome::Done);
    assert!(!fake.log().contains(&format!("DELETE {CHILD}")));
}

#[tokio::test]
async fn a_circle_is_broken_where_it_blocks() {
    let waiting = |name: &str, owners: &[&str]| {
        let mut object = object(name, owners);
        object["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        object["metadata"]["finalizers"] = json!(["foregroundDeletion"]);
        object
    };
    let mut child = object("child", &["owner", "other"]);
    child["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(true);
    let live = child.clone();
    let fake = Fake::new(move |call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", OWNER) => (200, waiting("owner", &["child"])),
        ("GET", CHILD) | ("PATCH", _) => (200, live.clone()),
        ("GET", _) => refusal(404, "NotFound", "gone"),
        _ => (200, json!({})),
    });
    let collector = collector(&fake, &[waiting("owner", &["child"]), child]);
    assert_eq!(collector.examine("child".to_owned()).await.unwrap(), Outcome::Done);
    assert_eq!(fake.log()[fake.log().len() - 2..], [format!("PATCH {CHILD}"), format!("DELETE {CHILD}")]);
    assert_eq!(fake.last_body()["propagationPolicy"], "Foreground");
}

#[tokio::test]
async fn a_deletion_in_the_foreground_waits_for_what_blocks_it_and_for_nothing_else() {
    let waiting = || {
        let mut owner = object("owner", &[]);
        owner["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
        owner["metadata"]["finalizers"] = json!(["example.com/other", "foregroundDeletion"]);
        owner
    };
    for blocks in [true, false] {
        let fake = Fake::new(move |_| (200, waiting()));
        let mut child = object("child", &["owner"]);
        child["metadata"]["ownerReferences"][0]["blockOwnerDeletion"] = json!(blocks);
        let collector = collector(&fake, &[waiting(), child]);
        assert_eq!(collector.examine("owner".to_owned()).await.unwrap(), Outcome::Done);
        assert_eq!(collector.0.examine.is_empty(), !blocks, "what blocks is looked after");
        if blocks {
            assert_eq!(fake.log(), [format!("GET {OWNER}")]);
        } else {
            assert_eq!(fake.log(), [format!("GET {OWNER}"), format!("PATCH {OWNER}")]);
            assert_eq!(fake.last_body()["metadata"]["finalizers"], json!(["example.com/other"]));
        }
    }
}

#[tokio::test]
async fn what_is_being_deleted_is_not_deleted_again() {
    let fake = Fake::new(|call| match (call.method.as_str(), call.path.as_str()) {
        ("DELETE", _) => refusal(409, "Conflict", "it has changed"),
        ("GET", CHILD) => {
            let mut live = object("child", &["owner"]);
            live["metadata"]["deletionTimestamp"] = json!("2026-01-01T00:00:00Z");
            (200, live)
        }
        _ => refusal(404, "NotFound", "gone"),
    });
    let collector = collector(&fake, &[object("child", &["owner"])]);
    assert_eq!(collector.examine("child".to_owned()).await.unwrap(), Outcome::Done);
    assert_eq!(fake.log().iter().filter(|call| call.starts_with("DELETE")).count(), 1);
}

#[tokio::test]
async fn what_the_graph_knows_is_not_asked_for() {
    let nothing = |_: &Call| refusal(500, "InternalError", "nothing should be asked");
    check(&[object("owner", &[]), object("child", &["owner"])], nothing, &[]).await;
}

#[tokio::test]
async fn an_owner_of_an_unknown_kind_is_never_judged() {
    let fake = Fake::new(|_| refusal(500, "InternalError", "nothing should be asked"));
    let mut child = object("child", &["owner"]);
    child["metadata"]["ownerReferences"][0]["kind"] = json!("Thing");
    let error = collector(&fake, &[child]).examine("child".to_owned()).await.unwrap_err();
    assert_eq!(error.to_string(), "no matches for kind \"Thing\" in version \"v1\"");
}

#[tokio::test]
async fn orphaning_frees_all_dependents_and_then_the_owner() {
    let fake = Fake::new(|call| match (call.method.as_str(), call.path.as_str()) {
        ("GET", OWNER) => {
            let mut owner = object("owner", &[]);
            owner["metadata"]["finalizers"] = json!(["x/y", "orphan"]);
            (200, owner)
        }
        _ => (200, object("any", &[])),
    });
    let collector = collector(&fake, &[object("owner", &[]), object("child", &["owner"])]);
    assert_eq!(collector.orphan("owner".to_owned()).await.unwrap(), Outcome::Done);
    assert_eq!(fake.log(), [format!("PATCH {CHILD}"), format!("GET {OWNER}"), format!("PATCH {OWNER}")]);
    assert_eq!(fake.last_body()["metadata"]["finalizers"], json!(["x/y"]));
}

#[tokio::test]
async fn an_owner_is_held_by_a_dependent_that_cannot_be_freed_unless_that_is_another_one_by_now() {
    for (code, uid, freed) in [(422, "child", false), (422, "other", true), (409, "other", true), (404, "", true)] {
        let fake = Fake::new(move |call| match (call.method.as_str(), call.path.as_str()) {
            ("PATCH", CHILD) => refusal(code, "Invalid", "it may not be changed"),
            ("GET", CHILD) if uid.is_empty() => refusal(404, "NotFound", "gone"),
            ("GET", CHILD) => (200, json!({"metadata": {"name": "child", "uid": uid}})),
            _ => {
                let mut owner = object("owner", &[]);
                owner["metadata"]["finalizers"] = json!(["orphan"]);
                (200, owner)
            }
        });
        let collector = collector(&fake, &[object("owner", &[]), object("child", &["owner"])]);
        let result = collector.orphan("owner".to_owned()).await;
        assert_eq!(result.is_ok(), freed, "{code} {uid}");
        assert_eq!(fake.log().contains(&format!("PATCH {OWNER}")), freed, "{code} {uid}");
    }
}

#[tokio::test]
async fn an_owner_of_a_version_that_is_not_served_is_never_judged() {
    let fake = Fake::new(|_| refusal(500, "InternalError", "nothing should be asked"));
    let mut child = object("child", &["owner"]);
    child["metadata"]["ownerReferences"][0]["apiVersion"] = json!("v1beta9");
    let error = collector(&fake, &[child]).examine("child".to_owned()).await.unwrap_err();
    assert_eq!(error.to_string(), "no matches for kind \"ConfigMap\" in version \"v1beta9\"");
}
