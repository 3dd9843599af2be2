//! Sizes change, also in the middle of a rollout.

use serde_json::json;
use steersman_tests::workloads::*;

#[tokio::test(start_paused = true)]
async fn test_scaled_rollout_deployment() {
    let world = World::start().await;
    let limits = json!({"strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}});
    world.create("deployments", deployment(10, limits)).await;
    world.until_revision("1", "fakeimage").await;
    world.complete().await;
    let stall = async |image: &str, revision: &str, available: i64| {
        world.set_image(image).await;
        world.until_revision(revision, image).await;
        world.settle().await;
        let stalled = world.until_observed().await;
        assert!(int(&stalled, "/status/availableReplicas") >= available);
        for set in world.sets().await {
            world.until_stable(name(&set)).await;
        }
    };
    let finish = async |image: &str, revision: &str, replicas: i64| {
        let containers = json!([{"name": "fake-name", "image": image}]);
        world.change(json!({"replicas": replicas, "template": {"spec": {"containers": containers}}})).await;
        world.until_revision(revision, image).await;
        world.complete().await;
    };
    let desired = async |revisions: std::ops::Range<usize>, expect: &str| {
        let sets = world.sets().await;
        assert!(sets[revisions].iter().all(|set| annotation(set, "desired-replicas") == expect), "{sets:#?}");
    };
    stall("fakeimage2", "2", 8).await;
    finish("fakeimage3", "3", 20).await;
    desired(0..3, "20").await;
    stall("fakeimage4", "4", 18).await;
    finish("fakeimage5", "5", 5).await;
    desired(2..5, "5").await;
}

#[tokio::test(start_paused = true)]
async fn test_spec_replicas_change() {
    let world = World::start().await;
    let recreate = json!({"strategy": {"type": "Recreate"}});
    world.create("deployments", deployment(1, recreate)).await;
    world.until_revision("1", "fakeimage").await;
    world.complete().await;
    for replicas in [2, 0, 1] {
        world.change(json!({"replicas": replicas})).await;
        world.complete().await;
        assert_eq!(world.sizes().await, [replicas]);
    }
    let before = world.deployment().await;
    let after = world.change(json!({"revisionHistoryLimit": 8})).await;
    assert_eq!(int(&after, "/metadata/generation"), int(&before, "/metadata/generation") + 1);
    world.until_observed().await;
}

#[tokio::test(start_paused = true)]
async fn test_deployment_scale_subresource() {
    let world = World::start().await;
    world.create("deployments", deployment(2, json!({}))).await;
    let scale = format!("{NAME}/scale");
    assert_eq!(int(&world.get("deployments", &scale).await, "/spec/replicas"), 2);
    for replicas in [3, 0] {
        let mut body = world.get("deployments", &scale).await;
        body["spec"]["replicas"] = json!(replicas);
        world.put("deployments", &scale, &body).await.unwrap();
        assert_eq!(int(&world.deployment().await, "/spec/replicas"), replicas);
    }
    world.complete().await;
}

/// A stalled rollout of 10 pods from one image to another, surge 3 and 2 unavailable: 8 and 5.
async fn stalled() -> World {
    let world = World::start().await;
    let limits = json!({"strategy": {"rollingUpdate": {"maxSurge": 3, "maxUnavailable": 2}}});
    world.create("deployments", deployment(10, limits)).await;
    world.complete().await;
    world.set_image("webserver:404").await;
    world.until("stalled", async || (world.sizes().await == [8, 5]).then_some(())).await;
    world
}

#[tokio::test(start_paused = true)]
async fn deployment_should_support_proportional_scaling() {
    let world = stalled().await;
    world.until_status([13, 5, 8, 8, 5], Some(0)).await;
    world.change(json!({"replicas": 30})).await;
    world.until("in proportion", async || (world.sizes().await == [20, 13]).then_some(())).await;
    let sets = world.sets().await;
    assert!(
        sets.iter().all(|set| (annotation(set, "desired-replicas"), annotation(set, "max-replicas")) == ("30", "33"))
    );
}

#[tokio::test(start_paused = true)]
async fn a_rollout_that_went_wrong_is_scaled_to_nothing_and_back() {
    let world = stalled().await;
    world.change(json!({"replicas": 0})).await;
    world.until("empty", async || (world.sizes().await == [0, 0]).then_some(())).await;
    world.change(json!({"replicas": 4})).await;
    world.complete().await;
    assert_eq!(world.sizes().await, [0, 4], "the new set has it all");
}
