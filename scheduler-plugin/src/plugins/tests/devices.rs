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
