//! Which policies are to be asked about a request, by way of which bindings and with which parameters.

use std::sync::Arc;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_machinery::status::Status;

use super::definition::{Binding, Policy};
use super::params;
use crate::admission::cached::Cached;
use crate::admission::matching::{self, Matched};
use crate::admission::{Attributes, matching::Criteria};

/// All policies and bindings of one sort.
pub(super) struct Policies {
    policies: Cached<Policy>,
    bindings: Cached<Binding>,
}

/// A policy that is to be asked.
pub(super) struct Bound {
    pub(super) policy: Arc<Policy>,
    pub(super) binding: Arc<Binding>,
    pub(super) matched: Matched,
    pub(super) params: Vec<Option<Value>>,
}

/// A policy that applies, but not as it is configured.
pub(super) struct Misconfigured {
    pub(super) policy: Arc<Policy>,
    pub(super) binding: Option<Arc<Binding>>,
    pub(super) why: String,
}

impl Policies {
    pub(super) fn new(policies: &'static str, bindings: &'static str) -> Self {
        Self { policies: Cached::new(policies, Policy::read), bindings: Cached::new(bindings, Binding::read) }
    }

    /// What is to be asked about a request, and what can't be. `object` is what the request leaves.
    pub(super) async fn concerned(
        &self,
        attributes: &Attributes<'_>,
        object: Option<&Value>,
    ) -> Result<Vec<Result<Bound, Misconfigured>>, Status> {
        let bindings = self.bindings.get(attributes.server).await?;
        if bindings.is_empty() || is_exempt(attributes) {
            return Ok(Vec::new());
        }
        let policies = self.policies.get(attributes.server).await?;
        let mut concerned = Vec::new();
        for policy in policies.iter().cloned() {
            let bindings = bindings_of(&bindings, &policy.name);
            if !bindings.is_empty() {
                concerned_by((attributes, object), (policy, bindings), &mut concerned).boxed().await;
            }
        }
        Ok(concerned)
    }
}

fn bindings_of(bindings: &[Arc<Binding>], policy: &str) -> Vec<Arc<Binding>> {
    bindings.iter().filter(|binding| binding.policy == policy).cloned().collect()
}

/// Adds what one policy has to do with a request.
async fn concerned_by(
    (attributes, object): (&Attributes<'_>, Option<&Value>),
    (policy, bindings): (Arc<Policy>, Vec<Arc<Binding>>),
    concerned: &mut Vec<Result<Bound, Misconfigured>>,
) {
    let matched = match policy.criteria.matches(attributes, object).await {
        Ok(Some(matched)) => Ok(matched),
        Ok(None) => return,
        Err(status) => Err(status.message),
    };
    let found = matched.and_then(|matched| Ok((matched, params::resource(attributes.server, &policy)?)));
    let (matched, resource) = match found {
        Ok(found) => found,
        Err(why) => {
            let why = format!("failed to configure policy: {why}");
            concerned.push(Err(Misconfigured { policy, binding: None, why }));
            return;
        }
    };
    for binding in bindings {
        let params = match applies(binding.criteria.as_ref(), attributes, object).await {
            Ok(false) => continue,
            Ok(true) => params::collect(resource.as_deref(), &binding, attributes).await,
            Err(why) => Err(why),
        };
        let policy = policy.clone();
        concerned.push(match params {
            Ok(params) => Ok(Bound { policy, binding, matched: matched.clone(), params }),
            Err(why) => {
                let why = format!("failed to configure binding: {why}");
                Err(Misconfigured { policy, binding: Some(binding), why })
            }
        });
    }
}

/// Policies are not asked about themselves, nor about questions to the server.
fn is_exempt(attributes: &Attributes<'_>) -> bool {
    let group = attributes.resource.group.as_str();
    matching::is_exempt(attributes) || matches!(group, "authentication.k8s.io" | "authorization.k8s.io")
}

async fn applies(
    criteria: Option<&Criteria>,
    attributes: &Attributes<'_>,
    object: Option<&Value>,
) -> Result<bool, String> {
    match criteria {
        None => Ok(true),
        Some(criteria) => {
            let matched = criteria.matches(attributes, object).await;
            matched.map(|matched| matched.is_some()).map_err(|status| status.message)
        }
    }
}
