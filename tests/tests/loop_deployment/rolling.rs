//! New templates are rolled out, by one ReplicaSet each.

use serde_json::{Value, json};
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_new_deployment() {
    let mut world = World::idle().await;
    let mut body = deployment(20, json!({"minReadySeconds": 4}));
    body["metadata"]["annotations"] =
        json!({"test": "should-copy-to-replica-set", "kubectl.kubernetes.io/last-applied-configuration": "{}"});
    world.create("deployments", body).await;
    world.run(options("deployment,replicaset"));
    world.until_revision("1", "fakeimage").await;
    world.complete().await;
    let set = world.set_of("fakeimage").await.unwrap();
    assert_eq!(set["metadata"]["annotations"]["test"], "should-copy-to-replica-set");
    assert!(!set["metadata"]["annotations"].to_string().contains("last-applied"));
    let hash = text(&set, "/metadata/labels/pod-template-hash");
    assert_eq!(text(&set, "/spec/selector/matchLabels/pod-template-hash"), hash);
    assert_eq!(text(&set, "/spec/template/metadata/labels/pod-template-hash"), hash);
    assert_eq!(name(&set), format!("{NAME}-{hash}"));
    let pods = world.pods().await;
    assert_eq!(pods.len(), 20);
    assert!(pods.iter().all(|pod| text(pod, "/metadata/labels/pod-template-hash") == hash));
}

#[tokio::test(start_paused = true)]
async fn test_deployment_rolling_update() {
    let world = World::start().await;
    world.create("deployments", deployment(20, json!({"minReadySeconds": 4}))).await;
    world.complete().await;
    world.set_image("new-image").await;
    world.until_revision("2", "new-image").await;
    world.complete_within_bounds().await;
    world.set_image("dont-finish").await;
    world.until_revision("3", "dont-finish").await;
    world.set_image("fakeimage4").await;
    world.until_revision("4", "fakeimage4").await;
    world.complete_within_bounds().await;
    assert_eq!(world.sizes().await, [0, 0, 0, 20]);
}

#[tokio::test(start_paused = true)]
async fn test_deployment_selector_immutability() {
    let world = World::start().await;
    let mut body = world.create("deployments", deployment(20, json!({}))).await;
    let labels = json!({"name_v1": "test_v1"});
    body["spec"]["selector"]["matchLabels"] = labels.clone();
    body["spec"]["template"]["metadata"]["labels"] = labels;
    body["metadata"]["resourceVersion"].take();
    let (code, message) = world.put("deployments", NAME, &body).await.unwrap_err();
    assert_eq!(code, 422);
    assert!(message.contains("Invalid value") && message.contains("field is immutable"), "{message}");
}

#[tokio::test(start_paused = true)]
async fn test_deployment_hash_collision() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({}))).await;
    let set = world.until_revision("1", "fakeimage").await;
    let grace = json!({"spec": {"template": {"spec": {"terminationGracePeriodSeconds": 5}}}});
    world.merge("replicasets", name(&set), grace).await;
    world
        .until("a collision", async || (int(&world.deployment().await, "/status/collisionCount") == 1).then_some(()))
        .await;
    world.until("a second set", async || (revision(&world.deployment().await) == "2").then_some(())).await;
    assert_eq!(world.sets().await.len(), 2);
    assert_ne!(name(&world.sets().await[1]), name(&set));
}

#[tokio::test(start_paused = true)]
async fn test_failed_deployment() {
    let world = World::start().await;
    world.create("deployments", deployment(1, json!({"progressDeadlineSeconds": 3}))).await;
    world.until_revision("1", "fakeimage").await;
    let reason = async || reason(&world.deployment().await, "Progressing");
    world.until("late", async || (reason().await == "ProgressDeadlineExceeded").then_some(())).await;
    world.complete().await;
    assert_eq!(reason().await, "NewReplicaSetAvailable");
}

#[tokio::test(start_paused = true)]
async fn test_overlapping_deployments() {
    let world = World::start().await;
    let size = async |owner: &Value| {
        let sets = world.sets().await;
        let own: Vec<&Value> = sets.iter().filter(|set| controller(set) == uid(owner)).collect();
        assert!(own.len() < 2);
        own.first().map(|set| (name(set).to_owned(), revision(set).to_owned(), int(set, "/status/replicas")))
    };
    let mut both = Vec::new();
    for name in ["first-deployment", "second-deployment"] {
        let mut body = deployment(1, json!({}));
        body["metadata"]["name"] = json!(name);
        both.push(world.create("deployments", body).await);
    }
    for owner in &both {
        world.until("one pod", async || size(owner).await.filter(|it| (it.1.as_str(), it.2) == ("1", 1))).await;
    }
    let second = size(&both[1]).await.unwrap();
    world.merge("deployments", "first-deployment", json!({"spec": {"replicas": 2}})).await;
    let first = world.until("two pods", async || size(&both[0]).await.filter(|it| it.2 == 2)).await;
    assert_eq!(size(&both[1]).await.unwrap(), second, "the other one is left alone");
    assert_ne!(first.0, second.0);
}

#[tokio::test(start_paused = true)]
async fn scaling_and_rollouts_are_told_in_events() {
    let world = World::start().await;
    world
        .create(
            "deployments",
            deployment(2, json!({"strategy": {"rollingUpdate": {"maxSurge": 1, "maxUnavailable": 0}}})),
        )
        .await;
    world.complete().await;
    world.set_image("new-image").await;
    world.complete().await;
    let sets = world.sets().await;
    let (old, new) = (name(&sets[0]), name(&sets[1]));
    let mut told = world.messages("ScalingReplicaSet").await;
    told.sort();
    let mut expect = vec![
        format!("Scaled up replica set {old} from 0 to 2"),
        format!("Scaled up replica set {new} from 0 to 1"),
        format!("Scaled down replica set {old} from 2 to 1"),
        format!("Scaled up replica set {new} from 1 to 2"),
        format!("Scaled down replica set {old} from 1 to 0"),
    ];
    expect.sort();
    assert_eq!(told, expect);
}

#[tokio::test(start_paused = true)]
async fn the_legacy_annotation_rolls_back() {
    let world = World::start().await;
    let ask = async |revision: &str| {
        let annotations = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": revision}}});
        world.merge("deployments", NAME, annotations).await;
        world
            .until("answered", async || {
                let deployment = world.complete().await;
                let pending = text(&deployment, "/metadata/annotations/deprecated.deployment.rollback.to");
                pending.is_empty().then_some(deployment)
            })
            .await
    };
    world.create("deployments", deployment(1, json!({"template": {"metadata": {"annotations": {"a": "1"}}}}))).await;
    world.complete().await;
    ask("0").await;
    ask("7").await;
    ask("1").await;
    world.set_image("new-image").await;
    world.until_revision("2", "new-image").await;
    world.complete().await;
    assert_eq!(image(&ask("0").await), "fakeimage");
    let set = world.until_revision("3", "fakeimage").await;
    assert_eq!(annotation(&set, "revision-history"), "1");
    assert_eq!(
        world.messages("DeploymentRollbackRevisionNotFound").await,
        ["Unable to find last revision.", "Unable to find the revision to rollback to."]
    );
    let unchanged = format!("The rollback revision contains the same template as current deployment \"{NAME}\"");
    assert_eq!(world.messages("DeploymentRollbackTemplateUnchanged").await, [unchanged]);
    let done = format!("Rolled back deployment \"{NAME}\" to revision 1");
    assert_eq!(world.messages("DeploymentRollback").await, [done]);
    // What is no number is left where it is.
    world
        .merge("deployments", NAME, json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "x"}}}))
        .await;
    world.complete().await;
    assert_eq!(text(&world.deployment().await, "/metadata/annotations/deprecated.deployment.rollback.to"), "x");
}

#[tokio::test(start_paused = true)]
async fn a_limit_of_zero_deletes_every_drained_set_and_an_endless_one_none() {
    for (limit, left) in [(0, 1), (i64::from(i32::MAX), 3)] {
        let world = World::start().await;
        world.create("deployments", deployment(1, json!({"revisionHistoryLimit": limit}))).await;
        world.complete().await;
        for image in ["second", "third"] {
            world.set_image(image).await;
            world.until("rolled out", async || world.set_of(image).await).await;
            world.complete().await;
        }
        world.settle().await;
        world.until("cleaned up", async || (world.sets().await.len() == left).then_some(())).await;
    }
}

#[tokio::test(start_paused = true)]
async fn a_long_name_is_cut_for_the_set_and_the_set_for_its_pods() {
    let world = World::start().await;
    let mut body = deployment(1, json!({}));
    body["metadata"]["name"] = json!("a".repeat(253));
    world.create("deployments", body).await;
    let pod = world.until("a pod", async || world.pods().await.pop()).await;
    let set = &world.sets().await[0];
    assert_eq!(name(set).len(), 253);
    assert!(name(set).ends_with(&format!("-{}", text(set, "/metadata/labels/pod-template-hash"))));
    assert_eq!(name(&pod).len(), 63);
}

#[tokio::test(start_paused = true)]
async fn a_finished_deployment_is_written_no_more() {
    let mut world = World::start().await;
    world.create("deployments", deployment(3, json!({}))).await;
    world.complete().await;
    world.set_image("new-image").await;
    world.until_revision("2", "new-image").await;
    world.complete().await;
    world.assert_at_rest(options("deployment,replicaset")).await;
}
