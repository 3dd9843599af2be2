//! How it is said that something is forbidden.
//! Source: `k8s.io/apiserver/pkg/endpoints/handlers/responsewriters` (`ForbiddenStatusError`).

use steersman_machinery::field::go_quote;
use steersman_machinery::group::GroupResource;
use steersman_machinery::status::Status;

use super::{Attributes, Target};

/// 403 for a user who may not do that; `reason` may be empty.
pub fn forbidden(attributes: &Attributes<'_>, reason: &str) -> Status {
    let mut why = escape(&describe(attributes));
    if !reason.is_empty() {
        why = format!("{why}: {reason}");
    }
    match attributes.target {
        Target::Path(_) => {
            let mut status = Status::failure(403, "Forbidden", format!("forbidden: {why}"));
            status.details = Some(Box::default());
            status
        }
        Target::Resource { group, resource, name, .. } => {
            Status::forbidden(&GroupResource::new(group, resource), name, why)
        }
    }
}

fn describe(attributes: &Attributes<'_>) -> String {
    let (user, verb) = (go_quote(&attributes.user.name), attributes.verb);
    match attributes.target {
        Target::Path(path) => format!("User {user} cannot {verb} path {}", go_quote(path)),
        Target::Resource { group, resource, subresource, namespace, .. } => {
            let full = match subresource {
                "" => go_quote(resource),
                subresource => go_quote(&format!("{resource}/{subresource}")),
            };
            let place = match namespace {
                "" => "at the cluster scope".to_owned(),
                namespace => format!("in the namespace {}", go_quote(namespace)),
            };
            format!("User {user} cannot {verb} resource {full} in API group {} {place}", go_quote(group))
        }
    }
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::authentication::UserInfo;
    use crate::http::query::Query;
    use crate::http::request_info::RequestInfo;

    #[test]
    fn refusals_say_who_may_not_do_what_where() {
        let check = |path: &str, reason: &str, expect: &str| {
            let info = RequestInfo::new(&Method::GET, path, &Query::default());
            let status = forbidden(&Attributes::of(&UserInfo::anonymous(), &info), reason);
            assert_eq!((status.code, status.message.as_str()), (403, expect));
        };
        check("/apis", "", "forbidden: User \"system:anonymous\" cannot get path \"/apis\"");
        check("/<a>&", "", "forbidden: User \"system:anonymous\" cannot get path \"/&lt;a&gt;&amp;\"");
        check(
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            "",
            "deployments.apps \"b\" is forbidden: User \"system:anonymous\" cannot get resource \"deployments/scale\" in API group \"apps\" in the namespace \"a\"",
        );
        check(
            "/api/v1/nodes",
            "RBAC: role.rbac.authorization.k8s.io \"x\" not found",
            "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope: RBAC: role.rbac.authorization.k8s.io \"x\" not found",
        );
    }
}
