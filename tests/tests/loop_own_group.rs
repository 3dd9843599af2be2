//! The Deployments and ReplicaSets of `apps.steersman.dev`: custom resources that the same controllers keep; and the work
//! dealt out to several processes.

use http::Request;
use serde_json::{Value, json};
use steersman::{ApiGroups, Cluster};
use steersman_controllers::{Options, Shard};
use steersman_tests::workloads::*;

const GROUP: &str = "apps.steersman.dev";

fn own(api_groups: ApiGroups) -> Options {
    Options { api_groups, ..options("deployment,replicaset") }
}

/// An API server that knows our kinds, and the two controllers.
async fn world(groups: ApiGroups) -> World {
    let mut world = World::of(bare().api_groups(groups)).await.in_group(GROUP);
    world.run(own(groups));
    world
}

#[tokio::test(start_paused = true)]
async fn a_custom_deployment_is_rolled_out_and_back() {
    let mut world = world(ApiGroups::Steersman).await;
    world.create("deployments", deployment(4, json!({"strategy": {"type": "RollingUpdate"}}))).await;
    let first = world.until_revision("1", "fakeimage").await;
    world.complete().await;
    let pods = world.pods().await;
    let owner = &owners(&pods[0])[0];
    assert_eq!((text(owner, "/apiVersion"), text(owner, "/uid")), ("apps.steersman.dev/v1", uid(&first)));
    assert_eq!(owners(&first)[0]["apiVersion"], "apps.steersman.dev/v1");

    world.set_image("new-image").await;
    world.until_revision("2", "new-image").await;
    // A quarter more and a quarter fewer, though no server has filled that in.
    let bounds = json!({"maxSurge": 1, "maxUnavailable": 1});
    world
        .until("complete", async || {
            world.make_all_ready().await;
            let mut deployment = world.deployment().await;
            deployment["spec"]["strategy"]["rollingUpdate"] = bounds.clone();
            assert_within_bounds(&deployment, &world.sets().await);
            is_complete(&deployment).then_some(())
        })
        .await;
    assert_eq!(world.sizes().await, [0, 4]);
    let back = json!({"metadata": {"annotations": {"deprecated.deployment.rollback.to": "1"}}});
    world.merge("deployments", NAME, back).await;
    world.until_revision("3", "fakeimage").await;
    let complete = world.complete().await;
    assert_eq!(figures(&complete), ([4, 4, 4, 4, 0], Some(0)));
    assert_eq!(reason(&complete, "Progressing"), "NewReplicaSetAvailable");
    assert_eq!(reason(&complete, "Available"), "MinimumReplicasAvailable");
    world.assert_at_rest(own(ApiGroups::Steersman)).await;
}

#[tokio::test(start_paused = true)]
async fn custom_kinds_scale_by_their_subresource() {
    let world = world(ApiGroups::Steersman).await;
    world.create("deployments", deployment(1, json!({}))).await;
    world.complete().await;
    let scale = format!("{NAME}/scale");
    let seen = world.get("deployments", &scale).await;
    assert_eq!((text(&seen, "/kind"), int(&seen, "/status/replicas")), ("Scale", 1));
    world.merge("deployments", &scale, json!({"spec": {"replicas": 3}})).await;
    world.complete().await;
    assert_eq!(world.sizes().await, [3]);
    let sets = world.sets().await;
    world.merge("replicasets", &format!("{}/scale", name(&sets[0])), json!({"spec": {"replicas": 2}})).await;
    world.settle().await;
    assert_eq!(world.sizes().await, [3], "its Deployment decides");
}

#[tokio::test(start_paused = true)]
async fn custom_sets_are_let_go_and_adopted_again() {
    let world = world(ApiGroups::Steersman).await;
    let owner = world.create("deployments", deployment(1, json!({}))).await;
    let set = world.until_revision("1", "fakeimage").await;
    let owned_by = async |wanted: &str| {
        let now = async || (controller(&world.get("replicasets", name(&set)).await) == wanted).then_some(());
        world.until("owned", now).await;
    };
    let foreign =
        json!([{"apiVersion": "apps/v1", "kind": "StatefulSet", "name": "x", "uid": "1", "controller": false}]);
    world.merge("replicasets", name(&set), json!({"metadata": {"ownerReferences": foreign}})).await;
    owned_by(uid(&owner)).await;
    assert_eq!(owners(&world.get("replicasets", name(&set)).await).len(), 2);
    world.merge("replicasets", name(&set), json!({"metadata": {"labels": {"name": null}}})).await;
    owned_by("").await;
    assert_eq!(owners(&world.get("replicasets", name(&set)).await).len(), 1, "the foreign one stays");
    world.until("a substitute", async || (world.sets().await.len() == 2).then_some(())).await;
    world.merge("replicasets", name(&set), json!({"metadata": {"labels": {"name": NAME}}})).await;
    owned_by(uid(&owner)).await;
    world.complete().await;
}

#[tokio::test(start_paused = true)]
async fn what_no_server_has_checked_makes_no_pods() {
    let world = world(ApiGroups::Steersman).await;
    let mut body = deployment(3, json!({}));
    body["spec"]["template"]["metadata"]["labels"] = json!({"name": "other"});
    world.create("deployments", body).await;
    let mut body = replica_set(3, json!({}));
    body["spec"]["selector"] = json!({});
    world.create("replicasets", body).await;
    world.create("pods", pod("bystander")).await;
    world.until("told", async || (world.messages("InvalidSelector").await.len() == 2).then_some(())).await;
    tokio::time::sleep(std::time::Duration::from_secs(600)).await;
    let mut told = world.messages("InvalidSelector").await;
    told.sort();
    assert_eq!(told, ["`selector` does not match template `labels`", "a non-empty selector is required"]);
    assert_eq!((world.sets().await.len(), world.pods().await.len()), (1, 1));
    assert!(owners(&world.get("pods", "bystander").await).is_empty());
    // Neither the selector nor what a pod of a workload must do may change.
    let (code, message) = world
        .patch(
            "deployments",
            NAME,
            "merge-patch+json",
            json!({"spec": {"selector": {"matchLabels": {"name": "other"}}}}),
        )
        .await
        .unwrap_err();
    assert!(code == 422 && message.contains("field is immutable"), "{message}");
    let never = json!({"spec": {"template": {"spec": {"restartPolicy": "Never"}}}});
    assert_eq!(world.patch("deployments", NAME, "merge-patch+json", never).await.unwrap_err().0, 422);
}

#[tokio::test(start_paused = true)]
async fn two_groups_live_side_by_side() {
    let mut own_world = world(ApiGroups::Both).await;
    // The same names, selectors and templates: only the references tell the pods apart.
    for (group, size) in [(GROUP, 3), ("apps", 2)] {
        own_world = own_world.in_group(group);
        own_world.create("deployments", deployment(size, json!({}))).await;
    }
    for group in [GROUP, "apps"] {
        own_world = own_world.in_group(group);
        own_world.complete().await;
        own_world.set_image("new-image").await;
        own_world.until_revision("2", "new-image").await;
        own_world.complete().await;
    }
    let pods = own_world.pods().await;
    let of = |version: &str| pods.iter().filter(|pod| owners(pod)[0]["apiVersion"] == version).count();
    assert_eq!((pods.len(), of("apps.steersman.dev/v1"), of("apps/v1")), (5, 3, 2));
    own_world.assert_at_rest(own(ApiGroups::Both)).await;
}

#[tokio::test(start_paused = true)]
async fn garbage_of_custom_kinds_is_collected() {
    for policy in ["Background", "Foreground"] {
        let builder = Cluster::builder().nodes(1).virtual_time().api_groups(ApiGroups::Steersman);
        let world = World::of(builder).await.in_group(GROUP);
        world.create("deployments", deployment(2, json!({}))).await;
        world.until("complete", async || is_complete(&world.deployment().await).then_some(())).await;
        world.delete("deployments", NAME, json!({"propagationPolicy": policy})).await;
        for resource in ["deployments", "replicasets", "pods"] {
            world
                .until(&format!("no {resource}"), async || world.list(resource, "").await.is_empty().then_some(()))
                .await;
        }
    }
}

#[tokio::test(start_paused = true)]
async fn custom_kinds_have_short_names_and_columns() {
    let world = world(ApiGroups::Steersman).await;
    world.create("deployments", deployment(2, json!({}))).await;
    world.complete().await;
    let resources = world.send("GET", "/apis/apps.steersman.dev/v1", "json", None).await.unwrap();
    let short = |resource: &str| {
        let resources = resources["resources"].as_array().unwrap();
        resources.iter().find(|it| it["name"] == resource).unwrap()["shortNames"].clone()
    };
    assert_eq!((short("deployments"), short("replicasets")), (json!(["sdeploy"]), json!(["srs"])));
    let table = async |resource: &str| {
        let request = Request::builder()
            .uri(format!("/apis/apps.steersman.dev/v1/namespaces/default/{resource}"))
            .header("Accept", "application/json;as=Table;v=v1;g=meta.k8s.io")
            .body(Vec::new())
            .unwrap();
        let table: Value = world.cluster.client().request(request).await.unwrap();
        let names = table["columnDefinitions"].as_array().unwrap().iter().map(|it| text(it, "/name").to_owned());
        let cells = table["rows"][0]["cells"].as_array().unwrap();
        names.collect::<Vec<_>>().join(" ") + ": " + &json!(cells[1..cells.len() - 1]).to_string()
    };
    assert_eq!(table("deployments").await, "Name Desired Ready Up-to-date Available Age: [2,2,2,2]");
    assert_eq!(table("replicasets").await, "Name Desired Current Ready Age: [2,2,2]");
}

#[tokio::test(start_paused = true)]
async fn every_namespace_is_seen_to_by_one_shard() {
    let mut world = World::idle().await;
    let namespaces: Vec<String> = (0..8).map(|n| format!("team-{n}")).collect();
    for namespace in &namespaces {
        let body = json!({"apiVersion": "v1", "kind": "Namespace", "metadata": {"name": namespace}});
        world.send("POST", "/api/v1/namespaces", "json", Some(&body)).await.unwrap();
    }
    let shards: Vec<Shard> = ["0/2", "1/2"].iter().map(|text| text.parse().unwrap()).collect();
    for (shard, agent) in shards.iter().zip(["shard-0", "shard-1"]) {
        let options = Options { shard: *shard, ..options("deployment,replicaset,namespace") };
        world.run_with(world.cluster.client_of(agent), options);
    }
    for namespace in &namespaces {
        let mut body = deployment(2, json!({}));
        body["apiVersion"] = json!("apps/v1");
        body["kind"] = json!("Deployment");
        let path = format!("/apis/apps/v1/namespaces/{namespace}/deployments");
        world.send("POST", &path, "json", Some(&body)).await.unwrap();
    }
    let pods = async || {
        let list = world.send("GET", "/api/v1/pods", "json", None).await.unwrap();
        list["items"].as_array().map(Vec::len)
    };
    world.until("all pods", async || pods().await.filter(|count| *count == 16)).await;
    world.settle().await;
    assert_eq!(pods().await, Some(16));
    let mut seen = [0, 0];
    for namespace in &namespaces {
        let place = shards.iter().position(|shard| shard.owns(namespace)).unwrap();
        seen[place] += 1;
        let within = format!("/namespaces/{namespace}/");
        let writes = world.cluster.writes();
        let agents = writes.iter().filter(|it| it.path.contains(&within) && it.user_agent.starts_with("shard-"));
        assert!(agents.clone().count() > 3);
        assert!(agents.clone().all(|it| it.user_agent == format!("shard-{place}")), "{namespace}");
    }
    assert!(seen.iter().all(|count| *count > 0), "{seen:?}");
}
