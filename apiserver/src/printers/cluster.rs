//! How nodes, namespaces, events, configuration and the other kinds of the cluster itself show.

use std::collections::BTreeSet;

use serde_json::Value;
use steersman_machinery::meta;

use super::duration;
use super::row::{
    AGE, CREATED_AT, NAME, NONE, Native, PLAIN_NAME, Row, WIDE_NAME, boolean, cells, integer, non_empty, scalar, text,
    text_at, wide,
};

/// A kind about which there is nothing particular.
pub(super) const PLAIN: Native =
    Native::new(&[NAME, CREATED_AT], |row| cells![row.name(), row.text_or("metadata.creationTimestamp", GO_ZERO_TIME)]);

/// How Go writes a time that was never set, where it does not leave it out.
const GO_ZERO_TIME: &str = "0001-01-01T00:00:00Z";

/// A kind of which only the age shows.
pub(super) const AGED: Native = Native::new(&[NAME, AGE], |row| cells![row.name(), row.age()]);

/// Namespaces.
pub(super) const NAMESPACE: Native = Native::new(&[NAME, text("Status", "The status of the namespace"), AGE], |row| {
    cells![row.name(), row.text("status.phase"), row.age()]
});

/// Nodes.
pub(super) const NODE: Native = Native::new(
    &[
        NAME,
        text("Status", "The status of the node"),
        text("Roles", "The roles of the node"),
        AGE,
        text("Version", "The version of the kubelet."),
        wide("Internal-IP", "The first address inside of the cluster."),
        wide("External-IP", "The first address outside of the cluster."),
        wide("OS-Image", "The operating system, as the node reports it."),
        wide("Kernel-Version", "The kernel, as the node reports it."),
        wide("Container-Runtime", "The container runtime, as the node reports it."),
    ],
    |row| {
        cells![
            row.name(),
            node_status(row),
            roles(row.object),
            row.age(),
            row.text("status.nodeInfo.kubeletVersion"),
            node_address(row, "InternalIP"),
            node_address(row, "ExternalIP"),
            row.text_or("status.nodeInfo.osImage", duration::UNKNOWN),
            kernel(row),
            row.text_or("status.nodeInfo.containerRuntimeVersion", duration::UNKNOWN),
        ]
    },
);

fn node_status(row: &Row<'_>) -> String {
    let ready = match row.condition("Ready") {
        Some(condition) if text_at(condition, "status") == "True" => "Ready",
        Some(_) => "NotReady",
        None => "Unknown",
    };
    if row.flag("spec.unschedulable") { format!("{ready},SchedulingDisabled") } else { ready.to_owned() }
}

fn roles(object: &Value) -> String {
    let role = |(key, value)| match (key, value) {
        ("kubernetes.io/role", role) => Some(role),
        (key, _) => str::strip_prefix(key, "node-role.kubernetes.io/"),
    };
    let roles: BTreeSet<&str> = meta::labels(object).filter_map(role).filter(|role| !role.is_empty()).collect();
    let roles: Vec<_> = roles.into_iter().collect();
    if roles.is_empty() { NONE.to_owned() } else { roles.join(",") }
}

fn node_address<'a>(row: &Row<'a>, kind: &str) -> &'a str {
    row.list("status.addresses")
        .iter()
        .find(|address| text_at(address, "type") == kind)
        .map_or(NONE, |address| text_at(address, "address"))
}

fn kernel(row: &Row<'_>) -> String {
    let version = row.text("status.nodeInfo.kernelVersion");
    match (version, row.text("status.nodeInfo.architecture")) {
        ("", _) => duration::UNKNOWN.to_owned(),
        (version, "") => version.to_owned(),
        (version, architecture) => format!("{version} ({architecture})"),
    }
}

/// Events, in the form of the core group and in that of `events.k8s.io`.
pub(super) const EVENT: Native = Native::new(
    &[
        text("Last Seen", "The time since the event last occurred."),
        text("Type", "Normal or Warning; other types may come."),
        text("Reason", "Why it happened: one word for programs."),
        text("Object", "The object that the event is about."),
        wide("Subobject", "The part of the object that the event is about."),
        wide("Source", "Who reports the event."),
        text("Message", "What happened, for people."),
        wide("First Seen", "The time since the event first occurred."),
        wide("Count", "How often the event occurred."),
        WIDE_NAME,
    ],
    event,
);

fn event(row: &Row<'_>) -> Vec<Value> {
    let either = |old, new| match row.text(old) {
        "" => row.text(new),
        text => text,
    };
    let first = match either("firstTimestamp", "deprecatedFirstTimestamp") {
        "" => row.text("eventTime"),
        time => time,
    };
    let last = match row.at("series") {
        Some(_) => row.text("series.lastObservedTime"),
        None => non_empty(either("lastTimestamp", "deprecatedLastTimestamp"), first),
    };
    let about = row.at("involvedObject").or_else(|| row.at("regarding")).unwrap_or(&Value::Null);
    let source = row.at("source").or_else(|| row.at("deprecatedSource")).unwrap_or(&Value::Null);
    let component = non_empty(text_at(source, "component"), either("reportingComponent", "reportingController"));
    let host = non_empty(text_at(source, "host"), row.text("reportingInstance"));
    let count = match row.at("series") {
        Some(_) => row.integer("series.count"),
        None => [row.integer("count"), row.integer("deprecatedCount")].into_iter().find(|it| *it != 0).unwrap_or(1),
    };
    cells![
        duration::since(last, row.now),
        row.text("type"),
        row.text("reason"),
        event_object(about),
        text_at(about, "fieldPath"),
        if host.is_empty() { component.to_owned() } else { format!("{component}, {host}") },
        either("message", "note").trim(),
        duration::since(first, row.now),
        count,
        row.name(),
    ]
}

fn event_object(about: &Value) -> String {
    let kind = text_at(about, "kind").to_lowercase();
    match text_at(about, "name") {
        "" => kind,
        name => format!("{kind}/{name}"),
    }
}

/// Component statuses.
pub(super) const COMPONENT_STATUS: Native = Native::new(
    &[
        NAME,
        text("Status", "Status of the component conditions"),
        text("Message", "Message of the component conditions"),
        text("Error", "Error of the component conditions"),
    ],
    |row| {
        let health = row.list("conditions").iter().find(|it| text_at(it, "type") == "Healthy");
        let field = |name| health.map_or("", |health| text_at(health, name));
        let status = match health {
            None => "Unknown",
            Some(_) if field("status") == "True" => "Healthy",
            Some(_) => "Unhealthy",
        };
        cells![row.name(), status, field("message"), field("error")]
    },
);

/// What upstream says of `data` of a config map.
const CONFIG_MAP_DATA: &str = "Data contains the configuration data. Each key must consist of alphanumeric characters, '-', \
    '_' or '.'. Values with non-UTF-8 byte sequences must use the BinaryData field. The keys stored in Data must not overlap \
    with the keys in the BinaryData field, this is enforced during validation process.";

/// Config maps.
pub(super) const CONFIG_MAP: Native = Native::new(&[NAME, text("Data", CONFIG_MAP_DATA), AGE], |row| {
    cells![row.name(), row.count("data") + row.count("binaryData"), row.age()]
});

/// Secrets.
pub(super) const SECRET: Native = Native::new(
    &[
        NAME,
        text("Type", "What the secret is for; it says which entries are expected."),
        text("Data", "How many entries the secret has."),
        AGE,
    ],
    |row| cells![row.name(), row.text("type"), row.count("data"), row.age()],
);

/// Resource quotas.
pub(super) const RESOURCE_QUOTA: Native = Native::new(
    &[
        NAME,
        text("Request", "What is used of what may be requested or counted."),
        text("Limit", "What is used of what limits may add up to."),
        AGE,
    ],
    |row| {
        let (mut requests, mut limits) = (Vec::new(), Vec::new());
        for (resource, hard) in row.at("status.hard").and_then(Value::as_object).into_iter().flatten() {
            let used = row.at("status.used").and_then(|used| used.get(resource));
            let used = used.map_or_else(|| "0".to_owned(), scalar);
            let column = if resource.starts_with("limits.") { &mut limits } else { &mut requests };
            column.push(format!("{resource}: {used}/{}", scalar(hard)));
        }
        cells![row.name(), requests.join(", "), limits.join(", "), row.age()]
    },
);

/// Leases.
pub(super) const LEASE: Native = Native::new(&[NAME, text("Holder", "Who holds the lease."), AGE], |row| {
    cells![row.name(), row.text("spec.holderIdentity"), row.age()]
});

/// Priority classes.
pub(super) const PRIORITY_CLASS: Native = Native::new(
    &[
        NAME,
        integer("Value", "The priority of pods of the class."),
        boolean("Global-Default", "Whether pods that name no class are of this one."),
        AGE,
        text("PreemptionPolicy", "Whether pods of the class may take the place of others."),
    ],
    |row| cells![row.name(), row.integer("value"), row.flag("globalDefault"), row.age(), row.text("preemptionPolicy"),],
);

/// Runtime classes.
pub(super) const RUNTIME_CLASS: Native =
    Native::new(&[NAME, text("Handler", "The configuration of the container runtime."), AGE], |row| {
        cells![row.name(), row.text("handler"), row.age()]
    });

/// Certificate signing requests.
pub(super) const SIGNING_REQUEST: Native = Native::new(
    &[
        NAME,
        AGE,
        text("SignerName", "Who is asked to sign."),
        text("Requestor", "Who asks."),
        text("RequestedDuration", "For how long the certificate is asked for."),
        text("Condition", "Whether the request was approved, denied, failed or served."),
    ],
    |row| {
        let requested = row.at("spec.expirationSeconds").and_then(Value::as_i64);
        cells![
            row.name(),
            row.age(),
            row.text_or("spec.signerName", NONE),
            row.text("spec.username"),
            requested.map_or_else(|| NONE.to_owned(), duration::human),
            signing_state(row),
        ]
    },
);

fn signing_state(row: &Row<'_>) -> String {
    let has = |kind| row.condition(kind).is_some();
    let verdict = match (has("Denied"), has("Approved")) {
        (true, _) => "Denied",
        (_, true) => "Approved",
        _ => "Pending",
    };
    let failed = if has("Failed") { ",Failed" } else { "" };
    let issued = if row.text("status.certificate").is_empty() { "" } else { ",Issued" };
    format!("{verdict}{failed}{issued}")
}

/// The scale of a workload.
pub(super) const SCALE: Native = Native::new(
    &[
        PLAIN_NAME,
        integer("Desired", "How many pods are wanted."),
        integer("Available", "How many pods there are."),
        AGE,
    ],
    |row| cells![row.name(), row.integer("spec.replicas"), row.integer("status.replicas"), row.age(),],
);

/// API services.
pub(super) const API_SERVICE: Native = Native::new(
    &[
        NAME,
        text("Service", "Who serves the version: this server or a service in the cluster."),
        text("Available", "Whether the version is served."),
        AGE,
    ],
    |row| {
        let service = match row.at("spec.service") {
            Some(service) => format!("{}/{}", text_at(service, "namespace"), text_at(service, "name")),
            None => "Local".to_owned(),
        };
        cells![row.name(), service, available(row), row.age()]
    },
);

fn available(row: &Row<'_>) -> String {
    match row.condition("Available") {
        Some(condition) => match (text_at(condition, "status"), text_at(condition, "reason")) {
            (status @ "True", _) | (status, "") => status.to_owned(),
            (status, reason) => format!("{status} ({reason})"),
        },
        None => "Unknown".to_owned(),
    }
}
