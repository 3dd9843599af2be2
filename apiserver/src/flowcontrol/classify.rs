//! Which flow schema a request belongs to. Source: `k8s.io/apiserver/pkg/util/flowcontrol/rule.go`.

use serde_json::Value;
use steersman_machinery::meta;

use crate::authentication::{UserInfo, service_account};
use crate::http::request_info::RequestInfo;

/// A flow schema, read.
#[derive(Clone, Debug, PartialEq)]
pub(super) struct Schema {
    pub(super) name: String,
    pub(super) uid: String,
    pub(super) precedence: i64,
    pub(super) level: String,
    distinguisher: Distinguisher,
    rules: Vec<Rule>,
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Distinguisher {
    None,
    User,
    Namespace,
}

#[derive(Clone, Debug, PartialEq)]
struct Rule {
    subjects: Vec<Subject>,
    resources: Vec<ResourceRule>,
    /// Verbs and paths.
    others: Vec<(Vec<String>, Vec<String>)>,
}

#[derive(Clone, Debug, PartialEq, Eq)]
enum Subject {
    User(String),
    Group(String),
    ServiceAccount(String, String),
}

#[derive(Clone, Debug, PartialEq)]
struct ResourceRule {
    verbs: Vec<String>,
    groups: Vec<String>,
    resources: Vec<String>,
    namespaces: Vec<String>,
    cluster_scope: bool,
}

impl Schema {
    pub(super) fn read(object: &Value) -> Self {
        let spec = |path: &[&str]| meta::text(object, &[&["spec"], path].concat()).to_owned();
        let distinguisher = match spec(&["distinguisherMethod", "type"]).as_str() {
            "ByUser" => Distinguisher::User,
            "ByNamespace" => Distinguisher::Namespace,
            _ => Distinguisher::None,
        };
        Self {
            name: meta::name(object).to_owned(),
            uid: meta::uid(object).to_owned(),
            precedence: meta::at(object, &["spec", "matchingPrecedence"]).and_then(Value::as_i64).unwrap_or_default(),
            level: spec(&["priorityLevelConfiguration", "name"]),
            distinguisher,
            rules: meta::items(object, &["spec", "rules"]).iter().map(Rule::read).collect(),
        }
    }

    /// Whether the request belongs to it.
    pub(super) fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.rules.iter().any(|rule| rule.matches(user, info))
    }

    /// The flow of a request within the schema.
    pub(super) fn flow<'a>(&self, user: &'a UserInfo, info: &'a RequestInfo) -> &'a str {
        match self.distinguisher {
            Distinguisher::None => "",
            Distinguisher::User => &user.name,
            Distinguisher::Namespace => &info.namespace,
        }
    }
}

impl Rule {
    fn read(rule: &Value) -> Self {
        let resource = |it: &Value| ResourceRule {
            verbs: texts(it, "verbs"),
            groups: texts(it, "apiGroups"),
            resources: texts(it, "resources"),
            namespaces: texts(it, "namespaces"),
            cluster_scope: it.get("clusterScope").and_then(Value::as_bool).unwrap_or_default(),
        };
        let other = |it: &Value| (texts(it, "verbs"), texts(it, "nonResourceURLs"));
        Self {
            subjects: meta::items(rule, &["subjects"]).iter().filter_map(Subject::read).collect(),
            resources: meta::items(rule, &["resourceRules"]).iter().map(resource).collect(),
            others: meta::items(rule, &["nonResourceRules"]).iter().map(other).collect(),
        }
    }

    fn matches(&self, user: &UserInfo, info: &RequestInfo) -> bool {
        self.subjects.iter().any(|subject| subject.is(user))
            && match info.is_resource {
                true => self.resources.iter().any(|rule| rule.matches(info)),
                false => self.others.iter().any(|(verbs, paths)| {
                    has(verbs, &info.verb) && paths.iter().any(|pattern| path_matches(pattern, &info.path))
                }),
            }
    }
}

impl Subject {
    fn read(subject: &Value) -> Option<Self> {
        let text = |path: &[&str]| meta::text(subject, path).to_owned();
        match meta::text(subject, &["kind"]) {
            "User" => Some(Self::User(text(&["user", "name"]))),
            "Group" => Some(Self::Group(text(&["group", "name"]))),
            "ServiceAccount" => {
                Some(Self::ServiceAccount(text(&["serviceAccount", "namespace"]), text(&["serviceAccount", "name"])))
            }
            _ => None,
        }
    }

    fn is(&self, user: &UserInfo) -> bool {
        match self {
            Self::User(name) => name == "*" || *name == user.name,
            Self::Group(name) => name == "*" || user.groups.contains(name),
            Self::ServiceAccount(namespace, name) => service_account::split_user_name(&user.name)
                .is_some_and(|(is_in, is)| is_in == namespace && (name == "*" || is == name)),
        }
    }
}

impl ResourceRule {
    fn matches(&self, info: &RequestInfo) -> bool {
        let resource = match info.subresource.as_str() {
            "" => info.resource.clone(),
            subresource => format!("{}/{subresource}", info.resource),
        };
        let place = if info.namespace.is_empty() { self.cluster_scope } else { has(&self.namespaces, &info.namespace) };
        place && has(&self.verbs, &info.verb) && has(&self.groups, &info.group) && has(&self.resources, &resource)
    }
}

fn texts(value: &Value, field: &str) -> Vec<String> {
    meta::items(value, &[field]).iter().filter_map(Value::as_str).map(str::to_owned).collect()
}

fn has(list: &[String], item: &str) -> bool {
    list.iter().any(|it| it == "*" || it == item)
}

fn path_matches(pattern: &str, path: &str) -> bool {
    pattern == path || pattern.strip_suffix('*').is_some_and(|prefix| path.starts_with(prefix))
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::flowcontrol::bootstrap;
    use crate::http::query::Query;

    /// The schema of the bootstrap policy to which a request belongs.
    fn check(user: UserInfo, method: &Method, path: &str, expect: &str) {
        let mut schemas: Vec<Schema> = bootstrap::schemas().iter().map(Schema::read).collect();
        schemas.sort_by(|a, b| (a.precedence, &a.name).cmp(&(b.precedence, &b.name)));
        let info = RequestInfo::new(method, path, &Query::default());
        let schema = schemas.iter().find(|schema| schema.matches(&user, &info)).unwrap();
        assert_eq!(schema.name, expect, "{} {path}", user.name);
    }

    #[test]
    fn requests_find_their_schema() {
        let known = UserInfo::known;
        let account = |namespace| {
            let mut user = service_account::user(namespace, "a", "");
            user.groups.push("system:authenticated".to_owned());
            user
        };
        let lease = "/apis/coordination.k8s.io/v1/namespaces/kube-node-lease/leases/a";
        check(UserInfo::admin(), &Method::GET, "/api/v1/pods", "exempt");
        check(UserInfo::anonymous(), &Method::GET, "/healthz", "probes");
        check(UserInfo::anonymous(), &Method::GET, "/version", "global-default");
        check(known("jane", &[]), &Method::GET, "/readyz", "probes");
        check(known("jane", &[]), &Method::GET, "/api/v1/pods", "global-default");
        check(known("system:kube-scheduler", &[]), &Method::PUT, lease, "system-leader-election");
        check(known("system:kube-scheduler", &[]), &Method::GET, "/api/v1/pods", "kube-scheduler");
        check(known("system:node:a", &["system:nodes"]), &Method::PUT, lease, "system-node-high");
        check(known("system:node:a", &["system:nodes"]), &Method::PUT, "/api/v1/nodes/a/status", "system-node-high");
        check(known("system:node:a", &["system:nodes"]), &Method::GET, "/api/v1/pods", "system-nodes");
        check(account("kube-system"), &Method::GET, "/api/v1/pods", "kube-system-service-accounts");
        check(account("kube-system"), &Method::GET, lease, "system-leader-election");
        check(account("default"), &Method::GET, lease, "service-accounts");
        let nobody =
            UserInfo { name: "x".to_owned(), groups: vec!["system:authenticated".to_owned()], ..Default::default() };
        check(nobody, &Method::DELETE, "/apis/a/v1/namespaces/b/c", "global-default");
    }
}
