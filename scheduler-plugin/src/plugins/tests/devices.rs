//! Where pods can have the devices that they claim.

use serde_json::{Value, json};

use crate::testing::Cluster;

/// A slice of one node; each device has a model and belongs to a board.
fn slice(node: &str, models: &[(&str, &str)]) -> Value {
    let devices = models.iter().enumerate().map(|(number, (model, board))| {
        json!({"name": format!("d{number}"), "attributes": {"model": {"string": model}, "board": {"string": board}}})
    });
    json!({
        "kind": "ResourceSlice", "metadata": {"name": node},
        "spec": {
            "driver": "gpu", "nodeName": node, "pool": {"name": node, "generation": 1, "resourceSliceCount": 1},
            "devices": devices.collect::<Vec<_>>(),
        },
    })
}

fn claim(name: &str, devices: &Value) -> Value {
    json!({
        "kind": "ResourceClaim", "metadata": {"name": name, "namespace": "default", "uid": name},
        "spec": {"devices": devices},
    })
}

fn exactly(change: &Value) -> Value {
    let mut wanted = json!({"deviceClassName": "gpu", "count": 1});
    wanted.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
    json!({"requests": [{"name": "r", "exactly": wanted}]})
}

fn selecting(expression: &str) -> Value {
    json!({"selectors": [{"cel": {"expression": expression}}]})
}

/// `n1` has one old device, `n2` a new and an old one on one board and a new one on another.
fn cluster(claims: &[Value]) -> Cluster {
    let mut cluster = Cluster::new(&["n1", "n2"]);
    let class =
        json!({"kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": selecting("device.driver == \"gpu\"")});
    cluster.object(&class);
    cluster.object(&slice("n1", &[("old", "a")]));
    cluster.object(&slice("n2", &[("new", "a"), ("old", "a"), ("new", "b")]));
    claims.iter().for_each(|claim| cluster.object(claim));
    cluster
}

fn with(claims: &[&str]) -> Value {
    let one = |claim: &&str| json!({"name": claim, "resourceClaimName": claim});
    json!({"resourceClaims": claims.iter().map(one).collect::<Vec<_>>()})
}

#[test]
fn claims_on_devices_decide_where_a_pod_can_run() {
    let check = |devices: &Value, expect: &str| {
        let got = cluster(&[claim("x", devices)]).feasible("", &with(&["x"]));
        assert_eq!(got, expect, "{devices}");
    };
    let nowhere = "0/2 nodes are available: 2 cannot allocate all claims.";
    check(&exactly(&json!({})), "n1 n2");
    check(&exactly(&json!({"count": 2})), "n2");
    check(&exactly(&json!({"count": 4})), nowhere);
    check(&exactly(&json!({"allocationMode": "All"})), "n1 n2");
    check(&exactly(&selecting("device.attributes[\"gpu\"].model == \"new\"")), "n2");
    check(&exactly(&selecting("\"x\" in device.attributes[\"nobody\"]")), nowhere);
    let missing = "0/2 nodes are available: request r: device class none does not exist.";
    check(&exactly(&json!({"deviceClassName": "none"})), missing);
    let mut same_board = exactly(&json!({"count": 2}));
    same_board["constraints"] = json!([{"matchAttribute": "gpu/board"}]);
    check(&same_board, "n2");
    same_board["requests"][0]["exactly"]["count"] = json!(3);
    check(&same_board, nowhere);
    let mut other_models = exactly(&json!({"count": 2}));
    other_models["constraints"] = json!([{"distinctAttribute": "gpu/model"}]);
    check(&other_models, "n2");
    let first = |first: &str| {
        let of = |model: &str| {
            let mut wanted = selecting(&format!("device.attributes[\"gpu\"].model == \"{model}\""));
            wanted["name"] = json!(model);
            wanted["deviceClassName"] = json!("gpu");
            wanted
        };
        json!({"requests": [{"name": "r", "firstAvailable": [of(first), of("old")]}]})
    };
    check(&first("none"), "n1 n2");
    let scores = cluster(&[claim("x", &first("new"))]).scores("DynamicResources", "", &with(&["x"]));
    assert_eq!(scores, [174, 200], "seven eighths for the second choice, times the weight");
}

#[test]
fn a_device_is_given_once() {
    let allocation = json!({"devices": {"results": [{"request": "r", "driver": "gpu", "pool": "n1", "device": "d0"}]}});
    let mut taken = claim("taken", &exactly(&json!({})));
    taken["status"] = json!({"allocation": allocation});
    let mut cluster = cluster(&[taken, claim("x", &exactly(&json!({}))), claim("y", &exactly(&json!({"count": 3})))]);
    assert_eq!(cluster.feasible("", &with(&["x"])), "n2");
    assert_eq!(cluster.feasible("", &with(&["x", "y"])), "0/2 nodes are available: 2 cannot allocate all claims.");
    let here =
        json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n1"]}]}]});
    let mut bound = claim("z", &exactly(&json!({})));
    bound["status"] = json!({"allocation": {"nodeSelector": here}});
    cluster.object(&bound);
    assert_eq!(cluster.feasible("", &with(&["z"])), "n1", "a claim that has its devices decides by where they are");
}

#[test]
fn what_devices_share_can_run_out() {
    let counters = |memory: &str| json!([{"counterSet": "card", "counters": {"memory": {"value": memory}}}]);
    let half = |name: &str| json!({"name": name, "consumesCounters": counters("20Gi")});
    let mut slice = slice("n1", &[]);
    slice["spec"]["sharedCounters"] = json!([{"name": "card", "counters": {"memory": {"value": "40Gi"}}}]);
    slice["spec"]["devices"] = json!([half("d0"), half("d1"), half("d2")]);
    let two = claim("two", &exactly(&json!({"count": 2})));
    let mut cluster = cluster(&[two, claim("three", &exactly(&json!({"count": 3})))]);
    cluster.object(&slice);
    assert_eq!(cluster.feasible("", &with(&["two"])), "n1 n2");
    assert_eq!(cluster.feasible("", &with(&["three"])), "n2", "the card is full after two");
}

/// What goes wrong: the pod is not scheduled, and not for want of a node.
fn error(devices: &Value) -> String {
    cluster(&[claim("x", devices)]).feasible("", &with(&["x"]))
}

#[test]
fn who_wants_all_devices_gets_them_all_or_nothing() {
    let all = |change: &Value| {
        let mut wanted = json!({"allocationMode": "All"});
        wanted.as_object_mut().unwrap().extend(change.as_object().unwrap().clone());
        exactly(&wanted)
    };
    let nowhere = "0/2 nodes are available: 2 cannot allocate all claims.";
    let mut tainted = slice("n1", &[("old", "a"), ("old", "a")]);
    tainted["spec"]["devices"][1]["taints"] = json!([{"key": "broken", "effect": "NoSchedule"}]);
    let toleration = json!({"tolerations": [{"key": "broken", "operator": "Exists"}]});
    let mut cluster =
        cluster(&[claim("x", &all(&json!({}))), claim("y", &all(&toleration)), claim("z", &exactly(&json!({})))]);
    cluster.object(&tainted);
    assert_eq!(cluster.feasible("", &with(&["x"])), "n2", "one of the devices of n1 must not be given");
    assert_eq!(cluster.feasible("", &with(&["y"])), "n1 n2");
    assert_eq!(cluster.feasible("", &with(&["z"])), "n1 n2");
    assert_eq!(error(&all(&selecting("device.driver == \"other\""))), nowhere, "at least one is needed");
    let mut constrained = all(&json!({}));
    constrained["constraints"] = json!([{"matchAttribute": "gpu/model"}]);
    assert_eq!(
        error(&constrained),
        "running \"DynamicResources\" filter plugin: claim default/x, request r: cannot add device gpu/n2/d1 because a \
         claim constraint would not be satisfied"
    );
}

#[test]
fn claims_that_make_no_sense_are_errors() {
    let message = error(&exactly(&selecting("device.attributes[\"gpu\"].none == \"x\"")));
    let expected = "running \"DynamicResources\" filter plugin: claim default/x: selector #0 on device gpu/N/d0: CEL runtime \
                    error: no such key: none. Consider using CEL optional chaining (?), has() macro, or orValue() for \
                    optional fields";
    // Whichever node is looked at first.
    assert_eq!(message.replace("/n1/", "/N/").replace("/n2/", "/N/"), expected);
    assert_eq!(
        error(&exactly(&json!({"count": 33}))),
        "running \"DynamicResources\" filter plugin: claim default/x: number of requested devices 33 exceeds the claim \
         limit of 32"
    );
}

#[test]
fn pools_that_are_not_whole_give_nothing() {
    let mut cluster =
        cluster(&[claim("one", &exactly(&json!({}))), claim("all", &exactly(&json!({"allocationMode": "All"})))]);
    let mut half = slice("n2", &[("new", "a")]);
    half["spec"]["pool"]["resourceSliceCount"] = json!(2);
    cluster.object(&half);
    assert_eq!(cluster.feasible("", &with(&["one"])), "n1");
    let message = cluster.feasible("", &with(&["all"]));
    assert!(
        message.ends_with("asks for all devices, but resource pool gpu/n2 is currently being updated"),
        "{message}"
    );
    let mut twice = slice("n2", &[("new", "a"), ("new", "a")]);
    twice["spec"]["devices"][1]["name"] = json!("d0");
    cluster.object(&twice);
    cluster.object(&slice("n1", &[]));
    assert_eq!(
        cluster.feasible("", &with(&["one"])),
        "0/2 nodes are available: 1 cannot allocate all claims, 1 invalid resource pools were encountered."
    );
}

#[test]
fn a_device_can_be_shared_by_amounts() {
    let policy = json!({"default": "1Gi", "validRange": {"min": "1Gi", "step": "1Gi"}});
    let mut slice = slice("n1", &[("old", "a")]);
    slice["spec"]["devices"][0]["allowMultipleAllocations"] = json!(true);
    slice["spec"]["devices"][0]["capacity"] = json!({"memory": {"value": "10Gi", "requestPolicy": policy}});
    let of = |memory: &str| exactly(&json!({"capacity": {"requests": {"memory": memory}}}));
    let result = json!({"request": "r", "driver": "gpu", "pool": "n1", "device": "d0", "shareID": "s",
        "consumedCapacity": {"memory": "4Gi"}});
    let mut taken = claim("taken", &of("4Gi"));
    taken["status"] = json!({"allocation": {"devices": {"results": [result]}}});
    let claims = [taken, claim("four", &of("4Gi")), claim("two", &of("2Gi")), claim("some", &of("1500Mi"))];
    let mut cluster = cluster(&claims);
    cluster.object(&slice);
    assert_eq!(cluster.feasible("", &with(&["four"])), "n1");
    assert_eq!(cluster.feasible("", &with(&["four", "some"])), "n1", "half a step counts as one");
    assert_eq!(
        cluster.feasible("", &with(&["four", "two", "some"])),
        "0/2 nodes are available: 2 cannot allocate all claims."
    );
    let pod = cluster.pod("", &with(&["four", "some"]));
    let status = allocated(&mut cluster, &pod, "n1");
    let amounts: Vec<_> = status.iter().map(|it| &it["devices"]["results"][0]["consumedCapacity"]["memory"]).collect();
    assert_eq!(amounts, ["4Gi", "2Gi"]);
}

/// What a pod's claims get on a node, as it would be written.
fn allocated(cluster: &mut Cluster, pod: &crate::pod::Pod, node: &str) -> Vec<Value> {
    let decision = cluster.decide(pod);
    crate::plugins::dynamic_resources::results(&decision.state, node)
}

#[test]
fn results_say_who_told_what_to_whom() {
    let opaque = |number: u32| json!({"driver": "gpu", "parameters": {"n": number}});
    let class =
        json!({"kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {"config": [{"opaque": opaque(1)}]}});
    let mut devices = exactly(&json!({"tolerations": [{"operator": "Exists", "tolerationSeconds": 5}]}));
    let second = json!({"name": "s", "firstAvailable": [{"name": "t", "deviceClassName": "gpu"}]});
    devices["requests"].as_array_mut().unwrap().push(second);
    devices["config"] = json!([
        {"opaque": opaque(2)}, {"requests": ["s/t"], "opaque": opaque(3)}, {"requests": ["other"], "opaque": opaque(4)},
    ]);
    let mut cluster = cluster(&[claim("x", &devices)]);
    cluster.object(&class);
    let pod = cluster.pod("", &with(&["x"]));
    let status = allocated(&mut cluster, &pod, "n2").remove(0);
    let device =
        |request: &str, device: &str| json!({"request": request, "driver": "gpu", "pool": "n2", "device": device});
    let mut first = device("r", "d0");
    first["tolerations"] = json!([{"operator": "Exists", "tolerationSeconds": 5}]);
    assert_eq!(status["devices"]["results"], json!([first, device("s/t", "d1")]));
    assert_eq!(
        status["devices"]["config"],
        json!([
            {"source": "FromClass", "opaque": opaque(1)},
            {"source": "FromClaim", "opaque": opaque(2)},
            {"source": "FromClaim", "requests": ["s/t"], "opaque": opaque(3)},
        ])
    );
    let here = json!([{"key": "metadata.name", "operator": "In", "values": ["n2"]}]);
    assert_eq!(status["nodeSelector"], json!({"nodeSelectorTerms": [{"matchFields": here}]}));
}

#[test]
fn a_claim_that_only_this_pod_uses_is_given_up_if_its_devices_are_out_of_reach() {
    let nowhere =
        json!({"nodeSelectorTerms": [{"matchFields": [{"key": "metadata.name", "operator": "In", "values": ["n9"]}]}]});
    let held = |name: &str, reserved: Value| {
        let mut held = claim(name, &exactly(&json!({})));
        held["status"] = json!({"allocation": {"nodeSelector": nowhere}, "reservedFor": reserved});
        held
    };
    let mut cluster = cluster(&[held("free", json!([])), held("used", json!([{"uid": "other"}]))]);
    let mut said = |claim: &str| cluster.preempt(&with(&[claim]));
    assert!(said("free").starts_with("deallocation of ResourceClaim completed"), "{}", said("free"));
    assert!(said("used").starts_with("still not schedulable"), "{}", said("used"));
}

#[test]
fn extended_resources_can_be_devices() {
    let wants = |resource: &str, count: u32| json!({"containers": [{"name": "c", "resources": {"requests": {resource: count.to_string()}}}]});
    let mut cluster = cluster(&[]);
    assert_eq!(
        cluster.feasible("", &wants("example.com/gpu", 1)),
        "0/2 nodes are available: 2 Insufficient example.com/gpu."
    );
    let class = json!({"kind": "DeviceClass", "metadata": {"name": "gpu"}, "spec": {"extendedResourceName": "example.com/gpu"}});
    cluster.object(&class);
    cluster.node("n3", &json!({"status": {"allocatable": {"example.com/gpu": "2"}}}));
    assert_eq!(cluster.feasible("", &wants("example.com/gpu", 1)), "n1 n2 n3", "n3 has them without a driver");
    assert_eq!(cluster.feasible("", &wants("example.com/gpu", 3)), "n2");
    assert_eq!(cluster.feasible("", &wants("deviceclass.resource.kubernetes.io/gpu", 2)), "n2");
    assert_eq!(
        cluster.feasible("", &wants("example.com/gpu", 4)),
        "0/3 nodes are available: 1 Insufficient example.com/gpu, 2 cannot allocate all claims."
    );
    let ignoring = json!({"ignoredResources": ["example.com/other"]});
    let profile = crate::testing::profile(&[("NodeResourcesFit", ignoring)]);
    let before = std::mem::replace(&mut cluster.profile, profile);
    let mut more = wants("example.com/gpu", 1);
    more["containers"][0]["resources"]["requests"]["example.com/other"] = json!("1");
    assert_eq!(cluster.feasible("", &wants("example.com/other", 1)), "n1 n2 n3");
    assert_eq!(cluster.feasible("", &more), "0/3 nodes are available: 3 cannot fit resource.");
    cluster.profile = before;
    let ask = |count: &str| json!({"requests": {"example.com/gpu": count}});
    let both = json!({
        "initContainers": [{"name": "i", "resources": ask("3")}, {"name": "j", "resources": ask("2")}],
        "containers": [{"name": "c", "resources": ask("1")}],
    });
    assert_eq!(cluster.feasible("", &both), "n2", "what the container will have is used before");
    let pod = cluster.pod("", &both);
    let status = allocated(&mut cluster, &pod, "n2").remove(0);
    let requests: Vec<_> = status["devices"]["results"].as_array().unwrap().iter().map(|it| &it["request"]).collect();
    assert_eq!(requests, ["container-0-request-0", "container-0-request-0", "container-2-request-0"]);
}
