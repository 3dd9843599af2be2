//! `ValidatingAdmissionPolicy`.
//! Source: `k8s.io/apiserver/pkg/admission/plugin/policy/validating`, whose texts these are.

use std::collections::BTreeMap;

use futures::future::FutureExt;
use serde_json::Value;
use steersman_cel::{Budget, Value as CelValue, Variables};
use steersman_machinery::status::{Status, StatusCause};

use super::bound::{Bound, Misconfigured, Policies};
use super::definition::{Policy, Validation};
use super::evaluation::{self, Failure};
use crate::admission::expressions::Input;
use crate::admission::webhook::call;
use crate::admission::{Attributes, Plugin, Verdict};

/// The longest message that an expression may make.
const MAX_MESSAGE_BYTES: usize = 5 * 1024;
/// The longest value of an annotation.
const MAX_ANNOTATION_BYTES: usize = 10 * 1024;
/// What violations are noted under.
const FAILURES: &str = "validation.policy.admission.k8s.io/validation_failure";

pub(in crate::admission) struct ValidatingAdmissionPolicy(Policies);

impl Default for ValidatingAdmissionPolicy {
    fn default() -> Self {
        Self(Policies::new(
            "validatingadmissionpolicies.admissionregistration.k8s.io",
            "validatingadmissionpolicybindings.admissionregistration.k8s.io",
        ))
    }
}

impl Plugin for ValidatingAdmissionPolicy {
    fn name(&self) -> &'static str {
        "ValidatingAdmissionPolicy"
    }

    fn validate<'a>(&'a self, attributes: &'a Attributes<'a>, object: Option<&'a Value>) -> Verdict<'a> {
        async move {
            let concerned = self.0.concerned(attributes, object).await?;
            let mut outcome = Outcome::default();
            for bound in concerned {
                match bound {
                    Ok(bound) => ask(attributes, object, &bound, &mut outcome).boxed().await?,
                    Err(misconfigured) => outcome.misconfigured(&misconfigured),
                }
            }
            outcome.finish(attributes)
        }
        .boxed()
        .right_future()
    }
}

/// A violation that refuses the request.
struct Denial {
    message: String,
    reason: String,
}

/// What all policies said.
#[derive(Default)]
struct Outcome {
    denials: Vec<Denial>,
    /// The first violation that is noted: there is room for one.
    noted: Option<String>,
    annotations: BTreeMap<String, Vec<String>>,
}

/// A text in JSON as Go writes it: without what could be taken for HTML.
fn go_json(text: &str) -> String {
    let text = Value::from(text).to_string();
    text.replace('<', "\\u003c").replace('>', "\\u003e").replace('&', "\\u0026")
}

/// What one validation came to.
struct Violation {
    message: String,
    reason: String,
    /// Its place among the validations of its policy.
    index: usize,
}

fn denied(policy: &str, binding: Option<&str>, message: &str) -> String {
    match binding {
        Some(binding) => {
            format!("ValidatingAdmissionPolicy '{policy}' with binding '{binding}' denied request: {message}")
        }
        None => format!("ValidatingAdmissionPolicy '{policy}' denied request: {message}"),
    }
}

impl Outcome {
    fn misconfigured(&mut self, it: &Misconfigured) {
        if it.policy.fails {
            let binding = it.binding.as_ref().map(|binding| binding.name.as_str());
            self.denials.push(Denial { message: denied(&it.policy.name, binding, &it.why), reason: String::new() });
        }
    }

    /// Does what the binding wants done about a violation.
    fn violated(&mut self, attributes: &Attributes<'_>, bound: &Bound, violation: &Violation) {
        let (policy, binding) = (&bound.policy.name, &bound.binding.name);
        for action in &bound.binding.actions {
            match action.as_str() {
                "Deny" => self.denials.push(Denial {
                    message: denied(policy, Some(binding), &violation.message),
                    reason: violation.reason.clone(),
                }),
                "Warn" => attributes.origin.warnings.extend([format!(
                    "Validation failed for ValidatingAdmissionPolicy '{policy}' with binding '{binding}': {}",
                    violation.message
                )]),
                _ => {
                    let text = |text: &str| go_json(text);
                    let (message, policy, binding) = (text(&violation.message), text(policy), text(binding));
                    let (index, actions) = (violation.index, Value::from(bound.binding.actions.clone()));
                    self.noted.get_or_insert_with(|| {
                        format!(
                            r#"[{{"message":{message},"policy":{policy},"binding":{binding},"expressionIndex":{index},"validationActions":{actions}}}]"#
                        )
                    });
                }
            }
        }
    }

    /// Refuses the request for the first violation that does.
    fn finish(self, attributes: &Attributes<'_>) -> Result<(), Status> {
        let annotations = &attributes.origin.annotations;
        if let Some(noted) = self.noted {
            annotations.add(FAILURES, noted);
        }
        for (key, values) in self.annotations {
            annotations.add(key, values.join(", "));
        }
        let Some(denial) = self.denials.into_iter().next() else { return Ok(()) };
        let mut status = attributes.forbidden(&Value::Null, &denial.message);
        let reason = if denial.reason.is_empty() { "Invalid" } else { &denial.reason };
        status.reason = reason.to_owned();
        status.code = match reason {
            "Forbidden" => 403,
            "Unauthorized" => 401,
            "RequestEntityTooLarge" => 413,
            _ => 422,
        };
        let cause = StatusCause { message: denial.message, ..StatusCause::default() };
        status.details.get_or_insert_default().causes.push(cause);
        Err(status)
    }
}

/// Asks one policy, once for each object of parameters.
async fn ask(
    attributes: &Attributes<'_>,
    object: Option<&Value>,
    bound: &Bound,
    outcome: &mut Outcome,
) -> Result<(), Status> {
    let object = object.and_then(|object| call::subject(attributes, object));
    let object = call::shown(attributes, &bound.matched, object).await?;
    let old = call::shown(attributes, &bound.matched, attributes.old).await?;
    let asks = bound.policy.asks_the_authorizer;
    let input = Input::new(attributes, &bound.matched, (object, old), asks).await?;
    for params in &bound.params {
        let found = validate(&bound.policy, &input, params.as_ref());
        for violation in &found.violations {
            outcome.violated(attributes, bound, violation);
        }
        for (key, value) in found.annotations {
            note(&mut outcome.annotations, key, value);
        }
        for error in found.errors {
            // Whatever the binding does about violations.
            let message = denied(&bound.policy.name, Some(&bound.binding.name), &error);
            outcome.denials.push(Denial { message, reason: String::new() });
        }
    }
    Ok(())
}

/// What a policy finds.
#[derive(Default)]
struct Findings {
    violations: Vec<Violation>,
    annotations: Vec<(String, String)>,
    /// Annotations that could not be made.
    errors: Vec<String>,
}

/// The findings of a policy.
fn validate(policy: &Policy, input: &Input, params: Option<&Value>) -> Findings {
    let mut findings = Findings::default();
    // An error refuses the request or does not, as the policy says.
    let failed = |message: String, index: usize| {
        let violation = Violation { message, reason: String::new(), index };
        if policy.fails { vec![violation] } else { Vec::new() }
    };
    match policy.conditions.hold(input, params) {
        Ok(true) => {}
        Ok(false) => return findings,
        Err(error) => return Findings { violations: failed(error, 0), ..findings },
    }
    let variables = evaluation::variables(policy, input, params);
    let mut budget = Budget::per_object();
    for (index, validation) in policy.validations.iter().enumerate() {
        match evaluation::evaluate(&validation.expression, &variables, &mut budget) {
            Ok(CelValue::Bool(true)) => {}
            Ok(_) => match message(validation, &variables, &mut budget) {
                Ok(message) => {
                    findings.violations.push(Violation { message, reason: validation.reason.clone(), index });
                }
                Err(error) => findings.violations.extend(failed(format!("failed messageExpression: {error}"), index)),
            },
            Err(Failure::Budget(error)) => return Findings { violations: failed(error, index), ..findings },
            Err(Failure::Expression(error)) => findings.violations.extend(failed(error, index)),
        }
    }
    let mut budget = Budget::per_object();
    for (key, expression) in &policy.annotations {
        let value = evaluation::evaluate(expression, &variables, &mut budget);
        match annotation(&expression.source, value) {
            Ok(Some(value)) => findings.annotations.push((format!("{}/{key}", policy.name), value)),
            Ok(None) => {}
            Err(Failure::Budget(error)) => return Findings { violations: failed(error, 0), ..Findings::default() },
            Err(Failure::Expression(error)) => findings.errors.extend(policy.fails.then_some(error)),
        }
    }
    findings
}

/// The message of a violation: made by an expression, given, or the expression itself.
fn message(validation: &Validation, variables: &Variables<'_>, budget: &mut Budget) -> Result<String, String> {
    let made = match &validation.message_expression {
        None => None,
        Some(expression) => match evaluation::evaluate(expression, variables, budget) {
            Err(Failure::Budget(error)) => return Err(error),
            other => other.ok().and_then(|value| value.as_str().map(|message| message.trim().to_owned())),
        },
    };
    let usable =
        |message: &String| !message.is_empty() && message.len() <= MAX_MESSAGE_BYTES && !message.contains('\n');
    Ok(made.filter(usable).unwrap_or_else(|| match validation.message.as_str() {
        "" => format!("failed expression: {}", validation.expression.source.trim()),
        message => message.to_owned(),
    }))
}

/// What is noted, if anything.
fn annotation(source: &str, value: Result<CelValue<'_>, Failure>) -> Result<Option<String>, Failure> {
    match value? {
        CelValue::Text(text) => Ok(Some(text.as_str().trim().to_owned()).filter(|text| !text.is_empty())),
        CelValue::Null => Ok(None),
        other => Err(Failure::Expression(format!(
            "valueExpression '{source}' resulted in unsupported return type: {}. Return type must be either string or null.",
            other.type_of()
        ))),
    }
}

/// Each value once.
fn note(annotations: &mut BTreeMap<String, Vec<String>>, key: String, mut value: String) {
    while value.len() > MAX_ANNOTATION_BYTES {
        value.pop();
    }
    let values = annotations.entry(key).or_default();
    if !values.contains(&value) {
        values.push(value);
    }
}
