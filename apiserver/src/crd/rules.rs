//! `x-kubernetes-validations`: rules in CEL about custom objects, compiled from their schema.
//! Source: Kubernetes doc "Validation rules"; `k8s.io/apiextensions-apiserver/pkg/apiserver/schema/cel`.

use std::collections::BTreeMap;

use serde_json::Value;
use steersman_cel::{DeclaredType, Environment, Program, Type};
use steersman_machinery::meta;

mod evaluate;
mod field_path;

pub use evaluate::{Outcome, evaluate};
pub use field_path::normalize as field_path;

/// The rules of a schema and of those below it.
#[derive(Clone, Debug)]
pub struct Rules {
    /// How expressions see the value.
    ty: Option<DeclaredType>,
    /// `type` of the schema.
    type_name: String,
    rules: Vec<Rule>,
    properties: BTreeMap<String, Rules>,
    additional: Option<Box<Rules>>,
    items: Option<Box<Rules>>,
    /// `x-kubernetes-list-map-keys` of a list whose items are known again by them.
    keys: Option<Vec<String>>,
}

#[derive(Clone, Debug)]
struct Rule {
    /// What is evaluated, or why it can't be; nothing if the rule is empty.
    program: Option<Result<Program, String>>,
    /// The expression that makes the message.
    message_expression: Option<Program>,
    /// What is said if that makes none.
    message: String,
    /// How the rule is called where its evaluation fails.
    name: String,
    reason: Reason,
    /// The field that is reported, below the value.
    field_path: String,
    /// Whether it compares with the value before.
    is_transition: bool,
    /// Whether it is evaluated even if there is none.
    optional_old: bool,
}

/// What kind of fault a failed rule is.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Reason {
    Invalid,
    Forbidden,
    Required,
    Duplicate,
}

impl Rules {
    /// Compiles the rules of a resource's schema; `None` if it has none.
    pub fn parse(schema: &Value) -> Option<Self> {
        Self::node(schema, true)
    }

    fn node(schema: &Value, is_root: bool) -> Option<Self> {
        let below = |name: &str| schema.get(name).filter(|it| it.is_object()).and_then(|it| Self::node(it, false));
        let properties = schema.get("properties").and_then(Value::as_object).into_iter().flatten();
        let properties: BTreeMap<_, _> =
            properties.filter_map(|(name, schema)| Some((name.clone(), Self::node(schema, false)?))).collect();
        let (additional, items) = (below("additionalProperties"), below("items"));
        let own = meta::items(schema, &["x-kubernetes-validations"]);
        if own.is_empty() && properties.is_empty() && additional.is_none() && items.is_none() {
            return None;
        }
        let ty = if own.is_empty() { None } else { declared(schema, is_root) };
        let keys = meta::items(schema, &["x-kubernetes-list-map-keys"]).iter();
        let keys: Vec<String> = keys.filter_map(Value::as_str).map(str::to_owned).collect();
        Some(Self {
            rules: ty.iter().flat_map(|ty| own.iter().map(|rule| Rule::parse(rule, ty, schema))).collect(),
            ty,
            type_name: meta::text(schema, &["type"]).to_owned(),
            properties,
            additional: additional.map(Box::new),
            items: items.map(Box::new),
            keys: (meta::text(schema, &["x-kubernetes-list-type"]) == "map").then_some(keys),
        })
    }
}

impl Rule {
    fn parse(rule: &Value, ty: &DeclaredType, schema: &Value) -> Self {
        let text = |name: &str| meta::text(rule, &[name]).trim().to_owned();
        let compiled = Compiled::new(rule, ty);
        let name = Some(text("message")).filter(|message| !message.is_empty()).unwrap_or_else(|| text("rule"));
        let message = match text("message") {
            none if none.is_empty() => format!("failed rule: {}", text("rule")),
            given => given,
        };
        Self {
            is_transition: compiled.is_transition(),
            program: compiled.rule,
            message_expression: compiled.message.and_then(Result::ok),
            message,
            name,
            reason: match meta::text(rule, &["reason"]) {
                "FieldValueForbidden" => Reason::Forbidden,
                "FieldValueRequired" => Reason::Required,
                "FieldValueDuplicate" => Reason::Duplicate,
                _ => Reason::Invalid,
            },
            field_path: field_path(meta::text(rule, &["fieldPath"]), schema).unwrap_or_default(),
            optional_old: rule.get("optionalOldSelf") == Some(&Value::Bool(true)),
        }
    }
}

/// How expressions see the values of a schema; `None` if they can't.
pub fn declared(schema: &Value, is_root: bool) -> Option<DeclaredType> {
    let embedded = schema.get("x-kubernetes-embedded-resource") == Some(&Value::Bool(true));
    DeclaredType::from_schema("selfType", schema, is_root || embedded)
}

/// The expressions of a rule, compiled or refused with a reason.
#[derive(Clone, Debug)]
pub struct Compiled {
    /// The rule; `None` if it is empty.
    pub rule: Option<Result<Program, String>>,
    /// The expression for the message; `None` if there is none, or the rule is at fault.
    pub message: Option<Result<Program, String>>,
}

impl Compiled {
    /// Compiles an item of `x-kubernetes-validations` about values of that type.
    pub fn new(rule: &Value, ty: &DeclaredType) -> Self {
        let text = |name: &str| meta::text(rule, &[name]);
        if text("rule").trim().is_empty() {
            return Self { rule: None, message: None };
        }
        let old = match rule.get("optionalOldSelf") {
            Some(Value::Bool(true)) => DeclaredType::optional(ty.clone()),
            _ => ty.clone(),
        };
        let environment = Environment::kubernetes().variable("self", ty.clone()).variable("oldSelf", old);
        let compiled = match environment.compile(text("rule")) {
            Ok(program) if *program.result_type() == Type::Bool => Ok(program),
            Ok(_) => Err("cel expression must evaluate to a bool".to_owned()),
            Err(error) => Err(format!("compilation failed: {error}")),
        };
        let expression = Some(text("messageExpression")).filter(|it| !it.trim().is_empty() && compiled.is_ok());
        let message = expression.map(|expression| match environment.compile(expression) {
            Ok(program) if *program.result_type() == Type::String => Ok(program),
            Ok(_) => Err("messageExpression must evaluate to a string".to_owned()),
            Err(error) => Err(format!("messageExpression compilation failed: {error}")),
        });
        Self { rule: Some(compiled), message }
    }

    /// Whether the rule compares with the value before.
    pub fn is_transition(&self) -> bool {
        matches!(&self.rule, Some(Ok(program)) if program.mentions("oldSelf"))
    }
}

#[cfg(test)]
mod tests;
