//! `PodGroupWorkloadExists`: a group that is made from a template names one that there is. `PodGroupProtection`: groups stay
//! while pods belong to them; their controller takes the finalizer away.
//! Source: `kubernetes/plugin/pkg/admission/{podgroup,scheduling/podgroupprotection}`; KEP-4671.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::meta;

use super::storage_object_in_use_protection::protect;
use super::{Attributes, Operation, Plugin, Verdict, pass};

/// What holds a group.
const FINALIZER: &str = "scheduling.k8s.io/podgroup-protection";
const WORKLOADS: &str = "workloads.scheduling.k8s.io";

pub(super) struct PodGroupProtection;

impl Plugin for PodGroupProtection {
    fn name(&self) -> &'static str {
        "PodGroupProtection"
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        if attributes.operation == Operation::Create && attributes.is("scheduling.k8s.io", "podgroups") {
            protect(object, FINALIZER);
        }
        pass()
    }
}

pub(super) struct PodGroupWorkloadExists;

impl Plugin for PodGroupWorkloadExists {
    fn name(&self) -> &'static str {
        "PodGroupWorkloadExists"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        if attributes.operation != Operation::Create || !attributes.is("scheduling.k8s.io", "podgroups") {
            return pass();
        }
        async move {
            let group = object.unwrap_or(&Value::Null);
            let reference = meta::at(group, &["spec", "podGroupTemplateRef", "workload"]);
            let Some(reference) = reference else { return Ok(()) };
            let (name, template) =
                (meta::text(reference, &["workloadName"]), meta::text(reference, &["podGroupTemplateName"]));
            let refuse = |why: String| attributes.forbidden(group, format!("PodGroup rejected: {why}"));
            let workload = attributes.server.read(WORKLOADS, attributes.namespace, name).await?;
            let workload = workload.ok_or_else(|| refuse(format!("Workload {name:?} not found")))?;
            let templates = meta::items(&workload, &["spec", "podGroupTemplates"]);
            if templates.iter().any(|it| meta::text(it, &["name"]) == template) {
                return Ok(());
            }
            Err(refuse(format!("PodGroupTemplate {template:?} not found in Workload {name:?}")))
        }
        .boxed()
        .right_future()
    }
}
