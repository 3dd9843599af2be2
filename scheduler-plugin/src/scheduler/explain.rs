//! Telling decisions to whoever wants to know.

use std::sync::Arc;

use super::Scheduler;
use crate::cycle::{Decision, Summary};
use crate::explanations::{ANNOTATION, LIMITS};
use crate::pod::Pod;
use crate::profile::Profile;
use crate::writer::annotation;

impl Scheduler {
    /// The explanation of a decision, if anybody wants it. The cluster must be as it was for the decision.
    pub(super) fn explain(&self, pod: &Pod, profile: &Profile, decision: &Decision) -> Option<Summary> {
        self.explanations.as_ref()?;
        let explanation = decision.explain(pod, self.cache.snapshot(), profile);
        Some(Summary::new(pod, &explanation, (profile, decision.message()), LIMITS))
    }

    /// Remembers it, and writes it on the pod, before the pod is bound.
    pub(super) fn tell(&mut self, pod: &Arc<Pod>, summary: Option<Summary>) {
        let (Some(explanations), Some(summary)) = (&self.explanations, summary) else { return };
        let text = explanations.annotates().then(|| serde_json::to_string(&summary).unwrap_or_default());
        if explanations.tell(summary)
            && let Some(text) = text
            && let Some(write) = annotation(pod, ANNOTATION, &text)
        {
            self.write_condition(pod, write);
        }
    }
}
