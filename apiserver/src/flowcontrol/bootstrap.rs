//! The flow schemas and priority levels that every cluster has.
//! Source: `k8s.io/apiserver/pkg/apis/flowcontrol/bootstrap`.

use serde_json::{Value, json};

const API: &str = "flowcontrol.apiserver.k8s.io/v1";
/// Says that the server keeps the spec as it is here.
pub(super) const AUTOUPDATE: &str = "apf.kubernetes.io/autoupdate-spec";
/// Without these the server could not tell where a request belongs; they are as they are.
pub(crate) const MANDATORY: [&str; 2] = ["catch-all", "exempt"];

fn object(kind: &str, name: &str, spec: &Value) -> Value {
    let metadata = json!({"name": name, "annotations": {AUTOUPDATE: "true"}});
    json!({"apiVersion": API, "kind": kind, "metadata": metadata, "spec": spec})
}

/// The priority levels, mandatory ones first.
pub(crate) fn levels() -> Vec<Value> {
    let exempt = json!({"type": "Exempt", "exempt": {"nominalConcurrencyShares": 0, "lendablePercent": 0}});
    let limited = |shares: u32, lendable: u32, response: Value| {
        let limits =
            json!({"nominalConcurrencyShares": shares, "lendablePercent": lendable, "limitResponse": response});
        json!({"type": "Limited", "limited": limits})
    };
    let queue = |queues: u32, hand: u32| json!({"type": "Queue", "queuing": {"queues": queues, "handSize": hand, "queueLengthLimit": 50}});
    let levels = [
        ("exempt", exempt),
        ("catch-all", limited(5, 0, json!({"type": "Reject"}))),
        ("system", limited(30, 33, queue(64, 6))),
        ("node-high", limited(40, 25, queue(64, 6))),
        ("leader-election", limited(10, 0, queue(16, 4))),
        ("workload-high", limited(40, 50, queue(128, 6))),
        ("workload-low", limited(100, 90, queue(128, 6))),
        ("global-default", limited(20, 50, queue(128, 6))),
    ];
    levels.iter().map(|(name, spec)| object("PriorityLevelConfiguration", name, spec)).collect()
}

fn user(name: &str) -> Value {
    json!({"kind": "User", "user": {"name": name}})
}

fn groups(names: &[&str]) -> Vec<Value> {
    names.iter().map(|name| json!({"kind": "Group", "group": {"name": name}})).collect()
}

fn system_accounts() -> Value {
    json!({"kind": "ServiceAccount", "serviceAccount": {"namespace": "kube-system", "name": "*"}})
}

fn resources(verbs: &[&str], group: &str, resources: &[&str], cluster_scope: bool) -> Value {
    let mut rule = json!({"verbs": verbs, "apiGroups": [group], "resources": resources, "namespaces": ["*"]});
    if cluster_scope {
        rule["clusterScope"] = json!(true);
    }
    rule
}

/// A rule for everything that these do.
fn everything(subjects: &[Value]) -> Value {
    json!({
        "subjects": subjects,
        "resourceRules": [resources(&["*"], "*", &["*"], true)],
        "nonResourceRules": [{"verbs": ["*"], "nonResourceURLs": ["*"]}],
    })
}

fn schema(name: &str, (level, precedence, by): (&str, u32, &str), rule: &Value) -> Value {
    let mut spec = json!({
        "priorityLevelConfiguration": {"name": level}, "matchingPrecedence": precedence, "rules": [rule],
    });
    if !by.is_empty() {
        spec["distinguisherMethod"] = json!({"type": by});
    }
    object("FlowSchema", name, &spec)
}

/// The flow schemas, mandatory ones first.
pub(crate) fn schemas() -> Vec<Value> {
    let everybody = groups(&["system:unauthenticated", "system:authenticated"]);
    let nodes = groups(&["system:nodes"]);
    let leases = |verbs: &[&str]| resources(verbs, "coordination.k8s.io", &["leases"], false);
    let electors = [user("system:kube-controller-manager"), user("system:kube-scheduler"), system_accounts()];
    let electing = json!({"subjects": electors, "resourceRules": [leases(&["get", "create", "update"])]});
    let heartbeat = json!({
        "subjects": nodes,
        "resourceRules": [resources(&["*"], "", &["nodes", "nodes/status"], true), leases(&["*"])],
    });
    let probing = json!({
        "subjects": everybody,
        "nonResourceRules": [{"verbs": ["get"], "nonResourceURLs": ["/healthz", "/readyz", "/livez"]}],
    });
    let manager = [user("system:kube-controller-manager")];
    let scheduler = [user("system:kube-scheduler")];
    vec![
        schema("exempt", ("exempt", 1, ""), &everything(&groups(&["system:masters"]))),
        schema("catch-all", ("catch-all", 10_000, "ByUser"), &everything(&everybody)),
        schema("probes", ("exempt", 2, ""), &probing),
        schema("system-leader-election", ("leader-election", 100, "ByUser"), &electing),
        schema("system-node-high", ("node-high", 400, "ByUser"), &heartbeat),
        schema("system-nodes", ("system", 500, "ByUser"), &everything(&nodes)),
        schema("kube-controller-manager", ("workload-high", 800, "ByNamespace"), &everything(&manager)),
        schema("kube-scheduler", ("workload-high", 800, "ByNamespace"), &everything(&scheduler)),
        schema(
            "kube-system-service-accounts",
            ("workload-high", 900, "ByNamespace"),
            &everything(&[system_accounts()]),
        ),
        schema("service-accounts", ("workload-low", 9000, "ByUser"), &everything(&groups(&["system:serviceaccounts"]))),
        schema("global-default", ("global-default", 9900, "ByUser"), &everything(&everybody)),
    ]
}
