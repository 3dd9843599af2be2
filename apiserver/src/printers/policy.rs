//! How rules show: role bindings, disruption budgets, admission policies and webhooks, flow control.

use serde_json::Value;
use steersman_machinery::meta;

use super::row::{
    AGE, Def, NAME, NONE, Native, Row, UNSET, at, cells, integer, list_at, scalar, scalar_or, text, text_at, wide,
};

/// Role bindings and cluster role bindings.
pub(super) const ROLE_BINDING: Native = Native::new(
    &[
        NAME,
        text("Role", "The role that is granted."),
        AGE,
        wide("Users", "Users in the roleBinding"),
        wide("Groups", "Groups in the roleBinding"),
        wide("ServiceAccounts", "ServiceAccounts in the roleBinding"),
    ],
    |row| {
        let subjects = |kind| row.list("subjects").iter().filter(move |it| text_at(it, "kind") == kind);
        let names = |kind| subjects(kind).map(|it| text_at(it, "name")).collect::<Vec<_>>().join(", ");
        let accounts: Vec<_> = subjects("ServiceAccount")
            .map(|it| format!("{}/{}", text_at(it, "namespace"), text_at(it, "name")))
            .collect();
        cells![
            row.name(),
            format!("{}/{}", row.text("roleRef.kind"), row.text("roleRef.name")),
            row.age(),
            names("User"),
            names("Group"),
            accounts.join(", "),
        ]
    },
);

/// Pod disruption budgets.
pub(super) const DISRUPTION_BUDGET: Native = Native::new(
    &[
        NAME,
        text("Min Available", "The minimum number of pods that must be available."),
        text("Max Unavailable", "The maximum number of pods that may be unavailable."),
        integer("Allowed Disruptions", "Calculated number of pods that may be disrupted at this time."),
        AGE,
    ],
    |row| {
        cells![
            row.name(),
            scalar_or(row.at("spec.minAvailable"), "N/A"),
            scalar_or(row.at("spec.maxUnavailable"), "N/A"),
            row.integer("status.disruptionsAllowed"),
            row.age(),
        ]
    },
);

/// Mutating and validating webhook configurations.
pub(super) const WEBHOOKS: Native =
    Native::new(&[NAME, integer("Webhooks", "How many webhooks there are."), AGE], |row| {
        cells![row.name(), row.count("webhooks"), row.age()]
    });

const PARAM_KIND: Def = text("ParamKind", "The kind of the objects that configure the policy.");

/// Validating admission policies.
pub(super) const VALIDATING_POLICY: Native =
    Native::new(&[NAME, integer("Validations", "How many rules there are."), PARAM_KIND, AGE], |row| {
        cells![row.name(), row.count("spec.validations"), param_kind(row), row.age()]
    });

/// Mutating admission policies.
pub(super) const MUTATING_POLICY: Native =
    Native::new(&[NAME, integer("Mutations", "How many changes there are."), PARAM_KIND, AGE], |row| {
        cells![row.name(), row.count("spec.mutations"), param_kind(row), row.age()]
    });

fn param_kind(row: &Row<'_>) -> String {
    match row.at("spec.paramKind") {
        Some(kind) => format!("{}/{}", text_at(kind, "apiVersion"), text_at(kind, "kind")),
        None => UNSET.to_owned(),
    }
}

/// Bindings of admission policies.
pub(super) const POLICY_BINDING: Native = Native::new(
    &[
        NAME,
        text("PolicyName", "The policy that is put into force."),
        text("ParamRef", "The object that configures the policy."),
        AGE,
    ],
    |row| cells![row.name(), row.text("spec.policyName"), param_ref(row), row.age()],
);

fn param_ref(row: &Row<'_>) -> String {
    let Some(param) = row.at("spec.paramRef") else {
        return UNSET.to_owned();
    };
    match (text_at(param, "namespace"), text_at(param, "name")) {
        (_, "") => at(param, "selector").map_or_else(|| UNSET.to_owned(), go_selector),
        // Whether the parameter has a namespace can't be told.
        ("", name) => format!("*/{name}"),
        (namespace, name) => format!("{namespace}/{name}"),
    }
}

/// A label selector as Go prints the message.
fn go_selector(selector: &Value) -> String {
    let labels: String =
        meta::pairs(selector, &["matchLabels"]).map(|(key, value)| format!("{key}: {value},")).collect();
    let expression = |it: &Value| {
        let values: Vec<_> = list_at(it, "values").iter().map(scalar).collect();
        let (key, operator) = (text_at(it, "key"), text_at(it, "operator"));
        format!("LabelSelectorRequirement{{Key:{key},Operator:{operator},Values:[{}],}},", values.join(" "))
    };
    let expressions: String = list_at(selector, "matchExpressions").iter().map(expression).collect();
    format!(
        "&LabelSelector{{MatchLabels:map[string]string{{{labels}}},\
         MatchExpressions:[]LabelSelectorRequirement{{{expressions}}},}}"
    )
}

/// Flow schemas.
pub(super) const FLOW_SCHEMA: Native = Native::new(
    &[
        NAME,
        text("PriorityLevel", "The priority level of matching requests."),
        text("MatchingPrecedence", "Which schema is tried first: the lower number."),
        text("DistinguisherMethod", "What tells one flow from another."),
        AGE,
        text("MissingPL", "Whether the priority level does not exist."),
    ],
    |row| {
        let dangling = row.condition("Dangling").map_or("?", |it| text_at(it, "status"));
        cells![
            row.name(),
            row.text_or("spec.priorityLevelConfiguration.name", NONE),
            row.integer("spec.matchingPrecedence"),
            row.text_or("spec.distinguisherMethod.type", NONE),
            row.age(),
            dangling,
        ]
    },
);

/// Priority levels.
pub(super) const PRIORITY_LEVEL: Native = Native::new(
    &[
        NAME,
        text("Type", "Whether requests of the level are limited."),
        text("NominalConcurrencyShares", "The share of the level in what the server can do at once."),
        text("Queues", "How many queues there are."),
        text("HandSize", "Among how many queues a flow is spread."),
        text("QueueLengthLimit", "How many requests may wait in a queue."),
        AGE,
    ],
    |row| {
        let shown = |path: &str| match row.at(path) {
            Some(value) => value.clone(),
            None => Value::from(NONE),
        };
        cells![
            row.name(),
            row.text("spec.type"),
            shown("spec.limited.nominalConcurrencyShares"),
            shown("spec.limited.limitResponse.queuing.queues"),
            shown("spec.limited.limitResponse.queuing.handSize"),
            shown("spec.limited.limitResponse.queuing.queueLengthLimit"),
            row.age(),
        ]
    },
);

/// Resource claims.
pub(super) const RESOURCE_CLAIM: Native =
    Native::new(&[NAME, text("State", "Whether the claim is pending, allocated, reserved or going."), AGE], |row| {
        let allocated = row.at("status.allocation").is_some();
        let states = [
            (row.is_deleting(), "deleted"),
            (!allocated && !row.is_deleting(), "pending"),
            (allocated, "allocated"),
            (allocated && row.count("status.reservedFor") > 0, "reserved"),
        ];
        let states: Vec<_> = states.into_iter().filter(|(holds, _)| *holds).map(|(_, state)| state).collect();
        cells![row.name(), states.join(","), row.age()]
    });

/// Resource slices.
pub(super) const RESOURCE_SLICE: Native = Native::new(
    &[
        NAME,
        text("Node", "The node that has the devices."),
        text("Driver", "The driver of the devices."),
        text("Pool", "The pool of the devices."),
        AGE,
    ],
    |row| cells![row.name(), row.text("spec.nodeName"), row.text("spec.driver"), row.text("spec.pool.name"), row.age(),],
);

/// Horizontal pod autoscalers, in both versions.
pub(super) const AUTOSCALER: Native = Native::new(
    &[
        NAME,
        text("Reference", "The object that is scaled."),
        text("Targets", "What is measured, and what it should be."),
        text("MinPods", "The least number of pods."),
        text("MaxPods", "The greatest number of pods."),
        text("Replicas", "How many pods there are."),
        AGE,
    ],
    |row| {
        cells![
            row.name(),
            format!("{}/{}", row.text("spec.scaleTargetRef.kind"), row.text("spec.scaleTargetRef.name")),
            targets(row),
            scalar_or(row.at("spec.minReplicas"), UNSET),
            row.integer("spec.maxReplicas"),
            row.integer("status.currentReplicas"),
            row.age(),
        ]
    },
);

/// How many metrics show before the rest is counted.
const METRICS_SHOWN: usize = 2;

fn targets(row: &Row<'_>) -> String {
    let mut texts: Vec<String> = Vec::new();
    for (index, metric) in row.list("spec.metrics").iter().enumerate() {
        texts.push(target(metric, row.list("status.currentMetrics").get(index)));
    }
    if let Some(wanted) = row.at("spec.targetCPUUtilizationPercentage") {
        let percent = |value: &Value| format!("{value}%");
        let current = row.at("status.currentCPUUtilizationPercentage");
        let current = current.map_or_else(|| "<unknown>".to_owned(), percent);
        texts.push(format!("cpu: {current}/{}", percent(wanted)));
    }
    match texts.len() {
        0 => NONE.to_owned(),
        1..=METRICS_SHOWN => texts.join(", "),
        count => format!("{} + {} more...", texts[..METRICS_SHOWN].join(", "), count - METRICS_SHOWN),
    }
}

/// One metric: what it is and what it should be.
fn target(metric: &Value, status: Option<&Value>) -> String {
    let field = match text_at(metric, "type") {
        "Resource" => "resource",
        "ContainerResource" => "containerResource",
        "Pods" => "pods",
        "Object" => "object",
        "External" => "external",
        _ => return "<unknown type>".to_owned(),
    };
    let spec = metric.get(field).unwrap_or(&Value::Null);
    let current = |name: &str| {
        let value = status.and_then(|it| it.get(field)).and_then(|it| it.get("current")?.get(name));
        value.filter(|it| !it.is_null()).map(scalar)
    };
    // What is there without the quantity that is looked for shows as Go's nil.
    let reported = status.is_some_and(|it| it.get(field).is_some_and(|it| !it.is_null()));
    let missing = || if reported { "<nil>" } else { "<unknown>" }.to_owned();
    let unknown = || "<unknown>".to_owned();
    let average = at(spec, "target.averageValue").map(scalar);
    let now_average = || current("averageValue").unwrap_or_else(missing);
    match (field, average) {
        ("resource" | "containerResource", Some(average)) => {
            format!("{}: {}/{average}", text_at(spec, "name"), now_average())
        }
        ("resource" | "containerResource", None) => {
            let now = current("averageUtilization").map_or_else(unknown, |it| it + "%");
            let wanted =
                at(spec, "target.averageUtilization").map_or_else(|| "<auto>".to_owned(), |it| format!("{it}%"));
            format!("{}: {now}/{wanted}", text_at(spec, "name"))
        }
        ("pods", average) => format!("{}/{}", now_average(), average.unwrap_or_default()),
        (_, Some(average)) => format!("{}/{average} (avg)", current("averageValue").unwrap_or_else(unknown)),
        (_, None) => {
            let now = current("value").unwrap_or_else(missing);
            format!("{now}/{}", scalar_or(at(spec, "target.value"), ""))
        }
    }
}
