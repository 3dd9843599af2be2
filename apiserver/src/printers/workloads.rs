//! How controllers of pods show: deployments, replica sets, daemon sets, stateful sets, jobs and their relatives.

use jiff::Timestamp;
use serde_json::Value;
use steersman_machinery::group::{GroupKind, GroupVersion};
use steersman_machinery::meta;

use super::duration;
use super::row::{
    AGE, Def, NAME, NONE, Native, Row, UNSET, boolean, cells, integer, selector, selector_or_none, text, text_at, wide,
};

const DESIRED: Def = integer("Desired", "How many pods are wanted.");
const CURRENT: Def = integer("Current", "How many pods there are.");
const READY: Def = integer("Ready", "How many pods are ready.");
const CONTAINERS: Def = wide("Containers", "Names of each container in the template.");
const IMAGES: Def = wide("Images", "Images referenced by each container in the template.");
const SELECTOR: Def = wide("Selector", "Which pods belong to the object.");

/// The pod spec of most workloads.
const POD_SPEC: &str = "spec.template.spec";

/// Deployments.
pub(super) const DEPLOYMENT: Native = Native::new(
    &[
        NAME,
        text("Ready", "Number of the pod with ready state"),
        text("Up-to-date", "How many pods have the current template."),
        text("Available", "How many pods have been ready for long enough."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |row| {
        let (names, images) = row.containers(POD_SPEC);
        let selector = selector(row.at("spec.selector")).unwrap_or_else(|| "<invalid>".to_owned());
        cells![
            row.name(),
            ready_of_desired(row),
            row.integer("status.updatedReplicas"),
            row.integer("status.availableReplicas"),
            row.age(),
            names,
            images,
            selector,
        ]
    },
);

/// Replica sets.
pub(super) const REPLICA_SET: Native =
    Native::new(REPLICAS, |row| replicas(row, selector_or_none(row.at("spec.selector"))));

/// Replication controllers; their selector is a plain map.
pub(super) const REPLICATION_CONTROLLER: Native =
    Native::new(REPLICAS, |row| replicas(row, row.labels("spec.selector")));

const REPLICAS: &[Def] = &[NAME, DESIRED, CURRENT, READY, AGE, CONTAINERS, IMAGES, SELECTOR];

fn replicas(row: &Row<'_>, selector: String) -> Vec<Value> {
    let (names, images) = row.containers(POD_SPEC);
    cells![
        row.name(),
        row.integer("spec.replicas"),
        row.integer("status.replicas"),
        row.integer("status.readyReplicas"),
        row.age(),
        names,
        images,
        selector,
    ]
}

/// Daemon sets.
pub(super) const DAEMON_SET: Native = Native::new(
    &[
        NAME,
        DESIRED,
        CURRENT,
        READY,
        integer("Up-to-date", "How many pods have the current template."),
        integer("Available", "How many pods have been ready for long enough."),
        text("Node Selector", "The labels that a node must have."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |row| {
        let (names, images) = row.containers(POD_SPEC);
        cells![
            row.name(),
            row.integer("status.desiredNumberScheduled"),
            row.integer("status.currentNumberScheduled"),
            row.integer("status.numberReady"),
            row.integer("status.updatedNumberScheduled"),
            row.integer("status.numberAvailable"),
            row.labels("spec.template.spec.nodeSelector"),
            row.age(),
            names,
            images,
            selector_or_none(row.at("spec.selector")),
        ]
    },
);

/// Stateful sets.
pub(super) const STATEFUL_SET: Native =
    Native::new(&[NAME, text("Ready", "Number of the pod with ready state"), AGE, CONTAINERS, IMAGES], |row| {
        let (names, images) = row.containers(POD_SPEC);
        cells![row.name(), ready_of_desired(row), row.age(), names, images]
    });

fn ready_of_desired(row: &Row<'_>) -> String {
    format!("{}/{}", row.integer("status.readyReplicas"), row.integer("spec.replicas"))
}

/// Pod templates.
pub(super) const POD_TEMPLATE: Native = Native::new(
    &[
        NAME,
        text("Containers", "Names of each container in the template."),
        text("Images", "Images referenced by each container in the template."),
        text("Pod Labels", "The labels for the pod template."),
    ],
    |row| {
        let (names, images) = row.containers("template.spec");
        cells![row.name(), names, images, row.labels("template.metadata.labels")]
    },
);

/// Controller revisions.
pub(super) const CONTROLLER_REVISION: Native = Native::new(
    &[NAME, text("Controller", "Controller of the object"), text("Revision", "The number of the revision."), AGE],
    |row| cells![row.name(), controller(row.object), row.integer("revision"), row.age()],
);

fn controller(object: &Value) -> String {
    let Some(owner) = meta::controller_of(object) else {
        return NONE.to_owned();
    };
    let group = GroupVersion::parse(text_at(owner, "apiVersion")).group;
    let kind = GroupKind::new(group, text_at(owner, "kind").to_lowercase());
    format!("{kind}/{}", text_at(owner, "name"))
}

/// Jobs.
pub(super) const JOB: Native = Native::new(
    &[
        NAME,
        text("Status", "What became of the job."),
        text("Completions", "How many pods have succeeded, out of how many that must."),
        text("Duration", "How long the job took, or runs until now."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |row| {
        let (names, images) = row.containers(POD_SPEC);
        cells![
            row.name(),
            job_status(row),
            completions(row),
            job_duration(row),
            row.age(),
            names,
            images,
            selector_or_none(row.at("spec.selector")),
        ]
    },
);

fn job_status(row: &Row<'_>) -> &'static str {
    if row.has_condition("Complete") {
        "Complete"
    } else if row.has_condition("Failed") {
        "Failed"
    } else if row.is_deleting() {
        "Terminating"
    } else {
        ["Suspended", "FailureTarget", "SuccessCriteriaMet"]
            .into_iter()
            .find(|condition| row.has_condition(condition))
            .unwrap_or("Running")
    }
}

fn completions(row: &Row<'_>) -> String {
    let succeeded = row.integer("status.succeeded");
    match (row.at("spec.completions").and_then(Value::as_i64), row.integer("spec.parallelism")) {
        (Some(wanted), _) => format!("{succeeded}/{wanted}"),
        (None, parallelism @ 2..) => format!("{succeeded}/1 of {parallelism}"),
        (None, _) => format!("{succeeded}/1"),
    }
}

fn job_duration(row: &Row<'_>) -> String {
    let time = |path: &str| row.text(path).parse::<Timestamp>().ok();
    match time("status.startTime") {
        None => String::new(),
        Some(start) => {
            let end = time("status.completionTime").unwrap_or(row.now);
            duration::human(duration::between(start, end))
        }
    }
}

/// Cron jobs.
pub(super) const CRON_JOB: Native = Native::new(
    &[
        NAME,
        text("Schedule", "When jobs are made, in cron's format."),
        text("Timezone", "The time zone of the schedule."),
        boolean("Suspend", "Whether no more jobs are made."),
        integer("Active", "How many jobs are running."),
        text("Last Schedule", "The time since a job was last made."),
        AGE,
        CONTAINERS,
        IMAGES,
        SELECTOR,
    ],
    |row| {
        let (names, images) = row.containers("spec.jobTemplate.spec.template.spec");
        let last = match row.at("status.lastScheduleTime") {
            Some(_) => row.since("status.lastScheduleTime"),
            None => NONE.to_owned(),
        };
        cells![
            row.name(),
            row.text("spec.schedule"),
            row.text_or("spec.timeZone", NONE),
            go_bool(row.at("spec.suspend")),
            row.count("status.active"),
            last,
            row.age(),
            names,
            images,
            selector_or_none(row.at("spec.jobTemplate.spec.selector")),
        ]
    },
);

fn go_bool(value: Option<&Value>) -> &'static str {
    match value.and_then(Value::as_bool) {
        Some(true) => "True",
        Some(false) => "False",
        None => UNSET,
    }
}
