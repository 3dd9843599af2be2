//! `MutatingAdmissionWebhook` and `ValidatingAdmissionWebhook`: services outside of the server that change or refuse
//! writes.
//! Source: Kubernetes doc "Dynamic Admission Control"; `k8s.io/apiserver/pkg/admission/plugin/webhook`.

pub(super) mod call;
mod configuration;
pub(super) mod mutating;
pub(super) mod review;
mod validating;

pub(super) use mutating::MutatingAdmissionWebhook;
pub(super) use validating::ValidatingAdmissionWebhook;
