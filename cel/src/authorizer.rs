//! What expressions ask through `authorizer`.
//!
//! Source: `k8s.io/apiserver/pkg/cel/library/authz.go`.

use std::fmt;

/// A question to the authorizer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Check {
    /// The service account that is asked about (namespace, name); `None` for who made the request.
    pub service_account: Option<(String, String)>,
    /// The path, if the question is about a path; the fields of a resource are empty then.
    pub path: Option<String>,
    /// The API group.
    pub group: String,
    /// The resource.
    pub resource: String,
    /// The subresource.
    pub subresource: String,
    /// The namespace; empty for resources without and for all namespaces.
    pub namespace: String,
    /// The object's name; empty for all.
    pub name: String,
    /// The field selector, if one was given.
    pub field_selector: Option<String>,
    /// The label selector, if one was given.
    pub label_selector: Option<String>,
    /// The verb.
    pub verb: String,
}

/// The answer.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Decision {
    /// Whether it may.
    pub allowed: bool,
    /// Why, in the authorizer's words.
    pub reason: String,
    /// What went wrong while deciding.
    pub error: Option<String>,
}

/// Answers for one request: it knows who made it and about what.
pub trait Authorizer: Send + Sync + fmt::Debug {
    /// Decides.
    fn check(&self, check: &Check) -> Decision;
    /// The resource of the request itself, as `authorizer.requestResource` stands for it; the verb is empty.
    fn request_resource(&self) -> Check;
}
