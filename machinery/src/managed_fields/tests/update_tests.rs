//! What other writes record.

use super::*;

fn created() -> World {
    let mut world = World::new();
    world.update(
        "creator",
        json!({"apiVersion": "v1", "kind": "X", "data": {"a": "1", "b": "2"}, "spec": {"replicas": 1},
            "metadata": {"name": "x", "uid": "1", "labels": {"x": "y"}, "finalizers": ["e/f"]}}),
    );
    world
}

const CREATED: &str = "creator Update: .data .metadata.finalizers .metadata.labels .data.a .data.b \
     .metadata.finalizers[=\"e/f\"] .metadata.labels.x .spec.replicas";

#[test]
fn the_creator_owns_everything() {
    let world = created();
    let owners = world.owners();
    let mut have: Vec<&str> = owners[0].split(' ').collect();
    let mut expect: Vec<&str> = CREATED.split_whitespace().collect();
    have.sort_unstable();
    expect.sort_unstable();
    assert_eq!((owners.len(), have), (1, expect));
    assert_eq!(world.live()["metadata"]["managedFields"][0]["time"], "1970-01-01T00:00:01Z");
}

#[test]
fn changes_move_and_removals_vanish() {
    let mut world = created();
    world.patch("updater", json!({"data": {"b": "3", "c": "1"}}));
    assert_eq!(world.owners()[1], "updater Update: .data.b .data.c");
    assert!(!world.owners()[0].contains(".data.b"));

    world.patch("third", json!({"data": null}));
    assert_eq!(world.owners().len(), 1);
    assert!(!world.owners()[0].contains(".data"));

    // No change, no record: neither by the same nor by another manager.
    let before = world.live().clone();
    world.patch("fourth", json!({}));
    assert_eq!(world.live(), &before);

    world.patch("", json!({"data": {"z": "1"}}));
    assert_eq!(world.owners()[1], "unknown Update: .data .data.z");
}

#[test]
fn only_the_endpoints_fields_are_recorded() {
    let mut world = created();
    world.patch("ctl", json!({"status": {"ready": 1}}));
    assert_eq!(world.owners().len(), 1);
    let new = crate::patch::merge::apply(world.live(), &json!({"status": {"ready": 2}, "spec": {"replicas": 5}}));
    let object = world.write("ctl", "status", |writer, live| writer.update(live, new));
    world.live = Some(object);
    assert_eq!(world.owners()[1], "ctl Update: .status.ready");
    assert!(world.owners()[0].contains(".spec.replicas"));
    let entry = &world.live()["metadata"]["managedFields"][1];
    assert_eq!((entry["subresource"].as_str(), entry["fieldsType"].as_str()), (Some("status"), Some("FieldsV1")));
}

#[test]
fn clients_may_reset_and_replace_the_list() {
    for reset in [json!([]), json!([{}])] {
        let mut world = created();
        world.patch("r", json!({"metadata": {"managedFields": reset}}));
        assert_eq!(world.live()["metadata"].get("managedFields"), None);
        // Nothing is tracked any more until somebody applies.
        world.patch("after", json!({"data": {"w": "1"}}));
        assert_eq!(world.live()["metadata"].get("managedFields"), None);
    }

    let mut world = created();
    let mut renamed = world.live().clone();
    renamed["metadata"]["managedFields"][0]["manager"] = json!("renamed");
    world.update("someone", renamed);
    assert!(world.owners()[0].starts_with("renamed Update: "));

    for bad in [
        json!([{"manager": "x", "operation": "Dance", "apiVersion": "v1", "fieldsType": "FieldsV1"}]),
        json!([{"manager": "x", "operation": "Update", "apiVersion": "v1", "fieldsType": "FieldsV2"}]),
        json!([{"manager": "x", "operation": "Update", "fieldsType": "FieldsV1"}]),
        json!("x"),
        json!(null),
    ] {
        let before = world.live().clone();
        world.patch("someone", json!({"metadata": {"managedFields": bad}}));
        assert_eq!(world.live(), &before);
    }
}

#[test]
fn a_creator_takes_what_it_says_others_own() {
    let mut world = World::new();
    let given = json!([{"manager": "given", "operation": "Apply", "apiVersion": "v1", "fieldsType": "FieldsV1",
        "fieldsV1": {"f:data": {"f:a": {}}}}]);
    world.update("creator", json!({"metadata": {"managedFields": given}, "data": {"a": "1"}}));
    assert_eq!(world.owners(), ["creator Update: .data .data.a"]);
}

#[test]
fn old_updates_are_merged() {
    let mut world = World::new();
    world.update("first", json!({"metadata": {"uid": "1"}, "data": {"k": "0"}}));
    for number in 0..12 {
        world.patch(&format!("m{number:02}"), json!({"data": {format!("k{number:02}"): "1"}}));
    }
    let owners = world.owners();
    assert_eq!(owners.len(), 10);
    assert_eq!(owners[0], "ancient-changes Update: .data .data.k .data.k00 .data.k01 .data.k02");
    assert_eq!(owners[9], "m11 Update: .data.k11");
}

#[test]
fn a_write_of_times_alone_is_none() {
    let mut world = created();
    world.apply("m", json!({"data": {"a": "1"}}), false).unwrap();
    let old = world.live().clone();
    let mut new = old.clone();
    new["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
    new["metadata"]["resourceVersion"] = json!("7");
    keep_times_if_unchanged(&old, &mut new);
    assert_eq!(new["metadata"]["managedFields"], old["metadata"]["managedFields"]);

    for (path, value) in [(&["data", "a"][..], "2"), (&["metadata", "labels", "x"], "z")] {
        let mut new = old.clone();
        new["metadata"]["managedFields"][0]["time"] = json!("2030-01-01T00:00:00Z");
        meta::set(&mut new, path, value);
        keep_times_if_unchanged(&old, &mut new);
        assert_ne!(new["metadata"]["managedFields"], old["metadata"]["managedFields"]);
    }
}

#[test]
fn scaling_moves_the_replicas_to_the_scaler() {
    let mut world = created();
    world.apply("ci", json!({"spec": {"replicas": 1}}), false).unwrap();
    let list = meta::at(world.live(), &MANAGED_FIELDS).cloned();
    let list = list.as_ref();
    let replicas = ["spec", "replicas"];
    let mut scale = json!({"metadata": {"uid": "1"}, "spec": {"replicas": 1}});
    scale["metadata"]["managedFields"] = scale::from_object(list, &replicas);
    assert_eq!(scale["metadata"]["managedFields"][0]["apiVersion"], "autoscaling/v1");

    let mut new = scale.clone();
    new["spec"]["replicas"] = json!(5);
    let new = world.write("hpa", "scale", |writer, _| {
        let writer = Writer { api_version: "autoscaling/v1", reset_fields: &[], ..writer };
        writer.update(Some(&scale), new)
    });
    let list = scale::to_object(list, meta::at(&new, &MANAGED_FIELDS), "v1", &replicas);
    world.live.as_mut().unwrap()["metadata"]["managedFields"] = list;
    let owners = world.owners();
    assert_eq!(owners[0], "hpa Update: .spec.replicas", "without a time, so it stands first");
    assert!(owners.len() == 2 && !owners[1].contains("replicas"));
    let entry = &world.live()["metadata"]["managedFields"][0];
    assert_eq!((entry["subresource"].as_str(), entry["apiVersion"].as_str()), (Some("scale"), Some("v1")));

    // A write that leaves the replicas alone leaves the owners alone.
    let list = meta::at(world.live(), &MANAGED_FIELDS);
    let same = scale::to_object(list, Some(&scale::from_object(list, &replicas)), "v1", &replicas);
    assert_eq!(Some(&same), list);
}

#[test]
fn a_deployment_is_recorded_as_upstream_records_it() {
    let deployment = crate::group::GroupVersionKind::new("apps", "v1", "Deployment");
    let writer = Writer {
        manager: "golden",
        subresource: "",
        api_version: "apps/v1",
        now: Timestamp::UNIX_EPOCH,
        ty: crate::schema::builtin::type_ref(&deployment).expect("a built-in kind"),
        reset_fields: &[&["status"]],
        alike: None,
    };
    let new = json!({
        "apiVersion": "apps/v1", "kind": "Deployment", "metadata": {"name": "web", "labels": {"app": "web"}},
        "spec": {"replicas": 1, "progressDeadlineSeconds": 600, "selector": {"matchLabels": {"app": "web"}},
            "strategy": {"type": "RollingUpdate", "rollingUpdate": {"maxSurge": "25%"}},
            "template": {"metadata": {"labels": {"app": "web"}}, "spec": {"dnsPolicy": "ClusterFirst",
                "securityContext": {}, "containers": [{"name": "web", "image": "nginx", "resources": {},
                    "ports": [{"containerPort": 80, "protocol": "TCP"}]}]}}},
        "status": {"replicas": 1}});
    let object = writer.update(None, new);
    assert_eq!(
        object["metadata"]["managedFields"][0]["fieldsV1"],
        json!({"f:metadata": {"f:labels": {".": {}, "f:app": {}}},
            "f:spec": {"f:progressDeadlineSeconds": {}, "f:replicas": {}, "f:selector": {},
                "f:strategy": {"f:rollingUpdate": {".": {}, "f:maxSurge": {}}, "f:type": {}},
                "f:template": {"f:metadata": {"f:labels": {".": {}, "f:app": {}}}, "f:spec": {
                    "f:containers": {"k:{\"name\":\"web\"}": {".": {}, "f:image": {}, "f:name": {}, "f:resources": {},
                        "f:ports": {".": {}, "k:{\"containerPort\":80,\"protocol\":\"TCP\"}": {
                            ".": {}, "f:containerPort": {}, "f:protocol": {}}}}},
                    "f:dnsPolicy": {}, "f:securityContext": {}}}}})
    );
}

#[test]
fn objects_of_one_shape_have_the_same_owners_as_if_nothing_were_remembered() {
    let pod = |name: &str, change: &[(&str, Value)]| {
        let mut pod = json!({
            "apiVersion": "v1", "kind": "Pod", "metadata": {"name": name, "labels": {"app": name}},
            "spec": {"nodeName": name, "containers": [{"name": "a", "image": "b"}], "hostNetwork": true, "priority": 7},
        });
        change.iter().for_each(|(field, value)| pod["spec"][*field] = value.clone());
        pod
    };
    let alike = Alike::default();
    let objects = [
        pod("a", &[]),
        pod("b", &[]),
        pod("b", &[("priority", json!("7"))]),
        pod("b", &[("hostNetwork", json!(false))]),
        pod("b", &[("nodeName", Value::Null)]),
        pod("b", &[("containers", json!([{"name": "c", "image": "b"}]))]),
        pod("b", &[("subdomain", json!("d"))]),
        pod("b", &[("containers", json!([]))]),
        pod("c", &[]),
    ];
    let kind = crate::group::GroupVersionKind::new("", "v1", "Pod");
    for manager in ["x", "y"] {
        for (second, object) in objects.iter().enumerate() {
            let mut writer = Writer {
                manager,
                subresource: "",
                api_version: "v1",
                now: Timestamp::from_second(i64::try_from(second).unwrap()).unwrap(),
                ty: crate::schema::builtin::type_ref(&kind).expect("a built-in kind"),
                reset_fields: &[&["status"]],
                alike: Some(&alike),
            };
            let remembered = writer.update(None, object.clone());
            writer.alike = None;
            assert_eq!(remembered, writer.update(None, object.clone()), "{object}");
        }
    }
}
