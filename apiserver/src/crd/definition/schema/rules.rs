//! What `x-kubernetes-validations` may say, and what it may cost.
//! Source: `k8s.io/apiextensions-apiserver/pkg/apis/apiextensions/validation` (`validation.go`, `cel_validation.go`).

use serde_json::{Value, json};
use steersman_cel::DeclaredType;
use steersman_machinery::field::{ErrorList, FieldError, Path};
use steersman_machinery::meta;

use super::open_api::{self, Context};
use super::{Step, flag, lists};
use crate::crd::rules::{self, Compiled};

/// The most that one expression may cost by its estimate.
const PER_EXPRESSION: u64 = 10_000_000;
/// The most that all expressions of a schema may cost.
const PER_SCHEMA: u64 = 100_000_000;
/// How many expressions are named when a schema costs too much.
const MOST_EXPENSIVE: usize = 4;
/// The largest request.
const MAX_REQUEST_BYTES: u64 = 3 << 20;

const REASONS: [&str; 4] = ["FieldValueDuplicate", "FieldValueForbidden", "FieldValueInvalid", "FieldValueRequired"];

/// The fields that each object has.
const META_FIELDS: [&str; 3] = ["metadata", "kind", "apiVersion"];

/// Checks all nodes of a schema and their rules. These are compiled only if it is structural.
pub(super) fn check(schema: &Value, is_structural: bool, path: &Path, errors: &mut ErrorList) {
    let mut walk = Walk { forms: Vec::new(), expressions: Vec::new(), costs: Costs::default() };
    let root = Scope {
        is_root: true,
        compiles: is_structural,
        path: path.clone(),
        cardinality: Some(1),
        uncorrelatable: None,
        context: Context::default(),
    };
    walk.node(schema, &root);
    errors.append(&mut walk.forms);
    errors.append(&mut walk.expressions);
    walk.costs.check(path, errors);
}

struct Walk {
    /// What is wrong with the schema, and with the form of rules.
    forms: ErrorList,
    /// What is wrong with expressions.
    expressions: ErrorList,
    costs: Costs,
}

/// Where in the schema a node stands.
#[derive(Clone)]
struct Scope {
    is_root: bool,
    /// Whether the rules are compiled: not in junctors, where they are refused.
    compiles: bool,
    path: Path,
    /// How often a value of the node can stand in an object; `None` if some list or map around it has no limit.
    cardinality: Option<u64>,
    /// The outermost schema around whose items are not known again.
    uncorrelatable: Option<Path>,
    context: Context,
}

impl Scope {
    /// The place of a schema in `schema`, which is at this one.
    fn below(&self, schema: &Value, step: Step<'_>) -> Self {
        let limit = |name: &str| schema.get(name).and_then(Value::as_u64);
        let factor = match step {
            Step::Field("items") => limit("maxItems"),
            Step::Field("additionalProperties") => limit("maxProperties"),
            _ => Some(1),
        };
        let is_atomic = match step {
            Step::Field("items") => meta::text(schema, &["x-kubernetes-list-type"]) != "map",
            Step::Key(..) => meta::text(schema, &["x-kubernetes-map-type"]) == "atomic",
            _ => false,
        };
        let mut context = self.context.clone();
        match step {
            Step::Field("additionalProperties") if context.in_metadata => {
                context.no_default = Some("inside additionalProperties applying to object metadata".to_owned());
            }
            Step::Key(_, name)
                if META_FIELDS.contains(&name) && (self.is_root || flag(schema, "x-kubernetes-embedded-resource")) =>
            {
                context.in_metadata = true;
                if self.is_root {
                    context.no_default = Some(format!("in top-level {name}"));
                }
            }
            _ => {}
        }
        Self {
            is_root: false,
            compiles: self.compiles && !step.is_junctor(),
            path: step.on(&self.path),
            cardinality: self.cardinality.zip(factor).map(|(of, factor)| of.saturating_mul(factor)),
            uncorrelatable: self.uncorrelatable.clone().or(is_atomic.then(|| self.path.clone())),
            context,
        }
    }
}

/// The schemas in a schema in the order in which upstream goes through them.
fn in_order(schema: &Value) -> Vec<(Step<'_>, &Value)> {
    const ORDER: [&str; 7] = ["additionalProperties", "properties", "not", "allOf", "oneOf", "anyOf", "items"];
    let mut children = super::children(schema);
    children.sort_by_key(|(step, _)| {
        let (Step::Field(name) | Step::Key(name, _) | Step::Index(name, _)) = step;
        ORDER.iter().position(|it| it == name)
    });
    children
}

impl Walk {
    fn node(&mut self, schema: &Value, scope: &Scope) {
        let before = self.forms.len();
        open_api::before(schema, &scope.context, &scope.path, &mut self.forms);
        for (step, child) in in_order(schema) {
            self.node(child, &scope.below(schema, step));
        }
        lists::check(schema, &scope.path, &mut self.forms);
        let own = meta::items(schema, &["x-kubernetes-validations"]);
        if own.is_empty() {
            return;
        }
        let path = scope.path.child("x-kubernetes-validations");
        for (index, rule) in own.iter().enumerate() {
            check_form(rule, schema, &path.index(index), &mut self.forms);
        }
        // What is wrong with the schema, here or below, comes before what is wrong with expressions about it.
        if !scope.compiles || self.forms.len() != before {
            return;
        }
        let Some(ty) = rules::declared(schema, scope.is_root) else {
            let detail = "internal error: failed to retrieve type information for x-kubernetes-validations";
            return self.expressions.push(FieldError::internal(&path, detail));
        };
        for (index, rule) in own.iter().enumerate() {
            self.expression(rule, &ty, &path.index(index), scope);
        }
    }

    fn expression(&mut self, rule: &Value, ty: &DeclaredType, path: &Path, scope: &Scope) {
        let compiled = Compiled::new(rule, ty);
        let cost = match &compiled.rule {
            Some(Ok(program)) => {
                let often = scope.cardinality.unwrap_or_else(|| MAX_REQUEST_BYTES / (ty.min_bytes() + 1));
                program.estimate().max.saturating_mul(often)
            }
            _ => 0,
        };
        self.cost("estimated rule cost", cost, &path.child("rule"));
        if let Some(Err(why)) = &compiled.rule {
            self.expressions.push(FieldError::invalid_shown(&path.child("rule"), as_go(rule), why.as_str()));
        }
        match &compiled.message {
            Some(Err(why)) => {
                let at = path.child("messageExpression");
                self.expressions.push(FieldError::invalid_shown(&at, as_go(rule), why.as_str()));
            }
            Some(Ok(program)) => {
                let at = path.child("messageExpression");
                self.cost("estimated messageExpression cost", program.estimate().max, &at);
            }
            None => {}
        }
        let optional = rule.get("optionalOldSelf").filter(|value| !value.is_null());
        match (&scope.uncorrelatable, optional) {
            (Some(within), _) if compiled.is_transition() => {
                let detail = format!(
                    "oldSelf cannot be used on the uncorrelatable portion of the schema within {}",
                    within.as_str()
                );
                let text = meta::text(rule, &["rule"]);
                self.expressions.push(FieldError::invalid_str(&path.child("rule"), text, detail));
            }
            (_, Some(value)) if !compiled.is_transition() => {
                let detail = "may not be set if oldSelf is not used in rule";
                self.expressions.push(FieldError::invalid(&path.child("optionalOldSelf"), value, detail));
            }
            _ => {}
        }
    }

    fn cost(&mut self, what: &str, cost: u64, path: &Path) {
        if cost > PER_EXPRESSION {
            self.expressions.push(FieldError::forbidden(path, too_expensive(what, cost, PER_EXPRESSION)));
        }
        self.costs.observe(path, cost);
    }
}

/// What all expressions of a schema cost.
#[derive(Default)]
struct Costs {
    total: u64,
    /// Those that cost a hundredth of the limit or more, the most expensive first.
    greatest: Vec<(u64, Path)>,
}

impl Costs {
    fn observe(&mut self, path: &Path, cost: u64) {
        self.total = self.total.saturating_add(cost);
        if cost >= PER_SCHEMA / 100 {
            self.greatest.push((cost, path.clone()));
            self.greatest.sort_by_key(|(cost, _)| std::cmp::Reverse(*cost));
            self.greatest.truncate(MOST_EXPENSIVE);
        }
    }

    fn check(&self, path: &Path, errors: &mut ErrorList) {
        if self.total <= PER_SCHEMA {
            return;
        }
        let detail = "contributed to estimated rule cost total exceeding cost limit for entire OpenAPIv3 schema";
        errors.extend(self.greatest.iter().map(|(_, path)| FieldError::forbidden(path, detail)));
        let what = "x-kubernetes-validations estimated rule cost total for entire OpenAPIv3 schema";
        errors.push(FieldError::forbidden(path, too_expensive(what, self.total, PER_SCHEMA)));
    }
}

fn too_expensive(what: &str, cost: u64, limit: u64) -> String {
    let factor = cost as f64 / limit as f64;
    let factor = match factor {
        more if more > 100.0 => "more than 100x".to_owned(),
        little if little < 1.5 => format!("{little:.6}x"),
        factor => format!("{factor:.1}x"),
    };
    format!(
        "{what} exceeds budget by factor of {factor} (try simplifying the rule, or adding maxItems, maxProperties, and \
         maxLength where arrays, maps, and strings are declared)"
    )
}

fn check_form(rule: &Value, schema: &Value, path: &Path, errors: &mut ErrorList) {
    let text = |name: &str| meta::text(rule, &[name]);
    let breaks = |text: &str| text.contains(['\n', '\r']);
    let blank = |name: &str| !text(name).is_empty() && text(name).trim().is_empty();
    let message = text("message");
    if text("rule").trim().is_empty() {
        errors.push(FieldError::required(&path.child("rule"), "rule is not specified"));
    } else if blank("message") {
        errors.push(FieldError::invalid_str(&path.child("message"), message, "must be non-empty if specified"));
    } else if breaks(message.trim()) {
        errors.push(FieldError::invalid_str(&path.child("message"), message, "must not contain line breaks"));
    } else if breaks(text("rule").trim()) && message.trim().is_empty() {
        let detail = "message must be specified if rule contains line breaks";
        errors.push(FieldError::required(&path.child("message"), detail));
    }
    if blank("messageExpression") {
        let detail = "must be non-empty if specified";
        errors.push(FieldError::required(&path.child("messageExpression"), detail));
    }
    if let Some(reason) = rule.get("reason").and_then(Value::as_str)
        && !REASONS.contains(&reason)
    {
        errors.push(FieldError::not_supported(&path.child("reason"), reason, &REASONS));
    }
    let field = text("fieldPath");
    let mut wrong = |detail: &str| errors.push(FieldError::invalid_str(&path.child("fieldPath"), field, detail));
    if blank("fieldPath") {
        wrong("must be non-empty if specified");
    }
    if breaks(field) {
        wrong("must not contain line breaks");
    }
    if !field.is_empty() && rules::field_path(field, schema).is_none() {
        wrong("must be a valid path");
    }
}

/// The rule as Go writes its struct.
fn as_go(rule: &Value) -> String {
    let text = |name: &str| meta::text(rule, &[name]);
    let given = |name: &str| rule.get(name).cloned().unwrap_or_default();
    let fields = [
        ("Rule", json!(text("rule"))),
        ("Message", json!(text("message"))),
        ("MessageExpression", json!(text("messageExpression"))),
        ("Reason", given("reason")),
        ("FieldPath", json!(text("fieldPath"))),
        ("OptionalOldSelf", given("optionalOldSelf")),
    ];
    let fields = fields.map(|(name, value)| format!("\"{name}\":{value}")).join(",");
    format!("{{{fields}}}").replace('&', "\\u0026").replace('<', "\\u003c").replace('>', "\\u003e")
}
