//! What expressions about a request are given.

use serde_json::Value;
use steersman_cel::{self as cel, Check, Decision, Value as CelValue, Variables};
use steersman_machinery::status::Status;

use super::types;
use crate::admission::Attributes;
use crate::admission::matching::Matched;
use crate::admission::webhook::review;
use crate::authentication::UserInfo;
use crate::authorization::{self, Target, View};

/// A request as expressions see it. One is made for each version in which its objects are shown.
#[derive(Debug)]
pub struct Input {
    object: Value,
    old: Value,
    request: Value,
    namespace: Value,
    authorizer: RequestAuthorizer,
}

impl Input {
    /// For a request that was matched; the objects are in the version that was asked for.
    pub async fn new(
        attributes: &Attributes<'_>,
        matched: &Matched,
        (object, old): (Option<Value>, Option<Value>),
        asks_the_authorizer: bool,
    ) -> Result<Self, Status> {
        let view = match asks_the_authorizer {
            true => Some(attributes.server.authorizer.view(&*attributes.server.store).await?),
            false => None,
        };
        let namespace = match attributes.namespace {
            "" => None,
            _ if attributes.resource.name == "namespaces" => None,
            namespace => attributes.server.read("namespaces", "", namespace).await?,
        };
        Ok(Self {
            object: object.unwrap_or_default(),
            old: old.unwrap_or_default(),
            request: review::attributes(attributes, matched),
            namespace: namespace.unwrap_or_default(),
            authorizer: RequestAuthorizer {
                view,
                user: attributes.origin.user.clone(),
                resource: resource(attributes),
            },
        })
    }

    /// The object; null for a delete.
    pub fn object(&self) -> &Value {
        &self.object
    }

    /// Goes on with a changed object.
    pub fn set_object(&mut self, object: Value) {
        self.object = object;
    }

    /// The object, when all is done.
    pub fn into_object(self) -> Value {
        self.object
    }

    /// Everything by name. Without `params`, expressions that mention it do not compile, so that null stands for none.
    pub fn variables<'a>(&'a self, params: Option<&'a Value>) -> Variables<'a> {
        let json = |value: &'a Value| CelValue::from_json(value, None);
        Variables::new()
            .with("object", json(&self.object))
            .with("oldObject", json(&self.old))
            .with("request", CelValue::from_json(&self.request, Some(&types::REQUEST)))
            .with("namespaceObject", CelValue::from_json(&self.namespace, Some(&types::NAMESPACE)))
            .with("params", params.map_or(CelValue::Null, json))
            .with("authorizer", CelValue::authorizer(&self.authorizer))
            .with("authorizer.requestResource", CelValue::request_resource(&self.authorizer))
    }
}

fn resource(attributes: &Attributes<'_>) -> Check {
    Check {
        group: attributes.resource.group.clone(),
        resource: attributes.resource.name.clone(),
        subresource: attributes.subresource.to_owned(),
        namespace: attributes.namespace.to_owned(),
        name: attributes.name.to_owned(),
        ..Check::default()
    }
}

/// Answers expressions on behalf of who made the request, as of one moment.
#[derive(Debug)]
struct RequestAuthorizer {
    view: Option<View>,
    user: UserInfo,
    resource: Check,
}

impl cel::Authorizer for RequestAuthorizer {
    fn check(&self, check: &Check) -> Decision {
        let account = check.service_account.as_ref().map(|(namespace, name)| {
            let groups = ["system:serviceaccounts".to_owned(), format!("system:serviceaccounts:{namespace}")];
            let groups: Vec<&str> = groups.iter().map(String::as_str).collect();
            UserInfo::known(&format!("system:serviceaccount:{namespace}:{name}"), &groups)
        });
        let target = match &check.path {
            Some(path) => Target::Path(path),
            None => Target::Resource {
                group: &check.group,
                resource: &check.resource,
                subresource: &check.subresource,
                namespace: &check.namespace,
                name: &check.name,
            },
        };
        let user = account.as_ref().unwrap_or(&self.user);
        let field_selector = check.field_selector.as_deref().unwrap_or_default();
        let attributes = authorization::Attributes { user, verb: &check.verb, target, field_selector };
        match &self.view {
            Some(view) => {
                let verdict = view.decide(&attributes);
                Decision { allowed: verdict.is_allowed(), reason: verdict.reason, error: None }
            }
            None => Decision { error: Some("no authorizer available".to_owned()), ..Decision::default() },
        }
    }

    fn request_resource(&self) -> Check {
        self.resource.clone()
    }
}
