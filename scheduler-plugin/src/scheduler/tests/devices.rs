//! Pods with claims on devices, from the queue to the binding.

use serde_json::Value;

use super::*;

fn world() -> World {
    let world = World::default();
    world.set("nodes", node("n1", "4"));
    let class = json!({"metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}});
    world.set("deviceclasses", class);
    world.set("resourceslices", slice(json!({})));
    world
}

fn slice(change: Value) -> Value {
    let mut device = json!({"name": "d0"});
    world::merge(&mut device, change);
    let pool = json!({"name": "p", "generation": 1, "resourceSliceCount": 1});
    json!({"metadata": {"name": "s"}, "spec": {"driver": "x", "nodeName": "n1", "pool": pool, "devices": [device]}})
}

fn claim() -> Value {
    let request =
        json!({"name": "r", "exactly": {"deviceClassName": "gpu", "allocationMode": "ExactCount", "count": 1}});
    json!({
        "metadata": {"name": "c", "namespace": "default", "uid": "c",
            "ownerReferences": [{"uid": "uid-p", "controller": true}]},
        "spec": {"devices": {"requests": [request]}},
    })
}

/// Uses the claim by its name, or one that is made from a template.
fn pod_with(claim: Value) -> Value {
    let mut pod = pod("p", "1");
    pod["spec"]["resourceClaims"] = json!([claim]);
    pod
}

fn named() -> Value {
    pod_with(json!({"name": "a", "resourceClaimName": "c"}))
}

#[tokio::test(start_paused = true)]
async fn a_pod_waits_for_the_claim_that_is_made_from_its_template() {
    let world = world();
    let pod = pod_with(json!({"name": "a", "resourceClaimTemplateName": "t"}));
    world.set("pods", pod.clone());
    let script = async {
        seconds(2).await;
        world.set("resourceclaims", claim());
        seconds(2).await;
        assert_eq!(world.writes(), [""; 0], "nobody knows yet that it is this claim");
        let mut pod = pod;
        pod["status"] = json!({"resourceClaimStatuses": [{"name": "a", "resourceClaimName": "c"}]});
        world.set("pods", pod);
        seconds(2).await;
        assert_eq!(world.node_of("p").as_deref(), Some("n1"));
    };
    beside(&world, Options::default(), script).await;
    let expected = [
        r#"status p {"nominatedNodeName":"n1"}"#,
        "patch resourceclaims c",
        "patch resourceclaims c",
        "bind p n1",
        "Scheduled Successfully assigned default/p to n1",
    ];
    assert_eq!(world.writes(), expected);
    let status = world.get("resourceclaims", "c")["status"].clone();
    assert_eq!(status["reservedFor"][0]["uid"], "uid-p");
    assert_eq!(status["allocation"]["allocationTimestamp"], "2026-05-01T10:00:04Z");
}

#[tokio::test(start_paused = true)]
async fn what_was_written_is_taken_back_if_the_pod_is_not_bound() {
    let world = world();
    world.set("resourceclaims", claim());
    world.set("pods", named());
    world.refuse_bindings(1);
    beside(&world, Options::default(), seconds(5)).await;
    let patches = world.writes().iter().filter(|write| *write == "patch resourceclaims c").count();
    // The finalizer, allocation and reservation, the reservation taken back, and reserved anew: the devices stay.
    assert_eq!(patches, 4, "{:?}", world.writes());
    assert_eq!(world.node_of("p").as_deref(), Some("n1"));
}

#[tokio::test(start_paused = true)]
async fn a_pod_is_bound_when_its_devices_are_ready() {
    let world = world();
    world.set("resourceslices", slice(json!({"bindingConditions": ["ready"], "bindingFailureConditions": ["broken"]})));
    world.set("resourceclaims", claim());
    world.set("pods", named());
    let script = async {
        seconds(30).await;
        assert_eq!(world.node_of("p"), None);
        let mut claim = world.get("resourceclaims", "c");
        let ready = json!([{"type": "ready", "status": "True"}]);
        claim["status"]["devices"] = json!([{"driver": "x", "pool": "p", "device": "d0", "conditions": ready}]);
        world.set("resourceclaims", claim);
        seconds(6).await;
        assert_eq!(world.node_of("p").as_deref(), Some("n1"));
    };
    let metrics = Metrics::recording();
    counted(&world, Options::default(), metrics.clone(), script).await;
    let labels = r#"{driver="x",profile="default-scheduler",status="success"}"#;
    for line in [
        format!("scheduler_dra_bindingconditions_allocations_total{labels} 1"),
        format!("scheduler_dra_bindingconditions_wait_duration_seconds_count{labels} 1"),
    ] {
        assert!(metrics.render().contains(&line), "{line} in\n{}", metrics.render());
    }
    let event = "BindingConditionsPending waiting for binding conditions for device on node n1";
    assert!(world.writes().contains(&event.to_owned()), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn devices_that_do_not_get_ready_are_given_back() {
    let world = world();
    world.set("resourceslices", slice(json!({"bindingConditions": ["ready"]})));
    world.set("resourceclaims", claim());
    world.set("pods", named());
    beside(&world, Options::default(), seconds(700)).await;
    let late = "status p PodScheduled=False SchedulerError: running PreBind plugin \"DynamicResources\": claim c binding timeout";
    let given_up = "deallocation of ResourceClaim completed";
    let place = |text: &str| world.writes().iter().position(|write| write.contains(text));
    assert!(place(late).is_some() && place(late) < place(given_up), "{:?}", world.writes());
}

#[tokio::test(start_paused = true)]
async fn an_extended_resource_that_is_a_device_gets_a_claim() {
    let world = world();
    let mut pod = pod("p", "1");
    pod["spec"]["containers"][0]["resources"]["requests"]["example.com/gpu"] = json!("1");
    world.set("pods", pod);
    let metrics = Metrics::recording();
    counted(&world, Options::default(), metrics.clone(), seconds(2)).await;
    assert!(metrics.render().contains("scheduler_resourceclaim_creates_total{status=\"success\"} 1\n"));
    let name = "p-extended-resources-1";
    let patch = format!("patch resourceclaims {name}");
    let mapping = r#"[{"containerName":"c","requestName":"container-0-request-1","resourceName":"example.com/gpu"}]"#;
    let expected = [
        r#"status p {"nominatedNodeName":"n1"}"#.to_owned(),
        format!("create {name}"),
        patch.clone(),
        patch,
        format!(
            r#"status p {{"extendedResourceClaimStatus":{{"requestMappings":{mapping},"resourceClaimName":"{name}"}}}}"#
        ),
        "bind p n1".to_owned(),
        "Scheduled Successfully assigned default/p to n1".to_owned(),
    ];
    assert_eq!(world.writes(), expected);
    assert_eq!(world.get("resourceclaims", name)["status"]["allocation"]["devices"]["results"][0]["device"], "d0");
}
