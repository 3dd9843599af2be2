//! What is made in which namespace, against a scripted server.

use steersman_framework::reflector::{Change, Sink};

use super::*;
use crate::testing::{Fake, namespace_terminating};

const ACCOUNT_CREATED: &str = "POST /api/v1/namespaces/ns/serviceaccounts";
const MAP_CREATED: &str = "POST /api/v1/namespaces/ns/configmaps";
const MAP: &str = "/api/v1/namespaces/ns/configmaps/kube-root-ca.crt";

fn controller(fake: &Fake, phase: &str, root_ca: Option<&str>) -> ServiceAccountController {
    let controller = ServiceAccountController::new(&fake.shared, root_ca.map(str::to_owned));
    let namespace = json!({"metadata": {"name": "ns", "resourceVersion": "1"}, "status": {"phase": phase}});
    controller.namespaces.take(Change::Replaced(vec![serde_json::from_value(namespace).unwrap()]), "1");
    controller
}

fn publish(controller: &ServiceAccountController, bundle: &str, note: &str) {
    let map = json!({
        "metadata": {
            "namespace": "ns", "name": BUNDLE, "resourceVersion": "2", "annotations": {"mine": "stays", NOTE: note},
        },
        "data": {BUNDLE_KEY: bundle},
    });
    let maps = &controller.root_ca.as_ref().unwrap().maps;
    maps.take(Change::Applied(serde_json::from_value(map).unwrap()), "2");
}

async fn check(controller: &ServiceAccountController, fake: &Fake, expect: &[&str]) {
    assert_eq!(controller.sync("ns".to_owned()).await.unwrap(), Outcome::Done);
    assert_eq!(fake.log(), expect);
}

#[tokio::test]
async fn an_active_namespace_gets_its_account_and_the_bundle_if_there_is_one() {
    let answer = || Fake::new(|_| (201, json!({})));
    let fake = answer();
    check(&controller(&fake, "Active", None), &fake, &[ACCOUNT_CREATED]).await;
    let fake = answer();
    check(&controller(&fake, "Active", Some("pem")), &fake, &[ACCOUNT_CREATED, MAP_CREATED]).await;
    assert_eq!(fake.last_body()["data"], json!({"ca.crt": "pem"}));
    let fake = answer();
    check(&controller(&fake, "Terminating", Some("pem")), &fake, &[]).await;
}

#[tokio::test]
async fn a_namespace_that_goes_away_is_no_failure() {
    let fake = Fake::new(|_| namespace_terminating());
    check(&controller(&fake, "Active", None), &fake, &[ACCOUNT_CREATED]).await;
}

#[tokio::test]
async fn a_bundle_that_was_changed_is_put_right_and_a_right_one_left_alone() {
    let fake = Fake::new(|_| (200, json!({})));
    let controller = controller(&fake, "Active", Some("pem"));
    let written = format!("PUT {MAP}");
    publish(&controller, "forged", DESCRIPTION);
    check(&controller, &fake, &[ACCOUNT_CREATED, &written]).await;
    publish(&controller, "pem", "");
    check(&controller, &fake, &[ACCOUNT_CREATED, &written, ACCOUNT_CREATED, &written]).await;
    let body = fake.last_body();
    assert_eq!(body["data"], json!({"ca.crt": "pem"}));
    let annotations = json!({"mine": "stays", NOTE: DESCRIPTION});
    assert_eq!((&body["metadata"]["annotations"], &body["metadata"]["resourceVersion"]), (&annotations, &json!("2")));
    publish(&controller, "pem", DESCRIPTION);
    check(&controller, &fake, &[ACCOUNT_CREATED, &written, ACCOUNT_CREATED, &written, ACCOUNT_CREATED]).await;
}
