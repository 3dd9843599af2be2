//! Who may do what. For now: whoever is known may do everything, and nobody else more than ask for the version and
//! whether the server is healthy (upstream's role `system:public-info-viewer`).

use steersman_machinery::group::GroupResource;
use steersman_machinery::status::Status;

use crate::authentication::UserInfo;
use crate::http::request_info::RequestInfo;

/// What anybody may read.
const PUBLIC: [&str; 5] = ["/healthz", "/livez", "/readyz", "/version", "/version/"];

/// Lets the request pass or says 403 in upstream's words.
pub(crate) fn authorize(user: &UserInfo, info: &RequestInfo) -> Result<(), Status> {
    if !user.is_anonymous() || (!info.is_resource && info.verb == "get" && PUBLIC.contains(&info.path.as_str())) {
        return Ok(());
    }
    let name = escape(&user.name);
    if !info.is_resource {
        let mut status = Status::forbidden(&GroupResource::default(), "", "");
        status.message = format!("forbidden: User \"{name}\" cannot {} path \"{}\"", info.verb, escape(&info.path));
        status.details = Some(Box::default());
        return Err(status);
    }
    let resource = GroupResource::new(info.group.clone(), info.resource.clone());
    let full = match info.subresource.as_str() {
        "" => info.resource.clone(),
        subresource => format!("{}/{subresource}", info.resource),
    };
    let place = match info.namespace.as_str() {
        "" => "at the cluster scope".to_owned(),
        namespace => format!("in the namespace \"{namespace}\""),
    };
    let why =
        format!("User \"{name}\" cannot {} resource \"{full}\" in API group \"{}\" {place}", info.verb, info.group);
    Err(Status::forbidden(&resource, &info.name, escape(&why)))
}

fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}

#[cfg(test)]
mod tests {
    use http::Method;

    use super::*;
    use crate::http::query::Query;

    #[test]
    fn nobody_gets_in_who_is_not_known() {
        let check = |path: &str, expect: &str| {
            let info = RequestInfo::new(&Method::GET, path, &Query::default());
            let got = authorize(&UserInfo::anonymous(), &info).map_or_else(|status| status.message, |()| "ok".into());
            assert_eq!(got, expect);
            assert!(authorize(&UserInfo::admin(), &info).is_ok());
        };
        check("/readyz", "ok");
        check("/apis", "forbidden: User \"system:anonymous\" cannot get path \"/apis\"");
        check(
            "/apis/apps/v1/namespaces/a/deployments/b/scale",
            "deployments.apps \"b\" is forbidden: User \"system:anonymous\" cannot get resource \"deployments/scale\" in API group \"apps\" in the namespace \"a\"",
        );
        check(
            "/api/v1/nodes",
            "nodes is forbidden: User \"system:anonymous\" cannot list resource \"nodes\" in API group \"\" at the cluster scope",
        );
    }
}
