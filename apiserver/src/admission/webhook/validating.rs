//! `ValidatingAdmissionWebhook`: all webhooks are asked at the same time, and the first refusal counts.

use futures::future::{FutureExt, join_all};
use serde_json::Value;
use steersman_machinery::status::Status;

use super::call::{self, Refusal};
use super::configuration::{self, Webhook};
use super::review::Objects;
use crate::admission::cached::Cached;
use crate::admission::matching::{self, Matched};
use crate::admission::{Attributes, Plugin, Verdict};

pub(in crate::admission) struct ValidatingAdmissionWebhook(Cached<Vec<Webhook>>);

impl Default for ValidatingAdmissionWebhook {
    fn default() -> Self {
        Self(Cached::new("validatingwebhookconfigurations.admissionregistration.k8s.io", configuration::read))
    }
}

impl Plugin for ValidatingAdmissionWebhook {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionWebhook"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let configurations = self.0.get(attributes.server).await?;
            if configurations.is_empty() || matching::is_exempt(attributes) {
                return Ok(());
            }
            let mut concerned = Vec::new();
            for (index, webhook) in configurations.iter().flat_map(|webhooks| webhooks.iter()).enumerate() {
                if let Some(matched) = call::concerns(webhook, attributes, object).boxed().await? {
                    let new = call::shown(attributes, &matched, object).boxed().await?;
                    let old = call::shown(attributes, &matched, attributes.old).boxed().await?;
                    concerned.push(Concerned { index, webhook, matched, new, old });
                }
            }
            let verdicts = join_all(concerned.iter().map(|it| it.ask(attributes))).await;
            verdicts.into_iter().collect()
        }
        .boxed()
        .right_future()
    }
}

/// A webhook that is asked, with what it is shown.
struct Concerned<'a> {
    index: usize,
    webhook: &'a Webhook,
    matched: Matched,
    new: Option<Value>,
    old: Option<Value>,
}

impl Concerned<'_> {
    async fn ask(&self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let objects = Objects { new: self.new.as_ref(), old: self.old.as_ref() };
        let answer = call::ask(self.webhook, false, (attributes, &self.matched), objects).await;
        match answer {
            Ok(_) => Ok(()),
            Err(Refusal::Refused(status)) => Err(status),
            Err(Refusal::Failed(why)) if self.webhook.ignores_failures => {
                tracing::warn!(webhook = self.webhook.name, why, "a webhook could not be called, and is ignored");
                let key = format!("failed-open.validating.webhook.admission.k8s.io/round_0_index_{}", self.index);
                attributes.origin.annotations.add(key, self.webhook.name.as_str());
                Ok(())
            }
            Err(Refusal::Failed(why)) => Err(call::failed(self.webhook, &why)),
        }
    }
}
