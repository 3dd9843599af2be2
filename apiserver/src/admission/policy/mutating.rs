//! `MutatingAdmissionPolicy`: policies change the object one after the other, each what those before it left.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/mutating`, whose texts these are.

use futures::future::FutureExt;
use serde_json::Value;
use steersman_cel::Budget;
use steersman_machinery::status::{Status, StatusCause};
use steersman_machinery::{meta, schema::builtin};

use super::bound::{Bound, Policies};
use super::{evaluation, patcher};
use crate::admission::expressions::Input;
use crate::admission::webhook::{call, mutating};
use crate::admission::{Attributes, Plugin, Verdict};
use crate::conversion;

/// The name, under which rounds are remembered too.
const NAME: &str = "MutatingAdmissionPolicy";

pub(in crate::admission) struct MutatingAdmissionPolicy(Policies);

impl Default for MutatingAdmissionPolicy {
    fn default() -> Self {
        Self(Policies::new(
            "mutatingadmissionpolicies.admissionregistration.k8s.io",
            "mutatingadmissionpolicybindings.admissionregistration.k8s.io",
        ))
    }
}

impl Plugin for MutatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        NAME
    }

    fn admit<'a>(&'a self, attributes: &'a Attributes<'a>, object: &'a mut Value) -> Verdict<'a> {
        async move {
            let concerned = self.0.concerned(attributes, call::subject(attributes, object)).await?;
            if concerned.is_empty() {
                return Ok(());
            }
            let rounds = &attributes.origin.rounds;
            rounds.begin(NAME, object);
            let (mut misconfigured, mut errors) = (Vec::new(), Vec::new());
            for bound in concerned {
                match bound {
                    Ok(bound) => errors.extend(Turn { attributes, bound: &bound }.run(object).boxed().await?),
                    Err(it) if it.policy.fails => {
                        let binding = it.binding.as_ref().map(|binding| binding.name.as_str());
                        misconfigured.push(denied(&it.policy.name, binding, &it.why));
                    }
                    Err(_) => {}
                }
            }
            rounds.end(NAME, object);
            refuse(attributes, object, misconfigured, errors)
        }
        .boxed()
        .right_future()
    }
}

fn denied(policy: &str, binding: Option<&str>, why: &str) -> String {
    match binding {
        Some(binding) => format!("policy '{policy}' with binding '{binding}' denied request: {why}"),
        None => format!("policy {policy:?} denied request: {why}"),
    }
}

/// The first error is the message; all are causes. What is wrong with policies themselves comes first.
fn refuse(
    attributes: &Attributes<'_>,
    object: &Value,
    misconfigured: Vec<String>,
    errors: Vec<String>,
) -> Result<(), Status> {
    let Some(first) = misconfigured.first().or(errors.first()).cloned() else { return Ok(()) };
    let mut status = attributes.forbidden(object, "admission request denied by policy");
    status.message = first;
    if misconfigured.is_empty() {
        "Invalid".clone_into(&mut status.reason);
    }
    let causes =
        misconfigured.into_iter().chain(errors).map(|message| StatusCause { message, ..StatusCause::default() });
    status.details.get_or_insert_default().causes.extend(causes);
    Err(status)
}

/// One policy's turn by way of one binding.
struct Turn<'a> {
    attributes: &'a Attributes<'a>,
    bound: &'a Bound,
}

impl Turn<'_> {
    /// The errors that refuse the request.
    async fn run(&self, object: &mut Value) -> Result<Vec<String>, Status> {
        let Bound { policy, binding, params, .. } = self.bound;
        let rounds = &self.attributes.origin.rounds;
        let mut errors = Vec::new();
        for params in params {
            let of =
                params.as_ref().map_or_else(String::new, |it| format!("{}/{}", meta::namespace(it), meta::name(it)));
            let id = format!("{}/{}/{of}", policy.name, binding.name);
            if !rounds.is_due(NAME, &id) {
                continue;
            }
            let mut failures = Vec::new();
            if self.change(object, params.as_ref(), &mut failures).await? {
                rounds.changed(NAME);
            }
            if policy.fails {
                errors.extend(failures.iter().map(|why| denied(&policy.name, Some(&binding.name), why)));
            }
            if policy.may_be_reinvoked {
                rounds.asked(NAME, &id);
            }
        }
        Ok(errors)
    }

    /// Whether the policy changed the object. Changes that fail do not keep it from those after them.
    async fn change(
        &self,
        object: &mut Value,
        params: Option<&Value>,
        failures: &mut Vec<String>,
    ) -> Result<bool, Status> {
        let Bound { policy, matched, .. } = self.bound;
        let attributes = self.attributes;
        let new = call::shown(attributes, matched, call::subject(attributes, object)).await?;
        let old = call::shown(attributes, matched, attributes.old).await?;
        let Some(before) = new.clone() else { return Ok(false) };
        let mut input = Input::new(attributes, matched, (new, old), policy.asks_the_authorizer).await?;
        match policy.conditions.hold(&input, params) {
            Ok(true) => {}
            Ok(false) => return Ok(false),
            Err(error) => {
                failures.push(error);
                return Ok(false);
            }
        }
        for mutation in &policy.mutations {
            let mut budget = Budget::per_object();
            let changed = {
                let variables = evaluation::variables(policy, &input, params);
                self.patched(mutation, &input, (&variables, &mut budget))
            };
            let typed = changed.and_then(|changed| self.typed(changed));
            match typed {
                Ok(changed) => input.set_object(changed),
                Err(why) => failures.push(why),
            }
        }
        if *input.object() == before {
            return Ok(false);
        }
        *object = self.original(input.into_object()).await?;
        Ok(true)
    }

    fn patched(
        &self,
        mutation: &super::definition::Mutation,
        input: &Input,
        evaluated: (&steersman_cel::Variables<'_>, &mut Budget),
    ) -> Result<Value, String> {
        let resource = self.bound.matched.other.as_deref().unwrap_or(self.attributes.resource);
        let kind = &self.bound.matched.kind;
        let ty = match *kind == resource.gvk() {
            true => resource.object_type.root(),
            false => builtin::type_ref(kind).ok_or_else(|| format!("no type for {kind:?}"))?,
        };
        patcher::patch(mutation, input.object(), ty, evaluated)
    }

    /// The changed object in the form of its kind, with its defaults.
    fn typed(&self, object: Value) -> Result<Value, String> {
        let resource = self.bound.matched.other.as_deref().unwrap_or(self.attributes.resource);
        mutating::typed(resource, &self.bound.matched.kind, object).map_err(|error| error.to_string())
    }

    /// The object in the version of the request again.
    async fn original(&self, object: Value) -> Result<Value, Status> {
        match self.bound.matched.other.as_deref() {
            Some(other) if meta::gvk(&object) == other.gvk() => {
                let converted =
                    conversion::convert(self.attributes.server, other, self.attributes.resource, object).await;
                converted.map_err(Status::internal)
            }
            _ => Ok(object),
        }
    }
}
