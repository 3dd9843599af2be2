//! Classification of a request: which verb on which resource, or which path that is none.
//! Source: `k8s.io/apiserver/pkg/endpoints/request` (`RequestInfo`).

use http::Method;
use steersman_machinery::{fields, names};

use super::query::Query;

/// What a request is about. Authorization, auditing and routing depend on it and on nothing else.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RequestInfo {
    /// Whether the path names a resource.
    pub is_resource: bool,
    /// The path without a trailing slash.
    pub path: String,
    /// `get`, `list`, `watch`, `create`, `update`, `patch`, `delete`, `deletecollection`, `proxy`; for other paths the
    /// method in lower case.
    pub verb: String,
    /// `api` or `apis`.
    pub prefix: String,
    /// The API group; empty for the core group.
    pub group: String,
    /// The version.
    pub version: String,
    /// The namespace; empty if the request is about none.
    pub namespace: String,
    /// The resource.
    pub resource: String,
    /// The name; empty for collections.
    pub name: String,
    /// The subresource; may be empty.
    pub subresource: String,
    /// What follows the subresource.
    pub rest: Vec<String>,
    /// Whether the object is part of the path, as opposed to a name that came from a field selector.
    pub name_in_path: bool,
    /// The field selector of a list, watch or deletecollection as it came; empty if there is none.
    pub field_selector: String,
}

impl RequestInfo {
    /// Classifies a request.
    pub fn new(method: &Method, path: &str, query: &Query) -> Self {
        let verb = method.as_str().to_ascii_lowercase();
        // Decoded before it is cut, as upstream does: an encoded slash is a slash to everybody who looks at the path.
        let path = percent_encoding::percent_decode_str(path).decode_utf8_lossy().into_owned();
        let segments: Vec<String> = path.trim_matches('/').split('/').map(str::to_owned).collect();
        let other = Self { path, verb, ..Self::default() };
        if segments.len() < 3 {
            return other;
        }
        let (group, rest) = match segments[0].as_str() {
            "api" => (String::new(), &segments[1..]),
            "apis" if segments.len() >= 4 => (segments[1].clone(), &segments[2..]),
            _ => return other,
        };
        let mut info = Self {
            is_resource: true,
            prefix: segments[0].clone(),
            group,
            version: rest[0].clone(),
            verb: verb_of(method).to_owned(),
            ..other
        };
        let mut rest = &rest[1..];
        if let Some(special) = rest.first().filter(|segment| matches!(segment.as_str(), "watch" | "proxy")) {
            info.verb = special.clone();
            rest = &rest[1..];
        }
        info.read_object(rest);
        info.refine_verb(query);
        info
    }

    fn read_object(&mut self, mut rest: &[String]) {
        if rest.len() > 1 && rest[0] == "namespaces" {
            self.namespace = rest[1].clone();
            if rest.len() > 2 && !matches!(rest[2].as_str(), "status" | "finalize") {
                rest = &rest[2..];
            }
        }
        let at = |index: usize| rest.get(index).cloned().unwrap_or_default();
        self.resource = at(0);
        self.name = at(1);
        self.name_in_path = !self.name.is_empty();
        if self.verb != "proxy" {
            self.subresource = at(2);
            self.rest = rest.get(3..).unwrap_or_default().to_vec();
        } else {
            self.rest = rest.get(2..).unwrap_or_default().to_vec();
        }
    }

    fn refine_verb(&mut self, query: &Query) {
        if self.name.is_empty() && self.verb == "get" {
            self.verb = if query.flag("watch") { "watch" } else { "list" }.to_owned();
        }
        if self.name.is_empty() && self.verb == "delete" {
            self.verb = "deletecollection".to_owned();
        }
        if !self.name_in_path && matches!(self.verb.as_str(), "list" | "watch" | "deletecollection") {
            self.field_selector = query.text("fieldSelector").to_owned();
            self.name = pinned_name(&self.field_selector).unwrap_or_default();
        }
    }
}

fn verb_of(method: &Method) -> &'static str {
    match *method {
        Method::POST => "create",
        Method::GET | Method::HEAD => "get",
        Method::PUT => "update",
        Method::PATCH => "patch",
        Method::DELETE => "delete",
        _ => "",
    }
}

/// The name in `metadata.name=<name>`, if the selector pins one that may stand in a path. The selector is read as whoever
/// applies it reads it: what pins a name here confines the objects there.
fn pinned_name(selector: &str) -> Option<String> {
    let selector = fields::Selector::parse(selector).ok()?;
    let name = selector.exact_match("metadata.name")?;
    names::path_segment(name).is_empty().then(|| name.to_owned()).filter(|name| !name.is_empty())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(method: &str, uri: &str, expect: &str) {
        let (path, query) = uri.split_once('?').unwrap_or((uri, ""));
        let info = RequestInfo::new(&method.parse().unwrap(), path, &Query::parse(query));
        let got = match info.is_resource {
            false => format!("{} {}", info.verb, info.path),
            true => [info.verb, info.group, info.version, info.namespace, info.resource, info.name, info.subresource]
                .join(" "),
        };
        assert_eq!(got, expect, "{method} {uri}");
    }

    #[test]
    fn requests_are_classified() {
        check("GET", "/", "get /");
        check("GET", "/api/v1", "get /api/v1");
        check("GET", "/apis/apps/v1", "get /apis/apps/v1");
        check("POST", "/version", "post /version");
        check("GET", "/api/v1/nodes", "list  v1  nodes  ");
        check("GET", "/api/v1/nodes?watch", "watch  v1  nodes  ");
        check("GET", "/api/v1/nodes?watch=0", "list  v1  nodes  ");
        check("GET", "/apis/apps/v1/namespaces/a/deployments/b/scale", "get apps v1 a deployments b scale");
        check("DELETE", "/api/v1/namespaces/a/pods", "deletecollection  v1 a pods  ");
        check("PATCH", "/api/v1/namespaces/a/pods/b", "patch  v1 a pods b ");
        check("GET", "/api/v1/namespaces/a", "get  v1 a namespaces a ");
        check("PUT", "/api/v1/namespaces/a/finalize", "update  v1 a namespaces a finalize");
        check("PUT", "/api/v1/namespaces/a/status", "update  v1 a namespaces a status");
        check("GET", "/api/v1/watch/namespaces/a/pods", "watch  v1 a pods  ");
        check("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3Dx", "list  v1 a pods x ");
        check("GET", "/api/v1/namespaces/a/pods?fieldSelector=metadata.name%3D..", "list  v1 a pods  ");
        check("GET", "/api/v1/pods?fieldSelector=metadata.namespace!%3Da%5C,metadata.name%3Dx", "list  v1  pods  ");
        check("GET", "/api/v1/namespaces/a%2Fpods", "list  v1 a pods  ");
        check("GET", "/api/v1//pods", "get  v1   pods ");
        check("HEAD", "/api/v1/namespaces/a/pods/b", "get  v1 a pods b ");
    }
}
