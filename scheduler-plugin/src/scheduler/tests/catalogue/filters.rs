//! Where pods can go: upstream's `test/integration/scheduler/filters`, and the ports and taints of its other suites.

use super::*;

type Objects = Vec<(&'static str, Value)>;

/// A cluster, a pod that comes, and the nodes of which it gets one; none, if it waits.
struct Case {
    name: String,
    before: Objects,
    pod: Value,
    nodes: &'static [&'static str],
}

fn case(name: &str, before: Objects, pod: Value, nodes: &'static [&'static str]) -> Case {
    Case { name: name.to_owned(), before, pod: changed(wants("p", json!({})), pod), nodes }
}

async fn hold(cases: Vec<Case>) {
    for Case { name, before, pod, nodes } in cases {
        let world = World::default();
        before.into_iter().for_each(|(collection, object)| world.set(collection, object));
        world.set("pods", pod);
        beside(&world, Options::default(), seconds(2)).await;
        let node = world.node_of("p");
        let as_expected = match &node {
            Some(node) => nodes.contains(&node.as_str()),
            None => nodes.is_empty(),
        };
        assert!(as_expected, "{name}: {node:?} {:?}", world.writes());
    }
}

/// Containers with a host port, as kinds of containers go.
fn with_port(kind: &str) -> Value {
    let port =
        |host: bool| if host { json!({"containerPort": 80, "hostPort": 8080}) } else { json!({"containerPort": 80}) };
    let named = |name: &str, port: Option<Value>| {
        let mut container = json!({"name": name, "image": "app:1"});
        port.into_iter().for_each(|port| container["ports"] = json!([port]));
        container
    };
    let main = named("c", None);
    match kind {
        "container" => json!({"containers": [named("c", Some(port(true)))]}),
        "sidecar" => {
            let sidecar = changed(named("s", Some(port(true))), json!({"restartPolicy": "Always"}));
            json!({"initContainers": [sidecar], "containers": [main]})
        }
        "init" => json!({"initContainers": [named("i", Some(port(true)))], "containers": [main]}),
        _ => json!({"containers": [named("c", Some(port(false)))]}),
    }
}

#[tokio::test(start_paused = true)]
async fn host_ports() {
    let kinds = ["container", "sidecar", "init", "none"];
    let takes = |kind: &str| matches!(kind, "container" | "sidecar");
    let mut cases = Vec::new();
    for (there, comes) in kinds.iter().flat_map(|there| kinds.iter().map(move |comes| (*there, *comes))) {
        let before = vec![with("n1", json!({})), on("n1", "a", with_port(there))];
        let nodes: &[&str] = if takes(there) && takes(comes) { &[] } else { &["n1"] };
        cases.push(case(&format!("{there} {comes}"), before, json!({"spec": with_port(comes)}), nodes));
    }
    hold(cases).await;
}

fn node_affinity(expressions: Value, fields: Value) -> Value {
    let term = json!({"matchExpressions": expressions, "matchFields": fields});
    let required = json!({"nodeSelectorTerms": [term]});
    json!({"spec": {"affinity": {"nodeAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": required}}}})
}

#[tokio::test(start_paused = true)]
async fn node_affinity_filter() {
    let nodes = || vec![with("n1", json!({"metadata": {"labels": {"foo": "bar"}}})), with("n2", json!({}))];
    let expression = |operator: &str, values: Value| json!([{"key": "foo", "operator": operator, "values": values}]);
    let field = |name: &str| json!([{"key": "metadata.name", "operator": "In", "values": [name]}]);
    let none = || json!(null);
    hold(vec![
        case("In", nodes(), node_affinity(expression("In", json!(["bar"])), none()), &["n1"]),
        case("NotIn", nodes(), node_affinity(expression("NotIn", json!(["bar"])), none()), &["n2"]),
        case("Exists", nodes(), node_affinity(expression("Exists", none()), none()), &["n1"]),
        case("DoesNotExist", nodes(), node_affinity(expression("DoesNotExist", none()), none()), &["n2"]),
        case("both", nodes(), node_affinity(expression("In", json!(["bar"])), field("n1")), &["n1"]),
        case("both, of other nodes", nodes(), node_affinity(expression("In", json!(["bar"])), field("n2")), &[]),
        case("matchFields", nodes(), node_affinity(none(), field("n2")), &["n2"]),
    ])
    .await;
}

fn taint(key: &str, value: &str, effect: &str) -> Value {
    json!({"key": key, "value": value, "effect": effect})
}

fn tolerates(tolerations: Value) -> Value {
    json!({"spec": {"tolerations": tolerations}})
}

#[tokio::test(start_paused = true)]
async fn taint_toleration_filter() {
    let tainted = |taints: Value| vec![with("n1", json!({"spec": {"taints": taints}}))];
    let one = |value: &str| tainted(json!([taint("k", value, "NoSchedule")]));
    let by = |operator: &str, value: &str, effect: &str| {
        tolerates(json!([{"key": "k", "operator": operator, "value": value, "effect": effect}]))
    };
    let mut cases = vec![
        case("none", one("v"), json!({}), &[]),
        case("Exists", one("v"), tolerates(json!([{"key": "k", "operator": "Exists"}])), &["n1"]),
        case("everything", one("v"), tolerates(json!([{"operator": "Exists"}])), &["n1"]),
        case("Equal", one("v"), by("Equal", "v", "NoSchedule"), &["n1"]),
        case("another value", one("v"), by("Equal", "w", "NoSchedule"), &[]),
        case("another effect", one("v"), by("Equal", "v", "NoExecute"), &[]),
        case("any effect", one("v"), by("Equal", "v", ""), &["n1"]),
        case(
            "one of two",
            tainted(json!([taint("k", "v", "NoSchedule"), taint("l", "v", "NoExecute")])),
            by("Equal", "v", ""),
            &[],
        ),
        case(
            "both of two",
            tainted(json!([taint("k", "v", "NoSchedule"), taint("l", "v", "NoExecute")])),
            tolerates(json!([{"key": "k", "operator": "Exists"}, {"key": "l", "operator": "Exists"}])),
            &["n1"],
        ),
        case("better avoided", tainted(json!([taint("k", "v", "PreferNoSchedule")])), json!({}), &["n1"]),
    ];
    // Numbers: the taint is more, or less, than the toleration says.
    for (operator, has, wants, fits) in [
        ("Gt", "950", "900", true),
        ("Gt", "900", "950", false),
        ("Gt", "900", "900", false),
        ("Lt", "900", "950", true),
        ("Lt", "950", "900", false),
        ("Gt", "-5", "-10", true),
        ("Lt", "-10", "-5", true),
        ("Gt", "0", "-1", true),
        ("Lt", "0", "1", true),
        ("Gt", "9223372036854775807", "9223372036854775806", true),
        ("Gt", "9223372036854775808", "1", false),
        ("Gt", "high", "1", false),
        ("Gt", "0950", "900", false),
        ("Lt", "1.5", "2", false),
    ] {
        for effect in ["NoSchedule", ""] {
            let nodes: &[&str] = if fits { &["n1"] } else { &[] };
            cases.push(case(&format!("{has} {operator} {wants}"), one(has), by(operator, wants, effect), nodes));
        }
    }
    hold(cases).await;
}

#[tokio::test(start_paused = true)]
async fn taint_node_by_condition() {
    for key in ["not-ready", "memory-pressure", "disk-pressure", "pid-pressure", "network-unavailable", "unschedulable"]
    {
        let key = format!("node.kubernetes.io/{key}");
        let nodes = || vec![with("n1", json!({"spec": {"taints": [{"key": key, "effect": "NoSchedule"}]}}))];
        let tolerating = tolerates(json!([{"key": key, "operator": "Exists", "effect": "NoSchedule"}]));
        hold(vec![case(&key, nodes(), json!({}), &[]), case(&key, nodes(), tolerating, &["n1"])]).await;
    }
}

/// Two zones with two nodes each.
fn zones() -> Objects {
    [("a1", "a"), ("a2", "a"), ("b1", "b"), ("b2", "b")]
        .map(|(name, zone)| with(name, json!({"metadata": {"labels": {"zone": zone}}})))
        .into()
}

/// So many pods labelled `app: web` on each node, beside the nodes.
fn webs(nodes: Objects, on_each: &[(&'static str, usize)]) -> Objects {
    let mut objects = nodes;
    for &(node, count) in on_each {
        for number in 0..count {
            let (collection, pod) = on(node, &format!("{node}-{number}"), json!({}));
            objects.push((collection, changed(pod, json!({"metadata": {"labels": {"app": "web"}}}))));
        }
    }
    objects
}

fn spread(skew: i64, key: &str, more: Value) -> Value {
    let constraint = json!({"maxSkew": skew, "topologyKey": key, "whenUnsatisfiable": "DoNotSchedule",
        "labelSelector": {"matchLabels": {"app": "web"}}});
    changed(constraint, more)
}

fn spreads(constraints: &[Value], spec: Value) -> Value {
    let spec = changed(json!({ "topologySpreadConstraints": constraints }), spec);
    json!({"metadata": {"labels": {"app": "web"}}, "spec": spec})
}

#[tokio::test(start_paused = true)]
async fn pod_topology_spread_filter() {
    let host = |skew: i64| spread(skew, "kubernetes.io/hostname", json!({}));
    let zone = |skew: i64| spread(skew, "zone", json!({}));
    let in_zone = |zone: &str| json!({"nodeSelector": {"zone": zone}});
    let domains = |count: i64| spread(1, "zone", json!({"minDomains": count}));
    let policy = |key: &str, field: &str, value: &str| spread(1, key, json!({field: value}));
    let tainted = || {
        let mut nodes = zones();
        nodes.retain(|(_, node)| node["metadata"]["name"] != "b2");
        nodes.push(with(
            "b2",
            json!({"metadata": {"labels": {"zone": "c"}}, "spec": {"taints": [taint("k", "", "NoSchedule")]}}),
        ));
        nodes
    };
    let full = [("a1", 1), ("b1", 1)];
    let versions = |keys: Value| {
        let constraint = spread(1, "zone", json!({"matchLabelKeys": keys, "nodeAffinityPolicy": "Ignore"}));
        changed(spreads(&[constraint], in_zone("a")), json!({"metadata": {"labels": {"version": "2"}}}))
    };
    hold(vec![
        case("1/1/0/1", webs(zones(), &[("a1", 1), ("a2", 1), ("b2", 1)]), spreads(&[host(1)], json!({})), &["b1"]),
        case(
            "2/0/0/1, skew 2",
            webs(zones(), &[("a1", 2), ("b2", 1)]),
            spreads(&[host(2)], json!({})),
            &["a2", "b1", "b2"],
        ),
        case("one zone only", webs(zones(), &[("a1", 1), ("b2", 1)]), spreads(&[host(1)], in_zone("a")), &["a2"]),
        case(
            "two constraints leave one node",
            webs(zones(), &[("a1", 2), ("a2", 1), ("b1", 1)]),
            spreads(&[zone(1), host(1)], json!({})),
            &["b2"],
        ),
        case(
            "two constraints leave none",
            webs(zones(), &[("a2", 3), ("b1", 1), ("b2", 1)]),
            spreads(&[zone(1), host(1)], json!({})),
            &[],
        ),
        case(
            "domains that affinity leaves out count if it is ignored",
            webs(zones(), &[("b1", 2), ("b2", 1)]),
            spreads(&[policy("zone", "nodeAffinityPolicy", "Ignore")], in_zone("b")),
            &[],
        ),
        case(
            "they do not if it is honored",
            webs(zones(), &[("b1", 2), ("b2", 1)]),
            spreads(&[policy("zone", "nodeAffinityPolicy", "Honor")], in_zone("b")),
            &["b1", "b2"],
        ),
        case(
            "a tainted domain counts",
            webs(tainted(), &full),
            spreads(&[policy("zone", "nodeTaintsPolicy", "Ignore")], json!({})),
            &[],
        ),
        case(
            "a tainted domain does not count if taints are honored",
            webs(tainted(), &full),
            spreads(&[policy("zone", "nodeTaintsPolicy", "Honor")], json!({})),
            &["a1", "a2", "b1"],
        ),
        case("fewer domains than wanted", webs(zones(), &full), spreads(&[domains(3)], json!({})), &[]),
        case(
            "as many domains as wanted",
            webs(zones(), &full),
            spreads(&[domains(2)], json!({})),
            &["a1", "a2", "b1", "b2"],
        ),
        case("a key that no node has", zones(), spreads(&[spread(1, "rack", json!({}))], json!({})), &[]),
        case("pods of all versions", webs(zones(), &[("a1", 2)]), versions(json!([])), &[]),
        case("pods of this version only", webs(zones(), &[("a1", 2)]), versions(json!(["version"])), &["a1", "a2"]),
    ])
    .await;
}

#[tokio::test(start_paused = true)]
async fn what_declares_its_features_gets_the_pods_that_need_them() {
    let declares = |features: Value| vec![with("n1", json!({"status": {"declaredFeatures": features}}))];
    let rule = json!({"action": "RestartAllContainers", "exitCodes": {"operator": "In", "values": [1]}});
    let needs = json!({"spec": {"containers": [{"name": "c", "image": "app:1", "restartPolicyRules": [rule]}]}});
    let feature = "RestartAllContainersOnContainerExits";
    hold(vec![
        case("nothing needed", declares(json!([])), json!({}), &["n1"]),
        case("nothing declared", declares(json!([])), needs.clone(), &[]),
        case("something else", declares(json!(["Other"])), needs.clone(), &[]),
        case("just that", declares(json!([feature])), needs.clone(), &["n1"]),
        case("that and more", declares(json!(["Other", feature])), needs, &["n1"]),
        case("more than needed", declares(json!([feature])), json!({}), &["n1"]),
    ])
    .await;
}

fn terms(kind: &str, terms: Value) -> Value {
    json!({"affinity": {kind: {"requiredDuringSchedulingIgnoredDuringExecution": terms}}})
}

fn term(operator: &str, values: Value, more: Value) -> Value {
    let selector = json!({"matchExpressions": [{"key": "security", "operator": operator, "values": values}]});
    changed(json!({"labelSelector": selector, "topologyKey": "zone"}), more)
}

/// A pod labelled `security: S1`, on a node.
fn secure(node: &'static str, more: Value) -> (&'static str, Value) {
    let (collection, pod) = on(node, &format!("on-{node}"), json!({}));
    (collection, changed(changed(pod, json!({"metadata": {"labels": {"security": "S1"}}})), more))
}

#[tokio::test(start_paused = true)]
async fn inter_pod_affinity() {
    let near = |list: Value| json!({"spec": terms("podAffinity", list)});
    let away = |list: Value| json!({"spec": terms("podAntiAffinity", list)});
    let s1 = |more: Value| term("In", json!(["S1", "S2"]), more);
    let labelled = || json!({"metadata": {"labels": {"security": "S1"}}});
    let on_a1 = |more: Value| [zones(), vec![secure("a1", more)]].concat();
    let elsewhere = || json!({"metadata": {"namespace": "other"}});
    let (a, b): (&[&str], &[&str]) = (&["a1", "a2"], &["b1", "b2"]);
    let all: &[&str] = &["a1", "a2", "b1", "b2"];
    let team = |label: &str| ("namespaces", json!({"metadata": {"name": "other", "labels": {"team": label}}}));
    let of_team = || json!({"namespaceSelector": {"matchLabels": {"team": "x"}}});
    hold(vec![
        case("nobody there", zones(), near(json!([s1(json!({}))])), &[]),
        case("In", on_a1(json!({})), near(json!([s1(json!({}))])), a),
        case("NotIn", on_a1(json!({})), near(json!([term("NotIn", json!(["S3"]), json!({}))])), a),
        case(
            "the first that a NotIn means",
            on_a1(json!({})),
            near(json!([term("NotIn", json!(["S1"]), json!({}))])),
            all,
        ),
        case("in another namespace", on_a1(elsewhere()), near(json!([s1(json!({}))])), &[]),
        case(
            "in a namespace that is named",
            on_a1(elsewhere()),
            near(json!([s1(json!({"namespaces": ["other"]}))])),
            a,
        ),
        case(
            "in a namespace that is selected",
            [on_a1(elsewhere()), vec![team("x")]].concat(),
            near(json!([s1(of_team())])),
            a,
        ),
        case("in one that is not", [on_a1(elsewhere()), vec![team("y")]].concat(), near(json!([s1(of_team())])), &[]),
        case(
            "all namespaces",
            [on_a1(elsewhere()), vec![team("y")]].concat(),
            near(json!([s1(json!({"namespaceSelector": {}}))])),
            a,
        ),
        case(
            "two terms that hold",
            on_a1(json!({})),
            near(json!([s1(json!({})), term("Exists", json!([]), json!({}))])),
            a,
        ),
        case(
            "two terms of which one does not",
            on_a1(json!({})),
            near(json!([s1(json!({})), term("In", json!(["S3"]), json!({}))])),
            &[],
        ),
        case(
            "affinity and anti-affinity",
            on_a1(json!({})),
            json!({"spec": {"affinity": {
                "podAffinity": {"requiredDuringSchedulingIgnoredDuringExecution": [s1(json!({}))]},
                "podAntiAffinity": {"requiredDuringSchedulingIgnoredDuringExecution":
                    [s1(json!({"topologyKey": "kubernetes.io/hostname"}))]}}}}),
            &["a2"],
        ),
        case("anti-affinity", on_a1(json!({})), away(json!([s1(json!({}))])), b),
        case("anti-affinity to another namespace's", on_a1(elsewhere()), away(json!([s1(json!({}))])), all),
        case(
            "anti-affinity of those that run",
            on_a1(json!({"spec": terms("podAntiAffinity", json!([s1(json!({}))]))})),
            labelled(),
            b,
        ),
        case(
            "anti-affinity of those that run, to others",
            on_a1(json!({"spec": terms("podAntiAffinity", json!([term("In", json!(["S3"]), json!({}))]))})),
            labelled(),
            all,
        ),
        case(
            "anti-affinity of those that run in another namespace",
            on_a1(changed(elsewhere(), json!({"spec": terms("podAntiAffinity", json!([s1(json!({}))]))}))),
            labelled(),
            all,
        ),
        case(
            "affinity where anti-affinity keeps it away",
            on_a1(json!({"spec": terms("podAntiAffinity", json!([s1(json!({}))]))})),
            changed(labelled(), near(json!([s1(json!({}))]))),
            &[],
        ),
        case("the first of its kind", zones(), changed(labelled(), near(json!([s1(json!({}))]))), all),
        case(
            "the first of its kind, where a node has no such label",
            vec![with("n1", json!({}))],
            changed(labelled(), near(json!([s1(json!({}))]))),
            &[],
        ),
        case(
            "one domain for all nodes",
            vec![
                with("n1", json!({"metadata": {"labels": {"zone": "z"}}})),
                with("n2", json!({"metadata": {"labels": {"zone": "z"}}})),
                secure("n1", json!({})),
            ],
            away(json!([s1(json!({}))])),
            &[],
        ),
    ])
    .await;
}
