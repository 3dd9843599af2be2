//! Requests for what another server serves are passed on to it, with the user in headers.
//! Source: `k8s.io/kube-aggregator/pkg/apiserver` (`proxyHandler`); Kubernetes doc "Configure the Aggregation Layer".

use futures::future::FutureExt;
use http::header::{HeaderMap, HeaderName, HeaderValue};
use percent_encoding::{NON_ALPHANUMERIC, utf8_percent_encode};

use super::{all, availability};
use crate::authentication::UserInfo;
use crate::handlers::{Answer, forward_to};
use crate::http::respond;
use crate::service::Call;

/// Passes a request on if its group and version are served by another server.
pub(crate) async fn serve(call: &mut Call) -> Option<Answer> {
    let path = call.info.path.clone();
    let mut segments = path.split('/').filter(|segment| !segment.is_empty());
    if segments.next() != Some("apis") {
        return None;
    }
    let (group, version) = (segments.next()?, segments.next()?);
    if call.server.catalog().has_group_version(group, version) {
        return None;
    }
    let services = match all(&call.server).await {
        Ok(services) => services,
        Err(status) => return Some(Err(status)),
    };
    let service = services.into_iter().find(|it| it.group == group && it.version == version)?;
    if !service.available {
        // It may be there by now.
        availability::check_later(&call.server, service.name.clone());
        return Some(Ok(respond::text(503, "service unavailable\n")));
    }
    let headers = identity(&call.user);
    let answer = forward_to(call, &service.target, &path, headers).boxed().await;
    Some(Ok(answer.unwrap_or_else(|why| {
        tracing::warn!(api_service = service.name, why, "an API service does not answer");
        availability::check_later(&call.server, service.name.clone());
        respond::text(503, format!("{why}\n"))
    })))
}

/// The headers by which the other server learns who asks.
fn identity(user: &UserInfo) -> HeaderMap {
    let mut headers = HeaderMap::new();
    let mut add = |name: &str, value: &str| {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::from_str(value)) {
            headers.append(name, value);
        }
    };
    add("x-remote-user", &user.name);
    if !user.uid.is_empty() {
        add("x-remote-uid", &user.uid);
    }
    for group in &user.groups {
        add("x-remote-group", group);
    }
    for (key, values) in &user.extra {
        let name = format!("x-remote-extra-{}", utf8_percent_encode(key, NON_ALPHANUMERIC));
        for value in values {
            add(&name, value);
        }
    }
    headers
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_user_is_told_in_headers() {
        let mut user = UserInfo::known("jane", &["dev"]);
        user.extra.insert("scopes".to_owned(), vec!["a".to_owned(), "b".to_owned()]);
        let headers = identity(&user);
        let got: Vec<_> = headers.iter().map(|(name, value)| format!("{name}={}", value.to_str().unwrap())).collect();
        assert_eq!(
            got,
            [
                "x-remote-user=jane",
                "x-remote-group=dev",
                "x-remote-group=system:authenticated",
                "x-remote-extra-scopes=a",
                "x-remote-extra-scopes=b",
            ]
        );
    }
}
