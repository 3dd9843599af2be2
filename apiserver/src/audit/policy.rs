//! The audit policy: of which requests how much is logged. Source: `audit.k8s.io/v1` `Policy`;
//! `k8s.io/apiserver/pkg/audit/policy`, `pkg/apis/audit/validation`.

use serde::Deserialize;

use crate::authentication::UserInfo;
use crate::http::request_info::RequestInfo;

/// How much is logged.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord, Deserialize)]
pub enum Level {
    /// Nothing.
    None,
    /// Who did what and when, without bodies.
    Metadata,
    /// The body of the request as well.
    Request,
    /// The body of the answer as well.
    RequestResponse,
}

impl Level {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::None => "None",
            Self::Metadata => "Metadata",
            Self::Request => "Request",
            Self::RequestResponse => "RequestResponse",
        }
    }
}

/// A moment in the life of a request.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Deserialize)]
pub enum Stage {
    /// The server has read its head.
    RequestReceived,
    /// The answer of a long-running request has begun.
    ResponseStarted,
    /// The answer is complete.
    ResponseComplete,
    /// Something went badly wrong.
    Panic,
}

impl Stage {
    pub(super) fn as_str(self) -> &'static str {
        match self {
            Self::RequestReceived => "RequestReceived",
            Self::ResponseStarted => "ResponseStarted",
            Self::ResponseComplete => "ResponseComplete",
            Self::Panic => "Panic",
        }
    }
}

/// Of which requests how much is logged.
#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub struct Policy {
    api_version: String,
    kind: String,
    #[serde(default, rename = "metadata")]
    _metadata: serde_json::Value,
    rules: Vec<Rule>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    #[serde(default)]
    omit_managed_fields: bool,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Rule {
    level: Level,
    #[serde(default)]
    users: Vec<String>,
    #[serde(default)]
    user_groups: Vec<String>,
    #[serde(default)]
    verbs: Vec<String>,
    #[serde(default)]
    resources: Vec<Resources>,
    #[serde(default)]
    namespaces: Vec<String>,
    #[serde(default, rename = "nonResourceURLs")]
    paths: Vec<String>,
    #[serde(default)]
    omit_stages: Vec<Stage>,
    omit_managed_fields: Option<bool>,
}

#[derive(Clone, Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
struct Resources {
    #[serde(default)]
    group: String,
    #[serde(default)]
    resources: Vec<String>,
    #[serde(default)]
    resource_names: Vec<String>,
}

/// How much of one request is logged.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Decision {
    pub(super) level: Level,
    pub(super) omit_stages: Vec<Stage>,
    pub(super) omit_managed_fields: bool,
}

/// Why a policy is not accepted.
#[derive(Debug, thiserror::Error)]
pub enum Error {
    /// It is not what it says it is, or says something that there is not.
    #[error("the audit policy cannot be read: {0}")]
    Read(String),
    /// It is of another kind.
    #[error("expected a Policy of audit.k8s.io/v1, found a {kind:?} of {api_version:?}")]
    Kind {
        /// Its `apiVersion`.
        api_version: String,
        /// Its `kind`.
        kind: String,
    },
    /// It logs nothing.
    #[error("the audit policy has no rules")]
    Empty,
    /// A rule makes no sense.
    #[error("rules[{index}]: {why}")]
    Rule {
        /// Which one.
        index: usize,
        /// What is wrong with it.
        why: String,
    },
}

impl Policy {
    /// Reads a policy from YAML or JSON, as for kube-apiserver's `--audit-policy-file`.
    ///
    /// # Errors
    /// What is wrong with it, and where.
    pub fn from_yaml(yaml: &str) -> Result<Self, Error> {
        let policy: Self = serde_saphyr::from_str(yaml).map_err(|error| Error::Read(error.to_string()))?;
        if policy.api_version != "audit.k8s.io/v1" || policy.kind != "Policy" {
            return Err(Error::Kind { api_version: policy.api_version, kind: policy.kind });
        }
        if policy.rules.is_empty() {
            return Err(Error::Empty);
        }
        for (index, rule) in policy.rules.iter().enumerate() {
            rule.check().map_err(|why| Error::Rule { index, why })?;
        }
        Ok(policy)
    }

    /// How much of a request is logged: the first rule decides that fits.
    pub(super) fn decide(&self, user: &UserInfo, info: &RequestInfo) -> Decision {
        let rule = self.rules.iter().find(|rule| rule.matches(user, info));
        let mut omit_stages = self.omit_stages.clone();
        omit_stages.extend(rule.iter().flat_map(|rule| rule.omit_stages.iter().copied()));
        Decision {
            level: rule.map_or(Level::None, |rule| rule.level),
            omit_stages,
            omit_managed_fields: rule.and_then(|rule| rule.omit_managed_fields).unwrap_or(self.omit_managed_fields),
        }
    }
}

impl Rule {
    fn check(&self) -> Result<(), String> {
        let on_resources = !self.resources.is_empty() || !self.namespaces.is_empty();
        if on_resources && !self.paths.is_empty() {
            return Err("rules cannot apply to both regular resources and non-resource URLs".to_owned());
        }
        for path in self.paths.iter().filter(|path| *path != "*") {
            if !path.starts_with('/') {
                return Err(format!(
                    "nonResourceURLs: {path:?}: non-resource URL rules must begin with a '/' character"
                ));
            }
            if path.trim_end_matches('*').contains('*') || path.ends_with("**") {
                let why = "non-resource URL wildcards '*' must be the final character of the rule";
                return Err(format!("nonResourceURLs: {path:?}: {why}"));
            }
        }
        for resources in &self.resources {
            if resources.group.contains('/') {
                return Err(format!("resources: {:?}: a group has no version here", resources.group));
            }
            if !resources.resource_names.is_empty() && resources.resources.is_empty() {
                return Err("resources: using resourceNames requires at least one resource".to_owned());
            }
        }
        Ok(())
    }

    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        let fits = |list: &[String], item: &str| list.is_empty() || list.iter().any(|it| it == item);
        let grouped = self.user_groups.is_empty() || user.groups.iter().any(|group| self.user_groups.contains(group));
        if !fits(&self.users, &user.name) || !grouped || !fits(&self.verbs, &info.verb) {
            return false;
        }
        if !self.resources.is_empty() || !self.namespaces.is_empty() {
            let some = self.resources.is_empty() || self.resources.iter().any(|resources| resources.matches(info));
            return info.is_resource && fits(&self.namespaces, &info.namespace) && some;
        }
        let path = |pattern: &String| match pattern.strip_suffix('*') {
            Some(prefix) => info.path.starts_with(prefix),
            None => *pattern == info.path,
        };
        self.paths.is_empty() || (!info.is_resource && self.paths.iter().any(path))
    }
}

impl Resources {
    fn matches(&self, info: &RequestInfo) -> bool {
        if self.group != info.group {
            return false;
        }
        let named = self.resource_names.is_empty() || self.resource_names.contains(&info.name);
        let is = |pattern: &String| match pattern.split_once('/') {
            _ if pattern == "*" => true,
            Some(("*", subresource)) => subresource == info.subresource,
            Some((resource, "*")) => resource == info.resource,
            Some((resource, subresource)) => resource == info.resource && subresource == info.subresource,
            None => *pattern == info.resource && info.subresource.is_empty(),
        };
        self.resources.is_empty() || (named && self.resources.iter().any(is))
    }
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::query::Query;

    const POLICY: &str = r#"
apiVersion: audit.k8s.io/v1
kind: Policy
omitStages: [RequestReceived]
rules:
- level: None
  users: ["system:kube-proxy"]
  verbs: [watch]
- level: None
  nonResourceURLs: ["/healthz*", "/version"]
- level: RequestResponse
  resources: [{group: "", resources: [pods]}]
  omitManagedFields: true
- level: Metadata
  resources: [{group: "", resources: [secrets, "pods/log", "*/token"]}]
- level: Request
  namespaces: [prod]
  omitStages: [Panic]
- level: None
  userGroups: ["system:authenticated"]
  nonResourceURLs: ["/api*"]
- level: Request
  resources: [{group: apps, resources: [deployments], resourceNames: [web]}]
"#;

    #[test]
    fn the_first_rule_that_fits_decides() {
        let policy = Policy::from_yaml(POLICY).unwrap();
        let check = |user: &str, path: &str, expect: Level| {
            let (path, query) = path.split_once('?').unwrap_or((path, ""));
            let info = RequestInfo::new(&Method::GET, path, &Query::parse(query));
            assert_eq!(policy.decide(&UserInfo::known(user, &[]), &info).level, expect, "{path}");
        };
        check("system:kube-proxy", "/api/v1/pods?watch", Level::None);
        check("jane", "/api/v1/pods?watch", Level::RequestResponse);
        check("jane", "/healthz/ping", Level::None);
        check("jane", "/api/v1/namespaces/a/pods/b/log", Level::Metadata);
        check("jane", "/api/v1/namespaces/a/pods/b/status", Level::None);
        check("jane", "/api/v1/namespaces/prod/pods/b/status", Level::Request);
        check("jane", "/api/v1/namespaces/a/serviceaccounts/b/token", Level::Metadata);
        check("jane", "/apis/apps/v1/namespaces/a/deployments/web", Level::Request);
        check("jane", "/apis/apps/v1/namespaces/a/deployments/other", Level::None);
        check("jane", "/apis", Level::None);
        let pods = RequestInfo::new(&Method::GET, "/api/v1/pods", &Query::default());
        let decision = policy.decide(&UserInfo::admin(), &pods);
        assert!(decision.omit_managed_fields && decision.omit_stages == [Stage::RequestReceived]);
    }

    #[test]
    fn a_policy_that_makes_no_sense_is_refused() {
        let head = "apiVersion: audit.k8s.io/v1\nkind: Policy\n";
        for (rest, expect) in [
            ("rules: []", "the audit policy has no rules"),
            ("rules: [{level: Everything}]", "Everything"),
            ("rules: [{level: None, user: [a]}]", "user"),
            ("rules: [{users: [a]}]", "level"),
            ("rules: [{level: None}, {level: None, nonResourceURLs: [a]}]", "rules[1]: nonResourceURLs: \"a\""),
            ("rules: [{level: None, nonResourceURLs: [/a*b]}]", "must be the final character"),
            ("rules: [{level: None, nonResourceURLs: [/a], namespaces: [b]}]", "both regular resources and"),
            ("rules: [{level: None, resources: [{resourceNames: [a]}]}]", "requires at least one resource"),
            ("rules: [{level: None, omitStages: [Late]}]", "Late"),
            ("rules: [{level: None, resources: [{group: apps/v1}]}]", "no version"),
        ] {
            let error = Policy::from_yaml(&format!("{head}{rest}")).unwrap_err().to_string();
            assert!(error.contains(expect), "{rest}: {error}");
        }
        let error = Policy::from_yaml("apiVersion: v1\nkind: Pod\nrules: []").unwrap_err().to_string();
        assert_eq!(error, "expected a Policy of audit.k8s.io/v1, found a \"Pod\" of \"v1\"");
    }
}
