use super::*;

fn pod() -> TypeRef<'static> {
    type_ref(&GroupVersionKind::new("", "v1", "Pod")).expect("pods are built in")
}

#[test]
fn every_reference_and_every_kind_of_a_resource_resolves() {
    let names: Vec<&str> = schema().structs.iter().map(|it| it.name.as_str()).collect();
    assert!(names.is_sorted(), "definition() searches by halves");
    for it in &schema().structs {
        assert!(it.fields.is_sorted_by(|a, b| a.name < b.name), "{}", it.name);
        assert_eq!(definition(&it.name).map(|id| &schema().structs[id].name), Some(&it.name));
    }
    for resource in resources().iter().chain(gated_resources().iter().map(|(_, info)| info)) {
        assert!(type_of(&resource.gvk()).is_some(), "{resource:?}");
        assert!(resource.verbs.is_sorted() && resource.subresources.is_sorted_by_key(|it| &it.name), "{resource:?}");
        if !resource.list_kind.is_empty() {
            let list = GroupVersionKind::new(&resource.group, &resource.version, &resource.list_kind);
            assert!(type_of(&list).is_some(), "{list}");
        }
    }
}

#[test]
fn fields_carry_what_patches_need() {
    let containers = pod().member("spec").and_then(|it| it.field("containers")).expect("pods have containers");
    let containers = containers.field();
    assert!(containers.required);
    assert_eq!(containers.patch.merge_key.as_deref(), Some("name"));
    let Type::List(list) = &containers.ty else { unreachable!("containers are a list") };
    assert_eq!(list.kind, ListKind::Map(vec!["name".to_owned()]));
    let container = schema().type_ref(&list.items);
    let ports = container.field("ports").expect("containers have ports").type_ref();
    let keys = ListKind::Map(vec!["containerPort".to_owned(), "protocol".to_owned()]);
    assert_eq!(ports.as_list().map(|it| &it.kind), Some(&keys));
    let protocol = ports.items().and_then(|it| it.field("protocol")).expect("ports have a protocol").field();
    assert_eq!(protocol.default, Some("TCP".into()));
    let finalizers = pod().member("metadata").and_then(|it| it.member("finalizers")).expect("metadata has finalizers");
    assert_eq!(finalizers.as_list().map(|it| &it.kind), Some(&ListKind::Set));
    let selector = type_ref(&GroupVersionKind::new("", "v1", "Service"))
        .and_then(|it| it.member("spec")?.member("selector"))
        .expect("services have a selector");
    assert!(selector.is_atomic());
}

#[test]
fn fields_carry_how_go_writes_them() {
    let deployment = type_ref(&GroupVersionKind::new("apps", "v1", "Deployment")).expect("deployments are built in");
    let spec = deployment.member("spec").expect("deployments have a spec");
    let check = |ty: TypeRef<'static>, field: &str, expect: Empty| {
        assert_eq!(ty.field(field).map(|it| it.field().empty), Some(expect), "{field}");
    };
    check(deployment, "status", Empty::Always);
    check(spec, "strategy", Empty::Always);
    check(spec, "selector", Empty::Null);
    check(spec, "replicas", Empty::Keep);
    check(spec, "paused", Empty::Omit);
    check(pod().member("metadata").expect("metadata"), "creationTimestamp", Empty::Keep);
    check(pod().member("metadata").expect("metadata"), "labels", Empty::Omit);
}

#[test]
fn resources_are_as_discovery_shows_them() {
    let core = GroupVersion::new("", "v1");
    let pods = resource(&core, "pods").expect("pods are served");
    assert_eq!(pods.short_names, ["po"]);
    assert_eq!(pods.categories, ["all"]);
    assert_eq!(pods.list_kind, "PodList");
    let eviction = pods.subresource("eviction").expect("pods can be evicted");
    assert_eq!((eviction.group.as_str(), eviction.kind.as_str()), ("policy", "Eviction"));
    assert!(!resource(&core, "namespaces").expect("namespaces").has_verb("deletecollection"));
    assert_eq!(resource(&core, "bindings").expect("bindings").list_kind, "");
    let scale = resource(&GroupVersion::new("apps", "v1"), "deployments").and_then(|it| it.subresource("scale"));
    assert_eq!(scale.map(|it| it.group.as_str()), Some("autoscaling"));
}

#[test]
fn gated_resources_name_their_gate_and_are_no_others() {
    let names: Vec<_> = gated_resources().iter().map(|(gate, info)| (*gate, info.resource.as_str())).collect();
    assert_eq!(names, [("GenericWorkload", "podgroups"), ("GenericWorkload", "workloads")]);
    for (_, info) in gated_resources() {
        assert_eq!(resource(&GroupVersion::new(&info.group, &info.version), &info.resource), None);
        assert_eq!(resource_of_kind(&info.gvk()), Some(info));
    }
}
