//! `ValidatingAdmissionPolicy` and `MutatingAdmissionPolicy`: expressions in CEL that refuse or change writes.
//! Source: Kubernetes docs "Validating Admission Policy" and "Mutating Admission Policy";
//! `k8s.io/apiserver/pkg/admission/plugin/policy`.

mod bound;
mod definition;
mod evaluation;
mod mutating;
mod params;
mod patcher;
pub(crate) mod type_checking;
mod validating;

pub(super) use mutating::MutatingAdmissionPolicy;
pub(super) use validating::ValidatingAdmissionPolicy;
