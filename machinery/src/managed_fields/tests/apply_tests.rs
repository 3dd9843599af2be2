//! What applying does: sharing, conflicts, pruning, the way from client-side apply.

use super::*;

#[test]
fn values_that_agree_are_shared_and_others_conflict() {
    let mut world = World::new();
    world.apply("m1", json!({"spec": {"replicas": 1}}), false).unwrap();
    assert_eq!(world.owners(), ["m1 Apply: .spec.replicas"]);

    let error = world.apply("m2", json!({"spec": {"replicas": 2}}), false).unwrap_err();
    assert_eq!(error.to_string(), "Apply failed with 1 conflict: conflict with \"m1\": .spec.replicas");
    assert_eq!(causes(error), [("conflict with \"m1\"".to_owned(), ".spec.replicas".to_owned())]);

    world.apply("m2", json!({"spec": {"replicas": 1}}), false).unwrap();
    // Sharing changes nothing in the object, so the new entry has no time; it stands first.
    assert_eq!(world.owners(), ["m2 Apply: .spec.replicas", "m1 Apply: .spec.replicas"]);

    world.apply("m2", json!({"spec": {"replicas": 2}}), true).unwrap();
    assert_eq!(world.owners(), ["m2 Apply: .spec.replicas"]);

    world.apply("m1", json!({"spec": {}}), false).unwrap();
    assert_eq!(world.live()["spec"]["replicas"], 2);
    world.apply("m2", json!({"spec": {}}), false).unwrap();
    assert_eq!(world.live()["spec"].get("replicas"), None);
}

#[test]
fn what_is_applied_no_longer_goes_unless_somebody_owns_it() {
    let mut world = World::new();
    world.apply("m1", json!({"data": {"a": "1", "b": "1"}}), false).unwrap();
    world.apply("m2", json!({"data": {"c": "1"}}), false).unwrap();
    world.apply("m1", json!({"data": {"a": "1"}}), false).unwrap();
    assert_eq!(world.live()["data"], json!({"a": "1", "c": "1"}));

    // An updater's entry of the same manager is another manager's.
    world.patch("m1", json!({"data": {"a": "2"}}));
    world.apply("m1", json!({"data": {}}), false).unwrap();
    assert_eq!(world.live()["data"], json!({"a": "2", "c": "1"}));
}

#[test]
fn items_go_whole_and_sidecars_stay() {
    let containers = |names: &[&str]| -> Value {
        let items: Vec<Value> = names.iter().map(|name| json!({"name": name, "image": name})).collect();
        json!({"spec": {"containers": items}})
    };
    let names = |world: &World| -> Vec<String> {
        let items = meta::items(world.live(), &["spec", "containers"]);
        items.iter().map(|item| meta::text(item, &["name"]).to_owned()).collect()
    };
    let mut world = World::new();
    world.apply("m1", containers(&["web", "log"]), false).unwrap();
    world.apply("m2", containers(&["sidecar"]), false).unwrap();
    assert_eq!(names(&world), ["web", "log", "sidecar"]);
    world.apply("m1", containers(&["log"]), false).unwrap();
    assert_eq!(names(&world), ["log", "sidecar"]);
    // What others wrote into an item goes with it: the item itself is not theirs.
    world.patch(
        "ops",
        json!({"spec": {"containers": [{"name": "log", "image": "log", "args": ["-v"]},
        {"name": "sidecar", "image": "sidecar"}]}}),
    );
    world.apply("m1", json!({"spec": {}}), false).unwrap();
    assert_eq!(names(&world), ["sidecar"]);
    assert_eq!(world.owners().len(), 2, "m1 and m2: nothing is left of ops");
}

#[test]
fn an_update_takes_fields_over() {
    let mut world = World::new();
    world.apply("m1", json!({"spec": {"replicas": 1}}), false).unwrap();
    world.patch("curl", json!({"spec": {"replicas": 3}}));
    assert_eq!(world.owners(), ["curl Update: .spec.replicas"]);
    let error = world.apply("m1", json!({"spec": {"replicas": 1}}), false).unwrap_err();
    assert_eq!(causes(error)[0].0, "conflict with \"curl\" using v1");
}

#[test]
fn many_conflicts_are_listed_by_manager() {
    let mut world = World::new();
    world.apply("m1", json!({"data": {"a": "1", "b": "1"}}), false).unwrap();
    world.patch("ed", json!({"spec": {"containers": [{"name": "web", "args": ["a"]}]}}));
    let config = json!({"data": {"a": "2", "b": "2"}, "spec": {"containers": [{"name": "web", "args": ["b"]}]}});
    let error = world.apply("m2", config, false).unwrap_err();
    assert_eq!(
        error.to_string(),
        "Apply failed with 3 conflicts: conflicts with \"ed\" using v1:\n- .spec.containers[name=\"web\"].args\n\
         conflicts with \"m1\":\n- .data.a\n- .data.b"
    );
    assert_eq!(Status::from(error).code, 409);
}

#[test]
fn the_same_configuration_again_is_no_write() {
    let mut world = World::new();
    let config = json!({"metadata": {"name": "x", "labels": {"a": "b"}}, "spec": {"containers": [{"name": "web"}]}});
    world.apply("m1", config.clone(), false).unwrap();
    let before = world.live().clone();
    world.apply("m1", config, false).unwrap();
    assert_eq!(world.live(), &before);
}

#[test]
fn what_was_there_before_belongs_to_before_first_apply() {
    let mut world = World::new();
    world.live = Some(json!({"metadata": {"name": "x", "uid": "1", "labels": {"l": "1"}}, "data": {"w": "1"}}));
    world.apply("m", json!({"data": {"v": "1"}}), false).unwrap();
    assert_eq!(
        world.owners(),
        ["m Apply: .data.v", "before-first-apply Update: .data .data.w .metadata.labels .metadata.labels.l"]
    );
    let error = world.apply("m", json!({"data": {"w": "2"}}), false).unwrap_err();
    assert_eq!(causes(error)[0].0, "conflict with \"before-first-apply\" using v1");
}

#[test]
fn a_status_endpoint_owns_no_spec() {
    let mut world = World::new();
    world.update("creator", json!({"metadata": {"uid": "1"}, "spec": {"replicas": 1}}));
    world.apply_to("ctl", "status", json!({"spec": {"replicas": 9}, "status": {"ready": 1}}), false).unwrap();
    assert_eq!(world.owners(), ["ctl Apply: .status.ready", "creator Update: .spec.replicas"]);
    let error = world.apply_to("other", "status", json!({"status": {"ready": 2}}), false).unwrap_err();
    assert_eq!(causes(error)[0].0, "conflict with \"ctl\" with subresource \"status\"");
}

#[test]
fn bad_configurations_are_refused() {
    let mut world = World::new();
    let fail = |world: &mut World, config: Value| {
        let status = Status::from(world.write("m", "", |writer, live| writer.apply(live, config, false).unwrap_err()));
        (status.code, status.message)
    };
    let cases = [
        (
            json!({"apiVersion": "v2"}),
            400,
            "Incorrect version specified in apply patch. Specified patch version: v2, expected: v1",
        ),
        (json!({"apiVersion": "v1", "metadata": {"managedFields": []}}), 400, "metadata.managedFields must be nil"),
        (
            json!({"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "app"}, "daata": {}}),
            500,
            "failed to create typed patch object (/app; /v1, Kind=ConfigMap): .daata: field not declared in schema",
        ),
        (
            json!({"apiVersion": "v1", "kind": "X", "metadata": {"name": "a", "namespace": "n"}, "x": 1, "y": 1}),
            500,
            "failed to create typed patch object (n/a; /v1, Kind=X): errors:\n  .x: field not declared in schema\n  \
             .y: field not declared in schema",
        ),
    ];
    for (config, code, message) in cases {
        assert_eq!(fail(&mut world, config), (code, message.to_owned()));
    }
}

#[test]
fn kubectl_takes_over_what_client_side_apply_set() {
    let annotation = "kubectl.kubernetes.io/last-applied-configuration";
    let mut world = World::new();
    let last = json!({"apiVersion": "v1", "kind": "ConfigMap", "data": {"a": "1"}, "metadata": {"name": "app"}});
    world.update(
        "kubectl-client-side-apply",
        json!({"metadata": {"uid": "1", "annotations": {annotation: last.to_string()}}, "data": {"a": "1"}}),
    );
    assert!(world.apply("someone", json!({"data": {"a": "2"}}), false).is_err());

    let config = json!({"kind": "ConfigMap", "data": {"a": "2"}, "metadata": {"name": "app"}});
    world.apply("kubectl", config, false).unwrap();
    assert_eq!(world.live()["data"]["a"], "2");
    assert_eq!(
        world.live()["metadata"]["annotations"][annotation],
        "{\"apiVersion\":\"v1\",\"data\":{\"a\":\"2\"},\"kind\":\"ConfigMap\",\"metadata\":{\"name\":\"app\"}}\n"
    );

    // What has changed since is somebody's: the conflict stays.
    world.patch("kubectl-client-side-apply", json!({"data": {"a": "4"}}));
    let error = world.apply("kubectl", json!({"data": {"a": "5"}}), false).unwrap_err();
    assert_eq!(causes(error)[0].0, "conflict with \"kubectl-client-side-apply\" using v1");
}
