//! The Deployment controller against a scripted server: collisions, failures, and what wakes it.

use serde_json::{Value, json};
use steersman_framework::reflector::{Change, Sink};

use super::*;
use crate::testing::{Fake, namespace_terminating, refusal};

const STATUS: &str = "PUT /apis/apps/v1/namespaces/ns/deployments/web/status";
const NEW_SET: &str = "POST /apis/apps/v1/namespaces/ns/replicasets";

fn template() -> Value {
    json!({"metadata": {"labels": {"app": "web"}}, "spec": {"containers": [{"name": "c", "image": "app:1"}]}})
}

fn deployment() -> Value {
    json!({
        "metadata": {"namespace": "ns", "name": "web", "uid": "deployment", "resourceVersion": "5", "generation": 1, "generateName": "w"},
        "spec": {
            "replicas": 2,
            "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}},
            "progressDeadlineSeconds": 600,
            "template": template(),
        },
    })
}

fn with_defaults(mut spec: Value) -> Value {
    spec["minReadySeconds"] = json!(0);
    spec["paused"] = json!(false);
    spec
}

/// The set that stands where the new one is to be.
fn set_in_the_way(owner: Option<&str>, image: &str) -> Value {
    let owners: Vec<Value> =
        owner.iter().map(|uid| json!({"kind": "Deployment", "name": "web", "uid": uid, "controller": true})).collect();
    let mut template = template();
    template["spec"]["containers"][0]["image"] = json!(image);
    json!({
        "metadata": {
            "namespace": "ns", "name": format!("web-{}", template::hash(&self::template(), None)), "uid": "set",
            "resourceVersion": "6", "labels": {"app": "other"}, "ownerReferences": owners,
        },
        "spec": {"replicas": 2, "template": template},
    })
}

fn controller(fake: &Fake, deployment: &Value, sets: &[Value]) -> DeploymentController {
    let controller = DeploymentController::new(&fake.shared, &Workloads::APPS);
    let parse = |set: &Value| serde_json::from_value(set.clone()).unwrap();
    controller.deployments.take(Change::Replaced(vec![serde_json::from_value(deployment.clone()).unwrap()]), "10");
    controller.sets.take(Change::Replaced(sets.iter().map(parse).collect()), "10");
    controller.pods.take(Change::Replaced(Vec::new()), "10");
    controller
}

async fn sync(controller: &DeploymentController) -> Result<Outcome, String> {
    controller.sync(ObjectKey::new("ns", "web")).await.map_err(|error| error.to_string())
}

#[tokio::test]
async fn a_new_deployment_gets_a_set_and_a_revision() {
    let fake = Fake::new(|call| match call.method.as_str() {
        "POST" => {
            let mut set = call.body.clone();
            set["metadata"]["resourceVersion"] = json!("11");
            (201, set)
        }
        _ => {
            let mut written = deployment();
            written["metadata"]["resourceVersion"] = json!("12");
            written["status"] = call.body["status"].clone();
            (200, written)
        }
    });
    let controller = controller(&fake, &deployment(), &[]);
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    assert_eq!(fake.log(), [NEW_SET, STATUS], "the set; revision, condition and counters in one");
    let told = fake.last_body();
    assert_eq!(told["metadata"]["annotations"]["deployment.kubernetes.io/revision"], "1");
    let reasons: Vec<&str> =
        told["status"]["conditions"].as_array().unwrap().iter().map(|it| it["reason"].as_str().unwrap()).collect();
    assert_eq!(reasons, ["NewReplicaSetCreated", "MinimumReplicasUnavailable"]);
    assert_eq!((&told["status"]["observedGeneration"], &told["status"]["unavailableReplicas"]), (&json!(1), &json!(2)));
    let (body, expect) = (fake.body_of("PUT"), deployment());
    assert_eq!(body["spec"], with_defaults(expect["spec"].clone()), "the whole object, as upstream sends it");
    assert_eq!(body["metadata"]["generateName"], "w", "what is not repeated would be gone");
    assert_eq!(sync(&controller).await, Ok(Outcome::Soon), "not again before the caches show all that");
}

#[tokio::test]
async fn a_taken_name_is_a_collision_unless_the_set_is_ours_and_right() {
    // A set that carries our labels would have been claimed; these are met only by their name.
    for (owner, image, collides) in [
        (Some("deployment"), "app:1", false),
        (Some("deployment"), "app:2", true),
        (Some("other"), "app:1", true),
        (None, "app:1", true),
    ] {
        let fake = Fake::new(|call| match (call.method.as_str(), call.path.ends_with("/status")) {
            ("POST", _) => refusal(409, "AlreadyExists", "it is there"),
            (_, true) => {
                let mut written = deployment();
                written["status"] = call.body["status"].clone();
                (200, written)
            }
            // Our own set is released since its labels don't match.
            _ => (200, json!({"metadata": {"resourceVersion": "6"}, "spec": {}})),
        });
        let result = sync(&controller(&fake, &deployment(), &[set_in_the_way(owner, image)])).await;
        let count = &fake.last_body()["status"]["collisionCount"];
        assert_eq!(*count == json!(1), collides, "{owner:?} {image}");
        assert_eq!(result == Err("it is there".to_owned()), collides, "{owner:?} {image}: {result:?}");
    }
}

#[tokio::test]
async fn a_refused_set_is_reported_but_not_in_a_namespace_that_goes_away() {
    let quota = Fake::new(|call| match call.method.as_str() {
        "POST" => refusal(403, "Forbidden", "exceeded quota: q"),
        _ => (200, deployment()),
    });
    assert_eq!(sync(&controller(&quota, &deployment(), &[])).await, Err("exceeded quota: q".to_owned()));
    assert_eq!(quota.log(), [NEW_SET, STATUS]);
    let condition = &quota.last_body()["status"]["conditions"][0];
    assert_eq!(condition["reason"], "ReplicaSetCreateError");
    let terminating = Fake::new(|_| namespace_terminating());
    assert_eq!(sync(&controller(&terminating, &deployment(), &[])).await, Ok(Outcome::Done));
    assert_eq!(terminating.log(), [NEW_SET]);
}

#[tokio::test]
async fn an_empty_selector_is_not_acted_upon() {
    let fake = Fake::new(|_| (200, deployment()));
    let mut deployment = deployment();
    deployment["spec"]["selector"] = json!({});
    assert_eq!(sync(&controller(&fake, &deployment, &[])).await, Ok(Outcome::Done));
    assert_eq!(fake.log(), [STATUS]);
    assert_eq!(fake.last_body()["status"]["observedGeneration"], 1);
}

#[tokio::test]
async fn a_deployment_that_is_being_deleted_only_keeps_its_status() {
    let fake = Fake::new(|_| (200, deployment()));
    let mut deployment = deployment();
    deployment["metadata"]["deletionTimestamp"] = json!("2026-05-01T10:00:00Z");
    assert_eq!(sync(&controller(&fake, &deployment, &[])).await, Ok(Outcome::Done));
    assert_eq!(fake.log(), [STATUS]);
}

#[tokio::test]
async fn a_ghost_adopts_no_set_and_makes_none() {
    let mut orphan = set_in_the_way(None, "app:1");
    orphan["metadata"]["labels"] = json!({"app": "web"});
    for (live, expect) in [
        (json!({"metadata": {"uid": "other"}}), "original Deployment ns/web is gone: got uid other, wanted deployment"),
        (
            json!({"metadata": {"uid": "deployment", "deletionTimestamp": "2026-05-01T10:00:00Z"}}),
            "ns/web has just been deleted at 2026-05-01T10:00:00Z",
        ),
    ] {
        let fake = Fake::new(move |_| (200, live.clone()));
        let error = sync(&controller(&fake, &deployment(), &[orphan.clone()])).await.unwrap_err();
        let name = orphan["metadata"]["name"].as_str().unwrap();
        assert_eq!(error, format!("can't adopt ReplicaSet ns/{name} (set): {expect}"));
        assert_eq!(fake.log(), ["GET /apis/apps/v1/namespaces/ns/deployments/web"], "no adoption, no set, no status");
    }
}

#[tokio::test]
async fn our_own_kinds_get_their_defaults_here_and_their_annotations_by_a_write_of_their_own() {
    let fake = Fake::new(|call| {
        let mut written = if call.method == "POST" { call.body.clone() } else { deployment() };
        written["metadata"]["resourceVersion"] = json!("11");
        (200, written)
    });
    let mut deployment = deployment();
    deployment["spec"]["strategy"] = json!(null);
    let controller = DeploymentController::new(&fake.shared, &Workloads::STEERSMAN);
    controller.deployments.take(Change::Replaced(vec![serde_json::from_value(deployment).unwrap()]), "10");
    controller.sets.take(Change::Replaced(Vec::new()), "10");
    assert_eq!(sync(&controller).await, Ok(Outcome::Done));
    let base = "/apis/apps.steersman.dev/v1/namespaces/ns";
    let expect = [
        format!("POST {base}/replicasets"),
        format!("PATCH {base}/deployments/web"),
        format!("PUT {base}/deployments/web/status"),
    ];
    assert_eq!(fake.log(), expect);
    let set = fake.body_of("POST");
    assert_eq!((&set["apiVersion"], &set["spec"]["replicas"]), (&json!("apps.steersman.dev/v1"), &json!(2)));
    assert_eq!(set["metadata"]["ownerReferences"][0]["apiVersion"], "apps.steersman.dev/v1");
    assert_eq!(set["metadata"]["annotations"]["deployment.kubernetes.io/max-replicas"], "3", "a quarter more");
}

#[tokio::test]
async fn recreation_waits_as_long_as_an_old_pod_may_run() {
    // For each old set the size that its status tells, and the phases of its pods.
    type Sets<'a> = &'a [(i32, &'a [&'a str])];
    let cases: [(Sets<'_>, bool); 9] = [
        (&[], false),
        (&[(0, &[""])], true),
        (&[(1, &[])], true),
        (&[(0, &[])], false),
        (&[(0, &["Failed", "Succeeded"])], false),
        (&[(0, &["Unknown"])], true),
        (&[(0, &["Pending"])], true),
        (&[(0, &["Running"])], true),
        (&[(0, &["Failed", "Succeeded"]), (0, &[]), (0, &["Pending"])], true),
    ];
    for (old, waits) in cases {
        let fake = Fake::new(|call| (200, if call.method == "POST" { call.body.clone() } else { deployment() }));
        let mut recreated = deployment();
        recreated["spec"]["strategy"] = json!({"type": "Recreate"});
        let (mut sets, mut pods) = (Vec::new(), Vec::new());
        for (at, (replicas, phases)) in old.iter().enumerate() {
            let mut set = set_in_the_way(Some("deployment"), &format!("app:old-{at}"));
            let name = format!("web-{at}");
            set["metadata"] = json!({
                "namespace": "ns", "name": name, "uid": name, "resourceVersion": "6", "labels": {"app": "web"},
                "ownerReferences": set["metadata"]["ownerReferences"],
            });
            set["spec"]["replicas"] = json!(0);
            set["status"] = json!({"replicas": replicas});
            sets.push(set);
            for (number, phase) in phases.iter().enumerate() {
                let owner = json!({"kind": "ReplicaSet", "name": name, "uid": name, "controller": true});
                let metadata =
                    json!({"namespace": "ns", "name": format!("{name}-{number}"), "ownerReferences": [owner]});
                pods.push(json!({"metadata": metadata, "status": {"phase": phase}}));
            }
        }
        let controller = controller(&fake, &recreated, &sets);
        let pods = pods.into_iter().map(|pod| serde_json::from_value(pod).unwrap());
        controller.pods.take(Change::Replaced(pods.collect()), "10");
        let _ = sync(&controller).await;
        assert_eq!(!fake.log().contains(&NEW_SET.to_owned()), waits, "{old:?}: {:?}", fake.log());
    }
}
