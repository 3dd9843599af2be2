//! A service in front of a Deployment: its endpoints are the pods that answer, whatever happens to them.

#![expect(clippy::unwrap_used, reason = "what is not as expected fails the test")]

use std::collections::BTreeSet;

use k8s_openapi::api::apps::v1::Deployment;
use k8s_openapi::api::core::v1::{Endpoints, Event, Node, Pod, ResourceQuota, Service};
use k8s_openapi::api::discovery::v1::EndpointSlice;
use kube::ResourceExt;
use kube::api::{Api, DeleteParams, ListParams, Patch, PatchParams, PostParams};
use serde_json::{Value, json};
use steersman::Cluster;
use steersman_tests::manifests::deployment_with;
use steersman_tests::wait::{until, until_rolled_out};

struct Loop {
    cluster: Cluster,
    deployments: Api<Deployment>,
    endpoints: Api<Endpoints>,
    pods: Api<Pod>,
    services: Api<Service>,
    slices: Api<EndpointSlice>,
}

impl Loop {
    async fn start() -> Self {
        let cluster = Cluster::builder().nodes(3).virtual_time().start().await.unwrap();
        let client = cluster.client();
        Self {
            deployments: Api::default_namespaced(client.clone()),
            endpoints: Api::default_namespaced(client.clone()),
            pods: Api::default_namespaced(client.clone()),
            services: Api::default_namespaced(client.clone()),
            slices: Api::default_namespaced(client),
            cluster,
        }
    }

    async fn service(&self, spec: Value) -> Service {
        let service = json!({"metadata": {"name": "web", "labels": {"team": "a"}}, "spec": spec});
        self.services.create(&PostParams::default(), &serde_json::from_value(service).unwrap()).await.unwrap()
    }

    async fn deploy(&self, replicas: i32) {
        let ports = json!([{"name": "http", "containerPort": 8080}]);
        let containers = json!([{"name": "main", "image": "app:1", "ports": ports}]);
        let spec = json!({"template": {"spec": {"containers": containers}}});
        let web = deployment_with("web", replicas, spec);
        self.deployments.create(&PostParams::default(), &web).await.unwrap();
        until_rolled_out(&self.deployments, "web").await;
    }

    async fn scale(&self, replicas: i32) {
        let scale = Patch::Merge(json!({"spec": {"replicas": replicas}}));
        self.deployments.patch_scale("web", &PatchParams::default(), &scale).await.unwrap();
        until_rolled_out(&self.deployments, "web").await;
    }

    async fn pod_ips(&self) -> BTreeSet<String> {
        let pods = self.pods.list(&ListParams::default()).await.unwrap();
        pods.into_iter().filter_map(|pod| pod.status?.pod_ip).collect()
    }

    /// Waits until the slices and the Endpoints have exactly the pods that there are, all of them ready.
    async fn settle(&self) -> EndpointSlice {
        let pods = self.pod_ips().await;
        until(&self.endpoints, "web", "complete", |endpoints| {
            let subsets = endpoints.and_then(|endpoints| endpoints.subsets.clone()).unwrap_or_default();
            let addresses = subsets.into_iter().flat_map(|subset| subset.addresses.unwrap_or_default());
            addresses.map(|address| address.ip).collect::<BTreeSet<_>>() == pods
        })
        .await;
        let slice = self.slice().await;
        let ready = |slice: &EndpointSlice| {
            let endpoints = slice.endpoints.iter().flatten();
            let ready = endpoints.filter(|it| it.conditions.as_ref().and_then(|it| it.ready) == Some(true));
            ready.flat_map(|endpoint| endpoint.addresses.clone()).collect::<BTreeSet<_>>()
        };
        until(&self.slices, &slice.name_any(), "complete", |slice| {
            slice.is_some_and(|slice| ready(slice) == pods && slice.endpoints.iter().flatten().count() == pods.len())
        })
        .await
        .unwrap()
    }

    async fn of_service(&self) -> Vec<EndpointSlice> {
        let params = ListParams::default().labels("kubernetes.io/service-name=web");
        self.slices.list(&params).await.unwrap().items
    }

    async fn slice(&self) -> EndpointSlice {
        let mut slices = self.of_service().await;
        assert_eq!(slices.len(), 1, "{slices:#?}");
        slices.remove(0)
    }
}

#[tokio::test(start_paused = true)]
async fn a_service_has_the_pods_of_its_deployment_and_follows_them() {
    let cluster = Loop::start().await;
    let ports = json!([{"name": "http", "port": 80, "targetPort": "http"}]);
    let service = cluster.service(json!({"selector": {"app": "web"}, "ports": ports})).await;
    cluster.deploy(3).await;
    let slice = cluster.settle().await;
    assert!(slice.name_any().starts_with("web-"), "{}", slice.name_any());
    assert_eq!(slice.labels()["endpointslice.kubernetes.io/managed-by"], "endpointslice-controller.k8s.io");
    assert_eq!(slice.labels()["team"], "a");
    assert_eq!(slice.owner_references()[0].uid, service.uid().unwrap());
    assert_eq!(slice.address_type, "IPv4");
    let port = &slice.ports.as_ref().unwrap()[0];
    assert_eq!((port.name.as_deref(), port.port, port.protocol.as_deref()), (Some("http"), Some(8080), Some("TCP")));
    assert!(slice.annotations().contains_key("endpoints.kubernetes.io/last-change-trigger-time"));
    let endpoint = &slice.endpoints.as_ref().unwrap()[0];
    let pod = cluster.pods.get(endpoint.target_ref.as_ref().unwrap().name.as_deref().unwrap()).await.unwrap();
    assert_eq!(endpoint.target_ref.as_ref().unwrap().uid, pod.metadata.uid);
    assert_eq!(endpoint.node_name, pod.spec.unwrap().node_name);

    for replicas in [5, 1, 0, 2] {
        cluster.scale(replicas).await;
        assert_eq!(cluster.settle().await.name_any(), slice.name_any(), "the slice is used on");
    }
    cluster.services.delete("web", &DeleteParams::default()).await.unwrap();
    until(&cluster.slices, &slice.name_any(), "gone", |slice| slice.is_none()).await;
    until(&cluster.endpoints, "web", "gone", |endpoints| endpoints.is_none()).await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_without_a_selector_are_mirrored_until_there_is_one() {
    let cluster = Loop::start().await;
    let all: Api<Endpoints> = Api::default_namespaced(cluster.cluster.client());
    let before = all.get("kubernetes").await.unwrap();
    cluster.service(json!({"ports": [{"port": 80}]})).await;
    let own = json!({"metadata": {"name": "web"}, "subsets": [{"addresses": [{"ip": "10.9.9.9"}]}]});
    let own = cluster.endpoints.create(&PostParams::default(), &serde_json::from_value(own).unwrap()).await.unwrap();
    cluster.deploy(1).await;
    assert_eq!(cluster.endpoints.get("web").await.unwrap(), own);
    let mirror = cluster.slice().await;
    let addresses = |mirror: &EndpointSlice| -> Vec<String> {
        mirror.endpoints.iter().flatten().flat_map(|endpoint| endpoint.addresses.clone()).collect()
    };
    assert_eq!(addresses(&mirror), ["10.9.9.9"]);
    assert_eq!(mirror.labels()["endpointslice.kubernetes.io/managed-by"], "endpointslicemirroring-controller.k8s.io");
    assert_eq!(mirror.owner_references()[0].uid, own.uid().unwrap());
    let other = Patch::Merge(json!({"subsets": [{"notReadyAddresses": [{"ip": "10.9.9.8"}]}]}));
    cluster.endpoints.patch("web", &PatchParams::default(), &other).await.unwrap();
    let follows = |mirror: Option<&EndpointSlice>| mirror.is_some_and(|mirror| addresses(mirror) == ["10.9.9.8"]);
    let now = until(&cluster.slices, &mirror.name_any(), "written again", follows).await.unwrap();
    assert_eq!(now.endpoints.unwrap()[0].conditions.clone().unwrap().ready, Some(false));
    let kubernetes = cluster.slices.list(&ListParams::default().labels("kubernetes.io/service-name=kubernetes")).await;
    assert_eq!(kubernetes.unwrap().items.len(), 1, "what the API server keeps is not mirrored");
    assert_eq!(all.get("kubernetes").await.unwrap(), before);
    let selector = Patch::Merge(json!({"spec": {"selector": {"app": "web"}}}));
    cluster.services.patch("web", &PatchParams::default(), &selector).await.unwrap();
    let is_taken =
        |endpoints: Option<&Endpoints>| endpoints.unwrap().labels().get("endpoints.kubernetes.io/managed-by").is_some();
    until(&cluster.endpoints, "web", "taken over", is_taken).await;
    until(&cluster.slices, &mirror.name_any(), "gone", |mirror| mirror.is_none()).await;
    cluster.settle().await;
}

#[tokio::test(start_paused = true)]
async fn a_service_that_says_so_has_hints_by_the_topology_as_long_as_there_is_one() {
    let cluster = Loop::start().await;
    let nodes: Api<Node> = Api::all(cluster.cluster.client());
    let zone = async |node: &str, zone: Value| {
        let label = Patch::Merge(json!({"metadata": {"labels": {"topology.kubernetes.io/zone": zone}}}));
        nodes.patch(node, &PatchParams::default(), &label).await.unwrap();
    };
    for (node, name) in [("node-0", "a"), ("node-1", "b"), ("node-2", "b")] {
        zone(node, json!(name)).await;
    }
    let ports = json!([{"name": "http", "port": 80, "targetPort": "http"}]);
    // Where both are given the annotation counts.
    let spec = json!({"selector": {"app": "web"}, "ports": ports, "trafficDistribution": "PreferSameNode"});
    cluster.service(spec).await;
    let mode = json!({"metadata": {"annotations": {"service.kubernetes.io/topology-mode": "Auto"}}});
    cluster.services.patch("web", &PatchParams::default(), &Patch::Merge(mode)).await.unwrap();
    cluster.deploy(6).await;
    let name = cluster.settle().await.name_any();
    let hinted = |slice: Option<&EndpointSlice>| -> Vec<String> {
        let hints =
            slice.and_then(|slice| slice.endpoints.as_ref()).into_iter().flatten().filter_map(|it| it.hints.as_ref());
        let zones = hints.flat_map(|hints| hints.for_zones.iter().flatten());
        let mut zones: Vec<String> = zones.map(|zone| zone.name.clone()).collect();
        zones.sort();
        zones
    };
    // A third of all processors is in the one zone, and so are two of the six.
    until(&cluster.slices, &name, "hinted", |slice| hinted(slice) == ["a", "a", "b", "b", "b", "b"]).await;
    // A node that does not say where it is spoils it for all.
    zone("node-2", Value::Null).await;
    until(&cluster.slices, &name, "without hints", |slice| hinted(slice).is_empty()).await;
}

#[tokio::test(start_paused = true)]
async fn endpoints_that_are_refused_are_told_of() {
    let world = Loop::start().await;
    let quotas: Api<ResourceQuota> = Api::default_namespaced(world.cluster.client());
    let none = json!({"count/endpoints": "0", "count/endpointslices.discovery.k8s.io": "0"});
    let quota = json!({"metadata": {"name": "none"}, "spec": {"hard": none}});
    quotas.create(&PostParams::default(), &serde_json::from_value(quota).unwrap()).await.unwrap();
    let counted =
        |quota: Option<&ResourceQuota>| quota.is_some_and(|it| it.status.as_ref().is_some_and(|it| it.hard.is_some()));
    until(&quotas, "none", "counted", counted).await;
    world.service(json!({"selector": {"app": "web"}, "ports": [{"port": 80}]})).await;
    let events: Api<Event> = Api::default_namespaced(world.cluster.client());
    let mut told = BTreeSet::new();
    for _ in 0..600 {
        let all = events.list(&ListParams::default()).await.unwrap();
        let told_of =
            all.into_iter().filter(|event| event.reason.as_ref().is_some_and(|it| it.starts_with("FailedTo")));
        told = told_of.filter_map(|event| Some((event.reason?, event.source?.component?, event.message?))).collect();
        if told.len() > 1 {
            break;
        }
        tokio::time::sleep(std::time::Duration::from_millis(100)).await;
    }
    for (reason, component, message) in [
        ("FailedToCreateEndpoint", "endpoint-controller", "Failed to create endpoint for service default/web: "),
        (
            "FailedToUpdateEndpointSlices",
            "endpoint-slice-controller",
            "Error updating Endpoint Slices for Service default/web: failed to create EndpointSlice for Service default/web: ",
        ),
    ] {
        let found = told.iter().find(|(known, _, _)| known == reason).unwrap_or_else(|| panic!("{reason}: {told:?}"));
        assert_eq!(found.1, component);
        assert!(found.2.starts_with(message) && found.2.contains("exceeded quota: none"), "{found:?}");
    }
}
