use steersman_machinery::group::{GroupResource, GroupVersionKind};
use steersman_machinery::schema::builtin::{self, ResourceInfo};

use super::*;
use crate::printers::printer_for;
use crate::registry::resource::ObjectType;
use crate::registry::strategy::{Plain, Rules};

/// Everything that Kubernetes serves by default.
pub(crate) fn catalog() -> Vec<Arc<Resource>> {
    builtin::resources().iter().map(resource).map(Arc::new).collect()
}

fn resource(info: &ResourceInfo) -> Resource {
    let subresource = |it: &builtin::SubresourceInfo| Subresource {
        name: it.name.clone(),
        kind: GroupVersionKind::new(&it.group, &it.version, &it.kind),
        verbs: it.verbs.clone(),
    };
    Resource {
        group: info.group.clone(),
        version: info.version.clone(),
        name: info.resource.clone(),
        singular: info.singular.clone(),
        kind: info.kind.clone(),
        list_kind: info.list_kind.clone(),
        namespaced: info.namespaced,
        short_names: info.short_names.clone(),
        categories: info.categories.clone(),
        verbs: info.verbs.clone(),
        subresources: info.subresources.iter().map(subresource).collect(),
        storage: GroupResource::new(&info.group, &info.resource),
        object_type: ObjectType {
            schema: builtin::schema().clone(),
            root: builtin::type_of(&info.gvk()).expect("every resource has a type"),
        },
        strategy: Arc::new(Plain(Rules::DEFAULT)),
        printer: printer_for(&info.group, &info.resource),
        custom: false,
        disabled_fields: Vec::new(),
        deprecation: None,
        served_since: 0,
        published_schema: None,
        scale: None,
    }
}

/// A custom resource with a status and a scale, in some version of `example.com`.
pub(crate) fn widgets(version: &str) -> Resource {
    let subresource = |name: &str, group: &str, version: &str, kind: &str| Subresource {
        name: name.to_owned(),
        kind: GroupVersionKind::new(group, version, kind),
        verbs: ["get", "patch", "update"].map(str::to_owned).into(),
    };
    let config_maps = builtin::resources().iter().find(|it| it.resource == "configmaps").unwrap();
    Resource {
        group: "example.com".to_owned(),
        version: version.to_owned(),
        name: "widgets".to_owned(),
        singular: "widget".to_owned(),
        kind: "Widget".to_owned(),
        list_kind: "WidgetList".to_owned(),
        short_names: vec!["wd".to_owned()],
        subresources: vec![
            subresource("scale", "autoscaling", "v1", "Scale"),
            subresource("status", "example.com", version, "Widget"),
        ],
        custom: true,
        disabled_fields: Vec::new(),
        ..resource(config_maps)
    }
}

#[test]
fn groups_come_in_the_order_of_their_priority() {
    let mut catalog = catalog();
    catalog.extend(["v1beta1", "v2", "v1"].map(widgets).map(Arc::new));
    let list = api_group_list(&catalog);
    let names: Vec<_> = list["groups"].as_array().unwrap().iter().map(|it| it["name"].as_str().unwrap()).collect();
    assert_eq!(names[..4], ["apiregistration.k8s.io", "apps", "events.k8s.io", "authentication.k8s.io"]);
    assert_eq!(
        names[names.len() - 4..],
        ["discovery.k8s.io", "resource.k8s.io", "flowcontrol.apiserver.k8s.io", "example.com"]
    );
    let group = api_group(&catalog, "example.com").unwrap();
    assert_eq!(group["kind"], "APIGroup");
    assert_eq!(group["preferredVersion"]["groupVersion"], "example.com/v2");
    assert_eq!(group["versions"][2]["version"], "v1beta1");
    assert_eq!(api_group(&catalog, "autoscaling").unwrap()["preferredVersion"]["version"], "v2");
    assert_eq!(api_group(&catalog, "nothing.example.org"), None);
    assert_eq!(api_group(&catalog, ""), None);
}

fn entry(catalog: &[Arc<Resource>], group: &str, version: &str, name: &str) -> Value {
    let list = api_resource_list(catalog, group, version).unwrap();
    let entries = list["resources"].as_array().unwrap();
    entries.iter().find(|it| it["name"] == name).unwrap().clone()
}

#[test]
fn entries_say_what_clients_need() {
    let catalog = catalog();
    let all = ["create", "delete", "deletecollection", "get", "list", "patch", "update", "watch"];
    assert_eq!(
        entry(&catalog, "", "v1", "pods"),
        json!({"name": "pods", "singularName": "pod", "namespaced": true, "kind": "Pod", "verbs": all,
            "shortNames": ["po"], "categories": ["all"], "storageVersionHash": "xPOwRZ+Yhw8="})
    );
    assert_eq!(
        entry(&catalog, "apps", "v1", "deployments/scale"),
        json!({"name": "deployments/scale", "singularName": "", "namespaced": true, "kind": "Scale",
            "group": "autoscaling", "version": "v1", "verbs": ["get", "patch", "update"]})
    );
    assert_eq!(
        entry(&catalog, "apps", "v1", "deployments/status"),
        json!({"name": "deployments/status", "singularName": "", "namespaced": true, "kind": "Deployment",
            "verbs": ["get", "patch", "update"]})
    );
    assert_eq!(entry(&catalog, "", "v1", "bindings").get("storageVersionHash"), None);
    assert_eq!(api_resource_list(&catalog, "", "v1").unwrap().get("apiVersion"), None);
    assert_eq!(api_resource_list(&catalog, "apps", "v1").unwrap()["apiVersion"], "v1");
    assert_eq!(api_resource_list(&catalog, "apps", "v2"), None);
}

#[test]
fn hashes_name_the_stored_version() {
    let catalog = catalog();
    for (group, version, name, expect) in [
        ("", "v1", "configmaps", "qFsyl6wFWjQ="),
        ("events.k8s.io", "v1", "events", "r2yiGXH7wu8="),
        ("autoscaling", "v1", "horizontalpodautoscalers", "qwQve8ut294="),
        ("apiextensions.k8s.io", "v1", "customresourcedefinitions", "jfWCUB31mvA="),
    ] {
        assert_eq!(entry(&catalog, group, version, name)["storageVersionHash"], expect, "{name}");
    }
}

#[test]
fn custom_resources_are_listed_in_upstreams_order() {
    let catalog = [Arc::new(widgets("v1"))];
    let list = api_resource_list(&catalog, "example.com", "v1").unwrap();
    let names: Vec<_> = list["resources"].as_array().unwrap().iter().map(|it| &it["name"]).collect();
    assert_eq!(names, ["widgets", "widgets/status", "widgets/scale"]);
    assert_eq!(list["resources"][0]["verbs"], json!(CUSTOM_VERBS));
}

#[test]
fn aggregated_discovery_nests_subresources() {
    let catalog = catalog();
    let core = aggregated(&catalog, true);
    assert_eq!(core["items"].as_array().unwrap().len(), 1);
    assert_eq!(core["items"][0]["metadata"], json!({}));
    let resources = core["items"][0]["versions"][0]["resources"].as_array().unwrap();
    let pods = resources.iter().find(|it| it["resource"] == "pods").unwrap();
    assert_eq!(pods["responseKind"], json!({"group": "", "version": "", "kind": "Pod"}));
    assert_eq!(pods["scope"], "Namespaced");
    let eviction = pods["subresources"].as_array().unwrap().iter().find(|it| it["subresource"] == "eviction");
    assert_eq!(eviction.unwrap()["responseKind"], json!({"group": "policy", "version": "v1", "kind": "Eviction"}));
    let groups = aggregated(&catalog, false);
    assert_eq!(groups["items"][0]["metadata"]["name"], "apiregistration.k8s.io");
    assert_eq!(groups["items"][1]["versions"][0]["freshness"], "Current");
}

#[test]
fn the_root_lists_what_can_be_read() {
    let root = root_paths(&catalog());
    let paths: Vec<_> = root["paths"].as_array().unwrap().iter().map(|it| it.as_str().unwrap()).collect();
    assert!(paths.is_sorted());
    for path in ["/api", "/api/v1", "/apis/apps", "/apis/apps/v1", "/readyz", "/version"] {
        assert!(paths.contains(&path), "{path}");
    }
}

#[test]
fn etags_are_quoted_upper_case_digests() {
    let etag = etag(b"");
    assert!(etag.starts_with("\"CF83E1357EEFB8BD"), "{etag}");
    assert_eq!(etag.len(), 130);
}
