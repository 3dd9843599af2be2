//! Certificate signing requests: who asks, who decides, who signs.

use base64::Engine;
use base64::engine::general_purpose::STANDARD;
use rcgen::{CertificateParams, KeyPair};
use serde_json::json;

use crate::client::Client;

const REQUESTS: &str = "/apis/certificates.k8s.io/v1/certificatesigningrequests";

#[tokio::test]
async fn a_request_is_asked_decided_and_answered() {
    let client = Client::new().await;
    let key = KeyPair::generate().unwrap();
    let request = CertificateParams::default().serialize_request(&key).unwrap().pem().unwrap();
    let body = json!({"metadata": {"name": "r"}, "spec": {
        "request": STANDARD.encode(request), "signerName": "example.com/s", "usages": ["client auth"],
        "username": "somebody-else", "groups": ["system:masters", "others"]}});
    let made = client.post(REQUESTS, body).await;
    assert_eq!(made.code, 201, "{made:?}");
    assert_eq!(made.body["spec"]["username"], "kubernetes-admin");
    assert_eq!(made.body["spec"]["groups"], json!(["system:masters", "system:authenticated"]));
    let mut approved = made.body.clone();
    approved["status"] =
        json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Fine"}], "certificate": "AAAA"});
    approved["spec"]["username"] = json!("nobody");
    let main = client.put(&format!("{REQUESTS}/r"), approved.clone()).await;
    assert_eq!((main.code, &main.body["status"]), (200, &json!({})), "{main:?}");
    approved["metadata"]["resourceVersion"] = main.body["metadata"]["resourceVersion"].clone();
    let decided = client.put(&format!("{REQUESTS}/r/approval"), approved).await;
    assert_eq!(decided.code, 200, "{decided:?}");
    assert_eq!(decided.body["spec"]["username"], "kubernetes-admin");
    assert_eq!(
        decided.body["status"],
        json!({"conditions": [{"type": "Approved", "status": "True", "reason": "Fine",
            "lastUpdateTime": "2026-05-01T10:00:00Z", "lastTransitionTime": "2026-05-01T10:00:00Z"}]})
    );
    let certificate = STANDARD.encode(CertificateParams::default().self_signed(&key).unwrap().pem());
    let signed = client
        .patch(
            "merge",
            &format!("{REQUESTS}/r/status"),
            json!({"status": {"certificate": certificate, "conditions": []}}),
        )
        .await;
    assert_eq!(signed.code, 422, "{signed:?}");
    let signed =
        client.patch("merge", &format!("{REQUESTS}/r/status"), json!({"status": {"certificate": certificate}})).await;
    assert_eq!((signed.code, &signed.body["status"]["certificate"]), (200, &json!(certificate)), "{signed:?}");
}
