//! What each plugin lets pass, says and scores; through whole decisions, since that is where it counts.

mod devices;
mod volumes;

use serde_json::{Value, json};

use crate::testing::{Cluster, profile, requests};

fn toleration(key: &str, operator: &str, value: &str, effect: &str) -> Value {
    json!({"tolerations": [{"key": key, "operator": operator, "value": value, "effect": effect}]})
}

fn tainted(effect: &str) -> Value {
    json!({"spec": {"taints": [{"key": "k", "value": "v", "effect": effect}]}})
}

#[test]
fn pods_stay_off_taints_that_they_do_not_tolerate() {
    let mut cluster = Cluster::new(&[]);
    cluster.node("n1", &tainted("NoSchedule"));
    let refused = "0/1 nodes are available: 1 node(s) had untolerated taint(s).";
    let mut check = |spec: Value, expect: &str| assert_eq!(cluster.feasible("", &spec), expect, "{spec}");
    check(json!({}), refused);
    check(toleration("k", "Equal", "v", "NoSchedule"), "n1");
    check(toleration("k", "", "v", ""), "n1");
    check(toleration("k", "Equal", "w", "NoSchedule"), refused);
    check(toleration("k", "Exists", "", "NoSchedule"), "n1");
    check(toleration("k", "Exists", "", "NoExecute"), refused);
    check(toleration("", "Exists", "", ""), "n1");
    check(toleration("j", "Exists", "", ""), refused);
    cluster.node("n1", &tainted("NoExecute"));
    assert_eq!(cluster.feasible("", &json!({})), refused);
    cluster.node("n1", &tainted("PreferNoSchedule"));
    assert_eq!(cluster.feasible("", &json!({})), "n1");
}

#[test]
fn nodes_with_fewer_unwelcome_taints_are_better() {
    let mut cluster = Cluster::new(&["n1"]);
    cluster.node("n2", &tainted("PreferNoSchedule"));
    let two = ["a", "b"].map(|key| json!({"key": key, "effect": "PreferNoSchedule"}));
    cluster.node("n3", &json!({"spec": {"taints": two}}));
    assert_eq!(cluster.scores("TaintToleration", "", &json!({})), [300, 150, 0]);
    let tolerant = toleration("", "Exists", "", "NoSchedule");
    assert_eq!(cluster.scores("TaintToleration", "", &tolerant), [300, 150, 0], "for another effect");
    let tolerant = toleration("", "Exists", "", "PreferNoSchedule");
    assert_eq!(cluster.scores("TaintToleration", "", &tolerant), [300, 300, 300]);
}

#[test]
fn cordoned_nodes_get_only_pods_that_tolerate_it() {
    let mut cluster = Cluster::new(&[]);
    cluster.node("n1", &json!({"spec": {"unschedulable": true}}));
    assert_eq!(cluster.feasible("", &json!({})), "0/1 nodes are available: 1 node(s) were unschedulable.");
    let tolerant = toleration("node.kubernetes.io/unschedulable", "Exists", "", "NoSchedule");
    assert_eq!(cluster.feasible("", &tolerant), "n1");
}

fn affinity(terms: Value) -> Value {
    json!({"affinity": {"nodeAffinity": {
        "requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}}})
}

fn expression(key: &str, operator: &str, values: &[&str]) -> Value {
    json!({"key": key, "operator": operator, "values": values})
}

#[test]
fn required_node_affinity_is_an_or_of_ands() {
    let mut cluster = Cluster::new(&["n1 zone=a disk=ssd", "n2 zone=a", "n3 zone=b disk=ssd"]);
    let refused = "0/3 nodes are available: 3 node(s) didn't match Pod's node affinity/selector.";
    let mut check = |spec: Value, expect: &str| assert_eq!(cluster.feasible("", &spec), expect, "{spec}");
    check(json!({"nodeSelector": {"zone": "a", "disk": "ssd"}}), "n1");
    check(json!({"nodeSelector": {"zone": "c"}}), refused);
    let (zone_a, ssd) = (expression("zone", "In", &["a"]), expression("disk", "Exists", &[]));
    check(affinity(json!([{"matchExpressions": [zone_a, ssd]}])), "n1");
    check(affinity(json!([{"matchExpressions": [zone_a]}, {"matchExpressions": [ssd]}])), "n1 n2 n3");
    check(affinity(json!([{}])), refused);
    let mut both = affinity(json!([{"matchExpressions": [ssd]}]));
    both["nodeSelector"] = json!({"zone": "b"});
    check(both, "n3");
    let name = |name: &str| expression("metadata.name", "In", &[name]);
    check(affinity(json!([{"matchFields": [name("n2")]}])), "n2");
    check(
        affinity(json!([{"matchFields": [name("n2")]}, {"matchFields": [name("n3")], "matchExpressions": [zone_a]}])),
        "n2",
    );
    check(affinity(json!([{"matchFields": [expression("metadata.name", "NotIn", &["n2"])]}])), "n1 n3");
    check(
        affinity(json!([{"matchFields": [name("n1"), name("n2")]}])),
        "0/3 nodes are available: pod affinity terms conflict.",
    );
    check(
        affinity(json!([{"matchFields": [name("n9")]}])),
        "0/3 nodes are available: 3 node(s) didn't satisfy plugin(s) [NodeAffinity].",
    );
}

#[test]
fn preferred_node_affinity_counts_in_proportion_to_the_best() {
    let mut cluster = Cluster::new(&["n1 zone=a disk=ssd", "n2 zone=a", "n3 zone=b"]);
    let term = |weight: i64, key: &str, value: &str| json!({"weight": weight, "preference": {"matchExpressions": [expression(key, "In", &[value])]}});
    let preferred = [term(30, "zone", "a"), term(10, "disk", "ssd")];
    let spec = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}});
    assert_eq!(cluster.scores("NodeAffinity", "", &spec), [200, 150, 0]);
    assert_eq!(cluster.scores("NodeAffinity", "", &json!({})), [0; 0]);
}

#[test]
fn preferences_that_make_no_sense_are_errors_and_required_terms_match_nothing() {
    let mut cluster = Cluster::new(&["n1 cores=8", "n2 cores=4"]);
    let many = json!({"matchExpressions": [expression("cores", "Gt", &["many"])]});
    let preferred = json!([{"weight": 1, "preference": many}]);
    let spec = json!({"affinity": {"nodeAffinity": {"preferredDuringSchedulingIgnoredDuringExecution": preferred}}});
    assert_eq!(
        cluster.feasible("", &spec),
        "running PreScore plugin \"NodeAffinity\": [0].matchExpressions[0].values[0]: Invalid value: \"many\": for \
         'Gt', 'Lt' operators, the value must be an integer"
    );
    let more = json!({"matchExpressions": [expression("cores", "Gt", &["6"])]});
    assert_eq!(cluster.feasible("", &affinity(json!([many, more]))), "n1");
}

#[test]
fn a_profile_can_add_affinity_of_its_own() {
    let mut cluster = Cluster::new(&["n1 zone=a", "n2 zone=b"]);
    let terms = json!([{"matchExpressions": [expression("zone", "In", &["b"])]}]);
    let added =
        json!({"addedAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": {"nodeSelectorTerms": terms}}});
    cluster.profile = profile(&[("NodeAffinity", added)]);
    assert_eq!(cluster.feasible("", &json!({})), "n2");
    assert_eq!(
        cluster.feasible("", &json!({"nodeSelector": {"zone": "a"}})),
        "0/2 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 1 node(s) didn't match \
         scheduler-enforced node affinity."
    );
}

#[test]
fn a_port_is_had_once_an_address_and_protocol() {
    let port = |ip: &str, protocol: &str, port: i32| {
        let port = json!({"hostPort": port, "containerPort": 1, "hostIP": ip, "protocol": protocol});
        json!({"containers": [{"name": "c", "ports": [port]}]})
    };
    let mut cluster = Cluster::new(&["n1"]);
    cluster.run("n1", "", &port("10.0.0.1", "TCP", 80));
    cluster.run("n1", "", &port("", "", 90));
    let refused = "0/1 nodes are available: 1 node(s) didn't have free ports for the requested pod ports.";
    let mut check = |spec: Value, expect: &str| assert_eq!(cluster.feasible("", &spec), expect, "{spec}");
    check(port("10.0.0.1", "TCP", 80), refused);
    check(port("10.0.0.2", "TCP", 80), "n1");
    check(port("", "TCP", 80), refused);
    check(port("10.0.0.1", "UDP", 80), "n1");
    check(port("10.0.0.1", "TCP", 90), refused);
    check(port("", "TCP", 81), "n1");
}

#[test]
fn all_resources_that_are_short_are_named() {
    let mut cluster = Cluster::new(&[]);
    let with =
        |cpu: &str, pods: &str| json!({"status": {"allocatable": {"cpu": cpu, "pods": pods, "example.com/gpu": "2"}}});
    cluster.node("n1", &with("4", "1"));
    cluster.run("n1", "", &requests(&json!({"cpu": "3500m", "memory": "1Gi", "example.com/gpu": "2"})));
    let mut check = |wanted: Value, expect: &str| {
        assert_eq!(cluster.feasible("", &requests(&wanted)), format!("0/1 nodes are available: {expect}."));
    };
    check(json!({}), "1 Too many pods");
    check(json!({"cpu": "500m"}), "1 Too many pods");
    check(json!({"cpu": "501m"}), "1 Insufficient cpu, 1 Too many pods");
    check(
        json!({"cpu": "1", "memory": "8Gi", "example.com/gpu": "1", "ephemeral-storage": "1"}),
        "1 Insufficient cpu, 1 Insufficient ephemeral-storage, 1 Insufficient example.com/gpu, 1 Insufficient memory, \
         1 Too many pods",
    );
    check(json!({"example.com/fpga": "1"}), "1 Insufficient example.com/fpga, 1 Too many pods");
}

#[test]
fn a_shortage_that_no_preemption_can_help_is_told_apart() {
    use crate::cycle::Outcome;
    use crate::status::Code;
    let mut cluster = Cluster::new(&["n1"]);
    cluster.run("n1", "", &requests(&json!({"cpu": "3"})));
    let mut check = |cpu: &str, expect: Code| {
        let pod = cluster.pod("", &requests(&json!({"cpu": cpu})));
        let Outcome::Unschedulable(diagnosis) = cluster.decide(&pod).outcome else { panic!("{cpu} fits") };
        assert_eq!(diagnosis.status_of(0).map(crate::Status::code), Some(expect));
        assert!(diagnosis.unschedulable_plugins.contains("NodeResourcesFit"));
    };
    check("2", Code::Unschedulable);
    check("5", Code::UnschedulableAndUnresolvable);
}

#[test]
fn resources_can_be_ignored() {
    let mut cluster = Cluster::new(&["n1"]);
    let args = json!({"ignoredResources": ["example.com/gpu"], "ignoredResourceGroups": ["example.org"]});
    cluster.profile = profile(&[("NodeResourcesFit", args)]);
    assert_eq!(cluster.feasible("", &requests(&json!({"example.com/gpu": "1", "example.org/x": "1"}))), "n1");
    assert_ne!(cluster.feasible("", &requests(&json!({"example.com/other": "1"}))), "n1");
}

#[test]
fn emptier_nodes_fit_better_unless_told_otherwise() {
    let mut cluster = Cluster::new(&["n1", "n2"]);
    cluster.run("n1", "", &requests(&json!({"cpu": "2", "memory": "1Gi"})));
    let wanted = requests(&json!({"cpu": "500m", "memory": "500Mi"}));
    // n1: cpu 2.5 of 4, memory 1.49 of 8 GiB; n2: cpu 0.5, memory 0.49.
    assert_eq!(cluster.scores("NodeResourcesFit", "", &wanted), [(37 + 81) / 2, (87 + 93) / 2]);
    cluster.profile = profile(&[("NodeResourcesFit", json!({"scoringStrategy": {"type": "MostAllocated"}}))]);
    assert_eq!(cluster.scores("NodeResourcesFit", "", &wanted), [(62 + 18) / 2, (12 + 6) / 2]);
    // A pod that asks for nothing counts 100m and 200 MiB: cpu 2.1 of 4 and 0.1 of 4.
    let args = json!({"scoringStrategy": {"type": "LeastAllocated", "resources": [{"name": "cpu", "weight": 3}]}});
    cluster.profile = profile(&[("NodeResourcesFit", args)]);
    assert_eq!(cluster.scores("NodeResourcesFit", "", &json!({})), [47, 97]);
}

#[test]
fn a_pod_that_evens_a_node_out_scores_above_75() {
    let mut cluster = Cluster::new(&["n1", "n2", "n3"]);
    cluster.run("n1", "", &requests(&json!({"memory": "4Gi"})));
    cluster.run("n2", "", &requests(&json!({"cpu": "2"})));
    let wanted = requests(&json!({"cpu": "1"}));
    // n1: (0, 1/2) becomes (1/4, 1/2): 75 to 87; n2: (1/2, 0) becomes (3/4, 0): 75 to 62; n3: 100 to 87.
    let expect = [50 + (50 + 87 - 75) / 2, 50 + (50 + 62 - 75) / 2, 50 + (50 + 87 - 100) / 2];
    assert_eq!(cluster.scores("NodeResourcesBalancedAllocation", "", &wanted), expect);
    assert_eq!(cluster.scores("NodeResourcesBalancedAllocation", "", &json!({})), [0; 0]);
}

#[test]
fn nodes_that_have_the_image_are_better() {
    let mut cluster = Cluster::new(&["n1"]);
    let images = |mib: i64| json!({"status": {"images": [{"names": ["app:1"], "sizeBytes": mib * 1024 * 1024}]}});
    cluster.node("n2", &images(1046));
    // One of two nodes has it, so half of its 1046 MiB counts: 523 less 23 of 1000 less 23.
    assert_eq!(cluster.scores("ImageLocality", "", &json!({})), [0, 51]);
    cluster.node("n2", &images(40));
    assert_eq!(cluster.scores("ImageLocality", "", &json!({})), [0, 0], "too small to matter");
}

fn pod_term(key: &str, app: &str) -> Value {
    json!({"topologyKey": key, "labelSelector": {"matchLabels": {"app": app}}})
}

fn near(kind: &str, terms: &[Value]) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

#[test]
fn pods_go_where_others_are_or_are_not() {
    let mut cluster = Cluster::new(&["n1 zone=a", "n2 zone=a", "n3 zone=b", "n4"]);
    cluster.run("n1", "app=db", &json!({}));
    let mut check =
        |labels: &str, spec: Value, expect: &str| assert_eq!(cluster.feasible(labels, &spec), expect, "{spec}");
    check("", near("podAffinity", &[pod_term("zone", "db")]), "n1 n2");
    check("", near("podAffinity", &[pod_term("kubernetes.io/hostname", "db")]), "n1");
    check("", near("podAntiAffinity", &[pod_term("zone", "db")]), "n3 n4");
    check(
        "",
        near("podAffinity", &[json!({"topologyKey": "zone"})]),
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.",
    );
    // The first of its kind may go anywhere that has the label.
    check("app=web", near("podAffinity", &[pod_term("zone", "web")]), "n1 n2 n3");
    check(
        "app=api",
        near("podAffinity", &[pod_term("zone", "web")]),
        "0/4 nodes are available: 4 node(s) didn't match pod affinity rules.",
    );
    let mut elsewhere = pod_term("zone", "db");
    elsewhere["namespaces"] = json!(["other"]);
    check("", near("podAntiAffinity", &[elsewhere]), "n1 n2 n3 n4");
}

#[test]
fn pods_that_run_can_keep_others_away() {
    let mut cluster = Cluster::new(&["n1 zone=a", "n2 zone=a", "n3 zone=b"]);
    cluster.run("n1", "app=db", &near("podAntiAffinity", &[pod_term("zone", "web")]));
    assert_eq!(cluster.feasible("app=web", &json!({})), "n3");
    assert_eq!(cluster.feasible("app=api", &json!({})), "n1 n2 n3");
    let message = "0/3 nodes are available: 1 node(s) didn't match Pod's node affinity/selector, 2 node(s) didn't \
                   satisfy existing pods anti-affinity rules.";
    assert_eq!(cluster.feasible("app=web", &json!({"nodeSelector": {"zone": "a"}})), message);
}

#[test]
fn preferences_of_both_sides_add_up() {
    let mut cluster = Cluster::new(&["n1 zone=a", "n2 zone=b", "n3 zone=c"]);
    let preferred = |kind: &str, weight: i64, app: &str| {
        let term = json!({"weight": weight, "podAffinityTerm": pod_term("zone", app)});
        json!({"affinity": {kind: {"preferredDuringSchedulingIgnoredDuringExecution": [term]}}})
    };
    cluster.run("n1", "app=db", &json!({}));
    cluster.run("n2", "app=cache", &preferred("podAntiAffinity", 10, "web"));
    // 40 for a, -10 for b, nothing for c.
    let wanted = preferred("podAffinity", 40, "db");
    assert_eq!(cluster.scores("InterPodAffinity", "app=web", &wanted), [200, 0, 40]);
    // Required affinity of a running pod counts as a preference of weight 1.
    cluster.run("n3", "app=log", &near("podAffinity", &[pod_term("zone", "log")]));
    assert_eq!(cluster.scores("InterPodAffinity", "app=log", &json!({})), [0, 0, 200]);
}

fn spread(key: &str, skew: i64, when: &str) -> Value {
    let selector = json!({"matchLabels": {"app": "web"}});
    json!({"topologySpreadConstraints": [
        {"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": when, "labelSelector": selector}]})
}

#[test]
fn hard_spreading_keeps_the_skew() {
    let mut cluster = Cluster::new(&["n1 zone=a", "n2 zone=a", "n3 zone=b", "n4"]);
    cluster.run("n1", "app=web", &json!({}));
    let hard = spread("zone", 1, "DoNotSchedule");
    assert_eq!(cluster.feasible("app=web", &hard), "n3");
    assert_eq!(cluster.feasible("app=web", &spread("zone", 2, "DoNotSchedule")), "n1 n2 n3");
    // A pod that is not of the kind does not add to it.
    assert_eq!(cluster.feasible("app=api", &hard), "n1 n2 n3");
    let mut pinned = hard.clone();
    pinned["nodeSelector"] = json!({"kubernetes.io/hostname": "n4"});
    assert_eq!(
        cluster.feasible("app=web", &pinned),
        "0/4 nodes are available: 1 node(s) didn't match pod topology spread constraints (missing required label), \
         3 node(s) didn't match Pod's node affinity/selector."
    );
    let mut domains = hard;
    domains["topologySpreadConstraints"][0]["minDomains"] = json!(3);
    assert_eq!(cluster.feasible("app=web", &domains), "n3", "with a missing domain the minimum is 0");
    cluster.run("n3", "app=web", &json!({}));
    assert!(cluster.feasible("app=web", &domains).contains("3 node(s) didn't match pod topology spread constraints"));
}

#[test]
fn soft_spreading_prefers_emptier_places() {
    let mut cluster = Cluster::new(&["n1 zone=a", "n2 zone=a", "n3 zone=b"]);
    cluster.run("n1", "app=web", &json!({}));
    cluster.run("n2", "app=web", &json!({}));
    cluster.run("n3", "app=web", &json!({}));
    // Two domains: counts 2, 2, 1 times ln 4 make 3, 3, 1.
    let soft = spread("zone", 1, "ScheduleAnyway");
    assert_eq!(cluster.scores("PodTopologySpread", "app=web", &soft), [2 * 33, 2 * 33, 2 * 100]);
    // Without constraints and without a service or owner that selects the pod there is nothing to spread by.
    assert_eq!(cluster.scores("PodTopologySpread", "app=web", &json!({})), [0; 0]);
    let service = json!({"metadata": {"name": "s", "namespace": "default"}, "spec": {"selector": {"app": "web"}}});
    let service = serde_json::from_value(service).unwrap();
    cluster.cache.set_selecting(crate::snapshot::SelectingKind::Service, &service);
    assert_eq!(cluster.scores("PodTopologySpread", "app=web", &json!({})).len(), 3);
}

#[test]
fn events_that_can_not_help_are_passed_over() {
    use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
    use std::sync::Arc;
    let node = |change: Value| Arc::new(serde_json::from_value::<crate::wire::Node>(change).unwrap());
    let mut cluster = Cluster::new(&[]);
    let mut check = |plugin: &str, spec: &Value, old: Option<Value>, new: Value, expect: QueueingHint| {
        let pod = cluster.pod("", spec);
        let object = EventObject::Node { old: old.clone().map(node), new: node(new.clone()) };
        let happening = Happening { event: ClusterEvent::node(ActionType::ADD), object };
        let hint = cluster.profile.plugin(plugin).map(|plugin| plugin.queueing_hint(&pod, &happening));
        assert_eq!(hint, Some(expect), "{plugin} {spec} {old:?} {new}");
    };
    let labeled = |zone: &str| json!({"metadata": {"name": "n", "labels": {"zone": zone}}});
    let selecting = json!({"nodeSelector": {"zone": "a"}});
    check("NodeAffinity", &selecting, None, labeled("a"), QueueingHint::Queue);
    check("NodeAffinity", &selecting, None, labeled("b"), QueueingHint::Skip);
    check("NodeAffinity", &selecting, Some(labeled("b")), labeled("a"), QueueingHint::Queue);
    check("NodeAffinity", &selecting, Some(labeled("a")), labeled("a"), QueueingHint::Skip);
    let in_b = affinity(json!([{"matchExpressions": [expression("zone", "In", &["b"])]}]));
    check("NodeAffinity", &in_b, None, labeled("b"), QueueingHint::Queue);
    check("NodeAffinity", &in_b, None, labeled("a"), QueueingHint::Skip);
    let sized = |cpu: &str| json!({"metadata": {"name": "n"}, "status": {"allocatable": {"cpu": cpu, "pods": "9"}}});
    let two = requests(&json!({"cpu": "2"}));
    check("NodeResourcesFit", &two, None, sized("2"), QueueingHint::Queue);
    check("NodeResourcesFit", &two, Some(sized("1")), sized("1500m"), QueueingHint::Skip);
    check("TaintToleration", &json!({}), None, tainted("NoSchedule"), QueueingHint::Skip);
    check("TaintToleration", &json!({}), Some(tainted("NoSchedule")), labeled("a"), QueueingHint::Queue);
    check("TaintToleration", &json!({}), Some(labeled("b")), labeled("a"), QueueingHint::Skip);
    check("NodeUnschedulable", &json!({}), None, json!({"spec": {"unschedulable": true}}), QueueingHint::Skip);
    check("NodeUnschedulable", &json!({}), None, labeled("a"), QueueingHint::Queue);
}

#[test]
fn only_pods_that_matter_wake_a_pod() {
    use crate::cluster_event::{ActionType, ClusterEvent, EventObject, Happening, QueueingHint};
    let mut cluster = Cluster::new(&[]);
    let mut check = |plugin: &str, spec: &Value, (old, new): (Option<&str>, Option<&str>), expect: QueueingHint| {
        let pod = cluster.pod("app=me", spec);
        let mut other = |labels: Option<&str>| labels.map(|labels| cluster.pod(labels, &json!({"nodeName": "n"})));
        let object = EventObject::AssignedPod { old: other(old), new: other(new) };
        let happening = Happening { event: ClusterEvent::pod(ActionType::ADD), object };
        let hint = cluster.profile.plugin(plugin).map(|plugin| plugin.queueing_hint(&pod, &happening));
        assert_eq!(hint, Some(expect), "{plugin} {spec} {old:?} {new:?}");
    };
    let wants_db = near("podAffinity", &[pod_term("zone", "db")]);
    let shuns_db = near("podAntiAffinity", &[pod_term("zone", "db")]);
    let (db, web) = (Some("app=db"), Some("app=web"));
    check("InterPodAffinity", &wants_db, (None, db), QueueingHint::Queue);
    check("InterPodAffinity", &wants_db, (None, web), QueueingHint::Skip);
    check("InterPodAffinity", &wants_db, (web, db), QueueingHint::Queue);
    check("InterPodAffinity", &wants_db, (db, db), QueueingHint::Skip);
    check("InterPodAffinity", &shuns_db, (None, db), QueueingHint::Skip);
    check("InterPodAffinity", &shuns_db, (db, None), QueueingHint::Queue);
    check("InterPodAffinity", &shuns_db, (web, None), QueueingHint::Skip);
    check("InterPodAffinity", &shuns_db, (db, web), QueueingHint::Queue);
    let hard = spread("zone", 1, "DoNotSchedule");
    check("PodTopologySpread", &hard, (None, web), QueueingHint::Queue);
    check("PodTopologySpread", &hard, (web, None), QueueingHint::Queue);
    check("PodTopologySpread", &hard, (None, db), QueueingHint::Skip);
    check("NodeResourcesFit", &json!({}), (db, None), QueueingHint::Queue);
    check("TaintToleration", &json!({}), (db, None), QueueingHint::Skip);
}
