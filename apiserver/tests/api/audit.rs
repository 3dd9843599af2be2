//! Who did what is remembered for those who want to know.

use std::sync::Arc;

use bytes::Bytes;
use http::Request;
use http_body_util::Full;
use steersman_apiserver::ApiServer;
use steersman_apiserver::authentication::UserInfo;
use steersman_machinery::clock::FixedClock;
use steersman_machinery::random::Random;
use tower::ServiceExt;

use crate::client::Client;

async fn get(api_server: &ApiServer, user: Option<UserInfo>, path: &str) {
    let request = Request::get(path).header("User-Agent", "tester/1").header("Audit-Id", "a-1");
    let service = match user {
        Some(user) => api_server.service_as(user),
        None => api_server.public_service(),
    };
    service.oneshot(request.body(Full::new(Bytes::new())).unwrap()).await.unwrap();
}

#[tokio::test]
async fn requests_are_remembered_with_their_user_and_their_answer() {
    let clock = Arc::new(FixedClock("2026-05-01T10:00:00Z".parse().unwrap()));
    let api_server = ApiServer::builder(clock, Random::seeded(1)).record_requests().build().await.unwrap();
    get(
        &api_server,
        Some(UserInfo::known("jane", &["system:masters"])),
        "/api/v1/namespaces/default/configmaps/no-such",
    )
    .await;
    get(&api_server, None, "/version").await;
    let history = api_server.history().unwrap();
    let shown: Vec<String> = history
        .records()
        .iter()
        .map(|it| {
            let (info, what) = (&it.info, if it.info.is_resource { &it.info.resource } else { &it.info.path });
            format!("{} {} {what} {} {} {}", it.user.name, info.verb, info.name, it.code, it.user_agent)
        })
        .collect();
    assert_eq!(shown, ["jane get configmaps no-such 404 tester/1", "system:anonymous get /version  200 tester/1"]);
    assert_eq!(history.by("jane")[0].audit_id, "a-1");
}

#[tokio::test]
async fn nothing_is_remembered_that_nobody_asked_for() {
    assert!(Client::new().await.api_server.history().is_none());
}
