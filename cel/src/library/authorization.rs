//! Questions to the authorizer.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/authz.go`.

use std::sync::Arc;

use super::{Outcome, fail};
use crate::authorizer::{Authorizer, Check};
use crate::error::EvaluationError;
use crate::functions::Implementation;
use crate::value::{Opaque, Value};

/// A question that is being built.
#[derive(Clone, Debug)]
pub struct Request<'a> {
    authorizer: &'a dyn Authorizer,
    check: Arc<Check>,
    stage: Stage,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Stage {
    Authorizer,
    Path,
    Group,
    Resource,
}

impl<'a> Request<'a> {
    /// Nothing is said yet.
    pub(crate) fn new(authorizer: &'a dyn Authorizer) -> Self {
        Self { authorizer, check: Arc::default(), stage: Stage::Authorizer }
    }

    /// About the request's own resource.
    pub(crate) fn of_request(authorizer: &'a dyn Authorizer) -> Self {
        Self { authorizer, check: Arc::new(authorizer.request_resource()), stage: Stage::Resource }
    }

    pub(crate) fn type_name(&self) -> &'static str {
        match self.stage {
            Stage::Authorizer => "kubernetes.authorization.Authorizer",
            Stage::Path => "kubernetes.authorization.PathCheck",
            Stage::Group => "kubernetes.authorization.GroupCheck",
            Stage::Resource => "kubernetes.authorization.ResourceCheck",
        }
    }

    fn with(&self, stage: Stage, change: impl FnOnce(&mut Check)) -> Value<'a> {
        let mut check = Check::clone(&self.check);
        change(&mut check);
        Value::Opaque(Opaque::Authorizer(Self { authorizer: self.authorizer, check: Arc::new(check), stage }))
    }
}

/// What carries the function of that name out.
pub(crate) fn implementation(name: &str) -> Option<Implementation> {
    Some(match name {
        "path" => |args| build(args, Stage::Authorizer, Stage::Path, |check, text| check.path = Some(text)),
        "group" => |args| build(args, Stage::Authorizer, Stage::Group, |check, text| check.group = text),
        "resource" => |args| build(args, Stage::Group, Stage::Resource, |check, text| check.resource = text),
        "subresource" => |args| build(args, Stage::Resource, Stage::Resource, |check, text| check.subresource = text),
        "namespace" => |args| build(args, Stage::Resource, Stage::Resource, |check, text| check.namespace = text),
        "name" => |args| build(args, Stage::Resource, Stage::Resource, |check, text| check.name = text),
        "fieldSelector" => {
            |args| build(args, Stage::Resource, Stage::Resource, |check, text| check.field_selector = Some(text))
        }
        "labelSelector" => {
            |args| build(args, Stage::Resource, Stage::Resource, |check, text| check.label_selector = Some(text))
        }
        "serviceAccount" => service_account,
        "check" => check,
        "errored" | "error" | "allowed" | "reason" => return decision(name),
        _ => return None,
    })
}

fn build<'a>(args: &[Value<'a>], from: Stage, to: Stage, change: fn(&mut Check, String)) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Authorizer(request)), Value::Text(text)] if request.stage == from => {
            Ok(request.with(to, |check| change(check, text.as_str().to_owned())))
        }
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn service_account<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    let [Value::Opaque(Opaque::Authorizer(request)), Value::Text(namespace), Value::Text(name)] = args else {
        return Err(EvaluationError::NoSuchOverload);
    };
    let (namespace, name) = (namespace.as_str(), name.as_str());
    let faults = steersman_machinery::names::dns1123_subdomain(name);
    if !faults.is_empty() {
        return fail("Invalid service account name");
    }
    if !steersman_machinery::names::dns1123_label(namespace).is_empty() {
        return fail("Invalid service account namespace");
    }
    Ok(request.with(Stage::Authorizer, |check| check.service_account = Some((namespace.to_owned(), name.to_owned()))))
}

fn check<'a>(args: &[Value<'a>]) -> Outcome<'a> {
    match args {
        [Value::Opaque(Opaque::Authorizer(request)), Value::Text(verb)]
            if matches!(request.stage, Stage::Path | Stage::Resource) =>
        {
            let mut check = Check::clone(&request.check);
            check.verb = verb.as_str().to_owned();
            Ok(Value::Opaque(Opaque::Decision(Arc::new(request.authorizer.check(&check)))))
        }
        _ => Err(EvaluationError::NoSuchOverload),
    }
}

fn decision(name: &str) -> Option<Implementation> {
    fn of<'a>(args: &[Value<'a>], part: fn(&crate::Decision) -> Value<'a>) -> Outcome<'a> {
        match args {
            [Value::Opaque(Opaque::Decision(decision))] => Ok(part(decision)),
            _ => Err(EvaluationError::NoSuchOverload),
        }
    }
    Some(match name {
        "errored" => |args| of(args, |it| Value::Bool(it.error.is_some())),
        "error" => |args| of(args, |it| Value::text(it.error.clone().unwrap_or_default())),
        "allowed" => |args| of(args, |it| Value::Bool(it.allowed)),
        _ => |args| of(args, |it| Value::text(it.reason.clone())),
    })
}
