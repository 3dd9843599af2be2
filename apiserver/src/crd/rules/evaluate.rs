//! Rules over an object.

use std::sync::Arc;

use serde_json::Value;
use steersman_cel::{Budget, EvaluationError, Variables};
use steersman_machinery::field::{ErrorList, FieldError, Path, show};

use super::{Reason, Rule, Rules};

/// The longest message that an expression may make.
const MESSAGE_MAX: usize = 5 << 10;
const OUT_OF_BUDGET: &str =
    "validation failed due to running out of cost budget, no further validation rules will be run";

/// What rules find.
#[derive(Debug, Default)]
pub struct Outcome {
    /// What is wrong.
    pub errors: ErrorList,
    /// What is wrong and was before, in a part of the object that did not change: it is told, not held against the update.
    pub warnings: Vec<String>,
}

/// Evaluates the rules about an object and, of an update, about its change from `old`.
pub fn evaluate(rules: &Rules, object: &Value, old: Option<&Value>) -> Outcome {
    let mut run = Run { budget: Budget::per_object(), outcome: Outcome::default(), stopped: false };
    let place = Place { value: object, old, nearest: old.map(|old| (object, Some(old))), known: old.is_some() };
    run.node(rules, place, &Path::default());
    run.outcome
}

/// A value in the object and what it was.
#[derive(Clone, Copy)]
struct Place<'a> {
    value: &'a Value,
    old: Option<&'a Value>,
    /// The nearest value on the way from the root of which it is known what it was, with that; `None` on create.
    nearest: Option<(&'a Value, Option<&'a Value>)>,
    /// Whether the nearest is the value itself.
    known: bool,
}

impl<'a> Place<'a> {
    /// A part of the value; `known` says whether it could have an old value.
    fn below(self, value: &'a Value, old: Option<&'a Value>, known: bool) -> Self {
        let known = self.known && known;
        let nearest = if known { Some((value, old)) } else { self.nearest };
        Self { value, old: old.filter(|old| !old.is_null()), nearest, known }
    }

    /// Whether what is wrong with the value was wrong before.
    fn is_unchanged(self) -> bool {
        self.nearest.is_some_and(|(value, old)| old == Some(value))
    }
}

struct Run {
    budget: Budget,
    outcome: Outcome,
    stopped: bool,
}

impl Run {
    fn node(&mut self, rules: &Rules, place: Place<'_>, path: &Path) {
        if place.value.is_null() || self.stopped {
            return;
        }
        self.own(rules, place, path);
        match place.value {
            Value::Object(fields) => {
                let old = place.old.and_then(Value::as_object);
                for (name, value) in fields {
                    let below = place.below(value, old.and_then(|old| old.get(name)), old.is_some());
                    if let Some(rules) = rules.properties.get(name) {
                        self.node(rules, below, &path.child(name));
                    } else if let Some(rules) = rules.additional.as_deref() {
                        self.node(rules, below, &path.key(name));
                    }
                }
            }
            Value::Array(items) => {
                let Some(of_items) = rules.items.as_deref() else {
                    return;
                };
                let old = place.old.and_then(Value::as_array);
                for (index, item) in items.iter().enumerate() {
                    let was = rules.keys.as_ref().and_then(|keys| find(old?, item, keys));
                    let below = place.below(item, was, rules.keys.is_some() && old.is_some());
                    self.node(of_items, below, &path.index(index));
                }
            }
            _ => {}
        }
    }

    fn own(&mut self, rules: &Rules, place: Place<'_>, path: &Path) {
        if rules.rules.is_empty() {
            return;
        }
        if self.budget.left() == 0 {
            return self.stop(FieldError::invalid_shown(path, "", OUT_OF_BUDGET));
        }
        for rule in &rules.rules {
            if !self.stopped {
                self.rule(rules, rule, place, path);
            }
        }
    }

    fn rule(&mut self, rules: &Rules, rule: &Rule, place: Place<'_>, path: &Path) {
        let program = match &rule.program {
            None => return,
            Some(Err(why)) => {
                let detail = format!("rule compile error: {why}");
                return self.outcome.errors.push(FieldError::invalid_shown(path, "", detail));
            }
            Some(Ok(program)) => program,
        };
        if rule.is_transition && !rule.optional_old && place.old.is_none() {
            return;
        }
        let view = |value| steersman_cel::Value::from_json(value, rules.ty.as_ref());
        let mut variables = Variables::new().with("self", view(place.value));
        match place.old {
            _ if rule.optional_old => {
                let old = place.old.map(|old| Arc::new(view(old)));
                variables.set("oldSelf", steersman_cel::Value::Optional(old));
            }
            Some(old) => variables.set("oldSelf", view(old)),
            None => {}
        }
        match program.evaluate(&variables, &mut self.budget) {
            Ok(result) if result.as_bool() == Some(true) => {}
            Ok(_) => self.failed(rule, &variables, place, path),
            Err(error) => self.error(rules, rule, &error, path),
        }
    }

    /// A rule that could not be evaluated.
    fn error(&mut self, rules: &Rules, rule: &Rule, error: &EvaluationError, path: &Path) {
        let text = error.to_string();
        let about = &rule.name;
        let detail = match error {
            EvaluationError::BudgetExceeded => return self.stop(FieldError::invalid_shown(path, "", OUT_OF_BUDGET)),
            EvaluationError::CallLimitExceeded => {
                self.stopped = true;
                format!(
                    "'{text}': no further validation rules will be run due to call cost exceeds limit for rule: {about}"
                )
            }
            _ if text.starts_with("no such overload") => format!(
                "'{text}': call arguments did not match a supported operator, function or macro signature for rule: {about}"
            ),
            _ => format!("{text} evaluating rule: {about}"),
        };
        self.outcome.errors.push(FieldError::invalid_str(path, &rules.type_name, detail));
    }

    /// A rule that does not hold.
    fn failed(&mut self, rule: &Rule, variables: &Variables<'_>, place: Place<'_>, path: &Path) {
        let at = match rule.field_path.as_str() {
            "" => path.clone(),
            below => path.child(below),
        };
        let detail = match rule.message_expression.as_ref().map(|it| it.evaluate(variables, &mut self.budget)) {
            Some(Ok(message)) => message.as_str().and_then(usable).unwrap_or_else(|| rule.message.clone()),
            Some(Err(EvaluationError::BudgetExceeded)) => {
                let detail = "messageExpression evaluation failed due to running out of cost budget";
                return self.stop(FieldError::invalid_shown(&at, "", detail));
            }
            Some(Err(EvaluationError::CallLimitExceeded)) => {
                let detail =
                    "no further validation rules will be run due to call cost exceeds limit for messageExpression";
                return self.stop(FieldError::invalid_shown(&at, "", detail));
            }
            Some(Err(_)) | None => rule.message.clone(),
        };
        let shown = match place.value {
            Value::Object(_) | Value::Array(_) => String::new(),
            scalar => show(scalar),
        };
        let error = match rule.reason {
            Reason::Invalid => FieldError::invalid_shown(&at, shown, detail),
            Reason::Forbidden => FieldError::forbidden(&at, detail),
            Reason::Required => FieldError::required(&at, detail),
            Reason::Duplicate => FieldError { value: shown, ..FieldError::duplicate(&at, &Value::Null) },
        };
        if !rule.is_transition && place.is_unchanged() {
            self.outcome.warnings.push(error.to_string());
        } else {
            self.outcome.errors.push(error);
        }
    }

    fn stop(&mut self, error: FieldError) {
        self.outcome.errors.push(error);
        self.stopped = true;
    }
}

/// A message as it may be shown: one line that is not too long.
fn usable(message: &str) -> Option<String> {
    let message = message.trim();
    let fits = !message.is_empty() && message.len() <= MESSAGE_MAX && !message.contains(['\n', '\r']);
    fits.then(|| message.to_owned())
}

/// The item with the same keys.
fn find<'a>(old: &'a [Value], item: &Value, keys: &[String]) -> Option<&'a Value> {
    old.iter().find(|old| keys.iter().all(|key| old.get(key) == item.get(key)))
}
